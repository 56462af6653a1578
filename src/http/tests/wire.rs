//! What comes over a bare connection: requests that two servers would read differently, and clients that are slow on
//! purpose.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::house::{House, Plan, TOKEN};
use crate::http::body::Room;
use crate::http::connections::Patience;

/// How long a step of a test may take before it has failed.
const FOREVER: Duration = Duration::from_secs(60);
/// Between two bytes of a client that drips.
const DROP: Duration = Duration::from_millis(5);

/// Sends all of it; gives all that comes until the server ends the connection.
async fn exchange(house: &House, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    // A server that refuses may reset the connection; what came before that counts.
    let read = stream.read_to_end(&mut bytes);
    let _ = timeout(FOREVER, read).await.expect("the server ends the connection");
    String::from_utf8(bytes).unwrap()
}

fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}

/// Drips bytes until the server ends the connection; gives what came.
async fn drip(stream: &mut TcpStream, drop: &[u8]) -> String {
    let mut bytes = Vec::new();
    let all = async {
        loop {
            match timeout(DROP, stream.read_buf(&mut bytes)).await {
                Ok(Ok(0) | Err(_)) => return,
                Ok(Ok(_)) => {}
                Err(_) => drop_one(stream, drop).await,
            }
        }
    };
    timeout(FOREVER, all).await.expect("the server ends the connection");
    String::from_utf8(bytes).unwrap()
}

/// The server may have ended it, which the next reading shows.
async fn drop_one(stream: &mut TcpStream, drop: &[u8]) {
    let _ = stream.write_all(drop).await;
}

/// One whole answer, whose body has so many bytes or more.
async fn answer(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    let all = async {
        while !String::from_utf8_lossy(&bytes).contains(end) {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "{}", String::from_utf8_lossy(&bytes));
        }
    };
    timeout(FOREVER, all).await.expect("an answer comes");
    String::from_utf8(bytes).unwrap()
}

/// A server that waits for so long for the head of a first request, and little longer for anything else.
async fn impatient(head: Duration) -> House {
    let mut plan = Plan::new();
    plan.change = Box::new(move |shared| {
        shared.patience = Patience { head, keep_alive: Duration::from_millis(200) };
        shared.room = Room::of(1 << 20, Duration::from_millis(200));
    });
    plan.build().await
}

const HIDDEN: &str = "GET /healthz HTTP/1.1\r\nHost: hidden\r\n\r\n";

