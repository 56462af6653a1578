//! A restore drill: a mirror is restored into a temporary folder, every object of it is read, and its refs are
//! compared with its proof.

use std::path::PathBuf;
use std::time::Instant;

use chrono::Utc;

use super::{Tools, folder, plan};
use crate::domain::retry::Retry;
use crate::stages::failure::Failure;
use crate::store::audit::{self, NewEntry};
use crate::store::drills::{self, Drill, Outcome};
use crate::store::mirrors::Mirror;

/// What OneDev answers where objects are missing or damaged.
const LACKS: [&str; 3] = ["upstream_moved", "onedev_refused", "spool_failed"];

/// Restores one mirror, looks whether it is whole, and writes down what was found.
///
/// # Errors
/// When OneDev cannot be read, or the temporary folder not be written: nothing is said of the mirror then.
pub async fn drill(tools: &Tools, mirror: &Mirror, scratch: Option<PathBuf>) -> Result<Drill, Failure> {
    let began = Instant::now();
    let mut found = look(tools, mirror, scratch).await?;
    found.millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tools.metrics.drills.with_label_values(&[found.outcome.as_str()]).inc();
    let (id, told) = (mirror.id, found.clone());
    let mut entry = NewEntry::of("starkeep", "mirror.drill", &mirror.name.to_string());
    entry.outcome = found.outcome.as_str().to_owned();
    entry.detail =
        serde_json::json!({ "mirror": id, "refs": found.refs, "objects": found.objects, "problem": found.problem });
    tools
        .store
        .write(move |c| {
            audit::append(c, &entry, Utc::now())?;
            drills::insert(c, id, &told, Utc::now())
        })
        .await?;
    Ok(found)
}

async fn look(tools: &Tools, mirror: &Mirror, scratch: Option<PathBuf>) -> Result<Drill, Failure> {
    let wanted = plan::wanted(&tools.store, mirror, None).await?;
    let scratch = scratch.unwrap_or_else(std::env::temp_dir);
    let made = tempfile::Builder::new().prefix("starkeep-drill-").tempdir_in(&scratch).map_err(|error| {
        Failure::new("drill_folder", format!("{} cannot be written: {error}", scratch.display()), Retry::Backoff)
    })?;
    let refs = wanted.refs.len() as u64;
    let failed = |problem: String| Drill { outcome: Outcome::Failed, refs, problem: Some(problem), ..Drill::default() };
    let (repository, done, refs_set) = match folder::fill(tools, &wanted, made.path()).await {
        Ok(filled) => filled,
        // OneDev answers, and lacks what it should have.
        Err(failure) if failure.retry == Retry::Never || LACKS.contains(&failure.code) => {
            return Ok(failed(failure.message));
        }
        Err(failure) => return Err(failure),
    };
    let checked = repository.check().await?;
    let standing = repository.refs().await?;
    let mut problems = checked.amiss;
    if standing != refs_set {
        problems.push("the refs that were restored are not those that were wanted".to_owned());
    }
    if !wanted.exact && mirror.not_level.iter().all(|it| it.name.reference().is_none() || it.alias.is_some()) {
        problems.push(format!("the refs are not those of the proof {}", wanted.digest));
    }
    let problem = (!problems.is_empty()).then(|| problems.join("; "));
    let outcome = if problem.is_none() { Outcome::Ok } else { Outcome::Failed };
    Ok(Drill { outcome, refs, objects: checked.objects, bytes: done.bytes, millis: 0, problem })
}
