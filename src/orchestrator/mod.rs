//! Claims due jobs, drives each through its stages, and puts right what was cut off.
//!
//! The job row is the work and a wake-up is only a hint: whatever is lost - a message, an actor, the
//! process - the lease runs out and the next look at the table finds the row.

mod drive;
mod gone;
mod lease;
mod listings;
mod outages;
mod reconcile;
mod recover;
mod room;
mod routes;
mod stars;
mod supervise;
mod sweep;
mod wiki;

use std::sync::{Arc, Mutex, PoisonError};

use actix::{Actor, Context, Handler, Message, ResponseActFuture, WrapFuture as _};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::domain::bounds::Bounds;
use crate::domain::ids::MirrorId;
use crate::domain::retry::BackoffRule;
use crate::stages::accept::AcceptActor;
use crate::stages::catalog::CatalogActor;
use crate::stages::describe::DescribeActor;
use crate::stages::ensure::EnsureActor;
use crate::stages::failure::Failure;
use crate::stages::listing::ListingActor;
use crate::stages::panics::Panics;
use crate::stages::pool::{Guard, Pool};
use crate::stages::record::RecordActor;
use crate::stages::restore;
use crate::stages::stars::StarsActor;
use crate::stages::sweep::SweepActor;
use crate::stages::transfer::TransferActor;
use crate::store::Store;
use crate::telemetry::outages::Outages;
use crate::telemetry::progress::Progress;

pub use listings::AT_ONCE as BATCHES_AT_ONCE;
pub use recover::Recovering;
pub use room::Room;
pub use stars::{AT_ONCE as POLLS_AT_ONCE, Polling};
pub use supervise::Orchestration;
pub use sweep::Sweeping;

/// The stages, each behind a handle that survives its actors.
#[derive(Clone)]
pub struct Stages {
    /// Takes deliveries.
    pub accept: Pool<AcceptActor>,
    /// Asks GitHub.
    pub describe: Pool<DescribeActor>,
    /// Sees to projects.
    pub ensure: Pool<EnsureActor>,
    /// Moves refs and packs.
    pub transfer: Pool<TransferActor>,
    /// Writes outcomes down.
    pub record: Pool<RecordActor>,
    /// Keeps what git does not carry.
    pub catalog: Pool<CatalogActor>,
    /// Looks at users' stars.
    pub stars: Pool<StarsActor>,
    /// Reads batches.
    pub listing: Pool<ListingActor>,
    /// Asks GitHub what changed.
    pub sweep: Pool<SweepActor>,
}

impl Stages {
    /// Takes no more messages; children that end from now on are not replaced.
    pub fn close(&self) {
        let Self { accept, describe, ensure, transfer, record, catalog, stars, listing, sweep } = self;
        accept.close();
        describe.close();
        ensure.close();
        transfer.close();
        record.close();
        catalog.close();
        stars.close();
        listing.close();
        sweep.close();
    }
}

/// Restoring mirrors on trial.
pub struct Drills {
    /// What it works with.
    pub restore: restore::Tools,
    /// How often, and how many mirrors; `None` is never.
    pub every: Option<(std::time::Duration, usize)>,
    /// Where, and how much of each.
    pub bounds: restore::drill::Bounds,
}

/// How much of what was recorded is kept.
#[derive(Debug, Clone, Copy)]
pub struct Records {
    /// Received webhooks: how long.
    pub deliveries: std::time::Duration,
    /// Received webhooks: how many.
    pub most_deliveries: u64,
    /// The audit log; `None` is for ever.
    pub audit: Option<std::time::Duration>,
}

