//! The simulated OneDev, as version 16.5.6 behaves: REST, git over HTTP with its hooks' traps, one
//! queue for pack requests, and the phases of booting.
//!
//! Requests of the clients under test come in through [`serve`]; tests and the demo hold a
//! [`OneDevSimulator`] and look at the state behind it.

mod auth;
mod commits;
mod control;
mod data;
mod git;
mod hooks;
mod lfs;
mod others;
mod projects;
mod pushes;
mod query;
mod reply;
mod repositories;
mod rest;
mod settings;
mod state;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use actix_web::http::header::SERVER;
use actix_web::{HttpRequest, HttpResponse, web};
use tokio::sync::Semaphore;

pub use self::control::ProjectState;

use self::reply::Reply;
use self::state::{State, Token};
use super::faults::{Fault, Gate, Hold, Trigger};
use super::front::Front;
use super::git_http::GitCall;
use super::process::{Git, Quirks};
use super::record::{RequestRecord, lock};
use super::slot::Slot;
use super::ssh::{Serve, SshDoor};
use super::streams::ByteStream;
use super::{SimulatorError, SimulatorOptions};

/// How far the server has come up. Before the first there are refused connections: see
/// [`OneDevSimulator::go_down`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A probe server answers everything with Jetty's HTML 404.
    Booting,
    /// REST answers, git is 503.
    GitNotReady,
    /// All is up.
    Ready,
}

/// What the server's threads and the handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    options: Arc<SimulatorOptions>,
    state: Mutex<State>,
    phase: Mutex<Phase>,
    front: Front,
    git: Git,
    slots: Arc<Semaphore>,
    writing: lfs::Writing,
    pushes: pushes::Pushes,
}

/// A handle on the simulated OneDev; cheap to clone, usable from any thread and runtime.
#[derive(Debug, Clone)]
pub struct OneDevSimulator {
    pub(crate) shared: Arc<Shared>,
    pub(crate) slot: Slot,
}

impl OneDevSimulator {
    pub(crate) fn start(options: &Arc<SimulatorOptions>, folder: &Path) -> io::Result<Self> {
        let mut state = State::new(folder.join("onedev"));
        let value = options.onedev_token.clone();
        state.tokens.add(Token { name: "admin".to_owned(), value, owner_permissions: true });
        let shared = Arc::new(Shared {
            options: Arc::clone(options),
            state: Mutex::new(state),
            phase: Mutex::new(Phase::Ready),
            front: Front::default(),
            git: Git::new(&[]).with_hooks(folder.join("hooks-onedev"))?,
            slots: Arc::new(Semaphore::new(options.onedev_slots.max(1))),
            writing: lfs::Writing::default(),
            pushes: pushes::Pushes::default(),
        });
        let data = web::Data::from(Arc::clone(&shared));
        let slot = Slot::start(options.workers, move |config| {
            config.app_data(data.clone()).default_service(web::to(serve));
        })?;
        Ok(Self { shared, slot })
    }

    /// `http://127.0.0.1:PORT`, for `onedev.url`.
    pub fn url(&self) -> String {
        self.slot.url()
    }

    /// The token with all of `admin`'s rights.
    pub fn admin_token(&self) -> &str {
        &self.shared.options.onedev_token
    }

    /// Opens an SSH door, whose keys are those of `admin`.
    ///
    /// # Errors
    /// When no port, thread or key is to be had.
    pub fn open_ssh(&self) -> Result<SshDoor, SimulatorError> {
        let shared = Arc::clone(&self.shared);
        let serve = move || -> Serve {
            let data = web::Data::from(shared);
            Rc::new(move |call| Box::pin(git::answer_ssh(data.clone(), call)))
        };
        let front: Arc<Shared> = Arc::clone(&self.shared);
        Ok(SshDoor::open(front, serve)?)
    }

    /// Every request since the start or the last [`Self::clear_requests`].
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.front.log.all()
    }

    /// The most pushes that were ever under way at once into one project.
    pub fn most_pushes_at_once(&self) -> usize {
        self.shared.pushes.most()
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

    /// Cuts every connection, as a kill does, and refuses new ones.
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
    let data = shared.clone();
    let handler = |request, body, quirks| handle(data, request, body, quirks);
    shared.front.lead(request, payload, handler).await
}

async fn handle(shared: web::Data<Shared>, request: HttpRequest, body: ByteStream, quirks: Quirks) -> HttpResponse {
    let path = request.uri().path().to_owned();
    let phase = *lock(&shared.phase);
    match path.as_str() {
        "/healthz" => return probe(200, "ok\n"),
        "/readyz" if phase == Phase::Ready => return probe(200, "ok\n"),
        "/readyz" => return probe(503, "not ready\n"),
        _ if phase == Phase::Booting => return jetty_not_found(&path),
        _ => {}
    }
    if path.starts_with("/~api/") {
        return rest::answer(shared, request, body).await;
    }
    match GitCall::of(&path, request.query_string()) {
        Some((repository, call)) => git::answer(shared, request, body, quirks, repository, call).await,
        None => match lfs::answer(&shared, &request, body).await {
            Ok(response) => response,
            Err(_) => Reply::text(404, "Page not found").into(),
        },
    }
}

fn probe(status: u16, body: &str) -> HttpResponse {
    Reply { status, content_type: Some("text/plain;charset=utf-8"), body: body.to_owned() }.into()
}

/// What the probe server says to everything while the real one boots.
fn jetty_not_found(path: &str) -> HttpResponse {
    let body = format!(
        "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=utf-8\"/>\n<title>Error 404 Not Found</title>\n</head>\n<body><h2>HTTP ERROR 404 Not Found</h2>\n<table>\n<tr><th>URI:</th><td>{path}</td></tr>\n<tr><th>STATUS:</th><td>404</td></tr>\n<tr><th>MESSAGE:</th><td>Not Found</td></tr>\n</table>\n</body>\n</html>\n"
    );
    HttpResponse::NotFound()
        .insert_header((SERVER, "Jetty(9.4.57.v20241219)"))
        .content_type("text/html;charset=iso-8859-1")
        .body(body)
}
