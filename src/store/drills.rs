//! Restore drills: which mirrors were restored on trial, and what was found.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::domain::ids::MirrorId;
use crate::domain::job::word;

use super::connection::Connection;
use super::error::StoreError;
use super::schema::{drills, mirrors};
use super::{clipped, time};

/// How a drill ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Outcome {
    /// All is there and as it was proven.
    #[default]
    Ok,
    /// Something is missing or otherwise.
    Failed,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 2] = [Self::Ok, Self::Failed];

    /// The word in the database, the API and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
        }
    }
}

word!(Outcome, "outcome of a drill");

/// What a drill found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drill {
    /// How it ended.
    pub outcome: Outcome,
    /// Refs restored.
    pub refs: u64,
    /// Objects read.
    pub objects: u64,
    /// Bytes of packs.
    pub bytes: u64,
    /// LFS objects read and hashed.
    pub lfs_objects: u64,
    /// Their bytes.
    pub lfs_bytes: u64,
    /// LFS objects of which OneDev was only asked whether it has them, or not even that: the drill's bound.
    pub lfs_unread: u64,
    /// How long it took.
    pub millis: u64,
    /// What is amiss.
    pub problem: Option<String>,
}

/// A drill of the past: when, how it ended, what was amiss.
pub type Past = (DateTime<Utc>, Outcome, Option<String>);

/// Drills remembered of one mirror.
const REMEMBERED: i64 = 100;

/// Writes a drill down; of many of one mirror the oldest go.
///
/// # Errors
/// Those of the database.
pub fn insert(c: &mut Connection, mirror: MirrorId, it: &Drill, now: DateTime<Utc>) -> Result<(), StoreError> {
    let number = |it: u64| i64::try_from(it).unwrap_or(i64::MAX);
    let id = mirror.to_string();
    diesel::insert_into(drills::table)
        .values((
            drills::mirror_id.eq(&id),
            drills::at.eq(time::text(now)),
            drills::outcome.eq(it.outcome.as_str()),
            drills::refs.eq(number(it.refs)),
            drills::objects.eq(number(it.objects)),
            drills::bytes.eq(number(it.bytes)),
            drills::millis.eq(number(it.millis)),
            drills::lfs_objects.eq(number(it.lfs_objects)),
            drills::lfs_bytes.eq(number(it.lfs_bytes)),
            drills::lfs_unread.eq(number(it.lfs_unread)),
            drills::problem.eq(it.problem.as_deref().map(clipped)),
        ))
        .execute(&mut c.db)?;
    let beyond: Option<i64> = drills::table
        .filter(drills::mirror_id.eq(&id))
        .order(drills::id.desc())
        .offset(REMEMBERED)
        .select(drills::id)
        .first(&mut c.db)
        .optional()?;
    if let Some(beyond) = beyond {
        let old = drills::table.filter(drills::mirror_id.eq(&id)).filter(drills::id.le(beyond));
        diesel::delete(old).execute(&mut c.db)?;
    }
    Ok(())
}

/// The drills of a mirror, the newest first.
///
/// # Errors
/// Those of the database.
pub fn list(c: &mut Connection, mirror: MirrorId) -> Result<Vec<Past>, StoreError> {
    let rows: Vec<(String, String, Option<String>)> = drills::table
        .filter(drills::mirror_id.eq(mirror.to_string()))
        .order(drills::id.desc())
        .select((drills::at, drills::outcome, drills::problem))
        .load(&mut c.db)?;
    rows.into_iter().map(|(at, outcome, problem)| Ok((time::read(&at)?, outcome.parse()?, problem))).collect()
}

/// Mirrors that can be restored: those with a proof and a project.
///
/// # Errors
/// Those of the database.
pub fn candidates(c: &mut Connection) -> Result<Vec<MirrorId>, StoreError> {
    let ids: Vec<String> = mirrors::table
        .filter(mirrors::proof_digest.is_not_null())
        .filter(mirrors::project_id.is_not_null())
        .order(mirrors::id)
        .select(mirrors::id)
        .load(&mut c.db)?;
    ids.iter().map(|it| super::mirrors::mirror_id(it)).collect()
}
