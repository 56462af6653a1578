//! A restore drill: code, catalog and wiki of a mirror are restored into a temporary folder, every object of them
//! is read, and their refs are compared with their proofs. LFS objects are read back and hashed without being
//! written, as many as the drill's bound allows, chosen by chance; OneDev is asked for the others.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::Utc;
use futures_util::stream::{self, StreamExt as _};
use rand::seq::SliceRandom as _;

use super::folder::{self, Filled};
use super::plan::{self, Catalog, Repository};
use super::{Tools, Wanted, depot, project};
use crate::domain::ids::MirrorId;
use crate::domain::kept::KEPT;
use crate::domain::lfs::Pointer;
use crate::domain::mirror::NotLevel;
use crate::domain::part::PartId;
use crate::domain::refs::{Oid, RefName};
use crate::domain::retry::Retry;
use crate::git::{Answer, LfsEndpoint, MOST_AT_ONCE, Operation, Standing};
use crate::stages::failure::Failure;
use crate::store::audit::{self, NewEntry};
use crate::store::drills::{self, Drill, Outcome};
use crate::store::lfs as table;
use crate::store::mirrors::Mirror;
use crate::store::parts;

/// What OneDev answers where objects are missing or damaged.
const LACKS: [&str; 3] = ["upstream_moved", "onedev_refused", "spool_failed"];
/// LFS objects of one drill that OneDev is asked for.
const MOST_ASKED: usize = 10_000;
/// LFS objects that are read at once.
const AT_ONCE: usize = 8;
/// What is amiss with LFS objects is told so often.
const TOLD: usize = 20;

/// Where a drill is made, and how much of it.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The folder for temporary ones; the system's without it.
    pub scratch: Option<PathBuf>,
    /// Bytes of LFS objects that are read: `drill.lfs_bytes`.
    pub lfs_bytes: u64,
}

/// Restores one mirror, looks whether it is whole, and writes down what was found.
///
/// # Errors
/// When OneDev cannot be read, or the temporary folder not be written: nothing is said of the mirror then.
pub async fn drill(tools: &Tools, mirror: &Mirror, bounds: &Bounds) -> Result<Drill, Failure> {
    let began = Instant::now();
    let mut found = look(tools, mirror, bounds).await?;
    found.millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tools.metrics.drills.with_label_values(&[found.outcome.as_str()]).inc();
    let (id, told) = (mirror.id, found.clone());
    let mut entry = NewEntry::of("starkeep", "mirror.drill", &mirror.name.to_string());
    entry.outcome = found.outcome.as_str().to_owned();
    entry.detail = serde_json::json!({
        "mirror": id,
        "refs": found.refs,
        "objects": found.objects,
        "lfs_objects": found.lfs_objects,
        "lfs_unread": found.lfs_unread,
        "problem": found.problem,
    });
    tools
        .store
        .write(move |c| {
            audit::append(c, &entry, Utc::now())?;
            drills::insert(c, id, &told, Utc::now())
        })
        .await?;
    Ok(found)
}

async fn look(tools: &Tools, mirror: &Mirror, bounds: &Bounds) -> Result<Drill, Failure> {
    let wanted = plan::wanted(&tools.store, mirror, None).await?;
    let scratch = bounds.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let made = tempfile::Builder::new().prefix("starkeep-drill-").tempdir_in(&scratch).map_err(|error| {
        Failure::new("drill_folder", format!("{} cannot be written: {error}", scratch.display()), Retry::Backoff)
    })?;
    let mut look = Look { tools, made: made.path(), done: Drill::default(), problems: Vec::new() };
    let code = look.repository("code", &wanted.code, wanted.catalog.as_ref(), &mirror.not_level).await?;
    look.starkeeps_refs(mirror, &wanted).await?;
    if let Some(pages) = &wanted.wiki {
        let of = PartId::wiki(mirror.id);
        let not_level = tools.store.read(move |c| parts::find(c, of)).await?.map(|it| it.not_level);
        look.repository("wiki", pages, None, &not_level.unwrap_or_default()).await?;
    }
    if let Some(code) = code {
        let pointers = code.repository.pointers().await?;
        look.objects(mirror.id, &depot(tools, &wanted.code.path)?, pointers, bounds.lfs_bytes).await?;
    }
    let Look { mut done, problems, .. } = look;
    done.problem = (!problems.is_empty()).then(|| problems.join("; "));
    done.outcome = if done.problem.is_none() { Outcome::Ok } else { Outcome::Failed };
    Ok(done)
}

/// One drill under way.
struct Look<'a> {
    tools: &'a Tools,
    made: &'a Path,
    done: Drill,
    problems: Vec<String>,
}

