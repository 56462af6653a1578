//! What people are told of mirrors: compared with what they were told last, and kept until it is sent.
//!
//! A change is the difference between how a mirror stands and what was last told of it, so one that came and
//! went in between is none, and nothing is told twice. The first difference opens a window; when it closes, all
//! that differs goes into the outbox as one message, in the transaction that remembers it as told.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use uuid::Uuid;

use crate::domain::notice::{Change, Digest, Kind};

use super::connection::Connection;
use super::error::StoreError;
use super::mirrors::mirror_id;
use super::schema::{notices, notified, star_polls};
use super::{settings, time};

/// Changes of one message; the rest is told by the next.
const AT_ONCE: i64 = 10_000;
/// Messages of one round.
const ROUND: i64 = 30;
/// The setting that says since when a window is open; empty while none is.
const WINDOW: &str = "notices.window";
/// The setting that says which drill was the last that was told.
const DRILLS: &str = "notices.drills";
/// How a mirror stands, as far as people are told; nothing while that is open. Upstreams that are gone for another
/// reason than before are news; whether their owner is gone too is none.
const CONDITION: &str = "CASE WHEN m.status = 'gone' AND m.error_code IN ('upstream_not_found', 'upstream_owner_gone') \
     THEN 'gone' WHEN m.status = 'gone' THEN 'gone/' || COALESCE(m.error_code, '') \
     WHEN m.status = 'error' AND m.error_code IN ('mass_delete', 'mass_gone') THEN 'held' \
     WHEN m.status = 'error' THEN 'failed' \
     WHEN m.status IN ('healthy', 'partial') THEN 'well' END";

/// A message that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its id, the same at each try.
    pub id: String,
    /// Which way.
    pub channel: String,
    /// JSON: the digest.
    pub body: String,
    /// Tries that were begun.
    pub attempts: u32,
}

/// What is not told yet.
#[derive(Default)]
struct News {
    changes: Vec<Change>,
    /// What is to be remembered: of whom, and how it stands.
    told: Vec<(String, String)>,
    /// The last drill among them.
    drill: Option<i64>,
}

#[derive(QueryableByName)]
struct Changed {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    error_code: Option<String>,
    #[diesel(sql_type = Text)]
    condition: String,
}

#[derive(QueryableByName)]
struct FailedDrill {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    mirror_id: String,
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    problem: Option<String>,
}

/// Whether [`gather`] or [`due`] would find something to do.
///
/// # Errors
/// Those of the database.
pub fn is_needed(c: &mut Connection, now: DateTime<Utc>) -> Result<bool, StoreError> {
    Ok(opened(c)?.is_some() || !due(c, now)?.is_empty() || !news(c, now)?.changes.is_empty())
}

/// Opens a window of `digest` where something changed. When one is over, puts what changed into the outbox,
/// once for each of `channels`.
///
/// # Errors
/// Those of the database.
pub fn gather(
    c: &mut Connection,
    channels: &[&str],
    names: usize,
    digest: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    alone(c)?;
    match opened(c)? {
        Some(since) if now < since + digest => Ok(()),
        Some(_) => {
            let news = news(c, now)?;
            tell(c, channels, names, news, now)?;
            settings::set(c, WINDOW, "")
        }
        None if news(c, now)?.changes.is_empty() => Ok(()),
        None => settings::set(c, WINDOW, &time::text(now)),
    }
}

/// Waits until no other process gathers, and keeps the others waiting until this transaction ends.
fn alone(c: &mut Connection) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO settings (name, value) VALUES ($1, '') ON CONFLICT (name) DO UPDATE SET value = settings.value";
    diesel::sql_query(sql).bind::<Text, _>(WINDOW.to_owned()).execute(&mut c.db)?;
    Ok(())
}

fn opened(c: &mut Connection) -> Result<Option<DateTime<Utc>>, StoreError> {
    let since = settings::get(c, WINDOW)?.filter(|it| !it.is_empty());
    since.map(|it| time::read(&it)).transpose()
}

