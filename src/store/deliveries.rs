//! Received webhooks: recorded before they are answered, so that one delivered twice has one effect.
//!
//! Written by the stage that accepts; settled from [`jobs`] when what a delivery asked
//! for has ended.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::event::Event;
use crate::domain::ids::{AccountId, CorrelationId, GithubId, JobId};
use crate::domain::job::UnknownWord;

use super::connection::Connection;
use super::error::StoreError;
use super::page::{Page, Window};
use super::prepared::Prepare as _;
use super::schema::{deliveries, delivery_jobs};
use super::{jobs, time};

/// Whether a delivery asked for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeliveryOutcome)]
pub enum Outcome {
    /// It did.
    Accepted,
    /// starkeep does nothing about it.
    Ignored,
}

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeliveryState)]
pub enum State {
    /// Its jobs wait or run.
    Accepted,
    /// All of them have ended well.
    Processed,
    /// One of them is dead; the same delivery may come again.
    Failed,
    /// There was nothing to do.
    Ignored,
}

impl Outcome {
    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Ignored => "ignored",
        }
    }
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Processed, Self::Failed, Self::Ignored];

    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Processed => "processed",
            Self::Failed => "failed",
            Self::Ignored => "ignored",
        }
    }
}

impl FromStr for State {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let known = Self::ALL.into_iter().find(|it| it.as_str() == word);
        known.ok_or_else(|| UnknownWord { what: "delivery state", word: word.to_owned() })
    }
}

/// A delivery to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// GitHub's `X-GitHub-Delivery`.
    pub guid: String,
    /// What it means.
    pub event: Event,
    /// The payload's `action`.
    pub action: Option<String>,
    /// Who caused it: id and login.
    pub sender: Option<(AccountId, String)>,
    /// Whether it asks for something.
    pub outcome: Outcome,
    /// Follows the work through every log line.
    pub correlation: CorrelationId,
}

/// A recorded delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// GitHub's `X-GitHub-Delivery`.
    pub guid: String,
    /// GitHub's name of the event.
    pub name: String,
    /// The payload's `action`.
    pub action: Option<String>,
    /// Who caused it: id and login.
    pub sender: Option<(AccountId, String)>,
    /// The repository it is about: id, and name at the time.
    pub repository: Option<(GithubId, String)>,
    /// Whether it asked for something.
    pub outcome: Outcome,
    /// How far it has come.
    pub state: State,
    /// When it last arrived.
    pub received_at: DateTime<Utc>,
    /// What it means.
    pub event: Event,
    /// Follows the work through every log line.
    pub correlation: CorrelationId,
    /// The jobs that carry it out.
    pub jobs: Vec<JobId>,
}

/// What became of a delivery that was to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// It is the first of its GUID.
    New,
    /// It was recorded before and is done, or on its way, by these jobs: nothing changed.
    Duplicate(Vec<JobId>),
    /// It was recorded before, its processing failed, and it is on its way again.
    Again,
}

/// Records a delivery; queue its jobs in the same transaction. Two of one GUID at once: one is new.
///
/// # Errors
/// Those of the database.
pub fn record(c: &mut Connection, it: &NewDelivery, now: DateTime<Utc>) -> Result<Recorded, StoreError> {
    if insert(c, it, now)? {
        return Ok(Recorded::New);
    }
    let failed =
        deliveries::table.filter(deliveries::guid.eq(&it.guid)).filter(deliveries::state.eq(State::Failed.as_str()));
    let again = diesel::update(failed)
        .set((
            deliveries::state.eq(state_of(it.outcome).as_str()),
            deliveries::received_at.eq(time::text(now)),
            deliveries::correlation_id.eq(it.correlation.to_string()),
        ))
        .execute(&mut c.db)?;
    if again == 0 {
        return Ok(Recorded::Duplicate(jobs_of(c, &it.guid)?));
    }
    // The dead job stays, but this delivery does not hang on it any more.
    diesel::delete(delivery_jobs::table.filter(delivery_jobs::guid.eq(&it.guid))).execute(&mut c.db)?;
    Ok(Recorded::Again)
}

pub(super) fn state_of(outcome: Outcome) -> State {
    match outcome {
        Outcome::Accepted => State::Accepted,
        Outcome::Ignored => State::Ignored,
    }
}

