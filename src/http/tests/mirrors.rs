//! Mirrors as an admin adds, changes and forgets them.

use chrono::Utc;
use reqwest::Method;
use serde_json::{Value, json};

use super::house::{House, Plan, star};
use crate::canned::{Reply, Seen};
use crate::domain::ids::{MirrorId, ProjectId};
use crate::store::jobs;
use crate::store::mirrors::{self, Project};

/// GitHub with one repository and several ways to fail.
fn github(request: &Seen) -> Reply {
    let known = json!({
        "id": 42, "name": "Hello", "owner": {"login": "octo"}, "private": false, "size": 7,
        "default_branch": "main", "description": "says hello", "pushed_at": "2026-01-02T03:04:05Z",
    });
    match request.target.as_str() {
        "/repos/octo/hello" | "/repos/octo/old-name" => Reply::json(200, &known),
        "/repos/octo/limited" => Reply::json(429, &json!({"message": "slow down"})).header("retry-after", 77),
        "/repos/octo/broken" => Reply::json(500, &json!({"message": "oops"})),
        "/repos/octo/blocked" => {
            Reply::json(451, &json!({"message": "Repository access blocked", "block": {"reason": "dmca"}}))
        }
        _ => Reply::json(404, &json!({"message": "Not Found"})),
    }
}

async fn house() -> House {
    let mut plan = Plan::new();
    plan.github = Box::new(github);
    plan.build().await
}

async fn add(house: &House, name: &str) -> super::house::Answer {
    house.api(Method::POST, "/mirrors", Some(json!({"repository": name}))).await
}

async fn added(house: &House) -> String {
    add(house, "octo/hello").await.expect(201)["id"].as_str().unwrap().to_owned()
}

async fn actions(house: &House) -> Vec<String> {
    let entries = house.look("/audit?actor=admin").await.expect(200);
    entries["items"].as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap().to_owned()).collect()
}

async fn queue(house: &House) -> Vec<(String, String)> {
    let jobs = house.look("/jobs?state=queued").await.expect(200);
    let word = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
    jobs["items"].as_array().unwrap().iter().map(|it| (word(it, "kind"), it["priority"].to_string())).collect()
}

#[actix::test]
async fn a_new_mirror_is_made_of_what_github_tells_and_synced_first() {
    let house = house().await;
    let answer = add(&house, "octo/hello").await;
    let mirror = answer.expect(201);
    assert_eq!(answer.header("location"), Some(format!("/api/v1/mirrors/{}", mirror["id"].as_str().unwrap()).as_str()));
    let mut expected = json!({
        "github_id": 42, "repository": "octo/Hello", "source": "manual", "status": "pending",
        "onedev": {"project_id": null, "path": null, "url": null},
        "default_branch": null, "head": null, "ref_count": null,
        "upstream": {"private": false, "archived": false, "fork": false, "size_kib": 7,
                     "pushed_at": "2026-01-02T03:04:05Z"},
        "last_synced_at": null, "last_changed_at": null, "proof": null, "not_level": [], "attempts": 0, "error": null,
    });
    for told in ["id", "next_sync_at", "created_at", "updated_at"] {
        assert!(mirror[told].is_string(), "{told}");
        expected[told] = mirror[told].clone();
    }
    assert_eq!(mirror, expected);
    assert_eq!(queue(&house).await, [("sync".to_owned(), "300".to_owned())]);
    assert_eq!(house.look("/mirrors").await.expect(200)["items"], json!([mirror]));
    assert_eq!(actions(&house).await, ["mirror.add"]);
}

#[actix::test]
async fn a_mirror_that_is_there_is_found_under_any_of_its_names() {
    let house = house().await;
    let id = added(&house).await;
    for name in ["octo/hello", "octo/old-name"] {
        let answer = add(&house, name).await;
        assert_eq!(answer.expect(200)["id"], id);
        assert_eq!(answer.header("location"), None);
    }
    assert_eq!(house.holdings().await, (0, 1, 1), "one job, since equal ones coalesce");
}

