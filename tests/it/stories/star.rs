//! A star, from its webhook to its proof.

use starkeep::domain::mirror::Status;

use crate::world::{FAN, World, on_both};

on_both! {
async fn a_star_becomes_a_verified_mirror_and_a_second_delivery_changes_nothing(world: World) {
    let mut world = world;
    let id = world.repository("octo", "Hello");
    world.github().set_description(id, Some("says hello")).unwrap();
    let first = world.github().tip(id, "refs/heads/main").unwrap().unwrap();
    world.github().set_ref(id, "refs/tags/light", first).unwrap();
    world.github().annotated_tag(id, "v1", first).unwrap();
    world.start().await;
    let star = world.github().star(FAN, id).unwrap();
    assert_eq!(world.accepted(&star).await, "accepted");
    world.drain().await;
    world.assert_healthy(id).await;
    assert_eq!(world.path(id).await, "github/octo/Hello");
    let project = world.onedev().project("github/octo/Hello").unwrap();
    assert_eq!(project.description.as_deref(), Some("says hello"));
    assert!(!project.issue_management);

    let before = world.overview().await;
    assert_eq!(world.accepted(&star).await, "duplicate");
    world.drain().await;
    assert_eq!(world.overview().await, before);
    world.end().await;
}
}

on_both! {
async fn only_watched_users_stars_count(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.start().await;
    let star = world.github().star("somebody", id).unwrap();
    assert_eq!(world.accepted(&star).await, "ignored");
    assert!(world.jobs().await.is_empty());
    let mirror = world.star(id).await;
    assert_eq!(mirror.status, Status::Healthy);
    world.end().await;
}
}
