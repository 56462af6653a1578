//! The cached engine: the same refs, the same kept tips, the same proof, and a copy on disk that may be
//! cut off, damaged or thrown away at any moment. With `STARKEEP_TEST_ENGINE=cached` all other stories
//! are told over it too.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use starkeep::domain::ids::GithubId;
use starkeep::domain::job::JobKind;
use starkeep::domain::kept::Reason;
use starkeep::domain::mirror::Status;
use starkeep::domain::refs::Oid;
use starkeep::simulator::{Fault, Hold, On, Trigger};

use super::tools::{MAIN, assert_whole, world};
use crate::api;
use crate::world::{ADMIN, FAN, World, on_both};

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Where a copy was fetched whole: a fetch that names no object of it.
fn pack() -> Trigger {
    Trigger::next(On::FETCH).body("thin-pack")
}

/// The copy of a mirror holds exactly what upstream shows, and all that it needs.
fn assert_copy(world: &World, cache: &Path, network: GithubId, id: GithubId) {
    let copy = cache.join(format!("{network}.git"));
    git(&copy, &["fsck", "--full", "--strict"]);
    let prefix = format!("refs/starkeep/mirrors/{id}/");
    let listed = git(&copy, &["for-each-ref", "--format=%(objectname) %(refname)", &prefix]);
    let mut held: Vec<String> = listed.lines().map(|it| it.replace(&prefix, "refs/")).collect();
    held.sort();
    let upstream = starkeep::domain::refs::managed(&world.github().refs(id).unwrap(), &world.config.sync.refs);
    let mut shown: Vec<String> = upstream.iter().map(|(name, oid)| format!("{oid} {name}")).collect();
    shown.sort();
    assert_eq!(held, shown);
    for entry in std::fs::read_dir(copy.join("objects/pack")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(name.starts_with("pack-"), "{name} was left behind");
    }
}

on_both! {
    async fn all_that_happens_to_a_repository_is_mirrored_out_of_a_copy(world: World) {
        let mut world = world;
        let cache = world.cached();
        let id = world.repository("octo", "hello");
        for branch in ["topic", "gone", "plus+sign"] {
            world.github().commit(id, branch, "FILE", branch).unwrap();
        }
        world.github().annotated_tag(id, "v1", world.tip(id, MAIN)).unwrap();
        world.github().tag_of_blob(id, "blob", "a blob").unwrap();
        world.star(id).await;
        assert_eq!(world.mirror(id).await.status, Status::Partial, "plus+sign has an alias");
        assert_copy(&world, &cache, id, id);
        let (topic, gone) = (world.tip(id, "refs/heads/topic"), world.tip(id, "refs/heads/gone"));
        world.github().delete_ref(id, "refs/heads/plus+sign").unwrap();
        world.github().commit(id, "main", "README", "two").unwrap();
        world.github().force_branch(id, "topic").unwrap();
        world.github().delete_ref(id, "refs/heads/gone").unwrap();
        world.github().commit(id, "gone/now-a-folder", "FILE", "x").unwrap();
        world.pushed(id).await;
        world.assert_healthy(id).await;
        for (tip, why) in [(topic, Reason::Overwritten), (gone, Reason::Deleted)] {
            assert!(world.keeps(id).await.iter().any(|(_, oid, reason)| (*oid, *reason) == (tip, why)));
        }
        assert!(!world.keeps(id).await.iter().any(|(name, ..)| name == MAIN), "it went forward");
        assert_copy(&world, &cache, id, id);
        assert_whole(&world, &world.path(id).await);
        let runs = world.syncs(id).await;
        assert!(runs.iter().all(|it| it.engine == "cached"), "{runs:?}");
        assert!(runs.iter().any(|it| it.work.bytes_in > 0 && it.work.bytes_out > 0));
        world.end().await;
    }
}

#[actix::test]
async fn nothing_is_asked_of_upstream_that_the_copy_can_tell() {
    let mut world = world();
    world.cached();
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.github().commit(id, "main", "README", "two").unwrap();
    world.github().annotated_tag(id, "v1", world.tip(id, MAIN)).unwrap();
    world.github().clear_requests();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    let posts = world.github().requests().iter().filter(|it| it.method == "POST").count();
    // Refs, the pack, refs again.
    assert_eq!(posts, 3, "{:?}", world.github().requests());
    world.end().await;
}

async fn changed(world: &World, id: GithubId) -> Oid {
    let old = world.tip(id, "refs/heads/topic");
    world.github().commit(id, "main", "NOISE", &World::noise(150_000)).unwrap();
    world.github().force_branch(id, "topic").unwrap();
    old
}

