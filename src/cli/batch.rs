//! `starkeep batch`: queues every star of a user, with progress. No server is needed for that; a running or a
//! later `starkeep serve` mirrors them.

use std::io::IsTerminal as _;
use std::time::Duration;

use chrono::Utc;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use uuid::Uuid;

use super::{Given, output, serve};
use crate::app::{App, AppOptions};
use crate::domain::ids::CorrelationId;
use crate::domain::listing::What;
use crate::store::audit::{self, NewEntry};
use crate::store::listings::{self, NewBatch};

/// Another process may do the work, which tells nothing here: the table is looked at so often.
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn run(given: &Given, user: String, dry_run: bool) -> anyhow::Result<u8> {
    anyhow::ensure!(What::is_login(&user), "`{user}` is no login: at most 39 letters, digits, `-` and `_`");
    let config = given.quiet_config()?;
    let app = App::start(AppOptions { config, only: Some(Vec::new()), ..AppOptions::default() }).await?;
    let done = tokio::select! {
        done = read(&app, user, dry_run) => done.map(Some),
        told = serve::until_told(&app) => told.map(|_| None),
    };
    app.shut_down().await;
    let Some(batch) = done? else {
        output::say("called off; nothing is lost, and the same command goes on from here");
        return Ok(1);
    };
    print(given, &batch)?;
    Ok(u8::from(batch.get("error").is_some_and(|it| !it.is_null())))
}

/// Asks for the batch, or goes on with the one that is open, and waits until it is read.
async fn read(app: &App, user: String, dry_run: bool) -> anyhow::Result<Value> {
    app.identify(&user).await.map_err(|error| error.context(format!("the stars of `{user}`")))?;
    let correlation = CorrelationId(Uuid::now_v7());
    let id = Uuid::now_v7().to_string();
    let new = NewBatch { id, wanted: What::Stars { user }, dry_run, key: None, correlation };
    let asked = move |c: &mut _| {
        let (batch, made) = listings::ask(c, &new, Utc::now())?;
        if made {
            let mut entry = NewEntry::of("cli", "batch.ask", &batch.id);
            entry.detail = serde_json::json!({ "wanted": new.wanted, "dry_run": new.dry_run });
            entry.correlation = Some(correlation);
            audit::append(c, &entry, Utc::now())?;
        }
        Ok(batch.id)
    };
    let id = app.store.write(asked).await?;
    app.take_on_batch(&id);
    let bar = bar();
    let mut told = None;
    loop {
        let wanted = id.clone();
        let found = app.store.read(move |c| listings::find(c, &wanted)?.map(|it| listings::view(c, &it)).transpose());
        let batch = found.await?.ok_or_else(|| anyhow::anyhow!("the batch is gone"))?;
        let number = |name: &str| batch.get(name).and_then(Value::as_u64).unwrap_or_default();
        let (listed, total) = (number("listed"), number("total"));
        match &bar {
            Some(bar) => {
                bar.set_length(total.max(listed));
                bar.set_position(listed);
            }
            None if told != Some(listed) => output::say(&format!("{listed} of {total} stars read")),
            None => {}
        }
        told = Some(listed);
        if batch.get("state").and_then(Value::as_str) != Some("reading") {
            if let Some(bar) = bar {
                bar.finish();
            }
            return Ok(batch);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// On a terminal only.
fn bar() -> Option<ProgressBar> {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} stars read").ok()?;
    std::io::stderr().is_terminal().then(|| ProgressBar::new(0).with_style(style))
}

fn print(given: &Given, batch: &Value) -> anyhow::Result<()> {
    if given.json {
        return output::json(batch);
    }
    let text = |path: &str| batch.pointer(path).map(ToString::to_string).unwrap_or_default();
    output::line(&format!(
        "{} repositories: {} new, {} with a mirror, {} of them renamed, {} with a project in the way",
        text("/listed"),
        text("/plan/new"),
        text("/plan/existing"),
        text("/plan/renamed"),
        text("/plan/conflicts"),
    ));
    if let Some(message) = batch.pointer("/error/message").and_then(Value::as_str) {
        output::say(&format!("error: {message}; the same command goes on from here"));
    } else if batch.get("dry_run") == Some(&Value::Bool(true)) {
        output::line(&format!(
            "at least {} bytes and {} calls of GitHub's API; nothing was changed",
            text("/plan/bytes"),
            text("/plan/api_calls")
        ));
    } else {
        output::say("they are queued; a running `starkeep serve` mirrors them");
    }
    Ok(())
}
