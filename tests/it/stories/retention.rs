//! Kept refs are given up by age and count, only where that is configured, and never other people's work.

use std::time::Duration;

use starkeep::domain::job::JobKind;
use starkeep::domain::kept::{KEPT, Reason};
use starkeep::simulator::{Fault, On, Trigger};
use starkeep::store::Window;
use starkeep::store::audit;

use super::tools::{MAIN, assert_whole};
use crate::world::{World, on_both};

on_both! {
async fn of_more_kept_refs_than_wanted_the_oldest_are_given_up(world: World) {
    let mut world = world;
    world.config.sync.kept_max_count = Some(1);
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let by_hand = world.onedev().commit(&world.path(id).await, "main", "HAND", "by hand").unwrap();
    world.sync(id).await;
    let mut last = world.tip(id, MAIN);
    for _ in 0..3 {
        last = world.tip(id, MAIN);
        world.github().force_branch(id, "main").unwrap();
        world.pushed(id).await;
    }
    let expected = [(MAIN, by_hand, Reason::MovedInOnedev), (MAIN, last, Reason::Overwritten)];
    world.assert_keeps(id, &expected).await;
    let told = audit::Filter { action: Some("kept.prune".to_owned()), ..audit::Filter::default() };
    let told = world.store().read(move |c| audit::list(c, &told, &Window::default())).await.unwrap();
    assert_eq!(told.items.len(), 2);
    assert_eq!(world.marked(id).await.0.kept.len(), 2);
    assert_whole(&world, &world.path(id).await);
    world.end().await;
}
}

on_both! {
async fn a_kept_ref_that_is_old_goes_and_a_deletion_that_was_cut_off_is_finished(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.github().force_branch(id, "main").unwrap();
    world.pushed(id).await;
    assert_eq!(world.refs_below(id, KEPT).await.len(), 1);
    world.stop().await;
    world.config.sync.kept_max_age = Some(Duration::from_millis(1));
    world.onedev().fail(Trigger::next(On::PUSH).body(KEPT), Fault::CutResponse { after: 0 });
    world.start().await;
    world.sync(id).await;
    world.queue(id, JobKind::Mark).await;
    world.drain().await;
    world.assert_keeps(id, &[]).await;
    world.assert_healthy(id).await;
    world.end().await;
}
}
