//! Mirrors: one upstream each, with its OneDev project, its schedule and its last proof.
//!
//! Written by the stages as a job moves on, read by the orchestrator, the API and the command line.
//! Setters are narrow: each changes what one step learned and leaves alone what an admin may have
//! changed meanwhile.

mod change;
mod find;
mod json;
mod look;
mod row;

pub use self::change::{
    Proven, delete, ensure, forget_project, intend_project, pause, record_error, record_proof, restar, resume,
    schedule, set_description, set_name, set_onedev_digest, set_project, set_status, set_syncing, unstar,
};
pub use self::find::{
    Filter, by_github_id, by_name, counts_by_status, due, find, former_names, list, oldest_verification,
};
pub use self::look::{doubt_description, holder, record_unchanged, record_verified};
pub use self::row::{Failure, Mirror, Project, Proof, Upstream};
pub(in crate::store) use self::row::{mirror_id, oid};
