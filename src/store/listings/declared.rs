//! Lists that the configuration declares: they are read again and again, as long as they stand there.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::{Listing, Row, listings, text};
use crate::domain::ids::{CorrelationId, GithubId};
use crate::domain::listing::{Walk, What};
use crate::domain::sources::Declaration;
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::prepared::Prepare as _;
use crate::store::time;

/// Takes over what the configuration declares. A new one is due at once; one that is known goes on where it was, and
/// is due within `every`; one that is declared no more is left alone, with all that it brought, until it is pruned.
///
/// `fresh` gives the id and the correlation of a new one.
///
/// # Errors
/// Those of the database.
pub fn declare(
    c: &mut Connection,
    all: &[Declaration],
    every: TimeDelta,
    fresh: impl Fn() -> (String, CorrelationId),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut declared = Vec::with_capacity(all.len());
    for declaration in all {
        let wanted = text(&What::Declared { declaration: declaration.clone() })?;
        let row = listings::table.filter(listings::declared.eq(true).and(listings::wanted.eq(&wanted)));
        let known: Option<(String, Option<String>)> =
            row.select((listings::id, listings::next_at)).first(&mut c.db).optional()?;
        declared.push(match known {
            Some((id, next_at)) => {
                let next = time::some(next_at.as_deref())?.map_or(now, |it| it.min(now + every));
                diesel::update(listings::table.find(&id))
                    .set(listings::next_at.eq(Some(time::text(next))))
                    .execute(&mut c.db)?;
                id
            }
            None => {
                let (id, correlation) = fresh();
                diesel::insert_into(listings::table)
                    .values((
                        listings::id.eq(&id),
                        listings::wanted.eq(&wanted),
                        listings::declared.eq(true),
                        listings::next_at.eq(Some(time::text(now))),
                        listings::correlation_id.eq(correlation.to_string()),
                        listings::created_at.eq(time::text(now)),
                    ))
                    .execute(&mut c.db)?;
                id
            }
        });
    }
    // Without a lease whoever still reads it notices, and does not make it due again.
    let others = listings::table.filter(listings::declared.eq(true).and(listings::id.ne_all(declared)));
    diesel::update(others.filter(listings::next_at.is_not_null()))
        .set((
            listings::next_at.eq(None::<String>),
            listings::leased_by.eq(None::<String>),
            listings::lease_until.eq(None::<String>),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// What the configuration declares, in no order.
///
/// # Errors
/// Those of the database.
pub fn declared(c: &mut Connection) -> Result<Vec<Listing>, StoreError> {
    let rows: Vec<Row> = listings::table
        .filter(listings::declared.eq(true).and(listings::next_at.is_not_null()))
        .select(Row::as_select())
        .load(&mut c.db)?;
    rows.into_iter().map(Listing::try_from).collect()
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Bool)]
    found: bool,
}

/// Whether something that the configuration declares has brought this repository.
///
/// # Errors
/// Those of the database.
pub fn is_declared(c: &mut Connection, repository: GithubId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM listings AS s JOIN listed AS l ON l.listing = s.id \
               WHERE s.declared AND s.next_at IS NOT NULL AND l.github_id = $1) AS found";
    let Found { found } = diesel::sql_query(sql).bind::<BigInt, _>(repository.0).prepared().get_result(&mut c.db)?;
    Ok(found)
}

/// The next walk begins at the beginning.
///
/// # Errors
/// Those of the database.
pub fn rewind(c: &mut Connection, id: &str, worker: &str) -> Result<bool, StoreError> {
    super::set_walk(c, id, worker, &Walk::default())
}
