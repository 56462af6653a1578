//! Reading a catalog back out of its tree: items, files and how far GitHub's lists were read, so that its next
//! look goes on from there instead of reading and writing everything anew.
//!
//! Folder by folder, each in a transaction of its own. Cut off before its end it counts for nothing: the next
//! look finds no commit known, and reads everything.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::Value;
use url::Url;

use crate::domain::catalog::layout::{self, Place};
use crate::domain::catalog::objects::Entry;
use crate::domain::catalog::{Feed, Kind, Unit, Visit, item};
use crate::domain::ids::MirrorId;
use crate::domain::lfs::Pointer;
use crate::domain::marker::MarkedCatalog;
use crate::domain::refs::{Oid, RefName};
use crate::domain::retry::Retry;
use crate::git::{FetchOptions, LocalRepository, TreeEntry};
use crate::stages::catalog::pack;
use crate::stages::failure::Failure;
use crate::stages::restore::{self, Tools};
use crate::store::catalog::entries::{self, Change};
use crate::store::catalog::items::{self, Packed};
use crate::store::catalog::{self as table, ReadBack, assets, feeds};
use crate::store::{Connection, StoreError};

/// The folders of folders of threads.
const SHARDED: [&str; 2] = ["issues", "pulls"];

/// A catalog that stands in a project.
pub(super) struct Standing<'a> {
    pub(super) mirror: MirrorId,
    /// Full path of the project.
    pub(super) path: &'a str,
    /// The ref.
    pub(super) name: RefName,
    /// The commit that it holds.
    pub(super) commit: Oid,
    /// What the marker says of it.
    pub(super) marked: Option<&'a MarkedCatalog>,
    /// The base of GitHub's pages.
    pub(super) pages: &'a Url,
}

/// Reads it back.
pub(super) async fn read_back(tools: &Tools, it: Standing<'_>) -> Result<(), Failure> {
    let folder = tempfile::Builder::new().prefix("starkeep-adopt-").tempdir();
    let folder = folder.map_err(|error| Failure::new("temporary_folder", error.to_string(), Retry::Never))?;
    let repository = LocalRepository::init(folder.path()).await?;
    let from = restore::project(tools, it.path)?;
    from.ls_refs(&["refs/heads/"]).await?;
    let options = FetchOptions { tips_only: true, ..FetchOptions::default() };
    repository.take(from.fetch(&[it.commit], &[], options).await?).await?;
    let (root, made_at) = repository.tree_of(it.commit).await?;
    let mirror = it.mirror;
    let mut read = Read { tools, mirror, pages: it.pages, repository: &repository, latest: BTreeMap::new() };
    read.root(root).await?;
    let latest = read.latest;
    let known = it.marked.filter(|marked| marked.commit == it.commit);
    let back = ReadBack {
        name: it.name,
        tip: (it.commit, root),
        at: known.map_or(made_at, |it| it.at),
        commits: it.marked.map_or(1, |it| it.commits),
        swept_at: it.marked.and_then(|it| it.swept_at),
    };
    tools
        .store
        .write(move |c| {
            if let Some(swept_at) = back.swept_at {
                visits(&latest, swept_at).iter().try_for_each(|it| feeds::save(c, mirror, it))?;
            }
            table::read_back(c, mirror, &back)
        })
        .await?;
    Ok(())
}

/// How far each list was read: up to the latest change of what it had shown.
fn visits(latest: &BTreeMap<Kind, DateTime<Utc>>, done_at: DateTime<Utc>) -> Vec<Visit> {
    let of = |feed: Feed| Visit {
        since: latest.get(&feed.kind()).copied().filter(|_| feed.is_by_change()),
        done_at: Some(done_at),
        ..Visit::new(feed)
    };
    Feed::ALL.into_iter().map(of).collect()
}

struct Read<'a> {
    tools: &'a Tools,
    mirror: MirrorId,
    pages: &'a Url,
    repository: &'a LocalRepository,
    /// The latest change of each kind.
    latest: BTreeMap<Kind, DateTime<Utc>>,
}

