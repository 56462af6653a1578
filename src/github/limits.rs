//! Reads a refusal: which kind it is, and how long to wait.
//!
//! 403 has three meanings at GitHub (limit, block, no permission); status, headers and body decide.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::error::{GithubError, clip};
use super::exchange::Answer;

/// GitHub's advice for a limit that names no time.
const LEAST_PAUSE: Duration = Duration::from_secs(60);
/// Doubling stops here.
const LONGEST_UNNAMED_PAUSE: Duration = Duration::from_secs(960);
/// Primary limits reset within an hour; a longer pause is a broken clock or a broken header.
const LONGEST_PAUSE: Duration = Duration::from_secs(3900);

/// Whether requests of one credential may be sent, and how long to wait when GitHub does not say.
#[derive(Debug, Default)]
pub(super) struct Gate {
    closed_until: Option<DateTime<Utc>>,
    unnamed: u32,
}

impl Gate {
    /// The pause for a limit without a time: a minute, doubled with every one in a row.
    pub(super) fn next_pause(&self) -> Duration {
        LEAST_PAUSE.saturating_mul(1 << self.unnamed.min(4)).min(LONGEST_UNNAMED_PAUSE)
    }

    /// A request went through.
    pub(super) fn open(&mut self) {
        *self = Self::default();
    }

    /// Closes after a limit; any other refusal says nothing about limits.
    pub(super) fn note(&mut self, error: &GithubError, now: DateTime<Utc>) {
        if let GithubError::RateLimited { after } = error {
            self.unnamed = self.unnamed.saturating_add(1);
            self.closed_until = TimeDelta::from_std(*after).ok().and_then(|it| now.checked_add_signed(it));
        }
    }

    /// What is left of the pause; `None` when open.
    pub(super) fn closed_for(&self, now: DateTime<Utc>) -> Option<Duration> {
        let left = self.closed_until?.signed_duration_since(now).to_std().ok()?;
        (!left.is_zero()).then_some(left)
    }
}

#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
    block: Option<Block>,
}

#[derive(Debug, Deserialize)]
struct Block {
    reason: Option<String>,
}

/// What a status of 400 and above means. `unnamed` is the pause for a limit that names no time.
pub(super) fn refusal(answer: &Answer, now: DateTime<Utc>, unnamed: Duration) -> GithubError {
    let body = serde_json::from_slice::<Refusal>(&answer.body).ok();
    let is_json = body.is_some();
    let body = body.unwrap_or_default();
    let message = clip(&body.message);
    let reason = || clip(body.block.as_ref().and_then(|it| it.reason.as_deref()).unwrap_or("no reason given"));
    match answer.status {
        451 => GithubError::Unavailable { reason: reason() },
        403 if body.block.is_some() || message.to_ascii_lowercase().contains("access blocked") => {
            GithubError::Blocked { reason: reason() }
        }
        403 | 429 => match limited(answer, &message, now, unnamed) {
            Some(after) => GithubError::RateLimited { after },
            None => GithubError::Forbidden(message),
        },
        401 => GithubError::Unauthorized(message),
        // A proxy's or a wrong address's 404 is a page, never JSON: it must not make a mirror `gone`.
        404 if !is_json => GithubError::Malformed("a 404 that is not GitHub's".to_owned()),
        404 => GithubError::NotFound,
        status @ 500.. => GithubError::Server { status, after: named_pause(answer) },
        status => GithubError::Rejected { status, message },
    }
}

/// The pause of a 403 or 429 that is a limit; `None` for a 403 that is not.
fn limited(answer: &Answer, message: &str, now: DateTime<Utc>, unnamed: Duration) -> Option<Duration> {
    if let Some(pause) = named_pause(answer) {
        return Some(pause);
    }
    if answer.header("x-ratelimit-remaining") == Some("0") {
        let reset = answer.header("x-ratelimit-reset").and_then(|it| it.parse().ok());
        let left = reset.and_then(|it| DateTime::from_timestamp(it, 0)).map(|reset: DateTime<Utc>| reset - now);
        // One second more: GitHub's times are whole seconds, rounded down.
        let pause = left.map(|it| it.to_std().unwrap_or_default() + Duration::from_secs(1));
        return Some(pause.unwrap_or(unnamed).min(LONGEST_PAUSE));
    }
    let message = message.to_ascii_lowercase();
    let told = ["rate limit", "abuse detection", "too many requests"].iter().any(|it| message.contains(it));
    (answer.status == 429 || told).then_some(unnamed)
}

/// `retry-after` in seconds, within bounds.
fn named_pause(answer: &Answer) -> Option<Duration> {
    let seconds: u64 = answer.header("retry-after")?.parse().ok()?;
    Some(Duration::from_secs(seconds.max(1)).min(LONGEST_PAUSE))
}
