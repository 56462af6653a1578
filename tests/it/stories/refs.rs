//! Refs that upstream, or somebody in OneDev, made, moved or deleted.

use starkeep::domain::job::JobKind;
use starkeep::domain::kept::{KEPT, Reason};
use starkeep::domain::mirror::Status;
use starkeep::domain::refs::RefMap;
use starkeep::store::syncs::Outcome;

use super::tools::{MAIN, assert_whole, git, mirrored, name, world};
use crate::world::{World, on_both};

on_both! {
async fn a_push_is_followed_and_leaves_no_kept_ref(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    for text in ["two", "three", "four"] {
        world.github().commit(id, "main", "README", text).unwrap();
    }
    let tip = world.github().commit(id, "topic", "TOPIC", "a branch without common history").unwrap();
    world.github().annotated_tag(id, "v1", tip).unwrap();
    let mirror = world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[]).await;
    assert_eq!((mirror.ref_count, mirror.head), (Some(3), Some(world.tip(id, MAIN))));
    let sync = world.syncs(id).await.remove(0);
    assert_eq!(sync.outcome, Outcome::Changed);
    assert_eq!((sync.work.created, sync.work.moved, sync.work.deleted, sync.work.kept), (2, 1, 0, 0));
    world.end().await;
}
}

on_both! {
async fn a_forced_push_keeps_the_old_tip(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let old = world.tip(id, MAIN);
    world.github().force_branch(id, "main").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[(MAIN, old, Reason::Overwritten)]).await;
    world.sync(id).await;
    world.assert_keeps(id, &[(MAIN, old, Reason::Overwritten)]).await;
    world.end().await;
}
}

#[actix::test]
async fn a_branch_that_went_back_is_kept_and_one_that_goes_forward_again_is_not() {
    let (world, id) = mirrored().await;
    let first = world.tip(id, MAIN);
    let second = world.github().commit(id, "main", "README", "two").unwrap();
    world.pushed(id).await;
    world.github().set_ref(id, MAIN, first).unwrap();
    world.pushed(id).await;
    world.assert_keeps(id, &[(MAIN, second, Reason::Overwritten)]).await;
    world.github().set_ref(id, MAIN, second).unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[(MAIN, second, Reason::Overwritten)]).await;
    world.end().await;
}

#[actix::test]
async fn a_merge_is_a_step_forward_for_both_parents() {
    let (world, id) = mirrored().await;
    let ours = world.github().commit(id, "main", "OURS", "ours").unwrap();
    let theirs = world.github().commit(id, "topic", "THEIRS", "theirs").unwrap();
    world.pushed(id).await;
    let merge = world.github().commit_on(id, &[ours, theirs], "README", "merged").unwrap();
    world.github().set_ref(id, MAIN, merge).unwrap();
    world.github().set_ref(id, "refs/heads/topic", merge).unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[]).await;
    world.end().await;
}

on_both! {
async fn a_deleted_branch_goes_and_its_tip_is_kept(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    let tip = world.github().commit(id, "topic", "TOPIC", "topic").unwrap();
    world.star(id).await;
    world.github().delete_ref(id, "refs/heads/topic").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[("refs/heads/topic", tip, Reason::Deleted)]).await;
    assert_whole(&world, &world.path(id).await);
    world.end().await;
}
}

#[actix::test]
async fn a_moved_tag_is_kept_as_the_tag_object_that_it_was() {
    let (world, id) = mirrored().await;
    let first = world.tip(id, MAIN);
    let old = world.github().annotated_tag(id, "v1", first).unwrap();
    world.pushed(id).await;
    let second = world.github().commit(id, "main", "README", "two").unwrap();
    let new = world.github().annotated_tag(id, "v1", second).unwrap();
    assert!(old != new && old != first);
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[("refs/tags/v1", old, Reason::Overwritten)]).await;
    // A light one, and forward: tags are kept in any case.
    world.github().set_ref(id, "refs/tags/light", first).unwrap();
    world.pushed(id).await;
    world.github().set_ref(id, "refs/tags/light", second).unwrap();
    world.pushed(id).await;
    let expected = [("refs/tags/v1", old, Reason::Overwritten), ("refs/tags/light", first, Reason::Overwritten)];
    world.assert_keeps(id, &expected).await;
    world.end().await;
}

on_both! {
async fn a_branch_that_somebody_moved_in_onedev_is_kept_and_put_back(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let path = world.path(id).await;
    let by_hand = world.onedev().commit(&path, "main", "HAND", "by hand").unwrap();
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[(MAIN, by_hand, Reason::MovedInOnedev)]).await;
    world.end().await;
}
}

