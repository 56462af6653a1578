//! Tokens of an issuer, as a caller presents them; the issuer is a stub on loopback.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};

use super::house::{Answer, House, Plan};
use crate::canned::{Canned, Reply, Seen};
use crate::config::jwt::Jwt;

const AUDIENCE: &str = "starkeep";
const READ: &str = "openid mirrors:read profile";

/// An issuer's key: its name, and what it signs with.
struct Key {
    id: &'static str,
    algorithm: Algorithm,
    signing: EncodingKey,
}

impl Key {
    fn rsa(id: &'static str) -> Self {
        let signing = EncodingKey::from_rsa_pem(include_bytes!("../../github/tests/app-key.pem")).unwrap();
        Self { id, algorithm: Algorithm::RS256, signing }
    }

    fn ec(id: &'static str) -> Self {
        let signing = EncodingKey::from_ec_pem(include_bytes!("issuer-key.pem")).unwrap();
        Self { id, algorithm: Algorithm::ES256, signing }
    }

    fn shown(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.signing, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        json!(jwk)
    }

    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.to_owned());
        encode(&header, claims, &self.signing).unwrap()
    }
}

/// What the issuer shows; nothing while it is down.
type Shown = Arc<Mutex<Option<Vec<Value>>>>;

struct Issuer {
    canned: Canned,
    shown: Shown,
}

impl Issuer {
    async fn start(keys: &[&Key]) -> Self {
        let shown: Shown = Arc::new(Mutex::new(Some(keys.iter().map(|it| it.shown()).collect())));
        let answers = Arc::clone(&shown);
        let canned = Canned::start(move |seen: &Seen| {
            let own = format!("http://{}", seen.header("host").unwrap());
            match (answers.lock().unwrap().as_ref(), seen.target.as_str()) {
                (None, _) => Reply::plain(503, "down"),
                (Some(_), "/.well-known/openid-configuration") => {
                    Reply::json(200, &json!({ "issuer": own, "jwks_uri": format!("{own}/keys") }))
                }
                (Some(keys), "/keys") => Reply::json(200, &json!({ "keys": keys })),
                _ => Reply::plain(404, "nothing"),
            }
        });
        Self { canned: canned.await, shown }
    }

    fn show(&self, keys: Option<&[&Key]>) {
        *self.shown.lock().unwrap() = keys.map(|keys| keys.iter().map(|it| it.shown()).collect());
    }

    /// As tokens name it.
    fn name(&self) -> String {
        self.canned.url.as_str().trim_end_matches('/').to_owned()
    }

    fn config(&self) -> Jwt {
        Jwt {
            issuer: self.name(),
            audience: AUDIENCE.to_owned(),
            jwks_url: None,
            scope_claim: "scope".to_owned(),
            leeway: Duration::from_secs(5),
        }
    }

    fn claims(&self, scope: &str) -> Value {
        let exp = (Utc::now() + TimeDelta::minutes(5)).timestamp();
        json!({ "iss": self.name(), "aud": AUDIENCE, "sub": "alice", "exp": exp, "scope": scope })
    }

    /// With one claim changed, or taken out by null.
    fn with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims(READ);
        let members = claims.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.to_owned(), value);
        }
        claims
    }

    fn fetches(&self) -> usize {
        self.canned.count("GET", "/keys")
    }
}

/// `pause`: between two fetches of keys.
async fn house(jwt: Jwt, pause: Duration) -> House {
    let mut plan = Plan::new();
    plan.config.admin.jwt = Some(jwt);
    plan.change = Box::new(move |shared| shared.door.issuer.as_mut().unwrap().keys.pause = pause);
    plan.build().await
}

impl House {
    async fn bearing(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, &format!("/api/v1{path}")).bearer_auth(token);
        self.send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    async fn reading(&self, token: &str) -> Answer {
        self.bearing(token, Method::GET, "/mirrors", None).await
    }

