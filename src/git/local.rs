//! A bare repository on disk, filled from the wire: where a mirror is restored to, and where a drill looks
//! whether everything is there.
//!
//! Packs come from [`super::upstream`] and are indexed by libgit2, which computes the name of every object.
//! Everything blocks and so runs off the runtime's threads.

use std::collections::{BTreeSet, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use git2::{ObjectType, Repository, RepositoryInitOptions};
use tokio::sync::mpsc;

use super::error::WireError;
use super::pack::Pack;
use crate::domain::lfs::{POINTER_LIMIT, Pointer};
use crate::domain::refs::{Oid, RefMap, RefName};

/// Pieces of a pack between the network and the index.
const AHEAD: usize = 16;
/// Contents of this size are read and hashed again in a check; larger ones were hashed when they came.
const READ_AGAIN: usize = 32 << 20;
/// What is amiss is told so often, then counted.
const TOLD: usize = 20;
/// The mode of a submodule: its commit is in another repository.
const SUBMODULE: i32 = 0o160_000;

/// A bare repository.
#[derive(Debug, Clone)]
pub struct LocalRepository {
    folder: PathBuf,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Objects that the refs need, each read.
    pub objects: u64,
    /// What is amiss; the first of it.
    pub amiss: Vec<String>,
}

impl LocalRepository {
    /// Makes an empty one in a folder that is there and empty.
    ///
    /// # Errors
    /// [`WireError::Spool`] when it cannot be written.
    pub async fn init(folder: &Path) -> Result<Self, WireError> {
        let it = Self { folder: folder.to_owned() };
        it.blocking(|folder| {
            let mut options = RepositoryInitOptions::new();
            options.bare(true).external_template(false).no_reinit(true);
            Repository::init_opts(folder, &options).map(drop)
        })
        .await?;
        Ok(it)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes a pack as it comes; gives its bytes. One that breaks off leaves nothing.
    ///
    /// # Errors
    /// Those of receiving; [`WireError::Spool`] when it cannot be written or is damaged.
    pub async fn take(&self, mut pack: Pack) -> Result<u64, WireError> {
        let (pieces, taken) = mpsc::channel::<Option<Bytes>>(AHEAD);
        let folder = self.folder.clone();
        let index = tokio::task::spawn_blocking(move || index(&folder, taken));
        let fed = feed(&mut pack, &pieces).await;
        drop(pieces);
        let indexed = index.await.unwrap_or_else(|_| Err(git2::Error::from_str("indexing the pack crashed")));
        fed?;
        indexed.map_err(|error| self.failed(&error))?;
        Ok(pack.bytes())
    }

    /// Sets all refs, in one file.
    ///
    /// # Errors
    /// [`WireError::Spool`].
    pub async fn set_refs(&self, refs: RefMap) -> Result<(), WireError> {
        let text: String = refs.iter().map(|(name, oid)| format!("{oid} {name}\n")).collect();
        self.blocking(move |folder| {
            std::fs::write(folder.join("packed-refs"), text).map_err(|error| git2::Error::from_str(&error.to_string()))
        })
        .await
    }

    /// Points HEAD at a branch, which need not be there.
    ///
    /// # Errors
    /// [`WireError::Spool`].
    pub async fn set_head(&self, branch: RefName) -> Result<(), WireError> {
        self.blocking(move |folder| {
            Repository::open_bare(folder)?.reference_symbolic("HEAD", branch.as_str(), true, "restored").map(drop)
        })
        .await
    }

    /// A commit and those before it along first parents, the latest first, each with some of its files:
    /// `None` where it has none of that name.
    ///
    /// # Errors
    /// [`WireError::Spool`].
    pub async fn versions(
        &self,
        tip: Oid,
        files: &'static [&'static str],
        most: usize,
    ) -> Result<Vec<Version>, WireError> {
        self.blocking(move |folder| versions(&Repository::open_bare(folder)?, tip, files, most)).await
    }

    /// The tree of a commit, and the commit's time.
    ///
    /// # Errors
    /// [`WireError::Spool`].
    pub async fn tree_of(&self, commit: Oid) -> Result<(Oid, DateTime<Utc>), WireError> {
        self.blocking(move |folder| {
            let repository = Repository::open_bare(folder)?;
            let commit = repository.find_commit(git2::Oid::from_str(&commit.to_string())?)?;
            let at = DateTime::from_timestamp(commit.time().seconds(), 0).unwrap_or_default();
            Ok((oid(commit.tree_id()), at))
        })
        .await
    }

    /// What is in a tree, with the contents of its files; with `deep` in the trees below it too.
    ///
    /// # Errors
    /// [`WireError::Spool`].
    pub async fn entries(&self, tree: Oid, deep: bool) -> Result<Vec<TreeEntry>, WireError> {
        self.blocking(move |folder| entries(&Repository::open_bare(folder)?, tree, deep)).await
    }

    /// Reads every object that the refs need and checks that it is what its name says.
    ///
    /// # Errors
    /// [`WireError::Spool`] when the repository itself cannot be opened.
    pub async fn check(&self) -> Result<Checked, WireError> {
        self.blocking(|folder| check(&Repository::open_bare(folder)?)).await
    }

    /// The LFS objects that small files of any object here name, each once.
    ///
    /// # Errors
    /// [`WireError::Spool`].
    pub async fn pointers(&self) -> Result<BTreeSet<Pointer>, WireError> {
        self.blocking(|folder| pointers(&Repository::open_bare(folder)?)).await
    }

    /// Every ref, HEAD aside.
    ///
    /// # Errors
    /// [`WireError::Spool`].
    pub async fn refs(&self) -> Result<RefMap, WireError> {
        self.blocking(|folder| {
            let repository = Repository::open_bare(folder)?;
            let mut refs = RefMap::new();
            for it in repository.references()? {
                let it = it?;
                let name = it.name().ok().and_then(|it| RefName::new(it).ok());
                if let (Some(name), Some(target)) = (name, it.target()) {
                    refs.insert(name, oid(target));
                }
            }
            Ok(refs)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T, git2::Error> + Send + 'static,
    ) -> Result<T, WireError> {
        let folder = self.folder.clone();
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        let done = done.unwrap_or_else(|_| Err(git2::Error::from_str("the work on it crashed")));
        done.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &git2::Error) -> WireError {
        WireError::Spool { folder: self.folder.clone(), source: std::io::Error::other(error.message().to_owned()) }
    }
}

/// A commit with the files that were asked for, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The commit.
    pub commit: Oid,
    /// The files.
    pub files: Vec<Option<Vec<u8>>>,
}

/// libgit2's object id as ours.
fn oid(oid: git2::Oid) -> Oid {
    oid.as_bytes().first_chunk().map_or(Oid::ZERO, |it| Oid::from_bytes(*it))
}

/// Something in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Where, below the tree that was asked for.
    pub path: String,
    /// Which object.
    pub oid: Oid,
    /// What is in it; `None` for a tree.
    pub content: Option<Vec<u8>>,
}

async fn feed(pack: &mut Pack, pieces: &mpsc::Sender<Option<Bytes>>) -> Result<(), WireError> {
    loop {
        let piece = pack.next().await?;
        let last = piece.is_none();
        // Nobody takes any more: the index has failed and says why.
        if pieces.send(piece).await.is_err() || last {
            return Ok(());
        }
    }
}

fn index(folder: &Path, mut pieces: mpsc::Receiver<Option<Bytes>>) -> Result<(), git2::Error> {
    let repository = Repository::open_bare(folder)?;
    let odb = repository.odb()?;
    let mut writer = odb.packwriter()?;
    loop {
        match pieces.blocking_recv() {
            Some(Some(piece)) => writer.write_all(&piece).map_err(|error| git2::Error::from_str(&error.to_string()))?,
            Some(None) => return writer.commit().map(drop),
            None => return Err(git2::Error::from_str("the pack broke off")),
        }
    }
}

fn versions(repository: &Repository, tip: Oid, files: &[&str], most: usize) -> Result<Vec<Version>, git2::Error> {
    let mut out = Vec::new();
    let mut next = Some(git2::Oid::from_str(&tip.to_string())?);
    while let Some(id) = next.filter(|_| out.len() < most) {
        // A history that was cut by hand ends where it was cut.
        let Ok(commit) = repository.find_commit(id) else { break };
        let tree = commit.tree()?;
        let read = |name: &&str| {
            let entry = tree.get_name(name)?;
            let object = entry.to_object(repository).ok()?;
            object.as_blob().map(|it| it.content().to_vec())
        };
        out.push(Version { commit: oid(id), files: files.iter().map(read).collect() });
        next = commit.parent_id(0).ok();
    }
    Ok(out)
}

fn entries(repository: &Repository, tree: Oid, deep: bool) -> Result<Vec<TreeEntry>, git2::Error> {
    let (mut out, mut open) = (Vec::new(), vec![(String::new(), git2::Oid::from_str(&tree.to_string())?)]);
    while let Some((above, tree)) = open.pop() {
        for entry in repository.find_tree(tree)?.iter() {
            // Names of ours are UTF-8; what somebody else put there is not read.
            let Ok(name) = entry.name() else { continue };
            let path = format!("{above}{name}");
            let content = match entry.kind() {
                Some(ObjectType::Tree) => {
                    if deep {
                        open.push((format!("{path}/"), entry.id()));
                    }
                    None
                }
                Some(ObjectType::Blob) => Some(repository.find_blob(entry.id())?.content().to_vec()),
                _ => continue,
            };
            out.push(TreeEntry { path, oid: oid(entry.id()), content });
        }
    }
    Ok(out)
}

fn pointers(repository: &Repository) -> Result<BTreeSet<Pointer>, git2::Error> {
    let odb = repository.odb()?;
    let (mut found, mut wrong) = (BTreeSet::new(), None);
    let mut look = |id: &git2::Oid| -> Result<(), git2::Error> {
        let (size, kind) = odb.read_header(*id)?;
        if kind == ObjectType::Blob
            && size < POINTER_LIMIT
            && let Ok(pointer) = Pointer::parse(odb.read(*id)?.data())
            && !pointer.is_empty()
        {
            found.insert(pointer);
        }
        Ok(())
    };
    odb.foreach(|id| {
        wrong = look(id).err();
        wrong.is_none()
    })
    .or_else(|error| if error.code() == git2::ErrorCode::User { Ok(()) } else { Err(error) })?;
    wrong.map_or(Ok(found), Err)
}

/// What is still to be looked at.
struct Check<'r> {
    repository: &'r Repository,
    seen: HashSet<git2::Oid>,
    open: Vec<(git2::Oid, Option<ObjectType>)>,
    found: Checked,
}

