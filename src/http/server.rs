//! Which path leads where, and the server that listens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::{NormalizePath, from_fn};
use actix_web::{App, FromRequest, Handler, HttpServer, Resource, Responder, web};

use super::problem::Problem;
use super::shared::Shared;
use super::{
    Tools, api, connections, dashboard, docs, health, openapi, scopes, scrape, session, shell, sign_in, upkeep, webhook,
};

/// Threads that read requests. The work is done elsewhere: by the stages and the database's threads.
const WORKERS: usize = 2;
/// Connections at once on each thread; more wait to be accepted. Each takes two files.
const CONNECTIONS: usize = 1_024;
/// How long a connection that ends may take to do so, the unread rest of a refused body included.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another `server.bind`")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}

impl HttpError {
    /// A short stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "bind_failed",
        }
    }
}

/// Starts listening on `bind` (port 0 takes a free one) and tells the address that was taken.
///
/// The server runs when the returned value is polled (spawn it, or await it); its
/// [`handle`](Server::handle) stops it: no new connections, running requests end within
/// `server.shutdown_timeout`. It handles no signals. Must be called inside a running actix system.
///
/// # Errors
/// [`HttpError::Bind`].
pub fn start(tools: Tools, bind: SocketAddr) -> Result<(Server, SocketAddr), HttpError> {
    let drain = tools.config.server.shutdown_timeout;
    listen(web::Data::new(Shared::new(tools)), bind, drain)
}

/// The same for a process that takes nothing in: `/healthz`, `/readyz` and `/metrics` alone.
///
/// # Errors
/// [`HttpError::Bind`].
pub fn start_probes(tools: Tools, bind: SocketAddr) -> Result<(Server, SocketAddr), HttpError> {
    let drain = tools.config.server.shutdown_timeout;
    listen_with(probes, web::Data::new(Shared::new(tools)), bind, drain)
}

pub(super) fn listen(
    shared: web::Data<Shared>,
    bind: SocketAddr,
    drain: Duration,
) -> Result<(Server, SocketAddr), HttpError> {
    listen_with(routes, shared, bind, drain)
}

fn listen_with(
    routes: fn(&mut web::ServiceConfig),
    shared: web::Data<Shared>,
    bind: SocketAddr,
    drain: Duration,
) -> Result<(Server, SocketAddr), HttpError> {
    let refused = |source| HttpError::Bind { address: bind, source };
    actix_web::rt::spawn(upkeep::run(Arc::downgrade(&shared.clone().into_inner())));
    actix_web::rt::spawn(connections::watch(Arc::downgrade(&shared.clone().into_inner())));
    let (patience, open) = (shared.patience, shared.connections.clone());
    let server = HttpServer::new(move || {
        App::new().app_data(shared.clone()).configure(routes).wrap(NormalizePath::trim()).wrap(from_fn(shell::shell))
    });
    let server = server
        .workers(WORKERS)
        .max_connections(CONNECTIONS)
        .on_connect(move |io, data| open.note(io, data))
        .client_request_timeout(patience.head)
        .client_disconnect_timeout(CLOSE_TIMEOUT)
        .keep_alive(patience.keep_alive)
        .shutdown_timeout(drain.as_secs().max(1))
        .disable_signals()
        .bind(bind)
        .map_err(refused)?;
    let address = server.addrs().first().copied().unwrap_or(bind);
    Ok((server.run(), address))
}

/// The final slash is taken off before this is asked.
fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/webhooks/github").route(web::post().to(webhook::receive)))
        .service(reading("/openapi.json", openapi::shown))
        .service(reading("/docs", docs::page))
        .service(reading("/", dashboard::page))
        .service(
            reading(session::PATH, sign_in::show)
                .route(web::post().to(sign_in::open))
                .route(web::delete().to(sign_in::close)),
        )
        .service(web::resource("/session/first").route(web::post().to(sign_in::first)))
        .service(web::scope(scopes::ROOT).configure(api::routes).wrap(from_fn(api::once)))
        .configure(probes);
}

/// What every process answers; and nothing else.
fn probes(config: &mut web::ServiceConfig) {
    config
        .service(reading("/healthz", health::alive))
        .service(reading("/readyz", health::ready))
        .service(reading("/metrics", scrape::metrics))
        .default_service(web::to(nothing_here));
}

/// What can be read: a `HEAD` is a `GET` whose body the server leaves out.
pub(super) fn reading<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::get().to(handler.clone())).route(web::head().to(handler))
}

async fn nothing_here() -> Result<&'static str, Problem> {
    Err(Problem::not_found("not_found", "there is nothing under this path"))
}