    async fn actor_of(&self, action: &str) -> String {
        let wait = async {
            loop {
                let found = self.look(&format!("/audit?action={action}")).await.expect(200);
                if let Some(actor) = found["items"][0]["actor"].as_str() {
                    return actor.to_owned();
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the entry comes")
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[actix::test]
async fn a_token_does_what_its_scopes_say_and_the_log_names_who_it_was() {
    let (rsa, ec) = (Key::rsa("one"), Key::ec("two"));
    let issuer = Issuer::start(&[&rsa, &ec]).await;
    let house = house(issuer.config(), MINUTE).await;
    for key in [&rsa, &ec] {
        house.reading(&key.sign(&issuer.claims(READ))).await.expect(200);
    }
    assert_eq!(issuer.fetches(), 1, "the keys are kept");
    let word = || Some(json!({ "confirm": false }));
    let reader = rsa.sign(&issuer.claims(READ));
    house.bearing(&reader, Method::POST, "/vanished", word()).await.problem(403, "scope_missing");
    assert_eq!(house.actor_of("request.refused").await, format!("{}#alice", issuer.name()));
    let body = Some(json!({ "name": "of a token", "scopes": ["mirrors:read"] }));
    let admin = rsa.sign(&issuer.claims("keys mirrors:read"));
    let made = house.bearing(&admin, Method::POST, "/api-keys", body).await.expect(201);
    assert_eq!(house.actor_of("key.create").await, format!("{}#alice", issuer.name()));
    let end: DateTime<Utc> = made["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(end < Utc::now() + TimeDelta::minutes(6), "it does not outlive what made it: {end}");
    for nothing in ["openid profile", ""] {
        house.reading(&rsa.sign(&issuer.claims(nothing))).await.problem(403, "scope_missing");
    }
    house.reading(&rsa.sign(&issuer.with("scope", Value::Null))).await.problem(403, "scope_missing");
    house.reading(&rsa.sign(&issuer.with("scope", json!(["mirrors:read"])))).await.expect(200);
    house.reading(&rsa.sign(&issuer.with("aud", json!(["other", AUDIENCE])))).await.expect(200);
    house.reading(&rsa.sign(&issuer.claims("admin"))).await.expect(200);
}

#[actix::test]
async fn the_claim_of_scopes_and_the_place_of_keys_are_as_configured() {
    let key = Key::rsa("one");
    let issuer = Issuer::start(&[&key]).await;
    let jwks_url = Some(issuer.canned.url.join("/keys").unwrap());
    let house = house(Jwt { jwks_url, scope_claim: "scp".to_owned(), ..issuer.config() }, MINUTE).await;
    house.reading(&key.sign(&issuer.with("scp", json!(["mirrors:read", "User.Read"])))).await.expect(200);
    house.reading(&key.sign(&issuer.claims(READ))).await.problem(403, "scope_missing");
    assert_eq!(issuer.canned.count("GET", "well-known"), 0);
}

#[actix::test]
async fn what_is_not_for_us_not_now_or_not_signed_by_the_issuer_is_refused() {
    let (key, stranger) = (Key::rsa("one"), Key::ec("one"));
    let issuer = Issuer::start(&[&key]).await;
    let house = house(issuer.config(), MINUTE).await;
    house.reading(&key.sign(&issuer.claims(READ))).await.expect(200);
    let at = |seconds: i64| json!(Utc::now().timestamp() + seconds);
    for (claim, value) in [("exp", at(-60)), ("nbf", at(60))] {
        house.reading(&key.sign(&issuer.with(claim, value))).await.problem(401, "token_not_now");
    }
    for (claim, value) in [("exp", at(-2)), ("nbf", at(2))] {
        house.reading(&key.sign(&issuer.with(claim, value))).await.expect(200);
    }
    let wrong = [
        ("aud", json!("other")),
        ("aud", Value::Null),
        ("iss", json!("https://evil.test")),
        ("iss", json!(format!("{}/", issuer.name()))),
        ("iss", Value::Null),
        ("exp", Value::Null),
        ("exp", json!("tomorrow")),
        ("sub", Value::Null),
        ("sub", json!("")),
        ("sub", json!("a\nb")),
    ];
    for (claim, value) in wrong {
        house.reading(&key.sign(&issuer.with(claim, value.clone()))).await.problem(401, "token_refused");
    }
    let claims = issuer.claims("admin");
    let public = key.shown();
    let part = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
    let confused = |algorithm, secret: &str| {
        let mut header = Header::new(algorithm);
        header.kid = Some("one".to_owned());
        encode(&header, &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    };
    let right = key.sign(&claims);
    let mut parts: Vec<&str> = right.split('.').collect();
    let other = part(&issuer.with("sub", json!("root")));
    parts[1] = &other;
    let critical = part(&json!({ "alg": "RS256", "kid": "one", "crit": ["exp"] }));
    let forged = [
        confused(Algorithm::HS256, &public.to_string()),
        confused(Algorithm::HS512, public["n"].as_str().unwrap()),
        format!("{}.{}.AA", part(&json!({ "alg": "none", "kid": "one" })), part(&claims)),
        format!("{critical}.{}.AA", part(&claims)),
        parts.join("."),
    ];
    for token in &forged {
        let told = house.reading(token).await.problem(401, "token_refused");
        assert!(!told["detail"].as_str().unwrap().contains(token.as_str()), "{told}");
    }
    // The right name, and a key of another kind.
    house.reading(&stranger.sign(&issuer.claims(READ))).await.problem(401, "token_refused");
    assert_eq!(issuer.fetches(), 1, "a stranger's token does not make us ask the issuer again");
}

#[actix::test]
async fn who_presents_wrong_tokens_is_shut_out_and_an_expired_one_is_no_guess() {
    let key = Key::rsa("one");
    let issuer = Issuer::start(&[&key]).await;
    let house = house(issuer.config(), MINUTE).await;
    let late = key.sign(&issuer.with("exp", json!(Utc::now().timestamp() - 60)));
    for _ in 0..25 {
        house.reading(&late).await.problem(401, "token_not_now");
    }
    let wrong = key.sign(&issuer.with("aud", json!("other")));
    for _ in 0..20 {
        house.reading(&wrong).await.problem(401, "token_refused");
    }
    house.reading(&key.sign(&issuer.claims(READ))).await.problem_for_now(429, "too_many_wrong_tokens");
}

#[actix::test]
async fn rotated_keys_are_fetched_when_a_token_names_one_and_not_more_often() {
    let (old, new) = (Key::rsa("one"), Key::ec("two"));
    let issuer = Issuer::start(&[&old]).await;
    let (patient, eager) = (house(issuer.config(), MINUTE).await, house(issuer.config(), Duration::ZERO).await);
    for house in [&patient, &eager] {
        house.reading(&old.sign(&issuer.claims(READ))).await.expect(200);
    }
    issuer.show(Some(&[&old, &new]));
    let asked = issuer.fetches();
    // It has just asked, and so takes the key for unknown for a minute, whatever comes.
    for _ in 0..3 {
        patient.reading(&new.sign(&issuer.claims(READ))).await.problem(401, "token_refused");
    }
    assert_eq!(issuer.fetches(), asked);
    eager.reading(&new.sign(&issuer.claims(READ))).await.expect(200);
    assert_eq!(issuer.fetches(), asked + 1);
    // The old one was taken back.
    issuer.show(Some(&[&new]));
    eager.reading(&Key::rsa("three").sign(&issuer.claims(READ))).await.problem(401, "token_refused");
    eager.reading(&old.sign(&issuer.claims(READ))).await.problem(401, "token_refused");
    eager.reading(&new.sign(&issuer.claims(READ))).await.expect(200);
}

#[actix::test]
async fn while_the_issuer_is_down_its_last_keys_open() {
    let (old, new) = (Key::rsa("one"), Key::ec("two"));
    let issuer = Issuer::start(&[&old]).await;
    issuer.show(None);
    let house = house(issuer.config(), Duration::ZERO).await;
    house.reading(&old.sign(&issuer.claims(READ))).await.problem_for_now(503, "issuer_away");
    issuer.show(Some(&[&old]));
    house.reading(&old.sign(&issuer.claims(READ))).await.expect(200);
    issuer.show(None);
    // One that is not known may be a new one; nobody is shut out for it.
    for _ in 0..25 {
        house.reading(&new.sign(&issuer.claims(READ))).await.problem_for_now(503, "issuer_away");
    }
    house.reading(&old.sign(&issuer.claims(READ))).await.expect(200);
    issuer.show(Some(&[&old, &new]));
    house.reading(&new.sign(&issuer.claims(READ))).await.expect(200);
}

#[actix::test]
async fn an_issuer_sends_us_nowhere_and_shows_no_more_than_fits() {
    let key = Key::rsa("one");
    let elsewhere = Canned::start(|_: &Seen| Reply::plain(200, "{}")).await;
    let away = elsewhere.url.join("/keys").unwrap();
    type Answer = Box<dyn Fn(&str) -> Reply + Send>;
    let (place, moved) = (away.clone(), away.clone());
    let answers: [Answer; 5] = [
        Box::new(move |own| Reply::json(200, &json!({ "issuer": own, "jwks_uri": place.as_str() }))),
        Box::new(|own| Reply::json(200, &json!({ "issuer": "https://evil.test", "jwks_uri": format!("{own}/keys") }))),
        Box::new(move |_| Reply::plain(302, "").header("Location", moved.as_str())),
        Box::new(|_| Reply::plain(200, &" ".repeat(300 << 10))),
        Box::new(|_| Reply::plain(200, "no json")),
    ];
    for answer in answers {
        let stub = Canned::start(move |seen: &Seen| answer(&format!("http://{}", seen.header("host").unwrap()))).await;
        let issuer = Issuer { canned: stub, shown: Shown::default() };
        let house = house(issuer.config(), MINUTE).await;
        house.reading(&key.sign(&issuer.claims(READ))).await.problem_for_now(503, "issuer_away");
        assert!(issuer.canned.lines().len() <= 1, "{:?}", issuer.canned.lines());
    }
    assert_eq!(elsewhere.lines(), [""; 0]);
}

#[actix::test]
async fn without_an_issuer_a_token_is_a_wrong_one() {
    let key = Key::rsa("one");
    let issuer = Issuer::start(&[&key]).await;
    let house = House::new().await;
    house.reading(&key.sign(&issuer.claims("admin"))).await.problem(401, "token_wrong");
    assert_eq!(issuer.canned.lines(), [""; 0]);
}