#[actix::test]
async fn what_github_does_not_give_is_told_by_its_cause() {
    let house = house().await;
    add(&house, "octo/none").await.problem(404, "upstream_not_found");
    add(&house, "octo/blocked").await.problem(404, "upstream_unavailable");
    add(&house, "octo/broken").await.problem(502, "github_server_error");
    let limited = add(&house, "octo/limited").await;
    limited.problem_for_now(503, "github_rate_limited");
    assert_eq!(house.holdings().await, (0, 0, 0));

    let mut plan = Plan::new();
    plan.github = Box::new(|_| Reply::plain(200, "<html>").cut());
    let house = plan.build().await;
    let told = add(&house, "octo/hello").await;
    assert!(matches!(told.status, 502 | 503), "{told:?}");
}

#[actix::test]
async fn who_adds_an_archived_mirror_wakes_it() {
    let house = house().await;
    house.deliver("star", &star(42, "octo/Hello")).await.expect(202);
    let mut back = star(42, "octo/Hello");
    back["action"] = json!("deleted");
    house.deliver("star", &back).await.expect(202);
    let id = house.look("/mirrors?status=archived").await.expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    house.api(Method::POST, &format!("/mirrors/{id}/sync"), None).await.problem(409, "mirror_not_synced");
    assert_eq!(add(&house, "octo/hello").await.expect(200)["status"], "pending");
    assert_eq!(queue(&house).await, [("sync".to_owned(), "300".to_owned())]);
}

#[actix::test]
async fn a_paused_mirror_waits_and_a_resumed_one_is_synced() {
    let house = house().await;
    let path = format!("/mirrors/{}", added(&house).await);
    let set = async |paused: Value| house.api(Method::PATCH, &path, Some(json!({ "paused": paused }))).await;
    assert_eq!(set(json!(true)).await.expect(200)["status"], "paused");
    assert_eq!(set(json!(true)).await.expect(200)["status"], "paused");
    house.api(Method::POST, &format!("{path}/sync"), None).await.problem(409, "mirror_not_synced");
    assert_eq!(set(json!(false)).await.expect(200)["status"], "pending");
    assert_eq!(actions(&house).await, ["mirror.resume", "mirror.pause", "mirror.add"]);
    set(json!("yes")).await.problem(400, "body_malformed");
    for body in [json!({}), json!({"paused": true, "status": "healthy"}), json!({"status": "healthy"})] {
        house.api(Method::PATCH, &path, Some(body)).await.problem(400, "body_malformed");
    }
    let nobody = "/mirrors/72d3162e-cc78-11e3-81ab-4c9367dc0958";
    house.api(Method::PATCH, nobody, Some(json!({"paused": true}))).await.problem(404, "mirror_not_found");
}

#[actix::test]
async fn a_sync_and_a_comparison_can_be_asked_for() {
    let house = house().await;
    let id = added(&house).await;
    let job = house.api(Method::POST, &format!("/mirrors/{id}/sync"), None).await.expect(202);
    assert_eq!((&job["kind"], &job["state"], &job["mirror"]), (&json!("sync"), &json!("queued"), &json!(id)));
    let sync = format!("/mirrors/{id}/sync");
    let allowed = house.api(Method::POST, &sync, Some(json!({ "allow_mass_delete": true }))).await.expect(202);
    assert_eq!(allowed["id"], job["id"], "the one that waits does it");
    house.api(Method::POST, &sync, Some(json!({ "force": true }))).await.problem(400, "body_malformed");
    house.api(Method::POST, &sync, Some(json!([]))).await.problem(400, "body_malformed");
    let verify = format!("/mirrors/{id}/verify");
    house.api(Method::POST, &verify, None).await.problem(409, "mirror_without_project");
    give_project(&house, &id).await;
    assert_eq!(house.api(Method::POST, &verify, None).await.expect(202)["kind"], "verify");
    assert_eq!(actions(&house).await, ["mirror.verify", "mirror.sync", "mirror.sync", "mirror.add"]);
    for call in ["sync", "verify"] {
        for nobody in ["72d3162e-cc78-11e3-81ab-4c9367dc0958", "x"] {
            house.api(Method::POST, &format!("/mirrors/{nobody}/{call}"), None).await.problem(404, "mirror_not_found");
        }
    }
}

