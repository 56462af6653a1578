//! The GitHub App: its JWT, its installations, and tokens that are minted once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{Hands, client, client_at, name, repository, with_app};
use crate::canned::{Canned, Reply, Seen};
use crate::domain::ids::{GithubId, InstallationId};
use crate::github::{GithubClient, Reachability};

/// A GitHub with the installations 1 (of `octo`) and 2 (of `acme`), whose n-th token is `t<id>-<n>`.
fn installed(hands: &Hands) -> impl FnMut(&Seen) -> Reply + Send + 'static {
    let hands = hands.clone();
    let minted = AtomicI64::new(0);
    move |request| match (request.method.as_str(), request.target.as_str()) {
        ("GET", "/app/installations?per_page=100") => Reply::json(
            200,
            &json!([
                {"id": 9, "account": {"login": "sleepy"}, "suspended_at": "2026-01-01T00:00:00Z"},
                {"id": 1, "account": {"login": "octo"}, "suspended_at": null},
                {"id": 2, "account": {"login": "Acme"}},
            ]),
        ),
        ("POST", target) => {
            let id = target.split('/').nth(3).unwrap();
            let token = format!("t{id}-{}", minted.fetch_add(1, Ordering::SeqCst) + 1);
            Reply::json(201, &json!({"token": token, "expires_at": hands.now() + TimeDelta::hours(1)}))
        }
        ("GET", target) => repositories(target, request.header("authorization").unwrap()),
        _ => Reply::plain(500, ""),
    }
}

/// 7 is public, 8 is private to `acme`.
fn repositories(target: &str, authorization: &str) -> Reply {
    match target {
        "/repositories/7" | "/repos/octo/hello" => Reply::json(200, &repository(7, "octo/hello")),
        "/repositories/8" | "/repos/acme/inside" if authorization.starts_with("Bearer t2-") => {
            Reply::json(200, &repository(8, "acme/inside"))
        }
        _ => Reply::json(404, &json!({"message": "Not Found"})),
    }
}

async fn git_token(client: &GithubClient, repository: &str) -> String {
    let header = client.git_authorization(&name(repository)).await.unwrap().unwrap();
    let pair = STANDARD.decode(header.expose_secret().strip_prefix("Basic ").unwrap()).unwrap();
    String::from_utf8(pair).unwrap().strip_prefix("x-access-token:").unwrap().to_owned()
}

#[tokio::test]
async fn the_app_signs_a_jwt_that_github_takes() {
    let hands = Hands::new();
    let server = Canned::start(installed(&hands)).await;
    client_at(&with_app(&server), &hands).repository(GithubId(7)).await.unwrap();
    let lines =
        ["GET /app/installations?per_page=100", "POST /app/installations/1/access_tokens", "GET /repositories/7"];
    assert_eq!(server.lines(), lines);
    assert_eq!(server.seen()[1].body, "{}");
    let jwt = server.seen()[0].header("authorization").unwrap().strip_prefix("Bearer ").unwrap().to_owned();
    let part = |n: usize| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwt.split('.').nth(n).unwrap()).unwrap()).unwrap()
    };
    assert_eq!(part(0)["alg"], "RS256");
    let (claims, now) = (part(1), hands.now().timestamp());
    assert_eq!(claims["iss"], 77);
    assert!(claims["iat"].as_i64().unwrap() <= now - 55, "issued in the past, for clocks that differ");
    assert!(claims["exp"].as_i64().unwrap() <= now + 600, "at most ten minutes");
}

#[tokio::test]
async fn twenty_at_once_mint_one_token() {
    let hands = Hands::new();
    let server = Canned::start(installed(&hands)).await;
    let client = client_at(&with_app(&server), &hands);
    let tokens = futures_util::future::join_all((0..20).map(|_| git_token(&client, "octo/hello"))).await;
    assert!(tokens.iter().all(|it| it == "t1-1"), "{tokens:?}");
    assert_eq!(server.count("POST", "access_tokens"), 1);
    assert_eq!(server.count("GET", "installations"), 1);
}

#[tokio::test]
async fn twenty_at_once_share_one_failure() {
    let server = Canned::start(|request| match request.method.as_str() {
        "GET" => Reply::json(200, &json!([{"id": 1, "account": {"login": "octo"}}])),
        _ => Reply::plain(502, "bad gateway"),
    })
    .await;
    let client = client(&with_app(&server));
    let wanted = name("octo/hello");
    let answers = futures_util::future::join_all((0..20).map(|_| client.git_authorization(&wanted))).await;
    assert!(answers.iter().all(|it| it.as_ref().is_err_and(|error| error.code() == "github_server_error")));
    assert_eq!(server.count("POST", "access_tokens"), 1);
    assert!(client.git_authorization(&wanted).await.is_err());
    assert_eq!(server.count("POST", "access_tokens"), 2, "who comes later tries again");
}

