//! What a look at a mirror leaves behind that is no full proof, and who holds a project.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::domain::ids::{MirrorId, ProjectId};
use crate::domain::mirror::Status;
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;
use crate::store::schema::{mirrors, upstreams};
use crate::store::time;

use super::row::mirror_id;

/// Records that upstream still stands as last proven; OneDev was not read, so the proof keeps its time.
///
/// # Errors
/// Those of the database.
pub fn record_unchanged(
    c: &mut Connection,
    id: MirrorId,
    next_sync_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let changed = diesel::update(mirrors::table.find(id.to_string()))
        .set((
            mirrors::last_synced_at.eq(Some(time::text(now))),
            mirrors::next_sync_at.eq(Some(time::text(next_sync_at))),
            mirrors::attempts.eq(0),
            mirrors::error_code.eq(None::<String>),
            mirrors::error_message.eq(None::<String>),
            mirrors::error_since.eq(None::<String>),
            mirrors::held_since.eq(None::<String>),
            mirrors::updated_at.eq(time::text(now)),
        ))
        .prepared()
        .execute(&mut c.db)?;
    Ok(changed == 1)
}

/// Records that both sides were read and hold the same: the proof, without a sync. A mirror that was in
/// error for not being level is well again.
///
/// # Errors
/// Those of the database.
pub fn record_verified(c: &mut Connection, id: MirrorId, digest: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let row = mirrors::table.find(id.to_string());
    let changed = diesel::update(row)
        .set((
            mirrors::proof_digest.eq(Some(digest)),
            mirrors::verified_at.eq(Some(time::text(now))),
            mirrors::held_since.eq(None::<String>),
            mirrors::updated_at.eq(time::text(now)),
        ))
        .execute(&mut c.db)?;
    let row = mirrors::table.find(id.to_string());
    let in_error = row.filter(mirrors::error_code.eq("not_level")).filter(mirrors::status.eq(Status::Error.as_str()));
    diesel::update(in_error)
        .set((
            mirrors::status.eq(Status::Healthy.as_str()),
            mirrors::error_code.eq(None::<String>),
            mirrors::error_message.eq(None::<String>),
            mirrors::error_since.eq(None::<String>),
        ))
        .execute(&mut c.db)?;
    Ok(changed == 1)
}

/// What GitHub told of an upstream is taken for old: the next sync asks again.
///
/// # Errors
/// Those of the database.
pub fn doubt_description(c: &mut Connection, id: MirrorId) -> Result<(), StoreError> {
    diesel::update(upstreams::table.find(id.to_string()))
        .set(upstreams::described_at.eq(time::text(DateTime::UNIX_EPOCH)))
        .execute(&mut c.db)?;
    Ok(())
}

/// All that follows from what GitHub told of an upstream is done.
///
/// # Errors
/// Those of the database.
pub fn trust_description(c: &mut Connection, id: MirrorId, now: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::update(upstreams::table.find(id.to_string()))
        .set(upstreams::described_at.eq(time::text(now)))
        .execute(&mut c.db)?;
    Ok(())
}

/// The mirror that remembers a project as its own.
///
/// # Errors
/// Those of the database.
pub fn holder(c: &mut Connection, project: ProjectId) -> Result<Option<MirrorId>, StoreError> {
    let id: Option<String> =
        mirrors::table.filter(mirrors::project_id.eq(project.0)).select(mirrors::id).first(&mut c.db).optional()?;
    id.as_deref().map(mirror_id).transpose()
}
