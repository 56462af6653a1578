//! Connections that break or fall silent, on either side and at any byte.

use super::super::*;
use super::network::{Mishap, Reciter, answer};
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
    for after in [1000, 100_000, 2_900_000] {
        stage.upstream_proxy.plan(FETCH, Mishap::Cut(after), 1);
        let error = stage.relay().transfer(&order).await.unwrap_err();
        assert_eq!((error.side(), error.retry()), (Some(Side::Upstream), Retry::Backoff), "{after}: {error}");
        assert_eq!(tip(&stage), before);
        stage.assert_spool_is_empty().await;
    }
    let pushes = stage.target_proxy.requests().iter().filter(|it| *it == PUSH).count();
    assert_eq!(pushes, 1, "only the first mirror was pushed");
    stage.mirror().await.unwrap();
    stage.assert_level();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_whose_connection_breaks_before_any_answer_is_asked_once_more() {
    let stage = Stage::new().await;
    let order = before_a_big_pack(&stage).await;
    stage.upstream_proxy.plan(FETCH, Mishap::Cut(1), 1);
    stage.relay().transfer(&order).await.unwrap();
    stage.assert_level();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_falls_silent_is_given_up() {
    let mut stage = Stage::new().await;
    let order = before_a_big_pack(&stage).await;
    stage.hurry();
    stage.upstream_proxy.plan(FETCH, Mishap::Stall(500_000), 1);
    let error = stage.relay().transfer(&order).await.unwrap_err();
    assert_eq!(error.code(), "upstream_stalled", "{error}");
    stage.assert_spool_is_empty().await;
    stage.mirror().await.unwrap();
    stage.assert_level();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_or_stalls_is_begun_again_through_the_spool() {
    for mishap in [Mishap::Cut(2_500_000), Mishap::Stall(2_500_000)] {
        let mut stage = Stage::new().await;
        let order = before_a_big_pack(&stage).await;
        stage.options.stream_above = Some(1);
        stage.hurry();
        stage.upstream_proxy.plan(FETCH, mishap, 1);
        let done = stage.relay().transfer(&order).await.unwrap();
        assert!(!done.streamed && done.in_file, "{done:?}");
        assert!(done.reports[0].all_done(), "{:?}", done.reports);
        assert_eq!(stage.target_proxy.requests().iter().filter(|it| *it == PUSH).count(), 3);
        stage.assert_level();
        stage.assert_spool_is_empty().await;
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
    stage.assert_spool_is_empty().await;
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
        stage.assert_spool_is_empty().await;
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
    stage.assert_spool_is_empty().await;
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
    stage.assert_spool_is_empty().await;
    assert_eq!(tip(&stage), before);
    assert_eq!(stage.permits.available_permits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_begin_is_given_up() {
    let stage = Stage::new().await;
    let mut patience = patience();
    patience.answer = std::time::Duration::from_millis(200);
    let url = stage.upstream_proxy.url("up.git");
    let upstream = Upstream::new(http_client().unwrap(), address(&url, "github"), stage.metrics.clone(), patience);
    stage.upstream_proxy.plan(FETCH, Mishap::Stall(0), 1);
    let error = upstream.unwrap().ls_refs(&[]).await.unwrap_err();
    assert_eq!(error.code(), "upstream_no_answer", "{error}");
    assert_eq!(stage.requests_counted("github", "timeout"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_at_once_is_understood_while_the_pack_still_goes_up() {
    let mut stage = Stage::new().await;
    let order = before_a_big_pack(&stage).await;
    let busy = answer("503 Service Unavailable", &["Retry-After: 9"], b"Server not ready");
    let server = Reciter::of(vec![busy]).await;
    stage.target = target_at(&server.url("down.git"));
    let error = stage.relay().transfer(&order).await.unwrap_err();
    assert_eq!(error.retry(), Retry::After(std::time::Duration::from_secs(9)), "{error}");
    stage.assert_spool_is_empty().await;
}

/// What upstream says after a fetch, packets given as text with their lengths.
async fn recited(body: &[u8]) -> Result<Vec<u8>, WireError> {
    let kind = "Content-Type: application/x-git-upload-pack-result";
    let server = Reciter::of(vec![answer("200 OK", &[kind], body)]).await;
    let upstream = upstream_at(&server.url("up.git"));
    let mut pack = upstream.fetch(&[crate::domain::refs::Oid::ZERO], &[], FetchOptions::RELAY).await?;
    let mut out = Vec::new();
    while let Some(piece) = pack.next().await? {
        out.extend_from_slice(&piece);
    }
    Ok(out)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_is_whole_only_with_its_end_and_signs_of_life_are_no_part_of_it() {
    let empty = super::super::pack::EMPTY.as_slice();
    let banded = [b"0025\x01".as_slice(), empty].concat();
    let whole = [b"000dpackfile\n0005\x010010\x02Counting\n..0005\x01", banded.as_slice(), b"0005\x010000"].concat();
    assert_eq!(recited(&whole).await.unwrap(), empty);
    let cut = recited(&whole[..whole.len() - 4]).await.unwrap_err();
    assert_eq!(cut.code(), "upstream_truncated");
    let fatal = [b"000dpackfile\n", banded.as_slice(), b"0012\x03out of memory0000"].concat();
    let error = recited(&fatal).await.unwrap_err();
    assert!(matches!(&error, WireError::Remote { message, .. } if message == "out of memory"), "{error}");
    for (garbage, code) in [
        (b"000dpackfile\n0015\x01<html>not a pack0000".as_slice(), "upstream_protocol"),
        (b"0016ERR access denied\n", "upstream_refused"),
        (b"<html>", "upstream_protocol"),
        (b"000dpackfile\n", "upstream_truncated"),
        (b"0000", "upstream_protocol"),
        (b"", "upstream_truncated"),
    ] {
        assert_eq!(recited(garbage).await.unwrap_err().code(), code, "{}", garbage.escape_ascii());
    }
}
