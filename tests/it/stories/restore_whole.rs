//! What comes back with a mirror: LFS objects, its wiki, its catalog.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::Utc;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use starkeep::domain::ids::GithubId;
use starkeep::domain::lfs::Pointer;
use starkeep::simulator::{Hold, On, Trigger};

use super::catalog::META;
use super::commands::{json, run};
use super::lfs::noise;
use super::restore::{listed, shape};
use super::tools::git;
use crate::process::starkeep;
use crate::world::{World, on_both};

/// Every LFS object that stands below a restored repository, by its id.
pub fn objects(folder: &Path) -> BTreeSet<String> {
    let (mut open, mut found) = (vec![folder.join("lfs")], BTreeSet::new());
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let content = std::fs::read(&path).unwrap();
            let oid = Pointer::of(&content).oid.to_string();
            assert!(path.ends_with(format!("lfs/objects/{}/{}/{oid}", &oid[..2], &oid[2..4])), "{}", path.display());
            found.insert(oid);
        }
    }
    found
}

pub fn oids(contents: &[&[u8]]) -> BTreeSet<String> {
    contents.iter().map(|it| Pointer::of(it).oid.to_string()).collect()
}

pub fn tip(folder: &Path, name: &str) -> String {
    git(folder, &["rev-parse", name]).trim().to_owned()
}

fn assert_fsck(folder: &Path) {
    git(folder, &["fsck", "--strict", "--no-dangling"]);
    // Where it is installed, the program that people would use must find them too.
    if folder.join("lfs").exists() && std::process::Command::new("git-lfs").arg("version").output().is_ok() {
        git(folder, &["lfs", "fsck", "--objects", "main"]);
    }
}

/// Hidden folders that a restore left beside its place.
pub fn left_over(world: &World) -> Vec<String> {
    let names = std::fs::read_dir(world.folder.path()).unwrap();
    let names = names.map(|it| it.unwrap().file_name().into_string().unwrap());
    names.filter(|it| it.starts_with(".starkeep-restore")).collect()
}

impl World {
    /// The same world with wikis and catalogs.
    pub fn with_all(mut self) -> Self {
        self.config.sync.wiki = true;
        self.with_catalogs()
    }

    pub fn restore(&self, arguments: &[&str]) -> (Option<i32>, Value, String) {
        let all: Vec<&str> = ["restore", "octo/odd"].iter().chain(arguments).chain(&["--json"]).copied().collect();
        let (code, out, err) = run(self, &all);
        let told = if out.is_empty() { Value::Null } else { json(&out) };
        (code, told, err)
    }

    /// A copy of upstream's wiki as it is now.
    pub fn copy_of_wiki(&self, id: GithubId, name: &str) -> PathBuf {
        let copy = self.folder.path().join(name);
        let from = self.github().wiki_dir(id).unwrap();
        git(self.folder.path(), &["clone", "-q", "--mirror", from.to_str().unwrap(), copy.to_str().unwrap()]);
        copy
    }

    /// `octo/odd` with LFS objects, a wiki, an issue and a release with a file, mirrored; what its objects hold.
    pub async fn populated_one(&mut self) -> (GithubId, [Vec<u8>; 3]) {
        let id = self.odd_repository();
        let (small, large, asset) = (noise(1, 3_000), noise(2, 2_500_000), noise(3, 40_000));
        self.github().commit_lfs(id, "main", "a.bin", &small).unwrap();
        self.github().commit_lfs(id, "main", "b.bin", &large).unwrap();
        self.github().write_page(id, "Home", "welcome").unwrap();
        self.github().write_page(id, "Install", "do this").unwrap();
        let issue = self.github().open_issue(id, "It fails", "Look at this").unwrap();
        self.github().comment(id, issue, "I see it too").unwrap();
        let release = self.github().release(id, "v1", "One").unwrap();
        // GitHub tells no digest of older files.
        self.github().asset(id, release, "file.zip", &asset, false).unwrap();
        self.star(id).await;
        self.assert_object(id, &large).await;
        self.assert_wiki(id).await;
        (id, [small, large, asset])
    }

