//! The OpenAPI document says what the server does: the same calls, scopes, parameters and answers.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::contract::{Contract, Told};
use super::house::{House, TOKEN};
use crate::http::document;
use crate::http::scopes::{ROOT, TABLE};

/// What is open to everybody.
const PUBLIC: [(&str, &str); 11] = [
    ("get", "/"),
    ("get", "/session"),
    ("post", "/session"),
    ("delete", "/session"),
    ("post", "/session/first"),
    ("post", "/webhooks/github"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/openapi.json"),
    ("get", "/docs"),
];

struct Call {
    method: String,
    pattern: String,
    about: Value,
}

impl Call {
    /// With something in each of its places.
    fn path(&self) -> String {
        let mut path = self.pattern.clone();
        for (place, it) in [("{id}", "72d3162e-cc78-11e3-81ab-4c9367dc0958"), ("{kept}", "1"), ("{login}", "nobody")] {
            path = path.replace(place, it);
        }
        path
    }

    fn method(&self) -> Method {
        self.method.to_uppercase().parse().unwrap()
    }

    fn scope(&self) -> Option<&str> {
        self.about["security"][0]["bearer"][0].as_str()
    }

    fn query(&self) -> BTreeSet<String> {
        let all = self.about["parameters"].as_array().into_iter().flatten();
        all.filter(|it| it["in"] == "query").map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    }
}

fn calls() -> Vec<Call> {
    let document = document();
    let mut all = Vec::new();
    for (pattern, calls) in document["paths"].as_object().unwrap() {
        for (method, about) in calls.as_object().unwrap() {
            all.push(Call { method: method.clone(), pattern: pattern.clone(), about: about.clone() });
        }
    }
    all
}

#[test]
fn every_call_of_the_table_is_in_it_with_its_scope_and_no_other() {
    let calls = calls();
    let described: BTreeSet<(String, bool, Option<String>)> = calls
        .iter()
        .map(|it| (it.pattern.clone(), it.method == "get", it.scope().map(str::to_owned)))
        .filter(|(pattern, _, _)| pattern.starts_with(ROOT))
        .collect();
    let sides = |(path, reading, changing): &(&str, Option<_>, Option<_>)| {
        let of = |is_reading, scope: Option<crate::domain::api_key::Scope>| {
            scope.map(|it| (format!("{ROOT}{path}"), is_reading, Some(it.as_str().to_owned())))
        };
        [of(true, *reading), of(false, *changing)].into_iter().flatten().collect::<Vec<_>>()
    };
    let demanded: BTreeSet<_> = TABLE.iter().flat_map(sides).collect();
    assert_eq!(described, demanded);
    let open: BTreeSet<_> =
        calls.iter().filter(|it| it.scope().is_none()).map(|it| (it.method.as_str(), it.pattern.as_str())).collect();
    assert_eq!(open, PUBLIC.into_iter().collect());
}

#[test]
fn every_call_has_a_name_of_its_own_and_says_what_it_does() {
    let calls = calls();
    let names: BTreeSet<_> = calls.iter().map(|it| it.about["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.len(), calls.len());
    for it in &calls {
        assert!(!it.about["description"].as_str().unwrap().is_empty(), "{} {}", it.method, it.pattern);
        for (status, answer) in it.about["responses"].as_object().unwrap() {
            assert!(!answer["description"].as_str().unwrap().is_empty(), "{} {} {status}", it.method, it.pattern);
        }
    }
}

#[test]
fn every_shape_that_is_referred_to_is_there() {
    let document = document();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let (pointer, _) = reference.split_once('"').unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

#[actix::test]
async fn every_path_takes_the_methods_that_it_says_and_no_other() {
    let house = House::new().await;
    let calls = calls();
    for it in &calls {
        // Nobody's method: the answer names those that there are.
        let answer = house.send(house.request("PURGE".parse().unwrap(), &it.path())).await;
        let allowed: BTreeSet<&str> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
        let of_path = calls.iter().filter(|other| other.pattern == it.pattern);
        let mut described: BTreeSet<String> = of_path.map(|it| it.method.to_uppercase()).collect();
        if described.contains("GET") {
            described.insert("HEAD".to_owned());
        }
        assert_eq!(allowed, described.iter().map(String::as_str).collect(), "{}", it.pattern);
    }
}

#[actix::test]
async fn every_call_answers_with_and_without_a_final_slash() {
    let house = House::new().await;
    // The stream of events has no end; its story is told elsewhere.
    for it in calls().into_iter().filter(|it| it.pattern != "/api/v1/events") {
        let send = async |path: String| house.send(house.request(it.method(), &path).bearer_auth(TOKEN)).await.status;
        let (bare, slashed) = (send(it.path()).await, send(format!("{}/", it.path())).await);
        assert_eq!(bare, slashed, "{} {}", it.method, it.pattern);
        assert_ne!(bare, 405, "{} {}", it.method, it.pattern);
        if it.scope().is_some() {
            house.send(house.request(it.method(), &format!("{}/", it.path()))).await.problem(401, "token_missing");
        }
    }
}

#[actix::test]
async fn every_call_takes_the_parameters_that_it_says_and_no_other() {
    let house = House::new().await;
    for it in calls().into_iter().filter(|it| it.scope().is_some()) {
        let request = house.request(it.method(), &format!("{}?nothing=1", it.path())).bearer_auth(TOKEN);
        let told = house.send(request).await.problem(400, "query_unknown");
        let (_, takes) = told["detail"].as_str().unwrap().split_once("this call takes ").unwrap();
        let taken: BTreeSet<String> = takes.split(", ").filter(|it| *it != "none").map(ToOwned::to_owned).collect();
        assert_eq!(taken, it.query(), "{} {}", it.method, it.pattern);
    }
}

#[actix::test]
async fn the_document_and_the_page_are_open_and_ask_for_nothing_from_outside() {
    let house = House::new().await;
    assert_eq!(house.get("/openapi.json").await.expect(200), document());
    let page = house.get("/docs").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.text.contains("http://") && !page.text.contains("https://"));
    assert!(page.text.contains("<script>\"use strict\"") && !page.text.contains("{script}"));
}

#[test]
fn an_answer_that_is_not_promised_is_found() {
    let contract = Contract::new(document());
    let check = |method: &str, path: &str, status: u16, body: Value| {
        let media_type = Some(if status < 400 { "application/json" } else { "application/problem+json" });
        contract.check(&Told { method, path, status, media_type, body: &body.to_string() })
    };
    let empty = json!({ "items": [], "next_cursor": null });
    assert_eq!(check("GET", "/api/v1/mirrors/", 200, empty.clone()), Ok(()));
    assert!(check("GET", "/api/v1/mirrors", 200, json!({ "items": [] })).is_err(), "a member is missing");
    assert!(check("GET", "/api/v1/mirrors", 200, json!({ "items": [], "next_cursor": 7 })).is_err(), "a wrong kind");
    let more = json!({ "items": [], "next_cursor": null, "more": 1 });
    assert!(check("GET", "/api/v1/mirrors", 200, more).is_err(), "a member too many");
    let one = json!({ "items": [{ "id": 7 }], "next_cursor": null });
    assert!(check("GET", "/api/v1/mirrors", 200, one).is_err(), "what is in the list is looked at too");
    assert!(check("GET", "/api/v1/mirrors", 206, empty.clone()).is_err(), "an unknown status");
    assert!(check("PUT", "/api/v1/mirrors", 200, empty.clone()).is_err(), "an unknown method");
    assert!(check("GET", "/api/v1/nothing", 200, empty).is_err(), "an unknown path");
    assert!(check("GET", "/api/v1/mirrors", 401, json!({ "message": "no" })).is_err(), "no problem document");
}
