//! Reading what a project says of its mirror: the facts by REST, which takes none of OneDev's few places for
//! packs, then the marker's history and the refs by git.

use chrono::{DateTime, Utc};

use super::{Adopted, Rules, page};
use crate::domain::kept::{self, KeptRef, Reason};
use crate::domain::marker::{self, FACTS_FILE, KeptSince, Marker, REFS_FILE, Unreadable};
use crate::domain::mirror::NotLevel;
use crate::domain::refs::{Oid, RefMap};
use crate::git::{FetchOptions, FileVersion, LocalRepository};
use crate::onedev::{OnedevError, Project};
use crate::stages::failure::Failure;
use crate::stages::restore::{self, Tools};
use crate::store::adopted::Whole;
use crate::store::history::Told;
use crate::store::mirrors;

/// Markers that are read of one project; older states stay in OneDev and are not known by time any more.
const VERSIONS: usize = 1_000;
/// The reason of an alias that the marker does not know.
const UNTOLD: &str = "OneDev refused its name; the reason was lost with the database";

/// A marked project.
pub(super) struct Found {
    pub(super) project: Project,
    pub(super) marker: Marker,
}

impl Found {
    pub(super) fn proven_at(&self) -> Option<DateTime<Utc>> {
        self.marker.proof.as_ref().map(|it| it.verified_at)
    }
}

/// The facts of a project, or why there are none.
pub(super) async fn facts(tools: &Tools, rules: &Rules, project: &Project) -> Result<Result<Found, Adopted>, Failure> {
    let bytes = match tools.onedev.file(project.id, marker::REF, FACTS_FILE).await {
        Ok(Some(bytes)) => bytes,
        // Absent, or too long for REST: git tells which.
        Ok(None) | Err(OnedevError::Malformed(_)) => match versions(tools, project, 1).await?.pop() {
            Some(FileVersion { mut files, .. }) => match files.swap_remove(0) {
                Some(bytes) => bytes,
                None => return Ok(Err(Adopted::Unreadable(format!("its marker has no file {FACTS_FILE}")))),
            },
            None => return Ok(Err(Adopted::Unmarked)),
        },
        Err(error) => return Err(error.into()),
    };
    Ok(match Marker::read(&bytes) {
        Ok(marker) if marker.github.instance != rules.instance => {
            Err(Adopted::Unreadable(format!("it is a mirror of another GitHub: {}", marker.github.instance)))
        }
        Ok(marker) => Ok(Found { project: project.clone(), marker }),
        Err(why) => Err(Adopted::Unreadable(why.to_string())),
    })
}

/// The marker's files, the latest first, out of a temporary repository.
async fn versions(tools: &Tools, project: &Project, most: usize) -> Result<Vec<FileVersion>, Failure> {
    let from = restore::project(tools, &project.path)?;
    let list = from.ls_refs(&[marker::REF]).await?;
    let Some(tip) = list.refs.iter().find(|(name, _)| name.as_str() == marker::REF).map(|(_, oid)| *oid) else {
        return Ok(Vec::new());
    };
    let folder = tempfile::Builder::new().prefix("starkeep-adopt-").tempdir();
    let folder = folder
        .map_err(|error| Failure::new("temporary_folder", error.to_string(), crate::domain::retry::Retry::Never))?;
    let repository = LocalRepository::init(folder.path()).await?;
    let options = FetchOptions { thin: false, tips_only: most == 1, without_trees: false, small_blobs: false };
    repository.take(from.fetch(&[tip], &[], options).await?).await?;
    Ok(repository.versions(tip, &[FACTS_FILE, REFS_FILE], most).await?)
}

/// All that is known of a marked project, or why it cannot be read.
pub(super) async fn whole(tools: &Tools, rules: &Rules, found: Found) -> Result<Result<Whole, String>, Failure> {
    let Found { project, marker } = found;
    let versions = versions(tools, &project, VERSIONS).await?;
    let Some(tip) = versions.first().map(|it| it.commit) else { return Ok(Err("its marker is gone".to_owned())) };
    let told = match history(&versions) {
        Ok(told) => told,
        Err(why) => return Ok(Err(why.to_string())),
    };
    let list = restore::project(tools, &project.path)?.ls_refs(&[]).await?;
    let listed = told.last().map(|it| it.refs.clone()).unwrap_or_default();
    let put = marker::ours(&listed, &list.refs, !rules.keep_overwritten);
    let marker = caught_up(marker, &list.refs, &put);
    let content = marker.content(&put);
    let (id, path, url) = (project.id, project.path.clone(), page(tools, &project));
    let project = mirrors::Project { id, path, url };
    Ok(Ok(Whole { marker, project, put, past: told, tip, content }))
}

/// The proven states that the markers tell of, the oldest first.
fn history(versions: &[FileVersion]) -> Result<Vec<Told>, Unreadable> {
    let mut past = Vec::new();
    for version in versions.iter().rev() {
        let [Some(facts), Some(refs)] = version.files.as_slice() else { continue };
        let (marker, refs) = (Marker::read(facts)?, marker::read_refs(&String::from_utf8_lossy(refs))?);
        let Some(proof) = marker.proof else { continue };
        past.push(Told { at: proof.verified_at, digest: proof.digest, head: proof.head, refs });
    }
    Ok(past)
}

/// What came to stand since the marker was written: kept refs and aliases tell by their names what they are.
fn caught_up(mut marker: Marker, standing: &RefMap, put: &RefMap) -> Marker {
    let is = |oid: &Oid, it: &KeptSince| standing.get(&it.kept.kept) == Some(oid);
    marker.kept.retain(|it| is(&it.kept.oid, it));
    for (at, oid) in standing {
        let Some((name, when)) = kept::kept_of(at) else { continue };
        if marker.kept.iter().all(|it| it.kept.kept != *at) {
            let kept = KeptRef { name, kept: at.clone(), oid: *oid, reason: Reason::Overwritten };
            marker.kept.push(KeptSince { kept, at: when });
        }
    }
    marker.kept.sort_by(|one, other| (one.at, &one.kept.kept).cmp(&(other.at, &other.kept.kept)));
    for at in put.keys() {
        let Some(name) = kept::aliased(at) else { continue };
        if marker.not_level.iter().all(|it| it.name != name) {
            marker.not_level.push(NotLevel { name: name.into(), reason: UNTOLD.to_owned(), alias: Some(at.clone()) });
        }
    }
    marker
}
