//! Who did what, when, to what, with what outcome. Append only: triggers on both databases refuse
//! changes and deletions, ours too.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

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
        Ok(Self { id: row.id, at: time::read(&row.at)?, entry })
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