    /// Everything is changed upstream and half of it deleted; the mirror follows. Gives the new LFS object.
    pub async fn upheaval(&self, id: GithubId) -> Vec<u8> {
        let github = self.github();
        let new = noise(4, 5_000);
        github.force_branch(id, "main").unwrap();
        github.commit_lfs(id, "main", "a.bin", &new).unwrap();
        github.delete_ref(id, "refs/heads/going").unwrap();
        github.delete_ref(id, "refs/tags/v1").unwrap();
        github.delete_wiki(id).unwrap();
        github.write_page(id, "Home", "all anew").unwrap();
        let issue = github.open_issue(id, "Another", "").unwrap();
        github.comment(id, issue, "news").unwrap();
        github.comment(id, 1, "more on the first").unwrap();
        self.sync(id).await;
        self.gollum(id).await;
        self.look(id).await;
        self.assert_wiki(id).await;
        new
    }
}

on_both! {
async fn restore_brings_lfs_wiki_and_meta_of_any_time_byte_for_byte(world: World) {
    let mut world = world.with_all();
    let (id, [small, large, asset]) = world.populated_one().await;
    let (first, pages) = (world.copy_of(id, "first"), world.copy_of_wiki(id, "first-wiki"));
    let (meta, between) = (world.catalog(id).await.tip.unwrap(), Utc::now().to_rfc3339());
    let new = world.upheaval(id).await;
    let (second, new_pages) = (world.copy_of(id, "second"), world.copy_of_wiki(id, "second-wiki"));
    let new_meta = world.catalog(id).await.tip.unwrap();
    assert_ne!(meta, new_meta);
    world.github().go_down();

    let (code, told, err) = world.restore(&["--to", "it.git", "--at", &between]);
    assert_eq!((code, told["exact"].as_bool(), told["wiki"]["exact"].as_bool()), (Some(0), Some(true), Some(true)), "{told}{err}");
    let (it, its_pages) = (world.folder.path().join("it.git"), world.folder.path().join("it.wiki.git"));
    assert_eq!(shape(&it), shape(&first));
    assert_eq!(shape(&its_pages), shape(&pages));
    assert_eq!(tip(&it, META), meta.to_string());
    assert_eq!(objects(&it), oids(&[&small, &large, &asset]));
    assert_eq!(told["lfs"]["objects"], 3, "{told}");
    assert_eq!(listed(&its_pages, "refs/heads"), "", "nothing was kept by then");
    assert_fsck(&it);
    assert_fsck(&its_pages);

    let (code, told, err) = world.restore(&["--to", "it.git"]);
    assert_eq!((code, told["exact"].as_bool(), told["wiki"]["exact"].as_bool()), (Some(0), Some(true), Some(true)), "{told}{err}");
    assert_eq!((shape(&it), shape(&its_pages)), (shape(&second), shape(&new_pages)));
    assert_eq!(tip(&it, META), new_meta.to_string());
    // The kept tips need what the old state needed.
    assert_eq!(objects(&it), oids(&[&small, &large, &asset, &new]));
    assert_eq!(told["wiki"]["kept"], 1, "{told}");
    assert_fsck(&it);
    assert_fsck(&its_pages);
    assert_eq!(left_over(&world), Vec::<String>::new());
    world.github().come_back().unwrap();
    world.end().await;
}
}

