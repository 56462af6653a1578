//! Transfers that succeed.

use super::super::*;
use super::stage::*;
use crate::domain::lfs::Pointer;
use crate::domain::refs::{Head, Oid};

#[tokio::test(flavor = "multi_thread")]
async fn a_first_mirror_holds_every_ref_and_a_second_run_moves_nothing() {
    let stage = Stage::new().await;
    let people = &stage.people;
    people.git(&["tag", "-a", "-m", "annotated", "v1"]);
    people.git(&["tag", "-a", "-m", "nested", "v1-signed", "v1"]);
    people.commit("next", "2\n");
    people.git(&["branch", "side/way"]);
    people.git(&["notes", "add", "-m", "a note"]);
    people.git(&["tag", "v1.0+build.5"]);
    stage.publish();
    let done = stage.mirror().await.unwrap();
    assert!(done.reports.iter().all(PushReport::all_done) && !done.in_file && !done.streamed);
    assert!(done.received > 32 && done.objects > 5);
    stage.assert_level();
    assert!(stage.order().await.unwrap().pushes.is_empty());
    stage.assert_spool_is_empty().await;
    // One request for upstream's refs, one for the pack; two lists of the target, one push.
    assert_eq!(stage.requests_counted("github", "200"), 3);
    assert_eq!(stage.requests_counted("onedev", "200"), 3);
    let paths: Vec<String> = stage.upstream_proxy.requests();
    assert!(paths.iter().all(|it| it == "POST /up.git/git-upload-pack"), "{paths:?}");
    assert_eq!(stage.upstream_proxy.connections(), 1, "the connection is used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_new_commit_moves_a_thin_pack() {
    let stage = Stage::new().await;
    let text: String = (0..4000).map(|it| format!("line {it} {}\n", it * 7919 % 1013)).collect();
    stage.people.commit("long", &text);
    stage.publish();
    stage.mirror().await.unwrap();
    stage.people.commit("long", text.replace("line 77 ", "another line "));
    stage.publish();
    let done = stage.mirror().await.unwrap();
    assert_eq!(done.objects, 3);
    assert!(done.received < 1200, "the changed file came as a delta: {} bytes", done.received);
    stage.assert_level();
}

#[tokio::test(flavor = "multi_thread")]
async fn refs_that_come_move_and_go_in_one_push_even_where_names_conflict() {
    let stage = Stage::new().await;
    stage.people.git(&["branch", "new"]);
    stage.people.git(&["branch", "old/a"]);
    stage.people.git(&["tag", "gone"]);
    stage.publish();
    stage.mirror().await.unwrap();
    stage.people.git(&["branch", "-D", "new"]);
    stage.people.git(&["branch", "new/x"]);
    stage.people.git(&["branch", "-D", "old/a"]);
    stage.people.git(&["branch", "old"]);
    stage.people.git(&["tag", "-d", "gone"]);
    stage.people.git(&["commit", "-q", "--amend", "-m", "rewritten"]);
    stage.publish();
    let done = stage.mirror().await.unwrap();
    assert!(done.reports[0].all_done(), "{:?}", done.reports);
    stage.assert_level();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_only_deletes_and_one_that_needs_no_objects_fetch_nothing() {
    let stage = Stage::new().await;
    stage.people.git(&["branch", "b"]);
    stage.publish();
    stage.mirror().await.unwrap();
    stage.people.git(&["branch", "-D", "b"]);
    stage.publish();
    let done = stage.mirror().await.unwrap();
    assert_eq!((done.received, done.objects), (0, 0));
    stage.people.git(&["branch", "c"]);
    stage.publish();
    let done = stage.mirror().await.unwrap();
    assert!(done.reports[0].all_done() && done.received == 0);
    stage.assert_level();
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_blobs_and_trees_arrive_as_they_are() {
    let stage = Stage::new().await;
    let people = &stage.people;
    people.git(&["tag", "blob", "HEAD:README"]);
    people.git(&["tag", "tree", "HEAD^{tree}"]);
    people.git(&["tag", "-a", "-m", "x", "of-a-blob", "HEAD:README"]);
    stage.publish();
    assert!(stage.mirror().await.unwrap().reports[0].all_done());
    stage.assert_level();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_above_the_memory_waits_in_a_file_without_a_name() {
    let stage = Stage::new().await;
    stage.big_commit(5 << 20);
    stage.publish();
    let done = stage.mirror().await.unwrap();
    assert!(done.in_file && !done.streamed && done.received > 5 << 20);
    stage.assert_level();
    stage.assert_spool_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fast_pack_above_the_memory_is_streamed() {
    let mut stage = Stage::new().await;
    stage.options.stream_above = Some(1);
    stage.big_commit(5 << 20);
    stage.publish();
    let done = stage.mirror().await.unwrap();
    assert!(done.streamed && !done.in_file && done.received > 5 << 20);
    assert!(done.reports[0].all_done());
    stage.assert_level();
    stage.assert_spool_is_empty().await;
    assert_eq!(stage.permits.available_permits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fast_pack_is_spooled_while_somebody_else_pushes() {
    let mut stage = Stage::new().await;
    stage.options.stream_above = Some(1);
    stage.big_commit(3 << 20);
    stage.publish();
    let turn = stage.permits.clone().acquire_owned().await.unwrap();
    let order = stage.order().await.unwrap();
    let relay = stage.relay();
    let (done, ()) = tokio::join!(relay.transfer(&order), async {
        while relay.progress.snapshot().phase != Phase::Waiting {
            tokio::task::yield_now().await;
        }
        assert!(!stage.target_proxy.requests().iter().any(|it| it.starts_with("POST")));
        drop(turn);
    });
    assert!(done.unwrap().in_file);
    stage.assert_level();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_glance_over_a_first_pack_finds_what_a_whole_scan_finds() {
    // In memory, in a file, streamed.
    for (bytes, stream_above) in [(1_000, None), (3 << 20, None), (3 << 20, Some(1))] {
        for pointer in [None, Some(Pointer::of(b"an object"))] {
            let mut stage = Stage::new().await;
            stage.options = TransferOptions { stream_above, scan: true, glance_above: Some(0), ..stage.options };
            if let Some(pointer) = &pointer {
                stage.people.commit("it.bin", pointer.to_bytes());
            }
            stage.big_commit(bytes);
            stage.publish();
            let order = stage.order().await.unwrap();
            let mut prepared = stage.relay().prepare(&order).await.unwrap();
            let waiting = prepared.take_findings().await.unwrap();
            assert_eq!(waiting.is_none(), stream_above.is_some());
            let done = stage.relay().deliver(&order, prepared).await.unwrap();
            let found = waiting.or(done.found).unwrap();
            assert_eq!(found.is_complete(), pointer.is_none() || stream_above.is_none());
            let found = settle(&stage.upstream, &order.wants, &order.haves, found).await.unwrap();
            assert!(found.is_complete());
            assert_eq!(found.pointers, pointer.into_iter().collect());
            stage.assert_level();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_pushes_share_one_pack() {
    let stage = Stage::new().await;
    stage.people.commit("more", "1\n");
    stage.people.git(&["checkout", "-q", "-b", "other", "HEAD~"]);
    stage.people.commit("elsewhere", "2\n");
    stage.publish();
    let mut order = stage.order().await.unwrap();
    let mut commands = std::mem::take(&mut order.pushes).remove(0).commands;
    let first = commands.pop().unwrap();
    assert_eq!(first.name, name("refs/heads/trunk"));
    order.pushes = vec![Push::plain(vec![first]), Push::atomic(commands)];
    let done = stage.relay().transfer(&order).await.unwrap();
    assert_eq!(done.reports.len(), 2);
    assert!(done.reports.iter().all(PushReport::all_done));
    assert_eq!(stage.upstream_proxy.requests().len(), 2, "one list, one pack");
    stage.assert_level();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_ref_and_the_move_go_together_in_one_atomic_push() {
    let stage = Stage::new().await;
    stage.mirror().await.unwrap();
    let old = oid(&stage.people.git(&["rev-parse", "trunk"]));
    stage.people.git(&["commit", "-q", "--amend", "-m", "rewritten"]);
    let new = oid(&stage.people.git(&["rev-parse", "trunk"]));
    stage.publish();
    let kept = name("refs/starkeep/kept/1");
    let commands = vec![
        Command { name: kept.clone(), old: Oid::ZERO, new: old },
        Command { name: name("refs/heads/trunk"), old, new },
    ];
    let order = Order { wants: vec![new], haves: vec![old], pushes: vec![Push::atomic(commands)] };
    stage.upstream.ls_refs(&[]).await.unwrap();
    assert!(stage.relay().transfer(&order).await.unwrap().reports[0].all_done());
    let refs = stage.target.receive_refs().await.unwrap().refs;
    assert_eq!((refs[&kept], refs[&name("refs/heads/trunk")]), (old, new));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_refs_go_in_parts_and_come_back() {
    let stage = Stage::new().await;
    let tip = stage.people.git(&["rev-parse", "HEAD"]);
    let packed: String = (0..20_500).map(|it| format!("{tip} refs/tags/v{it:05}\n")).collect();
    std::fs::write(stage.path("up.git").join("packed-refs"), format!("# pack-refs with: sorted\n{packed}")).unwrap();
    let done = stage.mirror().await.unwrap();
    assert_eq!(done.reports[0].refs.len(), 20_501);
    assert!(done.reports[0].all_done());
    let posts = stage.target_proxy.requests().iter().filter(|it| it.starts_with("POST")).count();
    assert_eq!(posts, 2, "below the limit of 20,000 refs a push");
    assert!(stage.order().await.unwrap().pushes.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_upstream_has_an_unborn_head_and_no_refs() {
    let stage = Stage::new().await;
    stage.git("up.git", &["update-ref", "-d", "refs/heads/trunk"]);
    let list = stage.upstream.ls_refs(&["refs/"]).await.unwrap();
    assert!(list.refs.is_empty() && list.odd.is_empty());
    assert_eq!((list.head, list.version), (Head::Unborn(name("refs/heads/trunk")), Version::V2));
    assert!(stage.target.receive_refs().await.unwrap().refs.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_no_utf8_are_listed_as_odd() {
    let stage = Stage::new().await;
    let tip = stage.people.git(&["rev-parse", "HEAD"]);
    let line = [tip.as_bytes(), b" refs/heads/caf\xe9\n"].concat();
    std::fs::write(stage.path("up.git").join("packed-refs"), line).unwrap();
    let list = stage.upstream.ls_refs(&["refs/heads/"]).await.unwrap();
    assert_eq!((list.refs.len(), list.odd), (1, vec!["refs/heads/caf\u{fffd}".to_owned()]));
}
