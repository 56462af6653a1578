//! `stars.*`: whose stars are kept, and what a taken-back star means.

use std::time::Duration;

use serde::Deserialize;

/// The `stars` section.
#[derive(Debug, Clone)]
pub struct Stars {
    /// Logins, compared without case until the numeric id behind each is known.
    pub users: Vec<String>,
    /// What an un-starred mirror becomes.
    pub unstar: Unstar,
    /// The grace period before `unstar = "delete"` deletes.
    pub delete_after: Duration,
}

/// What an un-starred mirror becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unstar {
    /// The copy stays and is synced no more.
    #[default]
    Archive,
    /// Archived now, project deleted after the grace period.
    Delete,
    /// Nothing changes.
    Ignore,
}

impl Default for Stars {
    fn default() -> Self {
        Self { users: Vec::new(), unstar: Unstar::default(), delete_after: Duration::from_secs(30 * 86_400) }
    }
}