impl Read<'_> {
    async fn root(&mut self, root: Oid) -> Result<(), Failure> {
        let top = self.repository.entries(root, false).await?;
        let folders: Vec<(String, Oid)> =
            top.iter().filter(|it| it.content.is_none()).map(|it| (it.path.clone(), it.oid)).collect();
        self.folder("", top).await?;
        for (name, tree) in folders {
            if !SHARDED.contains(&name.as_str()) {
                let all = self.repository.entries(tree, true).await?;
                self.folder(&name, all).await?;
                continue;
            }
            let shards = self.repository.entries(tree, false).await?;
            let below: Vec<(String, Oid)> = shards.iter().map(|it| (format!("{name}/{}", it.path), it.oid)).collect();
            self.folder(&name, shards).await?;
            for (shard, tree) in below {
                let all = self.repository.entries(tree, true).await?;
                self.folder(&shard, all).await?;
            }
        }
        Ok(())
    }

    /// Everything below a folder whose own entries are remembered.
    async fn folder(&mut self, folder: &str, all: Vec<TreeEntry>) -> Result<(), Failure> {
        let (pages, folder) = (self.pages.clone(), folder.to_owned());
        let work = tokio::task::spawn_blocking(move || Page::of(&folder, &all, &pages));
        let page = work.await.unwrap_or_else(|_| Err(Failure::called_off()))?;
        for (kind, at) in &page.latest {
            let latest = self.latest.entry(*kind).or_insert(*at);
            *latest = (*latest).max(*at);
        }
        let mirror = self.mirror;
        self.tools.store.write(move |c| page.store(c, mirror)).await?;
        Ok(())
    }
}

/// What a folder holds.
#[derive(Default)]
struct Page {
    entries: Vec<Change>,
    items: BTreeMap<Kind, Vec<Packed>>,
    units: BTreeSet<Unit>,
    files: Vec<(Unit, String, Pointer)>,
    latest: BTreeMap<Kind, DateTime<Utc>>,
}

impl Page {
    fn of(folder: &str, all: &[TreeEntry], pages: &Url) -> Result<Self, Failure> {
        let mut page = Self::default();
        for TreeEntry { path, oid, content } in all {
            if !path.contains('/') {
                let entry = Entry { is_tree: content.is_none(), oid: *oid };
                page.entries.push((folder.to_owned(), path.clone(), Some(entry)));
            }
            let whole = if folder.is_empty() { path.clone() } else { format!("{folder}/{path}") };
            let (Some(content), Some(place)) = (content, layout::place(&whole)) else { continue };
            match place {
                Place::Item(kind, thread) => page.item(kind, json(content)?, thread, pages)?,
                Place::Labels => {
                    for label in json(content)?.as_array().into_iter().flatten() {
                        page.item(Kind::Label, label.clone(), None, pages)?;
                    }
                }
                Place::File(unit) => {
                    let name = layout::split(path).1.to_owned();
                    page.files.extend(Pointer::parse(content).ok().map(|it| (unit, name, it)));
                }
            }
        }
        Ok(page)
    }

    fn item(&mut self, kind: Kind, value: Value, thread: Option<i64>, pages: &Url) -> Result<(), Failure> {
        if let Some(at) = item::changed_at(&value) {
            let latest = self.latest.entry(kind).or_insert(at);
            *latest = (*latest).max(at);
        }
        let packed = pack(kind, value, thread, pages)?;
        self.units.insert(packed.unit());
        self.items.entry(kind).or_default().push(packed);
        Ok(())
    }

    fn store(&self, c: &mut Connection, mirror: MirrorId) -> Result<(), StoreError> {
        for (kind, some) in &self.items {
            items::put(c, mirror, 0, *kind, some)?;
        }
        let units: Vec<Unit> = self.units.iter().copied().collect();
        items::mark_published(c, mirror, &units)?;
        for (unit, name, pointer) in &self.files {
            assets::stand(c, mirror, *unit, name, *pointer)?;
        }
        entries::apply(c, mirror, &self.entries)
    }
}

fn json(content: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(content)
        .map_err(|error| Failure::new("catalog_unreadable", format!("a file of the catalog: {error}"), Retry::Never))
}