#[tokio::test]
async fn a_token_is_renewed_five_minutes_before_it_expires() {
    let hands = Hands::new();
    let server = Canned::start(installed(&hands)).await;
    let client = client_at(&with_app(&server), &hands);
    assert_eq!(git_token(&client, "octo/hello").await, "t1-1");
    hands.forward(54 * 60);
    assert_eq!(git_token(&client, "octo/hello").await, "t1-1");
    hands.forward(60);
    assert_eq!(git_token(&client, "octo/hello").await, "t1-2");
}

#[tokio::test]
async fn an_old_token_serves_on_while_no_new_one_can_be_had() {
    let hands = Hands::new();
    let broken = Arc::new(AtomicBool::new(false));
    let mut github = installed(&hands);
    let server = Canned::start({
        let broken = Arc::clone(&broken);
        move |request| {
            let failing = request.method == "POST" && broken.load(Ordering::SeqCst);
            if failing { Reply::plain(500, "") } else { github(request) }
        }
    })
    .await;
    let client = client_at(&with_app(&server), &hands);
    assert_eq!(git_token(&client, "octo/hello").await, "t1-1");
    broken.store(true, Ordering::SeqCst);
    hands.forward(57 * 60);
    assert_eq!(git_token(&client, "octo/hello").await, "t1-1");
    hands.forward(2 * 60);
    assert!(client.git_authorization(&name("octo/hello")).await.is_err());
    broken.store(false, Ordering::SeqCst);
    assert_eq!(git_token(&client, "octo/hello").await, "t1-2");
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let hands = Hands::new();
    let revoked = Arc::new(AtomicI64::new(1));
    let mut github = installed(&hands);
    let server = Canned::start({
        let revoked = Arc::clone(&revoked);
        move |request| {
            let token = request.header("authorization").unwrap().strip_prefix("Bearer t1-");
            let dead = token.is_some_and(|it| it.parse::<i64>().unwrap() <= revoked.load(Ordering::SeqCst));
            if dead { Reply::json(401, &json!({"message": "Bad credentials"})) } else { github(request) }
        }
    })
    .await;
    let client = client_at(&with_app(&server), &hands);
    client.repository(GithubId(7)).await.unwrap();
    assert_eq!(server.count("POST", "access_tokens"), 2);
    revoked.store(i64::MAX, Ordering::SeqCst);
    let error = client.repository(GithubId(7)).await.unwrap_err();
    assert_eq!(error.code(), "github_unauthorized");
    assert_eq!(server.count("POST", "access_tokens"), 3, "once, not for ever");
}

#[tokio::test]
async fn git_that_was_refused_gets_a_new_token() {
    let hands = Hands::new();
    let server = Canned::start(installed(&hands)).await;
    let client = client_at(&with_app(&server), &hands);
    assert_eq!(git_token(&client, "octo/hello").await, "t1-1");
    client.git_authorization_refused(&name("octo/hello"));
    assert_eq!(git_token(&client, "octo/hello").await, "t1-2");
}

#[tokio::test]
async fn each_owner_is_read_with_its_own_installation_and_strangers_with_the_first() {
    let hands = Hands::new();
    let server = Canned::start(installed(&hands)).await;
    let client = client_at(&with_app(&server), &hands);
    assert!(git_token(&client, "acme/inside").await.starts_with("t2-"));
    assert!(git_token(&client, "OCTO/hello").await.starts_with("t1-"));
    assert!(git_token(&client, "stranger/public").await.starts_with("t1-"));
    client.repository_named(&name("acme/inside")).await.unwrap();
    assert_eq!(server.count("GET", "/repos/"), 1);
}

#[tokio::test]
async fn a_private_repository_is_not_gone_because_the_wrong_installation_asked() {
    let hands = Hands::new();
    let server = Canned::start(installed(&hands)).await;
    let client = client_at(&with_app(&server), &hands);
    assert!(client.repository(GithubId(8)).await.unwrap().name == name("acme/inside"));
    assert_eq!(server.count("GET", "/repositories/8"), 2);
    client.repository(GithubId(8)).await.unwrap();
    assert_eq!(server.count("GET", "/repositories/8"), 3, "the right one is remembered");
    let error = client.repository(GithubId(9)).await.unwrap_err();
    assert_eq!(error.code(), "upstream_not_found");
    assert_eq!(server.count("GET", "/repositories/9"), 2, "only after all were asked");
}

