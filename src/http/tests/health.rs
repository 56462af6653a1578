//! What is seen from outside: alive, ready, metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use reqwest::Method;
use serde_json::json;

use super::house::{House, Plan, star};
use crate::http::{Component, ComponentState};

fn component(name: &'static str, state: ComponentState) -> Component {
    Component::new(name, move || {
        let state = state.clone();
        Box::pin(async move { state })
    })
}

#[actix::test]
async fn while_github_or_onedev_is_down_webhooks_are_taken() {
    let mut plan = Plan::new();
    plan.components = vec![
        component("github", ComponentState::Ok),
        component("onedev", ComponentState::Degraded("OneDev is not ready yet".to_owned())),
    ];
    let house = plan.build().await;
    assert_eq!(house.get("/healthz").await.expect(200), json!({"status": "ok"}));
    assert_eq!(
        house.get("/readyz").await.expect(200),
        json!({
            "status": "degraded",
            "components": {
                "database": {"status": "ok"},
                "github": {"status": "ok"},
                "onedev": {"status": "degraded", "detail": "OneDev is not ready yet"},
            },
        })
    );
    house.deliver("star", &star(42, "octo/hello")).await.expect(202);
}

#[actix::test]
async fn a_component_is_asked_rarely_and_not_waited_for() {
    let asked = Arc::new(AtomicU32::new(0));
    let mut plan = Plan::new();
    let count = Arc::clone(&asked);
    plan.components = vec![Component::new("github", move || {
        count.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
    })];
    plan.change = Box::new(|shared| shared.probes.hurry(Duration::from_millis(300)));
    let house = plan.build().await;
    for _ in 0..5 {
        let told = house.get("/readyz").await.expect(200);
        assert_eq!(told["components"]["github"]["detail"], "no answer within 300 ms");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[actix::test]
async fn only_a_database_that_cannot_take_a_delivery_makes_it_unready() {
    let mut plan = Plan::new();
    plan.components = vec![component("github", ComponentState::Ok)];
    plan.change = Box::new(|shared| {
        shared.probes.hurry(Duration::from_millis(200));
        shared.webhook_limit = Duration::from_millis(200);
    });
    let house = plan.build().await;
    // Somebody else holds the file for himself.
    let file = house.folder.path().join("house.db");
    let mut other = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let told = house.get("/readyz").await.problem_for_now(503, "not_ready");
    assert_eq!(told["components"]["database"]["status"], "unavailable");
    assert_eq!(told["components"]["github"]["status"], "ok");
    house.deliver("star", &star(42, "octo/hello")).await.problem_for_now(503, "busy");
    house.get("/healthz").await.expect(200);
    other.batch_execute("ROLLBACK").unwrap();
}

#[actix::test]
async fn a_probe_sees_the_head_without_the_body() {
    let house = House::new().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = house.send(house.request(Method::HEAD, path)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    }
}

#[actix::test]
async fn a_scrape_tells_the_state_of_the_database() {
    let house = House::new().await;
    house.deliver("star", &star(42, "octo/hello")).await.expect(202);
    let answer = house.get("/metrics").await;
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    for line in [
        r#"starkeep_mirrors{status="pending"} 1"#,
        r#"starkeep_mirrors{status="healthy"} 0"#,
        r#"starkeep_jobs{kind="sync",state="queued"} 1"#,
        r#"starkeep_jobs{kind="sync",state="dead"} 0"#,
        r#"starkeep_job_oldest_seconds{kind="verify"} 0"#,
        "starkeep_oldest_verification_seconds 0",
        "starkeep_build_info{version=",
    ] {
        assert!(answer.text.contains(line), "{line} is not in {}", answer.text);
    }
    assert!(!answer.text.contains(super::house::TOKEN) && !answer.text.contains(super::house::SECRET));
}
