//! What is refused: redirects, statuses, formats, lists without an end, commands that are too late.

use std::time::Duration;

use super::super::*;
use super::network::{Reciter, answer, listed};
use super::stage::*;
use crate::domain::refs::Oid;
use crate::domain::retry::Retry;

const RESULT: &str = "Content-Type: application/x-git-upload-pack-result";
const MAIN: &str = "003daaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa refs/heads/main\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_another_server_is_refused_and_the_token_is_not_sent_there() {
    let elsewhere = Reciter::of(vec![answer("200 OK", &[RESULT], b"0000")]).await;
    let location = format!("Location: {}", elsewhere.url("o/n.git/git-upload-pack"));
    let server = Reciter::of(vec![answer("302 Found", &[&location], b"")]).await;
    let error = upstream_at(&server.url("o/n.git")).ls_refs(&[]).await.unwrap_err();
    assert!(matches!(error, WireError::RedirectedElsewhere { side: Side::Upstream, .. }), "{error}");
    assert_eq!(error.retry(), Retry::Never);
    assert!(elsewhere.asked().is_empty(), "nothing was sent there");
    assert!(server.asked()[0].contains("authorization: Basic") && !error.to_string().contains("Basic"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_repository_is_followed_and_its_address_remembered() {
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let server = Reciter::of(vec![
            answer(status, &["Location: /new/name.git/git-upload-pack"], b""),
            answer("200 OK", &[RESULT], format!("{MAIN}0000").as_bytes()),
        ])
        .await;
        let upstream = upstream_at(&server.url("old/name.git"));
        assert_eq!(upstream.ls_refs(&[]).await.unwrap().refs.len(), 1);
        assert_eq!(upstream.url().path(), "/new/name.git");
        assert!(server.asked()[1].starts_with("POST /new/name.git/git-upload-pack "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_redirects_only_info_refs_is_followed_by_it() {
    let capabilities = "000eversion 2\n0015ls-refs=unborn\n0000".replace("0015", "0013");
    let server = Reciter::of(vec![
        answer("404 Not Found", &["Content-Type: text/plain"], b"Repository not found."),
        answer("301 Moved", &["Location: /new/name.git/info/refs?service=git-upload-pack"], b""),
        answer("200 OK", &[&listed("upload-pack")], capabilities.as_bytes()),
        answer("200 OK", &[RESULT], format!("{MAIN}0000").as_bytes()),
    ])
    .await;
    let upstream = upstream_at(&server.url("old/name.git"));
    assert_eq!(upstream.ls_refs(&[]).await.unwrap().refs.len(), 1);
    assert_eq!(upstream.url().path(), "/new/name.git");
    let first_lines: Vec<String> = server.asked().iter().map(|it| it.lines().next().unwrap().to_owned()).collect();
    assert!(first_lines[3].starts_with("POST /new/name.git/git-upload-pack"), "{first_lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_without_end_are_given_up() {
    let again = || answer("302 Found", &["Location: /a.git/git-upload-pack"], b"");
    let info = || answer("302 Found", &["Location: /a.git/info/refs?service=git-upload-pack"], b"");
    let server = Reciter::of(vec![again(), again(), again(), again(), info(), info(), info(), info(), info()]).await;
    let error = upstream_at(&server.url("a.git")).ls_refs(&[]).await.unwrap_err();
    assert!(matches!(error, WireError::BadRedirect { .. }), "{error}");
    assert_eq!(server.asked().len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_its_end_is_an_error_on_both_sides() {
    let cut = format!("{MAIN}{MAIN}");
    for body in [&cut, &cut[..70]] {
        let server = Reciter::of(vec![
            answer("200 OK", &[RESULT], body.as_bytes()),
            answer("200 OK", &[&listed("upload-pack")], body.as_bytes()),
        ])
        .await;
        let error = upstream_at(&server.url("a.git")).ls_refs(&[]).await.unwrap_err();
        assert_eq!(error.code(), "upstream_truncated", "{error}");
        let server = Reciter::of(vec![answer("200 OK", &[&listed("receive-pack")], body.as_bytes())]).await;
        let error = target_at(&server.url("a.git")).receive_refs().await.unwrap_err();
        assert_eq!(error.code(), "onedev_truncated", "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_answers_while_it_starts_is_not_a_missing_project() {
    let page = "<html><body><h2>HTTP ERROR 404 Not Found</h2></body></html>";
    let server = Reciter::of(vec![
        answer("404 Not Found", &["Content-Type: text/html;charset=iso-8859-1", "Server: Jetty(9.4)"], page.as_bytes()),
        answer("503 Service Unavailable", &[], b"Server not ready"),
        answer("404 Not Found", &["Content-Type: text/plain"], b"Project not found or inaccessible: a/b"),
        answer("401 Unauthorized", &[], b"Invalid account or incorrect credentials"),
        answer("403 Forbidden", &[], b"Not authorized"),
        answer("429 Too Many Requests", &["Retry-After: 2"], b""),
        answer("500 Internal Server Error", &[], b"boom \x1b[31m Basic c3RhcmtlZXA6c2VjcmV0LXRva2Vu secret-token"),
        answer("200 OK", &["Content-Type: text/html"], b"<html>sign in</html>"),
    ])
    .await;
    let target = target_at(&server.url("a/b"));
    let mut codes = Vec::new();
    let mut last = String::new();
    for _ in 0..8 {
        let error = target.receive_refs().await.unwrap_err();
        codes.push((error.code(), error.retry()));
        last.push_str(&error.to_string());
    }
    let after = |seconds| Retry::After(Duration::from_secs(seconds));
    assert_eq!(
        codes,
        [
            ("onedev_booting", after(5)),
            ("onedev_not_ready", after(5)),
            ("onedev_not_found", Retry::Never),
            ("onedev_unauthorized", Retry::Never),
            ("onedev_forbidden", Retry::Never),
            ("onedev_rate_limited", after(2)),
            ("onedev_http_status", Retry::Backoff),
            ("onedev_protocol", Retry::Backoff),
        ]
    );
    assert!(!last.contains("secret-token") && !last.contains("c3Rhcm") && !last.contains('\x1b'), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sha256_repository_is_refused_by_name() {
    let stage = Stage::new().await;
    let path = stage.path("wide.git");
    super::people::git_in(path.parent().unwrap(), &["init", "-q", "--bare", "--object-format=sha256", "wide.git"]);
    let upstream = upstream_at(&stage.upstream_proxy.url("wide.git"));
    let error = upstream.ls_refs(&[]).await.unwrap_err();
    assert!(matches!(&error, WireError::ObjectFormat { format, .. } if format == "sha256"), "{error}");
    let target = target_at(&stage.target_proxy.url("wide.git"));
    assert_eq!(target.receive_refs().await.unwrap_err().code(), "onedev_object_format");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shallow_upstream_is_refused_before_any_byte_is_pushed() {
    let stage = Stage::new().await;
    stage.people.commit("more", "1");
    stage.publish();
    let full = stage.path("up.git");
    let full = format!("file://{}", full.display());
    let root = stage.path("");
    super::people::git_in(&root, &["clone", "-q", "--bare", "--depth=1", &full, "shallow.git"]);
    let shallow = upstream_at(&stage.upstream_proxy.url("shallow.git"));
    let list = shallow.ls_refs(&[]).await.unwrap();
    let order = order(&list.refs, &stage.target.receive_refs().await.unwrap().refs);
    let relay = Relay { upstream: &shallow, ..stage.relay() };
    let error = relay.transfer(&order).await.unwrap_err();
    assert!(matches!(error, WireError::Shallow), "{error}");
    assert!(!stage.target_proxy.requests().iter().any(|it| it.starts_with("POST")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_old_value_is_refused_and_the_other_refs_move() {
    let stage = Stage::new().await;
    stage.people.git(&["branch", "b"]);
    stage.publish();
    stage.mirror().await.unwrap();
    stage.people.commit("more", "1");
    stage.people.git(&["branch", "-f", "b"]);
    stage.publish();
    let mut order = stage.order().await.unwrap();
    // Somebody moved `b` after the lists were read; the plan still expects the old place.
    let moved = stage.git("down.git", &["commit-tree", "-m", "x", "trunk^{tree}"]);
    stage.git("down.git", &["update-ref", "refs/heads/b", &moved]);
    let done = stage.relay().transfer(&order).await.unwrap();
    let refused: Vec<_> = done.reports[0].refused().collect();
    assert!(matches!(refused.as_slice(), [(it, Refusal::Stale(_))] if it.as_str() == "refs/heads/b"), "{refused:?}");
    assert_eq!(stage.git("down.git", &["rev-parse", "refs/heads/b"]), moved);
    assert_eq!(stage.git("down.git", &["rev-parse", "trunk"]), stage.people.git(&["rev-parse", "trunk"]));
    // The same, atomic: nothing moves.
    order.pushes[0].atomic = true;
    order.pushes[0].commands.retain(|it| it.name.as_str() == "refs/heads/b");
    order.pushes[0].commands.push(Command { name: name("refs/heads/c"), old: Oid::ZERO, new: oid(&moved) });
    order.wants.clear();
    let done = stage.relay().transfer(&order).await.unwrap();
    assert!(done.reports[0].refused().count() == 2, "{:?}", done.reports);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_branch_that_head_points_at_is_not_deleted() {
    let stage = Stage::new().await;
    stage.mirror().await.unwrap();
    let old = oid(&stage.people.git(&["rev-parse", "HEAD"]));
    stage.git("down.git", &["config", "receive.denyDeleteCurrent", "refuse"]);
    let push = Push::plain(vec![Command { name: name("refs/heads/trunk"), old, new: Oid::ZERO }]);
    let report = stage.target.push(&push, &stage.relay().progress).await.unwrap();
    assert!(matches!(report.refused().next(), Some((_, Refusal::CurrentBranch(_)))), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ref_to_an_object_that_is_missing_is_refused() {
    let stage = Stage::new().await;
    stage.mirror().await.unwrap();
    let new = Oid::from_bytes([3; 20]);
    let push = Push::plain(vec![Command { name: name("refs/heads/x"), old: Oid::ZERO, new }]);
    let report = stage.target.push(&push, &stage.relay().progress).await.unwrap();
    assert!(matches!(report.refused().next(), Some((_, Refusal::MissingObjects(_)))), "{report:?}");
}

#[test]
fn an_address_with_credentials_or_of_another_kind_is_refused() {
    for bad in ["http://user:word@host/x", "http://user@host/x", "file:///x", "ssh://host/x"] {
        let metrics = crate::telemetry::metrics::Metrics::new().unwrap();
        let made = Upstream::new(http_client().unwrap(), address(bad, "github"), metrics, patience());
        assert_eq!(made.unwrap_err().code(), "push_impossible", "{bad}");
    }
    let shown = format!("{:?} {:?}", address("http://h/x", "github"), upstream_at("http://h/x"));
    assert!(!shown.contains("c3RhcmtlZXA"), "{shown}");
}