/// What the orchestrator works with.
pub struct Tools {
    /// State.
    pub store: Store,
    /// The stages.
    pub stages: Stages,
    /// One permit for each job under way: `sync.workers`.
    pub permits: Arc<Semaphore>,
    /// How long a claim lasts; renewed every third of it.
    pub lease: std::time::Duration,
    /// How failures are tried again.
    pub rule: BackoffRule,
    /// Restoring mirrors on trial.
    pub drills: Drills,
    /// Looking at users' stars.
    pub polling: Polling,
    /// One permit for each batch that is read: [`BATCHES_AT_ONCE`].
    pub batches: Arc<Semaphore>,
    /// How long after a walk the next one through a source begins.
    pub sources_every: std::time::Duration,
    /// Sweeping upstreams.
    pub sweeping: Sweeping,
    /// Looking for missed deliveries; `None` without an App, or where it is switched off.
    pub recovering: Option<Recovering>,
    /// How far back states of refs are remembered.
    pub history: std::time::Duration,
    /// How much of what was recorded is kept.
    pub records: Records,
    /// Larger upstreams are paused. Bytes.
    pub bounds: Bounds,
    /// What is left of the bound on all together.
    pub room: Room,
    /// More upstreams than this share that vanish within a day wait for an admin. Percent; `None` is off.
    pub mass_gone: Option<u8>,
    /// Mirror wikis too.
    pub wiki: bool,
    /// Keep catalogs.
    pub metadata: bool,
    /// Only jobs of these mirrors are claimed; `None` is all.
    pub only: Option<Only>,
    /// Who holds the leases: unique to this process.
    pub worker: String,
    /// Cancelled to stop claiming.
    pub stop: CancellationToken,
    /// Cancelled to call off what is under way.
    pub call_off: CancellationToken,
    /// Which servers are away.
    pub outages: Outages,
    /// Told what is being done.
    pub progress: Progress,
    /// Planned panics; none in production.
    pub panics: Panics,
}

/// The mirrors and batches that a command works on. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Only {
    mirrors: Arc<Mutex<Vec<MirrorId>>>,
    batches: Arc<Mutex<Vec<String>>>,
}

impl From<Vec<MirrorId>> for Only {
    fn from(mirrors: Vec<MirrorId>) -> Self {
        Self { mirrors: Arc::new(Mutex::new(mirrors)), batches: Arc::default() }
    }
}

impl Only {
    /// Puts more on the list.
    pub fn add(&self, mirrors: impl IntoIterator<Item = MirrorId>) {
        self.mirrors.lock().unwrap_or_else(PoisonError::into_inner).extend(mirrors);
    }

    /// Puts a batch on the list.
    pub fn add_batch(&self, id: String) {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    fn batches(&self) -> Vec<String> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn all(&self) -> Vec<MirrorId> {
        self.mirrors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Claim as many jobs as there are free permits and start them. Answers how many were started.
#[derive(Debug, Message)]
#[rtype(result = "Result<usize, Failure>")]
pub struct Claim;

/// Free leases that ran out, and queue the mirrors that are due.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Failure>")]
pub struct Reconcile;

/// The actor.
pub struct Orchestrator {
    tools: Arc<Tools>,
    _guard: Guard,
}

impl Orchestrator {
    /// The one child of its pool.
    pub fn new(tools: Arc<Tools>, guard: Guard) -> Self {
        Self { tools, _guard: guard }
    }
}

impl Actor for Orchestrator {
    type Context = Context<Self>;
}

impl Handler<Claim> for Orchestrator {
    type Result = ResponseActFuture<Self, Result<usize, Failure>>;

    fn handle(&mut self, _: Claim, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        Box::pin(async move { claim(&tools).await }.into_actor(self))
    }
}

impl Handler<Reconcile> for Orchestrator {
    type Result = ResponseActFuture<Self, Result<(), Failure>>;

    fn handle(&mut self, _: Reconcile, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        Box::pin(async move { reconcile::run(&tools).await }.into_actor(self))
    }
}

/// Claims no more than there are free permits: what cannot be worked on now stays free for others.
async fn claim(tools: &Arc<Tools>) -> Result<usize, Failure> {
    tools.panics.strike("orchestrator");
    let mut permits = Vec::new();
    while let Ok(permit) = Arc::clone(&tools.permits).try_acquire_owned() {
        permits.push(permit);
    }
    if permits.is_empty() || tools.stop.is_cancelled() {
        return Ok(0);
    }
    let claimed = outages::claim(tools, permits.len()).await?;
    let started = claimed.len();
    for (job, permit) in claimed.into_iter().zip(permits) {
        actix::spawn(drive::drive(Arc::clone(tools), job, permit));
    }
    Ok(started)
}
