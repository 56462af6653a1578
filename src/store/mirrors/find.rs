//! Finding mirrors.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::dsl::{count_star, exists, min, not};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use uuid::Uuid;

use crate::domain::ids::{GithubId, MirrorId};
use crate::domain::job::{JobKind, JobState};
use crate::domain::mirror::{Source, Status};
use crate::domain::repository::RepositoryName;
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::page::{Page, Window};
use crate::store::schema::{jobs, mirror_names, mirrors, upstreams};
use crate::store::time;

use super::row::{Mirror, MirrorRow, UpstreamRow, mirror_id};

type Rows = (MirrorRow, Option<UpstreamRow>);

/// Which mirrors a list shows; everything by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this status.
    pub status: Option<Status>,
    /// Only of this source.
    pub source: Option<Source>,
    /// Only those whose `owner/name` holds this text, without case.
    pub text: Option<String>,
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn lower(text: Text) -> Text;
}

macro_rules! select {
    () => {
        mirrors::table.left_join(upstreams::table).select((MirrorRow::as_select(), Option::<UpstreamRow>::as_select()))
    };
}

/// One mirror by its id.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, id: MirrorId) -> Result<Option<Mirror>, StoreError> {
    let row: Option<Rows> = select!().filter(mirrors::id.eq(id.to_string())).first(&mut c.db).optional()?;
    row.map(Mirror::try_from).transpose()
}

/// Nobody else changes this mirror before the transaction ends: what is found of it then may be decided by. A SQLite
/// file has one writer anyway.
///
/// # Errors
/// Those of the database.
pub fn lock(c: &mut Connection, id: MirrorId) -> Result<(), StoreError> {
    if c.is_postgres() {
        diesel::sql_query("SELECT id FROM mirrors WHERE id = $1 FOR UPDATE")
            .bind::<Text, _>(id.to_string())
            .execute(&mut c.db)?;
    }
    Ok(())
}

/// One mirror by GitHub's id.
///
/// # Errors
/// Those of the database.
pub fn by_github_id(c: &mut Connection, id: GithubId) -> Result<Option<Mirror>, StoreError> {
    let row: Option<Rows> = select!().filter(mirrors::github_id.eq(id.0)).first(&mut c.db).optional()?;
    row.map(Mirror::try_from).transpose()
}

/// One mirror by its current name, without case. Should two have it, since one of them was renamed
/// away unheard, it is the one that got the name last.
///
/// # Errors
/// Those of the database.
pub fn by_name(c: &mut Connection, name: &RepositoryName) -> Result<Option<Mirror>, StoreError> {
    let row: Option<Rows> = select!()
        .filter(lower(mirrors::owner).eq(name.owner().to_ascii_lowercase()))
        .filter(lower(mirrors::name).eq(name.name().to_ascii_lowercase()))
        .order((mirrors::named_at.desc(), mirrors::id.desc()))
        .first(&mut c.db)
        .optional()?;
    row.map(Mirror::try_from).transpose()
}

/// Mirrors in the order in which they became known.
///
/// # Errors
/// [`StoreError::Cursor`]; those of the database.
pub fn list(c: &mut Connection, filter: &Filter, window: &Window) -> Result<Page<Mirror>, StoreError> {
    let after = window.after::<Uuid>()?.map_or_else(String::new, |it| it.to_string());
    // Said of both, or Postgres would go along the descriptions from the first one for each page.
    let described = upstreams::mirror_id.eq(mirrors::id).and(upstreams::mirror_id.gt(after.clone()));
    let mut query = mirrors::table
        .left_join(upstreams::table.on(described))
        .filter(mirrors::id.gt(after))
        .select((MirrorRow::as_select(), Option::<UpstreamRow>::as_select()))
        .into_boxed();
    if let Some(status) = filter.status {
        query = query.filter(mirrors::status.eq(status.as_str()));
    }
    if let Some(source) = filter.source {
        query = query.filter(mirrors::source.eq(source.as_str()));
    }
    if let Some(text) = &filter.text {
        let pattern = like(&text.to_ascii_lowercase());
        query = query.filter(lower(mirrors::owner.concat("/").concat(mirrors::name)).like(pattern).escape('!'));
    }
    let rows: Vec<Rows> = query.order(mirrors::id.asc()).limit(window.fetch()).load(&mut c.db)?;
    window.page(rows, |(row, _)| row.id.clone(), Mirror::try_from)
}

/// A pattern of `LIKE` for texts that hold `text`, with `!` as the escape character.
fn like(text: &str) -> String {
    format!("%{}%", literally(text))
}

