//! The database is lost, and everything comes back out of OneDev.

use serde_json::Value;
use starkeep::domain::ids::GithubId;
use starkeep::domain::mirror::Status;

use super::commands::{json, run};
use super::tools::{MAIN, name};
use crate::world::{World, on_both};

/// What `status --json` and the kept refs of all mirrors say, times aside.
pub fn told(world: &World) -> Value {
    let (code, out, err) = run(world, &["status", "--json"]);
    assert_eq!(code, Some(0), "{err}");
    let mut mirrors = json(&out);
    let mut kept = Vec::new();
    for mirror in mirrors.as_array_mut().unwrap() {
        let name = mirror["repository"].as_str().unwrap().to_owned();
        let (_, out, _) = run(world, &["kept", "list", &name, "--json"]);
        let mut its = json(&out);
        for it in its.as_array_mut().unwrap() {
            it.as_object_mut().unwrap().remove("id");
        }
        kept.push(its);
        for time in ["last_synced_at", "last_changed_at", "next_sync_at", "updated_at"] {
            mirror.as_object_mut().unwrap().remove(time);
        }
        if let Some(proof) = mirror["proof"].as_object_mut() {
            proof.remove("verified_at");
        }
        if let Some(wiki) = mirror["wiki"].as_object_mut() {
            wiki.remove("looked_at");
            wiki.remove("next_look_at");
            if let Some(proof) = wiki["proof"].as_object_mut() {
                proof.remove("verified_at");
            }
        }
    }
    serde_json::json!({ "mirrors": mirrors, "kept": kept })
}

impl World {
    /// Five mirrors of all kinds: healthy, partial with an alias, archived, with kept refs, renamed and gone.
    pub async fn populated(&mut self) -> Vec<GithubId> {
        let plain = self.repository("octo", "plain");
        let partial = self.repository("octo", "partial");
        self.github().set_ref(partial, "refs/tags/v1.0+build.5", self.tip(partial, MAIN)).unwrap();
        let archived = self.repository("octo", "archived");
        let kept = self.repository("octo", "kept");
        self.github().commit(kept, "gone", "GONE", "gone").unwrap();
        let renamed = self.repository("octo", "before");
        let all = vec![plain, partial, archived, kept, renamed];
        for id in &all {
            self.star(*id).await;
        }
        self.github().force_branch(kept, "main").unwrap();
        self.github().delete_ref(kept, "refs/heads/gone").unwrap();
        let by_hand = self.path(kept).await;
        self.onedev().commit(&by_hand, "foreign", "HAND", "somebody's own branch").unwrap();
        self.sync(kept).await;
        self.github().commit(plain, "main", "more", "a move that no marker tells of").unwrap();
        self.pushed(plain).await;
        self.github().rename(renamed, "after").unwrap();
        self.sync(renamed).await;
        let unstar = self.github().unstar(crate::world::FAN, archived).unwrap();
        self.accepted(&unstar).await;
        self.drain().await;
        all
    }
}

on_both! {
async fn a_lost_database_comes_back_out_of_onedev(world: World) {
    let mut world = world;
    let all = world.populated().await;
    let before = told(&world);
    let refs: Vec<_> = futures_util::future::join_all(all.iter().map(|id| world.refs(*id))).await;
    world.lose_database().await;

    let (code, out, err) = run(&world, &["adopt", "--dry-run"]);
    assert_eq!((code, out.matches("would be the mirror").count()), (Some(0), 5), "{out}{err}");
    assert_eq!(run(&world, &["status", "--json"]).1.trim(), "[]");
    let (code, out, err) = run(&world, &["adopt"]);
    assert_eq!((code, err.contains("5 of 6 projects")), (Some(0), true), "{out}{err}");
    assert!(out.contains("github/octo: carries no marker"), "{out}");
    assert_eq!(told(&world), before);
    let (_, out, _) = run(&world, &["adopt"]);
    assert_eq!(out.matches("is a mirror already").count(), 5, "{out}");
    assert_eq!(told(&world), before);

    world.start().await;
    for id in &all {
        world.sync(*id).await;
    }
    let after: Vec<_> = futures_util::future::join_all(all.iter().map(|id| world.refs(*id))).await;
    let without_markers = |all: Vec<starkeep::domain::refs::RefMap>| -> Vec<Vec<_>> {
        all.into_iter().map(|it| it.into_iter().filter(|it| it.0.as_str() != "refs/starkeep/origin").collect()).collect()
    };
    assert_eq!(without_markers(after), without_markers(refs), "nothing is kept anew, nothing foreign goes");
    assert_eq!(world.onedev().projects().len(), 7, "no project is made anew");
    world.end().await;
}
}

