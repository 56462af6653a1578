//! `starkeep config check` and `starkeep config show`: what all layers and the secrets they refer to come to.

use std::io::{self, Write};

use clap::Subcommand;
use serde_json::{Value, json};

use crate::config::{Loaded, Problems, Shown};

/// What to do with the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum Action {
    /// Check all layers and report every problem at once
    Check,
    /// Print the effective configuration, secrets masked, and where each value came from
    Show,
}

/// Runs the command. Data goes to `out`, problems to `err`; with `json` everything is one JSON value
/// on `out`. Returns the exit code: 0, or 1 if the configuration has problems.
///
/// # Errors
/// Only when `out` or `err` cannot be written.
pub(crate) fn run(
    action: Action,
    loaded: Result<Loaded, Problems>,
    json: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    match (loaded, action) {
        (Ok(_), Action::Check) if json => writeln!(out, "{}", json!({"valid": true, "problems": []}))?,
        (Ok(_), Action::Check) => writeln!(out, "the configuration is valid")?,
        (Ok(loaded), Action::Show) if json => writeln!(out, "{}", serde_json::to_string_pretty(loaded.show())?)?,
        (Ok(loaded), Action::Show) => print(loaded.show(), out)?,
        (Err(problems), _) => return refuse(&problems, json, out, err),
    }
    Ok(0)
}

fn refuse(problems: &Problems, json: bool, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    if json {
        writeln!(out, "{}", json!({"valid": false, "problems": problems}))?;
    } else {
        writeln!(err, "{problems}")?;
    }
    Ok(1)
}

/// As TOML, each value with its origin; what is not set stands as a comment.
fn print(shown: &[Shown], out: &mut dyn Write) -> io::Result<()> {
    let width = shown.iter().map(|it| line(it).chars().count()).filter(|it| *it <= 60).max().unwrap_or_default();
    let mut section = "";
    // What is in no section stands before them all, as TOML wants it.
    let (outside, inside): (Vec<&Shown>, Vec<&Shown>) = shown.iter().partition(|it| !it.key.contains('.'));
    for it in outside.into_iter().chain(inside) {
        let of = it.key.split_once('.').map_or("", |(section, _)| section);
        if of != section {
            writeln!(out, "\n[{of}]")?;
            section = of;
        }
        let origin = it.origin.as_ref().map_or_else(|| "not set".to_owned(), ToString::to_string);
        writeln!(out, "{:width$}  # {origin}", line(it))?;
    }
    Ok(())
}

fn line(shown: &Shown) -> String {
    let key = shown.key.split_once('.').map_or(shown.key.as_str(), |(_, key)| key);
    match &shown.value {
        Value::Null => format!("#{key} ="),
        value => format!("{key} = {}", toml(value)),
    }
}

/// A JSON text, number, flag or list of them is TOML too; a table is written in another way.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(key, value)| format!("{key} = {}", toml(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, LoadOptions};

    fn ask(action: Action, json: bool, variables: &[(&str, &str)]) -> (u8, String, String) {
        let environment = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let folder = tempfile::tempdir().unwrap();
        let options = LoadOptions { environment, directory: folder.path().to_owned(), ..LoadOptions::default() };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(action, Config::load(&options), json, &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn a_valid_configuration_is_said_to_be_so() {
        assert_eq!(ask(Action::Check, false, &[]), (0, "the configuration is valid\n".to_owned(), String::new()));
        let (code, out, _) = ask(Action::Check, true, &[]);
        assert_eq!((code, out.as_str()), (0, "{\"problems\":[],\"valid\":true}\n"));
    }

    #[test]
    fn problems_go_to_stderr_or_into_the_json() {
        for action in [Action::Check, Action::Show] {
            let (code, out, err) = ask(action, false, &[("STARKEEP__SYNC__WORKERS", "0")]);
            assert_eq!((code, out.as_str()), (1, ""));
            assert!(
                err.contains("1. sync.workers (environment variable STARKEEP__SYNC__WORKERS): `0` is out of bounds")
            );
            let (code, out, err) = ask(action, true, &[("STARKEEP__SYNC__WORKERS", "0")]);
            let told: Value = serde_json::from_str(&out).unwrap();
            assert_eq!((code, err.as_str()), (1, ""));
            assert_eq!(told["problems"][0]["key"], "sync.workers");
            assert_eq!(told["problems"][0]["origin"], "environment variable STARKEEP__SYNC__WORKERS");
        }
    }

    #[test]
    fn what_is_shown_is_toml_with_origins_and_without_secrets() {
        let variables = [("STARKEEP__GITHUB__TOKEN", "ghp_secret"), ("STARKEEP__STARS__USERS", "octocat,hubot")];
        let (code, out, _) = ask(Action::Show, false, &variables);
        assert_eq!(code, 0);
        let has = |start: &str, end: &str| out.lines().any(|line| line.starts_with(start) && line.ends_with(end));
        assert!(has("[github]", ""), "{out}");
        assert!(has("token = \"********\" ", "# environment variable STARKEEP__GITHUB__TOKEN"), "{out}");
        assert!(has("users = [\"octocat\",\"hubot\"] ", "# environment variable STARKEEP__STARS__USERS"), "{out}");
        assert!(has("lease = \"15s\" ", "# built-in default") && has("#max_bytes = ", "# not set"), "{out}");
        let (_, as_json, _) = ask(Action::Show, true, &variables);
        let items: Vec<Value> = serde_json::from_str(&as_json).unwrap();
        assert!(items.iter().any(|it| it["key"] == "github.token" && it["value"] == "********"));
        assert!(!out.contains("ghp_secret") && !as_json.contains("ghp_secret"));
    }

    #[test]
    fn what_is_shown_can_be_loaded_again() {
        let folder = tempfile::tempdir().unwrap();
        let (_, out, _) = ask(Action::Show, false, &[("STARKEEP__SYNC__WORKERS", "7")]);
        std::fs::write(folder.path().join("again.toml"), out).unwrap();
        let file = Some("again.toml".into());
        let options = LoadOptions { directory: folder.path().to_owned(), file, ..LoadOptions::default() };
        assert_eq!(Config::load(&options).unwrap().config.sync.workers, 7);
    }
}
