//! Stories: the real service, in this process or as its binary, against the simulated GitHub and
//! OneDev with real git behind them. Every story that touches the database is told on both.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests"
)]

mod api;
#[path = "../support/contract.rs"]
mod contract;
#[path = "../support/following.rs"]
mod following;
#[path = "../support/level.rs"]
mod level;
#[path = "../support/own_postgres.rs"]
mod own_postgres;
#[path = "../support/postgres.rs"]
mod postgres;
mod process;
mod stories;
mod world;
