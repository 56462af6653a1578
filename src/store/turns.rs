//! Upkeep that one of several processes does at a time: an advisory lock that ends with the transaction, however
//! that ends. What lasts longer than a transaction is done under a lease.

use diesel::RunQueryDsl as _;
use diesel::sql_types::{Bool, Text};

use super::connection::Connection;
use super::error::StoreError;

/// Advisory locks are numbers that all users of a database share, so the name goes in with ours in front.
const KEY: &str = "hashtextextended('starkeep ' || $1, 0)";

#[derive(diesel::QueryableByName)]
struct Taken {
    #[diesel(sql_type = Bool)]
    taken: bool,
}

/// Whether nobody else is at this kind of upkeep; nobody will be before this transaction ends. A SQLite file has
/// one writer anyway.
///
/// What was read before this transaction may be another process's work by now: read it again.
///
/// # Errors
/// Those of the database.
pub fn take(c: &mut Connection, what: &str) -> Result<bool, StoreError> {
    if !c.is_postgres() {
        return Ok(true);
    }
    let sql = format!("SELECT pg_try_advisory_xact_lock({KEY}) AS taken");
    let row: Taken = diesel::sql_query(sql).bind::<Text, _>(what.to_owned()).get_result(&mut c.db)?;
    Ok(row.taken)
}

/// The same for what every process has to do: waits until the others have done it.
///
/// # Errors
/// Those of the database, [`StoreError::Busy`] among them when it takes too long.
pub fn wait(c: &mut Connection, what: &str) -> Result<(), StoreError> {
    if c.is_postgres() {
        let sql = format!("SELECT pg_advisory_xact_lock({KEY})");
        diesel::sql_query(sql).bind::<Text, _>(what.to_owned()).execute(&mut c.db)?;
    }
    Ok(())
}
