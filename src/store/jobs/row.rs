//! What a row of `jobs` means.

use chrono::{DateTime, Utc};
use diesel::{Queryable, QueryableByName, Selectable};
use uuid::Uuid;

use crate::domain::ids::{CorrelationId, JobId, MirrorId};
use crate::domain::job::{JobKind, JobState, Priority};
use crate::store::error::StoreError;
use crate::store::mirrors;
use crate::store::schema::jobs;
use crate::store::time;

/// A unit of work as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its row.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// To which mirror.
    pub mirror: Option<MirrorId>,
    /// Where it stands.
    pub state: JobState,
    /// How urgent it is.
    pub priority: Priority,
    /// Counted attempts that failed.
    pub attempts: u32,
    /// Leases that were lost with their process.
    pub crashes: u32,
    /// Not before this.
    pub run_after: DateTime<Utc>,
    /// Until when it is somebody's.
    pub lease_until: Option<DateTime<Utc>>,
    /// Whose.
    pub leased_by: Option<String>,
    /// What the kind needs to know beyond the mirror.
    pub payload: serde_json::Value,
    /// Follows the work through every log line.
    pub correlation: CorrelationId,
    /// The delivery that first asked for it.
    pub delivery: Option<String>,
    /// Code and text of the last failure.
    pub error: Option<(String, String)>,
    /// When it was first queued.
    pub created_at: DateTime<Utc>,
    /// When its row last changed.
    pub updated_at: DateTime<Utc>,
    /// When it ended: `done`, `dead` or `cancelled`.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Job {
    /// Whether an admin lets it delete and overwrite as much as upstream says.
    pub fn allows_mass_delete(&self) -> bool {
        self.payload.get(ALLOW_MASS_DELETE).and_then(serde_json::Value::as_bool) == Some(true)
    }
}

/// The word in the payload of a sync, and in the call that asks for it.
pub(super) const ALLOW_MASS_DELETE: &str = "allow_mass_delete";

/// Adds what `more` says to what a job needs to know; says whether that was news.
pub(super) fn merge(payload: &mut serde_json::Value, more: &serde_json::Value) -> bool {
    let (Some(known), Some(more)) = (payload.as_object_mut(), more.as_object()) else { return false };
    let mut news = false;
    for (key, value) in more {
        news |= known.insert(key.clone(), value.clone()).as_ref() != Some(value);
    }
    news
}

#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = jobs)]
pub(super) struct JobRow {
    pub(super) id: i64,
    kind: String,
    mirror_id: Option<String>,
    state: String,
    priority: i16,
    attempts: i32,
    crashes: i32,
    run_after: String,
    lease_until: Option<String>,
    leased_by: Option<String>,
    payload: String,
    correlation_id: String,
    delivery_guid: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    created_at: String,
    updated_at: String,
    finished_at: Option<String>,
}

/// A row of which only the id was asked for.
#[derive(QueryableByName)]
#[diesel(table_name = jobs)]
pub(super) struct IdRow {
    pub(super) id: i64,
}

impl TryFrom<JobRow> for Job {
    type Error = StoreError;

    fn try_from(row: JobRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: JobId(row.id),
            kind: row.kind.parse()?,
            mirror: row.mirror_id.map(|it| mirrors::mirror_id(&it)).transpose()?,
            state: row.state.parse()?,
            priority: Priority(row.priority),
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
            crashes: u32::try_from(row.crashes).unwrap_or_default(),
            run_after: time::read(&row.run_after)?,
            lease_until: time::some(row.lease_until.as_deref())?,
            leased_by: row.leased_by,
            payload: serde_json::from_str(&row.payload).map_err(|e| StoreError::Corrupt(e.to_string()))?,
            correlation: correlation(&row.correlation_id)?,
            delivery: row.delivery_guid,
            error: row.error_code.map(|code| (code, row.error_message.unwrap_or_default())),
            created_at: time::read(&row.created_at)?,
            updated_at: time::read(&row.updated_at)?,
            finished_at: time::some(row.finished_at.as_deref())?,
        })
    }
}

/// A stored correlation id.
pub(in crate::store) fn correlation(text: &str) -> Result<CorrelationId, StoreError> {
    Uuid::parse_str(text).map(CorrelationId).map_err(|e| StoreError::Corrupt(e.to_string()))
}

/// A count as the database holds it.
pub(super) fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
