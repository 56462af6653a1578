//! LFS: what pointer files name is in OneDev, or named as not there.

use starkeep::domain::ids::GithubId;
use starkeep::domain::job::JobKind;
use starkeep::domain::lfs::{ObjectState, Pointer};
use starkeep::domain::mirror::Status;
use starkeep::simulator::{Fault, Hold, On, Trigger};
use starkeep::store::lfs;
use starkeep::store::page::Window;

use crate::api;
use crate::world::{FAN, World, on_both};

const BATCH: &str = "info/lfs/objects/batch";

/// So many bytes that nothing compresses, the same each time.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut it = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        it ^= it << 13;
        it ^= it >> 7;
        it ^= it << 17;
        it.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

impl World {
    pub async fn assert_object(&self, id: GithubId, content: &[u8]) {
        let have = self.onedev().lfs_object(&self.path(id).await, Pointer::of(content).oid).unwrap();
        assert!(have.as_deref() == Some(content), "the object is not there as it should be");
    }

    /// Requests at OneDev that are about LFS objects, as `PUT`, `POST` or `GET`, and pushes as `PUSH`.
    fn seen_at_onedev(&self) -> Vec<String> {
        let of = |it: &starkeep::simulator::RequestRecord| {
            let lfs = it.path.contains("/lfs/");
            let push = it.path.ends_with("git-receive-pack") && it.method == "POST";
            if lfs { Some(it.method.clone()) } else { push.then(|| "PUSH".to_owned()) }
        };
        let mut seen: Vec<String> = self.onedev().requests().iter().filter_map(of).collect();
        // The marker goes behind the refs, in a push of its own.
        seen.dedup_by(|a, b| a == "PUSH" && b == "PUSH");
        seen
    }

    async fn named(&self, id: GithubId) -> Vec<(String, String)> {
        let mirror = self.mirror(id).await;
        mirror.not_level.iter().map(|it| (it.name.to_string(), it.reason.clone())).collect()
    }

    pub async fn states(&self, id: GithubId) -> Vec<ObjectState> {
        let mirror = self.mirror(id).await.id;
        let page = self.store().read(move |c| lfs::list(c, mirror, &Window::default())).await.unwrap();
        page.items.iter().map(|it| it.state).collect()
    }
}

on_both! {
async fn objects_come_before_the_refs_and_only_what_is_new_is_asked_for(world: World) {
    let mut world = world;
    let id = world.repository("octo", "media");
    let (small, large) = (noise(1, 3_000), noise(2, 3_000_000));
    world.github().commit_lfs(id, "main", "a.bin", &small).unwrap();
    world.github().commit_lfs(id, "main", "b.bin", &large).unwrap();
    world.star(id).await;
    world.assert_healthy(id).await;
    world.assert_object(id, &small).await;
    world.assert_object(id, &large).await;
    let seen = world.seen_at_onedev();
    assert_eq!(seen, ["POST", "PUT", "PUT", "PUSH"], "one question, two objects, then the refs");

    let mirror = world.mirror(id).await.id;
    let runs = world.store().read(move |c| starkeep::store::syncs::list(c, mirror, &Window::default())).await.unwrap();
    let work = &runs.items[0].work;
    assert!((3_003_000..3_100_000).contains(&work.bytes_in), "each byte is counted once: {work:?}");
    assert!(work.changes.iter().any(|it| it.as_str().is_some_and(|it| it.starts_with("lfs 2 objects"))), "{work:?}");

    // A pointer that changes comes as a delta on one that is not in the pack.
    world.onedev().clear_requests();
    world.github().clear_requests();
    let changed = noise(3, 5_000);
    world.github().commit_lfs(id, "main", "a.bin", &changed).unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_object(id, &changed).await;
    assert_eq!(world.seen_at_onedev(), ["POST", "PUT", "PUSH"]);
    let fetches = world.github().requests().iter().filter(|it| it.path.ends_with("git-upload-pack")).count();
    // The copy has the base of the delta, and its packs need none from elsewhere.
    let bases = usize::from(!world.is_cached());
    assert_eq!(fetches, 3 + bases, "refs, the pack, the base of the delta, refs");

    // A commit without pointers, and nothing at all, ask nothing.
    world.onedev().clear_requests();
    world.github().commit(id, "main", "README", "new words").unwrap();
    world.pushed(id).await;
    assert_eq!(world.seen_at_onedev(), ["PUSH"]);
    world.end().await;
}
}

