//! The queue as an admin sees and changes it.

use chrono::Utc;
use reqwest::Method;
use serde_json::{Value, json};

use super::house::{House, star};
use crate::domain::ids::JobId;
use crate::store::jobs;

async fn queued(house: &House) -> i64 {
    house.deliver("star", &star(42, "octo/hello")).await.expect(202)["jobs"][0].as_i64().unwrap()
}

async fn act(house: &House, job: i64, action: &str) -> super::house::Answer {
    house.api(Method::POST, &format!("/jobs/{job}/{action}"), None).await
}

async fn last_entry(house: &House) -> Value {
    house.look("/audit?limit=1").await.expect(200)["items"][0].clone()
}

#[actix::test]
async fn a_waiting_job_is_called_off_and_tried_again() {
    let house = House::new().await;
    let job = queued(&house).await;
    act(&house, job, "retry").await.problem(409, "job_state");
    let cancelled = act(&house, job, "cancel").await.expect(202);
    assert_eq!((&cancelled["id"], &cancelled["state"]), (&json!(job), &json!("cancelled")));
    let entry = last_entry(&house).await;
    assert_eq!(
        (&entry["actor"], &entry["action"], &entry["subject"], &entry["outcome"]),
        (&json!("admin"), &json!("job.cancel"), &json!(job.to_string()), &json!("ok"))
    );
    assert_eq!(entry["address"], "127.0.0.1");
    act(&house, job, "cancel").await.problem(409, "job_state");
    let again = act(&house, job, "retry").await.expect(202);
    assert_eq!((&again["id"], &again["state"], &again["attempts"]), (&json!(job), &json!("queued"), &json!(0)));
    assert_eq!(last_entry(&house).await["action"], "job.retry");
}

#[actix::test]
async fn a_dead_job_is_listed_with_its_reason_and_can_be_tried_again() {
    let house = House::new().await;
    let job = queued(&house).await;
    house
        .write(move |c| {
            jobs::claim_many(c, "w", Utc::now(), chrono::TimeDelta::seconds(15), 1, None)?;
            jobs::bury(c, JobId(job), "w", ("upstream_not_found", "no such repository"), Utc::now())
        })
        .await;
    let dead = house.look("/jobs?state=dead").await.expect(200)["items"][0].clone();
    assert_eq!(dead["error"], json!({"code": "upstream_not_found", "message": "no such repository"}));
    assert!(dead["finished_at"].is_string());
    let again = act(&house, job, "retry").await.expect(202);
    assert_eq!((&again["state"], &again["error"]), (&json!("queued"), &Value::Null));
}

#[actix::test]
async fn a_running_job_is_left_alone() {
    let house = House::new().await;
    let job = queued(&house).await;
    house.write(|c| jobs::claim_many(c, "w", Utc::now(), chrono::TimeDelta::seconds(15), 1, None).map(drop)).await;
    let told = act(&house, job, "cancel").await.problem(409, "job_state");
    assert!(told["detail"].as_str().unwrap().contains("running"));
    act(&house, job, "retry").await.problem(409, "job_state");
    act(&house, 99, "retry").await.problem(404, "job_not_found");
    act(&house, 99, "cancel").await.problem(404, "job_not_found");
}
