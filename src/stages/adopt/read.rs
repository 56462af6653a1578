//! Reading what a project says of its mirror: the facts by REST, which takes none of OneDev's few places for
//! packs, then the marker's history and the refs of code and wiki by git.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{Adopted, Rules, page};
use crate::domain::kept::{self, KeptRef, Reason};
use crate::domain::lfs::{ObjectState, Pointer};
use crate::domain::marker::{
    self, FACTS_FILE, KeptSince, Lists, MarkedWiki, Marker, OBJECTS_FILE, Proved, REFS_FILE, Unreadable, WIKI_REFS_FILE,
};
use crate::domain::mirror::NotLevel;
use crate::domain::refs::{Oid, RefMap};
use crate::domain::retry::Retry;
use crate::git::{FetchOptions, FileVersion, LocalRepository};
use crate::onedev::{OnedevError, Project};
use crate::stages::failure::Failure;
use crate::stages::restore::{self, Tools};
use crate::store::adopted::{Whole, WholeWiki};
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
        Ok(None) | Err(OnedevError::Malformed(_)) => match markers(tools, project, true).await?.facts() {
            Some(Some(bytes)) => bytes,
            Some(None) => return Ok(Err(Adopted::Unreadable(format!("its marker has no file {FACTS_FILE}")))),
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

/// The markers of a project.
#[derive(Default)]
struct Markers {
    /// Facts and lists of refs, the latest first.
    versions: Vec<FileVersion>,
    /// The latest one's list of LFS objects.
    objects: Option<Vec<u8>>,
}

impl Markers {
    fn facts(&mut self) -> Option<Option<Vec<u8>>> {
        self.versions.first_mut().map(|it| it.files.first_mut().and_then(Option::take))
    }
}

/// Out of a temporary repository; the latest alone, or as many as are read.
async fn markers(tools: &Tools, project: &Project, latest: bool) -> Result<Markers, Failure> {
    let from = restore::project(tools, &project.path)?;
    let list = from.ls_refs(&[marker::REF]).await?;
    let Some(tip) = list.refs.iter().find(|(name, _)| name.as_str() == marker::REF).map(|(_, oid)| *oid) else {
        return Ok(Markers::default());
    };
    let folder = tempfile::Builder::new().prefix("starkeep-adopt-").tempdir();
    let folder = folder.map_err(|error| Failure::new("temporary_folder", error.to_string(), Retry::Never))?;
    let repository = LocalRepository::init(folder.path()).await?;
    let options = FetchOptions { thin: false, tips_only: latest, without_trees: false, small_blobs: false };
    repository.take(from.fetch(&[tip], &[], options).await?).await?;
    let most = if latest { 1 } else { VERSIONS };
    let versions = repository.versions(tip, &[FACTS_FILE, REFS_FILE, WIKI_REFS_FILE], most).await?;
    let objects = repository.versions(tip, &[OBJECTS_FILE], 1).await?;
    let objects = objects.into_iter().next().and_then(|it| it.files.into_iter().next().flatten());
    Ok(Markers { versions, objects })
}

/// All that is known of a marked project, or why it cannot be read.
pub(super) async fn whole(tools: &Tools, rules: &Rules, found: Found) -> Result<Result<Whole, String>, Failure> {
    let Found { project, mut marker } = found;
    let markers = markers(tools, &project, false).await?;
    let Some(tip) = markers.versions.first().map(|it| it.commit) else {
        return Ok(Err("its marker is gone".to_owned()));
    };
    let past = match past(&markers) {
        Ok(past) => past,
        Err(why) => return Ok(Err(why.to_string())),
    };
    let standing = restore::project(tools, &project.path)?.ls_refs(&[]).await?.refs;
    let put = catch_up(&past.code, &standing, !rules.keep_overwritten, &mut marker.kept, &mut marker.not_level);
    let mut lists = Lists { put, objects: past.objects, ..Lists::default() };
    let wiki = match marker.wiki.clone() {
        Some(marked) => wiki(tools, rules, &project.path, marked, past.wiki).await?,
        None => None,
    };
    if let Some(it) = &wiki {
        lists.wiki.clone_from(&it.put);
    }
    marker.wiki = wiki.as_ref().map(|it| it.marked.clone());
    // What moved since was not listed, and what cannot be read is not.
    let moved = past.code.last().is_none_or(|it| it.refs != lists.put);
    let spoilt = marker.not_level.iter().any(|it| it.name.is_spoilt_pointer());
    let searched = marker.lfs_searched.map(|whole| whole && !moved && !spoilt);
    let marked = marker.catalog.as_ref().map(|it| it.name.clone());
    let catalog = rules.catalog.as_ref().map(|name| marked.unwrap_or_else(|| name.clone()));
    let catalog = catalog.filter(|name| !lists.put.contains_key(name));
    let catalog = catalog.and_then(|name| standing.get(&name).copied().map(|commit| (name, commit)));
    let content = marker.content(&lists);
    let project = told(tools, &project);
    let (wants_wiki, catalogs) = (rules.wiki, past.catalogs);
    Ok(Ok(Whole {
        marker,
        project,
        lists,
        past: past.code,
        wiki,
        wants_wiki,
        searched,
        catalog,
        catalogs,
        tip,
        content,
    }))
}

fn told(tools: &Tools, project: &Project) -> mirrors::Project {
    mirrors::Project { id: project.id, path: project.path.clone(), url: page(tools, project) }
}

/// The wiki's project, if it is still there: of the name that the marker says, below the mirror's own. The path in
/// the marker may be from before a move, and somebody else's by now.
async fn wiki(
    tools: &Tools,
    rules: &Rules,
    home: &str,
    mut marked: MarkedWiki,
    past: Vec<Told>,
) -> Result<Option<WholeWiki>, Failure> {
    let Some((_, name)) = marked.path.rsplit_once('/') else { return Ok(None) };
    let Ok(path) = format!("{home}/{name}").parse() else { return Ok(None) };
    let Some(project) = tools.onedev.project_at(&path).await? else { return Ok(None) };
    let standing = restore::project(tools, &project.path)?.ls_refs(&[]).await?.refs;
    let put = catch_up(&past, &standing, !rules.keep_overwritten, &mut marked.kept, &mut marked.not_level);
    Ok(Some(WholeWiki { marked, project: told(tools, &project), put, past }))
}

/// What the markers tell of the past, the oldest first.
struct Past {
    code: Vec<Told>,
    wiki: Vec<Told>,
    /// Since when which commit of the catalog stood.
    catalogs: BTreeMap<DateTime<Utc>, Oid>,
    objects: Vec<(Pointer, ObjectState)>,
}

fn past(markers: &Markers) -> Result<Past, Unreadable> {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let objects = markers.objects.as_ref().map_or(Ok(Vec::new()), |it| marker::read_objects(&text(it)))?;
    let mut past = Past { code: Vec::new(), wiki: Vec::new(), catalogs: BTreeMap::new(), objects };
    for version in markers.versions.iter().rev() {
        let [Some(facts), Some(refs), wiki @ ..] = version.files.as_slice() else { continue };
        let Marker { proof, wiki: marked, catalog, .. } = Marker::read(facts)?;
        past.catalogs.extend(catalog.map(|it| (it.at, it.commit)));
        tell(&mut past.code, proof, &text(refs))?;
        if let [Some(refs)] = wiki {
            tell(&mut past.wiki, marked.and_then(|it| it.proof), &text(refs))?;
        }
    }
    Ok(past)
}

/// One more proven state, unless it is the one before.
fn tell(past: &mut Vec<Told>, proof: Option<Proved>, refs: &str) -> Result<(), Unreadable> {
    let Some(Proved { verified_at: at, digest, head, .. }) = proof else { return Ok(()) };
    let told = Told { at, digest, head, refs: marker::read_refs(refs)? };
    if past.last().is_none_or(|it| it.digest != told.digest || it.refs != told.refs) {
        past.push(told);
    }
    Ok(())
}

/// Which of the refs that stand are ours, by the last list. What came to stand since the marker was written is
/// noted: kept refs and aliases tell by their names what they are.
fn catch_up(
    past: &[Told],
    standing: &RefMap,
    strict: bool,
    known: &mut Vec<KeptSince>,
    not_level: &mut Vec<NotLevel>,
) -> RefMap {
    let none = RefMap::new();
    let put = marker::ours(past.last().map_or(&none, |it| &it.refs), standing, strict);
    known.retain(|it| standing.get(&it.kept.kept) == Some(&it.kept.oid));
    for (at, oid) in standing {
        let Some((name, when)) = kept::kept_of(at) else { continue };
        if known.iter().all(|it| it.kept.kept != *at) {
            let kept = KeptRef { name, kept: at.clone(), oid: *oid, reason: Reason::Overwritten };
            known.push(KeptSince { kept, at: when });
        }
    }
    // Those of one moment stay in the order in which they were kept.
    known.sort_by_key(|it| it.at);
    for at in put.keys() {
        let Some(name) = kept::aliased(at) else { continue };
        if not_level.iter().all(|it| it.name != name) {
            not_level.push(NotLevel { name: name.into(), reason: UNTOLD.to_owned(), alias: Some(at.clone()) });
        }
    }
    put
}
