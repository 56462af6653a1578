//! Rate limits: how long to wait, and that nothing is sent meanwhile.

use std::time::Duration;

use serde_json::json;

use super::{Hands, client_at, repository, with_token};
use crate::canned::{Canned, Reply};
use crate::domain::ids::GithubId;
use crate::domain::retry::Retry;
use crate::github::GithubError;

fn limited(seconds: u64) -> GithubError {
    GithubError::RateLimited { after: Duration::from_secs(seconds) }
}

#[tokio::test]
async fn the_pause_is_githubs_own_where_it_names_one() {
    let hands = Hands::new();
    let reset = hands.now().timestamp() + 600;
    let refused = || Reply::json(403, &json!({"message": "API rate limit exceeded for user"}));
    let secondary = || Reply::json(403, &json!({"message": "You have exceeded a secondary rate limit."}));
    for (reply, seconds) in [
        (secondary().header("Retry-After", 2), 2),
        (Reply::json(429, &json!({"message": "slow down"})).header("Retry-After", 0), 1),
        (refused().header("X-RateLimit-Remaining", 0).header("X-RateLimit-Reset", reset), 601),
        (refused().header("X-RateLimit-Remaining", 0).header("X-RateLimit-Reset", reset - 1000), 1),
        (refused().header("X-RateLimit-Remaining", 0).header("X-RateLimit-Reset", "soon"), 60),
        (refused().header("X-RateLimit-Remaining", 0).header("X-RateLimit-Reset", reset + 1_000_000), 3900),
        (refused().header("Retry-After", 5).header("X-RateLimit-Remaining", 0), 5),
        (secondary().header("X-RateLimit-Remaining", 4000), 60),
        (Reply::json(403, &json!({"message": "You have triggered an abuse detection mechanism"})), 60),
        (Reply::plain(429, "Too many requests"), 60),
    ] {
        let shown = format!("{reply:?}");
        let server = Canned::start(move |_| reply.clone()).await;
        let error = client_at(&with_token(&server), &hands).repository(GithubId(7)).await.unwrap_err();
        assert_eq!(error, limited(seconds), "{shown}");
        assert_eq!(error.retry(), Retry::After(Duration::from_secs(seconds)));
    }
}

#[tokio::test]
async fn while_a_limit_is_used_up_nothing_is_sent() {
    let mut first = Some(Reply::json(429, &json!({"message": "x"})).header("Retry-After", 30));
    let server =
        Canned::start(move |_| first.take().unwrap_or_else(|| Reply::json(200, &repository(7, "octo/hello")))).await;
    let hands = Hands::new();
    let client = client_at(&with_token(&server), &hands);
    assert_eq!(client.repository(GithubId(7)).await.unwrap_err(), limited(30));
    hands.forward(20);
    assert_eq!(client.repository(GithubId(7)).await.unwrap_err(), limited(10));
    assert_eq!(server.lines().len(), 1);
    hands.forward(10);
    client.repository(GithubId(7)).await.unwrap();
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn a_limit_without_a_time_is_waited_out_longer_each_time_in_a_row() {
    let hands = Hands::new();
    let server = Canned::start(|request| match request.target.as_str() {
        "/repositories/1" => Reply::json(200, &repository(1, "octo/one")),
        _ => Reply::json(403, &json!({"message": "secondary rate limit"})),
    })
    .await;
    let client = client_at(&with_token(&server), &hands);
    for seconds in [60, 120, 240, 480, 960, 960] {
        assert_eq!(client.repository(GithubId(7)).await.unwrap_err(), limited(seconds));
        hands.forward(i64::try_from(seconds).unwrap());
    }
    client.repository(GithubId(1)).await.unwrap();
    assert_eq!(client.repository(GithubId(7)).await.unwrap_err(), limited(60), "a success starts over");
}
