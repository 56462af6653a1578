//! Asks GitHub what became of many upstreams at once, so that git need not ask about each.
//!
//! The orchestrator says when and holds the lease; GitHub is asked through `github`; what is said of some
//! hundreds is one transaction. A sweep proves nothing: it moves the next look at a mirror on, or queues the
//! sync that looks. It may be cut off anywhere: what is due is still due.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, ResponseActFuture, WrapFuture as _};
use chrono::Utc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::failure::{Failure, Verdict};
use super::panics::Panics;
use super::pool::Guard;
use crate::domain::ids::CorrelationId;
use crate::domain::retry::{BackoffRule, Retry};
use crate::domain::sweep::{self, Finding, Pace, Sight};
use crate::github::{Asked, GithubClient};
use crate::store::mirrors::{self, Candidate};
use crate::store::{Connection, Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// Mirrors of one transaction: as many as five requests tell of.
const AT_ONCE: u32 = 500;
/// A sweep ends after so many, whatever is still due: far more than anybody has.
const MOST_ROUNDS: u32 = 1_000;
/// Tries of requests that fail in a way that may pass.
const TRIES: u32 = 3;
/// A pause of GitHub's that is waited out within a sweep; a longer one ends it.
const SHORT_PAUSE: Duration = Duration::from_secs(20);

/// What the stage works with.
pub struct Tools {
    /// State.
    pub store: Store,
    /// Where to ask.
    pub github: GithubClient,
    /// When the next look is due.
    pub pace: Pace,
    /// How requests that failed are tried again.
    pub rule: BackoffRule,
    /// What is counted.
    pub metrics: Metrics,
    /// Planned panics; none in production.
    pub panics: Panics,
}

/// Look at every upstream that is due and that GitHub can be asked for in a list.
#[derive(Debug, Message)]
#[rtype(result = "Result<Swept, Failure>")]
pub struct SweepUpstreams {
    /// Cancelled when the lease is lost or the service ends.
    pub cancel: CancellationToken,
}

/// What a sweep found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Mirrors of which nothing suspicious is known.
    pub quiet: u64,
    /// Mirrors that git looks at.
    pub moved: u64,
    /// Mirrors that GitHub is asked about.
    pub changed: u64,
}

/// The actor: one sweep at a time.
pub struct SweepActor {
    tools: Arc<Tools>,
    _guard: Guard,
}

impl SweepActor {
    /// The one child of the stage's pool.
    pub fn new(tools: Arc<Tools>, guard: Guard) -> Self {
        Self { tools, _guard: guard }
    }
}

impl Actor for SweepActor {
    type Context = Context<Self>;
}

impl Handler<SweepUpstreams> for SweepActor {
    type Result = ResponseActFuture<Self, Result<Swept, Failure>>;

    fn handle(&mut self, message: SweepUpstreams, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move {
            tools.panics.strike("sweep");
            let swept = tokio::select! {
                biased;
                () = message.cancel.cancelled() => Err(Failure::called_off()),
                swept = sweep(&tools) => swept,
            };
            let outcome = match &swept {
                Ok(_) => "done",
                Err(failure) if failure.verdict == Verdict::CalledOff => "cut_off",
                Err(_) => "failed",
            };
            tools.metrics.sweeps.with_label_values(&[outcome]).inc();
            swept
        };
        Box::pin(work.into_actor(self))
    }
}

async fn sweep(tools: &Tools) -> Result<Swept, Failure> {
    let (correlation, mut all) = (CorrelationId(Uuid::now_v7()), Swept::default());
    for _ in 0..MOST_ROUNDS {
        let (until, now) = (Utc::now() + tools.pace.ahead(), Utc::now());
        let batch = tools.store.read(move |c| mirrors::sweepable(c, until, now, AT_ONCE)).await?;
        if batch.is_empty() {
            break;
        }
        let sights = ask(tools, &batch).await?;
        let (pace, looks) = (tools.pace, Arc::new(batch.into_iter().zip(sights).collect::<Vec<_>>()));
        let swept = tools.store.write(move |c| write_down(c, &looks, pace, correlation)).await?;
        count(tools, swept);
        all.quiet += swept.quiet;
        all.moved += swept.moved;
        all.changed += swept.changed;
    }
    if all.moved + all.changed > 0 {
        let Swept { quiet, moved, changed } = all;
        tracing::info!(correlation_id = %correlation, quiet, moved, changed, "upstreams changed");
    }
    Ok(all)
}

/// Asks GitHub, and again where that may help.
async fn ask(tools: &Tools, batch: &[Candidate]) -> Result<Vec<Sight>, Failure> {
    let asked: Vec<Asked> = batch
        .iter()
        .map(|it| Asked { id: it.github_id, node_id: it.node_id.clone(), name: it.known.name.clone() })
        .collect();
    for again in 1.. {
        let error = match tools.github.upstreams(&asked).await {
            Ok(sights) => return Ok(sights),
            Err(error) => error,
        };
        let pause = match error.retry() {
            Retry::After(pause) if pause <= SHORT_PAUSE => Some(pause),
            Retry::Backoff => tools.rule.pause(again, rand::random()),
            Retry::After(_) | Retry::Never => None,
        };
        match pause.filter(|_| again < TRIES) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(error.into()),
        }
    }
    Ok(Vec::new())
}

fn write_down(
    c: &mut Connection,
    looks: &[(Candidate, Sight)],
    pace: Pace,
    correlation: CorrelationId,
) -> Result<Swept, StoreError> {
    let (now, mut swept) = (Utc::now(), Swept::default());
    for (it, sight) in looks {
        match sweep::finding(&it.known, sight) {
            Finding::Quiet => {
                mirrors::pass_over(c, it, pace.next(it.id, &it.activity, rand::random(), now))?;
                swept.quiet += 1;
            }
            Finding::Moved => {
                let pushed_at = if let Sight::Seen(seen) = sight { seen.pushed_at } else { None };
                mirrors::suspect(c, it, pushed_at, correlation, now)?;
                swept.moved += 1;
            }
            Finding::Changed => {
                mirrors::doubt(c, it, correlation, now)?;
                swept.changed += 1;
            }
        }
    }
    Ok(swept)
}

fn count(tools: &Tools, swept: Swept) {
    let Swept { quiet, moved, changed } = swept;
    for (finding, count) in [("quiet", quiet), ("moved", moved), ("changed", changed)] {
        tools.metrics.swept_mirrors.with_label_values(&[finding]).inc_by(count);
    }
}
