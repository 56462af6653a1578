//! How a batch stands: what was found, what became of it, what it would come to.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use serde::Serialize;
use utoipa::ToSchema;

use super::Listing;
use crate::domain::bounds::Bounds;
use crate::domain::listing::{self, Finding, What};
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::mirrors::{TroubleView, sums};

/// What a batch found and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Progress {
    /// Repositories on the list so far.
    listed: u64,
    /// Without a mirror when they were met; those in conflict are counted apart.
    new: u64,
    /// With one.
    existing: u64,
    /// With one under a former name.
    renamed: u64,
    /// Something else stands where they would go.
    conflicts: u64,
    /// Without a mirror, and larger than one may be.
    too_large: u64,
    /// What is new and not too large, in bytes, as GitHub computes it.
    bytes: u64,
    /// Proven at least once.
    done: u64,
    /// Paused, gone, in error or forgotten, without a proof.
    failed: u64,
}

#[derive(QueryableByName)]
struct Group {
    #[diesel(sql_type = Text)]
    finding: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = BigInt)]
    is_large: i64,
    #[diesel(sql_type = BigInt)]
    repositories: i64,
    #[diesel(sql_type = BigInt)]
    kib: i64,
}

fn progress(c: &mut Connection, id: &str, bounds: Bounds) -> Result<Progress, StoreError> {
    let sql = "SELECT finding, state, is_large, COUNT(*) AS repositories, CAST(SUM(size_kib) AS BIGINT) AS kib FROM ( \
                   SELECT l.finding, l.size_kib, \
                       CAST(CASE WHEN l.size_kib > $1 THEN 1 ELSE 0 END AS BIGINT) AS is_large, \
                       CASE WHEN m.first_proof_at IS NOT NULL THEN 'done' \
                       WHEN m.id IS NULL OR m.status IN ('error', 'gone', 'paused', 'archived') THEN 'failed' \
                       ELSE 'queued' END AS state \
                   FROM listed AS l LEFT JOIN mirrors AS m ON m.github_id = l.github_id WHERE l.listing = $2 \
               ) AS all_of_it GROUP BY finding, state, is_large";
    let most = bounds.each.and_then(|it| i64::try_from(it / 1024).ok()).unwrap_or(i64::MAX);
    // SQLite numbers them as they come.
    let groups: Vec<Group> =
        diesel::sql_query(sql).bind::<BigInt, _>(most).bind::<Text, _>(id.to_owned()).load(&mut c.db)?;
    Ok(groups.iter().fold(Progress::default(), Progress::with))
}

impl Progress {
    fn with(mut self, group: &Group) -> Self {
        let count = amount(group.repositories);
        self.listed += count;
        match group.state.as_str() {
            "done" => self.done += count,
            "failed" => self.failed += count,
            _ => {}
        }
        let finding = Finding::ALL.into_iter().find(|known| known.as_str() == group.finding);
        match finding {
            Some(Finding::New) => self.new += count,
            Some(Finding::Conflict) => self.conflicts += count,
            Some(Finding::Renamed) => self.renamed += count,
            Some(Finding::Existing) | None => self.existing += count,
        }
        match finding {
            Some(Finding::New | Finding::Conflict) if group.is_large == 1 => self.too_large += count,
            Some(Finding::New | Finding::Conflict) => self.bytes += amount(group.kib).saturating_mul(1024),
            _ => {}
        }
        self
    }
}

#[derive(QueryableByName)]
struct Sum {
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

/// What is kept of everything that the batch did not bring, in bytes; as [`crate::store::mirrors::kept_in_all`].
fn kept_beside(c: &mut Connection, id: &str) -> Result<u64, StoreError> {
    let sql = sums(
        "m.intended_path IS NOT NULL AND NOT EXISTS ( \
           SELECT 1 FROM listed AS l WHERE l.listing = $1 AND l.github_id = m.github_id \
             AND l.finding IN ('new', 'conflict'))",
    );
    let Sum { bytes } = diesel::sql_query(sql).bind::<Text, _>(id.to_owned()).get_result(&mut c.db)?;
    Ok(amount(bytes))
}

/// How far a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// The list is being read.
    Reading,
    /// The list could not be read.
    Failed,
    /// It was a dry run.
    Planned,
    /// Some mirrors are not proven yet.
    Queued,
    /// Nothing is left to do.
    Done,
}

