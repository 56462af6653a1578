//! The first way in, and sessions of the dashboard, through the real binary.

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{self, Answer};
use crate::process::Process;
use crate::world::{ADMIN, Backend, World, on_both};

/// What a browser keeps of signing in.
struct Browser {
    cookie: String,
    csrf: String,
}

impl Browser {
    fn of(answer: &Answer, session: &Value) -> Self {
        let (cookie, _) = answer.header("set-cookie").unwrap().split_once(';').unwrap();
        Self { cookie: cookie.to_owned(), csrf: session["csrf_token"].as_str().unwrap().to_owned() }
    }

    async fn click(&self, process: &Process, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let request = api::request(method, &format!("{}{path}", process.address));
        let request = request.header("Cookie", &self.cookie).header("X-CSRF-Token", &self.csrf);
        let answer = api::call(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await;
        (answer.status, answer.json())
    }
}

async fn first(process: &Process, code: &str) -> Answer {
    let request = api::request(Method::POST, &format!("{}/session/first", process.address));
    api::call(request.json(&json!({ "code": code }))).await
}

on_both! {
    async fn where_nobody_can_sign_in_the_first_address_does_once(world: World) {
        let mut world = world;
        world.attach().await;
        world.config.admin.token = None;
        let process = world.process();
        let said = process.said_with("#sign-in=");
        let address = said.iter().find(|it| it.contains("#sign-in=")).unwrap();
        let (home, code) = address.split_once("/#sign-in=").unwrap();
        assert_eq!(home, process.address);
        let answer = first(&process, code).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let told = answer.json();
        let (key, browser) = (told["full_key"].as_str().unwrap(), Browser::of(&answer, &told["session"]));
        assert_eq!(first(&process, code).await.status, 401, "it is good for one");

        let id = world.repository("octo", "hello");
        let wanted = Some(json!({ "repository": "octo/hello" }));
        assert_eq!(browser.click(&process, Method::POST, "/api/v1/mirrors", wanted).await.0, 201);
        world.drain().await;
        world.assert_healthy(id).await;
        let log = process.log().join("\n");
        assert!(!log.contains(code) && !log.contains(key), "{log}");
        assert!(process.terminate().success());

        // The session outlives the process, and the key is a way in from now on.
        let process = world.process();
        let (status, overview) = browser.click(&process, Method::GET, "/api/v1/overview", None).await;
        assert_eq!((status, overview["mirrors"]["healthy"].as_u64()), (200, Some(1)), "{overview}");
        assert_eq!(world.ask_at(&process.address, key, "/api/v1/audit").await, 200);
        assert_eq!(browser.click(&process, Method::DELETE, "/session", None).await.0, 204);
        assert_eq!(browser.click(&process, Method::GET, "/api/v1/overview", None).await.0, 401);
        assert!(process.said().is_empty(), "{:?}", process.said());
        assert!(process.terminate().success());
    }
}

impl World {
    async fn ask_at(&self, address: &str, key: &str, path: &str) -> u16 {
        let request = api::request(Method::GET, &format!("{address}{path}")).bearer_auth(key);
        api::call(request).await.status
    }
}

#[actix::test]
async fn a_session_is_one_in_all_processes() {
    let Some(mut world) = World::new(Backend::Postgres) else { return };
    world.attach().await;
    let (one, other) = (world.process_as("web"), world.process_as("web"));
    let request = api::request(Method::POST, &format!("{}/session", one.address)).bearer_auth(ADMIN);
    let answer = api::call(request).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let browser = Browser::of(&answer, &answer.json());
    for process in [&one, &other] {
        assert_eq!(browser.click(process, Method::GET, "/api/v1/mirrors", None).await.0, 200);
        assert!(process.said().is_empty(), "there is an admin token: {:?}", process.said());
    }
    assert_eq!(browser.click(&other, Method::DELETE, "/session", None).await.0, 204);
    assert_eq!(browser.click(&one, Method::GET, "/api/v1/mirrors", None).await.0, 401);
}
