//! Restoring into a folder: a bare repository with its LFS objects, and one for the wiki beside it, made in a
//! [`workshop`](super::workshop) and put in their places when they are whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::plan::{Catalog, Repository};
use super::workshop::{Workshop, failed};
use super::{Moved, Restored, Tools, Wanted, depot, lfs, project};
use crate::domain::ids::GithubId;
use crate::domain::lfs::Pointer;
use crate::domain::part::Part;
use crate::domain::refs::{Oid, RefMap};
use crate::domain::retry::Retry;
use crate::git::{FetchOptions, LocalRepository, ObjectFolder, Progress, Upstream};
use crate::stages::failure::Failure;

/// The file in a restored repository that says what it is, so that a later run may put another in its place.
const NOTE: &str = "starkeep-restore.json";
/// The folder in a bare repository that holds its LFS objects.
const LFS: &str = "lfs";

/// Tips that OneDev may lack: it names them one at a time.
pub(super) const MOST_GONE: usize = 100;

/// What a restored repository says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Note {
    /// GitHub's id of the upstream.
    pub github_id: GithubId,
    /// Which part of it.
    #[serde(default)]
    pub part: Part,
    /// When the state was proven.
    pub proven_at: DateTime<Utc>,
    /// Digest of that proof.
    pub digest: String,
}

/// A repository that was filled.
#[derive(Debug)]
pub struct Filled {
    /// It.
    pub repository: LocalRepository,
    /// Every ref in it.
    pub refs: RefMap,
    /// How much that was.
    pub moved: Moved,
    /// Why the catalog is not in it.
    pub no_catalog: Option<String>,
}

/// The wiki's folder beside a repository's: as a server that calls it `name.wiki.git`.
pub fn wiki_of(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{}.wiki.git", name.strip_suffix(".git").unwrap_or(&name)))
}

/// Restores into `folder`, and a wiki into `wiki`. Both may be absent, empty, or an earlier restore of the same
/// upstream, which is replaced. Nothing of it is there before all of it is. A wiki of an earlier restore goes if
/// there is none to be restored.
///
/// # Errors
/// `restore_folder` for a folder with something else in it or that cannot be written; those of reading OneDev.
pub async fn restore(
    tools: &Tools,
    id: GithubId,
    wanted: &Wanted,
    folder: &Path,
    wiki: &Path,
) -> Result<Restored, Failure> {
    refuse_strange(folder, id, Part::Code)?;
    if wanted.wiki.is_some() {
        refuse_strange(wiki, id, Part::Wiki)?;
    }
    let work = Workshop::open(folder, wiki)?;
    let (here, beside) = (room(&work, "code")?, room(&work, "wiki")?);
    let code = fill(tools, &wanted.code, wanted.catalog.as_ref(), &here).await?;
    let pages = match &wanted.wiki {
        Some(pages) => Some(fill(tools, pages, None, &beside).await?),
        None => None,
    };
    let (gathered, before) = (ObjectFolder::new(work.lfs()), ObjectFolder::new(folder.join(LFS)));
    let pointers = code.repository.pointers().await?;
    let objects =
        lfs::into_folder(&depot(tools, &wanted.code.path)?, &pointers, &gathered, &before, &tools.progress).await?;
    if work.lfs().exists() {
        keep_only(&gathered, &work.lfs(), &pointers)?;
        std::fs::rename(work.lfs(), here.join(LFS)).map_err(|error| failed("cannot be moved", &work.lfs(), &error))?;
    }
    if let Some(wanted) = &wanted.wiki {
        note(&beside, id, Part::Wiki, wanted)?;
        work.deliver(&beside, wiki)?;
    } else if is_earlier(wiki, id, Part::Wiki) {
        work.take_aside(wiki)?;
    }
    note(&here, id, Part::Code, &wanted.code)?;
    work.deliver(&here, folder)?;
    Ok(Restored {
        code: code.moved,
        wiki: pages.map(|it| it.moved),
        catalog: wanted.catalog.is_some() && code.no_catalog.is_none(),
        objects,
        lost: wanted.lost.iter().cloned().chain(code.no_catalog.map(|why| ("catalog", why))).collect(),
    })
}

