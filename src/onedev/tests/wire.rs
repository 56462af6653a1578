//! What OneDev's statuses, labels and texts mean.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use url::Url;

use super::{TOKEN, client, config, oid, path, project};
use crate::canned::{Canned, Reply};
use crate::config::onedev::Onedev;
use crate::domain::ids::ProjectId;
use crate::domain::retry::Retry;
use crate::onedev::{Ancestry, OnedevClient, OnedevError};
use crate::telemetry::metrics::Metrics;

const P: ProjectId = ProjectId(3);

fn boot_404() -> Reply {
    Reply::new(404, "text/html;charset=iso-8859-1", "<html><h2>HTTP ERROR 404 Not Found</h2></html>")
        .header("Server", "Jetty(9.4.57.v20241219)")
}

#[tokio::test]
async fn the_token_is_sent_without_being_asked_for() {
    let server = Canned::start(|_| Reply::json(200, &json!(3))).await;
    assert_eq!(client(&server.url).project_id(&path("github/octo/hello")).await, Ok(Some(P)));
    let asked = &server.seen()[0];
    assert_eq!(asked.line(), "GET /~api/projects/ids/github/octo/hello");
    assert_eq!(asked.header("authorization"), Some("Bearer very-secret"));
}

#[tokio::test]
async fn only_onedevs_own_words_mean_that_there_is_no_such_project() {
    let there = Reply::plain(404, "Project not found or inaccessible: github/octo/hello");
    let row = Reply::plain(404, "No row with the given identifier exists: [io.onedev.server.model.Project#999]");
    for reply in [there, row] {
        let server = Canned::start(move |_| reply.clone()).await;
        assert_eq!(client(&server.url).project_id(&path("github/octo/hello")).await, Ok(None));
        assert_eq!(client(&server.url).project(P).await, Ok(None));
    }
}

#[tokio::test]
async fn a_booting_server_never_says_that_something_is_missing() {
    let page = Reply::new(404, "text/html", "<html>Project not found or inaccessible</html>");
    let gateway = Reply::new(502, "text/html", "<html>Bad Gateway</html>").header("Server", "nginx");
    for reply in [boot_404(), page, Reply::plain(503, "Server not ready"), gateway] {
        let server = Canned::start(move |_| reply.clone()).await;
        // A client of its own for each: after three of them nothing would be asked any more.
        let client = || client(&server.url);
        let errors = [
            client().project_id(&path("github/x")).await.unwrap_err(),
            client().project(P).await.unwrap_err(),
            client().commit_exists(P, oid('a')).await.unwrap_err(),
            client().branch(P, "main").await.unwrap_err(),
            client().ancestry(P, oid('a'), oid('b')).await.unwrap_err(),
            client().check().await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.code(), "onedev_booting", "{error}");
            assert!(matches!(error.retry(), Retry::After(_)), "a boot is no attempt");
        }
    }
}

#[tokio::test]
async fn a_refused_connection_is_an_outage_and_a_broken_one_a_failure() {
    let server = Canned::start(|_| Reply::json(200, &json!(3)).cut()).await;
    let error = client(&server.url).project_id(&path("github/x")).await.unwrap_err();
    assert_eq!((error.code(), error.retry()), ("onedev_transport", Retry::Backoff));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere = Url::parse(&format!("http://127.0.0.1:{port}")).unwrap();
    let error = client(&nowhere).project_id(&path("github/x")).await.unwrap_err();
    assert_eq!(error.code(), "onedev_unreachable");
    assert!(matches!(error.retry(), Retry::After(_)));
    assert_eq!(client(&nowhere).ready().await.unwrap_err().code(), "onedev_unreachable");
}

