//! An actor dies in the middle of its work.

use starkeep::domain::mirror::Status;

use crate::world::{FAN, World, on_both};

on_both! {
async fn every_stage_is_replaced_after_a_panic_and_the_job_is_done(world: World) {
    let mut world = world;
    world.start().await;
    for stage in ["orchestrator", "describe", "ensure", "transfer", "record"] {
        let id = world.repository("octo", stage);
        world.panics.plan(stage, 1);
        let mirror = world.star(id).await;
        assert_eq!(mirror.status, Status::Healthy, "{stage}: {:?}", mirror.error);
        world.assert_healthy(id).await;
        assert_eq!(world.app().metrics.actor_restarts.with_label_values(&[stage]).get(), 1, "{stage}");
    }
    world.end().await;
}
}

on_both! {
async fn a_delivery_over_which_the_reception_died_may_come_again(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.start().await;
    world.panics.plan("accept", 1);
    let star = world.github().star(FAN, id).unwrap();
    let (code, answer) = world.send(&star).await;
    assert_eq!(code, 503, "{answer}");
    assert_eq!(world.accepted(&star).await, "accepted");
    world.drain().await;
    world.assert_healthy(id).await;
    assert_eq!(world.app().metrics.actor_restarts.with_label_values(&["accept"]).get(), 1);
    world.end().await;
}
}

#[actix::test]
async fn a_job_that_always_kills_its_stage_ends_dead_and_the_others_are_done() {
    let mut world = World::new(crate::world::Backend::Sqlite).unwrap();
    world.config.retry.max_attempts = 3;
    world.start().await;
    let (bad, good) = (world.repository("octo", "bad"), world.repository("octo", "good"));
    world.panics.plan("transfer", 3);
    world.star(bad).await;
    let mirror = world.mirror(bad).await;
    assert_eq!((mirror.status, mirror.error.unwrap().code.as_str()), (Status::Error, "crashed"));
    assert_eq!(world.star(good).await.status, Status::Healthy);
    world.end().await;
}
