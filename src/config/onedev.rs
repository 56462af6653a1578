//! `onedev.*`: address and credential of OneDev, where and how mirrors are laid out.

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

/// The `onedev` section.
#[derive(Debug, Clone)]
pub struct Onedev {
    /// Base address. Commands that need OneDev say so when it is missing.
    pub url: Option<Url>,
    /// Access token.
    pub token: Option<SecretString>,
    /// Path of the parent project of all mirrors.
    pub root: String,
    /// Path of a mirror below the root; `{owner}` and `{name}` are replaced.
    pub naming: String,
    /// What to do when a project of that path is not ours.
    pub on_conflict: OnConflict,
    /// Pushes at once, over all mirrors of this process.
    pub concurrent_pushes: usize,
    /// Who may see a mirror.
    pub visibility: Visibility,
    /// Accept plain http beyond loopback.
    pub insecure_http: bool,
}

/// What to do when a project of the wanted path is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// Take `name-gh<id>` instead.
    #[default]
    Suffix,
    /// Take it over, only if it is empty or holds nothing that upstream lacks.
    Adopt,
    /// Stop with an error.
    Fail,
}

/// Who may see a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Only those whom OneDev's administrator authorizes; no default role is set.
    #[default]
    Private,
    /// Whatever the parent project gives.
    Inherit,
    /// A public upstream gets OneDev's `Code Reader` as default role.
    Upstream,
}

impl Default for Onedev {
    fn default() -> Self {
        Self {
            url: None,
            token: None,
            root: "github".to_owned(),
            naming: "{owner}/{name}".to_owned(),
            on_conflict: OnConflict::default(),
            concurrent_pushes: 2,
            visibility: Visibility::default(),
            insecure_http: false,
        }
    }
}
