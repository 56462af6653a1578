//! Keys: who may do what with them, and what is written of it.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::house::{Answer, House, Plan};
use crate::domain::api_key::Scope;
use crate::http::scopes::{ROOT, TABLE};
use crate::store::audit::{self, Filter};
use crate::store::{Window, api_keys};

impl House {
    async fn with(&self, key: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, &format!("{ROOT}{path}")).bearer_auth(key);
        self.send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    async fn key(&self, scopes: &[&str]) -> (String, String) {
        let body = json!({ "name": "of a test", "scopes": scopes });
        let made = self.api(Method::POST, "/api-keys/", Some(body)).await.expect(201);
        (made["id"].as_str().unwrap().to_owned(), made["full_key"].as_str().unwrap().to_owned())
    }

    /// Waits for so many entries of an action, the newest first.
    async fn entries(&self, action: &str, count: usize) -> Vec<audit::Entry> {
        let filter = Filter { action: Some(action.to_owned()), ..Filter::default() };
        let wait = async {
            loop {
                let filter = filter.clone();
                let found = self.store.read(move |c| audit::list(c, &filter, &Window::default())).await.unwrap().items;
                if found.len() >= count {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the entries come")
    }
}

#[actix_web::test]
async fn a_key_is_shown_once_and_opens_what_its_scopes_say() {
    let house = House::new().await;
    let body = json!({ "name": "ci", "scopes": ["mirrors:read"], "expires_in_days": 30 });
    let made = house.api(Method::POST, "/api-keys/", Some(body)).await.expect(201);
    let full = made["full_key"].as_str().unwrap();
    assert!(full.starts_with(&format!("{}_", made["prefix"].as_str().unwrap())), "{made}");
    assert_eq!((made["status"].as_str(), made["scopes"].clone()), (Some("active"), json!(["mirrors:read"])));
    house.with(full, Method::GET, "/mirrors", None).await.expect(200);
    house.with(full, Method::GET, "/mirrors/", None).await.expect(200);
    let told = house.with(full, Method::GET, "/audit", None).await.problem(403, "scope_missing");
    assert!(told["detail"].as_str().unwrap().contains("audit:read"), "{told}");
    house.with(full, Method::POST, "/mirrors", Some(json!({}))).await.problem(403, "scope_missing");
    let list = house.look("/api-keys?include_revoked=false").await;
    assert!(!list.text.contains(full) && list.json()["items"][0].get("full_key").is_none(), "{}", list.text);
    let id: Uuid = made["id"].as_str().unwrap().parse().unwrap();
    let wait = async {
        loop {
            let key = house.store.read(move |c| api_keys::find(c, id)).await.unwrap().unwrap();
            if let Some((_, address)) = key.last_used {
                return address;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let address = tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
    assert_eq!(address.as_deref(), Some("127.0.0.1"));
    let refused = house.entries("request.refused", 1).await;
    assert_eq!(refused[0].entry.actor, made["prefix"].as_str().unwrap());
    assert_eq!(
        (refused[0].entry.outcome.as_str(), refused[0].entry.address.as_deref()),
        ("scope_missing", Some("127.0.0.1"))
    );
    assert_eq!(house.entries("key.create", 1).await[0].entry.subject, made["prefix"].as_str().unwrap());
}

#[actix_web::test]
async fn what_is_asked_of_a_key_is_checked() {
    let house = House::new().await;
    let ask = async |body: Value| house.api(Method::POST, "/api-keys", Some(body)).await;
    ask(json!({ "name": "a", "scopes": ["everything"] })).await.problem(400, "scopes_refused");
    ask(json!({ "name": "a", "scopes": [] })).await.problem(400, "scopes_refused");
    ask(json!({ "name": " ", "scopes": ["keys"] })).await.problem(400, "name_refused");
    for days in [0, -1, 3_651] {
        let body = json!({ "name": "a", "scopes": ["keys"], "expires_in_days": days });
        ask(body).await.problem(400, "expiry_refused");
    }
    ask(json!({ "name": "a" })).await.problem(400, "body_malformed");
    house.api(Method::DELETE, "/api-keys/nonsense", None).await.problem(404, "key_not_found");
    house.api(Method::DELETE, &format!("/api-keys/{}", Uuid::nil()), None).await.problem(404, "key_not_found");
}

#[actix_web::test]
async fn a_key_hands_out_no_more_than_it_has() {
    let house = House::new().await;
    let body = json!({ "name": "lesser", "scopes": ["keys", "mirrors:read"], "expires_in_days": 1 });
    let made = house.api(Method::POST, "/api-keys", Some(body)).await.expect(201);
    let lesser = made["full_key"].as_str().unwrap();
    let ask = async |scopes: &[&str]| {
        house.with(lesser, Method::POST, "/api-keys", Some(json!({ "name": "child", "scopes": scopes }))).await
    };
    for more in [&["admin"][..], &["mirrors:write"], &["keys", "batches"]] {
        ask(more).await.problem(403, "scope_exceeded");
    }
    let child = ask(&["mirrors:read"]).await.expect(201);
    assert_eq!(child["expires_at"], made["expires_at"], "a key does not outlive the one that made it");
    let (greater, _) = house.key(&["admin"]).await;
    let turned = house.with(lesser, Method::POST, &format!("/api-keys/{greater}/rotate"), None).await;
    turned.problem(403, "scope_exceeded");
}

#[actix_web::test]
async fn a_revoked_key_is_shut_out_at_once_although_it_was_just_verified() {
    let house = House::new().await;
    let (id, full) = house.key(&["mirrors:read"]).await;
    house.with(&full, Method::GET, "/mirrors", None).await.expect(200);
    house.api(Method::DELETE, &format!("/api-keys/{id}/"), None).await.expect(204);
    house.with(&full, Method::GET, "/mirrors", None).await.problem(401, "key_revoked");
    house.api(Method::DELETE, &format!("/api-keys/{id}"), None).await.expect(204);
    assert_eq!(house.look("/api-keys").await.expect(200)["items"], json!([]));
    assert_eq!(house.look("/api-keys?include_revoked=true").await.expect(200)["items"][0]["status"], "revoked");
    assert_eq!(house.entries("key.revoke", 1).await.len(), 1);
}

#[actix_web::test]
async fn both_keys_are_valid_while_one_is_changed_for_the_other() {
    let house = House::new().await;
    let (id, old) = house.key(&["mirrors:read"]).await;
    let turn = async |id: &str, overlap: &str| {
        house.api(Method::POST, &format!("/api-keys/{id}/rotate"), Some(json!({ "overlap": overlap }))).await
    };
    turn(&id, "400d").await.problem(400, "overlap_refused");
    let made = turn(&id, "1h").await.expect(201);
    let new = made["full_key"].as_str().unwrap();
    assert_eq!((made["scopes"].clone(), made["name"].as_str()), (json!(["mirrors:read"]), Some("of a test")));
    for key in [old.as_str(), new] {
        house.with(key, Method::GET, "/mirrors", None).await.expect(200);
    }
    let ends = house.look(&format!("/api-keys/{id}")).await.expect(200)["expires_at"].clone();
    assert!(ends.is_string());
    turn(&id, "0s").await.expect(201);
    house.with(&old, Method::GET, "/mirrors", None).await.problem(401, "key_expired");
    turn(&id, "1h").await.problem(409, "key_ended");
}

#[actix_web::test]
async fn who_guesses_keys_is_shut_out_and_nobody_else() {
    let house = House::new().await;
    let (_, full) = house.key(&["mirrors:read"]).await;
    let (known, unknown) = (format!("{}{}", &full[..12], "x".repeat(43)), format!("sk_00000000_{}", "x".repeat(43)));
    for it in 0..20 {
        let guess = if it % 2 == 0 { &known } else { &unknown };
        house.with(guess, Method::GET, "/mirrors", None).await.problem(401, "token_wrong");
    }
    house.with(&full, Method::GET, "/mirrors", None).await.problem_for_now(429, "too_many_wrong_tokens");
    let refused = house.entries("request.refused", 1).await;
    assert_eq!(refused.len(), 1, "the rest of the minute is one number");
    assert_eq!((refused[0].entry.outcome.as_str(), refused[0].entry.actor.as_str()), ("token_wrong", &full[..11]));
}

#[actix_web::test]
async fn without_an_admin_token_a_key_still_opens() {
    let mut plan = Plan::new();
    plan.config.admin.token = None;
    let house = plan.build().await;
    house.get("/api/v1/mirrors").await.problem(401, "admin_token_not_set");
    let minted = crate::store::minting::mint().await.unwrap();
    let key = api_keys::NewKey {
        id: Uuid::now_v7(),
        name: "cli".to_owned(),
        prefix: minted.full.prefix().to_owned(),
        hash: minted.hash,
        scopes: crate::domain::api_key::Scopes::all(),
        created_by: "cli".to_owned(),
        expires_at: None,
    };
    house.write(move |c| api_keys::insert(c, &key, chrono::Utc::now())).await;
    house.with(minted.full.expose(), Method::GET, "/audit", None).await.expect(200);
}

#[actix_web::test]
async fn a_crowd_with_one_key_waits_for_one_verification() {
    let house = House::new().await;
    let (_, full) = house.key(&["mirrors:read"]).await;
    let crowd = (0..200).map(|_| house.with(&full, Method::GET, "/mirrors", None));
    for answer in futures_util::future::join_all(crowd).await {
        answer.expect(200);
    }
}

/// A path of the table with something in each place.
fn filled(path: &str) -> String {
    path.replace("{id}", &Uuid::nil().to_string()).replace("{login}", "nobody").replace("{kept}", "1")
}

#[actix_web::test]
async fn every_route_demands_its_scope() {
    let source = include_str!("../api/mod.rs");
    let quoted = source.split('"').skip(1).step_by(2);
    let routes: Vec<&str> = quoted.filter(|it| it.starts_with('/')).collect();
    assert!(routes.len() > 20, "{routes:?}");
    for route in &routes {
        assert!(TABLE.iter().any(|(it, _, _)| it == route), "{route} is not in the table of scopes");
    }
    for (path, _, _) in TABLE {
        assert!(routes.contains(path), "{path} is in the table of scopes and is no route");
    }
    let house = House::new().await;
    let mut keys = Vec::new();
    for scope in Scope::ALL.into_iter().filter(|it| *it != Scope::Admin) {
        keys.push((scope, house.key(&[scope.as_str()]).await.1));
    }
    for (path, reading, changing) in TABLE {
        let methods =
            [(Method::GET, reading), (Method::POST, changing), (Method::PATCH, changing), (Method::DELETE, changing)];
        for (method, demanded) in methods {
            let path = filled(path);
            let method = if path.starts_with("/events") && method == Method::GET { Method::HEAD } else { method };
            let probe = house.api(method.clone(), &path, None).await;
            if probe.status == 405 {
                continue;
            }
            let demanded = demanded.unwrap_or_else(|| panic!("{method} {path} demands nothing"));
            for (scope, key) in keys.iter().filter(|it| it.0 != demanded) {
                let answer = house.with(key, method.clone(), &path, None).await;
                assert_eq!(answer.status, 403, "{method} {path} with {}", scope.as_str());
            }
            let key = &keys.iter().find(|it| it.0 == demanded).unwrap().1;
            let answer = house.with(key, method.clone(), &path, None).await;
            assert!(![401, 403, 429].contains(&answer.status), "{method} {path}: {answer:?}");
        }
    }
}
