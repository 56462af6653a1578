//! How far each of GitHub's lists was read.

use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer, Nullable, Text};

use crate::domain::catalog::{Feed, Visit};
use crate::domain::ids::MirrorId;
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;
use crate::store::schema::catalog_feeds;
use crate::store::{clipped, time};

#[derive(Queryable, Selectable)]
#[diesel(table_name = catalog_feeds)]
struct Row {
    feed: String,
    wanted: bool,
    sweeping: bool,
    since: Option<String>,
    latest: Option<String>,
    page: i32,
    paged: bool,
    etag: Option<String>,
    etag_of: Option<String>,
    done_at: Option<String>,
    problem: Option<String>,
}

impl TryFrom<Row> for Visit {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            feed: row.feed.parse()?,
            wanted: row.wanted,
            sweeping: row.sweeping,
            since: time::some(row.since.as_deref())?,
            latest: time::some(row.latest.as_deref())?,
            page: u32::try_from(row.page).unwrap_or(1).max(1),
            paged: row.paged,
            etag: row.etag,
            etag_of: row.etag_of,
            done_at: time::some(row.done_at.as_deref())?,
            problem: row.problem,
        })
    }
}

/// Every feed of a mirror, in their order; one that was never read is there too.
///
/// # Errors
/// Those of the database.
pub fn load(c: &mut Connection, mirror: MirrorId) -> Result<Vec<Visit>, StoreError> {
    let rows: Vec<Row> = catalog_feeds::table
        .filter(catalog_feeds::mirror_id.eq(mirror.to_string()))
        .select(Row::as_select())
        .load(&mut c.db)?;
    let known = rows.into_iter().map(Visit::try_from).collect::<Result<Vec<_>, _>>()?;
    let of = |feed: Feed| known.iter().find(|it| it.feed == feed).cloned().unwrap_or_else(|| Visit::new(feed));
    Ok(Feed::ALL.into_iter().map(of).collect())
}

/// Says how far a feed was read.
///
/// # Errors
/// Those of the database.
pub fn save(c: &mut Connection, mirror: MirrorId, visit: &Visit) -> Result<(), StoreError> {
    let sql = "INSERT INTO catalog_feeds (mirror_id, feed, wanted, sweeping, since, latest, page, paged, etag, etag_of, \
               done_at, problem) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
               ON CONFLICT (mirror_id, feed) DO UPDATE SET wanted = excluded.wanted, sweeping = excluded.sweeping, \
               since = excluded.since, latest = excluded.latest, page = excluded.page, paged = excluded.paged, \
               etag = excluded.etag, etag_of = excluded.etag_of, done_at = excluded.done_at, problem = excluded.problem";
    diesel::sql_query(sql)
        .bind::<Text, _>(mirror.to_string())
        .bind::<Text, _>(visit.feed.as_str())
        .bind::<Bool, _>(visit.wanted)
        .bind::<Bool, _>(visit.sweeping)
        .bind::<Nullable<Text>, _>(time::some_text(visit.since))
        .bind::<Nullable<Text>, _>(time::some_text(visit.latest))
        .bind::<Integer, _>(i32::try_from(visit.page).unwrap_or(i32::MAX))
        .bind::<Bool, _>(visit.paged)
        .bind::<Nullable<Text>, _>(visit.etag.clone())
        .bind::<Nullable<Text>, _>(visit.etag_of.clone())
        .bind::<Nullable<Text>, _>(time::some_text(visit.done_at))
        .bind::<Nullable<Text>, _>(visit.problem.as_deref().map(clipped))
        .prepared()
        .execute(&mut c.db)?;
    Ok(())
}
