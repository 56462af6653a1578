//! What every answer has: an id, headers, one shape of errors, and paths with and without a slash.

use reqwest::Method;
use serde_json::json;

use super::house::{House, Plan, TOKEN};
use crate::http::{Component, ComponentState};

/// Every path that is read with the token.
const LISTS: [&str; 4] = ["/api/v1/mirrors", "/api/v1/jobs", "/api/v1/deliveries", "/api/v1/audit"];

#[actix::test]
async fn an_unknown_path_is_a_problem() {
    let house = House::new().await;
    for path in ["/nothing", "/api", "/api/v1", "/api/v1/nothing", "/webhooks", "/mirrors", "/healthz/x", "/%00"] {
        house.get(path).await.problem(404, "not_found");
    }
}

#[actix::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let house = House::new().await;
    for (method, path, allow) in [
        (Method::GET, "/webhooks/github", "POST"),
        (Method::POST, "/healthz", "GET, HEAD"),
        (Method::PUT, "/api/v1/mirrors", "GET, HEAD, POST"),
        (Method::POST, "/api/v1/mirrors/x", "DELETE, GET, HEAD, PATCH"),
        (Method::GET, "/api/v1/mirrors/x/sync", "POST"),
        (Method::DELETE, "/api/v1/audit", "GET, HEAD"),
    ] {
        let answer = house.send(house.request(method, path)).await;
        answer.problem(405, "method_not_allowed");
        let mut told: Vec<&str> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
        told.sort_unstable();
        assert_eq!(told.join(", "), allow, "{path}");
    }
}

#[actix::test]
async fn every_path_answers_with_and_without_a_final_slash() {
    let house = House::new().await;
    for path in ["/healthz", "/readyz", "/metrics"].into_iter().chain(LISTS) {
        for path in [path.to_owned(), format!("{path}/")] {
            let answer = house.send(house.request(Method::GET, &path).bearer_auth(TOKEN)).await;
            assert_eq!(answer.status, 200, "{path}");
        }
        let slashed = house.send(house.request(Method::GET, &format!("{path}/?limit=1")).bearer_auth(TOKEN)).await;
        assert_eq!(slashed.status, 200, "{path}");
    }
    let webhook = house.request(Method::POST, "/webhooks/github/").header("Content-Type", "application/json");
    house.send(webhook.body("{}")).await.problem(401, "signature_missing");
}

#[actix::test]
async fn a_sane_request_id_comes_back_and_any_other_is_replaced() {
    let house = House::new().await;
    let send = |id: &str| house.send(house.request(Method::GET, "/nothing").header("X-Request-Id", id));
    assert_eq!(send("build-7").await.header("x-request-id"), Some("build-7"));
    let uuid = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    let answer = send(uuid).await;
    assert_eq!(answer.header("x-request-id"), Some(uuid));
    assert_eq!(answer.problem(404, "not_found")["correlation_id"], uuid);
    for odd in ["a b", "<script>", &"x".repeat(129)] {
        let answer = send(odd).await;
        let told = answer.problem(404, "not_found");
        assert_eq!(answer.header("x-request-id"), told["correlation_id"].as_str());
    }
}

#[actix::test]
async fn a_panic_is_a_problem_without_its_text_and_the_server_goes_on() {
    let mut plan = Plan::new();
    plan.components = vec![Component::new("odd", || panic!("a planned panic with a secret"))];
    let house = plan.build().await;
    for _ in 0..3 {
        let answer = house.get("/readyz").await;
        answer.problem(500, "internal");
        assert!(!answer.text.contains("secret"));
    }
    house.get("/healthz").await.expect(200);
}

#[actix::test]
async fn without_the_token_nothing_of_the_api_is_seen() {
    let house = House::new().await;
    let id = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    let mut calls: Vec<(Method, String)> = LISTS.iter().map(|it| (Method::GET, (*it).to_owned())).collect();
    for (method, path) in [
        (Method::POST, "/mirrors"),
        (Method::GET, "/mirrors/ID"),
        (Method::PATCH, "/mirrors/ID"),
        (Method::DELETE, "/mirrors/ID"),
        (Method::POST, "/mirrors/ID/sync"),
        (Method::POST, "/mirrors/ID/verify"),
        (Method::GET, "/mirrors/ID/syncs"),
        (Method::GET, "/mirrors/ID/refs"),
        (Method::GET, "/mirrors/ID/kept"),
        (Method::GET, "/jobs/1"),
        (Method::POST, "/jobs/1/retry"),
        (Method::POST, "/jobs/1/cancel"),
        (Method::GET, "/deliveries/ID"),
    ] {
        calls.push((method, format!("/api/v1{}", path.replace("ID", id))));
    }
    for (method, path) in calls {
        let bare = house.send(house.request(method.clone(), &path)).await;
        bare.problem(401, "token_missing");
        assert!(bare.header("www-authenticate").unwrap().starts_with("Bearer"), "{path}");
    }
    let wrong = house.send(house.request(Method::GET, "/api/v1/jobs").bearer_auth("wrong")).await;
    wrong.problem(401, "token_wrong");
}

#[actix::test]
async fn a_guesser_is_shut_out() {
    let house = House::new().await;
    for _ in 0..20 {
        house.send(house.request(Method::GET, "/api/v1/jobs").bearer_auth("guess")).await.problem(401, "token_wrong");
    }
    house.look("/jobs").await.problem_for_now(429, "too_many_wrong_tokens");
}

#[actix::test]
async fn without_a_configured_token_the_api_says_how_to_open_it() {
    let mut plan = Plan::new();
    plan.config.admin.token = None;
    let house = plan.build().await;
    let told = house.look("/mirrors").await.problem(401, "admin_token_not_set");
    assert!(told["detail"].as_str().unwrap().contains("admin.token"));
}

#[actix::test]
async fn a_component_that_is_well_needs_no_detail() {
    let mut plan = Plan::new();
    plan.components = vec![Component::new("github", || Box::pin(async { ComponentState::Ok }))];
    let house = plan.build().await;
    let told = house.get("/readyz").await.expect(200);
    assert_eq!(told, json!({"status": "ok", "components": {"database": {"status": "ok"}, "github": {"status": "ok"}}}));
}