#[actix::test]
async fn either_side_may_die_in_the_middle_of_a_pack() {
    let faults: [fn(&World); 4] = [
        |it| it.github().fail(pack().times(2), Fault::CutResponse { after: 60_000 }),
        |it| it.github().fail(pack().times(2), Fault::GarbagePack),
        |it| it.onedev().fail(Trigger::next(On::PUSH).nth(2), Fault::CutRequest { after: 70_000 }),
        |it| it.onedev().fail(Trigger::next(On::PUSH).nth(2), Fault::CutResponse { after: 0 }),
    ];
    for fault in faults {
        let mut world = world();
        let cache = world.cached();
        let id = world.repository("octo", "hello");
        world.github().commit(id, "topic", "FILE", "topic").unwrap();
        world.star(id).await;
        let old = changed(&world, id).await;
        fault(&world);
        world.pushed(id).await;
        world.assert_healthy(id).await;
        world.assert_kept(id, old).await;
        assert!(world.syncs(id).await.iter().any(|it| it.work.error.is_some()));
        assert_copy(&world, &cache, id, id);
        assert_whole(&world, &world.path(id).await);
        world.end().await;
    }
}

#[actix::test]
async fn a_process_that_is_killed_while_the_copy_is_filled_leaves_nothing_behind() {
    let mut world = world();
    let cache = world.cached();
    world.config.sync.lease = Duration::from_secs(1);
    world.attach().await;
    let id = world.repository("octo", "hello");
    world.github().commit(id, "main", "NOISE", &World::noise(400_000)).unwrap();
    let process = world.process();
    let gate = world.github().hold(pack(), Hold::ResponseBytes(150_000));
    let star = world.github().star(FAN, id).unwrap();
    process.take(&star).await;
    gate.reached().await;
    process.kill();
    gate.release();
    world.start().await;
    world.drain().await;
    world.assert_healthy(id).await;
    assert_copy(&world, &cache, id, id);
    world.end().await;
}

#[actix::test]
async fn a_copy_that_is_damaged_or_lost_is_fetched_anew() {
    let mut world = world();
    let cache = world.cached();
    let id = world.repository("octo", "hello");
    world.github().commit(id, "topic", "FILE", "topic").unwrap();
    world.star(id).await;
    let copy = cache.join(format!("{id}.git"));
    let damages: [&dyn Fn(); 3] = [
        &|| std::fs::write(copy.join("HEAD"), "rubbish").unwrap(),
        &|| std::fs::remove_dir_all(&copy).unwrap(),
        &|| std::fs::remove_dir_all(copy.join("objects/pack")).unwrap(),
    ];
    for damage in damages {
        damage();
        let old = changed(&world, id).await;
        world.pushed(id).await;
        world.assert_healthy(id).await;
        world.assert_kept(id, old).await;
        assert_copy(&world, &cache, id, id);
    }
    world.end().await;
}

#[actix::test]
async fn forks_share_one_copy_and_a_mirror_that_is_forgotten_leaves_it() {
    let mut world = world();
    let cache = world.cached();
    let id = world.repository("octo", "hello");
    world.github().commit(id, "main", "NOISE", &World::noise(300_000)).unwrap();
    world.star(id).await;
    let fork = world.github().fork(id, "other", "hello").unwrap();
    world.github().commit(fork, "main", "MINE", "mine").unwrap();
    world.star(fork).await;
    for it in [id, fork] {
        world.assert_healthy(it).await;
        assert_copy(&world, &cache, id, it);
    }
    let of_fork = world.syncs(fork).await.iter().map(|it| it.work.bytes_in).sum::<u64>();
    assert!(of_fork < 10_000, "{of_fork} bytes were fetched again");
    let copy = cache.join(format!("{id}.git"));
    for (gone, left) in [(id, Some(fork)), (fork, None)] {
        let url = world.url(&format!("/api/v1/mirrors/{}", world.mirror(gone).await.id));
        let answer = api::call(api::request(reqwest::Method::DELETE, &url).bearer_auth(ADMIN)).await;
        assert_eq!(answer.status, 204);
        let is_left = || match left {
            Some(left) => {
                let refs = git(&copy, &["for-each-ref", "--format=%(refname)"]);
                !refs.contains(&format!("/{gone}/")) && refs.contains(&format!("/{left}/"))
            }
            None => !copy.exists(),
        };
        assert!(is_left(), "{gone} is still in the copy");
    }
    world.end().await;
}

#[actix::test]
async fn what_was_forgotten_while_nobody_looked_goes_at_the_start() {
    let mut world = world();
    let cache = world.cached();
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.stop().await;
    std::fs::rename(cache.join(format!("{id}.git")), cache.join("999.git")).unwrap();
    world.start().await;
    // The service tidies beside its work.
    for _ in 0..2_000 {
        if !cache.join("999.git").exists() {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
    assert!(!cache.join("999.git").exists());
    world.github().commit(id, "main", "README", "two").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_copy(&world, &cache, id, id);
    world.end().await;
}

#[actix::test]
async fn the_engine_may_be_changed_at_any_time() {
    let mut world = world();
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.stop().await;
    let cache = world.cached();
    world.start().await;
    // A close look fills the copy, though nothing has changed.
    world.sync(id).await;
    assert_copy(&world, &cache, id, id);
    world.stop().await;
    world.config.sync.engine = starkeep::config::sync::Engine::Relay;
    world.start().await;
    world.github().commit(id, "main", "README", "two").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.queue(id, JobKind::Verify).await;
    world.drain().await;
    world.assert_healthy(id).await;
    world.end().await;
}
