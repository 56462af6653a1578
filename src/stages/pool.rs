//! A stage as others see it: a fixed number of equal actors, each working on one message at a time,
//! replaced when they die.
//!
//! Actix's own supervisor dies with the actor it watches, its mailboxes do not push back, and its
//! registry keeps dead addresses. So: every child carries a [`Guard`] whose `Drop` tells the parent;
//! the parent starts another one, later each time, and gives up when that does not help; callers hold
//! a [`Pool`], which lends out a child that is free and never a dead one. A free child is the permit:
//! who gets none in time is told [`Unanswered::Busy`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Context, Handler, Message, WeakRecipient};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::telemetry::metrics::Metrics;

/// Deaths within [`WINDOW`] after which the parent gives up.
const MOST_DEATHS: usize = 20;
/// Older deaths are forgiven.
const WINDOW: Duration = Duration::from_secs(60);
/// A good value for [`PoolOptions::pause`].
pub const PAUSE: Duration = Duration::from_millis(20);

/// Why a message got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// No child became free in time.
    #[error("the stage `{0}` is busy")]
    Busy(&'static str),
    /// The child died over this message. Whether its work was done is unknown.
    #[error("the stage `{0}` crashed over this piece of work")]
    Crashed(&'static str),
    /// The service is shutting down.
    #[error("the stage `{0}` has ended")]
    Ended(&'static str),
}

/// Carried by every child; tells the parent when the child is gone, however it went.
pub struct Guard(WeakRecipient<ChildEnded>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(parent) = self.0.upgrade() {
            parent.do_send(ChildEnded);
        }
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct ChildEnded;

#[derive(Message)]
#[rtype(result = "()")]
struct Close;

/// What a pool is made of.
pub struct PoolOptions {
    /// Name of the stage: in metrics, logs and errors.
    pub name: &'static str,
    /// Children, and so messages at once.
    pub size: usize,
    /// The thread that the children run on.
    pub arbiter: ArbiterHandle,
    /// The pause before a second restart within a minute; it doubles from there.
    pub pause: Duration,
    /// Cancelled when the parent gives up: the process should end.
    pub gave_up: CancellationToken,
    /// Restarts and waiting callers are counted here.
    pub metrics: Metrics,
}

/// Handle to a stage. Clones share the children.
pub struct Pool<A: Actor<Context = Context<A>>> {
    shared: Arc<Shared<A>>,
    parent: Addr<Parent<A>>,
}

impl<A: Actor<Context = Context<A>>> Clone for Pool<A> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), parent: self.parent.clone() }
    }
}

struct Shared<A: Actor<Context = Context<A>>> {
    name: &'static str,
    free: Mutex<Vec<Addr<A>>>,
    permits: Semaphore,
    metrics: Metrics,
}

impl<A: Actor<Context = Context<A>>> Shared<A> {
    fn offer(&self, child: Addr<A>) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        self.permits.add_permits(1);
    }

    fn take(&self) -> Option<Addr<A>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// Gives the child back when the answer came or the caller stopped waiting for it.
struct Loan<A: Actor<Context = Context<A>>> {
    shared: Arc<Shared<A>>,
    child: Option<Addr<A>>,
}

impl<A: Actor<Context = Context<A>>> Drop for Loan<A> {
    fn drop(&mut self) {
        if let Some(child) = self.child.take().filter(Addr::connected) {
            self.shared.offer(child);
        }
    }
}

impl<A: Actor<Context = Context<A>>> Pool<A> {
    /// Starts the parent and its children. Must be called inside a running actix system.
    pub fn start(options: PoolOptions, child: impl Fn(Guard) -> A + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            name: options.name,
            free: Mutex::new(Vec::new()),
            permits: Semaphore::new(0),
            metrics: options.metrics.clone(),
        });
        let parent = Parent {
            options,
            child: Arc::new(child),
            shared: Arc::clone(&shared),
            deaths: VecDeque::new(),
            closing: false,
        };
        Self { shared, parent: parent.start() }
    }

    /// Sends a message to a child that is free, waiting for one at most `patience`, and waits for its
    /// answer.
    ///
    /// # Errors
    /// [`Unanswered`] when no child was free in time, the child died, or the service is ending.
    pub async fn ask<M>(&self, message: M, patience: Duration) -> Result<M::Result, Unanswered>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let name = self.shared.name;
        let waiting = self.shared.metrics.mailbox_depth.with_label_values(&[name]);
        waiting.inc();
        let permit = tokio::time::timeout(patience, self.shared.permits.acquire()).await;
        waiting.dec();
        permit.map_err(|_| Unanswered::Busy(name))?.map_err(|_| Unanswered::Ended(name))?.forget();
        let mut loan = Loan { shared: Arc::clone(&self.shared), child: self.shared.take() };
        let Some(child) = loan.child.clone() else { return Err(Unanswered::Ended(name)) };
        let span = tracing::info_span!("stage", stage = name);
        child.send(message).instrument(span).await.map_err(|_| {
            // The guard of the dead child has seen to a new one; this address must not come back.
            loan.child = None;
            Unanswered::Crashed(name)
        })
    }

    /// Lends out no child any more and starts none; work under way goes on.
    pub fn close(&self) {
        self.shared.permits.close();
        self.parent.do_send(Close);
    }
}

struct Parent<A: Actor<Context = Context<A>>> {
    options: PoolOptions,
    child: Arc<dyn Fn(Guard) -> A + Send + Sync>,
    shared: Arc<Shared<A>>,
    deaths: VecDeque<Instant>,
    closing: bool,
}

