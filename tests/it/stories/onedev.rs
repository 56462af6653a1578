//! OneDev away, starting, or refusing: the work waits and nothing is mistaken for missing.

use starkeep::domain::job::JobState;
use starkeep::domain::mirror::Status;
use starkeep::simulator::{Fault, On, Phase, Trigger};

use super::tools::{MAIN, mirrored, name, world};
use crate::world::{World, on_both};

/// The job waits for this reason, and that is no attempt.
async fn assert_waits(world: &World, code: &str) {
    let job = world.waiting().await;
    let error = job.error.unwrap();
    assert_eq!((job.attempts, error.0.as_str()), (0, code), "{}", error.1);
    assert!(job.run_after > chrono::Utc::now());
}

on_both! {
async fn while_onedev_boots_a_star_waits_and_nothing_is_made(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.onedev().set_phase(Phase::Booting);
    let mirror = world.star(id).await;
    assert_waits(&world, "onedev_booting").await;
    assert!(mirror.status == Status::Error && mirror.project.is_none());
    assert!(world.onedev().projects().is_empty());
    world.onedev().set_phase(Phase::GitNotReady);
    world.sync(id).await;
    assert_waits(&world, "onedev_not_ready").await;
    world.onedev().set_phase(Phase::Ready);
    world.sync(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.onedev().projects().len(), 3);
    world.end().await;
}
}

on_both! {
async fn while_onedev_boots_a_mirror_is_not_taken_for_missing(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let project = world.path(id).await;
    world.github().commit(id, "main", "README", "two").unwrap();
    world.onedev().set_phase(Phase::Booting);
    world.pushed(id).await;
    assert_waits(&world, "onedev_booting").await;
    world.sync(id).await;
    assert_waits(&world, "onedev_booting").await;
    world.onedev().set_phase(Phase::Ready);
    world.sync(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.path(id).await, project);
    assert_eq!(world.onedev().projects().len(), 3);
    world.end().await;
}
}

#[actix::test]
async fn onedev_starts_again_in_the_middle_of_a_sync() {
    for phase in [Phase::Booting, Phase::GitNotReady] {
        let (world, id) = mirrored().await;
        let old = world.tip(id, MAIN);
        world.github().force_branch(id, "main").unwrap();
        let gate =
            world.github().hold(Trigger::next(On::FETCH).body("command=fetch"), starkeep::simulator::Hold::Arrival);
        let push = world.github().push(id, MAIN, None, None).unwrap();
        world.accepted(&push).await;
        gate.reached().await;
        world.onedev().set_phase(phase);
        gate.release();
        world.drain().await;
        let code = if phase == Phase::Booting { "onedev_booting" } else { "onedev_not_ready" };
        assert_waits(&world, code).await;
        assert_eq!(world.refs(id).await.get(&name(MAIN)), Some(&old));
        world.onedev().set_phase(Phase::Ready);
        world.sync(id).await;
        world.assert_healthy(id).await;
        world.assert_kept(id, old).await;
        world.end().await;
    }
}

on_both! {
async fn while_onedev_is_down_stars_are_taken_and_wait(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.onedev().go_down();
    world.star(id).await;
    assert_waits(&world, "onedev_unreachable").await;
    world.onedev().come_back().unwrap();
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}
}

#[actix::test]
async fn while_github_is_down_the_work_waits() {
    let (world, id) = mirrored().await;
    world.github().commit(id, "main", "README", "two").unwrap();
    let push = world.github().push(id, MAIN, None, None).unwrap();
    world.github().go_down();
    world.accepted(&push).await;
    world.drain().await;
    let job = world.waiting().await;
    assert!(job.attempts <= 1, "{job:?}");
    assert_eq!(job.error.unwrap().0, "github_unreachable");
    world.github().come_back().unwrap();
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}

on_both! {
async fn a_revoked_token_is_an_error_with_its_mend_and_never_tried_again(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    let token = world.onedev().admin_token().to_owned();
    world.onedev().revoke_token(&token);
    world.star(id).await;
    let message = world.assert_error(id, "onedev_unauthorized").await;
    assert!(message.contains("onedev.token") && !message.contains(&token), "{message}");
    let dead: Vec<_> = world.jobs().await.into_iter().filter(|it| it.state == JobState::Dead).collect();
    assert_eq!(dead.iter().map(|it| it.attempts).collect::<Vec<_>>(), [1]);
    world.end().await;
}
}

#[actix::test]
async fn a_token_revoked_between_two_syncs() {
    let (world, id) = mirrored().await;
    let token = world.onedev().admin_token().to_owned();
    world.onedev().revoke_token(&token);
    world.github().commit(id, "main", "README", "two").unwrap();
    world.pushed(id).await;
    world.assert_error(id, "onedev_unauthorized").await;
    assert_eq!(world.mirror(id).await.project.unwrap().path, "github/octo/hello");
    world.end().await;
}

#[actix::test]
async fn a_proxy_that_says_bad_gateway_is_waited_for() {
    let (world, id) = mirrored().await;
    world.github().commit(id, "main", "README", "two").unwrap();
    world.onedev().fail(Trigger::next(On::PUSH), Fault::answer(502, "bad gateway"));
    world.pushed(id).await;
    assert_waits(&world, "onedev_not_ready").await;
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}

#[actix::test]
async fn an_error_of_onedevs_own_is_tried_again_and_passes() {
    let mut world = world();
    let id = world.repository("octo", "hello");
    world.onedev().fail(Trigger::next(On::Rest).times(2), Fault::answer(500, "could not execute statement"));
    world.star(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}
