//! The governor at work: what is sent, what waits, and for whom.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::json;

use super::{Hands, anonymous, client_at, repository, with_app, with_token};
use crate::canned::{Canned, Reply, Seen};
use crate::domain::ids::GithubId;
use crate::domain::rate::{MOST_AT_ONCE, MOST_TRANSFERS_AT_ONCE, Resource, Urgency};
use crate::github::exchange::Principal;
use crate::github::governors::Governors;
use crate::github::{GithubClient, GithubError};
use crate::telemetry::metrics::Metrics;

/// A GitHub with an hour's allowance, counted down, which resets in a thousand seconds.
async fn counting(limit: u32, remaining: u32, hands: &Hands) -> Canned {
    let (mut left, reset) = (remaining, hands.now().timestamp() + 1000);
    let count = move |reply: Reply| {
        let reply = reply.header("X-RateLimit-Limit", limit).header("X-RateLimit-Remaining", left);
        left = left.saturating_sub(1);
        reply.header("X-RateLimit-Reset", reset)
    };
    let mut count = count;
    Canned::start(move |_| count(Reply::json(200, &repository(7, "octo/hello")))).await
}

async fn pause(client: &GithubClient) -> Option<u64> {
    match client.repository(GithubId(7)).await {
        Ok(_) => None,
        Err(GithubError::RateLimited { after }) => Some(after.as_secs()),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn when_little_is_left_routine_work_is_spread_and_fresh_stars_go_on() {
    let hands = Hands::new();
    let server = counting(5000, 750, &hands).await;
    let routine = client_at(&with_token(&server), &hands);
    let (fresh, catalogs) = (routine.urged(Urgency::Fresh), routine.urged(Urgency::Background));
    // Nothing is known before the first answer; then half a thousand are to be spread over a thousand seconds.
    assert_eq!(pause(&routine).await, None);
    assert_eq!(pause(&routine).await, None);
    assert_eq!(pause(&routine).await, Some(2));
    assert_eq!(pause(&catalogs).await, Some(1001));
    assert_eq!(pause(&fresh).await, None);
    hands.forward(3);
    assert_eq!(pause(&routine).await, None);
    assert_eq!(server.lines().len(), 4, "what waits is not sent");
    assert_eq!(routine.hourly_allowance(), Some(5000));
    hands.forward(1000);
    assert_eq!(pause(&catalogs).await, None, "a new hour");
}

#[tokio::test]
async fn a_pause_outlives_the_process_and_is_the_tokens_own() {
    let hands = Hands::new();
    let limited = || Reply::json(403, &json!({"message": "secondary rate limit"})).header("Retry-After", 300);
    let server = Canned::start(move |_| limited()).await;
    let before = client_at(&with_token(&server), &hands);
    let mut pauses = before.pauses();
    assert_eq!(pause(&before).await, Some(300));
    assert!(pauses.has_changed().unwrap());
    pauses.mark_unchanged();
    let kept = before.standings();
    assert!(kept.iter().all(|it| !it.credential.contains(super::TOKEN) && it.credential.starts_with("token:")));

    hands.forward(100);
    let after = client_at(&with_token(&server), &hands);
    after.recall(kept.clone());
    assert_eq!(pause(&after).await, Some(200));
    let name = super::name("octo/hello");
    let Err(GithubError::RateLimited { after: left }) = after.git_authorization(&name).await else {
        panic!("git goes on");
    };
    assert_eq!(left, Duration::from_secs(200));
    assert_eq!(server.lines().len(), 1, "nothing was sent by the second one");

    let mut config = with_token(&server);
    config.token = Some(secrecy::SecretString::from("ghp_another"));
    let other = client_at(&config, &hands);
    other.recall(kept);
    assert_eq!(pause(&other).await, Some(300), "it asked for itself");
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn each_installation_has_an_allowance_of_its_own() {
    let hands = Hands::new();
    let reset = hands.now().timestamp() + 1000;
    let answer = move |request: &Seen| match request.target.as_str() {
        "/app/installations?per_page=100" => {
            Reply::json(200, &json!([{"id": 1, "account": {"login": "one"}}, {"id": 2, "account": {"login": "two"}}]))
        }
        "/app/installations/1/access_tokens" | "/app/installations/2/access_tokens" => {
            let token = format!("ghs_{}", request.target.split('/').nth(3).unwrap());
            Reply::json(201, &json!({"token": token, "expires_at": "2026-11-20T13:00:00Z"}))
        }
        _ => {
            let first = request.header("authorization") == Some("Bearer ghs_1");
            let body = repository(if first { 1 } else { 2 }, if first { "one/a" } else { "two/b" });
            Reply::json(200, &body)
                .header("X-RateLimit-Limit", 5000)
                .header("X-RateLimit-Remaining", if first { 0 } else { 4000 })
                .header("X-RateLimit-Reset", reset)
        }
    };
    let server = Canned::start(answer).await;
    let client = client_at(&with_app(&server), &hands);
    let (one, two) = (super::name("one/a"), super::name("two/b"));
    client.repository_named(&one).await.unwrap();
    client.repository_named(&two).await.unwrap();
    // The first one's allowance is used up: another one helps out.
    client.repository_named(&one).await.unwrap();
    client.repository_named(&two).await.unwrap();
    let words: Vec<_> = client
        .standings()
        .into_iter()
        .filter(|it| it.resource == Some(Resource::Core))
        .map(|it| it.credential)
        .collect();
    assert_eq!(words, ["installation:1", "installation:2"]);
}

#[tokio::test]
async fn two_tokens_share_the_work_and_each_counts_for_itself() {
    let hands = Hands::new();
    let reset = hands.now().timestamp() + 1000;
    let left = Arc::new(Mutex::new([1000_u32, 1000]));
    let told = Arc::clone(&left);
    let answer = move |request: &Seen| {
        let place = usize::from(request.header("authorization") == Some("Bearer ghp_two"));
        let mut left = told.lock().unwrap();
        left[place] -= 100;
        Reply::json(200, &repository(7, "octo/hello"))
            .header("X-RateLimit-Limit", 1000)
            .header("X-RateLimit-Remaining", left[place])
            .header("X-RateLimit-Reset", reset)
    };
    let server = Canned::start(answer).await;
    let mut config = with_token(&server);
    config.tokens = vec![secrecy::SecretString::from("ghp_two")];
    let client = client_at(&config, &hands);
    for _ in 0..12 {
        client.repository(GithubId(7)).await.unwrap();
    }
    assert_eq!(*left.lock().unwrap(), [400, 400]);
    let known: Vec<_> = client.standings().into_iter().filter_map(|it| it.window.map(|it| it.remaining)).collect();
    assert_eq!(known, [400, 400]);
}

#[tokio::test]
async fn a_clock_that_is_wrong_does_not_make_the_hour_longer() {
    let hands = Hands::new();
    // GitHub's clock is three hours ahead of ours.
    let theirs = hands.now() + chrono::TimeDelta::hours(3);
    let reply = Reply::json(403, &json!({"message": "API rate limit exceeded"}))
        .header("X-RateLimit-Remaining", 0)
        .header("X-RateLimit-Reset", theirs.timestamp() + 60)
        .header("Date", theirs.format("%a, %d %b %Y %H:%M:%S GMT"));
    let server = Canned::start(move |_| reply.clone()).await;
    assert_eq!(pause(&client_at(&with_token(&server), &hands)).await, Some(61));
}

#[tokio::test]
async fn transfers_take_half_of_the_places_and_leave_the_others_to_the_api() {
    let hands = Hands::new();
    let server = Canned::start(|_| Reply::json(200, &repository(7, "octo/hello"))).await;
    let client = client_at(&with_token(&server), &hands);
    let name = super::name("octo/hello");
    let mut held = Vec::new();
    for _ in 0..MOST_TRANSFERS_AT_ONCE {
        held.push(client.git_place(&name).await.unwrap());
    }
    let mut next = std::pin::pin!(client.git_place(&name));
    assert!(next.as_mut().now_or_never().is_none(), "half of them are transfers");
    assert_eq!(pause(&client).await, None, "what a transfer asks the API goes on");
    held.pop();
    next.await.unwrap();
    // Another credential has places of its own.
    let other = client_at(&anonymous(&server), &hands);
    other.git_place(&name).await.unwrap();
}

#[tokio::test]
async fn git_counts_among_the_hundred_at_once() {
    let hands = Hands::new();
    let (seen, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let governors = Governors::new(std::iter::empty(), Metrics::new().unwrap());
    let reader = Principal::Anonymous;
    let _transfers = futures_util::future::join_all((0..10).map(|_| governors.seat(reader))).await;
    let call = async || {
        let _place = governors.admit(reader, Resource::Core, Urgency::Routine, || hands.now()).await.unwrap();
        seen.fetch_add(1, Ordering::SeqCst);
        drop(gate.acquire().await);
    };
    let mut calls = std::pin::pin!(futures_util::future::join_all((0..100).map(|_| call())));
    assert!(calls.as_mut().now_or_never().is_none());
    assert_eq!(seen.load(Ordering::SeqCst), MOST_AT_ONCE - 10);
    gate.add_permits(100);
    calls.await;
    assert_eq!(seen.load(Ordering::SeqCst), 100);
}
