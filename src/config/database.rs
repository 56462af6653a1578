//! `database.*`: where state is kept.

use secrecy::SecretString;

/// The `database` section.
#[derive(Debug, Clone)]
pub struct Database {
    /// `sqlite://PATH` or `postgres://…`; a secret, since it may hold a password.
    pub url: SecretString,
    /// Whether `serve` brings the schema up to date by itself.
    pub migrate: bool,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: SecretString::from("sqlite://starkeep.db"), migrate: true }
    }
}
