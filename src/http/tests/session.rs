//! Sessions of the dashboard: how they begin, what they open, and how they end.

use std::time::Instant;

use chrono::Utc;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::house::{Answer, House, Plan, TOKEN};
use crate::domain::session::{RANDOM, Ticket};
use crate::http::Secrets;
use crate::http::auth::Door;
use crate::http::limits::Failures;
use crate::store::audit::{self, Filter};
use crate::store::{Window, sessions};

/// What a browser keeps of signing in.
struct Browser {
    cookie: String,
    csrf: String,
}

impl House {
    async fn signs_in(&self, token: &str) -> Browser {
        let answer = self.send(self.request(Method::POST, "/session").bearer_auth(token)).await;
        Browser::of(&answer, &answer.expect(201))
    }

    /// As the page calls: the cookie always, the token when something changes.
    async fn click(&self, browser: &Browser, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.request(method.clone(), path).header("Cookie", &browser.cookie);
        if !method.is_safe() {
            request = request.header("X-CSRF-Token", &browser.csrf);
        }
        self.send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    async fn told(&self, action: &str) -> Vec<audit::Entry> {
        let filter = Filter { action: Some(action.to_owned()), ..Filter::default() };
        self.store.read(move |c| audit::list(c, &filter, &Window::default())).await.unwrap().items
    }

    async fn invited(&self) -> Ticket {
        let ticket = Ticket::of_random(&std::array::from_fn::<u8, RANDOM, _>(|it| it as u8 & 31)).unwrap();
        let wanted = ticket.clone();
        assert!(self.write(move |c| sessions::invite(c, &wanted, Utc::now())).await);
        ticket
    }
}

impl Browser {
    fn of(answer: &Answer, session: &Value) -> Self {
        let (cookie, _) = answer.header("set-cookie").unwrap().split_once(';').unwrap();
        Self { cookie: cookie.to_owned(), csrf: session["csrf_token"].as_str().unwrap().to_owned() }
    }
}

#[actix_web::test]
async fn whoever_has_the_admin_token_signs_in_works_and_signs_out() {
    let house = House::new().await;
    house.get("/session").await.problem(401, "session_over");
    let answer = house.send(house.request(Method::POST, "/session").bearer_auth(TOKEN)).await;
    let view = answer.expect(201);
    assert_eq!((view["actor"].as_str(), view["scopes"].clone()), (Some("admin"), json!(["admin"])));
    let set = answer.header("set-cookie").unwrap();
    assert!(
        set.starts_with("starkeep_session=") && set.contains("HttpOnly") && set.contains("SameSite=Strict"),
        "{set}"
    );
    assert!(set.contains("Path=/") && set.contains("Max-Age=43200") && !set.contains("Secure"), "{set}");
    let browser = Browser::of(&answer, &view);
    assert_eq!(house.click(&browser, Method::GET, "/session", None).await.expect(200), view);
    house.click(&browser, Method::GET, "/api/v1/mirrors", None).await.expect(200);
    let key = json!({ "name": "made by a click", "scopes": ["mirrors:read"] });
    let made = house.click(&browser, Method::POST, "/api/v1/api-keys", Some(key)).await.expect(201);
    assert_eq!(made["expires_at"], Value::Null, "a key outlives the session it was made in: {made}");
    let ended = house.click(&browser, Method::DELETE, "/session", None).await;
    ended.expect(204);
    assert!(ended.header("set-cookie").unwrap().contains("Max-Age=0"));
    house.click(&browser, Method::GET, "/api/v1/mirrors", None).await.problem(401, "session_over");
    house.click(&browser, Method::GET, "/session", None).await.problem(401, "session_over");
    for action in ["session.open", "session.end"] {
        let told = house.told(action).await;
        assert_eq!((told.len(), told[0].entry.actor.as_str()), (1, "admin"), "{action}");
        assert_eq!(told[0].entry.address.as_deref(), Some("127.0.0.1"));
    }
}

#[actix_web::test]
async fn what_changes_something_needs_the_token_of_the_page() {
    let house = House::new().await;
    let browser = house.signs_in(TOKEN).await;
    let other = house.signs_in(TOKEN).await;
    for csrf in [None, Some(""), Some("guess"), Some(other.csrf.as_str())] {
        for (method, path) in [(Method::POST, "/api/v1/api-keys"), (Method::DELETE, "/session")] {
            let request = house.request(method, path).header("Cookie", &browser.cookie);
            let request = match csrf {
                Some(csrf) => request.header("X-CSRF-Token", csrf),
                None => request,
            };
            house.send(request.json(&json!({}))).await.problem(403, "csrf_token_wrong");
        }
    }
    // It is tied to the caller, not to a key or a token that comes with the request itself.
    let request = house.request(Method::POST, "/api/v1/api-keys").bearer_auth(TOKEN).json(&json!({}));
    house.send(request.header("Cookie", &browser.cookie)).await.problem(400, "body_malformed");
    house.click(&browser, Method::DELETE, "/session", None).await.expect(204);
}

#[actix_web::test]
async fn a_session_has_the_scopes_of_its_key_and_ends_with_it() {
    let house = House::new().await;
    let body = json!({ "name": "reader", "scopes": ["mirrors:read"] });
    let made = house.api(Method::POST, "/api-keys", Some(body)).await.expect(201);
    let browser = house.signs_in(made["full_key"].as_str().unwrap()).await;
    let view = house.click(&browser, Method::GET, "/session", None).await.expect(200);
    assert_eq!((view["actor"].clone(), view["scopes"].clone()), (made["prefix"].clone(), json!(["mirrors:read"])));
    let overview = house.click(&browser, Method::GET, "/api/v1/overview", None).await.expect(200);
    assert_eq!(overview["mirrors"]["healthy"], 0, "{overview}");
    house.click(&browser, Method::GET, "/api/v1/audit", None).await.problem(403, "scope_missing");
    let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
    house.api(Method::DELETE, &path, None).await.expect(204);
    house.click(&browser, Method::GET, "/api/v1/overview", None).await.problem(401, "session_over");
    // Signing in needs what opens, not a session.
    let request = house.request(Method::POST, "/session").header("Cookie", &browser.cookie);
    house.send(request).await.problem(401, "token_missing");
    house.send(house.request(Method::POST, "/session").bearer_auth("guess")).await.problem(401, "token_wrong");
}

#[actix_web::test]
async fn a_changed_admin_token_ends_the_sessions_that_it_opened() {
    let secrets = |it: &str| Secrets { admin: Some(SecretString::from(it)), ..Secrets::default() };
    let (tell, told) = watch::channel(secrets(TOKEN));
    let mut plan = Plan::new();
    plan.change = Box::new(move |shared| {
        shared.secrets = told.clone();
        shared.door = Door::new(told, Failures::new(Instant::now));
    });
    let house = plan.build().await;
    let browser = house.signs_in(TOKEN).await;
    house.click(&browser, Method::GET, "/api/v1/mirrors", None).await.expect(200);
    tell.send_replace(secrets("another"));
    house.click(&browser, Method::GET, "/api/v1/mirrors", None).await.problem(401, "session_over");
    tell.send_replace(Secrets::default());
    house.click(&browser, Method::GET, "/session", None).await.problem(401, "session_over");
}

#[actix_web::test]
async fn at_the_public_address_the_cookie_is_of_tls_and_of_this_host_alone() {
    let mut plan = Plan::new();
    plan.config.server.public_url = Some("https://starkeep.example".parse().unwrap());
    let house = plan.build().await;
    let request = |method, browser: Option<&Browser>| {
        let request = house.request(method, "/session").header("Host", "Starkeep.example");
        match browser {
            Some(browser) => request.header("Cookie", &browser.cookie),
            None => request.bearer_auth(TOKEN),
        }
    };
    let answer = house.send(request(Method::POST, None)).await;
    let set = answer.header("set-cookie").unwrap();
    assert!(set.starts_with("__Host-starkeep_session=") && set.contains("Secure") && !set.contains("Domain"), "{set}");
    let browser = Browser::of(&answer, &answer.expect(201));
    house.send(request(Method::GET, Some(&browser))).await.expect(200);
    // Through a tunnel a browser would keep no such cookie; and what is kept there is none at the public address.
    house.click(&browser, Method::GET, "/session", None).await.problem(401, "session_over");
    let near = house.signs_in(TOKEN).await;
    assert!(near.cookie.starts_with("starkeep_session="));
    house.click(&near, Method::GET, "/session", None).await.expect(200);
    house.send(request(Method::GET, Some(&near))).await.problem(401, "session_over");
}

#[actix_web::test]
async fn who_is_invited_signs_in_once_and_is_given_a_key() {
    let mut plan = Plan::new();
    plan.config.admin.token = None;
    let house = plan.build().await;
    let code = house.invited().await;
    let first = async |code: &str| {
        house.send(house.request(Method::POST, "/session/first").json(&json!({ "code": code }))).await
    };
    for wrong in ["", "guess", &"a".repeat(43)] {
        first(wrong).await.problem(401, "invitation_refused");
    }
    let answer = first(code.expose()).await;
    let told = answer.expect(201);
    let browser = Browser::of(&answer, &told["session"]);
    house.click(&browser, Method::GET, "/api/v1/api-keys", None).await.expect(200);
    let key = told["full_key"].as_str().unwrap();
    let by_key = house.request(Method::GET, "/api/v1/audit").bearer_auth(key);
    let audit = house.send(by_key).await.expect(200).to_string();
    assert!(audit.contains("key.create") && audit.contains("session.open") && audit.contains("invitation"), "{audit}");
    assert!(!audit.contains(code.expose()) && !audit.contains(key), "{audit}");
    first(code.expose()).await.problem(401, "invitation_refused");
    let another = Ticket::of_random(&[7; RANDOM]).unwrap();
    assert!(!house.write(move |c| sessions::invite(c, &another, Utc::now())).await, "there is a key now");
}

#[actix_web::test]
async fn the_dashboard_is_one_answer_that_asks_for_nothing_from_outside() {
    let house = House::new().await;
    for path in ["/", "//"] {
        let page = house.get(path).await;
        page.expect_page();
    }
    let head = house.send(house.request(Method::HEAD, "/")).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
}

impl Answer {
    fn expect_page(&self) {
        assert_eq!((self.status, self.header("content-type")), (200, Some("text/html; charset=utf-8")));
        let policy = self.header("content-security-policy").unwrap();
        assert!(policy.contains("script-src 'sha256-") && policy.contains("connect-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        // What the policy would stop, and what would read an answer as markup.
        for word in ["src=", "@import", "url(", "innerHTML", "insertAdjacent", "eval("] {
            assert!(!self.text.contains(word), "{word}");
        }
    }
}
