//! A copy on disk, as libgit2 sees it: opened and cleaned, its refs, and questions about its graph.
//! Everything here blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use git2::{ErrorClass, ErrorCode, ObjectType, OdbLookupFlags, Repository, RepositoryInitOptions};

use super::{Trouble, pack};
use crate::domain::ids::GithubId;
use crate::domain::refs::{Oid, RefMap, RefName};
use crate::git::ancestry::Ancestry;
use crate::git::haves::MAX_HAVES;

/// Below it each mirror of the network has its refs, under its GitHub id.
const MIRRORS: &str = "refs/starkeep/mirrors/";
/// What is being thrown away has this in its name.
pub(crate) const GONE: &str = ".gone-";
/// More packs are made one: git's own measure.
const MOST_PACKS: usize = 50;
/// Refs in one transaction: each holds a file open until it ends.
const AT_ONCE: usize = 128;
/// After so many changed refs they are packed into one file.
const MANY_REFS: usize = 500;

/// Bounds of libgit2's memory, beside what it needs for each object.
const SETTINGS: [(&str, &str); 5] = [
    ("pack.deltaCacheSize", "16777216"),
    ("pack.windowMemory", "33554432"),
    ("core.bigFileThreshold", "8388608"),
    // People's git may look at a copy, but not tidy it.
    ("gc.auto", "0"),
    ("core.logAllRefUpdates", "false"),
];

/// An open copy.
pub(crate) struct Copy {
    repository: Repository,
    mirror: GithubId,
}

/// Theirs.
pub(super) fn theirs(oid: Oid) -> git2::Oid {
    git2::Oid::from_bytes(oid.as_bytes()).unwrap_or(git2::Oid::ZERO_SHA1)
}

/// Ours.
pub(super) fn ours(oid: git2::Oid) -> Oid {
    oid.as_bytes().try_into().map_or(Oid::ZERO, Oid::from_bytes)
}

