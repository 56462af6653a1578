//! Following the events, as a client meets it.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use uuid::Uuid;

use super::following::{Following, step};
use super::house::{House, Plan, TOKEN, star};
use crate::domain::ids::MirrorId;
use crate::http::Secrets;
use crate::http::auth::Door;
use crate::http::followers::Pace;
use crate::http::limits::Failures;
use crate::http::shared::Shared;
use crate::store::events::{self, NewEvent};
use crate::store::settings;

const FOREVER: Duration = Duration::from_secs(60);

impl Following {
    /// The next that is no comment.
    async fn told(&mut self) -> Option<String> {
        loop {
            let frame = self.next().await?;
            if !frame.starts_with(':') {
                return Some(frame);
            }
        }
    }

    /// The next step: its id and what it says.
    async fn step(&mut self) -> (i64, Value) {
        let frame = self.told().await.unwrap();
        step(&frame).unwrap_or_else(|| panic!("it is no step: {frame}"))
    }
}

impl House {
    async fn follow(&self, token: &str, query: &str, seen: Option<&str>) -> Response {
        let request = self.request(Method::GET, &format!("/api/v1/events{query}")).bearer_auth(token);
        let request = match seen {
            Some(seen) => request.header("Last-Event-ID", seen.to_owned()),
            None => request,
        };
        request.send().await.unwrap()
    }

    async fn following(&self, query: &str, seen: Option<&str>) -> Following {
        let response = self.follow(TOKEN, query, seen).await;
        assert_eq!(response.status(), 200);
        let mut following = Following::of(response);
        assert_eq!(following.next().await.as_deref(), Some("retry: 2000"));
        following
    }

    async fn tell(&self, mirror: MirrorId, stages: &[&str]) {
        let step = |stage: &&str| NewEvent { at: Utc::now(), mirror, stage: (*stage).to_owned(), bytes: 5 };
        let steps: Vec<NewEvent> = stages.iter().map(step).collect();
        assert!(self.write(move |c| events::append(c, &steps, Utc::now())).await.is_some(), "somebody follows");
    }

