//! One state of a repository: everything in OneDev is held against upstream, and remembered, so that it can
//! be asked later whether it is still to be had.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::Utc;
use starkeep::domain::ids::GithubId;
use starkeep::domain::kept::{KEPT, alias_name};
use starkeep::domain::lfs::{LfsOid, Pointer};
use starkeep::domain::mirror::Status;
use starkeep::domain::part::{PartId, PartState};
use starkeep::domain::refs::{self, Head, Oid, RefMap, RefName};
use starkeep::store::{kept, lfs, parts};

use super::github;
use crate::stories::catalog::{META, files};
use crate::stories::tools::git;
use crate::world::World;

/// A git repository as upstream had it.
pub struct Repository {
    pub refs: RefMap,
    pub head: Head,
    /// Every object that these refs need, with its path.
    pub objects: BTreeSet<String>,
}

/// Everything that upstream held at one time.
pub struct State {
    /// A time between its proof and the next change.
    pub at: String,
    pub code: Repository,
    pub wiki: Repository,
    /// LFS objects of the code and of the catalog.
    pub lfs: BTreeMap<LfsOid, Vec<u8>>,
    pub meta: Oid,
    pub files: BTreeMap<String, String>,
}

/// What these tips need: `oid path` of each object.
fn objects(folder: &Path, tips: impl Iterator<Item = String>) -> BTreeSet<String> {
    let mut arguments = vec!["rev-list".to_owned(), "--objects".to_owned()];
    arguments.extend(tips);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    git(folder, &arguments).lines().map(str::to_owned).collect()
}

impl Repository {
    fn read(folder: &Path, refs: RefMap, head: Head) -> Self {
        let objects = objects(folder, refs.values().map(ToString::to_string));
        Self { refs, head, objects }
    }

    /// The content of every file in the history of these refs, if it is short enough for a pointer.
    fn pointers(&self, folder: &Path) -> BTreeSet<Pointer> {
        let repository = git2::Repository::open_bare(folder).unwrap();
        let oids = self.objects.iter().filter_map(|it| it.split(' ').next());
        let blobs = oids.filter_map(|it| repository.find_blob(git2::Oid::from_str(it).unwrap()).ok());
        blobs.filter_map(|it| Pointer::parse(it.content()).ok()).collect()
    }

    /// Every object of it is in a repository of OneDev, below some ref.
    fn assert_is_within(&self, folder: &Path) {
        let held = objects(folder, std::iter::once("--all".to_owned()));
        let ids = |all: &BTreeSet<String>| all.iter().map(|it| it[..40].to_owned()).collect::<BTreeSet<_>>();
        let (held, needed) = (ids(&held), ids(&self.objects));
        let lost: Vec<&String> = needed.difference(&held).collect();
        assert!(lost.is_empty(), "{} holds {lost:?} no more", folder.display());
    }

    /// To each tip of it that the ref of that name leads to no more a kept ref of that name does.
    fn assert_tips_are_kept(&self, folder: &Path, now: &RefMap, kept: &[kept::Kept], standing: &RefMap) {
        for (name, oid) in &self.refs {
            if now.get(name).is_some_and(|it| it == oid || leads_to(folder, *it, *oid)) {
                continue;
            }
            // It may have gone forward before it went.
            let leads = |it: &&kept::Kept| it.name == *name && (it.oid == *oid || leads_to(folder, it.oid, *oid));
            let record = kept.iter().find(leads);
            let record = record.unwrap_or_else(|| panic!("{name} at {oid} is not recorded: {kept:#?}"));
            assert!(record.kept_ref.as_str().starts_with(KEPT));
            assert_eq!(standing.get(&record.kept_ref), Some(&record.oid), "{name}");
        }
    }

    /// A restored repository is this one: refs, HEAD, and the content of every object that they need.
    fn assert_is(&self, folder: &Path) {
        let is_own = |it: &RefName| it.as_str().starts_with("refs/starkeep/");
        let restored: RefMap = all_refs(folder).into_iter().filter(|(name, _)| !is_own(name)).collect();
        assert_eq!(restored, self.refs);
        let head = git(folder, &["symbolic-ref", "HEAD"]);
        assert_eq!(Some(head.trim()), self.head.target().map(RefName::as_str));
        // Git's ids are hashes of the contents, and fsck compares them.
        git(folder, &["fsck", "--full", "--strict", "--no-dangling"]);
        assert_eq!(objects(folder, self.refs.values().map(ToString::to_string)), self.objects);
    }
}