#[actix::test]
async fn a_branch_moved_on_both_sides_loses_neither_tip() {
    let (world, id) = mirrored().await;
    let path = world.path(id).await;
    let by_hand = world.onedev().commit(&path, "main", "HAND", "by hand").unwrap();
    world.github().force_branch(id, "main").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[(MAIN, by_hand, Reason::MovedInOnedev)]).await;
    world.end().await;
}

#[actix::test]
async fn a_branch_deleted_upstream_that_somebody_had_moved_in_onedev_is_kept() {
    let (world, id) = mirrored().await;
    world.github().commit(id, "topic", "TOPIC", "topic").unwrap();
    world.pushed(id).await;
    let by_hand = world.onedev().commit(&world.path(id).await, "topic", "HAND", "by hand").unwrap();
    world.github().delete_ref(id, "refs/heads/topic").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[("refs/heads/topic", by_hand, Reason::MovedInOnedev)]).await;
    world.end().await;
}

#[actix::test]
async fn what_somebody_deleted_in_onedev_is_made_again() {
    let (world, id) = mirrored().await;
    let tag = world.github().annotated_tag(id, "v1", world.tip(id, MAIN)).unwrap();
    world.github().commit(id, "topic", "TOPIC", "topic").unwrap();
    world.pushed(id).await;
    let path = world.path(id).await;
    for gone in ["refs/heads/topic", "refs/tags/v1"] {
        world.onedev().delete_ref(&path, gone).unwrap();
    }
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[]).await;
    assert_eq!(world.refs(id).await.get(&name("refs/tags/v1")), Some(&tag));
    world.end().await;
}

#[actix::test]
async fn a_foreign_ref_stays_until_upstream_needs_its_name() {
    let (world, id) = mirrored().await;
    let path = world.path(id).await;
    let theirs = world.onedev().commit(&path, "theirs", "THEIRS", "theirs").unwrap();
    let mirror = world.sync(id).await;
    assert_eq!(mirror.status, Status::Healthy, "{:?}", mirror.error);
    assert_eq!(world.refs(id).await.get(&name("refs/heads/theirs")), Some(&theirs));
    assert_eq!(mirror.ref_count, Some(1));
    world.assert_keeps(id, &[]).await;
    world.github().commit(id, "theirs", "OURS", "upstream's").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[("refs/heads/theirs", theirs, Reason::Foreign)]).await;
    // From now on the name is upstream's.
    world.github().delete_ref(id, "refs/heads/theirs").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.keeps(id).await.len(), 2);
    world.end().await;
}

#[actix::test]
async fn a_foreign_branch_that_is_a_folder_of_upstreams_name_stays_and_upstreams_gets_an_alias() {
    let (world, id) = mirrored().await;
    let path = world.path(id).await;
    let theirs = world.onedev().commit(&path, "a", "THEIRS", "theirs").unwrap();
    let ours = world.github().commit(id, "a/b", "OURS", "upstream's").unwrap();
    let other = world.github().commit(id, "other", "OTHER", "other").unwrap();
    let mirror = world.pushed(id).await;
    assert_eq!(mirror.status, Status::Partial, "{:?}", mirror.error);
    assert_eq!(mirror.not_level.len(), 1);
    let refs = world.refs(id).await;
    assert_eq!(refs.get(&name("refs/heads/a")), Some(&theirs));
    assert_eq!(refs.get(&name("refs/heads/other")), Some(&other));
    assert_eq!(refs.get(mirror.not_level[0].alias.as_ref().unwrap()), Some(&ours));
    world.onedev().delete_ref(&path, "refs/heads/a").unwrap();
    world.sync(id).await;
    world.assert_healthy(id).await;
    assert!(world.aliases(id).await.is_empty());
    world.end().await;
}

#[actix::test]
async fn foreign_refs_are_pruned_where_that_is_asked_for_and_kept() {
    let mut world = world();
    world.config.sync.foreign_refs = starkeep::config::sync::ForeignRefs::Prune;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let theirs = world.onedev().commit(&world.path(id).await, "theirs", "THEIRS", "theirs").unwrap();
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[("refs/heads/theirs", theirs, Reason::Foreign)]).await;
    world.end().await;
}