on_both! {
async fn an_object_that_onedev_lost_is_named_and_the_next_run_brings_that_one_alone(world: World) {
    let mut world = world.with_all();
    let (id, [small, large, asset]) = world.populated_one().await;
    let (path, lost) = (world.path(id).await, Pointer::of(&small));
    world.onedev().delete_lfs(&path, lost.oid).unwrap();
    let (code, told, err) = world.restore(&["--to", "it.git"]);
    assert_eq!((code, &told["lfs"]["missing_count"]), (Some(1), &1.into()), "{told}");
    assert_eq!(told["lfs"]["missing"][0]["oid"], lost.oid.to_string());
    assert!(err.contains(&lost.oid.to_string()) && err.contains("404"), "{err}");
    let it = world.folder.path().join("it.git");
    assert_eq!(objects(&it), oids(&[&large, &asset]), "the rest is there");
    world.onedev().put_lfs(&path, lost.oid, &small).unwrap();
    world.onedev().clear_requests();
    let (code, told, err) = world.restore(&["--to", "it.git"]);
    assert_eq!((code, &told["lfs"]["objects"]), (Some(0), &3.into()), "{told}{err}");
    assert_eq!(objects(&it), oids(&[&small, &large, &asset]));
    let read = world.onedev().requests().iter().filter(|it| it.method == "GET" && it.path.contains("/lfs/objects/")).count();
    assert_eq!(read, 1, "what was there is not read from OneDev again");
    world.end().await;
}
}

on_both! {
async fn a_tip_that_onedev_lost_is_named_and_the_rest_comes_back(world: World) {
    let mut world = world.with_all();
    let (id, _) = world.populated_one().await;
    world.upheaval(id).await;
    let (kept, path) = (world.kept(id).await, world.path(id).await);
    let lost = kept.iter().find(|it| it.name.as_str() == "refs/heads/going").unwrap().clone();
    let folder = world.onedev().repo_dir(&path).unwrap();
    git(&folder, &["update-ref", "-d", lost.kept_ref.as_str()]);
    let (code, out, _) = run(&world, &["drill"]);
    assert!(code == Some(1) && out.contains(&format!("{} does not stand", lost.kept_ref)), "{out}");
    git(&folder, &["reflog", "expire", "--expire=now", "--all"]);
    git(&folder, &["gc", "--quiet", "--prune=now"]);

    let refs = |told: &Value| (told["refs"].as_u64().unwrap(), told["kept"].as_u64().unwrap());
    let (code, told, err) = world.restore(&["--to", "it.git"]);
    assert_eq!((code, told["refused"].as_array().map(Vec::len), refs(&told)), (Some(1), Some(1), (6, 2)), "{told}{err}");
    assert!(err.contains(lost.kept_ref.as_str()) && err.contains(&lost.oid.to_string()), "{err}");
    assert_fsck(&world.folder.path().join("it.git"));
    world.onedev().create_project("rescued").unwrap();
    world.onedev().create_project("rescued.wiki").unwrap();
    let credential = world.folder.path().join("credential");
    std::fs::write(&credential, world.config.onedev.token.as_ref().unwrap().expose_secret()).unwrap();
    let (to, reference) =
        (format!("{}/rescued.git", world.onedev().url().trim_end_matches('/')), format!("file:{}", credential.display()));
    let (code, told, err) = world.restore(&["--to", &to, "--credential", &reference]);
    // And the name that OneDev refuses.
    assert_eq!((code, told["refused"].as_array().map(Vec::len), refs(&told)), (Some(1), Some(2), (6, 2)), "{told}{err}");
    assert_eq!(told["lost"], Value::Array(Vec::new()), "{told}");
    world.end().await;
}
}

