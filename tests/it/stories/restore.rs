//! A mirror comes back out of OneDev: into a folder, onto another server, as it is and as it was.

use std::path::{Path, PathBuf};

use chrono::Utc;
use starkeep::domain::ids::GithubId;
use starkeep::domain::job::JobKind;
use starkeep::simulator::{Fault, On, Trigger};
use starkeep::store::drills;

use super::commands::{json, run};
use super::tools::{MAIN, git, mirrored};
use crate::world::{World, on_both};

/// Every ref, but for those of a beginning.
pub fn listed(folder: &Path, without: &str) -> String {
    let all = git(folder, &["for-each-ref"]);
    all.lines().filter(|it| !it.contains(without)).map(|it| format!("{it}\n")).collect()
}

/// Every ref and every object that the refs need, starkeep's own ones aside, and HEAD.
pub fn shape(folder: &Path) -> (String, Vec<String>, String) {
    let refs = listed(folder, "refs/starkeep/");
    let mut objects: Vec<String> = git(folder, &["rev-list", "--objects", "--exclude=refs/starkeep/*", "--all"])
        .lines()
        .map(str::to_owned)
        .collect();
    objects.sort();
    (refs, objects, git(folder, &["symbolic-ref", "HEAD"]))
}

impl World {
    /// A repository with much that is odd in it.
    pub fn odd_repository(&self) -> GithubId {
        let id = self.repository("octo", "odd");
        let tip = self.github().commit(id, "main", "folder/file", "text").unwrap();
        self.github().annotated_tag(id, "v1", tip).unwrap();
        self.github().tag_of_blob(id, "a-blob", "public key").unwrap();
        self.github().tag_of_tree(id, "a-tree", tip).unwrap();
        self.github().set_ref(id, "refs/tags/v1.0+build.5", tip).unwrap();
        self.github().commit(id, "topic/one", "ONE", "one").unwrap();
        self.github().commit(id, "going", "GOING", "going").unwrap();
        self.github()
            .set_ref(id, "refs/notes/commits", self.github().commit_on(id, &[], "NOTE", "note").unwrap())
            .unwrap();
        id
    }

    /// A copy of upstream as it is now.
    pub fn copy_of(&self, id: GithubId, name: &str) -> PathBuf {
        let copy = self.folder.path().join(name);
        let from = self.github().repo_dir(id).unwrap();
        git(self.folder.path(), &["clone", "-q", "--mirror", from.to_str().unwrap(), copy.to_str().unwrap()]);
        git(&copy, &["symbolic-ref", "HEAD", git(&from, &["symbolic-ref", "HEAD"]).trim()]);
        copy
    }
}

