//! Either side dies, stalls or lies in the middle of things: a clear error, nothing lost, and level in the end.

use std::time::Duration;

use chrono::Utc;
use starkeep::config::sync::Engine;
use starkeep::domain::ids::GithubId;
use starkeep::domain::kept::Reason;
use starkeep::domain::mirror::Status;
use starkeep::simulator::{Fault, Hold, On, Service, Trigger};

use super::tools::{MAIN, assert_whole, mirrored, name, world};
use crate::world::World;

/// A fetch of a pack for OneDev: not a list of refs, and not one of the small questions.
fn pack() -> Trigger {
    Trigger::next(On::FETCH).body("thin-pack")
}

fn list() -> Trigger {
    Trigger::next(On::FETCH).body("command=ls-refs")
}

fn push() -> Trigger {
    Trigger::next(On::PUSH)
}

/// A mirror whose upstream has moved: forward on `main`, forced on `topic`, a branch gone, one new.
async fn moved() -> (World, GithubId) {
    let (world, id) = mirrored().await;
    for branch in ["topic", "gone"] {
        world.github().commit(id, branch, "FILE", branch).unwrap();
    }
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.github().commit(id, "main", "NOISE", &World::noise(150_000)).unwrap();
    world.github().force_branch(id, "topic").unwrap();
    world.github().commit(id, "new", "FILE", "new").unwrap();
    world.github().delete_ref(id, "refs/heads/gone").unwrap();
    (world, id)
}

/// The sync failed as expected at least once, then all became level and both old tips are kept.
async fn assert_mended(world: &World, id: GithubId, codes: &[&str]) {
    world.assert_healthy(id).await;
    let errors: Vec<String> = world.syncs(id).await.into_iter().filter_map(|it| it.work.error).map(|it| it.0).collect();
    assert!(!errors.is_empty() && errors.iter().all(|it| codes.contains(&it.as_str())), "{errors:?}");
    let kept: Vec<_> = world.keeps(id).await.into_iter().map(|(it, _, why)| (it, why)).collect();
    assert!(kept.contains(&("refs/heads/gone".to_owned(), Reason::Deleted)), "{kept:?}");
    assert!(kept.contains(&("refs/heads/topic".to_owned(), Reason::Overwritten)), "{kept:?}");
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert_whole(world, &world.path(id).await);
}

#[actix::test]
async fn upstream_dies_in_the_middle_of_a_pack() {
    let (world, id) = moved().await;
    world.github().fail(pack().times(2), Fault::CutResponse { after: 60 });
    world.pushed(id).await;
    assert_mended(&world, id, &["upstream_unreachable", "upstream_truncated"]).await;
    world.end().await;
}

#[actix::test]
async fn an_outage_that_outlasts_the_tries_is_over_at_the_next_usual_look() {
    let (world, id) = mirrored().await;
    world.github().commit(id, "main", "README", "two").unwrap();
    world.github().fail(Trigger::next(On::Any).always(), Fault::answer(503, "down"));
    let mirror = world.pushed(id).await;
    assert_eq!(mirror.status, Status::Error);
    let pause = mirror.next_sync_at.unwrap() - Utc::now();
    assert!(pause < chrono::TimeDelta::hours(2), "not a day: {pause}");
    world.github().clear_faults();
    world.sync(id).await;
    world.assert_healthy(id).await;
    // What no trying mends has time.
    world.github().fail(Trigger::next(On::Any).always(), Fault::answer(403, "no"));
    world.github().commit(id, "main", "README", "three").unwrap();
    let pause = world.pushed(id).await.next_sync_at.unwrap() - Utc::now();
    assert!(pause > chrono::TimeDelta::hours(20), "a day: {pause}");
    world.end().await;
}

#[actix::test]
async fn upstream_sends_garbage_for_a_pack() {
    let (world, id) = moved().await;
    world.github().fail(pack().times(2), Fault::GarbagePack);
    world.pushed(id).await;
    assert_mended(&world, id, &["upstream_protocol"]).await;
    world.end().await;
}

