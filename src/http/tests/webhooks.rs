//! Deliveries: what is taken, what is refused and why, and that nothing is stored half.

use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use super::house::{House, Plan, SECRET, signature, star};

#[actix::test]
async fn a_star_is_on_disk_with_its_job_before_the_answer() {
    let house = House::new().await;
    let guid = Uuid::new_v4();
    let answer = house.send(house.delivery(guid, "star", &star(42, "octo/hello"))).await;
    let told = answer.expect(202);
    assert_eq!((&told["delivery"], &told["status"]), (&json!(guid), &json!("accepted")));
    let [job] = told["jobs"].as_array().unwrap().as_slice() else { panic!("{told}") };
    let job = house.look(&format!("/jobs/{job}")).await.expect(200);
    assert_eq!((&job["kind"], &job["state"], &job["delivery"]), (&json!("sync"), &json!("queued"), &json!(guid)));
    assert_eq!(job["correlation_id"], answer.header("x-request-id").unwrap());
    let mirror = house.look(&format!("/mirrors/{}", job["mirror"].as_str().unwrap())).await.expect(200);
    assert_eq!((&mirror["repository"], &mirror["status"]), (&json!("octo/hello"), &json!("pending")));
    let delivery = house.look(&format!("/deliveries/{guid}")).await.expect(200);
    assert_eq!((&delivery["event"], &delivery["state"]), (&json!("star"), &json!("accepted")));
    assert_eq!(delivery["sender"], json!({"id": 7, "login": "fan"}));
    assert_eq!(delivery["jobs"], told["jobs"]);
}

#[actix::test]
async fn a_second_delivery_changes_nothing() {
    let house = House::new().await;
    let guid = Uuid::new_v4();
    let first = house.send(house.delivery(guid, "star", &star(42, "octo/hello"))).await.expect(202);
    let before = house.holdings().await;
    let again = house.send(house.delivery(guid, "star", &star(42, "octo/hello"))).await.expect(202);
    assert_eq!(again["status"], "duplicate");
    assert_eq!(again["delivery"], first["delivery"]);
    assert_eq!(house.holdings().await, before);
}

#[actix::test]
async fn what_asks_for_nothing_is_recorded_and_ignored() {
    let house = House::new().await;
    let mut stranger = star(42, "octo/hello");
    stranger["sender"] = json!({"id": 9, "login": "stranger"});
    for (event, body) in [
        ("star", stranger),
        ("watch", json!({"action": "opened"})),
        ("push", json!({"repository": {"id": 42, "full_name": "octo/hello"}})),
    ] {
        let told = house.deliver(event, &body).await.expect(202);
        assert_eq!((&told["status"], &told["jobs"]), (&json!("ignored"), &json!([])), "{event}");
    }
    assert_eq!(house.deliver("ping", &json!({"zen": "x"})).await.expect(202)["status"], "accepted");
    assert_eq!(house.holdings().await, (4, 0, 0));
}

#[actix::test]
async fn githubs_published_example_has_a_right_signature_and_no_object() {
    let mut plan = Plan::new();
    plan.config.github.webhook_secret = Some(SecretString::from("It's a Secret to Everybody"));
    let house = plan.build().await;
    let published = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let send = |body: &'static str| {
        house
            .request(Method::POST, "/webhooks/github")
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", "ping")
            .header("X-GitHub-Delivery", Uuid::new_v4().to_string())
            .header("X-Hub-Signature-256", published)
            .body(body)
    };
    // Believed, and only then looked at.
    house.send(send("Hello, World!")).await.problem(400, "payload_not_an_object");
    house.send(send("Hello, World?")).await.problem(401, "signature_mismatch");
    assert_eq!(house.holdings().await, (0, 0, 0));
}

#[actix::test]
async fn without_a_right_signature_nothing_else_is_told() {
    let house = House::new().await;
    let body = star(42, "octo/hello").to_string();
    let send = |signed: Option<String>| {
        let request = house.request(Method::POST, "/webhooks/github").header("Content-Type", "application/json");
        let request = request.body(body.clone());
        // The other headers are missing too: that must not show.
        match signed {
            Some(signed) => request.header("X-Hub-Signature-256", signed),
            None => request,
        }
    };
    house.send(send(None)).await.problem(401, "signature_missing");
    house.send(send(Some(String::new()))).await.problem(401, "signature_missing");
    house.send(send(Some("sha1=abc".to_owned()))).await.problem(401, "signature_malformed");
    house.send(send(Some(signature("other", body.as_bytes())))).await.problem(401, "signature_mismatch");
    house.send(send(Some(signature(SECRET, b"another body")))).await.problem(401, "signature_mismatch");
    house.send(send(Some(signature(SECRET, body.as_bytes())))).await.problem(400, "header_missing");
    assert_eq!(house.holdings().await, (0, 0, 0));
}

