//! A kept ref becomes a branch again, by the API and by the command line.

use serde_json::{Value, json};
use starkeep::config::sync::ForeignRefs;
use starkeep::domain::kept::KEPT;
use starkeep::domain::mirror::Status;

use super::commands::{json as parsed, run};
use super::tools::{MAIN, mirrored, name};
use crate::api;
use crate::world::{ADMIN, World, on_both};

impl World {
    /// Asks the API for a branch of a kept ref; gives status and answer.
    async fn ask_branch(&self, mirror: &str, kept: i64, branch: &str) -> (u16, Value) {
        let url = self.url(&format!("/api/v1/mirrors/{mirror}/kept/{kept}/branch"));
        let request = api::request(reqwest::Method::POST, &url).bearer_auth(ADMIN);
        let answer = api::call(request.json(&json!({ "branch": branch }))).await;
        (answer.status, answer.json())
    }
}

on_both! {
async fn a_kept_ref_becomes_a_branch_that_no_sync_touches(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let old = world.tip(id, MAIN);
    world.github().force_branch(id, "main").unwrap();
    world.pushed(id).await;
    let (mirror, kept) = (world.mirror(id).await.id.to_string(), world.kept(id).await.remove(0));

    let (code, answer) = world.ask_branch(&mirror, kept.id.0, "rescued").await;
    assert_eq!((code, &answer["commit"]), (201, &json!(old)), "{answer}");
    let (code, answer) = world.ask_branch(&mirror, kept.id.0, "rescued").await;
    assert_eq!((code, answer["type"].as_str()), (409, Some("urn:starkeep:problem:branch_exists")), "{answer}");
    let (code, answer) = world.ask_branch(&mirror, kept.id.0, "main").await;
    assert_eq!((code, answer["type"].as_str()), (409, Some("urn:starkeep:problem:branch_is_upstreams")), "{answer}");
    assert_eq!(world.ask_branch(&mirror, kept.id.0, "a..b").await.0, 400);
    assert_eq!(world.ask_branch(&mirror, kept.id.0 + 99, "x").await.0, 404);

    world.github().commit(id, "main", "more", "more").unwrap();
    world.pushed(id).await;
    world.sync(id).await;
    assert_eq!(world.refs(id).await.get(&name("refs/heads/rescued")), Some(&old));
    assert_eq!(world.mirror(id).await.status, Status::Healthy);
    assert_eq!(world.refs_below(id, KEPT).await.len(), 1, "the branch is no reason to keep anything anew");
    world.end().await;
}
}

on_both! {
async fn the_command_lists_kept_refs_and_peels_a_tag(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    let commit = world.tip(id, MAIN);
    world.github().annotated_tag(id, "v1", commit).unwrap();
    world.star(id).await;
    world.github().delete_ref(id, "refs/tags/v1").unwrap();
    world.pushed(id).await;
    world.stop().await;
    let (code, out, err) = run(&world, &["kept", "list", "octo/hello", "--json"]);
    assert_eq!(code, Some(0), "{err}");
    let listed = parsed(&out);
    assert_eq!((listed[0]["ref"].as_str(), listed[0]["reason"].as_str()), (Some("refs/tags/v1"), Some("deleted")));
    let number = listed[0]["id"].to_string();
    let (code, out, err) = run(&world, &["kept", "branch", "octo/hello", &number, "--as", "old+v1"]);
    assert_eq!((code, out.contains(&commit.to_string())), (Some(0), true), "{out}{err}");
    assert_eq!(world.refs(id).await.get(&name("refs/heads/old+v1")), Some(&commit));
    let (code, _, err) = run(&world, &["kept", "branch", "octo/hello", "refs/starkeep/kept/none", "--as", "x"]);
    assert_eq!((code, err.contains("kept list octo/hello")), (Some(1), true), "{err}");
}
}

#[actix::test]
async fn with_upstream_gone_what_was_last_mirrored_says_which_names_are_its_own() {
    let (world, id) = mirrored().await;
    world.github().force_branch(id, "main").unwrap();
    world.pushed(id).await;
    let (mirror, kept) = (world.mirror(id).await, world.kept(id).await.remove(0));
    world.github().delete(id).unwrap();
    let mirror = mirror.id.to_string();
    assert_eq!(world.ask_branch(&mirror, kept.id.0, "main").await.0, 409);
    let (code, answer) = world.ask_branch(&mirror, kept.id.0, "rescued").await;
    assert_eq!(code, 201, "{answer}");
    world.end().await;
}

#[actix::test]
async fn a_branch_that_the_next_sync_would_prune_is_refused() {
    let mut world = super::tools::world();
    world.config.sync.foreign_refs = ForeignRefs::Prune;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.github().force_branch(id, "main").unwrap();
    world.pushed(id).await;
    let (mirror, kept) = (world.mirror(id).await.id.to_string(), world.kept(id).await.remove(0));
    let (code, answer) = world.ask_branch(&mirror, kept.id.0, "rescued").await;
    assert_eq!((code, answer["detail"].as_str().unwrap().contains("sync.foreign_refs")), (409, true), "{answer}");
    world.end().await;
}
