//! `Idempotency-Key`: a call that is made again is answered as before, and run once.

use reqwest::Method;
use serde_json::{Value, json};

use super::house::{Answer, House, Plan, TOKEN};
use crate::canned::{Reply, Seen};

/// GitHub with one repository, and one over which it fails.
fn github(request: &Seen) -> Reply {
    let known = json!({
        "id": 42, "name": "Hello", "owner": {"login": "octo"}, "private": false, "size": 7,
        "default_branch": "main", "description": "says hello", "pushed_at": "2026-01-02T03:04:05Z",
    });
    match request.target.as_str() {
        "/repos/octo/hello" => Reply::json(200, &known),
        "/repos/octo/broken" => Reply::json(500, &json!({"message": "oops"})),
        _ => Reply::json(404, &json!({"message": "Not Found"})),
    }
}

async fn house() -> House {
    let mut plan = Plan::new();
    plan.github = Box::new(github);
    plan.build().await
}

impl House {
    async fn keyed(&self, token: &str, path: &str, key: &str, body: Option<Value>) -> Answer {
        let request = self.request(Method::POST, &format!("/api/v1{path}")).bearer_auth(token);
        let request = request.header("Idempotency-Key", key.to_owned());
        self.send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    async fn audited(&self, action: &str) -> usize {
        let found = self.look(&format!("/audit?action={action}")).await.expect(200);
        found["items"].as_array().unwrap().len()
    }
}

fn hello() -> Option<Value> {
    Some(json!({ "repository": "octo/hello" }))
}

#[actix::test]
async fn the_same_call_again_is_answered_as_before_and_not_run() {
    let house = house().await;
    let first = house.keyed(TOKEN, "/mirrors", "a", hello()).await;
    first.expect(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = house.keyed(TOKEN, "/mirrors/", "a", hello()).await;
    again.expect(201);
    assert_eq!((&again.text, again.header("location")), (&first.text, first.header("location")));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    assert_eq!(house.audited("mirror.add").await, 1);
    // Without a key, or under another, it is another call.
    house.api(Method::POST, "/mirrors", hello()).await.expect(200);
    house.keyed(TOKEN, "/mirrors", "b", hello()).await.expect(200);
    assert_eq!(house.audited("mirror.add").await, 3);
    // A call without a body as well.
    let path = format!("/mirrors/{}/sync", first.json()["id"].as_str().unwrap());
    let job = house.keyed(TOKEN, &path, "a", None).await.expect(202);
    assert_eq!(house.keyed(TOKEN, &path, "a", None).await.expect(202), job);
    assert_eq!(house.audited("mirror.sync").await, 1);
}

#[actix::test]
async fn another_body_another_query_and_a_malformed_key_are_refused() {
    let house = house().await;
    house.keyed(TOKEN, "/mirrors", "a", hello()).await.expect(201);
    let other = Some(json!({ "repository": "octo/other" }));
    house.keyed(TOKEN, "/mirrors", "a", other).await.problem(422, "idempotency_key_reused");
    house.keyed(TOKEN, "/mirrors?x=1", "a", hello()).await.problem(422, "idempotency_key_reused");
    for malformed in ["", "a b", &"x".repeat(201)] {
        house.keyed(TOKEN, "/mirrors", malformed, hello()).await.problem(400, "idempotency_key_malformed");
    }
    let twice = house.request(Method::POST, "/api/v1/mirrors").bearer_auth(TOKEN).json(&hello());
    let twice = twice.header("Idempotency-Key", "a").header("Idempotency-Key", "b");
    house.send(twice).await.problem(400, "idempotency_key_malformed");
    assert_eq!(house.audited("mirror.add").await, 1);
}

#[actix::test]
async fn refusals_are_kept_and_what_another_try_may_change_is_not() {
    let house = house().await;
    let lost = || Some(json!({ "repository": "octo/lost" }));
    let first = house.keyed(TOKEN, "/mirrors", "a", lost()).await;
    first.problem(404, "upstream_not_found");
    let asked = house.github.lines().len();
    let again = house.keyed(TOKEN, "/mirrors", "a", lost()).await;
    again.problem(404, "upstream_not_found");
    assert_eq!((&again.text, house.github.lines().len()), (&first.text, asked), "GitHub was not asked again");
    let broken = || Some(json!({ "repository": "octo/broken" }));
    for _ in 0..2 {
        let failed = house.keyed(TOKEN, "/mirrors", "b", broken()).await;
        assert!(failed.status >= 500 && failed.header("idempotency-replayed").is_none(), "{failed:?}");
    }
    // After a failure the key is free for whatever is sent next.
    house.keyed(TOKEN, "/mirrors", "b", hello()).await.expect(201);
    // A panic leaves no claim behind either.
    house.panics.plan("describe", 1);
    assert!(house.keyed(TOKEN, "/mirrors", "c", hello()).await.status >= 500);
    house.keyed(TOKEN, "/mirrors", "c", hello()).await.expect(200);
}

#[actix::test]
async fn keys_of_different_callers_and_routes_have_nothing_to_do_with_each_other() {
    let house = house().await;
    let made = house.api(Method::POST, "/api-keys", Some(json!({ "name": "ci", "scopes": ["mirrors:write"] }))).await;
    let key = made.expect(201)["full_key"].as_str().unwrap().to_owned();
    house.keyed(TOKEN, "/mirrors", "a", hello()).await.expect(201);
    house.keyed(&key, "/mirrors", "a", hello()).await.expect(200);
    house.keyed(TOKEN, "/vanished", "a", Some(json!({ "confirm": false }))).await.expect(202);
    // Whoever may not make the call is not told what it was answered.
    house.keyed(&key, "/deliveries/replay", "a", None).await.problem(403, "scope_missing");
    house.keyed("wrong", "/mirrors", "a", hello()).await.problem(401, "token_wrong");
    house.keyed(TOKEN, "/nothing", "a", None).await.problem(404, "not_found");
    house.keyed(TOKEN, "/jobs", "a", None).await.problem(405, "method_not_allowed");
}

#[actix::test]
async fn a_secret_is_shown_once_and_kept_nowhere() {
    let house = house().await;
    let body = || Some(json!({ "name": "ci", "scopes": ["mirrors:read"] }));
    let made = house.keyed(TOKEN, "/api-keys", "a", body()).await;
    let shown = made.expect(201);
    let place = format!("/api/v1/api-keys/{}", shown["id"].as_str().unwrap());
    assert_eq!(made.header("location"), Some(place.as_str()));
    let again = house.keyed(TOKEN, "/api-keys", "a", body()).await.problem(409, "idempotency_answer_not_kept");
    assert!(again["detail"].as_str().unwrap().contains(&place), "{again}");
    let path = format!("/api-keys/{}/rotate", shown["id"].as_str().unwrap());
    let turned = house.keyed(TOKEN, &path, "a", None).await.expect(201);
    house.keyed(TOKEN, &path, "a", None).await.problem(409, "idempotency_answer_not_kept");
    assert_eq!(house.audited("key.create").await + house.audited("key.rotate").await, 2);
    // What is wrong with a call holds no secret.
    house.keyed(TOKEN, "/api-keys", "b", Some(json!({ "name": "", "scopes": [] }))).await.problem(400, "name_refused");
    house.keyed(TOKEN, "/api-keys", "b", Some(json!({ "name": "", "scopes": [] }))).await.problem(400, "name_refused");
    let mut files = Vec::new();
    for it in std::fs::read_dir(house.folder.path()).unwrap() {
        files.extend(std::fs::read(it.unwrap().path()).unwrap());
    }
    let files = String::from_utf8_lossy(&files);
    for full in [&shown, &turned].map(|it| it["full_key"].as_str().unwrap()) {
        let (_, secret) = full.rsplit_once('_').unwrap();
        assert!(!files.contains(secret));
    }
}
