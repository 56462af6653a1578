//! The simulated GitHub: REST and git on one port of loopback, webhooks ready to be delivered.
//!
//! Requests of the clients under test come in through [`serve`]; tests and the demo hold a
//! [`GithubSimulator`] and edit the state behind it.

mod app;
mod auth;
mod catalog;
mod contents;
mod edit;
mod endpoints;
mod git;
mod graphql;
mod hook;
mod json;
mod lfs;
mod owned;
mod rest;
mod star_lists;
mod state;
#[cfg(test)]
mod tests;
mod webhooks;
mod wiki;

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use actix_web::{HttpRequest, HttpResponse, web};

pub use self::json::repository_node_id as node_id;
pub use self::star_lists::Oddity;
pub use self::state::Block;
pub use self::webhooks::{Delivery, sign};

use self::state::State;
use super::faults::{Fault, Gate, Hold, Trigger};
use super::front::Front;
use super::git_http::GitCall;
use super::process::Git;
use super::record::{RequestRecord, lock};
use super::slot::Slot;
use super::ssh::{Serve, SshDoor};
use super::{SimulatorError, SimulatorOptions};

/// What the server's threads and the handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    options: Arc<SimulatorOptions>,
    state: Mutex<State>,
    front: Front,
    git: Git,
}

/// A handle on the simulated GitHub; cheap to clone, usable from any thread and runtime.
#[derive(Debug, Clone)]
pub struct GithubSimulator {
    pub(crate) shared: Arc<Shared>,
    pub(crate) slot: Slot,
}

impl GithubSimulator {
    pub(crate) fn start(options: &Arc<SimulatorOptions>, folder: &Path) -> io::Result<Self> {
        let mut state = State::new(folder.join("github"));
        state.tokens.insert(options.github_token.clone());
        let git = Git::new(&[("uploadpack.allowFilter", "true")]).with_hooks(folder.join("hooks-github"))?;
        let shared =
            Arc::new(Shared { options: Arc::clone(options), state: Mutex::new(state), front: Front::default(), git });
        let data = web::Data::from(Arc::clone(&shared));
        let slot = Slot::start(options.workers, move |config| {
            config.app_data(data.clone()).default_service(web::to(serve));
        })?;
        Ok(Self { shared, slot })
    }

    /// `http://127.0.0.1:PORT`, for `github.api_url` and `github.git_url`; with the prefix of the options behind it.
    pub fn api_url(&self) -> String {
        format!("{}{}", self.slot.url(), self.shared.options.api_prefix)
    }

    /// Without a prefix: git lives under `/owner/name` on the same port.
    pub fn git_url(&self) -> String {
        self.slot.url()
    }

    /// Opens an SSH door, whose keys see what the token sees.
    ///
    /// # Errors
    /// When no port, thread or key is to be had.
    pub fn open_ssh(&self) -> Result<SshDoor, SimulatorError> {
        let shared = Arc::clone(&self.shared);
        let serve = move || -> Serve { Rc::new(move |call| Box::pin(git::answer_ssh(Arc::clone(&shared), call))) };
        let front: Arc<Shared> = Arc::clone(&self.shared);
        Ok(SshDoor::open(front, serve)?)
    }

    /// The personal access token that is valid from the start.
    pub fn token(&self) -> &str {
        &self.shared.options.github_token
    }

    /// Makes a token valid.
    pub fn add_token(&self, token: &str) {
        lock(&self.shared.state).tokens.insert(token.to_owned());
    }

    /// Makes a token worthless, as one that was revoked or has expired.
    pub fn revoke_token(&self, token: &str) {
        lock(&self.shared.state).tokens.remove(token);
    }

    /// Makes every installation token worthless.
    pub fn expire_installation_tokens(&self) {
        lock(&self.shared.state).tokens.retain(|it| !it.starts_with("ghs_"));
    }

    /// Makes a valid token a user's own; the account is made if it is new.
    pub fn give_token(&self, token: &str, login: &str) {
        let mut state = lock(&self.shared.state);
        let id = state.ensure_account(login);
        state.tokens.insert(token.to_owned());
        state.owners.insert(token.to_owned(), id);
    }

    /// Lists of stars show at most so many entries a page, whatever is asked for.
    pub fn set_largest_page(&self, most: usize) {
        lock(&self.shared.state).largest_page = most;
    }

    /// How many installation tokens were made.
    pub fn mints(&self) -> u32 {
        lock(&self.shared.state).mints
    }

    /// Sets the primary rate limit; with nothing remaining, calls are answered 403 until it is set
    /// again. `reset` in Unix seconds.
    pub fn set_rate_limit(&self, limit: u32, remaining: u32, reset: i64) {
        lock(&self.shared.state).rate = state::Rate { limit, remaining, reset };
    }

    /// Every request since the start or the last [`Self::clear_requests`].
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.front.log.all()
    }

    /// Forgets the requests seen so far.
    pub fn clear_requests(&self) {
        self.shared.front.log.clear();
    }

    /// Plans a fault.
    pub fn fail(&self, trigger: Trigger, fault: Fault) {
        self.shared.front.plan.fail(trigger, fault);
    }

    /// Plans that a request is held at a point until the gate is released.
    pub fn hold(&self, trigger: Trigger, at: Hold) -> Gate {
        self.shared.front.plan.hold(trigger, at)
    }

    /// Forgets every planned fault; gates that hold somebody still do.
    pub fn clear_faults(&self) {
        self.shared.front.plan.clear();
    }

    /// Cuts every connection and refuses new ones.
    pub fn go_down(&self) {
        self.slot.stop();
    }

    /// Serves again, at the same address.
    ///
    /// # Errors
    /// When the port was taken in the meantime.
    pub fn come_back(&self) -> Result<(), SimulatorError> {
        Ok(self.slot.restart()?)
    }
}

impl AsRef<Front> for Shared {
    fn as_ref(&self) -> &Front {
        &self.front
    }
}

async fn serve(request: HttpRequest, shared: web::Data<Shared>, payload: web::Payload) -> HttpResponse {
    let shared = shared.into_inner();
    let front = Arc::clone(&shared);
    let handler = |request: HttpRequest, body, quirks| async move {
        let path = request.uri().path().to_owned();
        match GitCall::of(&path, request.query_string()) {
            Some((repository, call)) => git::answer(&shared, request, body, quirks, repository, call).await,
            None if graphql::is_meant(&request) => graphql::answer(&shared, &request, body).await,
            None => match lfs::answer(&shared, &request, body).await {
                Ok(response) => response,
                Err(_) => rest::answer(&shared, &request),
            },
        }
    };
    let date = lock(&front.state).app.date();
    let mut response = front.front.lead(request, payload, handler).await;
    if let Some(date) = date.and_then(|it| it.parse().ok()) {
        response.headers_mut().insert(actix_web::http::header::DATE, date);
    }
    response
}