fn all_refs(folder: &Path) -> RefMap {
    let listed = git(folder, &["for-each-ref", "--format=%(objectname) %(refname)"]);
    let lines = listed.lines().filter_map(|it| it.split_once(' '));
    lines.map(|(oid, name)| (RefName::new(name).unwrap(), oid.parse().unwrap())).collect()
}

fn leads_to(folder: &Path, new: Oid, old: Oid) -> bool {
    let (new, old) = (new.to_string(), old.to_string());
    let is_commit = |it: &str| git(folder, &["cat-file", "-t", it]).trim() == "commit";
    is_commit(&new) && is_commit(&old) && {
        let base = std::process::Command::new("git").arg("-C").arg(folder).args(["merge-base", &new, &old]).output();
        base.unwrap().stdout.starts_with(old.as_bytes())
    }
}

async fn wiki_path(world: &World, id: GithubId) -> String {
    let of = PartId::wiki(world.mirror(id).await.id);
    let wiki = world.store().read(move |c| parts::find(c, of)).await.unwrap().expect("a wiki was looked for");
    assert_eq!(wiki.state, PartState::Healthy, "{:?}", wiki.error);
    wiki.project.expect("the wiki has a project").path
}

/// Everything that upstream has now is in OneDev, and starkeep says so; gives it to be remembered.
pub async fn assert_level(world: &World, id: GithubId) -> State {
    let github = world.github();
    let patterns = &world.config.sync.refs;
    let (here, there) = (github.repo_dir(id).unwrap(), world.onedev().repo_dir(&world.path(id).await).unwrap());
    let code = Repository::read(&here, refs::managed(&github.refs(id).unwrap(), patterns), github.head(id).unwrap());
    assert_code(world, id, &code).await;
    let (wiki_here, wiki_path) = (github.wiki_dir(id).unwrap(), wiki_path(world, id).await);
    let wiki = Repository::read(&wiki_here, github.wiki_refs(id).unwrap(), github.wiki_head(id).unwrap());
    assert_eq!(refs::managed(&world.onedev().refs(&wiki_path).unwrap(), patterns), wiki.refs);
    assert_eq!(world.onedev().head(&wiki_path).unwrap(), wiki.head);
    for folder in [&there, &world.onedev().repo_dir(&wiki_path).unwrap()] {
        git(folder, &["fsck", "--full", "--no-dangling"]);
    }
    let told = github::read(world, id).await;
    let tree = world.files(id).await;
    told.assert_is(&tree);
    let mut lfs: BTreeMap<LfsOid, Vec<u8>> = told.files.into_values().map(|it| (LfsOid::of(&it), it)).collect();
    for pointer in code.pointers(&here) {
        let content = std::fs::read(here.join("lfs/objects").join(pointer.oid.to_string())).unwrap();
        assert_eq!(Pointer::of(&content), pointer);
        lfs.insert(pointer.oid, content);
    }
    assert_objects(world, id, &lfs).await;
    let meta = world.catalog(id).await.tip.expect("it was written");
    assert_eq!(world.refs(id).await.get(&RefName::new(META).unwrap()), Some(&meta));
    let at = Utc::now();
    // Where the database is lost, times are those of git's commits, in whole seconds: what comes next is of another one.
    while Utc::now().timestamp() == at.timestamp() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    State { at: at.to_rfc3339(), code, wiki, lfs, meta, files: tree }
}

