//! Long work whose size nobody knows: a bar that turns on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::output;

/// How often a terminal is told.
const TURN: Duration = Duration::from_millis(120);
/// How often everybody else is.
const LINE: Duration = Duration::from_secs(10);

/// Waits for `work`, and tells how many bytes `moved` meanwhile.
pub(super) async fn shown<T>(what: &str, moved: impl Fn() -> u64, work: impl Future<Output = T>) -> T {
    let bar = std::io::stderr().is_terminal().then(|| bar(what));
    let mut tick = tokio::time::interval(if bar.is_some() { TURN } else { LINE });
    tick.tick().await;
    tokio::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = tick.tick() => match &bar {
                Some(bar) => bar.set_position(moved()),
                None => output::say(&format!("{what}: {}", HumanBytes(moved()))),
            },
        }
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    done
}

fn bar(what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {prefix:40} {bytes} {bytes_per_sec}");
    let bar = ProgressBar::new_spinner().with_prefix(what.to_owned());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(TURN);
    bar
}
