//! The chain over the audit log: extended by the housekeeping, verified by whoever asks, cut at its old end.
//!
//! Entries are chained after they were committed, not while: the transactions that write them would otherwise wait
//! for one another until each is on disk. Who extends holds the row of the chain's head, so one process does it at a
//! time; the place in the chain is given then, so an entry of a lower id that commits late simply comes later.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::{Connection, EntryRow, NewEntry, StoreError, append, time};
use crate::domain::audit_chain::{self, Link};
use crate::store::prepared::Prepare as _;
use crate::store::schema::{audit, audit_ends};

/// Entries chained, read or deleted in one go.
const AT_ONCE: i64 = 1_000;
/// What is too old may stay for so long more, so that the log is cut once a day and not at each look.
const SLACK: TimeDelta = TimeDelta::days(1);

const HEAD: &str = "head";
const ANCHOR: &str = "anchor";

/// A place in the chain and the hash there.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct End {
    /// The place; 0 before the first entry.
    pub seq: i64,
    /// The hash, in hex.
    pub hash: String,
}

/// Where the chain is broken first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The place.
    pub seq: i64,
    /// The id of the row that was found there, if one was.
    pub id: Option<i64>,
    /// In words.
    pub why: &'static str,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Entries that were looked at.
    pub entries: u64,
    /// Entries that are not chained yet.
    pub unchained: i64,
    /// What the chain goes on from: the place of the last entry that was given up.
    pub anchor: End,
    /// The last entry.
    pub head: End,
    /// The first fault.
    pub broken: Option<Break>,
}

/// Chains entries that are not yet, at most 1,000; says how many.
///
/// # Errors
/// Those of the database.
pub fn extend(c: &mut Connection) -> Result<usize, StoreError> {
    // Nearly always there is nothing to do, and nobody should wait for a lock to find that out.
    if unchained(c, 1)?.is_empty() {
        return Ok(0);
    }
    let mut head = locked_head(c)?;
    let rows = unchained(c, AT_ONCE)?;
    for row in &rows {
        let seq = head.seq + 1;
        head = End { seq, hash: audit_chain::hash(&head.hash, &link(row, seq)) };
        diesel::sql_query("UPDATE audit SET seq = $1, hash = $2 WHERE id = $3")
            .bind::<BigInt, _>(seq)
            .bind::<Text, _>(head.hash.clone())
            .bind::<BigInt, _>(row.id)
            .prepared()
            .execute(&mut c.db)?;
    }
    set_end(c, HEAD, &head)?;
    Ok(rows.len())
}

fn unchained(c: &mut Connection, most: i64) -> Result<Vec<EntryRow>, StoreError> {
    let query = audit::table.select(EntryRow::as_select()).filter(audit::hash.is_null());
    Ok(query.order(audit::id).limit(most).load(&mut c.db)?)
}

fn link(row: &EntryRow, seq: i64) -> Link<'_> {
    Link {
        seq,
        id: row.id,
        at: &row.at,
        actor: &row.actor,
        action: &row.action,
        subject: &row.subject,
        outcome: &row.outcome,
        detail: &row.detail,
        correlation: row.correlation_id.as_deref(),
        address: row.address.as_deref(),
    }
}

/// Whoever has the head extends the chain or cuts it; SQLite has one writer anyway.
fn locked_head(c: &mut Connection) -> Result<End, StoreError> {
    if c.is_postgres() {
        diesel::sql_query("SELECT seq FROM audit_ends WHERE name = 'head' FOR UPDATE").execute(&mut c.db)?;
    }
    end(c, HEAD)
}

fn end(c: &mut Connection, name: &str) -> Result<End, StoreError> {
    Ok(audit_ends::table.find(name).select((audit_ends::seq, audit_ends::hash)).first(&mut c.db)?)
}

fn set_end(c: &mut Connection, name: &str, it: &End) -> Result<(), StoreError> {
    diesel::sql_query("UPDATE audit_ends SET seq = $1, hash = $2 WHERE name = $3")
        .bind::<BigInt, _>(it.seq)
        .bind::<Text, _>(it.hash.clone())
        .bind::<Text, _>(name.to_owned())
        .execute(&mut c.db)?;
    Ok(())
}

