//! Keeps the orchestrator looking: at every wake-up, at every tick, until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Claim, Orchestrator, Reconcile, Tools, listings, recover, stars, sweep};
use crate::stages::failure::Failure;
use crate::stages::pool::{Pool, PoolOptions, Unanswered};

/// Without any wake-up the table is looked at so often: a lost one costs no more than this.
const TICK: Duration = Duration::from_secs(1);
/// The orchestrator's own actor is asked for so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The running orchestrator.
pub struct Orchestration {
    stop: CancellationToken,
    call_off: CancellationToken,
    permits: Arc<Semaphore>,
    workers: u32,
    polls: Arc<Semaphore>,
    batches: Arc<Semaphore>,
    sweeping: Arc<Semaphore>,
    recovery: Option<Arc<Semaphore>>,
    pool: Pool<Orchestrator>,
}

impl Orchestration {
    /// Starts looking for work. Must be called inside a running actix system.
    pub fn start(tools: Tools, options: PoolOptions) -> Self {
        let (stop, call_off, permits) = (tools.stop.clone(), tools.call_off.clone(), Arc::clone(&tools.permits));
        let (polls, sweeping) = (Arc::clone(&tools.polling.permits), Arc::clone(&tools.sweeping.permit));
        let batches = Arc::clone(&tools.batches);
        let recovery = tools.recovering.as_ref().map(|it| Arc::clone(&it.permit));
        // All are free before the first claim.
        let workers = u32::try_from(permits.available_permits()).unwrap_or(u32::MAX);
        let wakeups = tools.store.wakeups();
        let tools = Arc::new(tools);
        let pool = Pool::start(options, move |guard| Orchestrator::new(Arc::clone(&tools), guard));
        actix::spawn(look(pool.clone(), wakeups, stop.clone()));
        Self { stop, call_off, permits, workers, polls, batches, sweeping, recovery, pool }
    }

    /// Claims no more, waits for what is under way at most `patience`, then calls it off; its jobs are
    /// free again at once.
    pub async fn shut_down(self, patience: Duration) {
        self.stop.cancel();
        stars::ended(&self.polls).await;
        listings::ended(&self.batches).await;
        sweep::ended(&self.sweeping).await;
        recover::ended(self.recovery.as_deref()).await;
        if tokio::time::timeout(patience, self.permits.acquire_many(self.workers)).await.is_err() {
            tracing::warn!("not all work ended in time; the rest is called off and will be done again");
            self.call_off.cancel();
            let _ = tokio::time::timeout(Duration::from_secs(5), self.permits.acquire_many(self.workers)).await;
        }
        self.pool.close();
    }
}

async fn look(pool: Pool<Orchestrator>, mut wakeups: tokio::sync::watch::Receiver<u64>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => note(pool.ask(Reconcile, PATIENCE).await.map(|it| it.map(drop))),
            changed = wakeups.changed() => if changed.is_err() { return },
        }
        wakeups.borrow_and_update();
        note(pool.ask(Claim, PATIENCE).await.map(|it| it.map(drop)));
    }
}

/// A look that failed is no more than a look: the next one comes with the next tick.
fn note(answer: Result<Result<(), Failure>, Unanswered>) {
    let failure = match answer {
        Ok(Ok(())) | Err(Unanswered::Ended(_)) => return,
        Ok(Err(failure)) => failure,
        Err(unanswered) => unanswered.into(),
    };
    tracing::warn!(code = failure.code, "could not look for work: {}", failure.message);
}
