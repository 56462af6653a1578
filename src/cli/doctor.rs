//! `starkeep doctor`: tries everything that `serve` needs, one line each, with the mend.

use super::{Given, output};
use crate::app::doctor::{self, Finding, State};

pub(super) async fn run(given: &Given) -> anyhow::Result<u8> {
    let config = given.quiet_config().await?;
    let findings = doctor::examine(&config).await;
    if given.json {
        output::json(&findings)?;
    } else {
        findings.iter().for_each(|it| output::line(&row(it)));
    }
    Ok(u8::from(findings.iter().any(|it| it.state == State::Failed)))
}

fn row(Finding { topic, state, text, mend }: &Finding) -> String {
    let state = match state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Failed => "failed",
    };
    let mend = mend.as_ref().map_or_else(String::new, |it| format!("\n{:24}mend: {it}", ""));
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{state:8} {topic:14} {text}{mend}")
}