fn check(repository: &Repository) -> Result<Checked, git2::Error> {
    let (seen, found) = (HashSet::new(), Checked::default());
    let mut it = Check { repository, seen, open: Vec::new(), found };
    for reference in repository.references()? {
        let reference = reference?;
        if let Some(target) = reference.target() {
            it.want(target, None);
        }
    }
    let odb = repository.odb()?;
    while let Some((id, expected)) = it.open.pop() {
        if let Err(error) = it.look(&odb, id, expected) {
            it.amiss(format!("{id}: {}", error.message()));
        }
    }
    Ok(it.found)
}

impl Check<'_> {
    fn want(&mut self, id: git2::Oid, kind: Option<ObjectType>) {
        if self.seen.insert(id) {
            self.open.push((id, kind));
        }
    }

    fn amiss(&mut self, what: String) {
        if self.found.amiss.len() < TOLD {
            self.found.amiss.push(what);
        }
    }

    /// Reading an object hashes it: libgit2 refuses one that is not what its name says.
    fn look(&mut self, odb: &git2::Odb<'_>, id: git2::Oid, expected: Option<ObjectType>) -> Result<(), git2::Error> {
        self.found.objects += 1;
        let (size, kind) = odb.read_header(id)?;
        if expected.is_some_and(|it| it != kind) {
            self.amiss(format!("{id} is a {kind}, which is not what was named"));
        }
        match kind {
            ObjectType::Blob if size <= READ_AGAIN => odb.read(id).map(drop),
            ObjectType::Blob => Ok(()),
            ObjectType::Commit => {
                let commit = self.repository.find_commit(id)?;
                self.want(commit.tree_id(), Some(ObjectType::Tree));
                commit.parent_ids().for_each(|it| self.want(it, Some(ObjectType::Commit)));
                Ok(())
            }
            ObjectType::Tree => {
                let tree = self.repository.find_tree(id)?;
                for entry in tree.iter().filter(|it| it.filemode() != SUBMODULE) {
                    self.want(entry.id(), entry.kind());
                }
                Ok(())
            }
            _ => {
                let tag = self.repository.find_tag(id)?;
                self.want(tag.target_id(), tag.target_type());
                Ok(())
            }
        }
    }
}
