//! Upstream deletes or replaces nearly everything: nothing happens before an admin says so.

use serde_json::{Value, json};
use starkeep::domain::ids::GithubId;
use starkeep::domain::job::JobState;
use starkeep::domain::kept::KEPT;
use starkeep::domain::mirror::Status;
use starkeep::domain::refs::RefMap;
use starkeep::store::{Window, audit};

use super::tools::{MAIN, assert_whole, name, world};
use crate::api;
use crate::process::starkeep;
use crate::world::{ADMIN, World, on_both};

/// `main`, eleven branches and nine tags.
pub(super) fn many(world: &World) -> GithubId {
    let id = world.repository("octo", "many");
    for n in 0..11 {
        world.github().commit(id, &format!("b{n}"), "FILE", &format!("{n}")).unwrap();
    }
    let tip = world.tip(id, MAIN);
    for n in 0..9 {
        world.github().annotated_tag(id, &format!("v{n}"), tip).unwrap();
    }
    id
}

/// One empty commit on `main`, and nothing else.
pub(super) fn wipe(world: &World, id: GithubId) {
    for it in world.github().refs(id).unwrap().keys().filter(|it| it.as_str() != MAIN) {
        world.github().delete_ref(id, it.as_str()).unwrap();
    }
    world.github().force_branch(id, "main").unwrap();
}

fn bring_back(world: &World, id: GithubId, refs: &RefMap) {
    for (name, oid) in refs {
        world.github().set_ref(id, name.as_str(), *oid).unwrap();
    }
}

async fn holds(world: &World) -> Vec<audit::Entry> {
    let filter = audit::Filter { action: Some("mirror.hold".to_owned()), ..audit::Filter::default() };
    let window = Window { limit: 200, cursor: None };
    world.store().read(move |c| audit::list(c, &filter, &window)).await.unwrap().items
}

async fn ask_for_a_sync(world: &World, id: GithubId, body: &Value) -> Value {
    let url = world.url(&format!("/api/v1/mirrors/{}/sync", world.mirror(id).await.id));
    let answer = api::call(api::request(reqwest::Method::POST, &url).bearer_auth(ADMIN).json(body)).await;
    assert_eq!(answer.status, 202);
    answer.json()
}

on_both! {
async fn a_wiped_upstream_waits_for_an_admin_and_is_told_once(world: World) {
    let mut world = world;
    let id = many(&world);
    world.star(id).await;
    let before = world.refs(id).await;
    wipe(&world, id);
    world.pushed(id).await;
    let message = world.assert_error(id, "mass_delete").await;
    assert!(message.contains("delete 20 and overwrite 1 of 21 managed refs"), "{message}");
    assert!(message.contains("--allow-mass-delete octo/many"), "{message}");
    assert_eq!(world.refs(id).await, before, "nothing was changed");
    let since = world.mirror(id).await.held_since;
    for _ in 0..2 {
        world.check(id).await;
        world.assert_error(id, "mass_delete").await;
    }
    world.sync(id).await;
    assert!(world.mirror(id).await.next_sync_at.is_some(), "it is looked at as usual");
    assert_eq!(world.mirror(id).await.held_since, since);
    assert_eq!((holds(&world).await.len(), world.refs(id).await), (1, before.clone()));
    assert!(world.jobs().await.iter().all(|it| it.state == JobState::Done));

    let job = ask_for_a_sync(&world, id, &json!({ "allow_mass_delete": true })).await;
    assert_eq!(job["kind"], "sync");
    world.drain().await;
    world.assert_healthy(id).await;
    assert_eq!(world.mirror(id).await.held_since, None);
    // What starkeep itself put beside them is nobody's loss.
    for (name, oid) in before.into_iter().filter(|it| !it.0.as_str().starts_with("refs/starkeep/")) {
        world.assert_kept(id, oid).await;
        assert!(world.kept(id).await.iter().any(|it| it.name == name && it.oid == oid), "{name}");
    }
    assert_whole(&world, &world.path(id).await);
    // The word was for that sync alone.
    let filter = audit::Filter { action: Some("mirror.sync".to_owned()), ..audit::Filter::default() };
    let asked = world.store().read(move |c| audit::list(c, &filter, &Window::default())).await.unwrap().items;
    assert_eq!(asked[0].entry.detail["allow_mass_delete"], true);
    world.end().await;
}
}

