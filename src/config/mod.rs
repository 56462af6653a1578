//! The configuration: one struct a section, loaded in layers, all problems reported at once.

pub mod admin;
pub mod database;
pub mod github;
pub mod log;
pub mod onedev;
pub mod retry;
pub mod server;
pub mod stars;
pub mod sync;

/// The whole configuration, valid by construction once loaded.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Listening, limits of incoming requests.
    pub server: server::Server,
    /// Where state is kept.
    pub database: database::Database,
    /// GitHub: addresses and credentials.
    pub github: github::Github,
    /// Whose stars, and what a taken-back star means.
    pub stars: stars::Stars,
    /// OneDev: address, credential, where and how mirrors are laid out.
    pub onedev: onedev::Onedev,
    /// How refs and packs are moved.
    pub sync: sync::Sync,
    /// Backing off.
    pub retry: retry::Retry,
    /// The admin API.
    pub admin: admin::Admin,
    /// Logging.
    pub log: log::Log,
}
