//! One row a catalog: the round that is open, the commit in OneDev, the last error.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::domain::ids::MirrorId;
use crate::domain::job::JobKind;
use crate::domain::refs::{Oid, RefName};
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::mirrors::{mirror_id, oid};
use crate::store::schema::{catalog_assets, catalog_entries, catalog_feeds, catalog_items, catalog_todo, catalogs};
use crate::store::{clipped, time};

/// A catalog as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    /// Counts the rounds of reading.
    pub generation: i64,
    /// A round is open: some lists are still to be read, or what was read is still to be written.
    pub round_open: bool,
    /// The open round lists everything, so that deletions are found.
    pub sweeping: bool,
    /// When such a round last ended.
    pub swept_at: Option<DateTime<Utc>>,
    /// When any round last ended.
    pub looked_at: Option<DateTime<Utc>>,
    /// When the next one is due; `None` before the first.
    pub next_at: Option<DateTime<Utc>>,
    /// The ref that holds it.
    pub ref_name: Option<RefName>,
    /// The commit that stands there by our doing.
    pub tip: Option<Oid>,
    /// That commit's tree.
    pub tree: Option<Oid>,
    /// The commit that is about to be pushed, and its tree.
    pub intent: Option<(Oid, Oid)>,
    /// Commits so far.
    pub commits: u64,
    /// When the last of them was made.
    pub changed_at: Option<DateTime<Utc>>,
    /// Why the last run failed.
    pub error: Option<Trouble>,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// A stable word.
    pub code: String,
    /// For people.
    pub message: String,
    /// Since when it fails.
    pub since: DateTime<Utc>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = catalogs)]
struct Row {
    generation: i64,
    round_open: bool,
    sweeping: bool,
    swept_at: Option<String>,
    looked_at: Option<String>,
    next_at: Option<String>,
    ref_name: Option<String>,
    tip: Option<String>,
    tree: Option<String>,
    intent: Option<String>,
    intent_tree: Option<String>,
    commits: i64,
    changed_at: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    error_since: Option<String>,
}

impl TryFrom<Row> for Catalog {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let some = |text: Option<String>| text.as_deref().map(oid).transpose();
        let name = row.ref_name.as_deref().map(RefName::new).transpose();
        let trouble = |code: String, since: DateTime<Utc>| Trouble {
            code,
            message: row.error_message.clone().unwrap_or_default(),
            since,
        };
        Ok(Self {
            generation: row.generation,
            round_open: row.round_open,
            sweeping: row.sweeping,
            swept_at: time::some(row.swept_at.as_deref())?,
            looked_at: time::some(row.looked_at.as_deref())?,
            next_at: time::some(row.next_at.as_deref())?,
            ref_name: name.map_err(|e| StoreError::Corrupt(e.to_string()))?,
            tip: some(row.tip)?,
            tree: some(row.tree)?,
            intent: some(row.intent)?.zip(some(row.intent_tree)?),
            commits: u64::try_from(row.commits).unwrap_or_default(),
            changed_at: time::some(row.changed_at.as_deref())?,
            error: row
                .error_code
                .clone()
                .zip(time::some(row.error_since.as_deref())?)
                .map(|(code, at)| trouble(code, at)),
        })
    }
}

/// The catalog of a mirror, if it was ever begun.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, mirror: MirrorId) -> Result<Option<Catalog>, StoreError> {
    let row: Option<Row> =
        catalogs::table.find(mirror.to_string()).select(Row::as_select()).first(&mut c.db).optional()?;
    row.map(Catalog::try_from).transpose()
}

/// Begins a catalog that was never begun, due at once. Says whether it is new.
///
/// # Errors
/// Those of the database.
pub fn ensure(c: &mut Connection, mirror: MirrorId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = "INSERT INTO catalogs (mirror_id, next_at) VALUES ($1, $2) ON CONFLICT (mirror_id) DO NOTHING";
    let begun = diesel::sql_query(sql).bind::<Text, _>(mirror.to_string()).bind::<Text, _>(time::text(now));
    Ok(begun.execute(&mut c.db)? == 1)
}

