//! `log.*`: logging.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use super::Section;
use super::problem::{Problem, quoted};
use super::values::{Values, word, words};

/// The `log` section.
#[derive(Debug, Clone)]
pub struct Log {
    /// Layout; `None` is `pretty` on a terminal and `json` elsewhere.
    pub format: Option<Format>,
    /// An `EnvFilter` directive: `info`, `starkeep=debug,info`.
    pub level: String,
}

/// Layout of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: None, level: "info".to_owned() }
    }
}

impl Section for Log {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self { format, level } = &mut it;
        values.set_option("log.format", format, word);
        values.set("log.level", level, words);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self { format: _, level } = self;
        if EnvFilter::try_new(level).is_ok() && level.split(',').all(is_level_or_pair) {
            return Vec::new();
        }
        let accepted = "write `error`, `warn`, `info`, `debug`, `trace` or `off`, or pairs as in `starkeep=debug,info`";
        vec![Problem::new("log.level", format!("{} is no level", quoted(level)), accepted)]
    }
}

/// `EnvFilter` takes any single word for the name of a module, so a misspelt level would silence the log.
fn is_level_or_pair(directive: &str) -> bool {
    let word = directive.trim().to_ascii_lowercase();
    matches!(word.as_str(), "error" | "warn" | "info" | "debug" | "trace" | "off")
        || word.contains(['=', '[', ']', '}'])
        || word.contains("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_word_or_pairs() {
        let ask = |level: &str| Log { format: None, level: level.to_owned() }.problems();
        for fine in ["info", "OFF", "starkeep=debug,info", "starkeep::git=trace,warn", "[sync{mirror=1}]=debug"] {
            assert_eq!(ask(fine), [], "{fine}");
        }
        for wrong in ["", "inf", "info,", "starkeep=loud", "3 levels"] {
            assert_eq!(ask(wrong).len(), 1, "{wrong}");
        }
    }
}