impl Look<'_> {
    /// Restores one repository and reads all of it. `None` if it could not be restored.
    async fn repository(
        &mut self,
        name: &str,
        wanted: &Repository,
        catalog: Option<&Catalog>,
        not_level: &[NotLevel],
    ) -> Result<Option<Filled>, Failure> {
        self.done.refs += wanted.refs.len() as u64;
        let here = self.made.join(name);
        std::fs::create_dir(&here)
            .map_err(|error| Failure::new("drill_folder", format!("{}: {error}", here.display()), Retry::Backoff))?;
        let filled = match folder::fill(self.tools, wanted, catalog, &here).await {
            Ok(filled) => filled,
            // OneDev answers, and lacks what it should have.
            Err(failure) if failure.retry == Retry::Never || LACKS.contains(&failure.code) => {
                self.problems.push(format!("{name}: {}", failure.message));
                return Ok(None);
            }
            Err(failure) => return Err(failure),
        };
        let checked = filled.repository.check().await?;
        self.done.objects += checked.objects;
        self.done.bytes += filled.moved.bytes;
        self.problems.extend(checked.amiss.into_iter().map(|it| format!("{name}: {it}")));
        self.problems.extend(filled.no_catalog.as_ref().map(|why| format!("catalog: {why}")));
        self.problems.extend(filled.moved.refused.iter().map(|(at, why)| format!("{name}: {at}: {why}")));
        if filled.repository.refs().await? != filled.refs {
            self.problems.push(format!("{name}: the refs that were restored are not those that were wanted"));
        }
        if !wanted.exact && not_level.iter().all(|it| it.name.reference().is_none() || it.alias.is_some()) {
            self.problems.push(format!("{name}: the refs are not those of the proof {}", wanted.digest));
        }
        Ok(Some(filled))
    }

    /// Kept refs and the catalog's ref, which no comparison with GitHub shows, must still stand. What moved by our
    /// own doing while this looked is none of its business.
    async fn starkeeps_refs(&mut self, mirror: &Mirror, wanted: &Wanted) -> Result<(), Failure> {
        let mut gone = self.not_standing(wanted).await?;
        if gone.is_empty() {
            return Ok(());
        }
        let now = plan::wanted(&self.tools.store, mirror, None).await?;
        let still = starkeeps(&now);
        gone.retain(|it| still.contains(it));
        let told = gone.into_iter().map(|(path, name, oid)| format!("{path}: {name} does not stand at {oid}"));
        self.problems.extend(told.take(TOLD));
        Ok(())
    }

    async fn not_standing(&self, wanted: &Wanted) -> Result<BTreeSet<Placed>, Failure> {
        let mut expected = starkeeps(wanted);
        for path in std::iter::once(&wanted.code.path).chain(wanted.wiki.iter().map(|it| &it.path)) {
            let name = wanted.catalog.as_ref().map_or(KEPT, |it| it.name.as_str());
            let standing = project(self.tools, path)?.ls_refs(&[KEPT, name]).await?.refs;
            expected.retain(|(at, name, oid)| at != path || standing.get(name) != Some(oid));
        }
        Ok(expected)
    }

    /// Reads LFS objects that should be there, in an order of chance, up to a number of bytes.
    async fn objects(
        &mut self,
        mirror: MirrorId,
        from: &LfsEndpoint,
        pointers: BTreeSet<Pointer>,
        mut left: u64,
    ) -> Result<(), Failure> {
        let mut all: Vec<Pointer> = pointers.into_iter().collect();
        all.shuffle(&mut rand::rng());
        self.done.lfs_unread += all.len().saturating_sub(MOST_ASKED) as u64;
        all.truncate(MOST_ASKED);
        let mut amiss = Vec::new();
        for some in all.chunks(MOST_AT_ONCE) {
            let asked = some.to_vec();
            let some = self.tools.store.read(move |c| table::there_among(c, mirror, &asked)).await?;
            let answers = from.ask(Operation::Download, &some).await?;
            let mut read = Vec::new();
            for (object, answer) in answers {
                if let Answer::Refused(error) = answer {
                    amiss.push(format!("LFS object {}: {error}", object.oid));
                } else if object.size <= left {
                    left -= object.size;
                    read.push(object);
                } else {
                    self.done.lfs_unread += 1;
                }
            }
            self.read_back(from, read, &mut amiss).await?;
        }
        let more = amiss.len().saturating_sub(TOLD);
        self.problems.extend(amiss.into_iter().take(TOLD));
        if more > 0 {
            self.problems.push(format!("and {more} further LFS objects"));
        }
        Ok(())
    }

    /// Reads some LFS objects and hashes them.
    async fn read_back(
        &mut self,
        from: &LfsEndpoint,
        some: Vec<Pointer>,
        amiss: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let checks = some.into_iter().map(|it| async move { (it, from.check(it).await) });
        let mut checks = stream::iter(checks).buffer_unordered(AT_ONCE);
        while let Some((object, standing)) = checks.next().await {
            self.done.lfs_objects += 1;
            self.done.lfs_bytes += object.size;
            let what = match standing {
                Ok(Standing::Good) => continue,
                Ok(Standing::Absent) => "OneDev has it no more",
                Ok(Standing::Bad) => "its bytes are not those of its name",
                Ok(Standing::OtherSize(_)) => "it is not as long as its pointer says",
                Err(error) => return Err(error.into()),
            };
            amiss.push(format!("LFS object {}: {what}", object.oid));
        }
        Ok(())
    }
}

/// A project, a ref in it, and where that stands.
type Placed = (String, RefName, Oid);

/// The refs that are starkeep's own.
fn starkeeps(wanted: &Wanted) -> BTreeSet<Placed> {
    let repositories = std::iter::once(&wanted.code).chain(&wanted.wiki);
    let kept = repositories.flat_map(|it| it.kept.iter().map(|(name, oid)| (it.path.clone(), name.clone(), *oid)));
    let catalog = wanted.catalog.iter().map(|it| (wanted.code.path.clone(), it.name.clone(), it.commit));
    kept.chain(catalog).collect()
}