#[actix::test]
async fn upstream_does_not_answer_whether_a_branch_went_forward_so_its_tip_is_kept() {
    let (world, id) = mirrored().await;
    if world.config.sync.engine == Engine::Cached {
        // The copy answers.
        return world.end().await;
    }
    let old = world.tip(id, MAIN);
    world.github().commit(id, "main", "README", "two").unwrap();
    world.github().fail(Trigger::next(On::FETCH).body(&format!("want {old}")), Fault::CutResponse { after: 10 });
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[(MAIN, old, Reason::Overwritten)]).await;
    world.end().await;
}

#[actix::test]
async fn a_pack_whose_end_is_lost_is_not_taken_for_whole() {
    let (world, id) = moved().await;
    world.github().fail(pack().times(3), Fault::CutResponse { after: 100_000 });
    world.pushed(id).await;
    assert_mended(&world, id, &["upstream_unreachable", "upstream_truncated"]).await;
    world.end().await;
}

#[actix::test]
async fn a_list_of_refs_without_its_end_prunes_nothing() {
    let (world, id) = moved().await;
    let before = world.refs(id).await;
    // A server whose first list is strange is asked what it speaks, and once more.
    world.github().fail(list().times(2), Fault::LoseFlush);
    world.pushed(id).await;
    assert_mended(&world, id, &["upstream_truncated"]).await;
    for (name, _) in before.iter().filter(|(it, _)| it.as_str() != "refs/heads/gone") {
        assert!(world.refs(id).await.contains_key(name), "{name}");
    }
    world.end().await;
}

#[actix::test]
async fn onedevs_list_of_refs_without_its_end_is_no_list() {
    let (world, id) = moved().await;
    world.onedev().fail(Trigger::next(On::Advertise(Service::ReceivePack)), Fault::LoseFlush);
    world.pushed(id).await;
    assert_mended(&world, id, &["onedev_truncated"]).await;
    world.end().await;
}

#[actix::test]
async fn upstream_stalls_in_the_middle_of_a_pack() {
    let mut world = world();
    world.config.sync.stall_timeout = Duration::from_millis(200);
    let id = world.repository("octo", "hello");
    world.github().commit(id, "main", "NOISE", &World::noise(200_000)).unwrap();
    world.github().fail(pack(), Fault::StallResponse { after: 50_000 });
    world.star(id).await;
    world.assert_healthy(id).await;
    let errors: Vec<String> = world.syncs(id).await.into_iter().filter_map(|it| it.work.error).map(|it| it.0).collect();
    assert_eq!(errors, ["upstream_stalled"]);
    world.end().await;
}

#[actix::test]
async fn onedev_dies_in_the_middle_of_a_push() {
    let (world, id) = moved().await;
    let main = world.refs(id).await[&name(MAIN)];
    world.onedev().fail(push().nth(2), Fault::CutRequest { after: 70_000 });
    world.pushed(id).await;
    assert_mended(&world, id, &["onedev_unreachable", "onedev_truncated"]).await;
    assert_ne!(world.refs(id).await[&name(MAIN)], main);
    world.end().await;
}

#[actix::test]
async fn onedev_dies_after_the_push_and_before_its_report() {
    let (world, id) = moved().await;
    for nth in [1, 2] {
        world.onedev().fail(push().nth(nth), Fault::CutResponse { after: 0 });
    }
    world.pushed(id).await;
    assert_mended(&world, id, &["onedev_unreachable", "onedev_truncated"]).await;
    world.end().await;
}

#[actix::test]
async fn a_push_without_a_report_is_looked_at_again() {
    let (world, id) = moved().await;
    world.onedev().fail(push().times(2), Fault::LoseReport);
    world.pushed(id).await;
    assert_mended(&world, id, &["onedev_report_missing", "onedev_truncated"]).await;
    world.end().await;
}

#[actix::test]
async fn what_was_put_by_a_push_of_which_nobody_heard_again_is_known_as_ours() {
    let (world, id) = mirrored().await;
    let second = world.github().commit(id, "main", "README", "two").unwrap();
    let gate = world.onedev().hold(push(), Hold::Answer);
    world.onedev().fail(push(), Fault::CutResponse { after: 0 });
    // By the time it is tried again, upstream has been forced: the tip in between was put by us.
    let delivery = world.github().push(id, MAIN, None, None).unwrap();
    world.accepted(&delivery).await;
    gate.reached().await;
    world.github().force_branch(id, "main").unwrap();
    gate.release();
    world.drain().await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[(MAIN, second, Reason::Overwritten)]).await;
    world.end().await;
}