fn tell(c: &mut Connection, channels: &[&str], names: usize, news: News, now: DateTime<Utc>) -> Result<(), StoreError> {
    for (subject, condition) in &news.told {
        remember(c, subject, condition)?;
    }
    if let Some(last) = news.drill {
        settings::set(c, DRILLS, &last.to_string())?;
    }
    // Of a mirror that was forgotten nobody is told any more.
    let forgotten = "DELETE FROM notified WHERE subject NOT LIKE 'stars/%' \
                     AND NOT EXISTS (SELECT 1 FROM mirrors AS m WHERE m.id = notified.subject)";
    diesel::sql_query(forgotten).execute(&mut c.db)?;
    let Some(digest) = Digest::of(news.changes, names, now) else { return Ok(()) };
    let body = serde_json::to_string(&digest).map_err(|error| StoreError::Refused(error.to_string()))?;
    for channel in channels {
        let row = (
            notices::id.eq(Uuid::now_v7().to_string()),
            notices::channel.eq(*channel),
            notices::body.eq(&body),
            notices::created_at.eq(time::text(now)),
            notices::next_at.eq(time::text(now)),
        );
        diesel::insert_into(notices::table).values(row).execute(&mut c.db)?;
    }
    Ok(())
}

/// How everything stands against what was last told of it.
fn news(c: &mut Connection, now: DateTime<Utc>) -> Result<News, StoreError> {
    let mut news = News::default();
    of_mirrors(c, &mut news)?;
    of_stars(c, &mut news)?;
    of_drills(c, &mut news, now)?;
    Ok(news)
}

/// Nearly all mirrors are well, and nothing was told of them. So those that are not well are looked at, and those of
/// whom something was told. SQLite keeps to the order of a `CROSS JOIN`, and would else begin with all that are well.
fn of_mirrors(c: &mut Connection, news: &mut News) -> Result<(), StoreError> {
    let shown = format!("m.id, m.owner, m.name, m.error_code, {CONDITION} AS condition");
    let sql = format!(
        "SELECT * FROM ( \
           SELECT {shown} FROM mirrors AS m LEFT JOIN notified AS n ON n.subject = m.id \
           WHERE m.status IN ('gone', 'error') AND {CONDITION} <> COALESCE(n.condition, 'well') \
           UNION ALL \
           SELECT {shown} FROM notified AS n CROSS JOIN mirrors AS m \
           WHERE m.id = n.subject AND m.status IN ('healthy', 'partial') AND {CONDITION} <> n.condition \
         ) AS changed ORDER BY id LIMIT {AT_ONCE}"
    );
    let rows: Vec<Changed> = diesel::sql_query(sql).load(&mut c.db)?;
    for it in rows {
        let kind = match it.condition.as_str() {
            "held" => Kind::MassBrake,
            "failed" => Kind::Failed,
            "well" => Kind::Recovered,
            _ => Kind::Gone,
        };
        let reason = it.error_code.filter(|_| kind != Kind::Recovered);
        let mirror = Some(mirror_id(&it.id)?);
        news.changes.push(Change { kind, name: format!("{}/{}", it.owner, it.name), mirror, reason });
        news.told.push((it.id, it.condition));
    }
    Ok(())
}

/// Lists of stars that lost so many at once that an admin must say so.
fn of_stars(c: &mut Connection, news: &mut News) -> Result<(), StoreError> {
    let rows: Vec<(String, Option<String>)> = star_polls::table
        .order(star_polls::login)
        .select((star_polls::login, star_polls::held_since))
        .load(&mut c.db)?;
    let told: Vec<String> =
        notified::table.filter(notified::subject.like("stars/%")).select(notified::subject).load(&mut c.db)?;
    for (login, held) in rows {
        let subject = format!("stars/{login}");
        let (kind, condition) = match (held.is_some(), told.contains(&subject)) {
            (true, false) => (Kind::MassBrake, "held"),
            (false, true) => (Kind::Recovered, "well"),
            _ => continue,
        };
        let reason = held.map(|_| "mass_gone".to_owned());
        news.changes.push(Change { kind, name: format!("the stars of {login}"), mirror: None, reason });
        news.told.push((subject, condition.to_owned()));
    }
    Ok(())
}

