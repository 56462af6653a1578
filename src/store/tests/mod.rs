//! One suite over both databases: each story is a test on a fresh SQLite file and one on a fresh
//! Postgres database.

mod bed;
mod mirrors;
#[path = "../../../tests/support/postgres.rs"]
mod postgres;

use self::bed::{Bed, LEASE, at, branch, correlation, oid, on_both, subject};
