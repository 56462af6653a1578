//! What GitHub lists as starred by each watched account, whether there is a mirror of it or not.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::domain::ids::{AccountId, GithubId};
use crate::domain::stars::Star;

use super::connection::Connection;
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::schema::{star_polls, starred};
use super::time;

/// What a star is to what was recorded before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// It was not known, or the repository was starred anew.
    New,
    /// It was known.
    Known,
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Text)]
    starred_at: String,
    #[diesel(sql_type = BigInt)]
    scan: i64,
}

/// Notes that an account stars a repository; `scan` is the number of the walk that met it, 0 for none.
///
/// What is told while a walk goes on counts as met by it: it need not stand on a page that was read before.
///
/// # Errors
/// Those of the database.
pub fn note(
    c: &mut Connection,
    account: AccountId,
    star: Star,
    scan: i64,
    now: DateTime<Utc>,
) -> Result<Met, StoreError> {
    let walk: Option<Option<i64>> = star_polls::table
        .filter(star_polls::account_id.eq(account.0))
        .select(diesel::dsl::max(star_polls::scan))
        .first(&mut c.db)
        .optional()?;
    let scan = walk.flatten().unwrap_or_default().max(scan);
    let known: Option<Known> =
        diesel::sql_query("SELECT starred_at, scan FROM starred WHERE account_id = $1 AND github_id = $2")
            .bind::<BigInt, _>(account.0)
            .bind::<BigInt, _>(star.repository.0)
            .prepared()
            .get_result(&mut c.db)
            .optional()?;
    let same = known.as_ref().is_some_and(|it| it.starred_at == time::text(star.at));
    if !same || known.is_some_and(|it| it.scan < scan) {
        // Somebody else may note it at the same time; what either of them knows must not be lost.
        let sql = "INSERT INTO starred (account_id, github_id, starred_at, added_at, scan) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (account_id, github_id) DO UPDATE SET starred_at = excluded.starred_at, \
                   scan = CASE WHEN starred.scan < excluded.scan THEN excluded.scan ELSE starred.scan END";
        diesel::sql_query(sql)
            .bind::<BigInt, _>(account.0)
            .bind::<BigInt, _>(star.repository.0)
            .bind::<Text, _>(time::text(star.at))
            .bind::<Text, _>(time::text(now))
            .bind::<BigInt, _>(scan)
            .prepared()
            .execute(&mut c.db)?;
    }
    Ok(if same { Met::Known } else { Met::New })
}

/// Forgets that an account stars a repository. Says whether it did.
///
/// # Errors
/// Those of the database.
pub fn forget(c: &mut Connection, account: AccountId, repository: GithubId) -> Result<bool, StoreError> {
    Ok(diesel::delete(starred::table.find((account.0, repository.0))).execute(&mut c.db)? == 1)
}

/// Since when an account stars a repository, by GitHub's clock.
///
/// # Errors
/// Those of the database.
pub fn since(
    c: &mut Connection,
    account: AccountId,
    repository: GithubId,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let known = starred::table.find((account.0, repository.0)).select(starred::starred_at);
    time::some(known.first::<String>(&mut c.db).optional()?.as_deref())
}

/// Stars of an account on record.
///
/// # Errors
/// Those of the database.
pub fn count(c: &mut Connection, account: AccountId) -> Result<u64, StoreError> {
    let counted: i64 = starred::table.filter(starred::account_id.eq(account.0)).count().get_result(&mut c.db)?;
    Ok(u64::try_from(counted).unwrap_or_default())
}

/// What an account, `$1`, is known to star, by the list or by its mirrors, and the walk `$2` did not meet.
const MISSED: &str = "SELECT github_id FROM starred WHERE account_id = $1 AND scan < $2 UNION ALL \
     SELECT m.github_id FROM stars AS s JOIN mirrors AS m ON m.id = s.mirror_id WHERE s.account_id = $1 AND NOT EXISTS \
         (SELECT 1 FROM starred AS l WHERE l.account_id = $1 AND l.github_id = m.github_id)";

/// Those of them that are there, as far as is known: GitHub lists nothing that is gone.
const UNEXPLAINED: &str =
    "NOT EXISTS (SELECT 1 FROM mirrors AS g WHERE g.github_id = missed.github_id AND g.status = 'gone')";

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    stars: i64,
}

/// How many stars [`missed`] would give in all.
///
/// # Errors
/// Those of the database.
pub fn count_missed(c: &mut Connection, account: AccountId, scan: i64) -> Result<u64, StoreError> {
    let sql = format!("SELECT COUNT(*) AS stars FROM ({MISSED}) AS missed WHERE {UNEXPLAINED}");
    let row: Counted =
        diesel::sql_query(sql).bind::<BigInt, _>(account.0).bind::<BigInt, _>(scan).get_result(&mut c.db)?;
    Ok(u64::try_from(row.stars).unwrap_or_default())
}

#[derive(QueryableByName)]
struct Missed {
    #[diesel(sql_type = BigInt)]
    github_id: i64,
}

/// What an account is known to star, by the list or by its mirrors, and a walk did not meet, though nothing
/// says that it is gone; some of them at once, by GitHub's id.
///
/// # Errors
/// Those of the database.
pub fn missed(c: &mut Connection, account: AccountId, scan: i64, most: u32) -> Result<Vec<GithubId>, StoreError> {
    let sql = format!("SELECT github_id FROM ({MISSED}) AS missed WHERE {UNEXPLAINED} ORDER BY 1 LIMIT {most}");
    let rows: Vec<Missed> =
        diesel::sql_query(sql).bind::<BigInt, _>(account.0).bind::<BigInt, _>(scan).load(&mut c.db)?;
    Ok(rows.into_iter().map(|it| GithubId(it.github_id)).collect())
}

/// A star that a walk did not meet counts as met by it: the repository is gone, so nobody took the star back.
///
/// # Errors
/// Those of the database.
pub fn overlook(
    c: &mut Connection,
    account: AccountId,
    repository: GithubId,
    scan: i64,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let known = starred::table.find((account.0, repository.0));
    if diesel::update(known).set(starred::scan.eq(scan)).execute(&mut c.db)? == 1 {
        return Ok(());
    }
    // Only its mirror tells of the star.
    let sql = "INSERT INTO starred (account_id, github_id, starred_at, added_at, scan) \
               SELECT s.account_id, m.github_id, s.starred_at, $3, $4 FROM stars AS s \
               JOIN mirrors AS m ON m.id = s.mirror_id WHERE s.account_id = $1 AND m.github_id = $2 \
               ON CONFLICT (account_id, github_id) DO NOTHING";
    diesel::sql_query(sql)
        .bind::<BigInt, _>(account.0)
        .bind::<BigInt, _>(repository.0)
        .bind::<Text, _>(time::text(now))
        .bind::<BigInt, _>(scan)
        .execute(&mut c.db)?;
    Ok(())
}
