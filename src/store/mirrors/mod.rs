//! Mirrors: one upstream each, with its OneDev project, its schedule and its last proof.
//!
//! Written by the stages as a job moves on, read by the orchestrator, the API and the command line.
//! Setters are narrow: each changes what one step learned and leaves alone what an admin may have
//! changed meanwhile.

mod change;
mod find;
mod json;
mod look;
mod moves;
mod row;
mod standing;
mod sweep;

/// Updates columns of one mirror, `updated_at` with them; says whether the mirror was there.
macro_rules! update {
    ($c:expr, $id:expr, $now:expr, [$($filter:expr),*], $($change:expr),+ $(,)?) => {
        $crate::store::prepared::Prepare::prepared(
            diesel::update(mirrors::table.filter(mirrors::id.eq($id.to_string()))$(.filter($filter))*)
                .set(($($change,)+ mirrors::updated_at.eq(time::text($now)))),
        )
            .execute(&mut $c.db)
            .map(|rows| rows == 1)
            .map_err(StoreError::from)
    };
}
use update;

pub use self::change::{
    Proven, delete, ensure, forget_project, intend_project, record_error, record_proof, schedule, set_description,
    set_name, set_not_level, set_onedev_digest, set_project, set_syncing,
};
pub(in crate::store) use self::find::sums;
pub use self::find::{
    Filter, InAll, by_github_id, by_name, counts_by_status, due, find, former_names, kept_in_all, list, lock,
    oldest_verification,
};
pub use self::json::{ProjectView, ProofView, TroubleView, View};
pub use self::look::{doubt_description, holder, record_unchanged, record_verified, trust_description};
pub use self::moves::{beside, moved, renounce_move};
pub use self::row::{Failure, Mirror, Project, Proof, Upstream};
pub(in crate::store) use self::row::{mirror_id, oid};
pub use self::standing::{hold, pause, restar, resume, set_status, unstar};
pub use self::sweep::{Candidate, activity, doubt, due_by_git, is_sweep_due, pass_over, plan_full, suspect, sweepable};
