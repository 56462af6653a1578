//! `admin.*`: the admin API.

use secrecy::SecretString;

/// The `admin` section.
#[derive(Debug, Clone, Default)]
pub struct Admin {
    /// Bearer token of the admin API.
    pub token: Option<SecretString>,
}
