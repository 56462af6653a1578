//! Upstreams that vanish in such numbers that nobody believes it without an admin's word.

use reqwest::Method;
use serde_json::{Value, json};
use starkeep::domain::ids::GithubId;
use starkeep::domain::mirror::Status;
use starkeep::store::{Window, audit};

use super::tools::world;
use crate::api;
use crate::world::{ADMIN, World, on_both};

async fn call(world: &World, body: Option<&Value>) -> Value {
    let url = world.url("/api/v1/vanished");
    let request = match body {
        None => api::request(Method::GET, &url),
        Some(body) => api::request(Method::POST, &url).json(body),
    };
    let answer = api::call(request.bearer_auth(ADMIN)).await;
    assert!(answer.status < 300, "{answer:?}");
    answer.json()
}

/// So many repositories of one owner, each with a mirror.
async fn starred(world: &mut World, owner: &str, count: usize) -> Vec<GithubId> {
    let mut ids = Vec::new();
    for n in 0..count {
        let id = world.repository(owner, &format!("r{n}"));
        world.github().set_description(id, Some("says hello")).unwrap();
        world.star(id).await;
        ids.push(id);
    }
    ids
}

fn description(world: &World, path: &str) -> String {
    world.onedev().project(path).unwrap().description.unwrap_or_default()
}

async fn audited(world: &World, action: &str) -> usize {
    let filter = audit::Filter { action: Some(action.to_owned()), ..audit::Filter::default() };
    let window = Window { limit: 200, cursor: None };
    world.store().read(move |c| audit::list(c, &filter, &window)).await.unwrap().items.len()
}

on_both! {
async fn many_upstreams_of_an_owner_that_vanish_wait_for_an_admin(world: World) {
    let mut world = world;
    let ids = starred(&mut world, "octo", 7).await;
    let refs = world.refs(ids[6]).await;
    for id in &ids[..6] {
        world.github().delete(*id).unwrap();
        world.check(*id).await;
    }
    for id in &ids[..4] {
        assert_eq!(world.mirror(*id).await.status, Status::Gone, "four are nothing unusual");
    }
    for (n, id) in ids.iter().enumerate().take(6).skip(4) {
        let message = world.assert_error(*id, "mass_gone").await;
        assert!(message.contains("(upstream_not_found)") && message.contains("mirrors of octo"), "{message}");
        assert_eq!(description(&world, &format!("github/octo/r{n}")), "says hello", "nothing is told yet");
    }
    // Another look, and another process, find the same and say nothing new.
    world.check(ids[4]).await;
    world.stop().await;
    world.start().await;
    world.sync(ids[4]).await;
    world.assert_error(ids[4], "mass_gone").await;
    assert_eq!(audited(&world, "mirror.hold").await, 2);
    assert!(world.mirror(ids[4]).await.next_sync_at.is_some(), "it is looked for as usual");
    let waiting = call(&world, None).await;
    assert_eq!((&waiting["items"][0]["whose"], &waiting["items"][0]["mirrors"]), (&json!("octo"), &json!(2)));
    // What is there is not touched by it.
    world.sync(ids[6]).await;
    world.assert_healthy(ids[6]).await;
    assert_eq!(world.refs(ids[6]).await, refs);

    assert_eq!(call(&world, Some(&json!({ "confirm": true, "whose": "nobody" }))).await["mirrors"], 0);
    assert_eq!(call(&world, Some(&json!({ "confirm": true, "whose": "Octo" }))).await["mirrors"], 2);
    for (n, id) in ids.iter().enumerate().take(6).skip(4) {
        world.sync(*id).await;
        let mirror = world.mirror(*id).await;
        assert_eq!((mirror.status, mirror.error.unwrap().code.as_str()), (Status::Gone, "upstream_not_found"));
        let told = description(&world, &format!("github/octo/r{n}"));
        assert!(told.starts_with("[Gone from GitHub since ") && told.contains("(upstream_not_found)"), "{told}");
    }
    assert_eq!(call(&world, None).await["items"], json!([]));
    assert_eq!(audited(&world, "vanished.confirm").await, 1);
    world.end().await;
}
}

on_both! {
async fn upstreams_that_come_back_by_themselves_are_released(world: World) {
    let mut world = world;
    let ids = starred(&mut world, "octo", 6).await;
    for id in &ids {
        world.github().block_tos(*id).unwrap();
        world.check(*id).await;
    }
    world.assert_error(ids[4], "mass_gone").await;
    let told = world.assert_error(ids[5], "mass_gone").await;
    assert!(told.contains("(upstream_blocked)"), "{told}");
    // Looked at again on an admin's word, it is as before.
    assert_eq!(call(&world, Some(&json!({ "confirm": false }))).await["mirrors"], 2);
    world.sync(ids[5]).await;
    world.assert_error(ids[5], "mass_gone").await;
    for id in &ids {
        world.github().unblock(*id).unwrap();
        world.sync(*id).await;
        world.assert_healthy(*id).await;
        assert_eq!(world.mirror(*id).await.held_since, None);
    }
    for n in 0..6 {
        assert_eq!(description(&world, &format!("github/octo/r{n}")), "says hello");
    }
    assert_eq!(call(&world, None).await["items"], json!([]));
    // What came back counts no more: one that vanishes now is gone.
    world.github().delete(ids[0]).unwrap();
    world.check(ids[0]).await;
    assert_eq!(world.mirror(ids[0]).await.status, Status::Gone);
    world.end().await;
}
}

on_both! {
async fn many_of_a_users_mirrors_wait_whoever_owned_them(world: World) {
    let mut world = world;
    let mut ids = Vec::new();
    for owner in ["ann", "bob", "cid", "dan", "eve", "fay"] {
        ids.extend(starred(&mut world, owner, 1).await);
    }
    for id in &ids[..5] {
        world.github().delete(*id).unwrap();
        world.check(*id).await;
    }
    assert_eq!(world.mirror(ids[3]).await.status, Status::Gone);
    let message = world.assert_error(ids[4], "mass_gone").await;
    assert!(message.contains(&format!("mirrors of {}", crate::world::FAN.to_ascii_lowercase())), "{message}");
    world.end().await;
}
}

#[actix::test]
async fn with_the_brake_off_and_for_what_was_never_mirrored_nothing_waits() {
    let mut world = world();
    world.config.policy.mass_gone = None;
    let ids = starred(&mut world, "octo", 6).await;
    for id in &ids {
        world.github().delete(*id).unwrap();
        world.check(*id).await;
        assert_eq!(world.mirror(*id).await.status, Status::Gone);
    }
    world.stop().await;
    world.config.policy.mass_gone = Some(5);
    world.start().await;
    for n in 0..6 {
        let id = world.repository("acme", &format!("never{n}"));
        let star = world.github().star(crate::world::FAN, id).unwrap();
        world.github().delete(id).unwrap();
        world.accepted(&star).await;
        world.drain().await;
        assert_eq!(world.mirror(id).await.status, Status::Gone);
    }
    world.end().await;
}