fn insert(c: &mut Connection, it: &NewDelivery, now: DateTime<Utc>) -> Result<bool, StoreError> {
    // Nearly every delivery is new, so the insert comes first; a row of that GUID makes it a no-op.
    let sql = "INSERT INTO deliveries (guid, event, action, sender_id, sender_login, github_id, repository, outcome, \
               state, received_at, body, correlation_id) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (guid) DO NOTHING";
    let body = serde_json::to_string(&it.event).map_err(|e| StoreError::Refused(e.to_string()))?;
    let subject = it.event.subject();
    let made = diesel::sql_query(sql)
        .bind::<Text, _>(it.guid.clone())
        .bind::<Text, _>(super::clipped(it.event.name()))
        .bind::<Nullable<Text>, _>(it.action.as_deref().map(super::clipped))
        .bind::<Nullable<BigInt>, _>(it.sender.as_ref().map(|it| it.0.0))
        .bind::<Nullable<Text>, _>(it.sender.as_ref().map(|it| super::clipped(&it.1)))
        .bind::<Nullable<BigInt>, _>(subject.map(|it| it.id.0))
        .bind::<Nullable<Text>, _>(subject.map(|it| it.name.to_string()))
        .bind::<Text, _>(it.outcome.as_str().to_owned())
        .bind::<Text, _>(state_of(it.outcome).as_str().to_owned())
        .bind::<Text, _>(time::text(now))
        .bind::<Text, _>(body)
        .bind::<Text, _>(it.correlation.to_string())
        .prepared()
        .execute(&mut c.db)?;
    Ok(made == 1)
}

/// Says that a job carries out a delivery.
pub(super) fn link(c: &mut Connection, guid: &str, job: JobId) -> Result<(), StoreError> {
    diesel::sql_query("INSERT INTO delivery_jobs (guid, job_id) VALUES ($1, $2) ON CONFLICT (guid, job_id) DO NOTHING")
        .bind::<Text, _>(guid.to_owned())
        .bind::<BigInt, _>(job.0)
        .prepared()
        .execute(&mut c.db)?;
    Ok(())
}

/// What `from` carried out, `to` carries out now.
pub(super) fn hand_over(c: &mut Connection, from: JobId, to: JobId) -> Result<(), StoreError> {
    let sql = "INSERT INTO delivery_jobs (guid, job_id) SELECT guid, $1 FROM delivery_jobs WHERE job_id = $2 \
               ON CONFLICT (guid, job_id) DO NOTHING";
    diesel::sql_query(sql).bind::<BigInt, _>(to.0).bind::<BigInt, _>(from.0).execute(&mut c.db)?;
    diesel::delete(delivery_jobs::table.filter(delivery_jobs::job_id.eq(from.0))).execute(&mut c.db)?;
    Ok(())
}

/// A delivery is `failed` once one of its jobs is dead, else `processed` once all have ended.
const SETTLE: &str = "UPDATE deliveries SET state = CASE WHEN EXISTS ( \
         SELECT 1 FROM delivery_jobs AS l JOIN jobs AS j ON j.id = l.job_id \
         WHERE l.guid = deliveries.guid AND j.state = 'dead') THEN 'failed' ELSE 'processed' END \
     WHERE state = 'accepted' AND (EXISTS ( \
         SELECT 1 FROM delivery_jobs AS l JOIN jobs AS j ON j.id = l.job_id \
         WHERE l.guid = deliveries.guid AND j.state = 'dead') \
     OR NOT EXISTS ( \
         SELECT 1 FROM delivery_jobs AS l JOIN jobs AS j ON j.id = l.job_id \
         WHERE l.guid = deliveries.guid AND j.state IN ('queued', 'running')))";

/// Settles the deliveries that a job carried out, as far as they are decided.
pub(super) fn settle_of(c: &mut Connection, job: JobId) -> Result<(), StoreError> {
    // Most jobs are routine checks, which no delivery asked for.
    let its = delivery_jobs::table.filter(delivery_jobs::job_id.eq(job.0));
    if !diesel::select(diesel::dsl::exists(its)).get_result::<bool>(&mut c.db)? {
        return Ok(());
    }
    let sql = format!("{SETTLE} AND guid IN (SELECT guid FROM delivery_jobs WHERE job_id = $1)");
    diesel::sql_query(sql).bind::<BigInt, _>(job.0).prepared().execute(&mut c.db)?;
    Ok(())
}

/// Settles one delivery, as far as it is decided: one that queued nothing is `processed` by it.
///
/// # Errors
/// Those of the database.
pub fn settle(c: &mut Connection, guid: &str) -> Result<(), StoreError> {
    let sql = format!("{SETTLE} AND guid = $1");
    diesel::sql_query(sql).bind::<Text, _>(guid.to_owned()).prepared().execute(&mut c.db)?;
    Ok(())
}

/// Settles whatever is decided but was not settled: a delivery that joined a job at the very moment at
/// which it ended. For the housekeeping; says how many.
///
/// # Errors
/// Those of the database.
pub fn settle_open(c: &mut Connection) -> Result<usize, StoreError> {
    Ok(diesel::sql_query(SETTLE).execute(&mut c.db)?)
}

/// The failed deliveries of a job that was queued again are on their way again.
pub(super) fn reopen_of(c: &mut Connection, job: JobId) -> Result<(), StoreError> {
    let sql = "UPDATE deliveries SET state = 'accepted' WHERE state = 'failed' \
               AND guid IN (SELECT guid FROM delivery_jobs WHERE job_id = $1)";
    diesel::sql_query(sql).bind::<BigInt, _>(job.0).execute(&mut c.db)?;
    Ok(())
}

