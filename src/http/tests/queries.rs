//! Lists: parameters, filters, pages.

use chrono::{DateTime, TimeDelta};
use serde_json::Value;

use super::house::{House, star};
use crate::domain::event::Subject;
use crate::domain::ids::GithubId;
use crate::domain::mirror::Source;
use crate::store::{Connection, StoreError, mirrors};

async fn with_mirrors(count: i64) -> House {
    let house = House::new().await;
    house.write(move |c| (1..=count).try_for_each(|id| mirror(c, id))).await;
    house
}

/// Known since that second.
fn mirror(c: &mut Connection, id: i64) -> Result<(), StoreError> {
    let subject = Subject { id: GithubId(id), name: format!("octo/r{id}").parse().unwrap() };
    mirrors::ensure(c, &subject, Source::Manual, DateTime::UNIX_EPOCH + TimeDelta::seconds(id)).map(drop)
}

fn ids(page: &Value) -> Vec<i64> {
    page["items"].as_array().unwrap().iter().map(|it| it["github_id"].as_i64().unwrap()).collect()
}

#[actix::test]
async fn what_no_list_knows_is_refused() {
    let house = House::new().await;
    for list in ["/mirrors", "/jobs", "/deliveries", "/audit"] {
        for (query, code) in [
            ("limit=0", "query_malformed"),
            ("limit=201", "query_malformed"),
            ("limit=ten", "query_malformed"),
            ("limit=-1", "query_malformed"),
            ("limit=5&limit=6", "query_malformed"),
            ("cursor=nonsense", "bad_cursor"),
            ("page=2", "query_unknown"),
            ("Limit=5", "query_unknown"),
        ] {
            house.look(&format!("{list}?{query}")).await.problem(400, code);
        }
        house.look(&format!("{list}?limit=200")).await.expect(200);
        house.look(&format!("{list}?limit=&cursor=")).await.expect(200);
    }
    for (path, words) in
        [("/mirrors?status=well", "healthy"), ("/mirrors?source=x", "manual"), ("/jobs?state=x", "dead")]
    {
        let told = house.look(path).await.problem(400, "query_malformed");
        assert!(told["detail"].as_str().unwrap().contains(words), "{told}");
    }
    house.look("/jobs?mirror=x").await.problem(400, "query_malformed");
    house.look("/mirrors/72d3162e-cc78-11e3-81ab-4c9367dc0958?x=1").await.problem(400, "query_unknown");
}

#[actix::test]
async fn pages_stay_whole_while_rows_come_and_go() {
    let house = with_mirrors(7).await;
    let first = house.look("/mirrors?limit=3").await.expect(200);
    assert_eq!(ids(&first), [1, 2, 3]);
    // One that was shown goes, one that was not shown goes, one comes.
    house
        .write(|c| {
            for gone in [2, 5] {
                let mirror = mirrors::by_github_id(c, GithubId(gone))?.unwrap();
                mirrors::delete(c, mirror.id)?;
            }
            mirror(c, 8)
        })
        .await;
    let second = house.look(&format!("/mirrors?limit=3&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    let second = second.expect(200);
    assert_eq!(ids(&second), [4, 6, 7]);
    let third = house.look(&format!("/mirrors?limit=3&cursor={}", second["next_cursor"].as_str().unwrap())).await;
    let third = third.expect(200);
    assert_eq!(ids(&third), [8]);
    assert_eq!(third["next_cursor"], Value::Null);
}

#[actix::test]
async fn mirrors_are_found_by_status_source_and_text() {
    let house = with_mirrors(3).await;
    house.deliver("star", &star(42, "Octo/Hello-World")).await.expect(202);
    let found = async |query: &str| ids(&house.look(&format!("/mirrors?{query}")).await.expect(200));
    assert_eq!(found("source=star").await, [42]);
    assert_eq!(found("source=manual").await, [1, 2, 3]);
    assert_eq!(found("q=hello").await, [42]);
    assert_eq!(found("q=octo%2Fr").await, [1, 2, 3]);
    assert_eq!(found("q=%25").await, [0_i64; 0]);
    assert_eq!(found("status=pending&q=r2").await, [2]);
    assert_eq!(found("status=healthy").await, [0_i64; 0]);
}

#[actix::test]
async fn deliveries_and_jobs_are_found_by_their_words() {
    let house = House::new().await;
    house.deliver("star", &star(42, "octo/hello")).await.expect(202);
    house.deliver("watch", &serde_json::json!({"action": "opened"})).await.expect(202);
    let count = async |path: &str| house.look(path).await.expect(200)["items"].as_array().unwrap().len();
    assert_eq!(count("/deliveries").await, 2);
    assert_eq!(count("/deliveries?event=watch").await, 1);
    assert_eq!(count("/deliveries?state=ignored").await, 1);
    assert_eq!(count("/jobs?state=queued&kind=sync").await, 1);
    assert_eq!(count("/jobs?kind=verify").await, 0);
    let mirror = house.look("/mirrors").await.expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(count(&format!("/jobs?mirror={mirror}")).await, 1);
    house.look("/deliveries/72d3162e-cc78-11e3-81ab-4c9367dc0958").await.problem(404, "delivery_not_found");
    house.look("/jobs/99").await.problem(404, "job_not_found");
    house.look("/jobs/x").await.problem(404, "job_not_found");
    assert_eq!(house.look("/audit?action=star").await.expect(200)["items"].as_array().unwrap().len(), 1);
}