#[tokio::test]
async fn every_kind_of_refusal_is_told_apart() {
    for (reply, code, retry) in [
        (Reply::plain(401, "Invalid account or incorrect credentials"), "onedev_unauthorized", Retry::Never),
        (Reply::plain(403, "Not authorized"), "onedev_forbidden", Retry::Never),
        (Reply::plain(404, "HTTP 404 Not Found"), "onedev_malformed", Retry::Backoff),
        (Reply::new(404, "application/json", "{}"), "onedev_malformed", Retry::Backoff),
        (Reply::plain(302, "").header("Location", "http://example.invalid/"), "onedev_malformed", Retry::Backoff),
        (Reply::new(200, "text/html", "<html>Sign in</html>"), "onedev_malformed", Retry::Backoff),
        (Reply::plain(200, "three"), "onedev_malformed", Retry::Backoff),
        (Reply::new(400, "application/json", "createProject.arg0: must not be null"), "onedev_rejected", Retry::Never),
        (Reply::plain(406, "Missing query params: [offset, count]"), "onedev_rejected", Retry::Never),
        (Reply::plain(415, "HTTP 415 Unsupported Media Type"), "onedev_rejected", Retry::Never),
        (Reply::plain(500, "could not execute statement"), "onedev_server_error", Retry::Backoff),
        (Reply::plain(500, "Name 'x' is already used by another root project"), "onedev_conflict", Retry::Never),
        (Reply::plain(200, &" ".repeat((1 << 20) + 1)), "onedev_malformed", Retry::Backoff),
    ] {
        let server = Canned::start(move |_| reply.clone()).await;
        let error = client(&server.url).project_id(&path("github/x")).await.unwrap_err();
        assert_eq!((error.code(), error.retry()), (code, retry), "{error}");
        assert_eq!(server.lines().len(), 1, "sent once");
    }
}

#[tokio::test]
async fn foreign_texts_are_clipped_and_the_token_stays_inside() {
    let server = Canned::start(|_| Reply::plain(500, &format!("a\u{1b}[31m\nb{}", "x".repeat(5000)))).await;
    let client = client(&server.url);
    let error = client.version().await.unwrap_err().to_string();
    assert!(error.len() < 400 && !error.contains(['\u{1b}', '\n']), "{error}");
    assert!(!format!("{client:?}").contains(TOKEN));
    assert!(!format!("{:?}", client.git_authorization()).contains(TOKEN));
    assert_eq!(client.git_authorization().expose_secret(), "Bearer very-secret");
    let git = client.git_url(&path("github/octo/_.github"));
    assert_eq!(git, server.url.join("/github/octo/_.github.git").unwrap());
}

#[tokio::test]
async fn a_ready_server_of_any_age_is_seen_as_ready() {
    let young = Canned::start(|it| match it.target.as_str() {
        "/readyz" => Reply::new(200, "text/plain;charset=utf-8", "ok\n"),
        // A bare text, whatever the label says.
        _ => Reply::new(200, "application/json", "16.5.6"),
    })
    .await;
    let version = client(&young.url).check().await.unwrap();
    assert_eq!((version.to_string().as_str(), version.is_supported()), ("16.5.6", true));
    assert_eq!(young.seen()[0].header("authorization"), None, "the probe needs no token");
    let old = Canned::start(|it| match it.target.as_str() {
        "/readyz" => Reply::new(404, "text/html", "<html>not found</html>"),
        _ => Reply::new(200, "application/json", "12.0.9"),
    })
    .await;
    client(&old.url).ready().await.unwrap();
    let error = client(&old.url).check().await.unwrap_err();
    assert_eq!(error, OnedevError::TooOld("12.0.9".to_owned()));
}

#[tokio::test]
async fn a_server_that_is_not_ready_is_not_asked_for_more() {
    let server = Canned::start(|_| Reply::plain(503, "not ready")).await;
    assert_eq!(client(&server.url).check().await.unwrap_err().code(), "onedev_booting");
    assert_eq!(server.lines(), ["GET /readyz"]);
}

#[tokio::test]
async fn the_probe_is_not_repeated_at_will() {
    let server = Canned::start(|it| match it.target.as_str() {
        "/readyz" => Reply::plain(200, "ok"),
        _ => Reply::plain(200, "16.5.6"),
    })
    .await;
    let client = client(&server.url);
    for _ in 0..3 {
        assert_eq!(client.probe().await.unwrap().to_string(), "16.5.6");
    }
    assert_eq!(server.lines(), ["GET /readyz", "GET /~api/version/server"]);
}

#[test]
fn versions_are_compared_by_number() {
    use crate::onedev::Version;
    for (text, supported) in
        [("12.0.10", true), ("12.0.9", false), ("13.0", true), ("\"16.5.6\"", true), ("9.9.99", false)]
    {
        assert_eq!(Version::parse(text).unwrap().is_supported(), supported, "{text}");
    }
    assert!(Version::parse("12.0.10-EE").unwrap().is_supported());
    for text in ["", "new", "x.1.2", "<html>"] {
        assert_eq!(Version::parse(text), None, "{text}");
    }
}

