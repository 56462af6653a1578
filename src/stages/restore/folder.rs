//! Restoring into a folder: a bare repository, made beside its place and put there when it is whole.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Restored, Tools, Wanted, everything, project};
use crate::domain::ids::GithubId;
use crate::domain::refs::{Oid, RefMap};
use crate::domain::retry::Retry;
use crate::git::{FetchOptions, LocalRepository};
use crate::stages::failure::Failure;

/// The file in a restored repository that says what it is, so that a later run may put another in its place.
const NOTE: &str = "starkeep-restore.json";

/// What a restored repository says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Note {
    /// GitHub's id of the upstream.
    pub github_id: GithubId,
    /// When the state was proven.
    pub proven_at: DateTime<Utc>,
    /// Digest of that proof.
    pub digest: String,
}

fn failed(what: &str, folder: &Path, error: &std::io::Error) -> Failure {
    Failure::new("restore_folder", format!("{} {what}: {error}", folder.display()), Retry::Never)
}

/// Restores into `folder`, which may be absent, empty, or an earlier restore of the same upstream, which is
/// replaced. Nothing of it is there before all of it is.
///
/// # Errors
/// `restore_folder` for a folder with something else in it or that cannot be written; those of reading OneDev.
pub async fn restore(tools: &Tools, id: GithubId, wanted: &Wanted, folder: &Path) -> Result<Restored, Failure> {
    refuse_strange(folder, id)?;
    let parent =
        folder.parent().filter(|it| !it.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned);
    std::fs::create_dir_all(&parent).map_err(|error| failed("cannot be made", &parent, &error))?;
    // Beside its place, so that putting it there is one step; gone by itself if this run ends early.
    let made = tempfile::Builder::new().prefix(".starkeep-restore-").tempdir_in(&parent);
    let made = made.map_err(|error| failed("cannot be written", &parent, &error))?;
    let here = made.path().join("repository.git");
    std::fs::create_dir(&here).map_err(|error| failed("cannot be made", &here, &error))?;
    let (_, done, _) = fill(tools, wanted, &here).await?;
    let note = Note { github_id: id, proven_at: wanted.proven_at, digest: wanted.digest.clone() };
    let text = serde_json::to_string_pretty(&note).unwrap_or_default();
    std::fs::write(here.join(NOTE), text).map_err(|error| failed("cannot be written", &here, &error))?;
    put(&here, folder, made.path())?;
    Ok(done)
}

/// Fills an empty folder with a bare repository; gives the refs that stand in it.
///
/// # Errors
/// Those of reading OneDev and of writing.
pub async fn fill(
    tools: &Tools,
    wanted: &Wanted,
    folder: &Path,
) -> Result<(LocalRepository, Restored, RefMap), Failure> {
    let repository = LocalRepository::init(folder).await?;
    let project = project(tools, &wanted.path)?;
    let all = everything(&project, wanted).await?;
    let mut tips: Vec<Oid> = all.values().copied().collect();
    tips.sort_unstable();
    tips.dedup();
    let mut bytes = 0;
    if !tips.is_empty() {
        let options = FetchOptions { thin: false, ..FetchOptions::RELAY };
        bytes = repository.take(project.fetch(&tips, &[], options).await?).await?;
    }
    repository.set_refs(all.clone()).await?;
    if let Some(head) = &wanted.head {
        repository.set_head(head.clone()).await?;
    }
    let done = Restored { refs: wanted.refs.len(), kept: wanted.kept.len(), bytes, refused: Vec::new() };
    Ok((repository, done, all))
}

/// Only an absent or empty folder, or an earlier restore of the same upstream, is written to.
fn refuse_strange(folder: &Path, id: GithubId) -> Result<(), Failure> {
    let mut entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("cannot be read", folder, &error)),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    let note = std::fs::read(folder.join(NOTE)).ok().and_then(|it| serde_json::from_slice::<Note>(&it).ok());
    match note {
        Some(note) if note.github_id == id => Ok(()),
        _ => {
            let why =
                format!("{} is not empty, and is no earlier restore of this upstream: name another", folder.display());
            Err(Failure::new("restore_folder", why, Retry::Never))
        }
    }
}

/// Puts what was made in its place; what was there goes with the temporary folder.
fn put(made: &Path, folder: &Path, aside: &Path) -> Result<(), Failure> {
    if folder.exists() {
        std::fs::rename(folder, aside.join("before")).map_err(|error| failed("cannot be replaced", folder, &error))?;
    }
    std::fs::rename(made, folder).map_err(|error| failed("cannot be put in its place", folder, &error))
}
