//! The five stages that a star passes through, each an actor of its own, behind a handle that
//! survives the actor's death.
//!
//! `accept` takes a delivery and makes its jobs durable; `describe` asks GitHub what the repository
//! is; `ensure` sees to its OneDev project; `transfer` moves refs and packs and proves the result;
//! `record` writes the outcome. They know nothing of each other: the orchestrator passes what one
//! found on to the next. `catalog` stands beside that way: it keeps what git does not carry. `stars` stands
//! at its beginning beside `accept`: it looks at the lists of users' stars; `listing` reads batches. `sweep` asks GitHub
//! what changed.
//!
//! Beside them, without actors, what a person asks for: `adopt` rebuilds a lost database from OneDev,
//! `restore` brings a mirror back out of it.

pub mod accept;
pub mod adopt;
pub mod catalog;
pub mod describe;
pub mod ensure;
pub mod failure;
pub mod lfs;
pub mod listing;
pub mod messages;
pub mod panics;
pub mod pool;
pub mod record;
pub mod recover;
pub mod restore;
mod starring;
pub mod stars;
pub mod sweep;
pub mod transfer;
