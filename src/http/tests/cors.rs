//! Pages of other origins: none by default, and exactly those that are configured.

use reqwest::Method;
use serde_json::json;

use super::house::{Answer, House, Plan, TOKEN};

const PAGE: &str = "https://dash.example.org";

async fn house(origins: &[&str]) -> House {
    let mut plan = Plan::new();
    plan.config.server.cors_origins = origins.iter().map(|it| (*it).to_owned()).collect();
    plan.build().await
}

impl House {
    async fn by_page(&self, method: Method, path: &str, origin: &str) -> Answer {
        let request = self.request(method, path).bearer_auth(TOKEN).header("Origin", origin.to_owned());
        self.send(request).await
    }

    async fn preflight(&self, path: &str, origin: &str) -> Answer {
        let request = self.request(Method::OPTIONS, path).header("Origin", origin.to_owned());
        let request = request.header("Access-Control-Request-Method", "PATCH");
        let (client, request) = request.build_split();
        // The document tells nothing of OPTIONS, so this one is not held against it.
        Answer::of(client.execute(request.unwrap()).await.unwrap()).await
    }
}

#[actix::test]
async fn without_configuration_no_page_is_let_in() {
    let house = house(&[]).await;
    let answer = house.by_page(Method::GET, "/api/v1/mirrors", PAGE).await;
    answer.expect(200);
    for header in ["access-control-allow-origin", "vary", "access-control-expose-headers"] {
        assert_eq!(answer.header(header), None, "{header}");
    }
    house.preflight("/api/v1/mirrors", PAGE).await.problem(405, "method_not_allowed");
}

#[actix::test]
async fn a_configured_origin_may_read_answers_and_errors_and_no_other() {
    let house = house(&["http://localhost:3000", PAGE]).await;
    for origin in [PAGE, "http://localhost:3000"] {
        for (path, status) in [("/api/v1/mirrors", 200), ("/api/v1/mirrors/x", 404), ("/openapi.json", 200)] {
            let answer = house.by_page(Method::GET, path, origin).await;
            assert_eq!((answer.status, answer.header("vary")), (status, Some("Origin")), "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{path}");
            assert!(answer.header("access-control-expose-headers").unwrap().contains("ETag"), "{path}");
            assert_eq!(answer.header("access-control-allow-credentials"), None, "{path}");
        }
    }
    let others = ["https://dash.example.org.evil.test", "https://evil.test", "http://dash.example.org", "null", "*"];
    for origin in others.into_iter().chain(["https://DASH.example.org", "https://dash.example.org:443", ""]) {
        let answer = house.by_page(Method::GET, "/api/v1/mirrors", origin).await;
        assert_eq!((answer.status, answer.header("vary")), (200, Some("Origin")), "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
    // What is not for pages says nothing of them.
    for path in ["/healthz", "/metrics", "/webhooks/github", "/api"] {
        let answer = house.by_page(Method::GET, path, PAGE).await;
        assert_eq!((answer.header("vary"), answer.header("access-control-allow-origin")), (None, None), "{path}");
    }
}

#[actix::test]
async fn a_browser_that_asks_first_is_told_what_may_be_sent() {
    let house = house(&[PAGE]).await;
    for path in ["/api/v1/mirrors/x", "/api/v1/mirrors/x/", "/openapi.json"] {
        let told = house.preflight(path, PAGE).await;
        assert_eq!((told.status, told.text.as_str()), (204, ""), "{told:?}");
        assert_eq!(told.header("access-control-allow-origin"), Some(PAGE));
        assert_eq!(told.header("access-control-allow-credentials"), None);
        assert!(told.header("access-control-allow-methods").unwrap().contains("PATCH"));
        for header in ["Authorization", "If-Match", "Idempotency-Key", "Last-Event-ID"] {
            assert!(told.header("access-control-allow-headers").unwrap().contains(header), "{header}");
        }
    }
    let refused = house.preflight("/api/v1/mirrors", "https://evil.test").await;
    refused.problem(405, "method_not_allowed");
    assert_eq!(refused.header("access-control-allow-origin"), None);
    house.preflight("/webhooks/github", PAGE).await.problem(405, "method_not_allowed");
    // A page has no token by being a page.
    let bare = house.request(Method::POST, "/api/v1/mirrors").header("Origin", PAGE).json(&json!({}));
    let bare = house.send(bare).await;
    bare.problem(401, "token_missing");
    assert_eq!(bare.header("access-control-allow-origin"), Some(PAGE));
}
