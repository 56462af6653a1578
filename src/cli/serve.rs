//! `starkeep serve`: the service, until a signal ends it.

use tokio::signal::unix::{SignalKind, signal};

use super::{Given, output};
use crate::app::{App, AppOptions, Role};
use crate::telemetry::logging;

pub(super) async fn run(given: &Given, role: Role) -> anyhow::Result<u8> {
    let (config, secrets, traces) = given.config().await?;
    logging::log_panics();
    let is_closed = config.admin.token.is_none() && config.admin.jwt.is_none() && role != Role::Worker;
    let options = AppOptions { config, serve: true, role, secrets: Some(secrets), ..AppOptions::default() };
    let app = App::start(options).await?;
    if let Some(address) = app.address() {
        let (address, version) = (format!("http://{address}"), env!("CARGO_PKG_VERSION"));
        tracing::info!(address, version, role = role.as_str(), "starkeep serves");
    }
    if is_closed && let Some(address) = app.invite().await? {
        // Not to the log: whoever reads it first could sign in.
        output::line("Nobody can sign in yet. Open this address within an hour; it is good for one sign-in:");
        output::line(&address);
    }
    let code = until_told(&app).await?;
    app.shut_down().await;
    tracing::info!("starkeep has ended; nothing is half-done");
    if let Some(traces) = traces {
        traces.end();
    }
    Ok(code)
}

/// Waits for SIGTERM or Ctrl-C (0), or until an actor could not be kept alive (1).
pub(super) async fn until_told(app: &App) -> anyhow::Result<u8> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(tokio::select! {
        _ = term.recv() => 0,
        _ = int.recv() => 0,
        () = app.gave_up.cancelled() => 1,
    })
}
