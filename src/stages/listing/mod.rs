//! Walks through the list of a batch or of a source: what is on it becomes a mirror, or part of a plan.
//!
//! The orchestrator says whose turn it is and holds the lease. Each page is one transaction, which says where the
//! walk goes on: it may be cut off anywhere.

mod declared;
mod take;
mod walk;

use std::sync::Arc;

use actix::{Actor, Context, Handler, Message, ResponseActFuture, WrapFuture as _};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::panics::Panics;
use super::pool::Guard;
use crate::domain::event::Account;
use crate::domain::naming::Naming;
use crate::domain::rate::Urgency;
use crate::domain::retry::BackoffRule;
use crate::github::GithubClient;
use crate::onedev::OnedevClient;
use crate::store::Store;
use crate::store::listings::Listing;

/// What the stage works with.
pub struct Tools {
    /// State.
    pub store: Store,
    /// Where to ask.
    pub github: GithubClient,
    /// Where a plan looks for what is in the way.
    pub onedev: OnedevClient,
    /// Where a mirror would go.
    pub naming: Naming,
    /// How a page that failed is tried again.
    pub rule: BackoffRule,
    /// Planned panics; none in production.
    pub panics: Panics,
}

/// Walk through a list, from where the last walk ended.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Failure>")]
pub struct WalkList {
    /// Which.
    pub listing: Listing,
    /// Who holds the lease.
    pub worker: String,
    /// Cancelled when the lease is lost or the service ends.
    pub cancel: CancellationToken,
}

/// Ask GitHub who has a login.
#[derive(Debug, Message)]
#[rtype(result = "Result<Account, Failure>")]
pub struct Identify {
    /// The login.
    pub login: String,
}

/// The actor: one list at a time.
pub struct ListingActor {
    tools: Arc<Tools>,
    _guard: Guard,
}

impl ListingActor {
    /// One child of the stage's pool.
    pub fn new(tools: Arc<Tools>, guard: Guard) -> Self {
        Self { tools, _guard: guard }
    }
}

impl Actor for ListingActor {
    type Context = Context<Self>;
}

impl Handler<WalkList> for ListingActor {
    type Result = ResponseActFuture<Self, Result<(), Failure>>;

    fn handle(&mut self, message: WalkList, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move {
            tools.panics.strike("listing");
            let WalkList { listing, worker, cancel } = message;
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Failure::called_off()),
                walked = walk::walk(&tools, listing, worker) => walked,
            }
        };
        Box::pin(work.into_actor(self))
    }
}

impl Handler<Identify> for ListingActor {
    type Result = ResponseActFuture<Self, Result<Account, Failure>>;

    fn handle(&mut self, message: Identify, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move { Ok(tools.github.urged(Urgency::Fresh).account_named(&message.login).await?) };
        Box::pin(work.into_actor(self))
    }
}
