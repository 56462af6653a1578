//! Coming up, going down, and who is let in.

use base64::Engine as _;

use super::Story;
use crate::simulator::Phase;

#[tokio::test]
async fn a_booting_server_says_404_in_html() {
    let story = Story::new();
    story.onedev().create_project("g1").unwrap();
    story.onedev().set_phase(Phase::Booting);
    for path in ["/~api/projects/ids/g1", "/g1/info/refs?service=git-upload-pack"] {
        let answer = story.send("GET", path, Some(story.onedev().admin_token()), None).await;
        assert_eq!((answer.status, &answer.content_type[..9]), (404, "text/html"));
        assert!(answer.body.contains("HTTP ERROR 404 Not Found"));
    }
    story.send("GET", "/healthz", None, None).await.is(200, "text/plain;charset=utf-8", "ok\n");
    story.send("GET", "/readyz", None, None).await.is(503, "text/plain;charset=utf-8", "not ready\n");
    story.onedev().set_phase(Phase::GitNotReady);
    story.get("projects/ids/g1").await.is(200, "application/json", "1");
    let git = story.client.git(&["ls-remote", &story.url("g1")]);
    assert!(git.err.contains("503"), "{}", git.err);
    story.onedev().set_phase(Phase::Ready);
    story.send("GET", "/readyz", None, None).await.is(200, "text/plain;charset=utf-8", "ok\n");
    assert!(story.client.git(&["ls-remote", &story.url("g1")]).ok);
}

#[tokio::test]
async fn a_server_that_is_down_refuses_and_comes_back_with_its_projects() {
    let story = Story::new();
    story.onedev().create_project("g1").unwrap();
    story.onedev().go_down();
    let url = format!("{}/healthz", story.onedev().url());
    assert!(story.http.get(&url).send().await.unwrap_err().is_connect());
    story.onedev().come_back().unwrap();
    story.get("projects/ids/g1").await.is(200, "application/json", "1");
}

#[tokio::test]
async fn credentials_are_taken_in_every_form_and_refused_without_a_challenge() {
    let story = Story::new();
    let (url, token) = (format!("{}/~api/version/server", story.onedev().url()), story.onedev().admin_token());
    story.get("version/server").await.is(200, "application/json", "16.5.6");
    let basic = |text: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    for good in [basic(&format!("{token}:")), basic(&format!("x:{token}")), basic("admin:simulated")] {
        assert_eq!(story.http.get(&url).header("authorization", good).send().await.unwrap().status(), 200);
    }
    for (header, words) in [
        (Some(basic("admin:wrong")), "Invalid account or incorrect credentials"),
        (Some("Bearer wrong".to_owned()), "Invalid account or incorrect credentials"),
        (None, "Not authenticated"),
    ] {
        let mut request = story.http.get(&url);
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert!(!response.headers().contains_key("www-authenticate"));
        assert_eq!(response.text().await.unwrap(), words);
    }
    let git = format!("{}/none/info/refs?service=git-upload-pack", story.onedev().url());
    let response = story.http.get(git).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["www-authenticate"]),
        (401, &"BASIC realm=\"OneDev\"".parse().unwrap())
    );
}

#[tokio::test]
async fn a_scoped_token_sees_its_own_project_and_nothing_else() {
    let story = Story::new();
    let (alpha, g1) = (story.onedev().create_project("alpha").unwrap(), story.onedev().create_project("g1").unwrap());
    let token = story.onedev().scoped_token("alpha").unwrap();
    let get = |path: String| {
        let (story, token) = (&story, token.clone());
        async move { story.send("GET", &format!("/~api/{path}"), Some(&token), None).await }
    };
    get(format!("projects/{g1}")).await.is(403, "text/plain", "Not authorized");
    get("projects/ids/g1".into()).await.is(404, "text/plain", "Project not found or inaccessible: g1");
    get("projects?offset=0&count=101".into()).await.is(406, "text/plain", "Count should not be greater than 100");
    get("users/me".into()).await.is(403, "text/plain", "Not authorized");
    get("roles?offset=0&count=10".into()).await.is(403, "text/plain", "Not authorized");
    assert_eq!(get("label-specs?offset=0&count=10".into()).await.status, 401);
    let post = |body: String| {
        let (story, token) = (&story, token.clone());
        async move { story.send("POST", "/~api/projects", Some(&token), Some(&body)).await }
    };
    let rest = r#""gitPackConfig":{},"codeAnalysisSetting":{}}"#;
    post(format!(r#"{{"name":"kid","parentId":{alpha},{rest}"#)).await.is(200, "application/json", "3");
    post(format!(r#"{{"name":"rootkid",{rest}"#)).await.is(403, "text/plain", "Not authorized to create root project");
    assert_eq!(get("projects?offset=0&count=100".into()).await.json().as_array().unwrap().len(), 2);
    let address = story.onedev().url().replace("http://", "");
    let said = story.client.git(&["push", &format!("http://x:{token}@{address}/alpha"), "trunk"]);
    assert!(said.ok, "{}", said.err);
    let said = story.client.git(&["push", &format!("http://x:{token}@{address}/g1"), "trunk"]);
    assert!(said.err.contains("remote: Project not found or inaccessible: g1"), "{}", said.err);
    story.onedev().delete_project("alpha").unwrap();
    get("projects?offset=0&count=100".into()).await.is(200, "application/json", "[]");
}

#[tokio::test]
async fn anonymous_access_shows_what_has_a_base_role() {
    let story = Story::new();
    let alpha = story.onedev().create_project("alpha").unwrap();
    story.onedev().create_project("g1").unwrap();
    let body = format!(r#"{{"projectId":{alpha},"roleId":4}}"#);
    story.post("base-authorizations", &body).await.is(200, "application/json", "1");
    let anonymous = |path| story.send("GET", path, None, None);
    assert_eq!(anonymous("/alpha/info/refs?service=git-upload-pack").await.status, 401);
    story.onedev().set_anonymous_access(true);
    assert_eq!(anonymous("/alpha/info/refs?service=git-upload-pack").await.status, 200);
    assert_eq!(anonymous("/g1/info/refs?service=git-upload-pack").await.status, 401);
    anonymous("/~api/projects/ids/alpha").await.is(200, "application/json", "1");
    anonymous("/~api/projects/2").await.is(401, "text/plain", "Not authorized");
    assert_eq!(story.onedev().project("alpha").unwrap().base_roles, [4]);
}