#[actix::test]
async fn a_restore_that_was_killed_goes_on_with_the_objects_that_it_had() {
    let mut world = super::tools::world().with_all();
    let (_, [small, large, asset]) = world.populated_one().await;
    let third = Trigger::next(On::Rest).method("GET").path("/lfs/objects/").nth(3);
    let gate = world.onedev().hold(third, Hold::Arrival);
    let mut process =
        starkeep(&world.config, world.folder.path()).args(["restore", "octo/odd", "--to", "it.git"]).spawn().unwrap();
    gate.reached().await;
    let workshop = world.folder.path().join(".starkeep-restore-it.git");
    let count = || {
        let lfs = workshop.join("lfs/objects");
        let found = std::process::Command::new("find").arg(lfs).args(["-type", "f"]).output().unwrap();
        found.stdout.iter().filter(|it| **it == b'\n').count()
    };
    while count() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    process.kill().unwrap();
    process.wait().unwrap();
    drop(gate);
    assert!(!world.folder.path().join("it.git").exists() && !world.folder.path().join("it.wiki.git").exists());
    world.onedev().clear_requests();
    let (code, told, err) = world.restore(&["--to", "it.git"]);
    assert_eq!((code, &told["lfs"]["objects"]), (Some(0), &3.into()), "{told}{err}");
    assert_eq!(objects(&world.folder.path().join("it.git")), oids(&[&small, &large, &asset]));
    let read =
        world.onedev().requests().iter().filter(|it| it.method == "GET" && it.path.contains("/lfs/objects/")).count();
    assert_eq!(read, 1, "two were whole");
    assert_eq!(left_over(&world), Vec::<String>::new());
    world.end().await;
}

#[actix::test]
async fn objects_wiki_and_catalog_go_onto_another_server_too() {
    let mut world = super::tools::world().with_all();
    let (id, contents) = world.populated_one().await;
    world.github().delete_ref(id, "refs/tags/v1.0+build.5").unwrap();
    world.sync(id).await;
    let base = world.onedev().url().trim_end_matches('/').to_owned();
    world.onedev().create_project("rescued").unwrap();
    let credential = world.folder.path().join("credential");
    std::fs::write(&credential, world.config.onedev.token.as_ref().unwrap().expose_secret()).unwrap();
    let (to, reference) = (format!("{base}/rescued.git"), format!("file:{}", credential.display()));
    let (code, told, err) = world.restore(&["--to", &to, "--credential", &reference]);
    assert_eq!((code, told["lost"][0]["what"].as_str()), (Some(1), Some("wiki")), "{told}{err}");
    assert!(err.contains("rescued.wiki.git"), "it says where: {err}");
    assert_eq!((&told["lfs"]["objects"], &told["lfs"]["missing_count"]), (&3.into(), &0.into()), "{told}");
    for content in &contents {
        let have = world.onedev().lfs_object("rescued", Pointer::of(content).oid).unwrap();
        assert!(have.as_ref() == Some(content));
    }
    let there = world.onedev().repo_dir("rescued").unwrap();
    assert_eq!(tip(&there, META), world.catalog(id).await.tip.unwrap().to_string());

    // An earlier run was cut off before it brought everything.
    world.onedev().delete_lfs("rescued", Pointer::of(&contents[0]).oid).unwrap();
    world.onedev().create_project("rescued/wiki").unwrap();
    let wiki = format!("{base}/rescued/wiki.git");
    let (code, told, err) = world.restore(&["--to", &to, "--wiki-to", &wiki, "--credential", &reference]);
    assert_eq!((code, &told["wiki"]["refs"]), (Some(0), &1.into()), "{told}{err}");
    assert!(world.onedev().lfs_object("rescued", Pointer::of(&contents[0]).oid).unwrap().is_some());
    let (there, here) = (world.onedev().repo_dir("rescued/wiki").unwrap(), world.github().wiki_dir(id).unwrap());
    assert_eq!(listed(&there, "refs/starkeep/"), listed(&here, "refs/starkeep/"));
    world.end().await;
}

