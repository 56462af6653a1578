//! Keeps the catalog: what GitHub holds about a repository that git does not carry.
//!
//! A round reads GitHub's lists page by page into the database (`gather`) and then writes what changed
//! as one commit into the project (`publish`, with the files of `units`). One job does a slice of a
//! round, some pages or some seconds, and says whether there is more, so that a repository of ten
//! thousand issues keeps no sync waiting; each page is one transaction, so a slice that is cut off
//! goes on where it was.

mod assets;
mod gather;
mod publish;
mod slice;
mod standing;
mod units;

pub(in crate::stages) use gather::pack;

use std::path::PathBuf;
use std::sync::Arc;

use actix::{Actor, Context, Handler, ResponseActFuture, WrapFuture as _};
use tokio::sync::Semaphore;

use super::failure::Failure;
use super::messages::{Catalog, Cataloged};
use super::panics::Panics;
use super::pool::Guard;
use crate::config::sync::Sync;
use crate::git;
use crate::github::GithubClient;
use crate::onedev::OnedevClient;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::progress::Progress;

/// What the stage works with.
pub struct Tools {
    /// State.
    pub store: Store,
    /// Where to ask.
    pub github: GithubClient,
    /// Where the projects are.
    pub onedev: OnedevClient,
    /// Connections of the git wire client.
    pub connections: git::Connections,
    /// How long a silent server is waited for.
    pub wire: git::Patience,
    /// Where packs that are too big for memory wait.
    pub folder: PathBuf,
    /// One permit for each push under way: `onedev.concurrent_pushes`.
    pub pushes: Arc<Semaphore>,
    /// One upload of an object at a time.
    pub claims: git::Claims,
    /// Which refs are mirrored, which holds the catalog, and how often to look.
    pub sync: Sync,
    /// What is counted.
    pub metrics: Metrics,
    /// Told what is being done.
    pub progress: Progress,
    /// Planned panics; none in production.
    pub panics: Panics,
}

/// The actor: one slice at a time.
pub struct CatalogActor {
    tools: Arc<Tools>,
    _guard: Guard,
}

impl CatalogActor {
    /// One child of the stage's pool.
    pub fn new(tools: Arc<Tools>, guard: Guard) -> Self {
        Self { tools, _guard: guard }
    }
}

impl Actor for CatalogActor {
    type Context = Context<Self>;
}

impl Handler<Catalog> for CatalogActor {
    type Result = ResponseActFuture<Self, Result<Cataloged, Failure>>;

    fn handle(&mut self, message: Catalog, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move {
            tools.panics.strike("catalog");
            let Catalog { ticket, mirror } = &message;
            tokio::select! {
                biased;
                () = ticket.cancel.cancelled() => Err(Failure::called_off()),
                done = slice::run(&tools, mirror) => done,
            }
        };
        Box::pin(work.into_actor(self))
    }
}