#[tokio::test]
async fn an_installation_that_went_away_is_not_a_repository_that_went_away() {
    let hands = Hands::new();
    let mut github = installed(&hands);
    let server = Canned::start(move |request| {
        let gone = request.target.starts_with("/app/installations/2/");
        if gone { Reply::json(404, &json!({"message": "Not Found"})) } else { github(request) }
    })
    .await;
    let client = client_at(&with_app(&server), &hands);
    let error = client.repository(GithubId(8)).await.unwrap_err();
    assert_eq!((error.code(), error.is_gone()), ("github_app", false));
    client.repository(GithubId(7)).await.unwrap();
    assert_eq!(server.count("GET", "/app/installations"), 2, "the list was read again, since it was wrong");
}

#[tokio::test]
async fn an_app_that_is_installed_nowhere_reads_what_is_public_and_says_so() {
    let server = Canned::start(|request| match request.target.as_str() {
        "/app/installations?per_page=100" => Reply::json(200, &json!([])),
        _ => Reply::json(200, &repository(7, "octo/hello")),
    })
    .await;
    let client = client(&with_app(&server));
    client.repository(GithubId(7)).await.unwrap();
    assert_eq!(server.seen().last().unwrap().header("authorization"), None);
    assert!(matches!(client.reachable().await, Reachability::Refused(text) if text.contains("install it")));
}