#[actix::test]
async fn what_two_servers_would_read_differently_is_refused_and_the_connection_ended() {
    let house = House::new().await;
    let ambiguous = [
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
        "Content-Length: 6\r\nContent-Length: 7",
        "Content-Length: 6\r\nContent-Length: 6",
        "Content-Length: 6, 6",
        "Content-Length: +6",
        "Content-Length: -6",
        "Content-Length: 0x6",
        "Content-Length: 6 6",
        "Content-Length:",
        "Content-Length: 99999999999999999999",
        "Content-Length : 6",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\u{b}chunked",
        "X-Folded: one\r\n Transfer-Encoding: chunked",
        "X-Folded: one\r\n\tContent-Length: 6",
        "Content-Length: 6\r\nHost: other",
        "X-Bare: one\rContent-Length: 6",
        "X-Nul: a\0b",
        " Leading: space",
        "No colon",
    ];
    for headers in ambiguous {
        let request = format!("POST /webhooks/github HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\nX{HIDDEN}");
        let told = exchange(&house, request.as_bytes()).await;
        assert!(told.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{headers:?}: {told:?}");
        assert_eq!(answers(&told), 1, "{headers:?}: {told:?}");
        harmless(&told);
    }
    let heads = [
        "POST /webhooks/github HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /webhooks/github HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "POST /webhooks/github HTTP/1.1 \r\nHost: x\r\n\r\n",
        "POST /webhooks/git hub HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /webhooks/github HTTP/2.0\r\nHost: x\r\n\r\n",
        "P\0ST /webhooks/github HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    for head in heads {
        let told = exchange(&house, format!("{head}{HIDDEN}").as_bytes()).await;
        assert!(told.starts_with("HTTP/1.1 400 Bad Request\r\n") && answers(&told) == 1, "{head:?}: {told:?}");
        harmless(&told);
    }
    assert_eq!(house.holdings().await, (0, 0, 0));
}

/// Answers that are made below the handlers have no body, name nothing, and end the connection.
fn harmless(told: &str) {
    let (head, body) = told.split_once("\r\n\r\n").unwrap();
    let names: Vec<String> =
        head.lines().skip(1).map(|it| it.split(':').next().unwrap().to_ascii_lowercase()).collect();
    assert!(body.is_empty(), "{told:?}");
    assert!(names.iter().all(|it| ["content-length", "connection", "date"].contains(&it.as_str())), "{told:?}");
}

#[actix::test]
async fn chunks_are_what_they_say_or_the_body_is_refused() {
    let house = House::new().await;
    let head = format!(
        "POST /api/v1/vanished HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    let body = json!({ "confirm": false }).to_string();
    let good = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(good.as_bytes()).await.unwrap();
    assert!(answer(&mut stream, "\"mirrors\"").await.starts_with("HTTP/1.1 202 "));
    let length = body.len();
    for chunks in [
        format!("{length:x}\n{body}\r\n0\r\n\r\n"),
        format!("{length:x}\r\n{body}\n0\r\n\r\n"),
        format!("-{length:x}\r\n{body}\r\n0\r\n\r\n"),
        format!("0x{length:x}\r\n{body}\r\n0\r\n\r\n"),
        format!("fffffffffffffffff\r\n{body}\r\n0\r\n\r\n"),
        format!("{length:x}\r\n{body}XX0\r\n\r\n"),
        format!("\r\n{body}\r\n0\r\n\r\n"),
        format!("{length:x};a\nb\r\n{body}\r\n0\r\n\r\n"),
    ] {
        let told = exchange(&house, format!("{head}{chunks}{HIDDEN}").as_bytes()).await;
        assert!(told.starts_with("HTTP/1.1 400 ") && !told.contains("200 OK"), "{chunks:?}: {told:?}");
    }
}

/// RFC 9112 lets a server take a bare line feed for the end of a line. It is taken as exactly that, so the two requests
/// below are two requests for everybody who takes it at all.
#[actix::test]
async fn a_bare_line_feed_ends_a_line_and_nothing_else() {
    let house = House::new().await;
    let told = exchange(&house, b"GET /healthz HTTP/1.1\nHost: x\nConnection: close\n\n").await;
    assert!(told.starts_with("HTTP/1.1 200 OK\r\n"), "{told}");
    let both = "POST /webhooks/github HTTP/1.1\nHost: x\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n";
    let told = exchange(&house, format!("{both}{HIDDEN}").as_bytes()).await;
    assert!(told.starts_with("HTTP/1.1 400 ") && answers(&told) == 1, "{told}");
}

#[actix::test]
async fn a_wish_for_another_protocol_is_not_granted() {
    let house = House::new().await;
    let upgrade =
        "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n";
    let told = exchange(&house, format!("{upgrade}hello{HIDDEN}").as_bytes()).await;
    assert!(told.starts_with("HTTP/1.1 200 OK\r\n") && answers(&told) == 1, "{told}");
    let told = exchange(&house, format!("CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n{HIDDEN}").as_bytes()).await;
    assert!(answers(&told) == 1 && !told.contains("200 OK"), "{told}");
}

#[actix::test]
async fn a_head_that_drips_is_ended() {
    let house = impatient(Duration::from_millis(200)).await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nX-Slow: ").await.unwrap();
    let told = drip(&mut stream, b"x").await;
    assert!(told.starts_with("HTTP/1.1 408 Request Timeout\r\n") && answers(&told) == 1, "{told}");
    harmless(&told);
    // Nothing at all is no better.
    let mut silent = TcpStream::connect(house.address).await.unwrap();
    assert!(!drip(&mut silent, b"").await.contains("200 OK"));
}

#[actix::test]
async fn the_head_of_a_further_request_that_drips_is_ended() {
    let house = impatient(Duration::from_secs(3)).await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(answer(&mut stream, "\"ok\"}").await.starts_with("HTTP/1.1 200 OK\r\n"));
    stream.write_all(b"GET /healthz HTTP/1.1\r\nX-Slow: ").await.unwrap();
    let told = drip(&mut stream, b"x").await;
    assert!(!told.contains("200 OK"), "{told}");
}

#[actix::test]
async fn a_body_that_drips_is_ended_whether_it_is_wanted_or_not() {
    let house = impatient(Duration::from_secs(3)).await;
    let head = |token: &str, more: &str| {
        format!(
            "POST /api/v1/mirrors HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\n{more}\r\n\r\n"
        )
    };
    for (token, status) in [(TOKEN, "408"), ("wrong", "401")] {
        for (kind, drop) in [("Content-Length: 60000", " "), ("Transfer-Encoding: chunked", "1\r\n \r\n")] {
            let mut stream = TcpStream::connect(house.address).await.unwrap();
            stream.write_all(head(token, kind).as_bytes()).await.unwrap();
            let told = drip(&mut stream, drop.as_bytes()).await;
            assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{kind}, {status}: {told}");
            assert_eq!(answers(&told), 1, "{kind}, {status}: {told}");
        }
    }
}

#[actix::test]
async fn a_connection_that_is_used_is_not_ended() {
    let house = impatient(Duration::from_secs(3)).await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    for _ in 0..20 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(answer(&mut stream, "\"ok\"}").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[actix::test]
async fn a_call_that_takes_too_long_is_told_so() {
    let mut plan = Plan::new();
    plan.config.server.request_timeout = Duration::from_millis(50);
    let house = plan.build().await;
    // Half a body: the handler waits for the rest of it.
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let head = format!(
        "POST /api/v1/mirrors HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
         Content-Length: 40\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let told = answer(&mut stream, "request_took_too_long\"").await;
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("urn:starkeep:problem:request_took_too_long"), "{told}");
    assert!(told.to_ascii_lowercase().contains("retry-after: 5"), "{told}");
}