on_both! {
async fn what_upstream_deleted_while_nobody_looked_goes_and_what_is_foreign_stays(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.github().commit(id, "going", "GOING", "going").unwrap();
    world.star(id).await;
    let path = world.path(id).await;
    let foreign = world.onedev().commit(&path, "foreign", "HAND", "by hand").unwrap();
    world.lose_database().await;
    world.github().delete_ref(id, "refs/heads/going").unwrap();
    world.github().commit(id, "main", "more", "more").unwrap();
    let (code, out, err) = run(&world, &["adopt"]);
    assert_eq!(code, Some(0), "{out}{err}");
    world.start().await;
    world.drain().await;
    world.sync(id).await;
    let refs = world.refs(id).await;
    assert_eq!(refs.get(&name("refs/heads/foreign")), Some(&foreign));
    assert!(!refs.contains_key(&name("refs/heads/going")));
    assert_eq!(world.kept(id).await.len(), 1, "what went is kept");
    assert_eq!(world.mirror(id).await.status, Status::Healthy);
    world.end().await;
}
}

#[actix::test]
async fn what_cannot_be_adopted_is_named_and_left_alone() {
    let mut world = super::tools::world();
    let one = world.repository("octo", "hello");
    let other = world.repository("octo", "spoilt");
    world.star(one).await;
    world.star(other).await;
    let (good, spoilt) = (world.path(one).await, world.path(other).await);
    let odd = world.onedev().commit(&spoilt, "odd", "starkeep.json", "{\"version\": 99}").unwrap();
    world.onedev().set_ref(&spoilt, "refs/starkeep/origin", odd).unwrap();
    let copy = "github/octo/copy";
    world.onedev().create_project(copy).unwrap();
    let (from, to) = (world.onedev().repo_dir(&good).unwrap(), world.onedev().repo_dir(copy).unwrap());
    super::tools::git(&to, &["fetch", "-q", from.to_str().unwrap(), "+refs/*:refs/*"]);
    world.lose_database().await;
    let (code, out, _) = run(&world, &["adopt", "--json"]);
    let lines = json(&out);
    let of = |path: &str| lines.as_array().unwrap().iter().find(|it| it["path"] == path).unwrap().clone();
    assert_eq!(code, Some(1), "{out}");
    assert_eq!(of(&good)["outcome"], "adopted");
    assert_eq!(of(copy)["outcome"], "second");
    assert!(of(&spoilt)["why"].as_str().unwrap().contains("later version"), "{out}");
}

#[actix::test]
async fn a_new_star_finds_the_project_that_a_lost_database_knew() {
    let mut world = super::tools::world();
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let path = world.path(id).await;
    world.lose_database().await;
    world.star(id).await;
    assert_eq!(world.path(id).await, path, "no second project beside it");
    world.assert_healthy(id).await;
    world.end().await;
}

#[actix::test]
async fn with_github_down_the_mirrors_come_back_and_are_verified_by_the_next_sync() {
    let mut world = super::tools::world();
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.lose_database().await;
    world.github().go_down();
    let (code, out, err) = run(&world, &["adopt"]);
    assert_eq!((code, out.contains("is the mirror of octo/hello again")), (Some(0), true), "{out}{err}");
    world.github().come_back().unwrap();
    world.start().await;
    world.drain().await;
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}