on_both! {
async fn the_first_state_comes_back_as_it_was_whatever_happened_since(world: World) {
    let mut world = world;
    let id = world.odd_repository();
    world.star(id).await;
    let (first, between) = (world.copy_of(id, "first"), Utc::now().to_rfc3339());
    world.github().force_branch(id, "main").unwrap();
    world.github().delete_ref(id, "refs/heads/going").unwrap();
    world.github().delete_ref(id, "refs/tags/a-tree").unwrap();
    world.github().commit(id, "new", "NEW", "new").unwrap();
    world.github().delete_ref(id, "refs/heads/topic/one").unwrap();
    world.github().commit(id, "topic", "TOPIC", "a branch instead of a folder").unwrap();
    world.github().set_default_branch(id, "new").unwrap();
    world.sync(id).await;
    let second = world.copy_of(id, "second");

    world.github().go_down();
    let restored = world.folder.path().join("restored");
    let (code, out, err) = run(&world, &["restore", "octo/odd", "--to", "restored", "--at", &between, "--json"]);
    assert_eq!((code, json(&out)["exact"].as_bool()), (Some(0), Some(true)), "{out}{err}");
    assert_eq!(shape(&restored), shape(&first));
    git(&restored, &["fsck", "--strict", "--no-dangling"]);

    let (code, out, err) = run(&world, &["restore", "octo/odd", "--to", "restored", "--json"]);
    assert_eq!((code, json(&out)["exact"].as_bool()), (Some(0), Some(true)), "an earlier restore is replaced: {err}");
    assert_eq!(shape(&restored), shape(&second));
    assert!(json(&out)["kept"].as_u64().unwrap() >= 3, "{out}");
    let kept = git(&restored, &["for-each-ref", "refs/starkeep/kept"]);
    assert_eq!(kept.lines().count() as u64, json(&out)["kept"].as_u64().unwrap());
    git(&restored, &["fsck", "--strict", "--no-dangling"]);
    let left: Vec<_> = std::fs::read_dir(world.folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(!left.iter().any(|it| it.to_str().unwrap().starts_with(".starkeep-restore")), "{left:?}");

    let (code, _, err) = run(&world, &["restore", "octo/odd", "--to", "x", "--at", "2001-01-01"]);
    assert_eq!((code, err.contains("the first that is remembered")), (Some(1), true), "{err}");
    world.github().come_back().unwrap();
    world.end().await;
}
}

on_both! {
async fn a_rebuilt_database_still_knows_the_states_that_the_markers_tell_of(world: World) {
    let mut world = world;
    let id = world.odd_repository();
    world.star(id).await;
    let (first, between) = (world.copy_of(id, "first"), Utc::now().to_rfc3339());
    world.github().force_branch(id, "main").unwrap();
    world.github().delete_ref(id, "refs/heads/going").unwrap();
    world.pushed(id).await;
    world.lose_database().await;
    let (code, out, err) = run(&world, &["adopt"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let (code, out, err) = run(&world, &["restore", "octo/odd", "--to", "restored", "--at", &between, "--json"]);
    assert_eq!((code, json(&out)["exact"].as_bool()), (Some(0), Some(true)), "{out}{err}");
    assert_eq!(shape(&world.folder.path().join("restored")), shape(&first));
}
}

#[actix::test]
async fn a_mirror_is_restored_onto_another_server_and_a_second_run_changes_nothing() {
    let mut world = super::tools::world();
    let id = world.odd_repository();
    world.star(id).await;
    let other = world.github().create_repository("elsewhere", "odd").unwrap();
    let onedev = world.onedev().create_project("rescued").unwrap();
    assert!(onedev > 0);
    let url = format!("{}/rescued.git", world.onedev().url().trim_end_matches('/'));
    let credential = world.folder.path().join("credential");
    std::fs::write(&credential, secrecy::ExposeSecret::expose_secret(world.config.onedev.token.as_ref().unwrap()))
        .unwrap();
    let reference = format!("file:{}", credential.display());
    let arguments = ["restore", "octo/odd", "--to", &url, "--credential", &reference];
    let (code, out, err) = run(&world, &arguments);
    assert!(code == Some(1) && err.contains("v1.0+build.5 is not there"), "OneDev refuses one name: {out}{err}");
    let (there, here) = (world.onedev().repo_dir("rescued").unwrap(), world.github().repo_dir(id).unwrap());
    let without = |folder: &Path| listed(folder, "refs/tags/v1.0+build.5");
    assert_eq!(without(&there), without(&here));
    assert_eq!(git(&there, &["symbolic-ref", "HEAD"]), "refs/heads/main\n");
    let before = without(&there);
    assert_eq!(run(&world, &arguments).0, Some(1));
    assert_eq!(without(&there), before);
    world.onedev().commit("rescued", "mine", "MINE", "somebody's work").unwrap();
    let (code, _, err) = run(&world, &arguments);
    assert!(code == Some(1) && err.contains("is not empty"), "{err}");
    assert!(world.github().refs(other).unwrap().is_empty());
    world.end().await;
}

#[actix::test]
async fn nothing_is_left_of_a_restore_that_broke_off_and_no_strange_folder_is_touched() {
    let (world, _) = mirrored().await;
    let target = world.folder.path().join("restored");
    world.onedev().fail(Trigger::next(On::FETCH).body("command=fetch").always(), Fault::CutResponse { after: 200 });
    let (code, _, err) = run(&world, &["restore", "octo/hello", "--to", "restored"]);
    assert_eq!((code, target.exists()), (Some(1), false), "{err}");
    world.onedev().clear_faults();
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("thesis"), "three years").unwrap();
    let (code, _, err) = run(&world, &["restore", "octo/hello", "--to", "restored"]);
    assert!(code == Some(1) && err.contains("is not empty"), "{err}");
    let (code, _, err) = run(&world, &["restore", "octo/hello", "--to", "http://me:secret@127.0.0.1/x.git"]);
    assert!(code == Some(1) && err.contains("--credential") && !err.contains("secret"), "{err}");
    let (code, _, err) =
        run(&world, &["restore", "octo/hello", "--to", "http://127.0.0.1:9/x.git", "--credential", "hunter2"]);
    assert!(code == Some(1) && !err.contains("hunter2"), "{err}");
    world.end().await;
}

on_both! {
async fn a_drill_finds_what_is_whole_and_what_is_not(world: World) {
    let mut world = world;
    let id = world.odd_repository();
    world.star(id).await;
    let (code, out, err) = run(&world, &["drill", "--sample", "5", "--json"]);
    let report = json(&out);
    assert_eq!((code, report[0]["outcome"].as_str(), report[0]["refs"].as_u64()), (Some(0), Some("ok"), Some(8)), "{out}{err}");
    world.queue(id, JobKind::Drill).await;
    world.drain().await;
    // Somebody's hand, or a dying disk: the commit is there, its file is not.
    let (folder, tip) = (world.onedev().repo_dir(&world.path(id).await).unwrap(), world.tip(id, MAIN));
    let blob = git(&folder, &["rev-parse", &format!("{tip}:folder/file")]);
    let loose = folder.join("objects").join(&blob[..2]).join(blob[2..].trim());
    assert!(loose.exists(), "the simulator unpacks small pushes");
    std::fs::remove_file(loose).unwrap();
    let (code, out, _) = run(&world, &["drill"]);
    assert_eq!(code, Some(1), "{out}");
    let mirror = world.mirror(id).await.id;
    let found = world.store().read(move |c| drills::list(c, mirror)).await.unwrap();
    assert!(found.len() >= 2 && found[found.len() - 1].1 == drills::Outcome::Ok, "{found:?}");
    world.end().await;
}
}

#[actix::test]
async fn a_service_drills_by_itself_where_that_is_configured() {
    let mut world = super::tools::world();
    world.config.drill.interval = Some(std::time::Duration::from_secs(1));
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let mirror = world.mirror(id).await.id;
    let mut wakeups = world.store().wakeups();
    let drilled = async {
        while world.store().read(move |c| drills::list(c, mirror)).await.unwrap().is_empty() {
            let _ = tokio::time::timeout(std::time::Duration::from_millis(50), wakeups.changed()).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), drilled).await.expect("it drills");
    world.stop().await;
}
