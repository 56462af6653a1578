//! One installation's token: minted once however many ask at the same time, renewed before it expires.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;

use super::error::GithubError;

/// A token lives an hour; with less than this left it is renewed.
const RENEW_BEFORE: TimeDelta = TimeDelta::minutes(5);
/// With less than this left a token is not handed out even if no new one can be had.
const LAST_USE: TimeDelta = TimeDelta::minutes(1);

/// A token and the time from which GitHub refuses it.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) secret: SecretString,
    pub(super) expires_at: DateTime<Utc>,
}

impl Token {
    fn outlives(&self, now: DateTime<Utc>, margin: TimeDelta) -> bool {
        self.expires_at.signed_duration_since(now) > margin
    }
}

/// The place of one installation's token.
#[derive(Debug, Default)]
pub(super) struct Slot {
    held: Mutex<Held>,
    /// Attempts at minting that have ended.
    ended: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    token: Option<Token>,
    failure: Option<GithubError>,
}

impl Slot {
    /// The token, minted by `mint` if there is none or it is about to expire. Who comes while another
    /// one mints waits for that attempt and shares its outcome, a failure included: a crowd must not
    /// repeat a failing call one after the other.
    pub(super) async fn token<F>(&self, now: DateTime<Utc>, mint: impl FnOnce() -> F) -> Result<Token, GithubError>
    where
        F: Future<Output = Result<Token, GithubError>>,
    {
        let ended_before = self.ended.load(Ordering::SeqCst);
        let mut held = self.held.lock().await;
        if let Some(token) = held.token.as_ref().filter(|it| it.outlives(now, RENEW_BEFORE)) {
            return Ok(token.clone());
        }
        if let Some(failure) = held.failure.as_ref().filter(|_| self.ended.load(Ordering::SeqCst) > ended_before) {
            return held.usable(now).ok_or_else(|| failure.clone());
        }
        let minted = mint().await;
        self.ended.fetch_add(1, Ordering::SeqCst);
        match minted {
            Ok(token) => {
                *held = Held { token: Some(token.clone()), failure: None };
                Ok(token)
            }
            Err(error) => {
                held.failure = Some(error.clone());
                held.usable(now).ok_or(error)
            }
        }
    }

    /// Forgets the token that GitHub has refused, unless another one has taken its place by now.
    pub(super) async fn forget(&self, refused: &Token) {
        let mut held = self.held.lock().await;
        if held.token.as_ref().is_some_and(|it| it.secret.expose_secret() == refused.secret.expose_secret()) {
            held.token = None;
        }
    }
}

impl Held {
    /// The old token while it lives, for when a new one cannot be had.
    fn usable(&self, now: DateTime<Utc>) -> Option<Token> {
        self.token.as_ref().filter(|it| it.outlives(now, LAST_USE)).cloned()
    }
}
