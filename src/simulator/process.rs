//! The git binary behind both simulated servers, started with an environment of its own.
//!
//! Data comes from an HTTP request ([`super::git_http`]) and goes to a bare repository on disk. A
//! child never sees this process's environment: no credentials, no `GIT_DIR`, no system or user
//! configuration, so that a test means the same on every machine and for every user.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::process::Command;

/// How to start git: the configuration that every child gets, above what the repository holds.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    config: Arc<[(String, String)]>,
}

/// What both servers have: any owner of the folder will do, nothing runs on in the background after
/// a request, and no push options are taken.
const COMMON: [(&str, &str); 6] = [
    ("safe.directory", "*"),
    ("gc.auto", "0"),
    ("receive.autogc", "false"),
    ("maintenance.auto", "false"),
    ("receive.advertisePushOptions", "false"),
    ("uploadpack.allowAnySHA1InWant", "true"),
];

impl Git {
    /// Git with the common configuration and `extra` on top.
    pub(crate) fn new(extra: &[(&str, &str)]) -> Self {
        Self { config: COMMON.iter().chain(extra).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect() }
    }

    /// `git <arguments> <repository>`, piped on both ends and killed when dropped.
    pub(crate) fn command(&self, arguments: &[&str], repository: &Path) -> Command {
        let mut command = Command::new("git");
        command.args(arguments).arg(repository).env_clear().envs(clean_environment());
        command.env("GIT_CONFIG_COUNT", self.config.len().to_string());
        for (index, (key, value)) in self.config.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key).env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// The whole environment of a git child, save its configuration.
fn clean_environment() -> [(&'static str, std::ffi::OsString); 5] {
    [
        ("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())),
        ("LC_ALL", "C".into()),
        ("HOME", "/nonexistent".into()),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
    ]
}
