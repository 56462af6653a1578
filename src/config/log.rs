//! `log.*`: logging.

use serde::Deserialize;

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
