//! The second stage: asks GitHub what a repository is, by its numeric id.

use std::sync::Arc;

use actix::{Actor, Context, Handler, ResponseActFuture, WrapFuture as _};

use super::failure::Failure;
use super::messages::Describe;
use super::panics::Panics;
use super::pool::Guard;
use crate::domain::rate::Urgency;
use crate::domain::repository::Repository;
use crate::github::GithubClient;

/// What the stage works with.
pub struct Tools {
    /// Where to ask.
    pub github: GithubClient,
    /// Planned panics; none in production.
    pub panics: Panics,
}

/// The actor: one question at a time.
pub struct DescribeActor {
    tools: Arc<Tools>,
    _guard: Guard,
}

impl DescribeActor {
    /// One child of the stage's pool.
    pub fn new(tools: Arc<Tools>, guard: Guard) -> Self {
        Self { tools, _guard: guard }
    }
}

impl Actor for DescribeActor {
    type Context = Context<Self>;
}

impl Handler<Describe> for DescribeActor {
    type Result = ResponseActFuture<Self, Result<Repository, Failure>>;

    fn handle(&mut self, message: Describe, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move {
            tools.panics.strike("describe");
            Ok(match message {
                Describe::Mirror(ticket, id, name) => {
                    tools.github.urged(ticket.urgency).repository_of(id, Some(name.owner())).await?
                }
                Describe::Name(name) => tools.github.urged(Urgency::Fresh).repository_named(&name).await?,
            })
        };
        Box::pin(work.into_actor(self))
    }
}
