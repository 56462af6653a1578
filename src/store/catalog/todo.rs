//! What must be written anew, and the pull requests whose reviews must be read.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::domain::catalog::feed::Wish;
use crate::domain::catalog::{Feed, Unit};
use crate::domain::ids::MirrorId;
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;
use crate::store::schema::catalog_todo;

/// The word for "read the reviews of this pull request".
const REVIEWS: &str = "reviews";
/// The word for "read this feed in the next round"; the number is the feed's place in their order.
const WISH: &str = "wish";
/// The same, and all of it.
const WHOLE: &str = "whole";

fn insert(c: &mut Connection, mirror: MirrorId, what: &str, number: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO catalog_todo (mirror_id, what, number) VALUES ($1, $2, $3) \
               ON CONFLICT (mirror_id, what, number) DO NOTHING";
    diesel::sql_query(sql)
        .bind::<Text, _>(mirror.to_string())
        .bind::<Text, _>(what)
        .bind::<BigInt, _>(number)
        .prepared()
        .execute(&mut c.db)?;
    Ok(())
}

fn delete(c: &mut Connection, mirror: MirrorId, what: &str, number: i64) -> Result<(), StoreError> {
    diesel::delete(catalog_todo::table.find((mirror.to_string(), what, number))).execute(&mut c.db)?;
    Ok(())
}

/// These must be written anew.
///
/// # Errors
/// Those of the database.
pub fn add(c: &mut Connection, mirror: MirrorId, units: impl IntoIterator<Item = Unit>) -> Result<(), StoreError> {
    units.into_iter().map(Unit::parts).try_for_each(|(what, number)| insert(c, mirror, what, number))
}

/// Everything that there is must be written anew.
pub(super) fn add_everything(c: &mut Connection, mirror: MirrorId) -> Result<(), StoreError> {
    let sql = "INSERT INTO catalog_todo (mirror_id, what, number) \
               SELECT DISTINCT mirror_id, CASE kind WHEN 'label' THEN 'labels' WHEN 'repository' THEN 'repository' \
                 WHEN 'milestone' THEN 'milestone' WHEN 'release' THEN 'release' ELSE 'thread' END, number \
               FROM catalog_items WHERE mirror_id = $1 \
               ON CONFLICT (mirror_id, what, number) DO NOTHING";
    diesel::sql_query(sql).bind::<Text, _>(mirror.to_string()).execute(&mut c.db)?;
    Ok(())
}

/// These were written.
///
/// # Errors
/// Those of the database.
pub fn remove(c: &mut Connection, mirror: MirrorId, units: &[Unit]) -> Result<(), StoreError> {
    units.iter().map(|it| it.parts()).try_for_each(|(what, number)| delete(c, mirror, what, number))
}

/// What must be written anew, behind `after`, in a fixed order.
///
/// # Errors
/// Those of the database.
pub fn units(c: &mut Connection, mirror: MirrorId, after: Option<Unit>, limit: usize) -> Result<Vec<Unit>, StoreError> {
    let mut query = catalog_todo::table
        .filter(catalog_todo::mirror_id.eq(mirror.to_string()))
        .filter(catalog_todo::what.ne_all([REVIEWS, WISH, WHOLE]))
        .select((catalog_todo::what, catalog_todo::number))
        .into_boxed();
    if let Some((what, number)) = after.map(Unit::parts) {
        query = query
            .filter(catalog_todo::what.gt(what).or(catalog_todo::what.eq(what).and(catalog_todo::number.gt(number))));
    }
    let rows: Vec<(String, i64)> = query
        .order((catalog_todo::what, catalog_todo::number))
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .load(&mut c.db)?;
    rows.iter()
        .map(|(what, number)| Unit::of(what, *number).ok_or_else(|| StoreError::Corrupt(format!("no unit `{what}`"))))
        .collect()
}

/// How much must be written anew.
///
/// # Errors
/// Those of the database.
pub fn count(c: &mut Connection, mirror: MirrorId) -> Result<u64, StoreError> {
    let its = catalog_todo::table
        .filter(catalog_todo::mirror_id.eq(mirror.to_string()))
        .filter(catalog_todo::what.ne_all([REVIEWS, WISH, WHOLE]));
    let count: i64 = its.count().get_result(&mut c.db)?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// The reviews of these pull requests must be read.
///
/// # Errors
/// Those of the database.
pub fn add_reviews(c: &mut Connection, mirror: MirrorId, pulls: &[i64]) -> Result<(), StoreError> {
    pulls.iter().try_for_each(|number| insert(c, mirror, REVIEWS, *number))
}

/// The next pull request whose reviews must be read.
///
/// # Errors
/// Those of the database.
pub fn reviews(c: &mut Connection, mirror: MirrorId) -> Result<Option<i64>, StoreError> {
    Ok(catalog_todo::table
        .filter(catalog_todo::mirror_id.eq(mirror.to_string()))
        .filter(catalog_todo::what.eq(REVIEWS))
        .order(catalog_todo::number)
        .select(catalog_todo::number)
        .first(&mut c.db)
        .optional()?)
}

/// The reviews of this pull request were read.
///
/// # Errors
/// Those of the database.
pub fn reviews_done(c: &mut Connection, mirror: MirrorId, pull: i64) -> Result<(), StoreError> {
    delete(c, mirror, REVIEWS, pull)
}

/// Asks for feeds to be read by the next round that is opened: an event said that they changed.
///
/// # Errors
/// Those of the database.
pub fn wish(c: &mut Connection, mirror: MirrorId, wishes: &[Wish]) -> Result<(), StoreError> {
    wishes.iter().try_for_each(|it| insert(c, mirror, if it.whole { WHOLE } else { WISH }, it.feed as i64))
}

/// Takes the wishes, to be granted.
///
/// # Errors
/// Those of the database.
pub fn take_wishes(c: &mut Connection, mirror: MirrorId) -> Result<Vec<Wish>, StoreError> {
    let its = || {
        catalog_todo::table
            .filter(catalog_todo::mirror_id.eq(mirror.to_string()))
            .filter(catalog_todo::what.eq_any([WISH, WHOLE]))
    };
    let rows: Vec<(String, i64)> = its().select((catalog_todo::what, catalog_todo::number)).load(&mut c.db)?;
    diesel::delete(its()).execute(&mut c.db)?;
    let feed = |number: i64| Feed::ALL.into_iter().find(|it| *it as i64 == number);
    Ok(rows.iter().filter_map(|(what, number)| Some(Wish { feed: feed(*number)?, whole: what == WHOLE })).collect())
}