/// Drills that failed since the last one that was told; older ones are no news where nobody was told before.
fn of_drills(c: &mut Connection, news: &mut News, now: DateTime<Utc>) -> Result<(), StoreError> {
    let seen: i64 = settings::get(c, DRILLS)?.and_then(|it| it.parse().ok()).unwrap_or_default();
    let sql = format!(
        "SELECT d.id, d.mirror_id, m.owner, m.name, d.problem FROM drills AS d JOIN mirrors AS m ON m.id = d.mirror_id \
         WHERE d.id > $1 AND d.at > $2 AND d.outcome = 'failed' ORDER BY d.id LIMIT {AT_ONCE}"
    );
    let rows: Vec<FailedDrill> = diesel::sql_query(sql)
        .bind::<BigInt, _>(seen)
        .bind::<Text, _>(time::text(now - TimeDelta::days(2)))
        .load(&mut c.db)?;
    news.drill = rows.last().map(|it| it.id);
    for it in rows {
        let (name, mirror) = (format!("{}/{}", it.owner, it.name), Some(mirror_id(&it.mirror_id)?));
        news.changes.push(Change { kind: Kind::DrillFailed, name, mirror, reason: it.problem });
    }
    Ok(())
}

/// That all is well is remembered by no row.
fn remember(c: &mut Connection, subject: &str, condition: &str) -> Result<(), StoreError> {
    if condition == "well" {
        diesel::delete(notified::table.find(subject)).execute(&mut c.db)?;
        return Ok(());
    }
    let sql = "INSERT INTO notified (subject, condition) VALUES ($1, $2) \
               ON CONFLICT (subject) DO UPDATE SET condition = excluded.condition";
    diesel::sql_query(sql)
        .bind::<Text, _>(subject.to_owned())
        .bind::<Text, _>(condition.to_owned())
        .execute(&mut c.db)?;
    Ok(())
}

/// Messages whose time has come, the oldest first.
///
/// # Errors
/// Those of the database.
pub fn due(c: &mut Connection, now: DateTime<Utc>) -> Result<Vec<Notice>, StoreError> {
    let rows: Vec<(String, String, String, i32)> = notices::table
        .filter(notices::next_at.le(time::text(now)))
        .order(notices::id)
        .limit(ROUND)
        .select((notices::id, notices::channel, notices::body, notices::attempts))
        .load(&mut c.db)?;
    let read = |(id, channel, body, attempts): (_, _, _, i32)| Notice {
        id,
        channel,
        body,
        attempts: u32::try_from(attempts).unwrap_or_default(),
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Takes a message for one process, which begins to send it: nobody else does before `until`. Says whether it
/// was to be had.
///
/// # Errors
/// Those of the database.
pub fn take(c: &mut Connection, id: &str, until: DateTime<Utc>, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let row = notices::table.find(id).filter(notices::next_at.le(time::text(now)));
    let change = (notices::attempts.eq(notices::attempts + 1), notices::next_at.eq(time::text(until)));
    Ok(diesel::update(row).set(change).execute(&mut c.db)? == 1)
}

/// It was sent, or is given up.
///
/// # Errors
/// Those of the database.
pub fn done(c: &mut Connection, id: &str) -> Result<(), StoreError> {
    diesel::delete(notices::table.find(id)).execute(&mut c.db)?;
    Ok(())
}

/// It could not be sent, and is tried again at `next_at`.
///
/// # Errors
/// Those of the database.
pub fn postpone(c: &mut Connection, id: &str, next_at: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::update(notices::table.find(id)).set(notices::next_at.eq(time::text(next_at))).execute(&mut c.db)?;
    Ok(())
}