on_both! {
async fn what_cannot_be_brought_is_named_and_the_refs_are_level(world: World) {
    let mut world = world;
    let id = world.repository("octo", "broken");
    let mut pointers = Vec::new();
    for (number, length) in (0..6).zip([100, 200, 300, 2_000_000, 2_000_000, 500]) {
        let content = noise(number, length);
        let (_, pointer) = world.github().commit_lfs(id, "main", &format!("{number}.bin"), &content).unwrap();
        pointers.push((pointer, content));
    }
    for (at, code) in [(0, 404), (1, 410), (2, 422)] {
        world.github().refuse_lfs(id, pointers[at].0.oid, code);
    }
    world.github().spoil_lfs(id, pointers[3].0.oid, &noise(99, 2_000_000)).unwrap();
    world.github().spoil_lfs(id, pointers[4].0.oid, &noise(4, 1_500_000)).unwrap();
    let garbage = "version https://git-lfs.github.com/spec/v1\noid sha256:nothing\nsize 5\n";
    world.github().commit(id, "main", "garbage.bin", garbage).unwrap();
    let huge = Pointer { oid: Pointer::of(b"huge").oid, size: 5_000_000_000 };
    world.github().commit(id, "main", "huge.bin", &String::from_utf8(huge.to_bytes()).unwrap()).unwrap();
    let mirror = world.star(id).await;
    assert_eq!(mirror.status, Status::Partial, "{:?}", mirror.error);
    let upstream = starkeep::domain::refs::managed(&world.github().refs(id).unwrap(), &world.config.sync.refs);
    assert_eq!(world.managed(id).await, upstream);
    world.assert_object(id, &pointers[5].1).await;

    let named = world.named(id).await;
    assert_eq!(named.len(), 7, "{named:#?}");
    let url = world.url(&format!("/api/v1/mirrors/{}/lfs", mirror.id));
    let listed = api::call(api::request(reqwest::Method::GET, &url).bearer_auth(crate::world::ADMIN)).await.json();
    let there = listed["items"].as_array().unwrap().iter().filter(|it| it["state"] == "there").count();
    assert_eq!((listed["items"].as_array().unwrap().len(), there), (7, 1), "{listed:#}");
    let reason = |name: String| named.iter().find(|it| it.0 == name).unwrap_or_else(|| panic!("{name}: {named:#?}")).1.clone();
    let words = ["404", "410", "422", "hash", "1500000 bytes"];
    for ((pointer, _), word) in pointers.iter().zip(words) {
        assert!(reason(format!("lfs:{}", pointer.oid)).contains(word), "{named:#?}");
    }
    assert!(reason(format!("lfs:{}", huge.oid)).contains("takes no object of 5000000000 bytes"));
    assert!(named.iter().any(|it| it.0.starts_with("lfs-pointer:") && it.1.contains("oid")));
    assert!(mirror.next_sync_at.unwrap() < chrono::Utc::now() + chrono::TimeDelta::hours(1));
    for (pointer, _) in &pointers[..5] {
        let have = world.onedev().lfs_object(&world.path(id).await, pointer.oid).unwrap();
        assert!(have.is_none_or(|it| Pointer::of(&it).oid != pointer.oid && it.len() < 2_000_000));
    }

    for (pointer, content) in &pointers {
        world.github().mend_lfs(id, pointer.oid);
        world.github().spoil_lfs(id, pointer.oid, content).unwrap();
    }
    world.sync(id).await;
    for (_, content) in &pointers {
        world.assert_object(id, content).await;
    }
    assert_eq!(world.named(id).await.len(), 2, "the two that nobody can mend");
    world.end().await;
}
}

on_both! {
async fn an_object_over_quota_is_tried_again_at_its_own_time(world: World) {
    let mut world = world;
    let id = world.repository("octo", "quota");
    let content = noise(1, 1_000);
    world.github().commit_lfs(id, "main", "a.bin", &content).unwrap();
    world.github().fail(Trigger::next(On::Rest).path(BATCH), Fault::too_many_requests(1200));
    let mirror = world.star(id).await;
    assert_eq!(mirror.status, Status::Partial);
    let (now, next) = (chrono::Utc::now(), mirror.next_sync_at.unwrap());
    assert!(next > now + chrono::TimeDelta::minutes(15) && next < now + chrono::TimeDelta::minutes(21), "{next}");
    // A routine look before that time leaves it alone, one at that time brings it.
    let (mirror_id, pointer) = (mirror.id, Pointer::of(&content));
    let routine = starkeep::domain::job::Priority::ROUTINE;
    for (is_due, status) in [(false, Status::Partial), (true, Status::Healthy)] {
        if is_due {
            let earlier = move |c: &mut starkeep::store::Connection| {
                lfs::failed(c, mirror_id, pointer, ObjectState::Missing, "quota", chrono::Utc::now())
            };
            world.store().write(earlier).await.unwrap();
        }
        let correlation = starkeep::domain::ids::CorrelationId(uuid::Uuid::now_v7());
        let job = starkeep::store::jobs::NewJob::of(JobKind::Sync, mirror_id, routine, correlation);
        world.store().write(move |c| starkeep::store::jobs::enqueue(c, &job, chrono::Utc::now())).await.unwrap();
        world.drain().await;
        assert_eq!(world.mirror(id).await.status, status, "{:?}", world.named(id).await);
    }
    world.assert_object(id, &content).await;
    world.end().await;
}
}