/// A batch as the API and the command line show it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Batch)]
pub struct BatchView {
    id: String,
    state: BatchState,
    starred_by: Option<String>,
    repositories: Option<Vec<String>>,
    dry_run: bool,
    /// Repositories on the list, as far as it is known.
    total: u64,
    /// Those that were read so far.
    listed: u64,
    queued: u64,
    done: u64,
    failed: u64,
    /// Names that GitHub does not know.
    missing: Vec<String>,
    /// Entries of the list that could not be understood.
    not_understood: u64,
    plan: Plan,
    error: Option<TroubleView>,
    created_at: DateTime<Utc>,
}

/// What a batch would come to, as far as its list was read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchPlan)]
struct Plan {
    new: u64,
    existing: u64,
    renamed: u64,
    conflicts: u64,
    too_large: u64,
    bytes: u64,
    /// More than `policy.max_total_bytes` allows; null without such a bound.
    bytes_beyond: Option<u64>,
    api_calls: u64,
    /// How long GitHub's limits make it last at least.
    seconds: Option<u64>,
}

/// How a batch stands.
///
/// # Errors
/// Those of the database.
pub fn view(c: &mut Connection, it: &Listing, bounds: Bounds) -> Result<BatchView, StoreError> {
    let counts = progress(c, &it.id, bounds)?;
    let missing = u64::try_from(it.walk.missing.len()).unwrap_or(u64::MAX);
    let open = counts.listed - counts.done - counts.failed;
    let state = match (it.next_at, it.whole_at) {
        (Some(_), _) => BatchState::Reading,
        (None, None) => BatchState::Failed,
        (None, Some(_)) if it.dry_run => BatchState::Planned,
        (None, Some(_)) if open > 0 => BatchState::Queued,
        (None, Some(_)) => BatchState::Done,
    };
    let total = if it.whole_at.is_some() { counts.listed + missing } else { it.walk.total.unwrap_or_default() };
    let (starred_by, repositories) = match &it.wanted {
        What::Stars { user } => (Some(user.clone()), None),
        What::Names { names } => (None, Some(names.iter().map(ToString::to_string).collect())),
        What::Declared { .. } => (None, None),
    };
    let real = |count: u64| if it.dry_run { 0 } else { count };
    Ok(BatchView {
        id: it.id.clone(),
        state,
        starred_by,
        repositories,
        dry_run: it.dry_run,
        total,
        listed: counts.listed,
        queued: real(open),
        done: real(counts.done),
        failed: real(counts.failed + missing),
        missing: it.walk.missing.clone(),
        not_understood: it.walk.odd,
        plan: plan(c, it, &counts, bounds)?,
        error: it.error.clone().map(TroubleView::from),
        created_at: it.created_at,
    })
}

fn plan(c: &mut Connection, it: &Listing, counts: &Progress, bounds: Bounds) -> Result<Plan, StoreError> {
    let (api_calls, seconds) = listing::cost(it.walk.pages, counts.new + counts.conflicts, it.walk.allowance);
    let bytes_beyond = match bounds.total {
        Some(most) => Some(kept_beside(c, &it.id)?.saturating_add(counts.bytes).saturating_sub(most)),
        None => None,
    };
    Ok(Plan {
        new: counts.new,
        existing: counts.existing + counts.renamed,
        renamed: counts.renamed,
        conflicts: counts.conflicts,
        too_large: counts.too_large,
        bytes: counts.bytes,
        bytes_beyond,
        api_calls,
        seconds,
    })
}

fn amount(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}