#[actix::test]
async fn somebody_moves_a_ref_between_the_reading_and_the_push() {
    let (world, id) = mirrored().await;
    let path = world.path(id).await;
    world.github().commit(id, "main", "README", "two").unwrap();
    let gate = world.onedev().hold(push(), Hold::Arrival);
    let delivery = world.github().push(id, MAIN, None, None).unwrap();
    world.accepted(&delivery).await;
    gate.reached().await;
    let by_hand = world.onedev().commit(&path, "main", "HAND", "by hand").unwrap();
    gate.release();
    world.drain().await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[(MAIN, by_hand, Reason::MovedInOnedev)]).await;
    world.end().await;
}

#[actix::test]
async fn somebody_moves_a_ref_again_and_again() {
    let (world, id) = mirrored().await;
    let path = world.path(id).await;
    world.github().commit(id, "main", "README", "two").unwrap();
    let gates: Vec<_> = [1, 3, 5].map(|nth| world.onedev().hold(push().nth(nth), Hold::Arrival)).into();
    let delivery = world.github().push(id, MAIN, None, None).unwrap();
    world.accepted(&delivery).await;
    let mut by_hand = Vec::new();
    for (n, gate) in gates.iter().enumerate() {
        gate.reached().await;
        by_hand.push(world.onedev().commit(&path, "main", "HAND", &format!("by hand {n}")).unwrap());
        gate.release();
    }
    world.drain().await;
    world.assert_healthy(id).await;
    assert!(world.aliases(id).await.is_empty());
    for tip in by_hand {
        world.assert_kept(id, tip).await;
    }
    world.end().await;
}

#[actix::test]
async fn upstream_moves_while_it_is_mirrored() {
    let (world, id) = mirrored().await;
    world.github().commit(id, "main", "README", "two").unwrap();
    let gate = world.github().hold(pack(), Hold::Arrival);
    let delivery = world.github().push(id, MAIN, None, None).unwrap();
    world.accepted(&delivery).await;
    gate.reached().await;
    world.github().commit(id, "main", "README", "three").unwrap();
    world.github().commit(id, "late", "LATE", "late").unwrap();
    gate.release();
    world.drain().await;
    world.assert_healthy(id).await;
    assert!(world.syncs(id).await.iter().all(|it| it.work.error.is_none()));
    world.end().await;
}

#[actix::test]
async fn an_event_during_a_sync_queues_one_more() {
    let (world, id) = mirrored().await;
    world.github().commit(id, "main", "README", "two").unwrap();
    let gate = world.onedev().hold(push(), Hold::Arrival);
    let before = world.syncs(id).await.len();
    for _ in 0..3 {
        let delivery = world.github().push(id, MAIN, None, None).unwrap();
        world.accepted(&delivery).await;
        if world.syncs(id).await.len() == before {
            gate.reached().await;
        }
    }
    gate.release();
    world.drain().await;
    world.assert_healthy(id).await;
    assert_eq!(world.syncs(id).await.len(), before + 2);
    world.end().await;
}

/// A repository of a few MB that cannot be made smaller.
fn bulky(world: &World) -> GithubId {
    let id = world.repository("octo", "bulky");
    for n in 0..3 {
        world.github().commit(id, "main", &format!("NOISE{n}"), &World::noise(1_000_000 + n)).unwrap();
    }
    id
}

#[actix::test]
async fn a_pack_that_outgrows_the_memory_waits_in_a_file_without_a_name() {
    let mut world = world();
    let spool = tempfile::tempdir().unwrap();
    world.config.sync.spool_memory = 1_000;
    world.config.sync.stream_above = None;
    world.config.sync.spool_dir = Some(spool.path().to_owned());
    let id = bulky(&world);
    world.star(id).await;
    world.assert_healthy(id).await;
    assert_whole(&world, &world.path(id).await);
    assert_eq!(std::fs::read_dir(spool.path()).unwrap().count(), 0);
    world.end().await;
}

