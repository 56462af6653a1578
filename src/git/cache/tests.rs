//! The copy against a real git server: filled, asked, cut off, damaged, shared, thrown away.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::git::{Address, Patience, http_client};
use crate::simulator::{GithubSimulator, Simulator, SimulatorOptions};
use crate::telemetry::metrics::Metrics;

struct Bed {
    simulator: Simulator,
    id: GithubId,
    caches: Caches,
    folder: tempfile::TempDir,
    progress: Progress,
}

impl Bed {
    fn new() -> Self {
        let simulator = Simulator::start(SimulatorOptions::default()).unwrap();
        let id = simulator.github().create_repository("octo", "hello").unwrap();
        simulator.github().commit(id, "main", "README", "hello").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let caches = Caches::new(folder.path().join("cache")).unwrap();
        let progress = Progress::new(&Metrics::new().unwrap());
        Self { simulator, id, caches, folder, progress }
    }

    fn github(&self) -> &GithubSimulator {
        self.simulator.github()
    }

    fn upstream(&self, id: GithubId) -> Upstream {
        let url = format!("{}/{}.git", self.github().git_url(), self.github().full_name(id).unwrap());
        let address = Address { url: url.parse().unwrap(), authorization: None, service: "test" };
        Upstream::new(http_client().unwrap(), address, Metrics::new().unwrap(), Patience::default()).unwrap()
    }

    fn cache(&self) -> Cache {
        self.caches.of(self.id, self.id)
    }

    async fn fill_of(&self, cache: &Cache, id: GithubId) -> Filled {
        let upstream = self.upstream(id);
        let refs = upstream.ls_refs(&[]).await.unwrap().refs;
        cache.fill(&upstream, &refs, None, &self.progress).await.unwrap()
    }

    async fn fill(&self) -> Filled {
        self.fill_of(&self.cache(), self.id).await
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("cache").join(format!("{}.git", self.id))
    }

    fn tip(&self, name: &str) -> Oid {
        self.github().tip(self.id, name).unwrap().unwrap()
    }

