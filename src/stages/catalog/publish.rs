//! Writing: what changed becomes a tree, a commit and a push.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::Utc;
use tokio::sync::OwnedSemaphorePermit;

use super::slice::Slice;
use super::standing::Ground;
use super::units;
use crate::domain::catalog::markdown::{self, Counts};
use crate::domain::catalog::objects::{Entry, ObjectKind, commit, tree};
use crate::domain::catalog::{Kind, Unit, layout};
use crate::domain::ids::MirrorId;
use crate::domain::lfs::Pointer;
use crate::domain::refs::Oid;
use crate::domain::retry::Retry;
use crate::git::{Command, Packer, Progress, Push, Refusal, Target};
use crate::stages::failure::Failure;
use crate::store::catalog::entries::Change;
use crate::store::catalog::items::Stored;
use crate::store::catalog::{self, assets, entries, items, todo};
use crate::store::{Connection, StoreError, markers, stars};

/// Units of one commit.
const MOST_UNITS: usize = 5_000;
/// Units read from the database at once, fewer if their texts are long.
const AT_ONCE: usize = 100;
/// So long. Bytes.
const TEXT_AT_ONCE: usize = 512 << 10;
/// Units written down in one transaction: other writers must not wait long.
const RECORDED_AT_ONCE: usize = 200;

/// A unit with all that it is made of.
struct Whole {
    unit: Unit,
    items: Vec<Stored>,
    /// Names and objects that stand in OneDev.
    files: Vec<(String, Pointer)>,
}

/// A tree that is being made.
struct Draft {
    packer: Packer,
    /// What stands otherwise than in OneDev: folder, name, entry.
    changed: BTreeMap<String, BTreeMap<String, Option<Entry>>>,
    units: Vec<Unit>,
    /// Folders below `releases/`.
    releases: Vec<String>,
}

