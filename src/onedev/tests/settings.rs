//! Description and visibility, as posted and as left alone.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{client, project};
use crate::canned::{Canned, Reply};
use crate::config::onedev::Visibility;
use crate::onedev::projects::{Settings, description, settle};
use crate::onedev::{OnedevClient, Project};

fn settings(description: &str) -> Settings<'_> {
    Settings { description: Some(description), visibility: Visibility::Inherit, upstream_private: false }
}

fn seen(id: i64, path: &str) -> Project {
    serde_json::from_value(project(id, Some(2), path)).unwrap()
}

/// A project whose base authorizations are `given`; reading the roles is answered by `roles`.
async fn with_roles(given: Value, roles: Reply) -> (Canned, OnedevClient) {
    let server = Canned::start(move |it| match (it.method.as_str(), it.target.as_str()) {
        ("GET", "/~api/projects/3/base-authorizations") => Reply::json(200, &given),
        ("GET", "/~api/roles?offset=0&count=100") => roles.clone(),
        ("POST", "/~api/base-authorizations") => Reply::json(200, &json!(12)),
        ("DELETE", _) => Reply::plain(200, ""),
        _ => Reply::plain(500, ""),
    })
    .await;
    let client = client(&server.url);
    (server, client)
}

fn roles() -> Reply {
    Reply::json(
        200,
        &json!([{"id": 1, "name": "Project Owner"}, {"id": 41, "name": "Code Reader", "manageProject": false}]),
    )
}

#[test]
fn a_description_is_clipped_between_characters() {
    assert_eq!(description("  Says hello \n"), Some("Says hello".to_owned()));
    assert_eq!(description(" \t\n"), None);
    assert_eq!(description("a\0b"), Some("ab".to_owned()));
    let exact = "x".repeat(15_000);
    assert_eq!(description(&exact), Some(exact.clone()));
    assert_eq!(description(&format!("{exact}y")), Some(exact));
    // The last character needs two units and only one is left.
    let split = format!("{}🦀", "x".repeat(14_999));
    assert_eq!(description(&split), Some("x".repeat(14_999)));
}

proptest! {
    #[test]
    fn a_kept_description_fits_and_settles(text in "(🦀|é|x| |\n|\0){0,40}", times in 1..400usize) {
        if let Some(kept) = description(&text.repeat(times)) {
            prop_assert!(kept.encode_utf16().count() <= 15_000);
            prop_assert_eq!(description(&kept), Some(kept));
        }
    }
}

#[tokio::test]
async fn nothing_is_posted_when_nothing_differs() {
    let server = Canned::start(|_| Reply::plain(500, "")).await;
    let changed = settle(&client(&server.url), &seen(3, "github/octo/hello"), &settings("old ")).await;
    assert_eq!(changed, Ok(false));
    assert_eq!(server.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn an_update_starts_from_what_stands_there_now() {
    let server = Canned::start(|it| match it.method.as_str() {
        "GET" => {
            let mut now = project(3, Some(2), "github/octo/hello");
            now["timeTracking"] = json!(false);
            now["issueManagement"] = json!(true);
            Reply::json(200, &now)
        }
        _ => Reply::plain(200, ""),
    })
    .await;
    let changed = settle(&client(&server.url), &seen(3, "github/octo/hello"), &settings("new")).await;
    assert_eq!(changed, Ok(true));
    let posted: Value = serde_json::from_str(&server.seen()[1].body).unwrap();
    assert_eq!((&posted["description"], &posted["issueManagement"]), (&json!("new"), &json!(false)));
    assert_eq!(
        (&posted["timeTracking"], &posted["parentId"], &posted["key"]),
        (&json!(false), &json!(2), &json!("ABC"))
    );
}

#[tokio::test]
async fn a_project_that_moved_in_between_is_left_alone() {
    let server = Canned::start(|_| Reply::json(200, &project(3, Some(9), "github/acme/other"))).await;
    let error = settle(&client(&server.url), &seen(3, "github/octo/hello"), &settings("new")).await.unwrap_err();
    assert_eq!(error.code(), "onedev_conflict");
    assert_eq!(server.count("POST", ""), 0);
}

#[tokio::test]
async fn a_public_upstream_is_made_readable_once() {
    let (server, client) = with_roles(json!([]), roles()).await;
    let settings = Settings { visibility: Visibility::Upstream, ..settings("old") };
    assert_eq!(settle(&client, &seen(3, "github/octo/hello"), &settings).await, Ok(true));
    let posted: Value = serde_json::from_str(&server.seen()[2].body).unwrap();
    assert_eq!(posted, json!({"projectId": 3, "roleId": 41}));
    let (server, client) = with_roles(json!([{"id": 5, "projectId": 3, "roleId": 41}]), roles()).await;
    assert_eq!(settle(&client, &seen(3, "github/octo/hello"), &settings).await, Ok(false));
    assert_eq!(server.count("POST", ""), 0);
}

#[tokio::test]
async fn an_upstream_that_turned_private_is_hidden_again_and_only_that() {
    let given = json!([{"id": 4, "projectId": 3, "roleId": 9}, {"id": 5, "projectId": 3, "roleId": 41}]);
    for settings in [
        Settings { visibility: Visibility::Upstream, upstream_private: true, ..settings("old") },
        Settings { visibility: Visibility::Private, ..settings("old") },
    ] {
        let (server, client) = with_roles(given.clone(), roles()).await;
        assert_eq!(settle(&client, &seen(3, "github/octo/hello"), &settings).await, Ok(true));
        assert_eq!(server.lines().last().unwrap(), "DELETE /~api/base-authorizations/5");
        assert_eq!(server.count("DELETE", ""), 1);
    }
    let (server, client) = with_roles(given, roles()).await;
    settle(&client, &seen(3, "github/octo/hello"), &settings("old")).await.unwrap();
    assert_eq!(server.lines(), Vec::<String>::new(), "`inherit` asks nothing and changes nothing");
}

#[tokio::test]
async fn a_token_that_may_not_read_the_roles_uses_the_seeded_id() {
    let (server, client) = with_roles(json!([]), Reply::plain(403, "Not authorized")).await;
    let settings = Settings { visibility: Visibility::Upstream, ..settings("old") };
    settle(&client, &seen(3, "github/octo/hello"), &settings).await.unwrap();
    assert_eq!(server.seen()[2].body, json!({"projectId": 3, "roleId": 4}).to_string());
    settle(&client, &seen(3, "github/octo/hello"), &settings).await.unwrap();
    assert_eq!(server.count("GET", "/roles"), 1, "asked once");
}

#[tokio::test]
async fn a_server_without_the_role_is_told_about() {
    let (_server, client) = with_roles(json!([]), Reply::json(200, &json!([{"id": 1, "name": "Owner"}]))).await;
    let settings = Settings { visibility: Visibility::Upstream, ..settings("old") };
    let error = settle(&client, &seen(3, "github/octo/hello"), &settings).await.unwrap_err();
    assert!(error.to_string().contains("`Code Reader`"), "{error}");
    let other = json!([{"id": 4, "projectId": 3, "roleId": 9}]);
    let (server, client) = with_roles(other, Reply::json(200, &json!([{"id": 1, "name": "Owner"}]))).await;
    let settings = Settings { visibility: Visibility::Private, ..settings };
    assert_eq!(settle(&client, &seen(3, "github/octo/hello"), &settings).await, Ok(false), "nothing to take back");
    assert_eq!(server.count("DELETE", ""), 0);
}