pub(super) async fn give_project(house: &House, id: &str) {
    let id = MirrorId(id.parse().unwrap());
    house
        .write(move |c| {
            let project =
                Project { id: ProjectId(5), path: "github/octo/hello".to_owned(), url: "http://x/".to_owned() };
            mirrors::set_project(c, id, &project, true, Utc::now())
        })
        .await;
}

#[actix::test]
async fn history_and_kept_refs_of_a_new_mirror_are_empty_lists() {
    let house = house().await;
    let id = added(&house).await;
    for list in ["syncs", "kept"] {
        let empty = json!({"items": [], "next_cursor": null});
        assert_eq!(house.look(&format!("/mirrors/{id}/{list}")).await.expect(200), empty);
        house.look(&format!("/mirrors/{id}/{list}?cursor=x")).await.problem(400, "bad_cursor");
        house.look(&format!("/mirrors/x/{list}")).await.problem(404, "mirror_not_found");
    }
}

#[actix::test]
async fn a_forgotten_mirror_leaves_its_project_and_an_entry_in_the_log() {
    let house = house().await;
    let id = added(&house).await;
    give_project(&house, &id).await;
    let path = format!("/mirrors/{id}");
    house.api(Method::DELETE, &format!("{path}?project=burn"), None).await.problem(400, "query_malformed");
    assert_eq!(house.api(Method::DELETE, &path, None).await.expect(204), Value::Null);
    house.look(&path).await.problem(404, "mirror_not_found");
    house.api(Method::DELETE, &path, None).await.problem(404, "mirror_not_found");
    assert_eq!(house.holdings().await, (0, 0, 0));
    assert_eq!(house.onedev.lines(), [""; 0], "OneDev was not asked");
    let entry = house.look("/audit?action=mirror.forget").await.expect(200)["items"][0].clone();
    assert_eq!((&entry["subject"], &entry["detail"]["project"]), (&json!("octo/Hello"), &json!("keep")));
    assert_eq!(entry["detail"]["path"], "github/octo/hello");
}

#[actix::test]
async fn a_project_is_not_deleted_under_a_running_job() {
    let house = house().await;
    let id = added(&house).await;
    house.write(|c| jobs::claim_many(c, "w", Utc::now(), chrono::TimeDelta::seconds(15), 1, None).map(drop)).await;
    let path = format!("/mirrors/{id}?project=delete");
    house.api(Method::DELETE, &path, None).await.problem(409, "mirror_busy");
    assert_eq!(house.look(&format!("/mirrors/{id}")).await.expect(200)["status"], "pending");
}

#[actix::test]
async fn while_onedev_is_away_project_and_mirror_stay_as_they_are() {
    let mut plan = Plan::new();
    plan.github = Box::new(github);
    plan.onedev = Box::new(|_| Reply::plain(503, "starting"));
    let house = plan.build().await;
    let id = added(&house).await;
    give_project(&house, &id).await;
    let answer = house.api(Method::DELETE, &format!("/mirrors/{id}?project=delete"), None).await;
    assert!(matches!(answer.status, 502 | 503), "{answer:?}");
    answer.problem(answer.status, answer.json()["type"].as_str().unwrap().rsplit(':').next().unwrap());
    assert_eq!(house.look(&format!("/mirrors/{id}")).await.expect(200)["status"], "pending");
    let entry = house.look("/audit?action=mirror.forget").await.expect(200)["items"][0].clone();
    assert_ne!(entry["outcome"], "ok");
}

#[actix::test]
async fn a_mirror_without_a_project_goes_with_project_delete_too() {
    let house = house().await;
    let id = added(&house).await;
    house.api(Method::DELETE, &format!("/mirrors/{id}?project=delete"), None).await.expect(204);
    assert_eq!(house.holdings().await.2, 0);
    assert_eq!(house.look("/audit?action=mirror.forget").await.expect(200)["items"][0]["outcome"], "ok");
}