#[actix::test]
async fn objects_go_onto_a_server_that_wants_their_uploads_verified() {
    let mut world = super::tools::world().with_all();
    let (_, contents) = world.populated_one().await;
    let other = world.github().create_repository("rescued", "odd").unwrap();
    let credential = world.folder.path().join("credential");
    std::fs::write(&credential, world.github().token()).unwrap();
    let (to, reference) = (
        format!("{}/rescued/odd.git", world.github().git_url().trim_end_matches('/')),
        format!("file:{}", credential.display()),
    );
    let (code, told, err) = world.restore(&["--to", &to, "--credential", &reference]);
    // A wiki there begins with a page that somebody writes.
    assert_eq!(
        (code, told["lost"][0]["what"].as_str(), &told["refused"]),
        (Some(1), Some("wiki"), &Value::Array(Vec::new())),
        "{told}{err}"
    );
    assert_eq!((&told["lfs"]["objects"], &told["lfs"]["missing_count"]), (&3.into(), &0.into()), "{told}");
    for content in &contents {
        let have = world.github().lfs_object(other, Pointer::of(content).oid).unwrap();
        assert!(have.as_ref() == Some(content));
    }
    world.end().await;
}

#[test]
fn no_credential_goes_in_clear_over_a_network() {
    let world = super::tools::world();
    std::fs::write(world.folder.path().join("credential"), "hunter2").unwrap();
    let reference = format!("file:{}", world.folder.path().join("credential").display());
    for (to, wiki) in [
        ("http://git.example.org/me/x.git", "https://git.example.org/me/x.wiki.git"),
        ("https://git.example.org/me/x.git", "http://git.example.org/me/x.wiki.git"),
    ] {
        let (code, _, err) = world.restore(&["--to", to, "--wiki-to", wiki, "--credential", &reference]);
        assert!(code == Some(1) && err.contains("unencrypted") && !err.contains("hunter2"), "{err}");
    }
    let (code, _, err) = world.restore(&["--to", "x.git", "--wiki-to", "https://git.example.org/me/x.git"]);
    assert!(code == Some(1) && err.contains("both be folders"), "{err}");
}

on_both! {
async fn a_drill_reads_objects_wiki_and_catalog(world: World) {
    let mut world = world.with_all();
    let (id, [small, large, _]) = world.populated_one().await;
    let drill = |world: &World| {
        let (code, out, err) = run(world, &["drill", "--json"]);
        assert!(!out.is_empty(), "{err}");
        (code, json(&out)[0].clone())
    };
    let (code, told) = drill(&world);
    assert_eq!((code, &told["lfs"]["objects"], &told["lfs"]["unread"]), (Some(0), &3.into(), &0.into()), "{told}");
    assert_eq!(told["refs"], 9, "the wiki's too: {told}");
    // Not all of it need be read.
    world.config.drill.lfs_bytes = 50_000;
    let (code, told) = drill(&world);
    assert_eq!((code, &told["lfs"]["objects"], &told["lfs"]["unread"]), (Some(0), &2.into(), &1.into()), "{told}");
    world.config.drill.lfs_bytes = 1 << 30;

    let path = world.path(id).await;
    let mut spoilt = large.clone();
    spoilt[7] ^= 1;
    world.onedev().put_lfs(&path, Pointer::of(&large).oid, &spoilt).unwrap();
    world.onedev().delete_lfs(&path, Pointer::of(&small).oid).unwrap();
    let (code, told) = drill(&world);
    let problem = told["problem"].as_str().unwrap();
    assert!(code == Some(1) && problem.contains(&Pointer::of(&large).oid.to_string()), "{told}");
    assert!(problem.contains(&Pointer::of(&small).oid.to_string()), "{told}");

    for content in [&small, &large] {
        world.onedev().put_lfs(&path, Pointer::of(content).oid, content).unwrap();
    }
    let wiki = world.onedev().repo_dir(&world.wiki(id).await.project.unwrap().path).unwrap();
    let blob = git(&wiki, &["rev-parse", "refs/heads/master:Install.md"]);
    std::fs::remove_file(wiki.join("objects").join(&blob[..2]).join(blob[2..].trim())).unwrap();
    let (code, told) = drill(&world);
    assert!(code == Some(1) && told["problem"].as_str().unwrap().contains("wiki: "), "{told}");
    world.end().await;
}
}
