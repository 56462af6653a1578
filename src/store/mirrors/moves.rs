//! A project that was moved: its row, what lies below it, and what remembers its path follow in one transaction.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::domain::ids::MirrorId;
use crate::domain::mirror::Status;
use crate::domain::part::PartId;
use crate::store::audit::{self, NewEntry};
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::schema::mirrors;
use crate::store::{markers, parts, time};

use super::change::set_project;
use super::find::{find, literally};
use super::row::{Project, mirror_id};
use super::update;

/// More than one repository of a name waits for its place but rarely.
const MOST_BESIDE: i64 = 20;

/// Writes down that the project stands at another path, and its wiki's below it; the project is told soon.
///
/// # Errors
/// Those of the database.
pub fn moved(
    c: &mut Connection,
    id: MirrorId,
    project: &Project,
    wiki: Option<&Project>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Some(before) = find(c, id)? else { return Ok(()) };
    set_project(c, id, project, false, now)?;
    if let Some(wiki) = wiki {
        parts::moved(c, PartId::wiki(id), wiki, now)?;
    }
    let detail = serde_json::json!({ "from": before.project.map(|it| it.path), "to": project.path });
    audit::append(c, &NewEntry { detail, ..NewEntry::of("starkeep", "project.move", &before.name.to_string()) }, now)?;
    markers::soon(c, id, now)
}

/// Mirrors that are synced and stand beside a path, at `PATH-gh<id>`: they may have been waiting for it.
///
/// # Errors
/// Those of the database.
pub fn beside(c: &mut Connection, path: &str) -> Result<Vec<MirrorId>, StoreError> {
    let pattern = format!("{}-gh%", literally(path));
    let held: Vec<&str> = Status::ALL.into_iter().filter(|it| !it.is_synced()).map(Status::as_str).collect();
    let ids: Vec<String> = mirrors::table
        .filter(mirrors::project_path.like(pattern).escape('!'))
        .filter(mirrors::status.ne_all(held))
        .select(mirrors::id)
        .order(mirrors::id)
        .limit(MOST_BESIDE)
        .load(&mut c.db)?;
    ids.iter().map(|it| mirror_id(it)).collect()
}

/// The project that was about to be moved stands where it stood.
///
/// # Errors
/// Those of the database.
pub fn renounce_move(c: &mut Connection, id: MirrorId, path: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    update!(c, id, now, [], mirrors::intended_path.eq(Some(path)))
}
