//! Reads what an answer says about limits: which kind a refusal is, how long to wait, what is left.
//!
//! 403 has three meanings at GitHub (limit, block, no permission); status, headers and body decide.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::error::{GithubError, clip};
use super::exchange::Answer;
use crate::domain::rate::{LONGEST_PAUSE, Limit, Resource, Window};

/// What a status of 400 and above means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too many requests; the governor decides the pause.
    Limit(Limit),
    /// Anything else says nothing about limits.
    Other(GithubError),
}

#[derive(Debug, Default, Deserialize)]
struct RefusalBody {
    #[serde(default)]
    message: String,
    block: Option<Block>,
}

#[derive(Debug, Deserialize)]
struct Block {
    reason: Option<String>,
}

/// Reads a status of 400 and above. `now` is our own clock.
pub(super) fn refusal(answer: &Answer, now: DateTime<Utc>) -> Refusal {
    let body = serde_json::from_slice::<RefusalBody>(&answer.body).ok();
    let is_json = body.is_some();
    let body = body.unwrap_or_default();
    let message = clip(&body.message);
    let reason = || clip(body.block.as_ref().and_then(|it| it.reason.as_deref()).unwrap_or("no reason given"));
    let blocked = body.block.is_some() || message.to_ascii_lowercase().contains("access blocked");
    if matches!(answer.status, 403 | 429)
        && !blocked
        && let Some(limit) = limited(answer, &message, now)
    {
        return Refusal::Limit(limit);
    }
    Refusal::Other(match answer.status {
        451 => GithubError::Unavailable { reason: reason() },
        403 if blocked => GithubError::Blocked { reason: reason() },
        403 => GithubError::Forbidden(message),
        401 => GithubError::Unauthorized(message),
        // A proxy's or a wrong address's 404 is a page, never JSON: it must not make a mirror `gone`.
        404 if !is_json => GithubError::Malformed("a 404 that is not GitHub's".to_owned()),
        404 => GithubError::NotFound,
        status @ 500.. => GithubError::Server { status, after: named_pause(answer) },
        status => GithubError::Rejected { status, message },
    })
}

/// The limit that a 403 or 429 speaks of; `None` for a 403 that is none.
fn limited(answer: &Answer, message: &str, now: DateTime<Utc>) -> Option<Limit> {
    if let Some(pause) = named_pause(answer) {
        return Some(Limit::Named(pause));
    }
    if answer.header("x-ratelimit-remaining") == Some("0") {
        return Some(Limit::UsedUp(pause(answer, now)));
    }
    let message = message.to_ascii_lowercase();
    let told = ["rate limit", "abuse detection", "too many requests"].iter().any(|it| message.contains(it));
    (answer.status == 429 || told).then_some(Limit::Unnamed)
}

/// How long until the allowance is whole again, if the answer says so.
pub(super) fn pause(answer: &Answer, now: DateTime<Utc>) -> Option<Duration> {
    // One second more: GitHub's times are whole seconds, rounded down.
    reset(answer, now).map(|it| (it - now).to_std().unwrap_or_default() + Duration::from_secs(1))
}

/// `retry-after` in seconds, within bounds.
fn named_pause(answer: &Answer) -> Option<Duration> {
    let seconds: u64 = answer.header("retry-after")?.parse().ok()?;
    Some(Duration::from_secs(seconds.max(1)).min(LONGEST_PAUSE))
}

/// What the headers of any answer say of the allowance, and of which resource; `None` where they say nothing.
pub(super) fn window(answer: &Answer, now: DateTime<Utc>) -> Option<(Resource, Window)> {
    let number = |name: &str| answer.header(name)?.parse::<u32>().ok();
    let resource = answer.header("x-ratelimit-resource").map_or(Ok(Resource::Core), str::parse).ok()?;
    let (limit, remaining) = (number("x-ratelimit-limit")?, number("x-ratelimit-remaining")?);
    Some((resource, Window { limit, remaining, resets_at: reset(answer, now)? }))
}

/// When the allowance is whole again, by our own clock: GitHub's differs by what its `date` says.
fn reset(answer: &Answer, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let reset = DateTime::from_timestamp(answer.header("x-ratelimit-reset")?.parse().ok()?, 0)?;
    let theirs = answer.header("date").and_then(|it| DateTime::parse_from_rfc2822(it).ok());
    let left = reset - theirs.map_or(now, |it| it.with_timezone(&Utc));
    Some(now + left.min(TimeDelta::from_std(LONGEST_PAUSE).unwrap_or(TimeDelta::MAX)))
}