/// The jobs that carry out a delivery.
///
/// # Errors
/// Those of the database.
pub fn jobs_of(c: &mut Connection, guid: &str) -> Result<Vec<JobId>, StoreError> {
    let ids: Vec<i64> = delivery_jobs::table
        .filter(delivery_jobs::guid.eq(guid))
        .order(delivery_jobs::job_id)
        .select(delivery_jobs::job_id)
        .load(&mut c.db)?;
    Ok(ids.into_iter().map(JobId).collect())
}

/// Which deliveries a list shows; everything by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only in this state.
    pub state: Option<State>,
    /// Only of this event, in GitHub's word.
    pub event: Option<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = deliveries)]
struct DeliveryRow {
    id: i64,
    guid: String,
    event: String,
    action: Option<String>,
    sender_id: Option<i64>,
    sender_login: Option<String>,
    github_id: Option<i64>,
    repository: Option<String>,
    outcome: String,
    state: String,
    received_at: String,
    body: String,
    correlation_id: String,
}

impl DeliveryRow {
    fn read(self, jobs: Vec<JobId>) -> Result<Delivery, StoreError> {
        let outcome = if self.outcome == Outcome::Ignored.as_str() { Outcome::Ignored } else { Outcome::Accepted };
        Ok(Delivery {
            guid: self.guid,
            name: self.event,
            action: self.action,
            sender: self.sender_id.map(|id| (AccountId(id), self.sender_login.unwrap_or_default())),
            repository: self.github_id.map(|id| (GithubId(id), self.repository.unwrap_or_default())),
            outcome,
            state: self.state.parse()?,
            received_at: time::read(&self.received_at)?,
            event: serde_json::from_str(&self.body).map_err(|e| StoreError::Corrupt(e.to_string()))?,
            correlation: jobs::correlation(&self.correlation_id)?,
            jobs,
        })
    }
}

/// One delivery.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, guid: &str) -> Result<Option<Delivery>, StoreError> {
    let row: Option<DeliveryRow> = deliveries::table
        .filter(deliveries::guid.eq(guid))
        .select(DeliveryRow::as_select())
        .first(&mut c.db)
        .optional()?;
    let Some(row) = row else { return Ok(None) };
    let jobs = jobs_of(c, guid)?;
    row.read(jobs).map(Some)
}

/// Deliveries, the first recorded last.
///
/// # Errors
/// [`StoreError::Cursor`]; those of the database.
pub fn list(c: &mut Connection, filter: &Filter, window: &Window) -> Result<Page<Delivery>, StoreError> {
    let mut query = deliveries::table.select(DeliveryRow::as_select()).into_boxed();
    if let Some(state) = filter.state {
        query = query.filter(deliveries::state.eq(state.as_str()));
    }
    if let Some(event) = &filter.event {
        query = query.filter(deliveries::event.eq(event.clone()));
    }
    if let Some(before) = window.after::<i64>()? {
        query = query.filter(deliveries::id.lt(before));
    }
    let rows: Vec<DeliveryRow> = query.order(deliveries::id.desc()).limit(window.fetch()).load(&mut c.db)?;
    let guids: Vec<&str> = rows.iter().map(|it| it.guid.as_str()).collect();
    let links: Vec<(String, i64)> = delivery_jobs::table
        .filter(delivery_jobs::guid.eq_any(guids))
        .order(delivery_jobs::job_id)
        .select((delivery_jobs::guid, delivery_jobs::job_id))
        .load(&mut c.db)?;
    let mut jobs: BTreeMap<String, Vec<JobId>> = BTreeMap::new();
    for (guid, job) in links {
        jobs.entry(guid).or_default().push(JobId(job));
    }
    window.page(
        rows,
        |it| it.id,
        |row| {
            let its = jobs.remove(&row.guid).unwrap_or_default();
            row.read(its)
        },
    )
}

/// Deletes deliveries that are not on their way and arrived before a time, at most 1,000 at once; says
/// how many. A delivery that GitHub repeats later than that is taken for a new one.
///
/// # Errors
/// Those of the database.
pub fn prune(c: &mut Connection, before: DateTime<Utc>) -> Result<usize, StoreError> {
    let sql = "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE received_at < $1 \
               AND state <> 'accepted' ORDER BY received_at LIMIT 1000)";
    Ok(diesel::sql_query(sql).bind::<Text, _>(time::text(before)).execute(&mut c.db)?)
}

/// The same of the oldest beyond a number of deliveries, at most 1,000 at once.
///
/// # Errors
/// Those of the database.
pub fn prune_beyond(c: &mut Connection, most: u64) -> Result<usize, StoreError> {
    // Ids are given in order, and hardly any is left out.
    let newest: Option<i64> = deliveries::table.select(diesel::dsl::max(deliveries::id)).first(&mut c.db)?;
    let before = newest.unwrap_or(0).saturating_sub(i64::try_from(most).unwrap_or(i64::MAX));
    let sql = "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE id <= $1 \
               AND state <> 'accepted' ORDER BY id LIMIT 1000)";
    Ok(diesel::sql_query(sql).bind::<BigInt, _>(before).execute(&mut c.db)?)
}
