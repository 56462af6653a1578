//! One governor for each credential, shared by everything that is sent with it.
//!
//! `exchange` asks for a place before each request and gives it back with what the answer said; `app`
//! writes down what must outlive the process ([`GithubClient::standings`](super::GithubClient::standings)).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::error::GithubError;
use super::exchange::{Answer, Principal};
use super::limits::{self, Refusal};
use crate::domain::rate::{Governor, Limit, MOST_AT_ONCE, MOST_TRANSFERS_AT_ONCE, Resource, Standing, Urgency};
use crate::telemetry::metrics::Metrics;

/// Every governor of one client.
pub(super) struct Governors {
    desks: Mutex<HashMap<Principal, Desk>>,
    /// What was remembered of credentials that were not used yet.
    remembered: Mutex<(Vec<Standing>, DateTime<Utc>)>,
    /// The words for the tokens of the configuration.
    tokens: Vec<String>,
    pauses: watch::Sender<u64>,
    metrics: Metrics,
}

/// A credential's governor and its places.
struct Desk {
    governor: Governor,
    places: Arc<Semaphore>,
    /// Of those, what transfers may take.
    transfers: Arc<Semaphore>,
}

/// The right to read one repository by git, among all requests of a credential; given back when it is dropped.
#[derive(Debug)]
pub struct GitPlace(#[expect(dead_code, reason = "held, and given back")] [Option<OwnedSemaphorePermit>; 2]);

/// The right to send one request; given back when it is dropped, however the request ended.
pub(super) struct Place<'a> {
    governors: &'a Governors,
    principal: Principal,
    resource: Resource,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.governors.with(self.principal, |it| it.answered(self.resource));
    }
}

impl Governors {
    pub(super) fn new(tokens: impl Iterator<Item = SecretString>, metrics: Metrics) -> Self {
        let tokens = tokens.map(|it| word_of_token(&it)).collect();
        let (desks, remembered, pauses) = (Mutex::default(), Mutex::default(), watch::Sender::default());
        Self { desks, remembered, tokens, pauses, metrics }
    }

