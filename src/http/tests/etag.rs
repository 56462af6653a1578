//! `ETag`, `If-Match` and `If-None-Match`: who changes something may say what he has seen.

use reqwest::Method;
use serde_json::json;

use super::house::{Answer, House, TOKEN, star};
use crate::domain::ids::MirrorId;
use crate::store::mirrors;

async fn starred() -> (House, String) {
    let house = House::new().await;
    house.deliver("star", &star(42, "octo/hello")).await.expect(202);
    let id = house.look("/mirrors").await.expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    (house, format!("/api/v1/mirrors/{id}"))
}

impl House {
    async fn conditional(&self, method: Method, path: &str, header: &str, tag: &str) -> Answer {
        let request = self.request(method.clone(), path).bearer_auth(TOKEN).header(header, tag.to_owned());
        self.send(if method == Method::PATCH { request.json(&json!({ "paused": true })) } else { request }).await
    }

    async fn tag(&self, path: &str) -> String {
        let answer = self.send(self.request(Method::GET, path).bearer_auth(TOKEN)).await;
        answer.expect(200);
        answer.header("etag").unwrap().to_owned()
    }
}

#[actix::test]
async fn what_has_not_changed_is_not_sent_again() {
    let (house, path) = starred().await;
    let tag = house.tag(&path).await;
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    assert_eq!(house.tag(&path).await, tag);
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        for method in [Method::GET, Method::HEAD] {
            let answer = house.conditional(method, &path, "If-None-Match", &known).await;
            assert_eq!((answer.status, answer.text.as_str(), answer.header("etag")), (304, "", Some(tag.as_str())));
        }
    }
    house.conditional(Method::GET, &path, "If-None-Match", "\"other\"").await.expect(200);
    house.conditional(Method::GET, &path, "If-None-Match", "other").await.problem(400, "etag_malformed");
    let nobody = "/api/v1/mirrors/72d3162e-cc78-11e3-81ab-4c9367dc0958";
    house.conditional(Method::GET, nobody, "If-None-Match", "*").await.problem(404, "mirror_not_found");
}

#[actix::test]
async fn a_change_is_made_only_in_the_state_that_was_seen() {
    let (house, path) = starred().await;
    let seen = house.tag(&path).await;
    let id = MirrorId(path.rsplit('/').next().unwrap().parse().unwrap());
    house.write(move |c| mirrors::pause(c, id, chrono::Utc::now()).map(drop)).await;
    house.write(move |c| mirrors::resume(c, id, chrono::Utc::now()).map(drop)).await;
    for stale in [seen.as_str(), "\"other\""] {
        house.conditional(Method::PATCH, &path, "If-Match", stale).await.problem(412, "etag_stale");
    }
    assert_ne!(house.look(&path["/api/v1".len()..]).await.expect(200)["status"], "paused");
    let now = house.tag(&path).await;
    house.conditional(Method::PATCH, &path, "If-Match", &format!("W/{now}")).await.problem(412, "etag_stale");
    house.conditional(Method::PATCH, &path, "If-Match", "paused").await.problem(400, "etag_malformed");
    let changed = house.conditional(Method::PATCH, &path, "If-Match", &format!("{seen}, {now}")).await;
    assert_eq!(changed.expect(200)["status"], "paused");
    assert_eq!(changed.header("etag"), Some(house.tag(&path).await.as_str()));
    assert_eq!(house.conditional(Method::PATCH, &path, "If-Match", "*").await.expect(200)["status"], "paused");
    let nobody = "/api/v1/mirrors/72d3162e-cc78-11e3-81ab-4c9367dc0958";
    house.conditional(Method::PATCH, nobody, "If-Match", "*").await.problem(404, "mirror_not_found");
}
