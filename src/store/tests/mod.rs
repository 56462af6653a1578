//! One suite over both databases: each story is a test on a fresh SQLite file and one on a fresh
//! Postgres database.

mod bed;
mod chain;
mod deliveries;
mod events;
mod history;
mod jobs;
mod keyed_calls;
mod keys;
mod mirrors;
mod notices;
mod parts;
mod polls;
#[path = "../../../tests/support/postgres.rs"]
mod postgres;
mod races;
mod recoveries;
mod sessions;
mod states;
mod tips;
mod transactions;
mod writer;

use self::bed::{Bed, LEASE, at, branch, correlation, oid, on_both, subject};