on_both! {
async fn an_upstream_that_comes_back_by_itself_finds_its_mirror_as_it_was(world: World) {
    let mut world = world;
    let id = many(&world);
    world.star(id).await;
    let before = world.refs(id).await;
    wipe(&world, id);
    world.pushed(id).await;
    world.assert_error(id, "mass_delete").await;
    let refs = world.managed(id).await;
    bring_back(&world, id, &refs);
    world.check(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.refs(id).await, before);
    world.assert_keeps(id, &[]).await;
    assert_eq!(world.mirror(id).await.held_since, None);
    // Another time is another alert, also for a routine look.
    wipe(&world, id);
    world.check(id).await;
    world.assert_error(id, "mass_delete").await;
    assert_eq!(holds(&world).await.len(), 2);
    world.end().await;
}
}

#[actix::test]
async fn trouble_in_between_is_no_new_alert() {
    let mut world = world();
    let id = many(&world);
    world.star(id).await;
    wipe(&world, id);
    world.pushed(id).await;
    world.queue(id, starkeep::domain::job::JobKind::Verify).await;
    world.drain().await;
    // The comparison found differences and asked for a sync, which still waits for an admin.
    world.assert_error(id, "mass_delete").await;
    assert_eq!(holds(&world).await.len(), 1);
    world.end().await;
}

#[actix::test]
async fn an_event_while_the_admins_word_waits_in_the_queue_does_not_lose_it() {
    let mut world = world();
    let id = many(&world);
    world.star(id).await;
    wipe(&world, id);
    world.pushed(id).await;
    let refused = ask_for_a_sync(&world, id, &json!({})).await;
    assert_eq!(refused["state"], "queued");
    ask_for_a_sync(&world, id, &json!({ "allow_mass_delete": true })).await;
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}

#[actix::test]
async fn the_command_line_says_what_waits_and_lets_it_through() {
    let mut world = world();
    let id = many(&world);
    let run = |world: &World, arguments: &[&str]| {
        let output = starkeep(&world.config, world.folder.path()).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&world, &["mirror", "octo/many"]).0, Some(0));
    wipe(&world, id);
    let (code, told) = run(&world, &["mirror", "octo/many"]);
    assert_eq!(code, Some(1));
    assert!(told.contains("mass_delete") && told.contains("--allow-mass-delete octo/many"), "{told}");
    assert_eq!(run(&world, &["mirror", "--allow-mass-delete", "octo/many"]).0, Some(0));
    world.attach().await;
    world.assert_healthy(id).await;
    assert_eq!(world.refs_below(id, KEPT).await.len(), 21);
    world.end().await;
}

#[actix::test]
async fn half_of_the_refs_may_go_and_ten_always_may() {
    let mut world = world();
    let id = many(&world);
    world.star(id).await;
    // Ten of twenty-one, then six of the eleven that are left.
    for gone in 0..10 {
        world.github().delete_ref(id, &format!("refs/heads/b{gone}")).unwrap();
    }
    world.pushed(id).await;
    world.assert_healthy(id).await;
    for gone in 0..6 {
        world.github().delete_ref(id, &format!("refs/tags/v{gone}")).unwrap();
    }
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}

#[actix::test]
async fn branches_that_all_go_forward_are_no_loss() {
    let mut world = world();
    let id = world.repository("octo", "busy");
    for n in 0..90 {
        world.github().commit(id, &format!("b{n}"), "FILE", &format!("{n}")).unwrap();
    }
    world.star(id).await;
    for n in 0..90 {
        world.github().commit(id, &format!("b{n}"), "FILE", &format!("forward {n}")).unwrap();
    }
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}

#[actix::test]
async fn where_nobody_wants_the_brake_all_goes_at_once_and_is_kept() {
    let mut world = world();
    world.config.policy.mass_delete = None;
    let id = many(&world);
    world.star(id).await;
    let old = world.tip(id, MAIN);
    wipe(&world, id);
    let mirror = world.pushed(id).await;
    assert_eq!(mirror.status, Status::Healthy, "{:?}", mirror.error);
    world.assert_healthy(id).await;
    let kept = world.kept(id).await;
    assert_eq!(kept.len(), 21);
    assert!(kept.iter().any(|it| it.name == name(MAIN) && it.oid == old));
    world.end().await;
}