#[tokio::test]
async fn installations_are_read_page_by_page_and_only_at_home() {
    let stranger = Canned::start(|_| Reply::json(200, &json!([{"id": 3}]))).await;
    let elsewhere = stranger.url.clone();
    let server = Canned::start(move |request| {
        let host = format!("http://{}", request.header("host").unwrap());
        match request.target.as_str() {
            "/app/installations?per_page=100" => Reply::json(200, &json!([{"id": 1, "account": {"login": "octo"}}]))
                .header("Link", format!("<{host}/app/installations?page=2>; rel=\"next\", <{host}/x>; rel=\"last\"")),
            "/app/installations?page=2" => Reply::json(200, &json!([{"id": 2, "account": {"login": "acme"}}]))
                .header("Link", format!("<{elsewhere}x>; rel=\"next\"")),
            _ => Reply::json(201, &json!({"token": "t", "expires_at": "2099-01-01T00:00:00Z"})),
        }
    })
    .await;
    client(&with_app(&server)).git_authorization(&name("acme/x")).await.unwrap();
    assert_eq!(server.count("POST", "/installations/2/"), 1);
    assert_eq!(stranger.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn neither_key_nor_token_can_be_seen() {
    let hands = Hands::new();
    let server = Canned::start(installed(&hands)).await;
    let client = client_at(&with_app(&server), &hands);
    client.repository(GithubId(7)).await.unwrap();
    let shown = format!("{client:?} {:?}", client.git_authorization(&name("octo/x")).await.unwrap());
    assert!(!shown.contains("t1-1") && !shown.contains("PRIVATE") && !shown.contains("eC1h"), "{shown}");
}

/// A GitHub with one installation that was granted this, and what it makes of requests for tokens.
async fn granted(permissions: Value, refuses_narrow: bool) -> Canned {
    Canned::start(move |request| match (request.method.as_str(), request.target.as_str()) {
        ("GET", "/app/installations?per_page=100") => {
            Reply::json(200, &json!([{"id": 1, "account": {"id": 5, "login": "octo"}, "permissions": permissions}]))
        }
        ("POST", _) if refuses_narrow && request.body != "{}" => {
            Reply::json(422, &json!({"message": "The permissions requested are not granted to this installation."}))
        }
        ("POST", _) => Reply::json(201, &json!({"token": "t", "expires_at": "2099-01-01T00:00:00Z"})),
        _ => Reply::json(200, &repository(7, "octo/hello")),
    })
    .await
}

#[tokio::test]
async fn a_token_may_only_read_what_is_mirrored() {
    let server = granted(json!({"contents": "write", "metadata": "read", "administration": "write"}), false).await;
    client(&with_app(&server)).repository(GithubId(7)).await.unwrap();
    let asked = server.seen().into_iter().find(|it| it.method == "POST").unwrap();
    let asked: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(asked, json!({"permissions": {"contents": "read", "metadata": "read"}}));
}

#[tokio::test]
async fn a_token_that_cannot_be_narrowed_is_taken_as_it_is() {
    let server = granted(json!({"contents": "read", "issues": "read"}), true).await;
    client(&with_app(&server)).repository(GithubId(7)).await.unwrap();
    let bodies: Vec<_> = server.seen().into_iter().filter(|it| it.method == "POST").map(|it| it.body).collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[1], "{}");
}

#[tokio::test]
async fn a_private_repository_is_not_gone_because_its_installation_is_suspended_or_was_removed() {
    let hands = Hands::new();
    let state = Arc::new(AtomicI64::new(0));
    let server = Canned::start({
        let state = Arc::clone(&state);
        move |request| match (request.method.as_str(), request.target.as_str()) {
            ("GET", "/app/installations?per_page=100") => {
                let octo = json!({"id": 1, "account": {"login": "octo"}});
                let acme = |since: Value| json!({"id": 2, "account": {"login": "Acme"}, "suspended_at": since});
                match state.load(Ordering::SeqCst) {
                    0 => Reply::json(200, &json!([octo, acme(Value::Null)])),
                    1 => Reply::json(200, &json!([octo, acme(json!("2026-11-20T11:00:00Z"))])),
                    _ => Reply::json(200, &json!([octo])),
                }
            }
            ("POST", target) => {
                let id = target.split('/').nth(3).unwrap();
                Reply::json(201, &json!({"token": format!("t{id}-1"), "expires_at": "2099-01-01T00:00:00Z"}))
            }
            ("GET", "/users/octo" | "/user/1") => Reply::json(200, &json!({"id": 5, "login": "octo"})),
            ("GET", target) => repositories(target, request.header("authorization").unwrap_or_default()),
            _ => Reply::plain(500, ""),
        }
    })
    .await;
    let client = client_at(&with_app(&server), &hands);
    let of = |id| client.repository_of(GithubId(id), Some("acme"));
    of(8).await.unwrap();
    assert_eq!(server.count("GET", "/repositories/8"), 1, "the owner's own is asked first");
    for (now, word) in [(1, "suspended"), (2, "removed")] {
        state.store(now, Ordering::SeqCst);
        client.installation_changed(InstallationId(2)).await;
        let error = of(8).await.unwrap_err();
        assert_eq!((error.code(), error.is_gone()), ("installation_suspended", false));
        assert!(error.to_string().contains(word), "{error}");
        of(7).await.unwrap();
        assert_eq!(client.repository_of(GithubId(9), Some("octo")).await.unwrap_err().code(), "upstream_not_found");
    }
    state.store(0, Ordering::SeqCst);
    client.installation_changed(InstallationId(2)).await;
    of(8).await.unwrap();
}

#[tokio::test]
async fn a_token_of_a_suspended_installation_is_dropped_and_the_next_request_goes_with_another() {
    let hands = Hands::new();
    let mut github = installed(&hands);
    let suspended = Arc::new(AtomicBool::new(false));
    let server = Canned::start({
        let suspended = Arc::clone(&suspended);
        move |request| {
            let is_off = suspended.load(Ordering::SeqCst);
            let token = request.header("authorization").unwrap_or_default();
            if is_off && token.starts_with("Bearer t1-") {
                return Reply::json(403, &json!({"message": "This installation has been suspended"}));
            }
            if is_off && request.target.starts_with("/app/installations?") {
                let all = json!([{"id": 1, "account": {"login": "octo"}, "suspended_at": "2026-11-20T11:00:00Z"},
                    {"id": 2, "account": {"login": "Acme"}}]);
                return Reply::json(200, &all);
            }
            github(request)
        }
    })
    .await;
    let client = client_at(&with_app(&server), &hands);
    client.repository(GithubId(7)).await.unwrap();
    suspended.store(true, Ordering::SeqCst);
    let found = client.repository(GithubId(7)).await.unwrap();
    assert_eq!(found.name, name("octo/hello"), "another installation reads what is public");
}

#[tokio::test]
async fn a_clock_that_is_hours_off_is_put_right_by_githubs_own() {
    for hours in [-5, 3] {
        let hands = Hands::new();
        let theirs = hands.now() + TimeDelta::hours(hours);
        let server = Canned::start(move |request| {
            let claims = request.header("authorization").unwrap_or_default().split('.').nth(1).map(str::to_owned);
            let claims: Option<Value> =
                claims.map(|it| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(it).unwrap()).unwrap());
            let expires = claims.map(|it| it["exp"].as_i64().unwrap() - theirs.timestamp());
            let reply = match (request.method.as_str(), expires) {
                (_, Some(left)) if left > 600 => {
                    Reply::json(401, &json!({"message": "'Expiration time' claim ('exp') is too far in the future"}))
                }
                (_, Some(left)) if left <= 0 => {
                    Reply::json(401, &json!({"message": "'Expiration time' claim ('exp') must be a numeric value"}))
                }
                ("GET", Some(_)) => Reply::json(200, &json!([{"id": 1, "account": {"login": "octo"}}])),
                ("POST", _) => Reply::json(201, &json!({"token": "t", "expires_at": theirs + TimeDelta::hours(1)})),
                _ => Reply::json(200, &repository(7, "octo/hello")),
            };
            reply.header("Date", theirs.format("%a, %d %b %Y %H:%M:%S GMT"))
        })
        .await;
        let client = client_at(&with_app(&server), &hands);
        client.repository(GithubId(7)).await.unwrap();
        client.repository(GithubId(7)).await.unwrap();
        assert_eq!(server.count("GET", "/app/installations"), 2, "refused once");
        assert_eq!(server.count("POST", "access_tokens"), 1, "and the token's hour is GitHub's hour");
    }
}
