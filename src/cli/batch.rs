//! `starkeep batch`: queues every star of a user, with progress. No server is needed for that; a running or a
//! later `starkeep serve` mirrors them.

use std::io::IsTerminal as _;
use std::time::Duration;

use chrono::Utc;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use serde_json::Value;
use uuid::Uuid;

use super::{Given, output, serve};
use crate::app::{App, AppOptions};
use crate::domain::bounds::Bounds;
use crate::domain::ids::CorrelationId;
use crate::domain::listing::What;
use crate::store::audit::{self, NewEntry};
use crate::store::listings::{self, NewBatch};

/// Another process may do the work, which tells nothing here: the table is looked at so often.
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn run(given: &Given, user: String, dry_run: bool) -> anyhow::Result<u8> {
    anyhow::ensure!(What::is_login(&user), "`{user}` is no login: at most 39 letters, digits, `-` and `_`");
    let config = given.quiet_config().await?;
    let bounds = config.bounds();
    let app = App::start(AppOptions { config, only: Some(Vec::new()), ..AppOptions::default() }).await?;
    let done = tokio::select! {
        done = read(&app, user, dry_run, bounds) => done.map(Some),
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
async fn read(app: &App, user: String, dry_run: bool, bounds: Bounds) -> anyhow::Result<Value> {
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
    let mut teller = Teller::new();
    loop {
        let wanted = id.clone();
        let view = move |c: &mut _| listings::find(c, &wanted)?.map(|it| listings::view(c, &it, bounds)).transpose();
        let batch = app.store.read(view).await?.ok_or_else(|| anyhow::anyhow!("the batch is gone"))?;
        let batch = serde_json::to_value(batch)?;
        teller.tell(&batch);
        if batch.get("state").and_then(Value::as_str) != Some("reading") {
            return Ok(batch);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Tells how far it is: by a bar on a terminal, by lines elsewhere.
struct Teller {
    bar: Option<ProgressBar>,
    listed: Option<u64>,
    error: Option<String>,
}

impl Teller {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} stars read").ok();
        let bar = style.filter(|_| std::io::stderr().is_terminal()).map(|it| ProgressBar::new(0).with_style(it));
        Self { bar, listed: None, error: None }
    }

    fn tell(&mut self, batch: &Value) {
        let number = |name: &str| batch.get(name).and_then(Value::as_u64).unwrap_or_default();
        let (listed, total) = (number("listed"), number("total"));
        match &self.bar {
            Some(bar) => {
                bar.set_length(total.max(listed));
                bar.set_position(listed);
            }
            None if self.listed != Some(listed) => output::say(&format!("{listed} of {total} stars read")),
            None => {}
        }
        self.listed = Some(listed);
        // A limit may take an hour to pass: who waits is to know for what.
        let error = batch.pointer("/error/message").and_then(Value::as_str).map(str::to_owned);
        if error != self.error {
            if let Some(error) = &error {
                output::say(&format!("not yet: {error}"));
            }
            self.error = error;
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

fn print(given: &Given, batch: &Value) -> anyhow::Result<()> {
    if given.json {
        return output::json(batch);
    }
    let number = |path: &str| batch.pointer(path).and_then(Value::as_u64);
    let text = |path: &str| number(path).unwrap_or_default().to_string();
    output::line(&format!(
        "{} repositories: {} new, {} with a mirror, {} of them renamed, {} with a project in the way",
        text("/listed"),
        text("/plan/new"),
        text("/plan/existing"),
        text("/plan/renamed"),
        text("/plan/conflicts"),
    ));
    for line in outlook(&number) {
        output::line(&line);
    }
    if let Some(message) = batch.pointer("/error/message").and_then(Value::as_str) {
        output::say(&format!("error: {message}; the same command goes on from here"));
    } else if batch.get("dry_run") == Some(&Value::Bool(true)) {
        output::say("this is a plan; nothing was changed");
    } else {
        output::say("they are queued; a running `starkeep serve` mirrors them");
    }
    Ok(())
}

/// What mirroring all of it comes to.
fn outlook(number: &impl Fn(&str) -> Option<u64>) -> Vec<String> {
    let (bytes, calls) = (number("/plan/bytes").unwrap_or_default(), number("/plan/api_calls").unwrap_or_default());
    let mut lines = vec![format!("at least {} GB and {calls} calls of GitHub's API", gigabytes(bytes))];
    if let Some(seconds) = number("/plan/seconds") {
        lines.push(format!("GitHub's limits allow that in {} or more", HumanDuration(Duration::from_secs(seconds))));
    }
    if let Some(count) = number("/plan/too_large").filter(|it| *it > 0) {
        lines.push(format!("{count} are larger than sync.max_bytes and will be paused"));
    }
    if let Some(beyond) = number("/plan/bytes_beyond").filter(|it| *it > 0) {
        lines.push(format!("{} GB of it are beyond policy.max_total_bytes and will be paused", gigabytes(beyond)));
    }
    lines
}

/// With one place behind the point, rounded up: little is not nothing.
fn gigabytes(bytes: u64) -> String {
    let tenths = bytes.div_ceil(100_000_000);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlook_tells_what_is_beyond_the_bounds() {
        assert_eq!(["0.0", "0.1", "12.4"].map(str::to_owned), [0, 1, 12_345_000_000].map(gigabytes));
        let plan = serde_json::json!({
            "plan": { "bytes": 1, "api_calls": 253, "seconds": 182, "too_large": 1, "bytes_beyond": 1 }
        });
        let lines = outlook(&|path: &str| plan.pointer(path).and_then(Value::as_u64));
        assert_eq!(lines[0], "at least 0.1 GB and 253 calls of GitHub's API");
        assert!(lines[1].contains("3 minutes"), "{lines:?}");
        assert_eq!(lines.len(), 4);
        let lines = outlook(&|_: &str| None);
        assert_eq!(lines, ["at least 0.0 GB and 0 calls of GitHub's API"]);
    }
}
