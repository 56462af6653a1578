//! Stories of the simulated GitHub, told by reqwest and the real git client.

use base64::Engine as _;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::simulator::testing::{Client, git_in};
use crate::simulator::{Fault, Hold, On, Simulator, SimulatorOptions, Trigger};

struct Story {
    simulator: Simulator,
    client: reqwest::Client,
}

impl Story {
    fn new() -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .user_agent("story")
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { simulator: Simulator::start(SimulatorOptions::default()).unwrap(), client }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Value) {
        let mut request = self.client.get(format!("{}{path}", self.simulator.github().api_url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        (status, headers, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}

#[tokio::test]
async fn a_renamed_repository_is_found_by_its_id_and_through_its_old_name() {
    let story = Story::new();
    let github = story.simulator.github();
    let id = github.create_repository("Octo", "hello").unwrap();
    github.rename(id, "bye").unwrap();
    let (status, _, body) = story.get(&format!("/repositories/{id}"), &[]).await;
    assert_eq!((status, &body["full_name"]), (200, &json!("Octo/bye")));
    let (status, headers, _) = story.get("/repos/octo/HELLO", &[]).await;
    assert_eq!(status, 301);
    assert_eq!(headers["location"], format!("{}/repositories/{id}", github.api_url()));
    let other = github.create_repository("octo", "hello").unwrap();
    let (status, _, body) = story.get("/repos/octo/hello", &[]).await;
    assert_eq!((status, &body["id"]), (200, &json!(other.0)));
}

#[tokio::test]
async fn states_of_a_repository_are_told_apart() {
    let story = Story::new();
    let github = story.simulator.github();
    let id = github.create_repository("octo", "x").unwrap();
    let path = format!("/repositories/{id}");
    assert_eq!(story.get("/repos/octo/none", &[]).await.0, 404);
    github.block_451(id).unwrap();
    let (status, _, body) = story.get(&path, &[]).await;
    assert_eq!((status, &body["block"]["reason"]), (451, &json!("dmca")));
    github.block_tos(id).unwrap();
    let (status, _, body) = story.get(&path, &[]).await;
    assert_eq!((status, &body["block"]["reason"]), (403, &json!("tos")));
    github.unblock(id).unwrap();
    github.set_private(id, true).unwrap();
    assert_eq!(story.get(&path, &[]).await.0, 404);
    let bearer = format!("Bearer {}", github.token());
    assert_eq!(story.get(&path, &[("authorization", &bearer)]).await.0, 200);
    assert_eq!(story.get(&path, &[("authorization", "Bearer wrong")]).await.0, 401);
    github.delete(id).unwrap();
    assert_eq!(story.get(&path, &[("authorization", &bearer)]).await.0, 404);
}

#[tokio::test]
async fn limits_and_etags_are_kept() {
    let story = Story::new();
    let github = story.simulator.github();
    let id = github.create_repository("octo", "x").unwrap();
    let path = format!("/repositories/{id}");
    github.set_rate_limit(60, 1, 1_900_000_000);
    let (_, headers, _) = story.get(&path, &[]).await;
    assert_eq!(headers["x-ratelimit-remaining"], "0");
    let (status, headers, body) = story.get(&path, &[]).await;
    assert_eq!((status, &headers["x-ratelimit-reset"]), (403, &"1900000000".parse().unwrap()));
    assert!(body["message"].as_str().unwrap().contains("rate limit"));
    github.set_rate_limit(60, 60, 1_900_000_000);
    let (_, headers, _) = story.get(&path, &[]).await;
    let etag = headers["etag"].to_str().unwrap().to_owned();
    let (status, headers, _) = story.get(&path, &[("if-none-match", &etag)]).await;
    assert_eq!((status, &headers["x-ratelimit-remaining"]), (304, &"59".parse().unwrap()));
    assert_eq!(story.get(&path, &[("x-github-api-version", "1999-01-01")]).await.0, 400);
}

#[tokio::test]
async fn the_app_gets_a_token_for_a_sound_jwt_only() {
    let story = Story::new();
    let github = story.simulator.github();
    let now = chrono::Utc::now().timestamp();
    let part = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let jwt = |iss: Value, exp: i64| {
        let header = part(json!({"alg": "RS256", "typ": "JWT"}));
        format!("Bearer {header}.{}.c2ln", part(json!({"iss": iss, "iat": now - 60, "exp": exp})))
    };
    let mint = |authorization: String| {
        let url = format!("{}/app/installations/77/access_tokens", github.api_url());
        let request = story.client.post(url).header("authorization", authorization);
        async move { request.send().await.unwrap() }
    };
    assert_eq!(mint(jwt(json!("4242"), now + 540)).await.status(), 201);
    assert_eq!(mint(jwt(json!(4242), now + 540)).await.status(), 201);
    assert_eq!(mint(jwt(json!("4242"), now + 900)).await.status(), 401);
    assert_eq!(mint(jwt(json!("1"), now + 540)).await.status(), 401);
    assert_eq!(mint("Bearer no-jwt".to_owned()).await.status(), 401);
    assert_eq!(github.mints(), 2);
}

#[test]
fn git_follows_a_rename_on_the_first_request_and_wants_a_token_for_private_ones() {
    let story = Story::new();
    let github = story.simulator.github();
    let id = github.create_repository("octo", "x").unwrap();
    let tip = github.commit(id, "main", "a/b.txt", "one").unwrap();
    github.rename(id, "y").unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let url = format!("{}/octo/x.git", github.git_url());
    let refs = git_in(folder.path(), &["ls-remote", &url]);
    assert_eq!(refs.out, format!("{tip}\tHEAD\n{tip}\trefs/heads/main\n"), "{}", refs.err);
    github.set_private(id, true).unwrap();
    let url = format!("{}/octo/y", github.git_url());
    assert!(!git_in(folder.path(), &["ls-remote", &url]).ok);
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{}", github.token()));
    let header = format!("http.extraHeader=Authorization: Basic {basic}");
    assert!(git_in(folder.path(), &["-c", &header, "clone", "-q", &url, "copy"]).ok);
    assert!(github.requests().iter().any(|it| it.authorized && it.path == "/octo/y/git-upload-pack"));
    github.set_private(id, false).unwrap();
    let old = format!("{}/octo/x/git-upload-pack", github.git_url());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let response = runtime.block_on(story.client.post(old).send()).unwrap();
    assert_eq!(response.status(), 301);
    assert_eq!(response.headers()["location"], format!("{url}/git-upload-pack"));
}

#[test]
fn edits_are_the_same_in_every_run() {
    let tips: Vec<_> = (0..2)
        .map(|_| {
            let story = Story::new();
            let github = story.simulator.github();
            let id = github.create_repository("octo", "x").unwrap();
            github.commit(id, "main", "a", "1").unwrap();
            let tip = github.commit(id, "main", "b/c", "2").unwrap();
            github.annotated_tag(id, "v1", tip).unwrap();
            github.tag_of_blob(id, "blob", "text").unwrap();
            github.force_branch(id, "side").unwrap();
            github.refs(id).unwrap()
        })
        .collect();
    assert_eq!(tips[0], tips[1]);
    assert_eq!(tips[0].len(), 4);
}

#[tokio::test]
async fn a_star_is_listed_and_its_delivery_is_signed() {
    let story = Story::new();
    let github = story.simulator.github();
    let id = github.create_repository("octo", "x").unwrap();
    let delivery = github.star("fan", id).unwrap();
    let body: Value = serde_json::from_slice(&delivery.body).unwrap();
    assert_eq!(body["action"], "created");
    assert_eq!(body["repository"]["id"], json!(id.0));
    assert_eq!(delivery.signature, super::sign("simulated webhook secret", &delivery.body));
    let star_json = [("accept", "application/vnd.github.star+json")];
    let (_, _, stars) = story.get("/users/FAN/starred?per_page=1", &star_json).await;
    assert_eq!(stars[0]["repo"]["full_name"], "octo/x");
    github.unstar("fan", id).unwrap();
    assert_eq!(story.get("/users/fan/starred", &[]).await.2, json!([]));
    let push = github.push(id, "refs/heads/main", None, None).unwrap();
    let body: Value = serde_json::from_slice(&push.body).unwrap();
    assert!(body["repository"]["created_at"].is_i64());
}

#[tokio::test]
async fn planned_faults_happen_once_and_in_turn() {
    let story = Story::new();
    let github = story.simulator.github();
    let id = github.create_repository("octo", "x").unwrap();
    let path = format!("/repositories/{id}");
    github.fail(Trigger::next(On::Rest), Fault::too_many_requests(2));
    github.fail(Trigger::next(On::Rest).nth(2), Fault::CutResponse { after: 10 });
    let (status, headers, _) = story.get(&path, &[]).await;
    assert_eq!((status, &headers["retry-after"]), (429, &"2".parse().unwrap()));
    let url = format!("{}{path}", github.api_url());
    let cut = story.client.get(&url).send().await.unwrap();
    assert!(cut.bytes().await.is_err());
    let gate = github.hold(Trigger::next(On::Any), Hold::Answer);
    let held = tokio::spawn(story.client.get(&url).send());
    gate.reached().await;
    gate.release();
    assert_eq!(held.await.unwrap().unwrap().status(), 200);
    github.go_down();
    assert!(story.client.get(&url).send().await.is_err());
    github.come_back().unwrap();
    assert_eq!(story.get(&path, &[]).await.0, 200);
}

#[test]
fn faults_of_the_wire_are_seen_by_git() {
    let story = Story::new();
    let github = story.simulator.github();
    let id = github.create_repository("octo", "x").unwrap();
    github.import(id, &Client::new().folder()).unwrap();
    let url = format!("{}/octo/x", github.git_url());
    let folder = tempfile::TempDir::new().unwrap();
    let clone = |name| git_in(folder.path(), &["clone", "-q", "--mirror", &url, name]);
    assert!(clone("whole").ok);
    let fetch = Trigger::next(On::FETCH).body("command=fetch");
    for (fault, words) in
        [(Fault::GarbagePack, "pack"), (Fault::CutResponse { after: 30 }, "fatal"), (Fault::answer(503, "busy"), "503")]
    {
        github.fail(fetch.clone(), fault);
        let said = clone("broken");
        assert!(!said.ok && said.err.contains(words), "{}", said.err);
    }
    github.fail(fetch, Fault::SlowResponse { bytes_per_second: 10_000_000 });
    assert!(clone("slow").ok);
    github.fail(Trigger::next(On::Advertise(crate::simulator::Service::UploadPack)), Fault::LoseFlush);
    assert!(!git_in(folder.path(), &["-c", "protocol.version=0", "ls-remote", &url]).ok);
    assert!(clone("again").ok);
}
