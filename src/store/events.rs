//! Steps of syncs, told across processes: written by whoever works, while somebody follows, and read by whoever serves.
//!
//! Ids rise in the order of the commits, so who has read up to one has missed none before it.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::ids::MirrorId;

use super::connection::Connection;
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::schema::events;
use super::{mirrors, settings, time, turns};

/// How long an event is held.
pub const HELD: TimeDelta = TimeDelta::minutes(10);
/// Events held at most; the first go first.
pub const MOST: i64 = 10_000;
/// Until when somebody follows, in the settings.
const FOLLOWED: &str = "events.followed_until";
/// One writer at a time, or ids would rise in another order than the commits.
const TURN: &str = "events";

/// A step that one mirror's work took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// Whose.
    pub mirror: MirrorId,
    /// The stage that began, or goes on.
    pub stage: String,
    /// How far it is.
    pub bytes: u64,
}

/// An event, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Event {
    /// Its place among all of them.
    #[serde(skip)]
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// The mirror's id.
    pub mirror: Uuid,
    /// Its name; null if it was forgotten meanwhile.
    pub repository: Option<String>,
    /// The stage that began or goes on; `done` and `failed` are the last of a job.
    pub stage: String,
    /// Bytes of packs moved so far; of the stage `catalog` the pages that were read.
    pub bytes: u64,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    at: String,
    #[diesel(sql_type = Text)]
    mirror_id: String,
    #[diesel(sql_type = Text)]
    stage: String,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
    #[diesel(sql_type = Nullable<Text>)]
    owner: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    name: Option<String>,
}

impl TryFrom<Row> for Event {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            at: time::read(&row.at)?,
            mirror: mirrors::mirror_id(&row.mirror_id)?.0,
            repository: row.owner.zip(row.name).map(|(owner, name)| format!("{owner}/{name}")),
            stage: row.stage,
            bytes: u64::try_from(row.bytes).unwrap_or_default(),
        })
    }
}

/// Somebody follows for so long from now on. After a time in which nobody did, what is held has a hole behind it, and
/// goes; says whether that was so.
///
/// # Errors
/// Those of the database.
pub fn follow(c: &mut Connection, lasting: TimeDelta, now: DateTime<Utc>) -> Result<bool, StoreError> {
    turns::wait(c, TURN)?;
    let until = followed_until(c)?;
    let lapsed = until.is_none_or(|it| it <= now);
    if lapsed {
        diesel::delete(events::table).execute(&mut c.db)?;
    }
    if until.is_none_or(|it| it < now + lasting) {
        settings::set(c, FOLLOWED, &time::text(now + lasting))?;
    }
    Ok(lapsed)
}

/// Until when somebody follows, if anybody ever did.
///
/// # Errors
/// Those of the database.
pub fn followed_until(c: &mut Connection) -> Result<Option<DateTime<Utc>>, StoreError> {
    time::some(settings::get(c, FOLLOWED)?.as_deref())
}

/// Writes events down, in their order, and gives up what is beyond the bounds. Writes nothing when nobody follows; gives
/// until when somebody does.
///
/// # Errors
/// Those of the database.
pub fn append(c: &mut Connection, new: &[NewEvent], now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
    turns::wait(c, TURN)?;
    let until = followed_until(c)?.filter(|it| *it > now);
    if until.is_none() {
        return Ok(None);
    }
    for it in new {
        diesel::insert_into(events::table)
            .values((
                events::at.eq(time::text(it.at)),
                events::mirror_id.eq(it.mirror.to_string()),
                events::stage.eq(&it.stage),
                events::bytes.eq(i64::try_from(it.bytes).unwrap_or(i64::MAX)),
            ))
            .prepared()
            .execute(&mut c.db)?;
    }
    let beyond: Option<i64> =
        events::table.order(events::id.desc()).offset(MOST).select(events::id).first(&mut c.db).optional()?;
    if let Some(beyond) = beyond {
        diesel::delete(events::table.filter(events::id.le(beyond))).execute(&mut c.db)?;
    }
    // The first rows are the oldest, so this ends at the first that is young enough.
    let old: Vec<i64> = events::table
        .order(events::id)
        .limit(1_000)
        .select((events::id, events::at))
        .load::<(i64, String)>(&mut c.db)?
        .into_iter()
        .take_while(|(_, at)| *at < time::text(now - HELD))
        .map(|it| it.0)
        .collect();
    if let Some(last) = old.last() {
        diesel::delete(events::table.filter(events::id.le(last))).execute(&mut c.db)?;
    }
    Ok(until)
}

/// Whether this event is still held, and so all after it are.
///
/// # Errors
/// Those of the database.
pub fn is_held(c: &mut Connection, id: i64) -> Result<bool, StoreError> {
    Ok(diesel::select(diesel::dsl::exists(events::table.find(id))).get_result(&mut c.db)?)
}

/// The id of the last event; 0 if there is none.
///
/// # Errors
/// Those of the database.
pub fn last(c: &mut Connection) -> Result<i64, StoreError> {
    let last: Option<i64> = events::table.select(diesel::dsl::max(events::id)).first(&mut c.db)?;
    Ok(last.unwrap_or_default())
}

/// Events after one, at most so many.
///
/// # Errors
/// Those of the database.
pub fn after(c: &mut Connection, id: i64, most: i64) -> Result<Vec<Event>, StoreError> {
    let sql = "SELECT events.id, events.at, events.mirror_id, events.stage, events.bytes, mirrors.owner, mirrors.name \
               FROM events LEFT JOIN mirrors ON mirrors.id = events.mirror_id \
               WHERE events.id > $1 ORDER BY events.id LIMIT $2";
    let rows: Vec<Row> = diesel::sql_query(sql).bind::<BigInt, _>(id).bind::<BigInt, _>(most).load(&mut c.db)?;
    rows.into_iter().map(Event::try_from).collect()
}