#[actix::test]
async fn headers_and_payload_are_checked_behind_the_signature() {
    let house = House::new().await;
    let good = star(42, "octo/hello");
    let send = |event: &'static str, guid: &'static str, body: &Value| {
        let body = body.to_string();
        house
            .request(Method::POST, "/webhooks/github")
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", event)
            .header("X-GitHub-Delivery", guid)
            .header("X-Hub-Signature-256", signature(SECRET, body.as_bytes()))
            .body(body)
    };
    let guid = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    house.send(send("", guid, &good)).await.problem(400, "header_missing");
    house.send(send("st ar", guid, &good)).await.problem(400, "header_malformed");
    house.send(send("star", "1", &good)).await.problem(400, "header_malformed");
    for body in [json!([1]), json!(null), json!("x")] {
        house.send(send("ping", guid, &body)).await.problem(400, "payload_not_an_object");
    }
    for body in [
        json!({}),
        json!({"action": "created"}),
        star(0, "octo/hello"),
        star(42, "octo/.."),
        json!({"action": 1, "repository": {"id": 1, "full_name": "a/b"}, "sender": {"id": 1, "login": "x"}}),
    ] {
        house.send(send("star", guid, &body)).await.problem(400, "payload_malformed");
    }
    assert_eq!(house.holdings().await, (0, 0, 0));
}

#[actix::test]
async fn only_json_is_taken_and_the_secret_comes_first() {
    let house = House::new().await;
    for kind in ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=latin1"] {
        let request =
            house.request(Method::POST, "/webhooks/github").header("Content-Type", kind).body("payload=%7B%7D");
        house.send(request).await.problem(415, "media_type_unsupported");
    }
    house.send(house.request(Method::POST, "/webhooks/github")).await.problem(415, "media_type_unsupported");

    let mut plan = Plan::new();
    plan.config.github.webhook_secret = None;
    let house = plan.build().await;
    let answer = house.send(house.request(Method::POST, "/webhooks/github")).await;
    answer.problem_for_now(503, "webhook_secret_not_set");
}

#[actix::test]
async fn a_caller_s_request_id_follows_the_work() {
    let house = House::new().await;
    let id = Uuid::new_v4().to_string();
    let request = house.delivery(Uuid::new_v4(), "star", &star(42, "octo/hello")).header("X-Request-Id", &id);
    let answer = house.send(request).await;
    assert_eq!(answer.header("x-request-id"), Some(id.as_str()));
    let job = &answer.expect(202)["jobs"][0];
    assert_eq!(house.look(&format!("/jobs/{job}")).await.expect(200)["correlation_id"], id);
}

#[actix::test]
async fn a_stage_that_dies_or_has_ended_is_told_as_503_and_the_delivery_may_come_again() {
    let house = House::new().await;
    let guid = Uuid::new_v4();
    house.panics.plan("accept", 1);
    let died = house.send(house.delivery(guid, "star", &star(42, "octo/hello"))).await;
    died.problem_for_now(503, "crashed");
    let again = house.send(house.delivery(guid, "star", &star(42, "octo/hello"))).await;
    assert_eq!(again.expect(202)["status"], "accepted");
    house.stages.accept.close();
    house.deliver("ping", &json!({})).await.problem_for_now(503, "shutting_down");
}

#[actix::test]
async fn every_delivery_is_counted_under_known_words_only() {
    let house = House::new().await;
    house.deliver("star", &star(42, "octo/hello")).await.expect(202);
    house.deliver("watch", &json!({})).await.expect(202);
    let request = house.request(Method::POST, "/webhooks/github").header("X-GitHub-Event", "made-up").body("{}");
    house.send(request.header("Content-Type", "application/json")).await.problem(401, "signature_missing");
    let text = house.get("/metrics").await.text;
    for line in [
        r#"starkeep_webhook_deliveries_total{event="star",outcome="accepted"} 1"#,
        r#"starkeep_webhook_deliveries_total{event="other",outcome="ignored"} 1"#,
        r#"starkeep_webhook_deliveries_total{event="other",outcome="signature_missing"} 1"#,
        "starkeep_webhook_duration_seconds_count 3",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!text.contains("made-up"));
}