impl Slice<'_> {
    /// Publishes what waits, up to a bound. Nothing is there to publish: nothing is asked of OneDev.
    pub(super) async fn publish(&mut self) -> Result<(), Failure> {
        let target = self.target()?;
        let refs = target.receive_refs().await?.refs;
        let ground = self.ground(&target, &refs).await?;
        drop(refs);
        let mut draft = self.draft().await?;
        let root = self.fold(&mut draft).await?;
        if ground.tree == Some(root) {
            return self.record(draft, None).await;
        }
        let now = Utc::now();
        let content = commit(root, ground.parent, now, &message(&draft.units));
        let tip = draft.packer.add(ObjectKind::Commit, &content)?;
        let (mirror, name) = (self.mirror.id, self.tools.sync.metadata_ref.clone());
        self.tools.store.write(move |c| catalog::intend(c, mirror, &name, tip, root)).await?;
        let draft = self.push(&target, draft, ground, tip).await?;
        self.done.commits += 1;
        self.record(draft, Some((tip, root))).await
    }

    /// Packs the files of everything that waits.
    async fn draft(&self) -> Result<Draft, Failure> {
        let mirror = self.mirror.id;
        let releases = self.tools.store.read(move |c| entries::children(c, mirror, "releases")).await?;
        let mut draft = Draft {
            packer: Packer::new(self.tools.folder.clone()),
            changed: BTreeMap::new(),
            units: Vec::new(),
            releases: releases.into_iter().map(|(name, _)| name).collect(),
        };
        while draft.units.len() < MOST_UNITS {
            let after = draft.units.last().copied();
            let some = self.tools.store.read(move |c| read_some(c, mirror, after)).await?;
            if some.is_empty() {
                break;
            }
            draft = blocking(move || draft.write(some)).await?;
        }
        let front = self.tools.store.read(move |c| front(c, mirror)).await?;
        let page = draft.packer.add(ObjectKind::Blob, front.as_bytes())?;
        draft.put((String::new(), "README.md".to_owned(), Some(Entry::file(page))));
        let attributes = draft.packer.add(ObjectKind::Blob, units::ATTRIBUTES)?;
        draft.put((String::new(), ".gitattributes".to_owned(), Some(Entry::file(attributes))));
        Ok(draft)
    }

    /// Writes every folder anew in which something changed, the deepest first; gives the root's tree.
    async fn fold(&self, draft: &mut Draft) -> Result<Oid, Failure> {
        let mut open: BTreeSet<(usize, String)> = BTreeSet::new();
        for folder in draft.changed.keys() {
            open.extend(ancestors(folder).map(|it| (depth(it), it.to_owned())));
        }
        while let Some((_, folder)) = open.pop_last() {
            let (mirror, at) = (self.mirror.id, folder.clone());
            let standing = self.tools.store.read(move |c| entries::children(c, mirror, &at)).await?;
            let mut all: BTreeMap<String, Entry> = standing.into_iter().collect();
            for (name, entry) in draft.changed.get(&folder).into_iter().flatten() {
                match entry {
                    Some(entry) => all.insert(name.clone(), *entry),
                    None => all.remove(name),
                };
            }
            let all: Vec<(String, Entry)> = all.into_iter().collect();
            if folder.is_empty() {
                return Ok(draft.packer.add(ObjectKind::Tree, &tree(&all))?);
            }
            let (above, name) = layout::split(&folder);
            let (above, name) = (above.to_owned(), name.to_owned());
            let entry = if all.is_empty() {
                None
            } else {
                Some(Entry::folder(draft.packer.add(ObjectKind::Tree, &tree(&all))?))
            };
            draft.put((above, name, entry));
        }
        Err(Failure::new("catalog_tree", "a tree without a root", Retry::Never))
    }

    /// A turn to push.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.tools.pushes).acquire_owned().await.map_err(|_| Failure::called_off())
    }

    async fn push(&self, target: &Target, draft: Draft, ground: Ground, tip: Oid) -> Result<Draft, Failure> {
        let Draft { packer, changed, units, releases } = draft;
        let pack = blocking(move || packer.finish()).await?;
        let name = self.tools.sync.metadata_ref.clone();
        let push = Push::plain(vec![Command { name, old: ground.old.unwrap_or(Oid::ZERO), new: tip }]);
        let progress = Arc::new(Progress::new(&self.tools.metrics));
        let permit = self.turn().await?;
        tracing::info!(objects = pack.objects(), bytes = pack.bytes(), units = units.len(), "the catalog is pushed");
        let report = target.push_made(&push, pack, &progress).await?;
        drop(permit);
        let refused = report.refused().next().map(|(_, refusal)| refusal.clone());
        match refused {
            None if report.unpack_failed.is_none() => {}
            Some(Refusal::MissingObjects(reason)) => return Err(self.begin_anew(&reason).await?),
            other => {
                let reason = other.as_ref().map(|it| it.reason().to_owned()).or(report.unpack_failed);
                let message = format!("OneDev refused the catalog: {}", reason.unwrap_or_default());
                return Err(Failure::new("catalog_refused", message, Retry::Backoff));
            }
        }
        Ok(Draft { packer: Packer::new(self.tools.folder.clone()), changed, units, releases })
    }

    /// OneDev lacks objects that we took for there: everything is written anew.
    async fn begin_anew(&self, reason: &str) -> Result<Failure, Failure> {
        let mirror = self.mirror.id;
        self.tools
            .store
            .write(move |c| {
                catalog::forget_published(c, mirror)?;
                catalog::stand(c, mirror, None, None)
            })
            .await?;
        let message = format!("OneDev lacks parts of the catalog ({reason}): all of it is written anew");
        Ok(Failure::new("catalog_incomplete", message, Retry::Backoff))
    }

    /// Writes down what stands in OneDev now: first the commit and the folders, then unit by unit. What
    /// a run that is cut off did not get to waits still and is written once more, to the same effect.
    async fn record(&self, draft: Draft, made: Option<(Oid, Oid)>) -> Result<(), Failure> {
        let mirror = self.mirror.id;
        let shards = |folder: &String| depth(folder) == 2;
        let (threads, folders): (Vec<Change>, Vec<Change>) = draft
            .changed
            .into_iter()
            .flat_map(|(folder, names)| names.into_iter().map(move |(name, entry)| (folder.clone(), name, entry)))
            .partition(|(folder, _, _)| shards(folder));
        let now = Utc::now();
        self.tools
            .store
            .write(move |c| {
                if let Some((tip, root)) = made {
                    catalog::stand(c, mirror, Some((tip, Some(root))), Some(now))?;
                    markers::later(c, mirror, now + markers::MOVES_TOLD)?;
                }
                entries::apply(c, mirror, &folders)
            })
            .await?;
        let mut by_number: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
        for change in threads {
            by_number.entry(change.1.parse().unwrap_or_default()).or_default().push(change);
        }
        for units in draft.units.chunks(RECORDED_AT_ONCE) {
            let units = units.to_vec();
            let changes: Vec<Change> = units
                .iter()
                .filter_map(|it| if let Unit::Thread(number) = it { by_number.remove(number) } else { None })
                .flatten()
                .collect();
            self.tools
                .store
                .write(move |c| {
                    entries::apply(c, mirror, &changes)?;
                    items::mark_published(c, mirror, &units)?;
                    todo::remove(c, mirror, &units)
                })
                .await?;
        }
        Ok(())
    }
}