on_both! {
async fn an_upload_that_broke_off_is_read_back_and_made_good(world: World) {
    let mut world = world;
    let id = world.repository("octo", "torn");
    let content = noise(1, 3_000_000);
    world.github().commit_lfs(id, "main", "a.bin", &content).unwrap();
    world.onedev().fail(Trigger::next(On::Rest).method("PUT"), Fault::CutRequest { after: 300_000 });
    assert_eq!(world.star(id).await.status, Status::Partial);
    assert_eq!(world.states(id).await, [ObjectState::Uploading]);
    let torn = world.onedev().lfs_object(&world.path(id).await, Pointer::of(&content).oid).unwrap().unwrap();
    assert!(torn.len() < content.len(), "a short file stands under the final name");
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.assert_object(id, &content).await;
    world.end().await;
}
}

on_both! {
async fn an_object_that_was_there_before_is_not_believed_unread(world: World) {
    let mut world = world;
    let id = world.repository("octo", "before");
    world.star(id).await;
    let (good, bad) = (noise(1, 4_000), noise(2, 4_000));
    let path = world.path(id).await;
    world.onedev().put_lfs(&path, Pointer::of(&good).oid, &good).unwrap();
    world.onedev().put_lfs(&path, Pointer::of(&bad).oid, &bad[..1_000]).unwrap();
    world.github().commit_lfs(id, "main", "good.bin", &good).unwrap();
    world.github().commit_lfs(id, "main", "bad.bin", &bad).unwrap();
    world.onedev().clear_requests();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_object(id, &good).await;
    world.assert_object(id, &bad).await;
    assert_eq!(world.seen_at_onedev().iter().filter(|it| *it == "PUT").count(), 1, "the good one is left alone");
    world.end().await;
}
}

on_both! {
async fn a_pointer_with_a_wrong_size_never_harms_the_object(world: World) {
    let mut world = world;
    // Whichever comes first, whichever is longer, and whichever is a delta on the other in the pack.
    for (case, wrong_first, size) in [(0, false, 300_007), (1, true, 300_007), (2, false, 299), (3, true, 299)] {
        let id = world.repository("octo", &format!("size-{case}"));
        let content = noise(case, 300_000);
        let right = world.github().put_lfs(id, &content).unwrap();
        let wrong = Pointer { size, ..right };
        let both = if wrong_first { [wrong, right] } else { [right, wrong] };
        for (name, pointer) in ["a.bin", "b.bin"].into_iter().zip(both) {
            world.github().commit(id, "main", name, &String::from_utf8(pointer.to_bytes()).unwrap()).unwrap();
        }
        assert_eq!(world.star(id).await.status, Status::Partial);
        for _ in 0..2 {
            world.assert_object(id, &content).await;
            let named = world.named(id).await;
            assert_eq!(named.len(), 1, "{named:?}");
            assert!(named[0].1.contains(&format!("gave 300000 bytes where the pointer says {size}")), "{named:?}");
            world.sync(id).await;
        }
        let mut states = world.states(id).await;
        states.sort_by_key(|it| it.as_str());
        assert_eq!(states, [ObjectState::Missing, ObjectState::There]);
    }
    world.end().await;
}
}

on_both! {
async fn a_link_that_ran_out_is_renewed(world: World) {
    let mut world = world;
    let id = world.repository("octo", "links");
    let (first, second) = (noise(1, 1_000), noise(2, 1_000));
    world.github().commit_lfs(id, "main", "a.bin", &first).unwrap();
    world.github().set_lfs_link_life(1);
    world.star(id).await;
    world.assert_healthy(id).await;
    world.assert_object(id, &first).await;

    world.github().set_lfs_link_life(3600);
    world.github().commit_lfs(id, "main", "b.bin", &second).unwrap();
    let gate = world.github().hold(Trigger::next(On::Rest).path(BATCH), Hold::Answer);
    let push = world.github().push(id, "refs/heads/main", None, None).unwrap();
    world.accepted(&push).await;
    gate.reached().await;
    world.github().expire_lfs_links();
    gate.release();
    world.drain().await;
    world.assert_healthy(id).await;
    world.assert_object(id, &second).await;
    world.end().await;
}
}

