//! Kept refs: nothing is overwritten before its old tip stands elsewhere, whatever is cut off.

use std::time::Duration;

use chrono::Utc;
use starkeep::domain::kept::{KEPT, Reason, kept_name};
use starkeep::domain::mirror::Status;
use starkeep::simulator::{Fault, Hold, On, Trigger};

use super::tools::{MAIN, mirrored, name, world};
use crate::world::{World, on_both};

/// A push that makes kept refs.
fn keeping() -> Trigger {
    Trigger::next(On::PUSH).body(KEPT)
}

/// A push that moves `main`.
fn moving() -> Trigger {
    Trigger::next(On::PUSH).body(" refs/heads/main")
}

on_both! {
async fn a_run_cut_off_after_the_kept_ref_was_made_does_not_make_it_twice(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let old = world.tip(id, MAIN);
    world.github().force_branch(id, "main").unwrap();
    world.onedev().fail(moving(), Fault::CutRequest { after: 20 });
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[(MAIN, old, Reason::Overwritten)]).await;
    assert!(world.syncs(id).await.len() > 2, "it was cut off");
    world.end().await;
}
}

on_both! {
async fn a_kept_ref_that_could_not_be_recorded_is_recorded_later_with_its_reason(world: World) {
    let mut world = world;
    world.config.server.shutdown_timeout = Duration::from_millis(10);
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let old = world.onedev().commit(&world.path(id).await, "main", "HAND", "by hand").unwrap();
    let gate = world.onedev().hold(keeping(), Hold::Answer);
    world.queue(id, starkeep::domain::job::JobKind::Sync).await;
    gate.reached().await;
    world.stop().await;
    gate.release();
    assert_eq!(world.refs_below(id, KEPT).await.len(), 1);
    assert!(world.keeps(id).await.is_empty());
    world.start().await;
    world.drain().await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[(MAIN, old, Reason::MovedInOnedev)]).await;
    world.end().await;
}
}

#[actix::test]
async fn a_kept_ref_that_nobody_recorded_is_recorded_though_its_branch_is_level_again() {
    let (world, id) = mirrored().await;
    let (path, first) = (world.path(id).await, world.tip(id, MAIN));
    let by_hand = world.onedev().commit(&path, "main", "HAND", "by hand").unwrap();
    let kept = kept_name(&name(MAIN), by_hand, Utc::now()).unwrap();
    world.onedev().set_ref(&path, kept.as_str(), by_hand).unwrap();
    world.onedev().set_ref(&path, MAIN, first).unwrap();
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[(MAIN, by_hand, Reason::Overwritten)]).await;
    world.end().await;
}

#[actix::test]
async fn the_same_tip_overwritten_another_time_is_kept_another_time() {
    let (world, id) = mirrored().await;
    let (path, first) = (world.path(id).await, world.tip(id, MAIN));
    let by_hand = world.onedev().commit(&path, "main", "HAND", "by hand").unwrap();
    let long_ago = Utc::now() - chrono::Duration::hours(1);
    let kept = kept_name(&name(MAIN), by_hand, long_ago).unwrap();
    world.onedev().set_ref(&path, kept.as_str(), by_hand).unwrap();
    world.sync(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.refs_below(id, KEPT).await.len(), 2);
    assert_eq!(world.tip(id, MAIN), first);
    world.end().await;
}

#[actix::test]
async fn a_name_too_long_for_a_kept_ref_is_hashed_and_kept_once() {
    let (world, id) = mirrored().await;
    let long = format!("refs/heads/{}", "_".repeat(120));
    let old = world.github().commit_on(id, &[], "LONG", "long").unwrap();
    world.github().set_ref(id, &long, old).unwrap();
    world.pushed(id).await;
    world.github().delete_ref(id, &long).unwrap();
    world.onedev().fail(Trigger::next(On::PUSH).body(&long), Fault::CutRequest { after: 20 });
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[(&long, old, Reason::Deleted)]).await;
    world.end().await;
}

#[actix::test]
async fn without_a_kept_ref_nothing_is_overwritten() {
    let mut world = world();
    world.config.retry.max_attempts = 2;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let old = world.tip(id, MAIN);
    world.github().force_branch(id, "main").unwrap();
    world.onedev().fail(keeping().always(), Fault::Decline("no kept refs here".to_owned()));
    world.pushed(id).await;
    let message = world.assert_error(id, "kept_ref_refused").await;
    assert!(message.contains("nothing was overwritten"), "{message}");
    assert_eq!(world.refs(id).await.get(&name(MAIN)), Some(&old));
    world.onedev().clear_faults();
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[(MAIN, old, Reason::Overwritten)]).await;
    world.end().await;
}

#[actix::test]
async fn overwritten_tips_are_not_kept_where_nobody_wants_them_but_other_peoples_work_is() {
    let mut world = world();
    world.config.sync.keep_overwritten = false;
    let id = world.repository("octo", "hello");
    world.github().commit(id, "gone", "GONE", "gone").unwrap();
    world.github().commit(id, "hand", "HAND", "hand").unwrap();
    world.star(id).await;
    let by_hand = world.onedev().commit(&world.path(id).await, "hand", "HAND", "by hand").unwrap();
    world.github().force_branch(id, "main").unwrap();
    world.github().delete_ref(id, "refs/heads/gone").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[("refs/heads/hand", by_hand, Reason::MovedInOnedev)]).await;
    world.end().await;
}

#[actix::test]
async fn a_kept_ref_outlives_everything() {
    let (world, id) = mirrored().await;
    let old = world.tip(id, MAIN);
    world.github().force_branch(id, "main").unwrap();
    world.pushed(id).await;
    let kept = world.refs_below(id, KEPT).await;
    world.github().set_ref(id, MAIN, old).unwrap();
    world.pushed(id).await;
    world.github().commit(id, "other", "OTHER", "other").unwrap();
    world.github().set_default_branch(id, "other").unwrap();
    world.github().delete_ref(id, MAIN).unwrap();
    let mirror = world.pushed(id).await;
    assert_eq!(mirror.status, Status::Healthy, "{:?}", mirror.error);
    let after = world.refs_below(id, KEPT).await;
    assert!(kept.iter().all(|(name, oid)| after.get(name) == Some(oid)), "{after:#?}");
    world.end().await;
}