#[tokio::test]
async fn the_default_branch_is_a_bare_text_or_nothing() {
    let mut replies =
        [Reply::new(204, "", ""), Reply::new(200, "application/json", "a+b"), Reply::json(200, &json!("main"))]
            .into_iter();
    let server = Canned::start(move |_| replies.next().unwrap()).await;
    let client = client(&server.url);
    assert_eq!(client.default_branch(P).await, Ok(None));
    assert_eq!(client.default_branch(P).await, Ok(Some("a+b".to_owned())));
    assert_eq!(client.default_branch(P).await, Ok(Some("main".to_owned())));
}

#[tokio::test]
async fn the_default_branch_is_set_by_a_json_string() {
    let mut replies = [Reply::plain(200, ""), Reply::plain(500, "Branch not exist: gone")].into_iter();
    let server = Canned::start(move |_| replies.next().unwrap()).await;
    let client = client(&server.url);
    client.set_default_branch(P, "main").await.unwrap();
    assert_eq!(client.set_default_branch(P, "gone").await.unwrap_err().code(), "onedev_not_found");
    let asked = server.seen();
    assert_eq!(asked[0].line(), "POST /~api/repositories/3/default-branch");
    assert_eq!((asked[0].body.as_str(), asked[0].header("content-type")), ("\"main\"", Some("application/json")));
}

#[tokio::test]
async fn ancestry_is_asked_in_the_one_form_that_answers() {
    let mut replies = [
        Reply::json(200, &json!([])),
        Reply::json(200, &json!([{"hash": "x"}])),
        Reply::plain(404, "Commit not found"),
        Reply::plain(404, "No row with the given identifier exists: [io.onedev.server.model.Project#3]"),
    ]
    .into_iter();
    let server = Canned::start(move |_| replies.next().unwrap()).await;
    let client = client(&server.url);
    let (old, new) = (oid('a'), oid('b'));
    for expected in [Ancestry::Ancestor, Ancestry::NotAncestor, Ancestry::Missing] {
        assert_eq!(client.ancestry(P, old, new).await, Ok(expected));
    }
    let error = client.ancestry(P, old, new).await.unwrap_err();
    assert!(error.is_missing_project(), "a missing project says nothing about commits");
    let (a, b) = ("a".repeat(40), "b".repeat(40));
    let query = format!("query=until%20commit%28{a}%29%20since%20commit%28{b}%29&count=1");
    assert_eq!(server.lines()[0], format!("GET /~api/repositories/3/commits?{query}"));
}

#[tokio::test]
async fn branches_are_named_raw_in_paths() {
    let server = Canned::start(|it| match it.method.as_str() {
        "GET" => Reply::json(200, &json!({"refName": "refs/heads/f/a+b", "commitHash": "a".repeat(40)})),
        "DELETE" => Reply::plain(404, "Branch not found: f/a+b"),
        _ => Reply::plain(200, ""),
    })
    .await;
    let client = client(&server.url);
    assert_eq!(client.branch(P, "f/a+b").await, Ok(Some(oid('a'))));
    assert_eq!(client.delete_branch(P, "f/a+b").await, Ok(false));
    client.create_branch(P, "f/a+b", oid('b')).await.unwrap();
    let raw = "/~api/repositories/3/branches";
    assert_eq!(server.lines(), [format!("GET {raw}/f/a+b"), format!("DELETE {raw}/f/a+b"), format!("POST {raw}")]);
    let body: serde_json::Value = serde_json::from_str(&server.seen()[2].body).unwrap();
    assert_eq!(body, json!({"branchName": "f/a+b", "revision": "b".repeat(40)}));
}

#[tokio::test]
async fn an_update_carries_every_field_that_came() {
    let server = Canned::start(|it| match it.method.as_str() {
        "GET" => Reply::json(200, &project(3, Some(2), "github/octo")),
        _ => Reply::plain(200, ""),
    })
    .await;
    let client = client(&server.url);
    let mut fetched = client.project(P).await.unwrap().unwrap();
    fetched.description = None;
    client.update_project(&fetched).await.unwrap();
    let mut expected = project(3, Some(2), "github/octo");
    expected["description"] = json!(null);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&server.seen()[1].body).unwrap(), expected);
}

