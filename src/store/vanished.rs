//! Mirrors whose upstream vanished, and the brake on many of them at once.
//!
//! A row is made when an upstream is first found gone, and goes when it is back. Its state is committed before
//! anything is told of it, so that a look that was cut off decides the same again.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::domain::ids::{AccountId, MirrorId};
use crate::domain::mirror::Status;
use crate::domain::stars;

use super::connection::Connection;
use super::error::StoreError;
use super::schema::{stars as star_rows, vanished};
use super::{mirrors, time, watched};

const SETTLED: &str = "settled";
const HELD: &str = "held";
const CONFIRMED: &str = "confirmed";
/// What vanished within this time is counted together.
const TOGETHER: TimeDelta = TimeDelta::days(1);
/// Owners and users that are listed at most.
const MOST_LISTED: i64 = 200;

/// Whether it is believed that an upstream has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It is.
    Settled,
    /// So many vanished that an admin must say so first.
    Held {
        /// Of whose mirrors: an owner, or a user whose stars are looked at.
        whose: String,
        /// It waited before: this is no news.
        told: bool,
    },
}

/// Mirrors that wait for an admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Whose they are.
    pub whose: String,
    /// How many.
    pub mirrors: u64,
    /// Since when the first of them is missed.
    pub since: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    whole: i64,
    #[diesel(sql_type = BigInt)]
    gone: i64,
}

/// Decides about a mirror whose upstream was not found. What was decided before stands until upstream is
/// back; what was never proven has nothing to lose and is believed. `share` in percent, `None` never holds.
///
/// # Errors
/// Those of the database.
pub fn judge(c: &mut Connection, id: MirrorId, share: Option<u8>, now: DateTime<Utc>) -> Result<Judgement, StoreError> {
    let Some(mirror) = mirrors::find(c, id)? else { return Ok(Judgement::Settled) };
    if share.is_none() || mirror.first_proof_at.is_none() || mirror.status == Status::Gone {
        return Ok(Judgement::Settled);
    }
    let row = vanished::table.find(id.to_string());
    let known: Option<(String, Option<String>)> =
        row.clone().select((vanished::state, vanished::whose)).first(&mut c.db).optional()?;
    match known {
        Some((state, whose)) if state == HELD => {
            return Ok(Judgement::Held { whose: whose.unwrap_or_default(), told: true });
        }
        Some(_) => return Ok(Judgement::Settled),
        None => {}
    }
    let at = time::text(now);
    diesel::insert_into(vanished::table)
        .values((vanished::mirror_id.eq(id.to_string()), vanished::at.eq(at), vanished::state.eq(SETTLED)))
        .execute(&mut c.db)?;
    let Some(whose) = too_many(c, id, mirror.name.owner(), share, now)? else { return Ok(Judgement::Settled) };
    diesel::update(row).set((vanished::state.eq(HELD), vanished::whose.eq(Some(whose.as_str())))).execute(&mut c.db)?;
    Ok(Judgement::Held { whose, told: false })
}

/// Of whose mirrors too many vanished: the owner's, or those of one of the users who star it.
fn too_many(
    c: &mut Connection,
    id: MirrorId,
    owner: &str,
    share: Option<u8>,
    now: DateTime<Utc>,
) -> Result<Option<String>, StoreError> {
    let owner = owner.to_ascii_lowercase();
    let counted = count(c, "lower(m.owner) = $2", &owner, now)?;
    if stars::is_mass(number(counted.gone), number(counted.whole), share) {
        return Ok(Some(owner));
    }
    let fans = star_rows::table.filter(star_rows::mirror_id.eq(id.to_string()));
    let fans: Vec<i64> = fans.select(star_rows::account_id).load(&mut c.db)?;
    for fan in fans {
        // Of the same type in either case, so that one statement does for both.
        let its = "m.id IN (SELECT mirror_id FROM stars WHERE CAST(account_id AS TEXT) = $2)";
        let counted = count(c, its, &fan.to_string(), now)?;
        if stars::is_mass(number(counted.gone), number(counted.whole), share) {
            return Ok(Some(watched::login_of(c, AccountId(fan))?.unwrap_or_else(|| fan.to_string())));
        }
    }
    Ok(None)
}

/// How many mirrors there are or were a day ago, and how many of them vanished since or are held.
fn count(c: &mut Connection, which: &str, whose: &str, now: DateTime<Utc>) -> Result<Counted, StoreError> {
    // SQLite numbers what is bound by its first place in the text: the time comes first.
    let sql = format!(
        "SELECT COUNT(*) AS whole, COUNT(v.mirror_id) AS gone FROM mirrors AS m LEFT JOIN vanished AS v \
         ON v.mirror_id = m.id AND (v.state = '{HELD}' OR (v.state = '{SETTLED}' AND v.at > $1)) \
         WHERE {which} AND m.first_proof_at IS NOT NULL AND m.status <> 'archived' \
         AND (m.status <> 'gone' OR v.mirror_id IS NOT NULL)"
    );
    let since = time::text(now - TOGETHER);
    Ok(diesel::sql_query(sql).bind::<Text, _>(since).bind::<Text, _>(whose.to_owned()).get_result(&mut c.db)?)
}

fn number(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

/// Upstream is back.
///
/// # Errors
/// Those of the database.
pub fn forget(c: &mut Connection, id: MirrorId) -> Result<(), StoreError> {
    diesel::delete(vanished::table.find(id.to_string())).execute(&mut c.db)?;
    Ok(())
}

/// What waits for an admin, by whose it is; at most 200 of them.
///
/// # Errors
/// Those of the database.
pub fn waiting(c: &mut Connection) -> Result<Vec<Waiting>, StoreError> {
    let rows: Vec<(Option<String>, i64, Option<String>)> = vanished::table
        .filter(vanished::state.eq(HELD))
        .group_by(vanished::whose)
        .select((vanished::whose, diesel::dsl::count_star(), diesel::dsl::min(vanished::at)))
        .order(vanished::whose)
        .limit(MOST_LISTED)
        .load(&mut c.db)?;
    let read = |(whose, mirrors, since): (Option<String>, i64, Option<String>)| {
        let since = time::read(since.as_deref().unwrap_or_default())?;
        Ok(Waiting { whose: whose.unwrap_or_default(), mirrors: number(mirrors), since })
    };
    rows.into_iter().map(read).collect()
}

/// An admin's word on what waits, of all or of one owner or user. All of it is looked at again at once: what
/// is still missing then is gone if he confirmed that, and goes on waiting if not. Says how many they are.
///
/// # Errors
/// Those of the database.
pub fn answer(c: &mut Connection, whose: Option<&str>, confirm: bool, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let whose = whose.unwrap_or_default().to_ascii_lowercase();
    let held = format!("state = '{HELD}' AND ($2 = '' OR whose = $2)");
    let look = format!(
        "UPDATE mirrors SET next_sync_at = $1, updated_at = $1 \
         WHERE id IN (SELECT mirror_id FROM vanished WHERE {held})"
    );
    let at = time::text(now);
    let waiting = diesel::sql_query(look).bind::<Text, _>(at).bind::<Text, _>(whose.clone()).execute(&mut c.db)?;
    if confirm {
        let settle = format!("UPDATE vanished SET state = $1 WHERE {held}");
        diesel::sql_query(settle).bind::<Text, _>(CONFIRMED).bind::<Text, _>(whose).execute(&mut c.db)?;
    }
    Ok(u64::try_from(waiting).unwrap_or(u64::MAX))
}