impl<A: Actor<Context = Context<A>>> Parent<A> {
    fn start_child(&self, ctx: &Context<Self>) {
        let guard = Guard(ctx.address().downgrade().recipient());
        let child = Arc::clone(&self.child);
        self.shared.offer(A::start_in_arbiter(&self.options.arbiter, move |_| child(guard)));
    }

    fn pause(&self) -> Duration {
        match self.deaths.len() {
            0 | 1 => Duration::ZERO,
            again => self.options.pause.saturating_mul(1 << (again - 2).min(10)),
        }
    }
}

impl<A: Actor<Context = Context<A>>> Actor for Parent<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        for _ in 0..self.options.size.max(1) {
            self.start_child(ctx);
        }
    }
}

impl<A: Actor<Context = Context<A>>> Handler<ChildEnded> for Parent<A> {
    type Result = ();

    fn handle(&mut self, _: ChildEnded, ctx: &mut Self::Context) {
        if self.closing {
            return;
        }
        let now = Instant::now();
        self.deaths.retain(|at| now.duration_since(*at) < WINDOW);
        self.deaths.push_back(now);
        self.options.metrics.actor_restarts.with_label_values(&[self.options.name]).inc();
        if self.deaths.len() > MOST_DEATHS {
            tracing::error!(actor = self.options.name, deaths = MOST_DEATHS, "an actor keeps dying: giving up");
            self.closing = true;
            self.options.gave_up.cancel();
            return;
        }
        tracing::error!(actor = self.options.name, "an actor died over its work and is replaced");
        ctx.run_later(self.pause(), |parent, ctx| parent.start_child(ctx));
    }
}

impl<A: Actor<Context = Context<A>>> Handler<Close> for Parent<A> {
    type Result = ();

    fn handle(&mut self, _: Close, _: &mut Self::Context) {
        self.closing = true;
    }
}

#[cfg(test)]
mod tests {
    use actix::{ActorFutureExt as _, Arbiter, ResponseActFuture, WrapFuture as _};

    use super::*;

    struct Worker {
        _guard: Guard,
    }

    impl Actor for Worker {
        type Context = Context<Self>;
    }

    #[derive(Message)]
    #[rtype(result = "u32")]
    struct Work {
        panic: bool,
        gate: Option<Arc<Semaphore>>,
    }

    impl Handler<Work> for Worker {
        type Result = ResponseActFuture<Self, u32>;

        fn handle(&mut self, work: Work, _: &mut Self::Context) -> Self::Result {
            let done = async move {
                if let Some(gate) = work.gate {
                    let _ = gate.acquire().await;
                }
                assert!(!work.panic, "planned");
                7
            };
            Box::pin(done.into_actor(self).map(|it, _, _| it))
        }
    }

    fn pool(size: usize) -> (Pool<Worker>, CancellationToken, Metrics) {
        let (gave_up, metrics) = (CancellationToken::new(), Metrics::new().unwrap());
        let options = PoolOptions {
            name: "work",
            size,
            arbiter: Arbiter::current(),
            pause: Duration::ZERO,
            gave_up: gave_up.clone(),
            metrics: metrics.clone(),
        };
        (Pool::start(options, |guard| Worker { _guard: guard }), gave_up, metrics)
    }

    const LONG: Duration = Duration::from_secs(30);
    const WORK: Work = Work { panic: false, gate: None };

    #[actix::test]
    async fn a_child_that_dies_is_replaced_and_the_handle_goes_on() {
        let (pool, _, metrics) = pool(1);
        for _ in 0..3 {
            let died = pool.ask(Work { panic: true, gate: None }, LONG).await;
            assert_eq!(died, Err(Unanswered::Crashed("work")));
            assert_eq!(pool.ask(WORK, LONG).await, Ok(7));
        }
        assert_eq!(metrics.actor_restarts.with_label_values(&["work"]).get(), 3);
    }

    #[actix::test]
    async fn a_death_does_not_touch_the_work_of_the_others() {
        let (pool, _, _) = pool(2);
        let gate = Arc::new(Semaphore::new(0));
        let held = actix::spawn({
            let (pool, gate) = (pool.clone(), Arc::clone(&gate));
            async move { pool.ask(Work { panic: false, gate: Some(gate) }, LONG).await }
        });
        assert_eq!(pool.ask(Work { panic: true, gate: None }, LONG).await, Err(Unanswered::Crashed("work")));
        gate.add_permits(1);
        assert_eq!(held.await.unwrap(), Ok(7));
    }

    #[actix::test]
    async fn who_gets_no_child_in_time_is_told_that_the_stage_is_busy() {
        let (pool, _, _) = pool(1);
        let gate = Arc::new(Semaphore::new(0));
        let held = actix::spawn({
            let (pool, gate) = (pool.clone(), Arc::clone(&gate));
            async move { pool.ask(Work { panic: false, gate: Some(gate) }, LONG).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(pool.ask(WORK, Duration::ZERO).await, Err(Unanswered::Busy("work")));
        gate.add_permits(1);
        assert_eq!(held.await.unwrap(), Ok(7));
        assert_eq!(pool.ask(WORK, LONG).await, Ok(7));
    }

    #[actix::test]
    async fn a_child_that_cannot_live_ends_the_service() {
        let (pool, gave_up, _) = pool(1);
        for _ in 0..=MOST_DEATHS {
            let _ = pool.ask(Work { panic: true, gate: None }, LONG).await;
        }
        gave_up.cancelled().await;
    }
}
