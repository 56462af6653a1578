//! Where a mirror stands, and who may say so: what the work finds never overrides an admin's pause or a
//! star that was taken back.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::domain::ids::MirrorId;
use crate::domain::job::JobKind;
use crate::domain::mirror::Status;
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::schema::mirrors;
use crate::store::{jobs, markers, parts, time};

use super::find::find;
use super::update;

const HELD: [&str; 2] = ["paused", "archived"];

/// Sets what the work found, unless an admin or an un-star decided otherwise meanwhile; a paused
/// mirror gets it when it is resumed.
pub(super) fn set_unheld(
    c: &mut Connection,
    id: MirrorId,
    status: Status,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let paused = mirrors::status.eq(Status::Paused.as_str());
    update!(c, id, now, [paused], mirrors::paused_from.eq(Some(status.as_str())))?;
    update!(c, id, now, [mirrors::status.ne_all(HELD)], mirrors::status.eq(status.as_str()))
}

/// Sets the status, whatever it was.
///
/// # Errors
/// Those of the database.
pub fn set_status(c: &mut Connection, id: MirrorId, status: Status, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let changed =
        update!(c, id, now, [], mirrors::status.eq(status.as_str()), mirrors::paused_from.eq(None::<String>))?;
    marked(c, id, changed, now)
}

/// A sync that would take away too much waits for an admin, since now.
///
/// # Errors
/// Those of the database.
pub fn hold(c: &mut Connection, id: MirrorId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    update!(c, id, now, [], mirrors::held_since.eq(Some(time::text(now))))
}

/// Stops syncing; [`resume`] brings the status back. Says whether it was not paused before.
///
/// # Errors
/// Those of the database.
pub fn pause(c: &mut Connection, id: MirrorId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let paused = Status::Paused.as_str();
    let changed = update!(
        c,
        id,
        now,
        [mirrors::status.ne(paused)],
        mirrors::paused_from.eq(mirrors::status.nullable()),
        mirrors::status.eq(paused),
    )?;
    marked(c, id, changed, now)
}

/// Syncs again, due at once. A mirror that was in the middle of a sync is `pending` until the next.
/// Says whether it was paused.
///
/// # Errors
/// Those of the database.
pub fn resume(c: &mut Connection, id: MirrorId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let Some(mirror) = find(c, id)?.filter(|it| it.status == Status::Paused) else { return Ok(false) };
    parts::schedule_all(c, id, now)?;
    let status = match mirror.paused_from {
        None | Some(Status::Syncing | Status::Paused) => Status::Pending,
        Some(other) => other,
    };
    let changed = update!(
        c,
        id,
        now,
        [],
        mirrors::status.eq(status.as_str()),
        mirrors::paused_from.eq(None::<String>),
        mirrors::next_sync_at.eq(Some(time::text(now))),
    )?;
    marked(c, id, changed, now)
}

/// The star was taken back: `archived`, the copy stays. Says whether it was not archived before.
///
/// # Errors
/// Those of the database.
pub fn unstar(c: &mut Connection, id: MirrorId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let archived = Status::Archived.as_str();
    let changed = update!(
        c,
        id,
        now,
        [mirrors::status.ne(archived)],
        mirrors::status.eq(archived),
        mirrors::paused_from.eq(None::<String>),
        mirrors::unstarred_at.eq(Some(time::text(now))),
    )?;
    marked(c, id, changed, now)
}

/// Wanted again: `pending`, due at once, and not to be deleted any more. Says whether it was archived.
///
/// # Errors
/// Those of the database.
pub fn restar(c: &mut Connection, id: MirrorId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    if find(c, id)?.is_some_and(|it| it.status == Status::Archived) {
        parts::schedule_all(c, id, now)?;
        jobs::cancel_queued(c, id, JobKind::Remove, now)?;
    }
    let changed = update!(
        c,
        id,
        now,
        [mirrors::status.eq(Status::Archived.as_str())],
        mirrors::status.eq(Status::Pending.as_str()),
        mirrors::unstarred_at.eq(None::<String>),
        mirrors::next_sync_at.eq(Some(time::text(now))),
    )?;
    marked(c, id, changed, now)
}

/// What a person or a star decided nobody else knows: the project is to say so.
fn marked(c: &mut Connection, id: MirrorId, changed: bool, now: DateTime<Utc>) -> Result<bool, StoreError> {
    if changed {
        markers::soon(c, id, now)?;
    }
    Ok(changed)
}