on_both! {
async fn lfs_that_is_switched_on_later_brings_what_is_there(world: World) {
    let mut world = world;
    let id = world.repository("octo", "later");
    let (old, new) = (noise(1, 1_000), noise(2, 1_000));
    world.github().commit_lfs(id, "main", "a.bin", &old).unwrap();
    world.config.sync.lfs = false;
    world.star(id).await;
    world.assert_healthy(id).await;
    assert!(world.states(id).await.is_empty());
    world.stop().await;
    world.config.sync.lfs = true;
    world.github().commit_lfs(id, "main", "a.bin", &new).unwrap();
    world.start().await;
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.assert_object(id, &old).await;
    world.assert_object(id, &new).await;
    world.end().await;
}
}

on_both! {
async fn a_streamed_pack_brings_its_objects_before_the_proof(world: World) {
    let mut world = world;
    (world.config.sync.stream_above, world.config.sync.spool_memory) = (Some(1), 64 << 10);
    let id = world.repository("octo", "streamed");
    let content = noise(1, 1_000);
    world.github().commit_lfs(id, "main", "a.bin", &content).unwrap();
    for number in 0..8 {
        let text: String = noise(number, 60_000).iter().map(|it| char::from(b'!' + it % 90)).collect();
        world.github().commit(id, "main", &format!("{number}.txt"), &text).unwrap();
    }
    world.star(id).await;
    world.assert_healthy(id).await;
    world.assert_object(id, &content).await;
    // A pack out of a copy is never streamed: it is whole before anything is pushed.
    let order: &[&str] = if world.is_cached() { &["POST", "PUT", "PUSH"] } else { &["PUSH", "POST", "PUT", "PUSH"] };
    assert_eq!(world.seen_at_onedev(), order, "refs, objects, and the marker that tells of the proof");
    world.end().await;
}
}

on_both! {
async fn a_verification_misses_an_object_that_is_gone_and_a_sync_brings_it_again(world: World) {
    let mut world = world;
    let id = world.repository("octo", "gone");
    let content = noise(1, 1_000);
    world.github().commit_lfs(id, "main", "a.bin", &content).unwrap();
    world.star(id).await;
    world.onedev().delete_lfs(&world.path(id).await, Pointer::of(&content).oid).unwrap();
    world.onedev().clear_requests();
    world.queue(id, JobKind::Verify).await;
    world.drain().await;
    world.assert_healthy(id).await;
    world.assert_object(id, &content).await;
    world.end().await;
}
}

on_both! {
async fn a_kill_in_the_middle_of_an_upload_ends_in_the_right_bytes(world: World) {
    let mut world = world;
    let id = world.repository("octo", "killed");
    let content = noise(1, 4_000_000);
    world.github().commit_lfs(id, "main", "a.bin", &content).unwrap();
    world.config.sync.lease = std::time::Duration::from_secs(1);
    let process = world.process();
    world.attach().await;
    let star = world.github().star(FAN, id).unwrap();
    let gate = world.onedev().hold(Trigger::next(On::Rest).method("PUT"), Hold::RequestBytes(500_000));
    process.take(&star).await;
    gate.reached().await;
    process.kill();
    gate.release();
    assert_eq!(world.states(id).await, [ObjectState::Uploading]);
    let process = world.process();
    world.drain().await;
    world.assert_healthy(id).await;
    world.assert_object(id, &content).await;
    process.kill();
}
}

on_both! {
async fn lfs_objects_count_towards_what_is_kept_in_all(world: World) {
    let mut world = world;
    world.config.policy.max_total_bytes = Some(2 << 20);
    let large = world.repository("octo", "large");
    world.github().set_size(large, 100).unwrap();
    world.github().commit_lfs(large, "main", "a.bin", &noise(1, 1_500_000)).unwrap();
    world.star(large).await;
    world.assert_healthy(large).await;
    // By git alone there would be room for both of these.
    let (small, next) = (world.repository("octo", "small"), world.repository("octo", "next"));
    world.github().set_size(small, 300).unwrap();
    world.github().set_size(next, 300).unwrap();
    world.star(small).await;
    world.assert_healthy(small).await;
    let mirror = world.star(next).await;
    let error = mirror.error.unwrap();
    assert_eq!((mirror.status, error.code.as_str()), (Status::Paused, "total_too_large"), "{}", error.message);
    assert!(error.message.contains(&(1_500_000 + 400 * 1024).to_string()), "{}", error.message);
    world.end().await;
}
}