    /// The objects of a pack for a target that has `haves`.
    async fn objects(&self, wants: &[Oid], haves: &[Oid]) -> u32 {
        let (upstream, spool) = (self.upstream(self.id), Spool::new(1 << 20, None));
        let refs = upstream.ls_refs(&[]).await.unwrap().refs;
        let cache = self.cache();
        let source = CacheSource {
            cache: &cache,
            upstream: &upstream,
            refs: &refs,
            haves,
            spool: &spool,
            max_bytes: None,
            progress: &self.progress,
        };
        cache.pack(&source, Needs { wants, haves, scan: true }).await.unwrap().objects
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_holds_what_upstream_shows_and_only_what_is_new_is_fetched() {
    let bed = Bed::new();
    let old = bed.tip("refs/heads/main");
    assert_eq!(bed.fill().await.objects, 3);
    assert_eq!(bed.fill().await, Filled::default());
    let new = bed.github().commit(bed.id, "main", "README", "two").unwrap();
    bed.github().annotated_tag(bed.id, "v1", new).unwrap();
    bed.github().tag_of_blob(bed.id, "blob", "data").unwrap();
    let filled = bed.fill().await;
    assert!(filled.objects <= 5 && filled.received > 0, "{filled:?}");
    git(&bed.path(), &["fsck", "--full", "--strict"]);
    let refs = git(&bed.path(), &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs.lines().count(), 3, "{refs}");
    let cache = bed.cache();
    assert_eq!(cache.is_ancestor(old, new).await, Ancestry::Yes);
    assert_eq!(cache.is_ancestor(new, old).await, Ancestry::No);
    assert_eq!(cache.is_ancestor(new, Oid::from_bytes([7; 20])).await, Ancestry::Unknown);
    let tags = bed.github().refs(bed.id).unwrap().into_iter().filter(|(name, _)| name.is_tag()).collect();
    let odd: Vec<String> = cache.not_commits(tags).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(odd, ["refs/tags/blob"]);
    assert_eq!(bed.objects(&[new], &[old]).await, 3);
    assert_eq!(bed.objects(&[new], &[]).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn refs_that_make_room_for_each_other_are_moved() {
    let bed = Bed::new();
    bed.github().commit(bed.id, "new", "FILE", "x").unwrap();
    bed.fill().await;
    bed.github().delete_ref(bed.id, "refs/heads/new").unwrap();
    bed.github().commit(bed.id, "new/x", "FILE", "y").unwrap();
    for n in 0..600 {
        bed.github().set_ref(bed.id, &format!("refs/tags/v{n}"), bed.tip("refs/heads/main")).unwrap();
    }
    bed.fill().await;
    let refs = git(&bed.path(), &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs.lines().count(), 602);
    assert!(refs.contains("heads/new/x\n") && !refs.contains("heads/new\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_share_their_objects_and_the_last_one_takes_the_copy_with_it() {
    let bed = Bed::new();
    bed.github().commit(bed.id, "main", "NOISE", &"noise ".repeat(9_000)).unwrap();
    bed.fill().await;
    let fork = bed.github().fork(bed.id, "other", "hello").unwrap();
    bed.github().commit(fork, "main", "FORK", "mine").unwrap();
    let of_fork = bed.caches.of(bed.id, fork);
    assert_eq!(bed.fill_of(&of_fork, fork).await.objects, 3);
    assert_eq!(bed.caches.holders().await.unwrap().len(), 2);
    bed.cache().forget().await.unwrap();
    git(&bed.path(), &["fsck", "--full"]);
    assert_eq!(bed.caches.holders().await.unwrap().iter().map(Cache::mirror).collect::<Vec<_>>(), [fork]);
    of_fork.forget().await.unwrap();
    assert!(!bed.path().exists());
    assert!(bed.caches.holders().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_run_left_behind_is_cleared_away() {
    let bed = Bed::new();
    bed.fill().await;
    let packs = bed.path().join("objects/pack");
    for junk in ["pack_AbCdEf", "tmp_idx_1", "pack-00.idx", "pack-11.pack", "pack-22.rev"] {
        std::fs::write(packs.join(junk), "junk").unwrap();
    }
    let gone = bed.folder.path().join("cache").join("9.git.gone-1");
    std::fs::create_dir(&gone).unwrap();
    bed.github().commit(bed.id, "main", "README", "two").unwrap();
    bed.fill().await;
    bed.caches.holders().await.unwrap();
    assert!(!gone.exists());
    let names: Vec<String> = std::fs::read_dir(&packs)
        .unwrap()
        .map(|it| it.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|it| it.contains("junk") || it.len() < 20)
        .collect();
    assert!(names.is_empty(), "{names:?}");
    git(&bed.path(), &["fsck", "--full"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_thrown_away_and_fetched_again() {
    let damages: [fn(&Path); 4] = [
        |path| std::fs::write(path.join("HEAD"), "rubbish").unwrap(),
        |path| std::fs::remove_dir_all(path.join("objects")).unwrap(),
        |path| each_pack(path, |pack| std::fs::remove_file(pack).unwrap()),
        |path| {
            each_pack(path, |pack| {
                let mut bytes = std::fs::read(pack).unwrap();
                let middle = bytes.len() / 2;
                bytes[15..middle].fill(0x55);
                let mut writable = std::fs::metadata(pack).unwrap().permissions();
                std::os::unix::fs::PermissionsExt::set_mode(&mut writable, 0o644);
                std::fs::set_permissions(pack, writable).unwrap();
                std::fs::write(pack, bytes).unwrap();
            });
        },
    ];
    for damage in damages {
        let bed = Bed::new();
        let first = bed.tip("refs/heads/main");
        bed.github().commit(bed.id, "main", "NOISE", &"some noise ".repeat(400)).unwrap();
        bed.fill().await;
        damage(&bed.path());
        let new = bed.github().commit(bed.id, "main", "README", "two").unwrap();
        bed.fill().await;
        assert_eq!(bed.objects(&[new], &[first]).await, 6);
        git(&bed.path(), &["fsck", "--full"]);
    }
}

fn each_pack(path: &Path, damage: impl Fn(&Path)) {
    for entry in std::fs::read_dir(path.join("objects/pack")).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|it| it == "pack") {
            damage(&file);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_packs_become_one_of_what_refs_reach() {
    let bed = Bed::new();
    for n in 0..52 {
        bed.github().commit(bed.id, "main", "README", &format!("{n}")).unwrap();
        if n == 40 {
            bed.github().force_branch(bed.id, "main").unwrap();
        }
        bed.fill().await;
    }
    let packs = git(&bed.path(), &["count-objects", "-v"]);
    let count =
        |what: &str| -> usize { packs.lines().find_map(|it| it.strip_prefix(what)).unwrap().trim().parse().unwrap() };
    assert!(count("packs:") < 5, "{packs}");
    // The forced branch left 41 commits behind.
    assert!(count("in-pack:") < 60, "{packs}");
    git(&bed.path(), &["fsck", "--full", "--strict"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_used_is_named() {
    assert!(Caches::new("/no/such/folder".into()).is_err());
    let bed = Bed::new();
    std::fs::remove_dir(bed.folder.path().join("cache")).unwrap();
    let upstream = bed.upstream(bed.id);
    let refs = upstream.ls_refs(&[]).await.unwrap().refs;
    let error = bed.cache().fill(&upstream, &refs, None, &bed.progress).await.unwrap_err();
    assert_eq!((error.code(), error.side()), ("cache_failed", None), "{error}");
    assert!(error.to_string().contains(&bed.folder.path().display().to_string()), "{error}");
}