/// Reads the whole log and looks at each link. `expected` is an end that somebody wrote down earlier: whoever
/// can write to the database can make the whole chain anew, and only a hash that lies elsewhere shows that.
///
/// # Errors
/// Those of the database.
pub fn verify(c: &mut Connection, expected: Option<&End>) -> Result<Verdict, StoreError> {
    let (anchor, head) = (end(c, ANCHOR)?, end(c, HEAD)?);
    let unchained: i64 = audit::table.filter(audit::hash.is_null()).count().get_result(&mut c.db)?;
    let mut verdict = Verdict { entries: 0, unchained, anchor: anchor.clone(), head: head.clone(), broken: None };
    let (mut at, mut seen) = (anchor, expected.is_none_or(|it| it.seq == 0));
    loop {
        seen |= expected == Some(&at);
        let rows: Vec<EntryRow> = audit::table
            .select(EntryRow::as_select())
            .filter(audit::seq.gt(at.seq))
            .order(audit::seq)
            .limit(AT_ONCE)
            .load(&mut c.db)?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            match follow(&at, row) {
                Ok(next) => at = next,
                Err(fault) => {
                    verdict.broken = Some(fault);
                    return Ok(verdict);
                }
            }
            seen |= expected == Some(&at);
            verdict.entries += 1;
        }
    }
    let fault = |why| Some(Break { seq: at.seq + 1, id: None, why });
    if at != head {
        verdict.broken = fault("the end of the log is missing");
    } else if !seen && expected.is_some_and(|it| it.seq >= verdict.anchor.seq) {
        verdict.broken = fault("the log does not hold the hash that was expected: its chain was made anew");
    }
    Ok(verdict)
}

/// The end after this row, if it is the right one to come.
fn follow(before: &End, row: &EntryRow) -> Result<End, Break> {
    let seq = before.seq + 1;
    let fault = |why| Break { seq, id: Some(row.id), why };
    if row.seq != Some(seq) {
        return Err(Break { id: None, ..fault("a row is missing") });
    }
    let hash = audit_chain::hash(&before.hash, &link(row, seq));
    if row.hash.as_deref() != Some(hash.as_str()) {
        return Err(fault("the row, or its hash, was altered"));
    }
    Ok(End { seq, hash })
}

/// Gives up entries from before a time, at most 1,000 in one go; says how many. The anchor takes their place, and
/// an entry tells of it. Does nothing while the oldest is hardly older.
///
/// # Errors
/// Those of the database.
pub fn prune(c: &mut Connection, before: DateTime<Utc>, now: DateTime<Utc>) -> Result<usize, StoreError> {
    let oldest: Option<String> = audit::table
        .filter(audit::seq.is_not_null())
        .order(audit::seq)
        .select(audit::at)
        .first(&mut c.db)
        .optional()?;
    if oldest.is_none_or(|it| it >= time::text(before - SLACK)) {
        return Ok(0);
    }
    locked_head(c)?;
    let rows: Vec<EntryRow> = audit::table
        .select(EntryRow::as_select())
        .filter(audit::seq.gt(end(c, ANCHOR)?.seq))
        .order(audit::seq)
        .limit(AT_ONCE)
        .load(&mut c.db)?;
    let limit = time::text(before);
    let old: Vec<&EntryRow> = rows.iter().take_while(|it| it.at < limit).collect();
    let Some((seq, hash)) = old.last().and_then(|it| Some((it.seq?, it.hash.clone()?))) else { return Ok(0) };
    let anchor = End { seq, hash };
    set_end(c, ANCHOR, &anchor)?;
    let gone = diesel::sql_query("DELETE FROM audit WHERE seq <= $1").bind::<BigInt, _>(seq).execute(&mut c.db)?;
    let detail = serde_json::json!({ "entries": gone, "up_to": seq, "hash": anchor.hash });
    append(c, &NewEntry { detail, ..NewEntry::of("starkeep", "audit.prune", "audit") }, now)?;
    Ok(gone)
}
