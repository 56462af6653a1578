//! Bodies that are too large, stop half-way or do not come: bounded, told, and nothing stored.

use std::time::Duration;

use futures_util::stream;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::house::{House, Plan, SECRET, signature};
use crate::http::body::Room;

/// More than `server.max_webhook_bytes`.
const TOO_MUCH: usize = 26 << 20;

fn post(house: &House) -> reqwest::RequestBuilder {
    house
        .request(Method::POST, "/webhooks/github")
        .header("Content-Type", "application/json")
        .header("X-GitHub-Event", "ping")
        .header("X-GitHub-Delivery", Uuid::new_v4().to_string())
}

#[actix::test]
async fn twenty_six_megabytes_are_refused_and_the_caller_gets_to_know() {
    let house = House::new().await;
    let body = vec![b' '; TOO_MUCH];
    house.send(post(&house).body(body)).await.problem(413, "body_too_large");
    // The same without a length that tells it beforehand.
    let chunks = (0..TOO_MUCH >> 16).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 16]));
    let streamed = reqwest::Body::wrap_stream(stream::iter(chunks));
    house.send(post(&house).body(streamed)).await.problem(413, "body_too_large");
    assert_eq!(house.holdings().await, (0, 0, 0));
}

#[actix::test]
async fn the_largest_body_that_is_allowed_is_taken() {
    let mut plan = Plan::new();
    plan.config.server.max_webhook_bytes = 100_000;
    let house = plan.build().await;
    let frame = json!({"filler": ""}).to_string().len();
    let filled = |length: usize| json!({"filler": "x".repeat(length - frame)});
    house.deliver("ping", &filled(100_000)).await.expect(202);
    house.deliver("ping", &filled(100_001)).await.problem(413, "body_too_large");
}

/// Half of a signed delivery over a bare connection.
async fn half(house: &House) -> TcpStream {
    let body = json!({"zen": "Half measures are as bad as nothing at all."}).to_string();
    let head = format!(
        "POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-GitHub-Event: ping\r\n\
         X-GitHub-Delivery: {}\r\nX-Hub-Signature-256: {}\r\nContent-Length: {}\r\n\r\n",
        Uuid::new_v4(),
        signature(SECRET, body.as_bytes()),
        body.len()
    );
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body.as_bytes()[..body.len() / 2]).await.unwrap();
    stream
}

/// The whole answer, or what came before the connection ended. The server may hold the connection a
/// little longer, for what is left of the body.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"}") && stream.read_buf(&mut bytes).await.unwrap_or(0) > 0 {}
    String::from_utf8(bytes).unwrap()
}

#[actix::test]
async fn a_body_that_ends_half_way_is_refused() {
    let house = House::new().await;
    let mut stream = half(&house).await;
    stream.shutdown().await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(house.holdings().await, (0, 0, 0));
    drop(half(&house).await);
    house.deliver("ping", &json!({})).await.expect(202);
    assert_eq!(house.holdings().await, (1, 0, 0));
}

#[actix::test]
async fn a_body_that_stops_half_way_is_not_waited_for_for_ever() {
    let mut plan = Plan::new();
    plan.change = Box::new(|shared| shared.room = Room::of(1 << 20, Duration::from_millis(50)));
    let house = plan.build().await;
    let answer = rest(&mut half(&house).await).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("urn:starkeep:problem:body_timeout"), "{answer}");
    assert_eq!(house.holdings().await, (0, 0, 0));
}

#[actix::test]
async fn many_large_bodies_at_once_have_bounded_room() {
    let mut plan = Plan::new();
    plan.change = Box::new(|shared| shared.room = Room::of(64, Duration::from_secs(30)));
    let house = plan.build().await;
    let large = json!({"filler": "x".repeat(100_000)});
    house.deliver("ping", &large).await.problem_for_now(503, "busy");
    // What was taken for it is free again.
    for _ in 0..3 {
        house.deliver("ping", &json!({"filler": "x".repeat(20_000)})).await.expect(202);
    }
}

#[actix::test]
async fn an_admin_s_body_is_small_json_without_a_field_too_many() {
    let house = House::new().await;
    let send = |body: String| {
        let request = house.request(Method::POST, "/api/v1/mirrors").bearer_auth(super::house::TOKEN);
        house.send(request.header("Content-Type", "application/json").body(body))
    };
    for odd in ["", "{", "null", "[]", r#"["a/b"]"#, r#"{"repository":1}"#, r#"{"repository":"octo"}"#, "{}"] {
        send(odd.to_owned()).await.problem(400, "body_malformed");
    }
    let told = send(r#"{"repository":"a/b","force":true}"#.to_owned()).await.problem(400, "body_malformed");
    assert!(told["detail"].as_str().unwrap().contains("unknown field `force`"), "{told}");
    send(format!(r#"{{"repository":"{}"}}"#, "x".repeat(70_000))).await.problem(413, "body_too_large");
    let request = house.request(Method::POST, "/api/v1/mirrors").bearer_auth(super::house::TOKEN);
    house.send(request.body(r#"{"repository":"a/b"}"#)).await.problem(415, "media_type_unsupported");
    assert_eq!(house.github.lines(), [""; 0], "GitHub was not asked");
}