/// A piece of a pattern of `LIKE` that means just `text`, with `!` as the escape character.
pub(super) fn literally(text: &str) -> String {
    let mut pattern = String::new();
    for it in text.chars() {
        if matches!(it, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(it);
    }
    pattern
}

/// Mirrors whose time to be looked at has come and that have no sync waiting or running, the longest
/// overdue first.
///
/// # Errors
/// Those of the database.
pub fn due(c: &mut Connection, now: DateTime<Utc>, limit: u32) -> Result<Vec<MirrorId>, StoreError> {
    // Told by what it is not, so that SQLite goes along the index of times and not that of statuses.
    let held: Vec<&str> = Status::ALL.into_iter().filter(|it| !it.is_synced()).map(Status::as_str).collect();
    let busy = jobs::table
        .filter(jobs::mirror_id.eq(mirrors::id.nullable()))
        .filter(jobs::kind.eq(JobKind::Sync.as_str()))
        .filter(jobs::state.eq_any([JobState::Queued.as_str(), JobState::Running.as_str()]));
    let ids: Vec<String> = mirrors::table
        .filter(mirrors::next_sync_at.le(time::text(now)))
        .filter(mirrors::status.ne_all(held))
        .filter(not(exists(busy)))
        .order((mirrors::next_sync_at.asc(), mirrors::id.asc()))
        .limit(i64::from(limit))
        .select(mirrors::id)
        .load(&mut c.db)?;
    ids.iter().map(|it| mirror_id(it)).collect()
}

/// How many mirrors there are of each status; a status without one is not in it.
///
/// # Errors
/// Those of the database.
pub fn counts_by_status(c: &mut Connection) -> Result<BTreeMap<Status, u64>, StoreError> {
    let rows: Vec<(String, i64)> =
        mirrors::table.group_by(mirrors::status).select((mirrors::status, count_star())).load(&mut c.db)?;
    rows.into_iter().map(|(status, count)| Ok((status.parse()?, u64::try_from(count).unwrap_or_default()))).collect()
}

/// All mirrors that have, or are about to get, their place in OneDev.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InAll {
    /// How large they are together: their git data as GitHub computes it, and what is known of their LFS objects and of
    /// the files of their releases.
    pub bytes: u64,
    /// How many they are.
    pub mirrors: u64,
}

#[derive(QueryableByName)]
struct Sums {
    #[diesel(sql_type = BigInt)]
    bytes: i64,
    #[diesel(sql_type = BigInt)]
    mirrors: i64,
}

/// What is kept of all mirrors together. It takes a while with many.
///
/// # Errors
/// Those of the database.
pub fn kept_in_all(c: &mut Connection) -> Result<InAll, StoreError> {
    let Sums { bytes, mirrors } = diesel::sql_query(sums("m.intended_path IS NOT NULL")).get_result(&mut c.db)?;
    let [bytes, mirrors] = [bytes, mirrors].map(|it| u64::try_from(it).unwrap_or_default());
    Ok(InAll { bytes, mirrors })
}

/// The query for `bytes` of all mirrors `m` of which this is true, and for how many `mirrors` they are. An LFS object
/// counts that is in OneDev, or that a ref of upstream needs; one that is both an object and a file of a release counts
/// once. Table by table: asked for each mirror, Postgres takes five times as long.
pub(in crate::store) fn sums(condition: &str) -> String {
    format!(
        "WITH these AS (SELECT m.id FROM mirrors AS m WHERE {condition}) SELECT CAST( \
           COALESCE((SELECT SUM(u.size_kib) * 1024 FROM these JOIN upstreams AS u ON u.mirror_id = these.id), 0) \
           + COALESCE((SELECT SUM(o.size) FROM these JOIN lfs_objects AS o ON o.mirror_id = these.id \
                       WHERE o.state = 'there' OR o.reachable), 0) \
           + COALESCE((SELECT SUM(a.size) FROM (SELECT DISTINCT k.mirror_id, k.digest, k.size FROM these \
                       JOIN catalog_assets AS k ON k.mirror_id = these.id \
                       WHERE k.is_there AND k.size IS NOT NULL AND NOT EXISTS ( \
                         SELECT 1 FROM lfs_objects AS o WHERE o.mirror_id = k.mirror_id AND o.oid = k.digest \
                         AND o.size = k.size AND (o.state = 'there' OR o.reachable))) AS a), 0) \
         AS BIGINT) AS bytes, (SELECT COUNT(*) FROM these) AS mirrors"
    )
}

/// The time of the oldest proof among mirrors that should be level.
///
/// # Errors
/// Those of the database.
pub fn oldest_verification(c: &mut Connection) -> Result<Option<DateTime<Utc>>, StoreError> {
    let level = [Status::Healthy, Status::Partial, Status::Syncing, Status::Error].map(Status::as_str);
    let oldest: Option<String> =
        mirrors::table.filter(mirrors::status.eq_any(level)).select(min(mirrors::verified_at)).first(&mut c.db)?;
    time::some(oldest.as_deref())
}

/// The names that an upstream had before, the latest first, each with when it was last its name.
///
/// # Errors
/// Those of the database.
pub fn former_names(c: &mut Connection, id: MirrorId) -> Result<Vec<(RepositoryName, DateTime<Utc>)>, StoreError> {
    let rows: Vec<(String, String, String)> = mirror_names::table
        .filter(mirror_names::mirror_id.eq(id.to_string()))
        .order(mirror_names::seen_at.desc())
        .select((mirror_names::owner, mirror_names::name, mirror_names::seen_at))
        .load(&mut c.db)?;
    rows.into_iter()
        .map(|(owner, name, at)| {
            let name = RepositoryName::new(&owner, &name).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            Ok((name, time::read(&at)?))
        })
        .collect()
}
