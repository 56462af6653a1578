//! `/metrics`: what was counted, and what the database says about mirrors and jobs right now.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use prometheus::{Encoder as _, TextEncoder};
use tokio::sync::Mutex;

use super::problem::Problem;
use super::shared::Shared;
use crate::domain::job::{JobKind, JobState};
use crate::domain::mirror::Status;
use crate::store::listings::{self, Listing};
use crate::store::polls::Poll;
use crate::store::{Store, StoreError, jobs, mirrors, polls};
use crate::telemetry::metrics::Metrics;

/// The database is asked at most so often, whoever scrapes.
const LIFE: Duration = Duration::from_secs(1);
/// A scrape waits no longer for it; the numbers of the last time stand then.
const PATIENCE: Duration = Duration::from_secs(3);

/// When the database was last asked.
#[derive(Default)]
pub(super) struct Gauges(Mutex<Option<Instant>>);

impl Gauges {
    async fn refresh(&self, store: &Store, metrics: &Metrics, users: &[String]) {
        let mut last = self.0.lock().await;
        if last.is_some_and(|it| it.elapsed() < LIFE) {
            return;
        }
        match tokio::time::timeout(PATIENCE, store.read(State::read)).await {
            Ok(Ok(state)) => state.show(metrics, users, Utc::now()),
            Ok(Err(error)) => tracing::warn!(code = error.code(), "the gauges are not refreshed: {error}"),
            Err(_) => tracing::warn!("the gauges are not refreshed: the database did not answer in time"),
        }
        *last = Some(Instant::now());
    }
}

/// `GET /metrics`: Prometheus text.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "health",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn metrics(shared: web::Data<Shared>) -> Result<HttpResponse, Problem> {
    shared.gauges.refresh(&shared.store, &shared.metrics, &shared.watched).await;
    let mut text = Vec::new();
    let encoder = TextEncoder::new();
    encoder.encode(&shared.metrics.registry.gather(), &mut text).map_err(|e| Problem::internal(e.to_string()))?;
    Ok(HttpResponse::Ok().content_type(encoder.format_type()).body(text))
}

/// What the database says.
struct State {
    jobs: BTreeMap<(JobKind, JobState), u64>,
    oldest: BTreeMap<JobKind, DateTime<Utc>>,
    mirrors: BTreeMap<Status, u64>,
    verified: Option<DateTime<Utc>>,
    polls: Vec<Poll>,
    sources: Vec<Listing>,
}

impl State {
    fn read(c: &mut crate::store::Connection) -> Result<Self, StoreError> {
        Ok(Self {
            jobs: jobs::counts(c)?,
            oldest: jobs::oldest_due(c, Utc::now())?,
            mirrors: mirrors::counts_by_status(c)?,
            verified: mirrors::oldest_verification(c)?,
            polls: polls::list(c)?,
            sources: listings::declared(c)?,
        })
    }

    /// Every label, so that what is gone is 0 and not what it was.
    fn show(&self, metrics: &Metrics, users: &[String], now: DateTime<Utc>) {
        for kind in JobKind::ALL {
            for state in JobState::ALL {
                let count = self.jobs.get(&(kind, state)).copied().unwrap_or_default();
                metrics.jobs.with_label_values(&[kind.as_str(), state.as_str()]).set(number(count));
            }
            let age = self.oldest.get(&kind).map_or(0.0, |since| age(*since, now));
            metrics.job_oldest.with_label_values(&[kind.as_str()]).set(age);
        }
        for status in Status::ALL {
            let count = self.mirrors.get(&status).copied().unwrap_or_default();
            metrics.mirrors.with_label_values(&[status.as_str()]).set(number(count));
        }
        let state = |it: &Listing| match (&it.error, it.whole_at) {
            (Some(_), _) => "failing",
            (None, Some(_)) => "read",
            (None, None) => "new",
        };
        for known in ["new", "read", "failing"] {
            let count = self.sources.iter().filter(|it| state(it) == known).count();
            metrics.sources.with_label_values(&[known]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        metrics.oldest_verification.set(self.verified.map_or(0.0, |since| age(since, now)));
        let watched = self.polls.iter().filter(|it| users.iter().any(|user| user.eq_ignore_ascii_case(&it.login)));
        // Who was never looked at well has failed since his first look.
        let looked = watched.filter_map(|it| it.polled_at.or(it.error.as_ref().map(|it| it.2))).min();
        metrics.star_poll_age.set(looked.map_or(0.0, |since| age(since, now)));
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Seconds.
fn age(since: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    (now - since).to_std().unwrap_or_default().as_secs_f64()
}