/// Opens a round.
///
/// # Errors
/// Those of the database.
pub fn open_round(c: &mut Connection, mirror: MirrorId, sweeping: bool) -> Result<(), StoreError> {
    diesel::update(catalogs::table.find(mirror.to_string()))
        .set((
            catalogs::generation.eq(catalogs::generation + 1),
            catalogs::round_open.eq(true),
            catalogs::sweeping.eq(sweeping),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// Ends the open round; the next is due at `next`.
///
/// # Errors
/// Those of the database.
pub fn close_round(
    c: &mut Connection,
    mirror: MirrorId,
    next: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    super::assets::forget_orphans(c, mirror)?;
    let id = mirror.to_string();
    let swept = catalogs::table.filter(catalogs::mirror_id.eq(&id)).filter(catalogs::sweeping.eq(true));
    diesel::update(swept).set(catalogs::swept_at.eq(Some(time::text(now)))).execute(&mut c.db)?;
    diesel::update(catalogs::table.find(&id))
        .set((
            catalogs::round_open.eq(false),
            catalogs::sweeping.eq(false),
            catalogs::looked_at.eq(Some(time::text(now))),
            catalogs::next_at.eq(Some(time::text(next))),
        ))
        .execute(&mut c.db)?;
    settle_error(c, mirror)
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = Text)]
    id: String,
}

/// Mirrors that were proven once, are synced, and whose catalog's time has come, with no job for it
/// waiting or running; the longest overdue first.
///
/// # Errors
/// Those of the database.
pub fn due(c: &mut Connection, now: DateTime<Utc>, limit: u32) -> Result<Vec<MirrorId>, StoreError> {
    let kind = JobKind::Catalog;
    let sql = format!(
        "SELECT m.id AS id FROM catalogs AS k JOIN mirrors AS m ON m.id = k.mirror_id \
         WHERE k.next_at <= $1 AND m.first_proof_at IS NOT NULL AND m.status NOT IN ('paused', 'archived') \
           AND NOT EXISTS (SELECT 1 FROM jobs AS j WHERE j.mirror_id = m.id AND j.kind = '{kind}' \
                           AND j.state IN ('queued', 'running')) \
         ORDER BY k.next_at, m.id LIMIT $2"
    );
    let rows: Vec<Id> =
        diesel::sql_query(sql).bind::<Text, _>(time::text(now)).bind::<BigInt, _>(i64::from(limit)).load(&mut c.db)?;
    rows.iter().map(|it| mirror_id(&it.id)).collect()
}

/// Commits to a commit that is about to be pushed.
///
/// # Errors
/// Those of the database.
pub fn intend(c: &mut Connection, mirror: MirrorId, name: &RefName, commit: Oid, tree: Oid) -> Result<(), StoreError> {
    diesel::update(catalogs::table.find(mirror.to_string()))
        .set((
            catalogs::ref_name.eq(Some(name.to_string())),
            catalogs::intent.eq(Some(commit.to_string())),
            catalogs::intent_tree.eq(Some(tree.to_string())),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// Says which commit stands in OneDev by our doing; nothing is about to be pushed any more. `made` is
/// the time of a new one.
///
/// # Errors
/// Those of the database.
pub fn stand(
    c: &mut Connection,
    mirror: MirrorId,
    tip: Option<(Oid, Option<Oid>)>,
    made: Option<DateTime<Utc>>,
) -> Result<(), StoreError> {
    let row = catalogs::table.find(mirror.to_string());
    diesel::update(row.clone())
        .set((
            catalogs::tip.eq(tip.map(|it| it.0.to_string())),
            catalogs::tree.eq(tip.and_then(|it| it.1).map(|it| it.to_string())),
            catalogs::intent.eq(None::<String>),
            catalogs::intent_tree.eq(None::<String>),
        ))
        .execute(&mut c.db)?;
    if let (Some(made), Some((commit, _))) = (made, tip) {
        super::commits::note(c, mirror, commit, made)?;
        diesel::update(row)
            .set((catalogs::commits.eq(catalogs::commits + 1), catalogs::changed_at.eq(Some(time::text(made)))))
            .execute(&mut c.db)?;
    }
    Ok(())
}

/// A catalog that was read back out of OneDev.
#[derive(Debug, Clone)]
pub struct ReadBack {
    /// The ref that holds it.
    pub name: RefName,
    /// The commit that stands there, and its tree.
    pub tip: (Oid, Oid),
    /// Since when.
    pub at: DateTime<Utc>,
    /// Commits so far, as far as that is known.
    pub commits: u64,
    /// When everything was last listed at GitHub; how far each list was read is written down beside it.
    pub swept_at: Option<DateTime<Utc>>,
}

/// Writes down that all of a catalog was read back: what is known of it is what stands in OneDev.
///
/// # Errors
/// Those of the database.
pub fn read_back(c: &mut Connection, mirror: MirrorId, it: &ReadBack) -> Result<(), StoreError> {
    super::commits::note(c, mirror, it.tip.0, it.at)?;
    stand(c, mirror, Some((it.tip.0, Some(it.tip.1))), None)?;
    diesel::update(catalogs::table.find(mirror.to_string()))
        .set((
            catalogs::ref_name.eq(Some(it.name.to_string())),
            catalogs::commits.eq(i64::try_from(it.commits).unwrap_or(i64::MAX)),
            catalogs::changed_at.eq(Some(time::text(it.at))),
            catalogs::swept_at.eq(time::some_text(it.swept_at)),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// The next round is due at once.
///
/// # Errors
/// Those of the database.
pub fn hasten(c: &mut Connection, mirror: MirrorId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let row = catalogs::table.find(mirror.to_string());
    diesel::update(row).set(catalogs::next_at.eq(Some(time::text(now)))).execute(&mut c.db)?;
    Ok(())
}

/// Nothing of ours is known to stand in OneDev any more: everything is to be written anew.
///
/// # Errors
/// Those of the database.
pub fn forget_published(c: &mut Connection, mirror: MirrorId) -> Result<(), StoreError> {
    let id = mirror.to_string();
    diesel::delete(catalog_entries::table.filter(catalog_entries::mirror_id.eq(&id))).execute(&mut c.db)?;
    diesel::update(catalog_items::table.filter(catalog_items::mirror_id.eq(&id)))
        .set(catalog_items::published.eq(None::<String>))
        .execute(&mut c.db)?;
    super::todo::add_everything(c, mirror)
}

/// Notes why a run failed; the next round is due at `next`, if it was given up.
///
/// # Errors
/// Those of the database.
pub fn record_error(
    c: &mut Connection,
    mirror: MirrorId,
    error: (&str, &str),
    next: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = catalogs::table.filter(catalogs::mirror_id.eq(mirror.to_string()));
    diesel::update(row.clone().filter(catalogs::error_code.is_null()))
        .set(catalogs::error_since.eq(Some(time::text(now))))
        .execute(&mut c.db)?;
    diesel::update(row.clone())
        .set((catalogs::error_code.eq(Some(error.0)), catalogs::error_message.eq(Some(clipped(error.1)))))
        .execute(&mut c.db)?;
    if let Some(next) = next {
        diesel::update(row).set(catalogs::next_at.eq(Some(time::text(next)))).execute(&mut c.db)?;
    }
    Ok(())
}

/// It works again.
///
/// # Errors
/// Those of the database.
pub fn settle_error(c: &mut Connection, mirror: MirrorId) -> Result<(), StoreError> {
    diesel::update(catalogs::table.find(mirror.to_string()))
        .set((
            catalogs::error_code.eq(None::<String>),
            catalogs::error_message.eq(None::<String>),
            catalogs::error_since.eq(None::<String>),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// Forgets everything that is known of a catalog, as if the database had been lost, but for which commit stood
/// when. What stands in OneDev stays, and becomes the parent of what is written next.
///
/// # Errors
/// Those of the database.
pub fn forget(c: &mut Connection, mirror: MirrorId) -> Result<(), StoreError> {
    let id = mirror.to_string();
    diesel::delete(catalog_entries::table.filter(catalog_entries::mirror_id.eq(&id))).execute(&mut c.db)?;
    diesel::delete(catalog_todo::table.filter(catalog_todo::mirror_id.eq(&id))).execute(&mut c.db)?;
    diesel::delete(catalog_assets::table.filter(catalog_assets::mirror_id.eq(&id))).execute(&mut c.db)?;
    diesel::delete(catalog_items::table.filter(catalog_items::mirror_id.eq(&id))).execute(&mut c.db)?;
    diesel::delete(catalog_feeds::table.filter(catalog_feeds::mirror_id.eq(&id))).execute(&mut c.db)?;
    diesel::delete(catalogs::table.filter(catalogs::mirror_id.eq(&id))).execute(&mut c.db)?;
    Ok(())
}
