//! Tokens of an issuer, through the real binary: nobody else has a way in.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use chrono::{TimeDelta, Utc};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};

use super::notices::receiver::Receiver;
use crate::api;
use crate::process::Process;
use crate::world::{World, on_both};

const ISSUER: &str = "https://issuer.example/";
const KEY: &str = "of-the-issuer";

fn signing() -> EncodingKey {
    EncodingKey::from_rsa_pem(include_bytes!("../../../src/github/tests/app-key.pem")).unwrap()
}

/// Shows the issuer's keys, whatever is asked.
#[expect(clippy::needless_pass_by_value, reason = "as a receiver serves")]
fn keys(_: &Receiver, stream: TcpStream) -> std::io::Result<()> {
    let reader = BufReader::new(stream.try_clone()?);
    let _head: Vec<String> = reader.lines().map_while(Result::ok).take_while(|it| !it.is_empty()).collect();
    let mut key = Jwk::from_encoding_key(&signing(), Algorithm::RS256).unwrap();
    key.common.key_id = Some(KEY.to_owned());
    let body = json!({ "keys": [key] }).to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    write!(&stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn token(scope: &str, audience: &str) -> String {
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(KEY.to_owned());
    let exp = (Utc::now() + TimeDelta::minutes(10)).timestamp();
    let claims = json!({ "iss": ISSUER, "aud": audience, "sub": "alice", "exp": exp, "scope": scope });
    encode(&header, &claims, &signing()).unwrap()
}

async fn ask(process: &Process, token: &str, method: Method, path: &str) -> (u16, Value) {
    let request = api::request(method, &format!("{}{path}", process.address)).bearer_auth(token);
    let answer = api::call(request).await;
    (answer.status, answer.json())
}

on_both! {
    async fn who_signs_in_elsewhere_does_here_what_his_scopes_say(world: World) {
        let mut world = world;
        let issuer = Receiver::start(keys);
        world.attach().await;
        world.config.admin.token = None;
        world.config.admin.jwt = Some(starkeep::config::jwt::Jwt {
            issuer: ISSUER.to_owned(),
            audience: "starkeep".to_owned(),
            jwks_url: Some(format!("http://127.0.0.1:{}/keys", issuer.port).parse().unwrap()),
            scope_claim: "scope".to_owned(),
            leeway: std::time::Duration::from_secs(5),
        });
        let id = world.repository("octo", "hello");
        let process = world.process();
        world.star_by(&process, id).await;

        let reader = token("openid mirrors:read", "starkeep");
        let (status, list) = ask(&process, &reader, Method::GET, "/api/v1/mirrors").await;
        assert_eq!((status, list["items"][0]["repository"].as_str()), (200, Some("octo/hello")), "{list}");
        let path = format!("/api/v1/mirrors/{}/sync", list["items"][0]["id"].as_str().unwrap());
        assert_eq!(ask(&process, &reader, Method::POST, &path).await.0, 403);
        let other = token("mirrors:read", "another service");
        assert_eq!(ask(&process, &other, Method::GET, "/api/v1/mirrors").await.0, 401);

        // He may open a session, which ends with the token.
        let (status, session) = ask(&process, &reader, Method::POST, "/session").await;
        assert_eq!((status, session["actor"].as_str()), (201, Some("https://issuer.example/#alice")), "{session}");
        assert!(process.said().is_empty(), "there is a way in: {:?}", process.said());

        let writer = token("mirrors:write audit:read", "starkeep");
        assert_eq!(ask(&process, &writer, Method::POST, &path).await.0, 202);
        let (status, audit) = ask(&process, &writer, Method::GET, "/api/v1/audit").await;
        let items = audit["items"].as_array().unwrap();
        assert!(status == 200 && items.iter().any(|it| it["actor"] == "https://issuer.example/#alice"), "{audit}");
        world.drain().await;
        let log = process.log().join("\n");
        assert!([&reader, &writer, &other].iter().all(|it| !log.contains(it.as_str())), "{log}");
        assert!(process.terminate().success());
    }
}