impl Copy {
    /// Opens it, or makes it. What a run that was cut off has left behind goes.
    pub(crate) fn open(path: &Path, mirror: GithubId) -> Result<Self, Trouble> {
        let repository = match Repository::open_bare(path) {
            // Other programs refuse a repository whose HEAD is no reference, though it is of no use here.
            Ok(repository) if repository.find_reference("HEAD").is_ok() => repository,
            Ok(_) => return Err(Trouble::Damaged(git2::Error::from_str("HEAD is no reference"))),
            Err(error) if error.code() == ErrorCode::NotFound && !path.exists() => made(path)?,
            Err(error) => return Err(Trouble::Damaged(error)),
        };
        sweep(&packs_of(path))?;
        Ok(Self { repository, mirror })
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    fn prefix(&self) -> String {
        format!("{MIRRORS}{}/", self.mirror)
    }

    /// Which of these objects it lacks.
    pub(crate) fn missing(&self, wanted: &BTreeSet<Oid>) -> Result<Vec<Oid>, Trouble> {
        let odb = self.repository.odb()?;
        // It was opened just now, so nothing has to be looked for once more.
        let has = |it: &&Oid| !odb.exists_ext(theirs(**it), OdbLookupFlags::NO_REFRESH);
        Ok(wanted.iter().filter(has).copied().collect())
    }

    /// What to name to upstream: this mirror's tips first, then those of its network.
    pub(crate) fn haves(&self) -> Result<Vec<Oid>, Trouble> {
        let mut haves: Vec<Oid> = Vec::new();
        let mut seen = BTreeSet::new();
        for glob in [format!("{}*", self.prefix()), format!("{MIRRORS}*")] {
            let refs = self.refs(&glob)?;
            // A tip that is not there means that a pack has gone.
            let lost: Vec<Oid> = self.missing(&refs.values().copied().collect())?;
            if let Some(oid) = lost.first() {
                let message = format!("{oid} is gone");
                return Err(Trouble::Damaged(git2::Error::new(ErrorCode::NotFound, ErrorClass::Odb, message)));
            }
            // The highest names last: of tags, the newest.
            let room = MAX_HAVES - haves.len();
            haves.extend(refs.into_values().rev().filter(|it| seen.insert(*it)).take(room));
        }
        Ok(haves)
    }

    /// Refs that a pattern covers, by full name.
    pub(super) fn refs(&self, glob: &str) -> Result<BTreeMap<String, Oid>, Trouble> {
        let mut refs = BTreeMap::new();
        for found in self.repository.references_glob(glob)? {
            let found = found?;
            if let (Ok(name), Some(oid)) = (found.name(), found.target()) {
                refs.insert(name.to_owned(), ours(oid));
            }
        }
        Ok(refs)
    }

    /// Moves this mirror's refs to where upstream's stand. All their objects are there.
    pub(crate) fn set_refs(&self, refs: &RefMap) -> Result<(), Trouble> {
        let prefix = self.prefix();
        let local = |name: &RefName| format!("{prefix}{}", name.as_str().trim_start_matches("refs/"));
        let wanted: BTreeMap<String, Oid> = refs.iter().map(|(name, oid)| (local(name), *oid)).collect();
        let standing = self.refs(&format!("{prefix}*"))?;
        let gone: Vec<(&String, Option<Oid>)> =
            standing.keys().filter(|it| !wanted.contains_key(*it)).map(|it| (it, None)).collect();
        let moved: Vec<(&String, Option<Oid>)> =
            wanted.iter().filter(|(name, oid)| standing.get(*name) != Some(oid)).map(|(n, o)| (n, Some(*o))).collect();
        // First those that go: one may stand where another's folder is to be.
        self.put(&gone)?;
        self.put(&moved)?;
        if gone.len() + moved.len() > MANY_REFS {
            self.repository.refdb()?.compress()?;
        }
        Ok(())
    }

    fn put(&self, changes: &[(&String, Option<Oid>)]) -> Result<(), Trouble> {
        for some in changes.chunks(AT_ONCE) {
            let mut transaction = self.repository.transaction()?;
            for (name, oid) in some {
                // libgit2 has its own idea of names, and file systems of their lengths: such a ref is
                // mirrored, it only has no place here.
                if let Err(error) = transaction.lock_ref(name) {
                    tracing::debug!(name, %error, "a ref has no place in the copy");
                    continue;
                }
                match oid {
                    Some(oid) => transaction.set_target(name, theirs(*oid), None, "mirrored")?,
                    None => transaction.remove(name)?,
                }
            }
            transaction.commit()?;
        }
        Ok(())
    }

    /// Deletes this mirror's refs. Says whether it was the last one.
    pub(crate) fn forget(&self) -> Result<bool, Trouble> {
        self.set_refs(&RefMap::new())?;
        Ok(self.refs(&format!("{MIRRORS}*"))?.is_empty())
    }

    pub(crate) fn is_ancestor(&self, old: Oid, new: Oid) -> Result<Ancestry, Trouble> {
        let commit = |oid: Oid| self.repository.find_object(theirs(oid), None)?.peel_to_commit().map(|it| it.id());
        let (Ok(old), Ok(new)) = (commit(old), commit(new)) else { return Ok(Ancestry::Unknown) };
        let is = old == new || self.repository.graph_descendant_of(new, old)?;
        Ok(if is { Ancestry::Yes } else { Ancestry::No })
    }

    pub(crate) fn not_commits(&self, refs: Vec<(RefName, Oid)>) -> BTreeSet<RefName> {
        let found = |oid: Oid| self.repository.find_object(theirs(oid), None);
        let odd = |oid: Oid| found(oid).is_ok_and(|it| it.peel(ObjectType::Commit).is_err());
        refs.into_iter().filter(|(_, oid)| odd(*oid)).map(|(name, _)| name).collect()
    }

    /// Makes one pack of many, of what refs reach and nothing else.
    pub(crate) fn repack_if_due(&self) -> Result<(), Trouble> {
        let folder = packs_of(self.repository.path());
        let old = pack_files(&folder)?;
        if old.len() <= MOST_PACKS {
            return Ok(());
        }
        let tips: Vec<Oid> = self.refs("refs/*")?.into_values().collect();
        let kept = pack::write(self, &tips, &folder)?;
        for pack in old.into_iter().filter(|it| kept.as_deref() != Some(it.as_str())) {
            // An index without its pack would be believed.
            for end in ["idx", "rev", "pack"] {
                match std::fs::remove_file(folder.join(format!("pack-{pack}.{end}"))) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn made(path: &Path) -> Result<Repository, Trouble> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).external_template(false);
    let repository = Repository::init_opts(path, &options)?;
    let mut config = repository.config()?;
    for (key, value) in SETTINGS {
        config.set_str(key, value)?;
    }
    Ok(repository)
}

fn packs_of(repository: &Path) -> PathBuf {
    repository.join("objects").join("pack")
}

/// The names of whole packs, without `pack-` and ending.
fn pack_files(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut packs = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        packs.extend(name.strip_prefix("pack-").and_then(|it| it.strip_suffix(".idx")).map(str::to_owned));
    }
    Ok(packs)
}

/// Removes packs that were never finished: files of other names, and halves of pairs.
fn sweep(folder: &Path) -> std::io::Result<()> {
    let names: BTreeSet<String> = match std::fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|it| Some(it.ok()?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for name in &names {
        let whole = name.rsplit_once('.').is_some_and(|(stem, end)| {
            stem.starts_with("pack-")
                && matches!(end, "pack" | "idx" | "rev" | "keep")
                && names.contains(&format!("{stem}.pack"))
                && names.contains(&format!("{stem}.idx"))
        });
        if !whole {
            tracing::debug!(name, "an unfinished pack is removed");
            std::fs::remove_file(folder.join(name))?;
        }
    }
    Ok(())
}

/// The mirrors that have refs in a copy. Nothing is swept, since somebody may be at work in it.
pub(crate) fn mirrors_of(path: &Path) -> Result<BTreeSet<GithubId>, Trouble> {
    let copy = Copy { repository: Repository::open_bare(path)?, mirror: GithubId(0) };
    let id = |name: String| name.strip_prefix(MIRRORS)?.split('/').next()?.parse().ok().map(GithubId);
    Ok(copy.refs(&format!("{MIRRORS}*"))?.into_keys().filter_map(id).collect())
}

/// Throws a copy away: at once out of sight, then piece by piece.
pub(crate) fn remove(path: &Path) -> std::io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!("{GONE}{}", uuid::Uuid::new_v4().simple()));
    match std::fs::rename(path, &aside) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => std::fs::remove_dir_all(aside),
    }
}
