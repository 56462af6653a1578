//! The queue: one row a unit of work. The row is the work; whoever holds its lease carries it out.
//!
//! Queued in the transaction that records why (a delivery, a call of the API, the clock), claimed by
//! the orchestrator of whichever process has a free place, ended by the same under the same lease.
//! Nothing is lost with a process: a lease that runs out makes the job anybody's again.

mod end;
mod find;
mod lease;
mod queue;
mod row;
mod several;

pub use self::end::{bury, finish, postpone};
pub use self::find::{Filter, counts, find, list, next_run_after, oldest_due, prune};
pub use self::lease::{CRASH_LIMIT, Claim, Waits, claim, claim_one, free_expired, free_held_by, renew};
pub use self::queue::{Enqueued, NewJob, cancel, enqueue, retry};
pub use self::row::Job;
pub(in crate::store) use self::row::correlation;
pub use self::several::{
    cancel_queued, claim_many, claim_some, is_busy, is_first_try_open, put_off, reschedule, waiting_for,
};
