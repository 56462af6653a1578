//! The two databases behind one set of queries, as diesel's derive makes them.
//!
//! In a module of its own: the code of the derive takes in every name around it.

use diesel::{PgConnection, SqliteConnection};

/// What diesel runs queries on.
#[derive(diesel::MultiConnection)]
pub(super) enum Backend {
    /// Embedded.
    Sqlite(SqliteConnection),
    /// A server, shared by several processes.
    Postgres(PgConnection),
}