impl Draft {
    fn put(&mut self, (folder, name, entry): Change) {
        self.changed.entry(folder).or_default().insert(name, entry);
    }

    fn write(mut self, some: Vec<Whole>) -> Result<Self, Failure> {
        for Whole { unit, items, files } in some {
            for change in units::write(&mut self.packer, unit, &items, &files, &self.releases)? {
                self.put(change);
            }
            self.units.push(unit);
        }
        Ok(self)
    }
}

/// The next units that wait, with their items.
fn read_some(c: &mut Connection, mirror: MirrorId, after: Option<Unit>) -> Result<Vec<Whole>, StoreError> {
    let mut some = Vec::new();
    let mut bytes = 0;
    for unit in todo::units(c, mirror, after, AT_ONCE)? {
        let items = items::of(c, mirror, unit)?;
        bytes += items.iter().map(|it| it.text.len()).sum::<usize>();
        let files = assets::of(c, mirror, unit)?;
        some.push(Whole { unit, items, files });
        if bytes > TEXT_AT_ONCE {
            break;
        }
    }
    Ok(some)
}

fn front(c: &mut Connection, mirror: MirrorId) -> Result<String, StoreError> {
    let repository = items::of(c, mirror, Unit::Repository)?.first().map(units::parsed).unwrap_or_default();
    let counts = items::counts(c, mirror)?;
    let of = |kind| counts.get(&kind).copied().unwrap_or_default();
    let counts = Counts {
        issues: of(Kind::Issue).saturating_sub(of(Kind::Pull)),
        pulls: of(Kind::Pull),
        remarks: of(Kind::Comment) + of(Kind::Review) + of(Kind::ReviewComment),
        releases: of(Kind::Release),
        labels: of(Kind::Label),
        milestones: of(Kind::Milestone),
    };
    let stars = stars::list(c, mirror)?;
    let stars: Vec<(i64, String)> =
        stars.into_iter().map(|(account, at)| (account.0, at.format("%Y-%m-%dT%H:%M:%SZ").to_string())).collect();
    Ok(markdown::front(&repository, &counts, &stars))
}

/// What a commit says: how much of what was written.
fn message(units: &[Unit]) -> String {
    let count = |word: &str| units.iter().filter(|it| it.parts().0 == word).count();
    let told = |(word, one, many): (&str, &str, &str)| match count(word) {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    };
    let parts: Vec<String> = [
        ("thread", "issue or pull request", "issues and pull requests"),
        ("release", "release", "releases"),
        ("milestone", "milestone", "milestones"),
        ("labels", "list of labels", "lists of labels"),
        ("repository", "description of the repository", "descriptions"),
    ]
    .into_iter()
    .filter_map(told)
    .collect();
    format!("catalog: {}", parts.join(", "))
}

/// A folder and all above it, the root too.
fn ancestors(folder: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(folder), |it| (!it.is_empty()).then(|| layout::split(it).0))
}

fn depth(folder: &str) -> usize {
    if folder.is_empty() { 0 } else { folder.matches('/').count() + 1 }
}

async fn blocking<T: Send + 'static, E: Into<Failure> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(Failure::called_off()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_all_above_it() {
        assert_eq!(ancestors("issues/000000-000099").collect::<Vec<_>>(), ["issues/000000-000099", "issues", ""]);
        assert_eq!(ancestors("").collect::<Vec<_>>(), [""]);
        assert_eq!(["", "issues", "issues/0"].map(depth), [0, 1, 2]);
    }

    #[test]
    fn a_commit_says_what_it_brings() {
        let units = [Unit::Thread(1), Unit::Thread(2), Unit::Release(9), Unit::Labels];
        assert_eq!(message(&units), "catalog: 2 issues and pull requests, 1 release, 1 list of labels");
    }
}
