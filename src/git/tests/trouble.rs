//! Connections that break or fall silent, on either side and at any byte.

use super::super::*;
use super::network::Mishap;
use super::stage::*;
use crate::domain::retry::Retry;

const FETCH: &str = "POST /up.git/git-upload-pack";
const PUSH: &str = "POST /down.git/git-receive-pack";

/// A big commit is to be moved, and the lists have been read.
async fn before_a_big_pack(stage: &Stage) -> Order {
    stage.mirror().await.unwrap();
    stage.big_commit(3 << 20);
    stage.publish();
    stage.order().await.unwrap()
}

fn tip(stage: &Stage) -> String {
    stage.git("down.git", &["rev-parse", "refs/heads/trunk"])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_breaks_off_leaves_the_target_as_it_was_and_the_next_run_is_level() {
    let stage = Stage::new().await;
    let order = before_a_big_pack(&stage).await;
    let before = tip(&stage);
    for after in [1, 300, 1000, 100_000, 2_900_000] {
        stage.upstream_proxy.plan(FETCH, Mishap::Cut(after), 1);
        let error = stage.relay().transfer(&order).await.unwrap_err();
        assert_eq!((error.side(), error.retry()), (Some(Side::Upstream), Retry::Backoff), "{after}: {error}");
        assert_eq!(tip(&stage), before);
        stage.assert_spool_is_empty();
    }
    let pushes = stage.target_proxy.requests().iter().filter(|it| *it == PUSH).count();
    assert_eq!(pushes, 1, "only the first mirror was pushed");
    stage.mirror().await.unwrap();
    stage.assert_level();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_falls_silent_is_given_up() {
    let stage = Stage::new().await;
    let order = before_a_big_pack(&stage).await;
    stage.upstream_proxy.plan(FETCH, Mishap::Stall(500_000), 1);
    let error = stage.relay().transfer(&order).await.unwrap_err();
    assert_eq!(error.code(), "upstream_stalled", "{error}");
    stage.assert_spool_is_empty();
    stage.mirror().await.unwrap();
    stage.assert_level();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_or_stalls_is_begun_again_through_the_spool() {
    for mishap in [Mishap::Cut(2_500_000), Mishap::Stall(2_500_000)] {
        let mut stage = Stage::new().await;
        let order = before_a_big_pack(&stage).await;
        stage.options.stream_above = Some(1);
        stage.upstream_proxy.plan(FETCH, mishap, 1);
        let done = stage.relay().transfer(&order).await.unwrap();
        assert!(!done.streamed && done.in_file, "{done:?}");
        assert!(done.reports[0].all_done(), "{:?}", done.reports);
        assert_eq!(stage.target_proxy.requests().iter().filter(|it| *it == PUSH).count(), 3);
        stage.assert_level();
        stage.assert_spool_is_empty();
        assert_eq!(stage.permits.available_permits(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_reason_is_told_when_a_stream_breaks_off_twice() {
    let mut stage = Stage::new().await;
    let order = before_a_big_pack(&stage).await;
    let before = tip(&stage);
    stage.options.stream_above = Some(1);
    stage.upstream_proxy.plan(FETCH, Mishap::Cut(2_500_000), 2);
    let error = stage.relay().transfer(&order).await.unwrap_err();
    assert_eq!(error.side(), Some(Side::Upstream), "{error}");
    assert_eq!(tip(&stage), before);
    stage.assert_spool_is_empty();
    assert_eq!(stage.permits.available_permits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_dies_while_the_pack_goes_up_keeps_its_refs() {
    for stream_above in [None, Some(1)] {
        let mut stage = Stage::new().await;
        let order = before_a_big_pack(&stage).await;
        let before = tip(&stage);
        stage.options.stream_above = stream_above;
        stage.target_proxy.plan(PUSH, Mishap::CutRequest(1_500_000), 1);
        let error = stage.relay().transfer(&order).await.unwrap_err();
        assert_eq!((error.side(), error.retry()), (Some(Side::Target), Retry::Backoff), "{error}");
        assert_eq!(tip(&stage), before);
        stage.assert_spool_is_empty();
        stage.mirror().await.unwrap();
        stage.assert_level();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_cut_off_is_an_error_and_the_next_run_finds_what_was_done() {
    let stage = Stage::new().await;
    let order = before_a_big_pack(&stage).await;
    for after in [10, 150] {
        stage.target_proxy.plan(PUSH, Mishap::Cut(after), 1);
        let error = stage.relay().transfer(&order).await.unwrap_err();
        assert_eq!(error.side(), Some(Side::Target), "{error}");
    }
    stage.mirror().await.unwrap();
    stage.assert_level();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_falls_silent_is_given_up() {
    let mut stage = Stage::new().await;
    let order = before_a_big_pack(&stage).await;
    let mut patience = patience();
    patience.push = std::time::Duration::from_millis(300);
    let url = stage.target_proxy.url("down.git");
    stage.target =
        Target::new(http_client().unwrap(), address(&url, "onedev"), stage.metrics.clone(), patience).unwrap();
    stage.target_proxy.plan(PUSH, Mishap::Stall(0), 1);
    let error = stage.relay().transfer(&order).await.unwrap_err();
    assert_eq!(error.code(), "onedev_stalled", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_or_missing_spool_is_named_and_nothing_is_pushed() {
    let mut stage = Stage::new().await;
    let order = before_a_big_pack(&stage).await;
    stage.spool = Spool::new(1 << 20, Some("/no/such/folder".into()));
    let error = stage.relay().transfer(&order).await.unwrap_err();
    assert_eq!(error.code(), "spool_failed");
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
    assert_eq!(stage.spool.in_memory(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_above_the_limit_is_given_up() {
    let mut stage = Stage::new().await;
    let order = before_a_big_pack(&stage).await;
    stage.options.max_bytes = Some(2 << 20);
    let error = stage.relay().transfer(&order).await.unwrap_err();
    assert_eq!((error.code(), error.retry()), ("upstream_too_large", Retry::Never));
    stage.assert_spool_is_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_is_dropped_leaves_nothing_behind() {
    let stage = Stage::new().await;
    let order = before_a_big_pack(&stage).await;
    let before = tip(&stage);
    stage.upstream_proxy.plan(FETCH, Mishap::Stall(1_500_000), 1);
    let relay = stage.relay();
    tokio::select! {
        done = relay.transfer(&order) => panic!("{done:?}"),
        () = async {
            while relay.progress.snapshot().received < 1_000_000 { tokio::task::yield_now().await; }
        } => {}
    }
    stage.assert_spool_is_empty();
    assert_eq!(tip(&stage), before);
    assert_eq!(stage.permits.available_permits(), 1);
}
