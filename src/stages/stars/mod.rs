//! Looks at the lists of users' stars: what is new becomes a mirror, what a whole list proves to be
//! withdrawn is let go.
//!
//! The orchestrator says whose turn it is and holds the lease; GitHub is asked through `github`; each page
//! is one transaction. A look may be cut off anywhere: the next one begins where the database says.

mod lists;
mod look;
mod scan;
mod take;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, ResponseActFuture, WrapFuture as _};
use tokio_util::sync::CancellationToken;

pub use lists::ListRule;

use super::failure::{Failure, Verdict};
use super::panics::Panics;
use super::pool::Guard;
use crate::config::policy::Policy;
use crate::config::stars::Stars;
use crate::domain::retry::BackoffRule;
use crate::github::GithubClient;
use crate::store::Store;
use crate::store::polls::Poll;
use crate::telemetry::metrics::Metrics;

/// What the stage works with.
pub struct Tools {
    /// State.
    pub store: Store,
    /// Where to ask.
    pub github: GithubClient,
    /// Whose stars, how often, and what a taken-back one means.
    pub stars: Stars,
    /// How star lists are read; `None` where they are not.
    pub lists: Option<ListRule>,
    /// What waits for an admin.
    pub policy: Policy,
    /// How a page that failed is tried again.
    pub rule: BackoffRule,
    /// What is counted.
    pub metrics: Metrics,
    /// Planned panics; none in production.
    pub panics: Panics,
}

/// Look at a user's stars.
#[derive(Debug, Message)]
#[rtype(result = "Result<Looked, Failure>")]
pub struct LookAtStars {
    /// Whose, and what the last look showed.
    pub poll: Poll,
    /// Who holds the lease.
    pub worker: String,
    /// Cancelled when the lease is lost or the service ends.
    pub cancel: CancellationToken,
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// How deep it went.
    pub found: Found,
    /// Stars that were not known.
    pub new: u64,
    /// Stars that are no more.
    pub withdrawn: u64,
    /// The next look is due after this.
    pub next_in: Duration,
}

/// How deep a look went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing changed.
    Unchanged,
    /// The top of the list was read.
    Newer,
    /// The whole list was read.
    Everything,
    /// The whole list was read while it changed: what it lacks means nothing, and it is read again.
    Disturbed,
}

impl Found {
    /// The word in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Newer => "newer",
            Self::Everything => "everything",
            Self::Disturbed => "disturbed",
        }
    }
}

/// The actor: one user at a time.
pub struct StarsActor {
    tools: Arc<Tools>,
    _guard: Guard,
}

impl StarsActor {
    /// One child of the stage's pool.
    pub fn new(tools: Arc<Tools>, guard: Guard) -> Self {
        Self { tools, _guard: guard }
    }
}

impl Actor for StarsActor {
    type Context = Context<Self>;
}

impl Handler<LookAtStars> for StarsActor {
    type Result = ResponseActFuture<Self, Result<Looked, Failure>>;

    fn handle(&mut self, message: LookAtStars, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move {
            tools.panics.strike("stars");
            let cancel = message.cancel.clone();
            let looked = tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Failure::called_off()),
                looked = look::look(&tools, message) => looked,
            };
            let outcome = match &looked {
                Ok(it) => it.found.as_str(),
                Err(failure) if failure.verdict == Verdict::CalledOff => "cut_off",
                Err(_) => "failed",
            };
            tools.metrics.star_polls.with_label_values(&[outcome]).inc();
            looked
        };
        Box::pin(work.into_actor(self))
    }
}
