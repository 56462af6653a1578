//! What a repository is: found, renamed, gone, and answers that GitHub would not give.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{TOKEN, anonymous, client, name, repository, with_app, with_token};
use crate::canned::{Canned, Reply};
use crate::config::github::Github;
use crate::domain::ids::GithubId;
use crate::domain::retry::Retry;
use crate::github::{GithubClient, GithubError, Reachability};
use crate::telemetry::metrics::Metrics;

#[tokio::test]
async fn a_repository_is_read_by_its_id() {
    let server = Canned::start(|_| Reply::json(200, &repository(7, "octo/hello"))).await;
    let found = client(&with_token(&server)).repository(GithubId(7)).await.unwrap();
    assert_eq!((found.id, found.name.to_string().as_str()), (GithubId(7), "octo/hello"));
    assert_eq!((found.private, found.archived, found.disabled, found.fork), (false, true, false, true));
    assert_eq!((found.size_kib, found.default_branch.as_deref()), (120, Some("trunk")));
    assert_eq!(found.description.as_deref(), Some("Says hello"));
    assert_eq!(found.pushed_at.unwrap().to_rfc3339(), "2026-11-20T10:00:00+00:00");
    let asked = &server.seen()[0];
    assert_eq!(asked.line(), "GET /repositories/7");
    assert_eq!(asked.header("user-agent"), Some(concat!("starkeep/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(asked.header("accept"), Some("application/vnd.github+json"));
    assert_eq!(asked.header("x-github-api-version"), Some("2022-11-28"));
    assert_eq!(asked.header("authorization"), Some("Bearer ghp_very-secret"));
}

#[tokio::test]
async fn without_a_credential_none_is_sent() {
    let server = Canned::start(|_| Reply::json(200, &repository(7, "octo/hello"))).await;
    let client = client(&anonymous(&server));
    client.repository_named(&name("octo/hello")).await.unwrap();
    assert_eq!(server.seen()[0].header("authorization"), None);
    assert_eq!(server.lines(), ["GET /repos/octo/hello"]);
    assert!(client.git_authorization(&name("octo/hello")).await.unwrap().is_none());
}

#[tokio::test]
async fn an_odd_field_that_is_not_needed_loses_nothing() {
    let mut answers = vec![
        json!({"id": 7, "name": "hello", "owner": {"login": "octo"}}),
        json!({"id": 7, "name": "hello", "owner": {"login": "octo"}, "private": false, "pushed_at": 1_700_000_000}),
        json!({"id": 7, "name": "hello", "owner": {"login": "octo"}, "private": false, "pushed_at": {"odd": 1},
               "default_branch": "", "size": -1}),
    ]
    .into_iter();
    let server = Canned::start(move |_| Reply::json(200, &answers.next().unwrap())).await;
    let client = client(&anonymous(&server));
    let bare = client.repository(GithubId(7)).await.unwrap();
    assert!(bare.private, "without a word about it, a repository is taken for private");
    let number = client.repository(GithubId(7)).await.unwrap();
    assert_eq!(number.pushed_at.unwrap().timestamp(), 1_700_000_000);
    let odd = client.repository(GithubId(7)).await.unwrap();
    assert_eq!((odd.pushed_at, odd.default_branch, odd.size_kib), (None, None, 0));
}

#[tokio::test]
async fn a_renamed_repository_is_followed_on_the_same_host() {
    let server = Canned::start(|request| match request.target.as_str() {
        "/repos/octo/old" => Reply::json(301, &json!({"message": "Moved"})).header("Location", "/repositories/7"),
        _ => Reply::json(200, &repository(7, "octo/new")),
    })
    .await;
    let found = client(&with_token(&server)).repository_named(&name("octo/old")).await.unwrap();
    assert_eq!(found.name, name("octo/new"));
    assert_eq!(server.lines(), ["GET /repos/octo/old", "GET /repositories/7"]);
    assert!(server.seen().iter().all(|it| it.header("authorization").is_some()));
}

#[tokio::test]
async fn a_redirect_to_another_host_is_refused_and_the_token_stays_home() {
    let stranger = Canned::start(|_| Reply::json(200, &repository(7, "octo/new"))).await;
    let target = stranger.url.join("/repositories/7").unwrap();
    let server = Canned::start(move |_| Reply::json(301, &json!({})).header("Location", &target)).await;
    let error = client(&with_token(&server)).repository_named(&name("octo/old")).await.unwrap_err();
    assert_eq!(error, GithubError::RedirectElsewhere("127.0.0.1".to_owned()));
    assert_eq!(error.retry(), Retry::Never);
    assert_eq!(stranger.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn redirects_end() {
    let server = Canned::start(|it| Reply::json(302, &json!({})).header("Location", &it.target)).await;
    let error = client(&anonymous(&server)).repository(GithubId(7)).await.unwrap_err();
    assert!(matches!(error, GithubError::Malformed(_)), "{error}");
    assert_eq!(server.lines().len(), 4);
}

#[tokio::test]
async fn gone_taken_down_blocked_and_forbidden_are_told_apart() {
    let dmca = json!({"message": "Repository access blocked", "block": {"reason": "dmca", "html_url": "x"}});
    let tos = json!({"message": "Repository access blocked", "block": {"reason": "tos"}});
    for (reply, code, gone) in [
        (Reply::json(404, &json!({"message": "Not Found"})), "upstream_not_found", true),
        (Reply::json(451, &dmca), "upstream_unavailable", true),
        (Reply::json(403, &tos), "upstream_blocked", true),
        (Reply::json(403, &tos).header("X-RateLimit-Remaining", 0), "upstream_blocked", true),
        (Reply::json(403, &json!({"message": "Repository access blocked"})), "upstream_blocked", true),
        (Reply::json(403, &json!({"message": "Resource not accessible"})), "github_forbidden", false),
        (Reply::json(401, &json!({"message": "Bad credentials"})), "github_unauthorized", false),
        (Reply::json(400, &json!({"message": "Unknown version"})), "github_rejected", false),
        (Reply::new(404, "text/html", "<html>nginx</html>"), "github_malformed", false),
        (Reply::new(200, "text/html", "<html>Sign in</html>"), "github_malformed", false),
        (Reply::json(304, &json!({})), "github_malformed", false),
        (Reply::json(200, &repository(8, "octo/other")), "github_malformed", false),
        (Reply::json(200, &json!({"id": 7, "name": "..", "owner": {"login": "o"}})), "github_malformed", false),
        (Reply::json(200, &repository(7, "octo/hello")).cut(), "github_transport", false),
        (Reply::new(200, "application/json", " ".repeat((1 << 20) + 1)), "github_malformed", false),
    ] {
        let shown = format!("{reply:.200?}");
        let server = Canned::start(move |_| reply.clone()).await;
        let error = client(&with_token(&server)).repository(GithubId(7)).await.unwrap_err();
        assert_eq!((error.code(), error.is_gone()), (code, gone), "{shown}: {error}");
        assert!(!error.to_string().contains(TOKEN) && !format!("{error:?}").contains(TOKEN));
    }
}

#[tokio::test]
async fn a_failing_github_is_tried_again_in_due_time() {
    let mut replies =
        vec![Reply::plain(500, "oops"), Reply::plain(503, "later").header("Retry-After", 7), Reply::plain(502, "")]
            .into_iter();
    let server = Canned::start(move |_| replies.next().unwrap()).await;
    let github = client(&anonymous(&server));
    for (status, retry) in [(500, Retry::Backoff), (503, Retry::After(Duration::from_secs(7))), (502, Retry::Backoff)] {
        let error = github.repository(GithubId(7)).await.unwrap_err();
        assert!(matches!(error, GithubError::Server { status: it, .. } if it == status));
        assert_eq!(error.retry(), retry);
    }
    assert_eq!(server.lines().len(), 3, "each was sent once");
    let config = anonymous(&server);
    drop(server);
    // A port that was just free: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut nowhere = config;
    nowhere.api_url.set_port(Some(port)).unwrap();
    let error = client(&nowhere).repository(GithubId(7)).await.unwrap_err();
    assert_eq!(error.code(), "github_unreachable");
    assert!(matches!(error.retry(), Retry::After(_)), "an outage is no attempt");
}

#[tokio::test]
async fn git_reads_with_a_header_and_an_address_without_secrets() {
    let server = Canned::start(|_| Reply::json(200, &json!({}))).await;
    let client = client(&with_token(&server));
    let header = client.git_authorization(&name("octo/hello")).await.unwrap().unwrap();
    assert_eq!(header.expose_secret(), "Basic eC1hY2Nlc3MtdG9rZW46Z2hwX3Zlcnktc2VjcmV0");
    assert_eq!(client.git_url(&name("octo/hello")), server.url.join("/octo/hello.git").unwrap());
    assert_eq!(server.lines(), Vec::<String>::new());
    let shown = format!("{client:?}");
    assert!(shown.contains("tokens: 1") && !shown.contains(TOKEN), "{shown}");
}

#[tokio::test]
async fn an_enterprise_servers_path_stays_in_front() {
    let server = Canned::start(|_| Reply::json(200, &repository(7, "octo/hello"))).await;
    for base in ["/api/v3", "/api/v3/"] {
        let config = Github { api_url: server.url.join(base).unwrap(), ..anonymous(&server) };
        client(&config).repository(GithubId(7)).await.unwrap();
    }
    assert_eq!(server.lines(), ["GET /api/v3/repositories/7", "GET /api/v3/repositories/7"]);
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_the_mend() {
    let metrics = Metrics::new().unwrap();
    let url = |text: &str| url::Url::parse(text).unwrap();
    let secret = |text: &str| Some(SecretString::from(text));
    let base = Github::default;
    for (config, word) in [
        (Github { api_url: url("http://api.example.com"), ..base() }, "github.api_url"),
        (Github { git_url: url("ftp://example.com"), ..base() }, "github.git_url"),
        (Github { git_url: url("https://me:pw@example.com"), ..base() }, "github.git_url"),
        (Github { app_id: Some(1), ..base() }, "go together"),
        (Github { app_id: Some(1), app_private_key: secret("no key"), ..base() }, "PEM"),
        (Github { token: secret("two\nlines"), ..base() }, "header"),
    ] {
        let error = GithubClient::new(&config, &metrics).unwrap_err();
        assert_eq!(error.code(), "github_config");
        let text = error.to_string();
        assert!(text.contains(word) && !text.contains("pw") && !text.contains("lines"), "{text}");
    }
    let insecure = Github { api_url: url("http://api.example.com"), insecure_http: true, ..base() };
    assert!(GithubClient::new(&insecure, &metrics).is_ok());
}

#[tokio::test]
async fn the_probe_costs_nothing_and_is_not_repeated_at_will() {
    let server = Canned::start(|_| Reply::json(200, &json!({"rate": {}}))).await;
    let hands = super::Hands::new();
    let client = super::client_at(&with_token(&server), &hands);
    assert!(client.reachable().await.is_up());
    assert_eq!(client.reachable().await, Reachability::Reachable);
    assert_eq!(server.lines(), ["GET /rate_limit"]);
    hands.forward(16);
    client.reachable().await;
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn the_probe_tells_what_is_wrong() {
    for (reply, expected) in [
        (Reply::json(404, &json!({"message": "Rate limiting is not enabled."})), "reachable"),
        (Reply::json(401, &json!({"message": "Bad credentials"})), "github.token"),
        (Reply::json(403, &json!({"message": "x"})).header("Retry-After", 30), "30 s left"),
        (Reply::plain(500, ""), "500"),
    ] {
        let server = Canned::start(move |_| reply.clone()).await;
        let state = client(&with_token(&server)).reachable().await;
        assert!(state.to_string().contains(expected), "{state}");
        assert_eq!(state.is_up(), expected == "reachable");
    }
}

#[tokio::test]
async fn requests_and_what_is_left_of_the_limit_are_counted() {
    let reset = chrono::Utc::now().timestamp() + 600;
    let with_limit = |it: Reply| it.header("X-RateLimit-Limit", 5000).header("X-RateLimit-Reset", reset);
    let mut replies = vec![
        with_limit(Reply::json(200, &repository(7, "octo/hello")))
            .header("X-RateLimit-Remaining", 4321)
            .header("X-RateLimit-Resource", "core"),
        with_limit(Reply::json(404, &json!({"message": "Not Found"}))).header("X-RateLimit-Remaining", 17),
    ]
    .into_iter();
    let server = Canned::start(move |_| replies.next().unwrap()).await;
    let metrics = Metrics::new().unwrap();
    let client = GithubClient::new(&anonymous(&server), &metrics).unwrap();
    let left = || metrics.github_rate_limit_remaining.with_label_values(&["core"]).get();
    client.repository(GithubId(7)).await.unwrap();
    assert_eq!(left(), 4321);
    client.repository(GithubId(7)).await.unwrap_err();
    assert_eq!(left(), 17);
    for code in ["200", "404"] {
        assert_eq!(metrics.upstream_requests.with_label_values(&["github", code]).get(), 1);
    }
}

#[tokio::test]
async fn a_changed_token_is_sent_from_then_on_and_a_key_that_cannot_sign_is_not_taken() {
    let server = Canned::start(|_| Reply::json(200, &repository(7, "octo/hello"))).await;
    let config = with_token(&server);
    let client = client(&config);
    client.repository(GithubId(7)).await.unwrap();
    client.renew(&Github { token: Some("ghp_next".into()), ..config.clone() }).unwrap();
    client.repository(GithubId(7)).await.unwrap();
    // No header can carry it: the one before is used on.
    client.renew(&Github { token: Some("ghp\nno".into()), ..config }).unwrap();
    client.repository(GithubId(7)).await.unwrap();
    let sent: Vec<_> = server.seen().iter().map(|it| it.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(sent, [&format!("Bearer {TOKEN}"), "Bearer ghp_next", "Bearer ghp_next"]);

    let config = with_app(&server);
    let client = super::client(&config);
    let refused = client.renew(&Github { app_private_key: Some("no key".into()), ..config }).unwrap_err();
    assert!(refused.to_string().contains("github.app_private_key"), "{refused}");
}