    async fn left(&self, count: usize) {
        let wait = async {
            while self.shared.followers.count() != count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(FOREVER, wait).await.expect("the place is free again");
    }
}

async fn quick() -> House {
    let mut plan = Plan::new();
    plan.change = Box::new(quicken);
    plan.build().await
}

fn quicken(shared: &mut Shared) {
    let (look, alive) = (Duration::from_millis(5), Duration::from_millis(20));
    shared.followers.pace = Pace { look, renew: look, alive, slow: Duration::from_millis(200) };
}

#[actix::test]
async fn steps_are_told_in_their_order_and_gone_on_with_later() {
    let house = quick().await;
    house.deliver("star", &star(42, "octo/hello")).await.expect(202);
    let id = house.look("/mirrors").await.expect(200)["items"][0]["id"].clone();
    let mirror = MirrorId(id.as_str().unwrap().parse().unwrap());
    let response = house.follow(TOKEN, "", None).await;
    let header = |name: &str| response.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
    assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(header("cache-control").as_deref(), Some("no-store"));
    assert!(header("x-request-id").is_some());
    let mut all = Following::of(response);
    assert_eq!(all.next().await.as_deref(), Some("retry: 2000"));
    let mut one = house.following(&format!("?mirror={mirror}"), None).await;
    house.tell(mirror, &["ensure", "transfer"]).await;
    house.tell(MirrorId(Uuid::nil()), &["transfer"]).await;
    let (first, told) = all.step().await;
    let at = told["at"].clone();
    let expected = json!({ "at": at, "mirror": id, "repository": "octo/hello", "stage": "ensure", "bytes": 5 });
    assert_eq!(told, expected);
    let (second, told) = all.step().await;
    assert_eq!((second > first, told["stage"].as_str()), (true, Some("transfer")));
    let (third, told) = all.step().await;
    assert_eq!((&told["mirror"], &told["repository"]), (&json!(Uuid::nil()), &Value::Null));
    // Who wants one mirror hears of no other.
    house.tell(mirror, &["done"]).await;
    let stages = [one.step().await, one.step().await, one.step().await].map(|it| it.1["stage"].clone());
    assert_eq!(stages, ["ensure", "transfer", "done"]);
    // Who comes back goes on where it was.
    drop(all);
    let mut again = house.following("", Some(&second.to_string())).await;
    assert_eq!((again.step().await.0, again.step().await.1["stage"].as_str()), (third, Some("done")));
    // Who saw something that is not held any more is told that it missed some, and all that there is.
    for lost in ["0", "999999"] {
        let mut behind = house.following("", Some(lost)).await;
        assert_eq!(behind.told().await.as_deref(), Some("event: gap\ndata: {}"));
        assert_eq!(behind.step().await.0, first);
    }
    for odd in ["x", "-1", "1.5"] {
        assert_eq!(house.follow(TOKEN, "", Some(odd)).await.status(), 400, "{odd}");
    }
    assert_eq!(house.follow(TOKEN, "?mirror=x", None).await.status(), 400);
}

#[actix::test]
async fn nothing_is_held_for_who_comes_after_nobody_followed() {
    let house = quick().await;
    let mirror = MirrorId(Uuid::nil());
    let past = Utc::now() - TimeDelta::hours(1);
    house.write(move |c| events::follow(c, TimeDelta::minutes(1), past)).await;
    let step = NewEvent { at: past, mirror, stage: "done".to_owned(), bytes: 0 };
    let seen = house.write(move |c| {
        events::append(c, std::slice::from_ref(&step), past)?;
        events::last(c)
    });
    let seen = seen.await.to_string();
    let mut following = house.following("", Some(&seen)).await;
    assert_eq!(following.told().await.as_deref(), Some("event: gap\ndata: {}"));
    house.tell(mirror, &["describe"]).await;
    assert_eq!(following.step().await.1["stage"], "describe");
}

#[actix::test]
async fn who_follows_is_told_of_a_time_in_which_nothing_was_written() {
    let house = quick().await;
    let mut following = house.following("", None).await;
    house.tell(MirrorId(Uuid::nil()), &["describe"]).await;
    assert_eq!(following.step().await.1["stage"], "describe");
    // As if this process had not reached the database for a minute.
    house.write(|c| settings::set(c, "events.followed_until", "2025-01-01T00:00:00.000000Z")).await;
    assert_eq!(following.told().await.as_deref(), Some("event: gap\ndata: {}"));
    house.tell(MirrorId(Uuid::nil()), &["done"]).await;
    assert_eq!(following.step().await.1["stage"], "done");
}

#[actix::test]
async fn places_are_bounded_and_given_back() {
    let house = quick().await;
    let mut all = Vec::new();
    for _ in 0..64 {
        all.push(house.following("", None).await);
    }
    let request = house.request(Method::GET, "/api/v1/events").bearer_auth(TOKEN);
    house.send(request).await.problem_for_now(503, "too_many_followers");
    // Whoever only asks for the head takes no place.
    let head = house.send(house.request(Method::HEAD, "/api/v1/events").bearer_auth(TOKEN)).await;
    assert_eq!(head.status, 200);
    all.truncate(1);
    house.left(1).await;
    all.clear();
    house.left(0).await;
    house.following("", None).await;
}

#[actix::test]
async fn who_does_not_read_is_cut_off_and_nobody_waits_for_it() {
    let house = quick().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut deaf = socket.connect(house.address).await.unwrap();
    let head = format!("GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    deaf.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    deaf.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let mut other = house.following("", None).await;
    let long = "x".repeat(50_000);
    let mut told = 0;
    while house.shared.followers.count() == 2 {
        house.tell(MirrorId(Uuid::nil()), &[long.as_str(); 20]).await;
        for _ in 0..20 {
            assert_eq!(other.step().await.1["stage"].as_str().unwrap().len(), 50_000);
        }
        told += 1;
        assert!(told < 1_000, "it is not cut off");
    }
    house.left(1).await;
    let mut rest = Vec::new();
    let read = deaf.read_to_end(&mut rest);
    assert!(tokio::time::timeout(FOREVER, read).await.is_ok(), "its connection is ended");
    house.tell(MirrorId(Uuid::nil()), &["done"]).await;
    assert_eq!(other.step().await.1["stage"], "done");
}

#[actix::test]
async fn a_quiet_stream_is_kept_alive_until_the_key_is_revoked() {
    let house = quick().await;
    let body = json!({ "name": "a follower", "scopes": ["mirrors:read"] });
    let made = house.api(Method::POST, "/api-keys", Some(body)).await.expect(201);
    let response = house.follow(made["full_key"].as_str().unwrap(), "", None).await;
    assert_eq!(response.status(), 200);
    let mut following = Following::of(response);
    following.next().await.unwrap();
    for _ in 0..3 {
        assert_eq!(following.next().await.as_deref(), Some(": keep-alive"));
    }
    house.api(Method::DELETE, &format!("/api-keys/{}", made["id"].as_str().unwrap()), None).await.expect(204);
    let mut last = None;
    while let Some(frame) = following.next().await {
        last = Some(frame);
    }
    assert_eq!(last.as_deref(), Some(": what opened this has ended"));
}

#[actix::test]
async fn a_stream_ends_with_the_admin_token_and_with_the_session_that_opened_it() {
    let secrets = |it: &str| Secrets { admin: Some(it.into()), ..Secrets::default() };
    let (tell, told) = watch::channel(secrets(TOKEN));
    let mut plan = Plan::new();
    plan.change = Box::new(move |shared| {
        quicken(shared);
        shared.secrets = told.clone();
        shared.door = Door::new(told, Failures::new(Instant::now));
    });
    let house = plan.build().await;
    let by_session = async || {
        let answer = house.send(house.request(Method::POST, "/session").bearer_auth(TOKEN)).await;
        let csrf = answer.expect(201)["csrf_token"].as_str().unwrap().to_owned();
        let (cookie, _) = answer.header("set-cookie").unwrap().split_once(';').unwrap();
        let request = house.request(Method::GET, "/api/v1/events").header("Cookie", cookie);
        (Following::of(request.send().await.unwrap()), cookie.to_owned(), csrf)
    };
    let (mut signed_out, cookie, csrf) = by_session().await;
    let (mut signed_in, _, _) = by_session().await;
    let mut bearer = house.following("", None).await;
    assert_eq!(signed_out.next().await.as_deref(), Some("retry: 2000"));
    let end = house.request(Method::DELETE, "/session").header("Cookie", cookie).header("X-CSRF-Token", csrf);
    house.send(end).await.expect(204);
    assert_eq!(last_of(&mut signed_out).await.as_deref(), Some(": what opened this has ended"));
    assert_eq!(signed_in.next().await.as_deref(), Some("retry: 2000"));
    assert_eq!(signed_in.next().await.as_deref(), Some(": keep-alive"), "another session goes on");
    tell.send_replace(secrets("another"));
    for stream in [&mut signed_in, &mut bearer] {
        assert_eq!(last_of(stream).await.as_deref(), Some(": what opened this has ended"));
    }
}

async fn last_of(following: &mut Following) -> Option<String> {
    let mut last = None;
    while let Some(frame) = following.next().await {
        last = Some(frame);
    }
    last
}

#[actix::test]
async fn a_server_that_ends_lets_its_followers_go() {
    let house = quick().await;
    let mut following = house.following("", None).await;
    house.letting_go.cancel();
    let mut last = None;
    while let Some(frame) = following.next().await {
        last = Some(frame);
    }
    assert_eq!(last.as_deref(), Some(": the server ends; follow another"));
    house.left(0).await;
}