/// Refs under their own names, and those alone that OneDev refuses under their aliases.
async fn assert_code(world: &World, id: GithubId, code: &Repository) {
    let mirror = world.mirror(id).await;
    let told: BTreeSet<RefName> = mirror.not_level.iter().filter_map(|it| it.name.reference()).collect();
    assert_eq!(told.len(), mirror.not_level.len(), "only refs are not level: {:?}", mirror.not_level);
    assert!(told.iter().all(|it| it.as_str().contains('+')), "{told:?}");
    let status = if told.is_empty() { Status::Healthy } else { Status::Partial };
    assert_eq!(mirror.status, status, "{:?}", mirror.error);
    assert_eq!(mirror.proof.expect("it is proven").digest, refs::digest(&code.refs, &code.head));
    let (refs, mut managed) = (world.refs(id).await, world.managed(id).await);
    for name in &told {
        let oid = refs[&alias_name(name).unwrap()];
        assert_eq!(managed.insert(name.clone(), oid), None, "{name} has an alias and stands there as well");
    }
    assert_eq!(managed, code.refs);
    assert_eq!(world.onedev().head(&world.path(id).await).unwrap(), code.head);
}

/// These objects are in OneDev, by the hash of what it holds; every one that the database knows is.
async fn assert_objects(world: &World, id: GithubId, objects: &BTreeMap<LfsOid, Vec<u8>>) {
    let path = world.path(id).await;
    for (oid, content) in objects {
        let have = world.onedev().lfs_object(&path, *oid).unwrap().unwrap_or_else(|| panic!("{oid} is not there"));
        assert_eq!(LfsOid::of(&have), *oid, "{oid} holds something else");
        assert!(have == *content);
    }
    let mirror = world.mirror(id).await.id;
    for pointer in world.store().read(move |c| lfs::there(c, mirror, None, 1_000)).await.unwrap() {
        let have = world.onedev().lfs_object(&path, pointer.oid).unwrap().expect("it is said to be there");
        assert_eq!(Pointer::of(&have), pointer);
    }
}

impl State {
    /// All of it can still be had from OneDev.
    pub async fn assert_still_had(&self, world: &World, id: GithubId) {
        let of = world.mirror(id).await.id;
        let path = world.path(id).await;
        let wiki = wiki_path(world, id).await;
        let (code, pages) =
            world.store().read(move |c| Ok((kept::all(c, of)?, kept::all(c, PartId::wiki(of))?))).await.unwrap();
        for (repository, path, kept) in [(&self.code, path, code), (&self.wiki, wiki, pages)] {
            let folder = world.onedev().repo_dir(&path).unwrap();
            repository.assert_is_within(&folder);
            let standing = world.onedev().refs(&path).unwrap();
            let now = world.github();
            let now = if std::ptr::eq(repository, &self.code) { now.refs(id) } else { now.wiki_refs(id) }.unwrap();
            repository.assert_tips_are_kept(&folder, &now, &kept, &standing);
        }
        assert_objects(world, id, &self.lfs).await;
        let folder = world.onedev().repo_dir(&world.path(id).await).unwrap();
        git(&folder, &["merge-base", "--is-ancestor", &self.meta.to_string(), META]);
        assert_eq!(world.files_at(id, &self.meta.to_string()).await, self.files);
    }

    /// The folder that this state was restored into holds it byte for byte: refs and HEAD of code and wiki, LFS
    /// objects, and the catalog. Gives the LFS objects that it holds.
    pub fn assert_is_restored(&self, folder: &Path, wiki: &Path) -> BTreeSet<LfsOid> {
        self.code.assert_is(folder);
        self.wiki.assert_is(wiki);
        assert_eq!(all_refs(folder).get(&RefName::new(META).unwrap()), Some(&self.meta));
        assert_eq!(files(folder, META), self.files);
        let stored = lfs_below(&folder.join("lfs/objects"));
        for (oid, content) in &self.lfs {
            assert!(stored.get(oid).is_some_and(|it| it == content), "{oid} did not come back");
        }
        stored.into_keys().collect()
    }
}

/// LFS objects where git-lfs looks for them; each holds what its name says.
fn lfs_below(folder: &Path) -> BTreeMap<LfsOid, Vec<u8>> {
    let below = |it: &Path| -> Vec<_> { std::fs::read_dir(it).unwrap().map(|it| it.unwrap().path()).collect() };
    let places = below(folder).into_iter().flat_map(|it| below(&it)).flat_map(|it| below(&it));
    let stored: BTreeMap<LfsOid, Vec<u8>> = places
        .map(|it| (it.file_name().unwrap().to_str().unwrap().parse().unwrap(), std::fs::read(it).unwrap()))
        .collect();
    assert!(stored.iter().all(|(oid, content)| LfsOid::of(content) == *oid));
    stored
}
