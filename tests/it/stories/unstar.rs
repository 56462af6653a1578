//! The star is taken back.

use std::time::Duration;

use chrono::Utc;
use starkeep::config::stars::Unstar;
use starkeep::domain::event::Subject;
use starkeep::domain::ids::GithubId;
use starkeep::domain::job::JobKind;
use starkeep::domain::mirror::{Source, Status};
use starkeep::simulator::{Hold, On, Trigger};
use starkeep::store::mirrors;

use super::tools::{MAIN, mirrored, name, world};
use crate::world::{FAN, World, on_both};

async fn unstar(world: &World, login: &str, id: GithubId) -> String {
    let status = world.accepted(&world.github().unstar(login, id).unwrap()).await;
    world.drain().await;
    status
}

on_both! {
async fn an_unstarred_mirror_is_archived_and_a_new_star_wakes_it(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let refs = world.managed(id).await;
    unstar(&world, FAN, id).await;
    let mirror = world.mirror(id).await;
    assert!(mirror.status == Status::Archived && mirror.unstarred_at.is_some());
    world.github().commit(id, "main", "README", "unseen").unwrap();
    world.pushed(id).await;
    world.sync(id).await;
    assert_eq!(world.managed(id).await, refs, "nothing is synced any more");
    let mirror = world.star(id).await;
    world.assert_healthy(id).await;
    assert!(mirror.unstarred_at.is_none());
    world.end().await;
}
}

on_both! {
async fn after_the_grace_period_project_and_mirror_go(world: World) {
    let mut world = world;
    (world.config.stars.unstar, world.config.stars.delete_after) = (Unstar::Delete, Duration::ZERO);
    let (id, other) = (world.repository("octo", "hello"), world.repository("octo", "other"));
    world.star(id).await;
    world.star(other).await;
    unstar(&world, FAN, id).await;
    assert!(world.onedev().project("github/octo/hello").is_none());
    let gone = world.store().read(move |c| mirrors::by_github_id(c, id)).await.unwrap();
    assert!(gone.is_none());
    world.assert_healthy(other).await;
    world.star(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}
}

on_both! {
async fn a_star_that_comes_in_while_the_project_is_deleted_gets_a_new_one(world: World) {
    let mut world = world;
    (world.config.stars.unstar, world.config.stars.delete_after) = (Unstar::Delete, Duration::ZERO);
    let id = world.repository("octo", "hello");
    let before = world.star(id).await;
    let gate = world.onedev().hold(Trigger::next(On::Rest).method("DELETE"), Hold::Arrival);
    world.accepted(&world.github().unstar(FAN, id).unwrap()).await;
    gate.reached().await;
    world.accepted(&world.github().star(FAN, id).unwrap()).await;
    gate.release();
    world.drain().await;
    world.assert_healthy(id).await;
    assert_eq!(world.mirror(id).await.id, before.id);
    world.end().await;
}
}

on_both! {
async fn within_the_grace_period_a_new_star_saves_the_project(world: World) {
    let mut world = world;
    world.config.stars.unstar = Unstar::Delete;
    let id = world.repository("octo", "hello");
    let project = world.star(id).await.project;
    unstar(&world, FAN, id).await;
    let job = world.waiting().await;
    assert_eq!(job.kind, JobKind::Remove);
    assert!((job.run_after - Utc::now()).num_days() >= 29);
    assert_eq!(world.mirror(id).await.status, Status::Archived);
    world.star(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.mirror(id).await.project, project);
    world.end().await;
}
}

#[actix::test]
async fn an_unstar_may_mean_nothing() {
    let mut world = world();
    world.config.stars.unstar = Unstar::Ignore;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    unstar(&world, FAN, id).await;
    world.github().commit(id, "main", "README", "two").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}

on_both! {
async fn a_mirror_stays_as_long_as_one_watched_user_stars_it(world: World) {
    let mut world = world;
    world.config.stars.users.push("second".to_owned());
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.accepted(&world.github().star("second", id).unwrap()).await;
    world.drain().await;
    unstar(&world, FAN, id).await;
    world.assert_healthy(id).await;
    assert_eq!(unstar(&world, "somebody", id).await, "ignored");
    world.assert_healthy(id).await;
    unstar(&world, "second", id).await;
    assert_eq!(world.mirror(id).await.status, Status::Archived);
    world.end().await;
}
}

on_both! {
async fn a_mirror_that_somebody_asked_for_by_name_is_not_archived(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.start().await;
    let subject = Subject { id, name: "octo/hello".parse().unwrap() };
    world.store().write(move |c| mirrors::ensure(c, &subject, Source::Manual, Utc::now())).await.unwrap();
    world.star(id).await;
    unstar(&world, FAN, id).await;
    world.assert_healthy(id).await;
    world.end().await;
}
}

#[actix::test]
async fn an_unstar_during_a_sync_archives_and_the_sync_ends_in_peace() {
    let (world, id) = mirrored().await;
    world.github().commit(id, "main", "README", "two").unwrap();
    let gate = world.onedev().hold(Trigger::next(On::PUSH), Hold::Arrival);
    let push = world.github().push(id, MAIN, None, None).unwrap();
    world.accepted(&push).await;
    gate.reached().await;
    world.accepted(&world.github().unstar(FAN, id).unwrap()).await;
    gate.release();
    world.drain().await;
    let mirror = world.mirror(id).await;
    assert_eq!(mirror.status, Status::Archived);
    assert_eq!(world.refs(id).await.get(&name(MAIN)), Some(&world.tip(id, MAIN)));
    world.end().await;
}

#[actix::test]
async fn an_upstream_that_is_gone_can_be_unstarred() {
    let (world, id) = mirrored().await;
    let unstarred = world.github().unstar(FAN, id).unwrap();
    world.github().delete(id).unwrap();
    world.check(id).await;
    assert_eq!(world.mirror(id).await.status, Status::Gone);
    world.accepted(&unstarred).await;
    world.drain().await;
    assert_eq!(world.mirror(id).await.status, Status::Archived);
    assert!(world.onedev().project("github/octo/hello").is_some());
    world.end().await;
}
