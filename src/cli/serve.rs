//! `starkeep serve`: the service, until a signal ends it.

use tokio::signal::unix::{SignalKind, signal};

use super::Given;
use crate::app::{App, AppOptions, Role};
use crate::telemetry::logging;

pub(super) async fn run(given: &Given, role: Role) -> anyhow::Result<u8> {
    let (config, secrets) = given.config().await?;
    logging::log_panics();
    let options = AppOptions { config, serve: true, role, secrets: Some(secrets), ..AppOptions::default() };
    let app = App::start(options).await?;
    if let Some(address) = app.address() {
        let (address, version) = (format!("http://{address}"), env!("CARGO_PKG_VERSION"));
        tracing::info!(address, version, role = role.as_str(), "starkeep serves");
    }
    let code = until_told(&app).await?;
    app.shut_down().await;
    tracing::info!("starkeep has ended; nothing is half-done");
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
