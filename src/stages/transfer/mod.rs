//! The fourth stage: moves refs and packs from GitHub to OneDev and proves the result.
//!
//! A sync is a few rounds of one thing: read both sides, decide, push. The round that finds nothing
//! left to push is the proof. So a push that was refused, a ref that somebody moved meanwhile, and a
//! run that was cut off half-way all need no code of their own: the next round sees what is there.

mod arrive;
mod brake;
mod engine;
mod head;
mod keep;
mod lfs;
mod mark;
mod prune;
mod push;
mod questions;
mod reach;
mod revive;
mod round;
mod wiki;

pub use round::Tools;
pub use wiki::ABSENT;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler, ResponseActFuture, WrapFuture as _};

use super::failure::Failure;
use super::messages::{BothSides, Compare, CountRefs, Look, SeekWiki, Ticket, TidyCaches, Transfer};
use super::pool::Guard;
use crate::domain::outcome::{Comparison, Synced};
use crate::domain::repository::RepositoryName;
use crate::domain::retry::Retry;
use round::Run;

/// The actor: one transfer at a time.
pub struct TransferActor {
    tools: Arc<Tools>,
    _guard: Guard,
}

impl TransferActor {
    /// One child of the stage's pool.
    pub fn new(tools: Arc<Tools>, guard: Guard) -> Self {
        Self { tools, _guard: guard }
    }
}

impl Actor for TransferActor {
    type Context = Context<Self>;
}

impl Handler<Transfer> for TransferActor {
    type Result = ResponseActFuture<Self, Result<Synced, Failure>>;

    fn handle(&mut self, message: Transfer, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move {
            let limit = tools.sync.timeout;
            let cancel = message.ticket.cancel.clone();
            let Transfer { ticket, sides, depth } = &message;
            let work = with_a_fresh_token(&tools, &sides.repository, || async {
                Run::open(&tools, ticket, sides).await?.sync(*depth).await
            });
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Failure::called_off()),
                done = tokio::time::timeout(limit, work) => done.unwrap_or_else(|_| Err(timed_out(limit))),
            }
        };
        Box::pin(work.into_actor(self))
    }
}

impl Handler<Compare> for TransferActor {
    type Result = ResponseActFuture<Self, Result<Comparison, Failure>>;

    fn handle(&mut self, message: Compare, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move {
            let limit = tools.sync.timeout;
            let cancel = message.ticket.cancel.clone();
            let Compare { ticket, sides } = &message;
            let work = with_a_fresh_token(&tools, &sides.repository, || async {
                Run::open(&tools, ticket, sides).await?.compare().await
            });
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Failure::called_off()),
                done = tokio::time::timeout(limit, work) => done.unwrap_or_else(|_| Err(timed_out(limit))),
            }
        };
        Box::pin(work.into_actor(self))
    }
}

impl Handler<Look> for TransferActor {
    type Result = ResponseActFuture<Self, Result<BothSides, Failure>>;

    fn handle(&mut self, message: Look, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move {
            let limit = tools.sync.timeout;
            let ticket = Ticket::unqueued(message.mirror);
            let look = async { Run::open(&tools, &ticket, &message.sides).await?.look().await };
            tokio::time::timeout(limit, look).await.unwrap_or_else(|_| Err(timed_out(limit)))
        };
        Box::pin(work.into_actor(self))
    }
}

impl Handler<SeekWiki> for TransferActor {
    type Result = ResponseActFuture<Self, Result<bool, Failure>>;

    fn handle(&mut self, message: SeekWiki, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move {
            let limit = tools.sync.timeout;
            let cancel = message.ticket.cancel.clone();
            let work = with_a_fresh_token(&tools, &message.repository, || wiki::is_there(&tools, &message.repository));
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Failure::called_off()),
                done = tokio::time::timeout(limit, work) => done.unwrap_or_else(|_| Err(timed_out(limit))),
            }
        };
        Box::pin(work.into_actor(self))
    }
}

impl Handler<CountRefs> for TransferActor {
    type Result = ResponseActFuture<Self, Result<usize, Failure>>;

    fn handle(&mut self, message: CountRefs, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move {
            let target = round::target(&tools, &round::path_of(&message.sides)?)?;
            Ok(target.receive_refs().await?.refs.len())
        };
        Box::pin(work.into_actor(self))
    }
}

impl Handler<TidyCaches> for TransferActor {
    type Result = ResponseActFuture<Self, Result<usize, Failure>>;

    fn handle(&mut self, _: TidyCaches, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        Box::pin(async move { engine::tidy(&tools).await }.into_actor(self))
    }
}

/// Does the work, and once more if GitHub takes the credential for worn out although it should be good:
/// an installation's tokens may be revoked early. A run bears to be done twice.
async fn with_a_fresh_token<T, F>(
    tools: &Tools,
    repository: &RepositoryName,
    work: impl Fn() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let refused = |done: &Result<T, Failure>| done.as_ref().is_err_and(|it| it.code == "upstream_unauthorized");
    let done = work().await;
    if let Err(Failure { code: "upstream_rate_limited", retry: Retry::After(after), .. }) = &done {
        // Everybody who reads with this credential waits, not this one sync.
        tools.github.git_limited(repository, *after).await?;
    }
    if !refused(&done) || tools.github.git_authorization(repository).await?.is_none() {
        return done;
    }
    tools.github.git_authorization_refused(repository);
    work().await
}

/// The whole transfer took too long.
fn timed_out(limit: Duration) -> Failure {
    let message = format!("the sync took longer than sync.timeout ({limit:?}); raise it, or see what is slow");
    Failure::new("timeout", message, Retry::Backoff)
}
