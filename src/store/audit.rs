//! Who did what, when, to what, with what outcome. Append only: triggers on both databases refuse
//! changes and deletions, ours too. [`chain`] makes it show when somebody gets round them.

pub mod chain;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::ids::CorrelationId;

use super::connection::Connection;
use super::error::StoreError;
use super::page::{Page, Window};
use super::prepared::Prepare as _;
use super::schema::audit;
use super::{clipped, jobs, time};

/// An entry to be written. Must hold no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// Who: `admin`, `github`, `cli`, the name of a key.
    pub actor: String,
    /// What, as `mirror.delete`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// `ok`, or a short word for why not.
    pub outcome: String,
    /// What else there is to know.
    pub detail: serde_json::Value,
    /// The work it belongs to.
    pub correlation: Option<CorrelationId>,
    /// The client's address.
    pub address: Option<String>,
}

impl NewEntry {
    /// An entry of something that was done, without more to know.
    pub fn of(actor: &str, action: &str, subject: &str) -> Self {
        Self {
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            outcome: "ok".to_owned(),
            detail: serde_json::Value::Object(serde_json::Map::new()),
            correlation: None,
            address: None,
        }
    }
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// What was written.
    pub entry: NewEntry,
    /// Its place in the chain and its hash; none in the first second.
    pub chained: Option<chain::End>,
}

/// Which entries a list shows; everything by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this actor.
    pub actor: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only to this.
    pub subject: Option<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = audit)]
struct EntryRow {
    id: i64,
    at: String,
    actor: String,
    action: String,
    subject: String,
    outcome: String,
    detail: String,
    correlation_id: Option<String>,
    address: Option<String>,
    seq: Option<i64>,
    hash: Option<String>,
}

impl TryFrom<EntryRow> for Entry {
    type Error = StoreError;

    fn try_from(row: EntryRow) -> Result<Self, StoreError> {
        let entry = NewEntry {
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            outcome: row.outcome,
            detail: serde_json::from_str(&row.detail).map_err(|e| StoreError::Corrupt(e.to_string()))?,
            correlation: row.correlation_id.as_deref().map(jobs::correlation).transpose()?,
            address: row.address,
        };
        let chained = row.seq.zip(row.hash).map(|(seq, hash)| chain::End { seq, hash });
        Ok(Self { id: row.id, at: time::read(&row.at)?, entry, chained })
    }
}

/// Writes an entry, in the transaction of what it tells of.
///
/// # Errors
/// Those of the database.
pub fn append(c: &mut Connection, it: &NewEntry, now: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::insert_into(audit::table)
        .values((
            audit::at.eq(time::text(now)),
            audit::actor.eq(clipped(&it.actor)),
            audit::action.eq(clipped(&it.action)),
            audit::subject.eq(clipped(&it.subject)),
            audit::outcome.eq(clipped(&it.outcome)),
            audit::detail.eq(it.detail.to_string()),
            audit::correlation_id.eq(it.correlation.map(|it| it.to_string())),
            audit::address.eq(it.address.as_deref().map(clipped)),
        ))
        .prepared()
        .execute(&mut c.db)?;
    Ok(())
}

/// Entries, the newest first.
///
/// # Errors
/// [`StoreError::Cursor`]; those of the database.
pub fn list(c: &mut Connection, filter: &Filter, window: &Window) -> Result<Page<Entry>, StoreError> {
    let mut query = audit::table.select(EntryRow::as_select()).into_boxed();
    if let Some(actor) = &filter.actor {
        query = query.filter(audit::actor.eq(actor.clone()));
    }
    if let Some(action) = &filter.action {
        query = query.filter(audit::action.eq(action.clone()));
    }
    if let Some(subject) = &filter.subject {
        query = query.filter(audit::subject.eq(subject.clone()));
    }
    if let Some(before) = window.after::<i64>()? {
        query = query.filter(audit::id.lt(before));
    }
    let rows: Vec<EntryRow> = query.order(audit::id.desc()).limit(window.fetch()).load(&mut c.db)?;
    window.page(rows, |it| it.id, Entry::try_from)
}

/// Entries of a time and later, the oldest first, at most 1,000; `after` is the id of the last one of the piece before.
///
/// # Errors
/// Those of the database.
pub fn export(c: &mut Connection, since: Option<DateTime<Utc>>, after: i64) -> Result<Vec<Entry>, StoreError> {
    let mut query = audit::table.select(EntryRow::as_select()).filter(audit::id.gt(after)).into_boxed();
    if let Some(since) = since {
        query = query.filter(audit::at.ge(time::text(since)));
    }
    let rows: Vec<EntryRow> = query.order(audit::id).limit(1_000).load(&mut c.db)?;
    rows.into_iter().map(Entry::try_from).collect()
}

/// Who did what, when, to what, with what outcome.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct EntryView {
    id: i64,
    at: DateTime<Utc>,
    actor: String,
    action: String,
    subject: String,
    /// `ok`, or the code of why not.
    outcome: String,
    detail: serde_json::Map<String, serde_json::Value>,
    correlation_id: Option<Uuid>,
    address: Option<String>,
    /// The place in the chain; none in the first second.
    seq: Option<i64>,
    hash: Option<String>,
}

impl Entry {
    /// As the API and the export show it.
    pub fn view(self) -> EntryView {
        let Self { id, at, entry, chained } = self;
        let NewEntry { actor, action, subject, outcome, detail, correlation, address } = entry;
        let detail = match detail {
            serde_json::Value::Object(it) => it,
            other => serde_json::Map::from_iter([("value".to_owned(), other)]),
        };
        let (seq, hash) = chained.map(|it| (it.seq, it.hash)).unzip();
        EntryView {
            id,
            at,
            actor,
            action,
            subject,
            outcome,
            detail,
            correlation_id: correlation.map(|it| it.0),
            address,
            seq,
            hash,
        }
    }
}
