//! `starkeep adopt`: rebuilds a lost database from OneDev alone.

use serde_json::{Value, json};

use super::{Given, output};
use crate::app::archive::{self, Adopted, Line};

pub(super) async fn run(given: &Given, dry_run: bool) -> anyhow::Result<u8> {
    let config = given.quiet_config().await?;
    let lines = archive::adopt(&config, dry_run).await?;
    if given.json {
        output::json(&lines.iter().map(as_json).collect::<Vec<_>>())?;
    } else {
        lines.iter().for_each(|it| output::line(&as_text(it, dry_run)));
    }
    let made = lines.iter().filter(|it| matches!(it.outcome, Adopted::Made(_))).count();
    let would = if dry_run { "would become mirrors; nothing was written" } else { "became mirrors" };
    output::say(&format!("{made} of {} projects {would}", lines.len()));
    Ok(u8::from(lines.iter().any(|it| matches!(it.outcome, Adopted::Unreadable(_)))))
}

fn as_json(line: &Line) -> Value {
    let (outcome, repository, why) = match &line.outcome {
        Adopted::Made(name) => ("adopted", Some(name), None),
        Adopted::Known(name) => ("known", Some(name), None),
        Adopted::Wiki(name) => ("wiki", Some(name), None),
        Adopted::Second(name, other) => ("second", Some(name), Some(format!("{other} was proven later"))),
        Adopted::Unmarked => ("unmarked", None, None),
        Adopted::Unreadable(why) => ("unreadable", None, Some(why.clone())),
    };
    json!({ "path": line.path, "outcome": outcome, "repository": repository, "why": why })
}

fn as_text(line: &Line, dry_run: bool) -> String {
    let path = &line.path;
    match &line.outcome {
        Adopted::Made(name) if dry_run => format!("{path}: would be the mirror of {name} again"),
        Adopted::Made(name) => format!("{path}: is the mirror of {name} again"),
        Adopted::Known(name) => format!("{path}: {name} is a mirror already; left alone"),
        Adopted::Wiki(name) => format!("{path}: holds the wiki of {name}"),
        Adopted::Second(name, other) => {
            format!("{path}: left alone; {other} is the mirror of {name} that was proven later")
        }
        Adopted::Unmarked => format!("{path}: carries no marker; left alone"),
        Adopted::Unreadable(why) => format!("{path}: left alone; {why}"),
    }
}