/// Fills an empty folder with a bare repository.
///
/// # Errors
/// Those of reading OneDev and of writing. That the catalog is not to be had is no error but told.
pub async fn fill(
    tools: &Tools,
    wanted: &Repository,
    catalog: Option<&Catalog>,
    folder: &Path,
) -> Result<Filled, Failure> {
    let repository = LocalRepository::init(folder).await?;
    let project = project(tools, &wanted.path)?;
    // Reading the list also tells which protocol the project speaks.
    project.ls_refs(&["refs/heads/"]).await?;
    let mut refs = wanted.all();
    let (mut bytes, gone) = take(&repository, &project, refs.values().copied(), &tools.progress).await?;
    let refused = without(&mut refs, &gone);
    let mut no_catalog = None;
    if let Some(Catalog { name, commit }) = catalog {
        let (more, gone) = take(&repository, &project, std::iter::once(*commit), &tools.progress).await?;
        bytes += more;
        if gone.is_empty() {
            refs.insert(name.clone(), *commit);
        } else {
            no_catalog = Some(format!("OneDev does not have its commit {commit}"));
        }
    }
    repository.set_refs(refs.clone()).await?;
    if let Some(head) = &wanted.head {
        repository.set_head(head.clone()).await?;
    }
    let there = |its: &RefMap| its.keys().filter(|it| refs.contains_key(*it)).count();
    let moved = Moved { refs: there(&wanted.refs), kept: there(&wanted.kept), bytes, refused };
    Ok(Filled { repository, refs, moved, no_catalog })
}

/// Takes everything that some objects need; gives the bytes, and those of them that OneDev does not have.
async fn take(
    repository: &LocalRepository,
    project: &Upstream,
    tips: impl Iterator<Item = Oid>,
    progress: &Arc<Progress>,
) -> Result<(u64, BTreeSet<Oid>), Failure> {
    let (mut tips, mut gone): (BTreeSet<Oid>, _) = (tips.collect(), BTreeSet::new());
    let options = FetchOptions { thin: false, ..FetchOptions::RELAY };
    while !tips.is_empty() {
        let wants: Vec<Oid> = tips.iter().copied().collect();
        match project.fetch(&wants, &[], options).await {
            Ok(mut pack) => {
                pack.count(Arc::clone(progress));
                return Ok((repository.take(pack).await?, gone));
            }
            Err(error) => match error.lacking().filter(|it| gone.len() < MOST_GONE && tips.remove(it)) {
                Some(oid) => gone.insert(oid),
                None => return Err(error.into()),
            },
        };
    }
    Ok((0, gone))
}

/// Takes the refs away whose objects are not to be had; names them.
pub(super) fn without(refs: &mut RefMap, gone: &BTreeSet<Oid>) -> Vec<(String, String)> {
    let mut lost = Vec::new();
    refs.retain(|name, oid| {
        let is_gone = gone.contains(oid);
        if is_gone {
            lost.push((name.to_string(), format!("OneDev does not have its object {oid}")));
        }
        !is_gone
    });
    lost
}

fn room(work: &Workshop, name: &str) -> Result<PathBuf, Failure> {
    let folder = work.room(name);
    std::fs::create_dir(&folder).map_err(|error| failed("cannot be made", &folder, &error))?;
    Ok(folder)
}

fn note(folder: &Path, id: GithubId, part: Part, wanted: &Repository) -> Result<(), Failure> {
    let note = Note { github_id: id, part, proven_at: wanted.proven_at, digest: wanted.digest.clone() };
    let text = serde_json::to_string_pretty(&note).unwrap_or_default();
    std::fs::write(folder.join(NOTE), text).map_err(|error| failed("cannot be written", folder, &error))
}

/// Only an absent or empty folder, or an earlier restore of the same, is written to.
fn refuse_strange(folder: &Path, id: GithubId, part: Part) -> Result<(), Failure> {
    let mut entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("cannot be read", folder, &error)),
    };
    if entries.next().is_none() || is_earlier(folder, id, part) {
        return Ok(());
    }
    let why = format!("{} is not empty, and is no earlier restore of this upstream: name another", folder.display());
    Err(Failure::new("restore_folder", why, Retry::Never))
}

/// Whether an earlier restore of the same stands there.
fn is_earlier(folder: &Path, id: GithubId, part: Part) -> bool {
    let note = std::fs::read(folder.join(NOTE)).ok().and_then(|it| serde_json::from_slice::<Note>(&it).ok());
    note.is_some_and(|it| it.github_id == id && it.part == part)
}

/// A killed run may have gathered objects for another state.
fn keep_only(gathered: &ObjectFolder, lfs: &Path, wanted: &BTreeSet<Pointer>) -> Result<(), Failure> {
    let places: BTreeSet<PathBuf> = wanted.iter().map(|it| gathered.place(it.oid)).collect();
    let wrong = |error: std::io::Error| failed("cannot be cleared", lfs, &error);
    let mut open = vec![lfs.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).map_err(wrong)? {
            let path = entry.map_err(wrong)?.path();
            if path.is_dir() {
                open.push(path);
            } else if !places.contains(&path) {
                std::fs::remove_file(&path).map_err(wrong)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wiki_stands_beside_its_repository() {
        let of = |it: &str| wiki_of(Path::new(it));
        assert_eq!(of("a/hello.git"), Path::new("a/hello.wiki.git"));
        assert_eq!(of("hello"), Path::new("hello.wiki.git"));
    }
}