#[tokio::test]
async fn a_project_that_would_move_to_the_top_is_not_posted() {
    let mut without_parent = project(3, None, "github/octo");
    without_parent.as_object_mut().unwrap().remove("parentId");
    let server = Canned::start(move |_| Reply::json(200, &without_parent)).await;
    let client = client(&server.url);
    assert_eq!(client.project(P).await.unwrap_err().code(), "onedev_malformed", "the field must be there");
    let orphan: crate::onedev::Project = serde_json::from_value(project(3, None, "github/octo")).unwrap();
    assert_eq!(client.update_project(&orphan).await.unwrap_err().code(), "onedev_guarded");
    for elsewhere in ["other/octo", "github", "github2/x", "github/bad name"] {
        let stray: crate::onedev::Project = serde_json::from_value(project(3, Some(1), elsewhere)).unwrap();
        assert_eq!(client.update_project(&stray).await.unwrap_err().code(), "onedev_guarded");
    }
    assert_eq!(server.count("POST", ""), 0);
}

#[tokio::test]
async fn a_new_project_carries_what_is_mandatory_and_has_no_issues() {
    let server = Canned::start(|_| Reply::json(200, &json!(5))).await;
    let made = client(&server.url).create_project(Some(ProjectId(2)), "hello", Some("Says hello")).await;
    assert_eq!(made, Ok(ProjectId(5)));
    let body: serde_json::Value = serde_json::from_str(&server.seen()[0].body).unwrap();
    assert_eq!(
        (&body["parentId"], &body["name"], &body["description"]),
        (&json!(2), &json!("hello"), &json!("Says hello"))
    );
    assert_eq!((&body["issueManagement"], &body["packManagement"]), (&json!(false), &json!(false)));
    assert_eq!((&body["gitPackConfig"], &body["codeAnalysisSetting"]), (&json!({}), &json!({})));
}

#[tokio::test]
async fn an_answer_about_another_project_is_not_believed() {
    let server = Canned::start(|_| Reply::json(200, &project(4, Some(2), "github/octo"))).await;
    assert_eq!(client(&server.url).project(P).await.unwrap_err().code(), "onedev_malformed");
}

#[test]
fn what_is_missing_in_the_configuration_is_named_with_the_mend() {
    let metrics = Metrics::new().unwrap();
    let url = |text: &str| Some(Url::parse(text).unwrap());
    let token = || Some(SecretString::from(TOKEN));
    let base = || config(&Url::parse("https://onedev.example.com").unwrap());
    for (config, word) in [
        (Onedev { url: None, ..base() }, "onedev.url is not set"),
        (Onedev { token: None, ..base() }, "role Project Owner on the project `github`"),
        (Onedev { url: url("http://onedev.example.com"), ..base() }, "onedev.insecure_http"),
        (Onedev { url: url("https://a:pw@onedev.example.com"), ..base() }, "onedev.url"),
        (Onedev { url: url("ssh://onedev.example.com"), ..base() }, "https"),
        (Onedev { root: "a/../b".to_owned(), ..base() }, "onedev.root"),
        (Onedev { token: Some(SecretString::from("a\nb")), ..base() }, "header"),
    ] {
        let error = OnedevClient::new(&config, &metrics).unwrap_err();
        assert_eq!((error.code(), error.retry()), ("onedev_config", Retry::Never));
        let text = error.to_string();
        assert!(text.contains(word) && !text.contains("pw") && !text.contains(TOKEN), "{text}");
    }
    let insecure = Onedev { url: url("http://onedev.example.com"), token: token(), insecure_http: true, ..base() };
    assert!(OnedevClient::new(&insecure, &metrics).is_ok());
}

#[tokio::test]
async fn requests_are_counted_by_status() {
    let server = Canned::start(|_| Reply::json(200, &json!(3))).await;
    let metrics = Metrics::new().unwrap();
    let client = OnedevClient::new(&config(&server.url), &metrics).unwrap();
    client.project_id(&path("github/x")).await.unwrap();
    assert_eq!(metrics.upstream_requests.with_label_values(&["onedev", "200"]).get(), 1);
}
