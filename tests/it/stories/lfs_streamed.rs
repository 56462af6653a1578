//! LFS where packs are pushed while they come: the objects are there before any ref that needs them.

use starkeep::domain::ids::GithubId;
use starkeep::simulator::{Fault, Hold, On, Trigger};

use super::lfs::noise;
use crate::world::{FAN, World, on_both};

const BATCH: &str = "info/lfs/objects/batch";

/// Upstream has an LFS file and a branch beside its default one, and packs are pushed while they come.
fn streamed(world: &mut World) -> (GithubId, Vec<u8>) {
    world.config.sync.spool_memory = 1_000;
    world.config.sync.stream_above = Some(1);
    let (id, content) = (world.repository("octo", "streamed"), noise(1, 50_000));
    world.github().commit(id, "main", "NOISE", &World::noise(1_500_000)).unwrap();
    world.github().commit_lfs(id, "main", "a.bin", &content).unwrap();
    let tip = world.github().tip(id, "refs/heads/main").unwrap().unwrap();
    world.github().set_ref(id, "refs/heads/topic", tip).unwrap();
    world.github().commit(id, "topic", "more", "words").unwrap();
    (id, content)
}

fn names(world: &World, path: &str) -> Vec<String> {
    world.onedev().refs(path).unwrap().keys().map(|it| it.as_str().to_owned()).collect()
}

on_both! {
async fn objects_come_before_the_refs_though_their_pack_is_streamed(world: World) {
    let mut world = world;
    let (id, content) = streamed(&mut world);
    world.start().await;
    let gate = world.github().hold(Trigger::next(On::Rest).path(BATCH), Hold::Answer);
    let star = world.github().star(FAN, id).unwrap();
    world.accepted(&star).await;
    gate.reached().await;
    let path = world.path(id).await;
    if world.is_cached() {
        assert!(names(&world, &path).is_empty());
    } else {
        assert_eq!(names(&world, &path), ["refs/starkeep/arriving"]);
    }
    gate.release();
    world.drain().await;
    world.assert_healthy(id).await;
    world.assert_object(id, &content).await;
    assert!(!names(&world, &path).iter().any(|it| it.contains("arriving")));

    // The next one is streamed too, and what is forced away meanwhile is kept as ever.
    let old = world.github().tip(id, "refs/heads/topic").unwrap().unwrap();
    let next = noise(2, 40_000);
    world.github().commit(id, "main", "NOISE2", &World::noise(1_600_001)).unwrap();
    world.github().commit_lfs(id, "main", "b.bin", &next).unwrap();
    world.github().force_branch(id, "topic").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_object(id, &next).await;
    world.assert_kept(id, old).await;
    assert!(!names(&world, &path).iter().any(|it| it.contains("arriving")));
    world.end().await;
}
}

on_both! {
async fn a_run_that_is_cut_off_between_a_streamed_pack_and_its_objects_forgets_none(world: World) {
    let mut world = world;
    let (id, content) = streamed(&mut world);
    let process = world.process();
    world.attach().await;
    let gate = world.github().hold(Trigger::next(On::Rest).path(BATCH), Hold::Answer);
    let star = world.github().star(FAN, id).unwrap();
    process.take(&star).await;
    gate.reached().await;
    process.kill();
    gate.release();
    let process = world.process();
    world.drain().await;
    world.assert_healthy(id).await;
    world.assert_object(id, &content).await;
    let path = world.path(id).await;
    assert!(!names(&world, &path).iter().any(|it| it.contains("arriving")));
    process.kill();
}
}

on_both! {
async fn where_onedev_refuses_the_ref_of_arrivals_packs_wait_in_the_spool(world: World) {
    let mut world = world;
    let (id, content) = streamed(&mut world);
    world.onedev().fail(Trigger::next(On::PUSH), Fault::Decline("no such refs here".to_owned()));
    world.star(id).await;
    world.assert_healthy(id).await;
    world.assert_object(id, &content).await;
    world.end().await;
}
}