#[actix::test]
async fn a_fast_pack_is_streamed_and_one_that_breaks_off_comes_again_through_the_file() {
    for broken in [false, true] {
        let mut world = world();
        world.config.sync.spool_memory = 1_000;
        world.config.sync.stream_above = Some(1);
        let id = bulky(&world);
        if broken {
            world.github().fail(pack(), Fault::CutResponse { after: 1_500_000 });
        }
        world.star(id).await;
        world.assert_healthy(id).await;
        assert_whole(&world, &world.path(id).await);
        assert!(world.syncs(id).await.iter().all(|it| it.work.error.is_none()), "mended within one sync");
        world.end().await;
    }
}

#[actix::test]
async fn onedev_dies_under_a_stream() {
    let mut world = world();
    world.config.sync.spool_memory = 1_000;
    world.config.sync.stream_above = Some(1);
    let id = bulky(&world);
    world.onedev().fail(push(), Fault::CutRequest { after: 1_000_000 });
    world.star(id).await;
    world.assert_healthy(id).await;
    assert_whole(&world, &world.path(id).await);
    world.end().await;
}

#[actix::test]
async fn a_spool_folder_that_is_not_there_is_told_and_nothing_is_pushed() {
    let mut world = world();
    world.config.retry.max_attempts = 2;
    world.config.sync.spool_memory = 1_000;
    world.config.sync.stream_above = None;
    let missing = world.folder.path().join("no-such-folder");
    world.config.sync.spool_dir = Some(missing.clone());
    let id = bulky(&world);
    world.star(id).await;
    let message = world.assert_error(id, "spool_failed").await;
    assert!(message.contains("no-such-folder") && message.contains("does not exist"), "{message}");
    std::fs::create_dir(missing).unwrap();
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}

#[actix::test]
async fn three_mirrors_at_once_before_onedevs_one_slot() {
    let mut world = world();
    let ids: Vec<_> = ["a", "b", "c"].iter().map(|it| world.repository("octo", it)).collect();
    for id in &ids {
        world.github().commit(*id, "main", "NOISE", &World::noise(300_000)).unwrap();
    }
    world.start().await;
    let gate = world.onedev().hold(push(), Hold::RequestBytes(100));
    for id in &ids {
        let star = world.github().star(crate::world::FAN, *id).unwrap();
        world.accepted(&star).await;
    }
    gate.reached().await;
    gate.release();
    world.drain().await;
    for id in ids {
        world.assert_healthy(id).await;
        assert_eq!(world.syncs(id).await.len(), 1);
    }
    world.end().await;
}

#[actix::test]
async fn a_sync_that_takes_too_long_is_given_up() {
    let mut world = world();
    (world.config.retry.max_attempts, world.config.sync.timeout) = (1, Duration::from_millis(300));
    let id = world.repository("octo", "hello");
    let gate = world.github().hold(list(), Hold::Arrival);
    world.star(id).await;
    let message = world.assert_error(id, "timeout").await;
    assert!(message.contains("sync.timeout"), "{message}");
    gate.release();
    world.stop().await;
    world.config.sync.timeout = Duration::from_secs(60);
    world.start().await;
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}

#[actix::test]
async fn a_failure_that_stays_ends_dead_and_an_admin_wakes_it() {
    let mut world = world();
    world.config.retry.max_attempts = 3;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.github().commit(id, "main", "README", "two").unwrap();
    world.github().fail(pack().always(), Fault::GarbagePack);
    world.pushed(id).await;
    world.assert_error(id, "upstream_protocol").await;
    assert_eq!(world.mirror(id).await.attempts, 3);
    world.github().clear_faults();
    let mirror = world.sync(id).await;
    world.assert_healthy(id).await;
    assert_eq!((mirror.attempts, mirror.status), (0, Status::Healthy));
    world.end().await;
}

#[actix::test]
async fn the_service_stops_in_the_middle_of_a_push_and_goes_on_after_the_next_start() {
    let (mut world, id) = moved().await;
    world.stop().await;
    world.config.server.shutdown_timeout = Duration::from_millis(10);
    world.start().await;
    let gate = world.onedev().hold(push().nth(2), Hold::RequestBytes(50_000));
    let delivery = world.github().push(id, MAIN, None, None).unwrap();
    world.accepted(&delivery).await;
    gate.reached().await;
    world.stop().await;
    gate.release();
    world.start().await;
    world.drain().await;
    assert_mended(&world, id, &["called_off"]).await;
    world.end().await;
}
