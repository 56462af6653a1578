//! The webhook limit as a client meets it, proxies and all. The clock is the test's own.

use std::time::Duration;

use governor::clock::FakeRelativeClock;
use serde_json::json;
use uuid::Uuid;

use super::house::{House, Plan};
use crate::http::limits::gate;

async fn house(rate: u32, trusted: &[&str]) -> (House, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    let mut plan = Plan::new();
    plan.config.server.trusted_proxies = trusted.iter().map(|it| it.parse().unwrap()).collect();
    let gate = gate(rate, clock.clone());
    plan.change = Box::new(move |shared| shared.webhook_gate = gate);
    (plan.build().await, clock)
}

#[actix::test]
async fn a_burst_is_taken_and_the_rest_told_when_to_come_again() {
    let (house, clock) = house(3, &[]).await;
    for _ in 0..3 {
        house.deliver("ping", &json!({})).await.expect(202);
    }
    let refused = house.deliver("ping", &json!({})).await;
    refused.problem_for_now(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("20"));
    assert_eq!(house.holdings().await.0, 3, "the admin API has no such limit, and nothing was stored");
    clock.advance(Duration::from_secs(20));
    house.deliver("ping", &json!({})).await.expect(202);
    house.deliver("ping", &json!({})).await.problem(429, "rate_limited");
}

#[actix::test]
async fn forwarded_addresses_count_only_behind_a_trusted_proxy() {
    let told = |house: &House, address: &str| {
        house.delivery(Uuid::new_v4(), "ping", &json!({})).header("X-Forwarded-For", address.to_owned())
    };
    let (open, _) = house(1, &[]).await;
    open.send(told(&open, "203.0.113.1")).await.expect(202);
    open.send(told(&open, "203.0.113.2")).await.problem(429, "rate_limited");

    let (behind, _) = house(1, &["127.0.0.1", "10.0.0.2"]).await;
    behind.send(told(&behind, "203.0.113.1")).await.expect(202);
    behind.send(told(&behind, "203.0.113.2")).await.expect(202);
    behind.send(told(&behind, "198.51.100.9, 203.0.113.2")).await.problem(429, "rate_limited");
    behind.send(told(&behind, "203.0.113.2, 10.0.0.2")).await.problem(429, "rate_limited");
}

#[actix::test]
async fn the_limit_is_asked_before_anything_else() {
    let (house, _) = house(1, &[]).await;
    let empty = || house.request(reqwest::Method::POST, "/webhooks/github");
    house.send(empty()).await.problem(415, "media_type_unsupported");
    house.send(empty()).await.problem(429, "rate_limited");
}
