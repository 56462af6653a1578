//! Projects, settings and repositories over REST.

use serde_json::{Value, json};

use super::Story;

const REST: &str = r#""gitPackConfig":{},"codeAnalysisSetting":{}}"#;

fn body(fields: &str) -> String {
    format!("{{{fields},{REST}")
}

#[tokio::test]
async fn projects_are_made_one_by_one_under_strict_rules() {
    let story = Story::new();
    let nulls =
        "createProject.arg0.gitPackConfig: must not be null, createProject.arg0.codeAnalysisSetting: must not be null";
    story.post("projects", r#"{"name":"alpha"}"#).await.is(400, "application/json", nulls);
    story.post("projects", &body(r#""name":"alpha""#)).await.is(200, "application/json", "1");
    let taken = |name: &str| format!("Name '{name}' is already used by another root project");
    story.post("projects", &body(r#""name":"ALPHA""#)).await.is(500, "text/plain", &taken("ALPHA"));
    story.get("projects/ids/Alpha").await.is(200, "application/json", "1");
    story.get("projects/ids/none/such").await.is(404, "text/plain", "Project not found or inaccessible: none/such");
    let no_row = "No row with the given identifier exists: [io.onedev.server.model.Project#999]";
    story.get("projects/999").await.is(404, "text/plain", no_row);
    story.post("projects", &body(r#""name":"beta","parentId":1,"key":"BET""#)).await.is(200, "application/json", "2");
    story.get("projects/ids/alpha%2Fbeta").await.is(200, "application/json", "2");
    story.post("projects", &body(r#""name":"gamma","parentId":999"#)).await.is(404, "text/plain", no_row);
    let under = "Name 'Beta' is already used by another project under 'alpha'";
    story.post("projects", &body(r#""name":"Beta","parentId":1"#)).await.is(500, "text/plain", under);
    for odd in ["x/y", "bad name+?", ".github", "projects", ".."] {
        let name = json!(odd).to_string();
        assert_eq!(story.post("projects", &body(&format!(r#""name":{name}"#))).await.status, 200, "{odd}");
    }
    let twice = story.post("projects", &body(r#""name":"kdup","key":"BET""#)).await;
    twice.is(500, "text/plain", "could not execute statement");
    story.post("projects", &body(r#""name":"next""#)).await.is(200, "application/json", "9");
    let unknown = story.post("projects", &body(r#""name":"unk","foo":1"#)).await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.body.starts_with("Unrecognized field \"foo\""), "{}", unknown.body);
    story.post("projects", "").await.is(400, "application/json", "createProject.arg0: must not be null");
    story.post("projects", &body(r#""name":"""#)).await.is(
        400,
        "application/json",
        "createProject.arg0.name: must not be empty",
    );
    assert_eq!(story.post("projects", "{bad json").await.status, 400);
    let path = |length: usize| body(&format!(r#""name":"{}""#, "n".repeat(length)));
    assert_eq!(story.post("projects", &path(256)).await.status, 500);
    assert_eq!(story.post("projects", &path(255)).await.status, 200);
}

#[tokio::test]
async fn an_update_replaces_all_that_it_does_not_name() {
    let story = Story::new();
    story.onedev().create_project("alpha/beta").unwrap();
    let long = "ä".repeat(15_001);
    let full = body(&format!(r#""name":"beta","parentId":1,"description":"{long}","issueManagement":false"#));
    story.post("projects/2", &full).await.is(200, "", "");
    let beta = story.onedev().project("alpha/beta").unwrap();
    assert_eq!(beta.description.unwrap().chars().count(), 15_000);
    assert!(!beta.issue_management);
    let shown = story.get("projects/2").await.body;
    story.post("projects/2", &shown).await.is(200, "", "");
    story.post("projects/2", &body(r#""name":"beta2""#)).await.is(200, "", "");
    let moved = story.onedev().project("beta2").unwrap();
    assert_eq!((moved.parent, moved.description, moved.issue_management), (None, None, true));
    assert_eq!(story.get("projects/ids/alpha/beta").await.status, 404);
    story.post("projects/2", &body(r#""name":"beta","parentId":1"#)).await.is(200, "", "");
    let circle = story.post("projects/1", &body(r#""name":"alpha","parentId":2"#)).await;
    circle.is(500, "text/plain", "Cannot use current or descendant project as parent");
}

#[tokio::test]
async fn a_deleted_project_is_gone_with_its_children_and_its_id_comes_back_after_a_restart() {
    let story = Story::new();
    story.onedev().create_project("alpha/beta").unwrap();
    let admin = Some(story.onedev().admin_token());
    story.send("DELETE", "/~api/projects/1", admin, None).await.is(200, "", "");
    assert!(story.onedev().projects().is_empty());
    assert_eq!(story.send("DELETE", "/~api/projects/1", admin, None).await.status, 404);
    assert_eq!(story.onedev().create_project("gamma").unwrap(), 3);
    story.onedev().delete_project("gamma").unwrap();
    story.onedev().restart().unwrap();
    assert_eq!(story.onedev().create_project("delta").unwrap(), 1);
}

#[tokio::test]
async fn lists_want_both_offset_and_count() {
    let story = Story::new();
    story.onedev().create_project("alpha/beta").unwrap();
    story.get("projects").await.is(406, "text/plain", "Missing query params: [offset, count]");
    story.get("projects?offset=0&count=0").await.is(200, "application/json", "[]");
    story.get("projects?offset=0&count=10&foo=1").await.is(406, "text/plain", "Unexpected query params: [foo]");
    story.get("projects?query=garbage&offset=0&count=10").await.is(406, "text/plain", "Invalid query");
    let ids = |answer: Value| answer.as_array().unwrap().iter().map(|it| it["id"].clone()).collect::<Vec<_>>();
    let query = "query=%22Path%22%20is%20%22alpha%2F**%22%20order%20by%20%22Id%22%20asc";
    assert_eq!(ids(story.get(&format!("projects?{query}&offset=0&count=10")).await.json()), [json!(1), json!(2)]);
    story.get("nonexistent").await.is(404, "text/plain", "HTTP 404 Not Found");
    let text =
        story.http.post(format!("{}/~api/projects", story.onedev().url())).bearer_auth(story.onedev().admin_token());
    assert_eq!(text.body("{}").send().await.unwrap().status(), 415);
    let put = story.send("PUT", "/~api/projects/1", Some(story.onedev().admin_token()), Some("{}")).await;
    put.is(405, "text/plain", "HTTP 405 Method Not Allowed");
}

#[tokio::test]
async fn a_setting_cannot_be_posted_back_as_it_was_read() {
    let story = Story::new();
    story.onedev().create_project("alpha").unwrap();
    let mut setting = story.get("projects/1/setting").await.json();
    assert_eq!(story.post("projects/1/setting", &setting.to_string()).await.status, 500);
    setting["issueSetting"]["boardSpecs"] = json!([]);
    story.post("projects/1/setting", &setting.to_string()).await.is(200, "", "");
    story.post("label-specs", r##"{"name":"archived","color":"#808080"}"##).await.is(200, "application/json", "1");
    story.post("project-labels", r#"{"projectId":1,"specId":1}"#).await.is(200, "application/json", "1");
    assert_eq!(story.onedev().project("alpha").unwrap().labels, ["archived"]);
    assert_eq!(story.get("roles?offset=0&count=10").await.json()[0]["name"], "Project Owner");
    let url = story.get("projects/1/clone-url").await.json();
    assert_eq!(url["http"], format!("{}/alpha.git", story.onedev().url()));
}

#[tokio::test]
async fn eight_at_once_with_one_name_make_one_project() {
    let story = Story::new();
    let one = body(r#""name":"same""#);
    let answers = futures_util::future::join_all((0..8).map(|_| story.post("projects", &one))).await;
    let made: Vec<_> = answers.iter().filter(|it| it.status == 200).collect();
    assert_eq!(made.len(), 1);
    assert!(answers.iter().filter(|it| it.status != 200).all(|it| it.status == 500));
    assert_eq!(story.onedev().projects().len(), 1);
}

#[tokio::test]
async fn a_repository_is_read_and_its_default_branch_set() {
    let story = Story::new();
    story.onedev().create_project("alpha").unwrap();
    story.get("repositories/1/default-branch").await.is(204, "", "");
    story.get("repositories/1/branches").await.is(200, "application/json", "[]");
    let tip = story.client.commit("a.txt", "text");
    assert!(story.push("alpha", &["trunk", "trunk:refs/heads/side"]).ok);
    let missing = story.post("repositories/1/default-branch", "\"none\"").await;
    missing.is(500, "text/plain", "Branch not exist: none");
    assert_eq!(story.post("repositories/1/default-branch", "side").await.status, 500);
    story.post("repositories/1/default-branch", "\"side\"").await.is(200, "", "");
    story.get("repositories/1/default-branch").await.is(200, "application/json", "side");
    let branch = story.get("repositories/1/branches/trunk").await.json();
    assert_eq!(branch, json!({ "refName": "refs/heads/trunk", "commitHash": tip }));
    story.get("repositories/1/branches/nosuch").await.is(404, "text/plain", "Branch not found: nosuch");
    let new = format!(r#"{{"branchName":"a+b","revision":"{tip}"}}"#);
    story.post("repositories/1/branches", &new).await.is(200, "", "");
    story.post("repositories/1/branches", &new).await.is(406, "text/plain", "Branch 'a+b' already exists");
    assert_eq!(story.get("repositories/1/branches/a+b").await.status, 200);
    assert_eq!(story.get("repositories/1/branches/a%2Bb").await.status, 500);
    let gone = format!(r#"{{"branchName":"x","revision":"{}"}}"#, "1".repeat(40));
    assert_eq!(story.post("repositories/1/branches", &gone).await.status, 404);
    let file = story.get(&format!("repositories/1/files/{tip}/a.txt")).await.json();
    assert_eq!((&file["base64Content"], &file["size"]), (&json!("dGV4dA=="), &json!(4)));
    let children = story.get("repositories/1/directories/refs/heads/trunk").await.json();
    assert_eq!(children.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_ancestor_query_tells_descendants_from_others() {
    let story = Story::new();
    story.onedev().create_project("alpha").unwrap();
    let old = story.client.done(&["rev-parse", "HEAD"]);
    let new = story.client.commit("b", "2");
    story.client.done(&["checkout", "-q", "--orphan", "other"]);
    let other = story.client.commit("c", "3");
    assert!(story.push("alpha", &["trunk", "other"]).ok);
    let ask = |until: &str, since: &str| {
        let path = format!("repositories/1/commits?query=until%20commit({until})%20since%20commit({since})&count=1");
        let story = &story;
        async move { story.get(&path).await }
    };
    ask(&old, &new).await.is(200, "application/json", "[]");
    ask(&old, &old).await.is(200, "application/json", "[]");
    assert_eq!(ask(&new, &old).await.json()[0]["hash"], json!(new));
    assert_eq!(ask(&old, &other).await.json().as_array().unwrap().len(), 1);
    assert_eq!(ask(&"1".repeat(40), &new).await.status, 404);
    assert_eq!(story.get(&format!("repositories/1/commits/{old}")).await.status, 200);
    assert_eq!(story.get(&format!("repositories/1/commits/{}", "1".repeat(40))).await.status, 404);
    assert_eq!(story.get("repositories/1/commits?count=10001").await.status, 406);
}