    /// Waits for one of the places of a credential, and asks whether a request may go now.
    pub(super) async fn admit(
        &self,
        principal: Principal,
        resource: Resource,
        urgency: Urgency,
        clock: impl Fn() -> DateTime<Utc>,
    ) -> Result<Place<'_>, GithubError> {
        let places = self.desk(principal, |it| Arc::clone(&it.places));
        // Never closed; waiting ends, since every request has its time-out.
        let permit = places.acquire_owned().await.ok();
        match self.with(principal, |it| it.ask(resource, urgency, clock())) {
            Ok(()) => Ok(Place { governors: self, principal, resource, _permit: permit }),
            Err(held) => {
                self.metrics.github_held_requests.with_label_values(&[held.reason.as_str()]).inc();
                Err(GithubError::RateLimited { after: held.after })
            }
        }
    }

    /// Waits for one of the places that transfers may take, and holds it: API calls have the others.
    pub(super) async fn seat(&self, principal: Principal) -> GitPlace {
        let (transfers, places) = self.desk(principal, |it| (Arc::clone(&it.transfers), Arc::clone(&it.places)));
        // Never closed. Whoever waits for the second holds the first, and the second is held by API calls, which
        // end, or by transfers that have both.
        let first = transfers.acquire_owned().await.ok();
        GitPlace([first, places.acquire_owned().await.ok()])
    }

    /// What is left of a pause, of git for instance.
    pub(super) fn pause_left(
        &self,
        principal: Principal,
        resource: Resource,
        now: DateTime<Utc>,
    ) -> Result<(), GithubError> {
        match self.with(principal, |it| it.closed_for(resource, now)) {
            Some(after) => Err(GithubError::RateLimited { after }),
            None => Ok(()),
        }
    }

    /// Takes over what any answer says.
    pub(super) fn read(&self, principal: Principal, answer: &Answer, now: DateTime<Utc>) {
        let Some((resource, window)) = limits::window(answer, now) else { return };
        self.with(principal, |it| it.told(resource, window));
        let least =
            self.desks().values().filter_map(|it| it.governor.window(resource, now)).map(|it| it.remaining).min();
        let gauge = self.metrics.github_rate_limit_remaining.with_label_values(&[resource.as_str()]);
        gauge.set(i64::from(least.unwrap_or(window.remaining)));
    }

    /// A request went through.
    pub(super) fn went_through(&self, principal: Principal, now: DateTime<Utc>) {
        self.with(principal, |it| it.went_through(now));
    }

    /// What a refusal means; a limit is waited out by everybody who has this credential.
    pub(super) fn refused(
        &self,
        principal: Principal,
        resource: Resource,
        answer: &Answer,
        now: DateTime<Utc>,
    ) -> GithubError {
        match limits::refusal(answer, now) {
            Refusal::Other(error) => error,
            Refusal::Limit(limit) => self.limited(principal, resource, limit, now),
        }
    }

    /// A limit was met.
    pub(super) fn limited(
        &self,
        principal: Principal,
        resource: Resource,
        limit: Limit,
        now: DateTime<Utc>,
    ) -> GithubError {
        let after = self.with(principal, |it| it.limited(resource, limit, now));
        self.pauses.send_modify(|it| *it += 1);
        GithubError::RateLimited { after }
    }

    /// How much of the hour's allowance is left, in whole parts of so many; all of it where nothing was said,
    /// nothing during a pause.
    pub(super) fn share_left(&self, principal: Principal, resource: Resource, parts: u32, now: DateTime<Utc>) -> u32 {
        self.with(principal, |it| match (it.closed_for(resource, now), it.window(resource, now)) {
            (Some(_), _) => 0,
            (None, None) => parts,
            (None, Some(it)) => it.remaining.saturating_mul(parts).div_ceil(it.limit.max(1)),
        })
    }

    /// The least allowance an hour of any credential that is in use, as far as it was told.
    pub(super) fn least_limit(&self, resource: Resource, now: DateTime<Utc>) -> Option<u32> {
        self.desks().values().filter_map(|it| it.governor.window(resource, now)).map(|it| it.limit).min()
    }

    pub(super) fn pauses(&self) -> watch::Receiver<u64> {
        self.pauses.subscribe()
    }

    pub(super) fn standings(&self) -> Vec<Standing> {
        let desks = self.desks();
        let mut all: Vec<_> =
            desks.iter().flat_map(|(principal, it)| it.governor.standings(&self.word(*principal))).collect();
        all.sort_by(|a, b| (&a.credential, a.resource).cmp(&(&b.credential, b.resource)));
        all
    }

    pub(super) fn recall(&self, standings: Vec<Standing>, now: DateTime<Utc>) {
        for (principal, desk) in self.desks().iter_mut() {
            let word = self.word(*principal);
            standings.iter().filter(|it| it.credential == word).for_each(|it| desk.governor.recall(it, now));
        }
        *self.remembered.lock().unwrap_or_else(PoisonError::into_inner) = (standings, now);
    }

    /// The credential's word in the database: tells it from others, and gives nothing away.
    fn word(&self, principal: Principal) -> String {
        match principal {
            Principal::Anonymous => "anonymous".to_owned(),
            Principal::Token(place) => self.tokens.get(place).cloned().unwrap_or_else(|| "token".to_owned()),
            Principal::App => "app".to_owned(),
            Principal::Key => "ssh".to_owned(),
            Principal::Installation(id) => format!("installation:{id}"),
        }
    }

    fn with<T>(&self, principal: Principal, act: impl FnOnce(&mut Governor) -> T) -> T {
        self.desk(principal, |it| act(&mut it.governor))
    }

    fn desk<T>(&self, principal: Principal, act: impl FnOnce(&mut Desk) -> T) -> T {
        let mut desks = self.desks();
        let desk = desks.entry(principal).or_insert_with(|| {
            let mut governor = Governor::default();
            let (word, known) = (self.word(principal), self.remembered.lock().unwrap_or_else(PoisonError::into_inner));
            known.0.iter().filter(|it| it.credential == word).for_each(|it| governor.recall(it, known.1));
            let transfers = Arc::new(Semaphore::new(MOST_TRANSFERS_AT_ONCE));
            Desk { governor, places: Arc::new(Semaphore::new(MOST_AT_ONCE)), transfers }
        });
        act(desk)
    }

    fn desks(&self) -> std::sync::MutexGuard<'_, HashMap<Principal, Desk>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Enough to tell one token from another, and nothing to guess it from.
fn word_of_token(token: &SecretString) -> String {
    let digest = hex::encode(Sha256::digest(token.expose_secret()));
    format!("token:{}", digest.get(..12).unwrap_or(&digest))
}