#[actix::test]
async fn refs_of_others_are_never_touched_on_either_side() {
    for prune in [false, true] {
        let mut world = world();
        if prune {
            world.config.sync.foreign_refs = starkeep::config::sync::ForeignRefs::Prune;
        }
        let id = world.repository("octo", "hello");
        let tip = world.tip(id, MAIN);
        world.github().set_ref(id, "refs/pull/1/head", tip).unwrap();
        world.github().set_ref(id, "refs/pulls/1/head", tip).unwrap();
        world.star(id).await;
        let path = world.path(id).await;
        let by_hand = world.onedev().commit(&path, "hand", "HAND", "hand").unwrap();
        world.onedev().delete_ref(&path, "refs/heads/hand").unwrap();
        let theirs = ["refs/pulls/7/head", "refs/updates/1", "refs/onedev/tod", "refs/changes/1", "refs/keep-around/x"];
        for it in theirs {
            world.onedev().set_ref(&path, it, by_hand).unwrap();
        }
        let before = world.refs(id).await;
        assert!(!before.keys().any(|it| it.as_str().starts_with("refs/pull/")));
        world.github().force_branch(id, "main").unwrap();
        world.pushed(id).await;
        world.sync(id).await;
        world.assert_healthy(id).await;
        let after = world.refs(id).await;
        for it in theirs {
            assert_eq!(after.get(&name(it)), Some(&by_hand), "{it}");
        }
        world.assert_keeps(id, &[(MAIN, tip, Reason::Overwritten)]).await;
        world.end().await;
    }
}

#[actix::test]
async fn a_branch_becomes_a_folder_and_a_branch_again() {
    let (world, id) = mirrored().await;
    let leaf = world.github().commit(id, "a", "A", "a").unwrap();
    world.github().annotated_tag(id, "t", leaf).unwrap();
    world.pushed(id).await;
    world.github().delete_ref(id, "refs/heads/a").unwrap();
    world.github().delete_ref(id, "refs/tags/t").unwrap();
    let below = world.github().commit(id, "a/b", "B", "b").unwrap();
    world.github().annotated_tag(id, "t/u", below).unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.github().delete_ref(id, "refs/heads/a/b").unwrap();
    world.github().delete_ref(id, "refs/tags/t/u").unwrap();
    world.github().commit(id, "a", "C", "c").unwrap();
    world.github().annotated_tag(id, "t", below).unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.keeps(id).await.len(), 4);
    world.end().await;
}

#[actix::test]
async fn notes_are_mirrored() {
    let (world, id) = mirrored().await;
    let note = world.github().commit_on(id, &[], &"ab".repeat(20), "a note").unwrap();
    world.github().set_ref(id, "refs/notes/commits", note).unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.refs(id).await.get(&name("refs/notes/commits")), Some(&note));
    let next = world.github().commit_on(id, &[note], &"cd".repeat(20), "another").unwrap();
    world.github().set_ref(id, "refs/notes/commits", next).unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[]).await;
    world.end().await;
}

#[actix::test]
async fn three_thousand_refs_come_in_a_few_requests_and_go_again_kept() {
    let mut world = world();
    world.config.policy.mass_delete = None;
    let id = world.repository("octo", "many");
    let tip = world.tip(id, MAIN);
    let many: RefMap = (0..3_000).map(|n| (name(&format!("refs/tags/v{n}")), tip)).collect();
    world.github().set_refs(id, &many).unwrap();
    let mirror = world.star(id).await;
    world.assert_healthy(id).await;
    assert_eq!(mirror.ref_count, Some(3_001));
    let (_, onedev) = world.requests();
    let pushes =
        onedev.iter().filter(|it| it.ends_with("git-receive-pack")).filter(|it| it.starts_with("POST")).count();
    assert_eq!(pushes, 2 + 1, "the default branch, all others, the marker: {onedev:#?}");
    let folder = world.github().repo_dir(id).unwrap();
    std::fs::write(folder.join("packed-refs"), "").unwrap();
    world.github().commit(id, "main", "README", "all tags are gone").unwrap();
    world.pushed(id).await;
    let mirror = world.sync(id).await;
    assert_eq!((mirror.status, mirror.ref_count), (Status::Healthy, Some(1)));
    world.assert_healthy(id).await;
    assert_eq!(world.refs_below(id, KEPT).await.len(), 3_000);
    world.end().await;
}

#[actix::test]
async fn a_repository_with_nothing_but_tags() {
    let mut world = world();
    let id = world.github().create_repository("octo", "tags").unwrap();
    let commit = world.github().commit_on(id, &[], "README", "no branch").unwrap();
    world.github().set_ref(id, "refs/tags/light", commit).unwrap();
    world.github().annotated_tag(id, "v1", commit).unwrap();
    let mirror = world.star(id).await;
    world.assert_healthy(id).await;
    assert_eq!((mirror.ref_count, mirror.head, mirror.default_branch), (Some(2), None, None));
    world.end().await;
}

on_both! {
async fn an_empty_repository_is_healthy_with_no_refs_and_fills_later(world: World) {
    let mut world = world;
    let id = world.github().create_repository("octo", "empty").unwrap();
    let mirror = world.star(id).await;
    assert_eq!((mirror.status, mirror.ref_count), (Status::Healthy, Some(0)), "{:?}", mirror.error);
    world.assert_healthy(id).await;
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.github().commit(id, "main", "README", "the first").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}
}

