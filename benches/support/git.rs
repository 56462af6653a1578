//! C git, doing what starkeep does: the measure of all ratios.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::child::{self, Cost};

/// git with a credential for OneDev, given without a round of its own.
fn git(folder: &Path, authorization: &str) -> Command {
    let mut command = child::program("git", folder);
    command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "http.extraHeader");
    command.env("GIT_CONFIG_VALUE_0", format!("Authorization: {authorization}"));
    command
}

/// `git clone --mirror` from one server. GitHub's public repositories need no credential.
///
/// # Errors
/// When git fails.
pub(crate) fn clone_mirror(from: &str, folder: &Path, limit: Duration) -> anyhow::Result<Cost> {
    let mut command = child::program("git", folder);
    child::measure(command.args(["clone", "-q", "--mirror", from, "copy.git"]), limit)
}

/// `git fetch` into that copy.
///
/// # Errors
/// When git fails.
pub(crate) fn fetch(folder: &Path, limit: Duration) -> anyhow::Result<Cost> {
    let mut command = child::program("git", &folder.join("copy.git"));
    child::measure(command.args(["fetch", "-q", "--prune", "origin"]), limit)
}

/// `git push --mirror` from that copy to the other server.
///
/// # Errors
/// When git fails.
pub(crate) fn push_mirror(to: &str, authorization: &str, folder: &Path, limit: Duration) -> anyhow::Result<Cost> {
    let mut command = git(&folder.join("copy.git"), authorization);
    child::measure(command.args(["push", "-q", "--mirror", to]), limit)
}