on_both! {
async fn an_unchanged_mirror_costs_one_request_and_a_changed_one_few(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.requests();
    let before = world.mirror(id).await;
    let after = world.check(id).await;
    let (github, onedev) = world.requests();
    assert_eq!((github.as_slice(), onedev.as_slice()), (["POST /octo/hello.git/git-upload-pack".to_owned()].as_slice(), [].as_slice()));
    assert_eq!(after.status, Status::Healthy);
    assert_eq!(after.proof, before.proof, "upstream alone was read: that is no new proof");
    assert!(after.last_synced_at > before.last_synced_at);

    world.github().commit(id, "main", "README", "two").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    let (github, onedev) = world.requests();
    // ls-refs twice, the question whether it is a descendant (with the capabilities first), the pack.
    assert!(github.len() <= 5, "{github:#?}");
    // info/refs twice, the push.
    assert_eq!(onedev.len(), 3, "{onedev:#?}");
    assert!(onedev.iter().all(|it| !it.contains("~api")), "{onedev:#?}");
    world.end().await;
}
}

#[actix::test]
async fn a_change_that_nobody_announced_is_found_by_the_routine_check() {
    let (world, id) = mirrored().await;
    world.github().commit(id, "main", "README", "unannounced").unwrap();
    world.check(id).await;
    world.assert_healthy(id).await;
    assert!(world.syncs(id).await.iter().all(|it| it.work.error.is_none()), "within one sync");
    world.end().await;
}

#[actix::test]
async fn the_history_is_fetched_once_however_many_pushes_it_takes() {
    let mut world = world();
    let id = world.repository("octo", "large");
    let size = 400_000;
    world.github().commit(id, "main", "NOISE", &World::noise(size)).unwrap();
    let tip = world.tip(id, MAIN);
    for n in 0..3 {
        let side = world.github().commit_on(id, &[tip], "SIDE", &format!("{n}")).unwrap();
        world.github().set_ref(id, &format!("refs/heads/side{n}"), side).unwrap();
    }
    world.github().tag_of_blob(id, "blob", "a blob").unwrap();
    let odd = world.github().commit_on(id, &[tip], "ODD", "odd").unwrap();
    world.github().set_ref(id, "refs/tags/v1+b", odd).unwrap();
    world.star(id).await;
    let bytes = world.syncs(id).await.remove(0).work.bytes_in;
    assert!(bytes > size as u64 / 2 && bytes < size as u64 * 5 / 4, "{bytes} bytes for a pack of about {size}");
    world.end().await;
}

#[actix::test]
async fn many_branches_forced_at_once_are_all_kept() {
    let mut world = world();
    world.config.policy.mass_delete = None;
    let id = world.repository("octo", "many");
    for n in 0..80 {
        world.github().commit(id, &format!("b{n}"), "FILE", &format!("{n}")).unwrap();
    }
    world.star(id).await;
    let mut old = RefMap::new();
    for n in 0..80 {
        let branch = format!("b{n}");
        old.insert(name(&format!("refs/heads/{branch}")), world.tip(id, &format!("refs/heads/{branch}")));
        // Half of them go forward: more than 64 are not asked about, and kept when in doubt.
        if n % 2 == 0 {
            world.github().force_branch(id, &branch).unwrap();
        } else {
            world.github().commit(id, &branch, "FILE", "forward").unwrap();
        }
    }
    world.pushed(id).await;
    world.assert_healthy(id).await;
    let kept = world.keeps(id).await;
    for n in (0..80).step_by(2) {
        let branch = name(&format!("refs/heads/b{n}"));
        assert!(kept.iter().any(|(it, oid, _)| *it == branch.to_string() && *oid == old[&branch]), "{branch}");
    }
    assert!(kept.len() <= 40 + 16, "{}", kept.len());
    world.end().await;
}

on_both! {
async fn a_verification_finds_what_somebody_moved_and_a_sync_puts_it_right(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.github().commit(id, "topic", "TOPIC", "topic").unwrap();
    let before = world.star(id).await;
    world.queue(id, JobKind::Verify).await;
    world.drain().await;
    let verified = world.mirror(id).await;
    assert!(verified.proof.unwrap().verified_at > before.proof.unwrap().verified_at);
    assert_eq!(world.syncs(id).await.len(), 1, "it was level, so nothing was synced");
    let path = world.path(id).await;
    let by_hand = world.onedev().commit(&path, "topic", "HAND", "by hand").unwrap();
    git(&world.onedev().repo_dir(&path).unwrap(), &["symbolic-ref", "HEAD", "refs/heads/topic"]);
    world.queue(id, JobKind::Verify).await;
    world.drain().await;
    world.assert_healthy(id).await;
    world.assert_keeps(id, &[("refs/heads/topic", by_hand, Reason::MovedInOnedev)]).await;
    assert_eq!(world.head(id).await, "main");
    world.end().await;
}
}
