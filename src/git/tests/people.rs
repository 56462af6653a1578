//! A working copy that people push from, with the real git client.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Standard output of `git <arguments>` in a folder, which must succeed. The client knows nothing
/// of this machine's configuration.
pub(super) fn git_in(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(folder).args(arguments).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C").env("HOME", folder);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Test").env(format!("GIT_{who}_EMAIL"), "test@example.org");
        command.env(format!("GIT_{who}_DATE"), "1700000000 +0000");
    }
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let said = command.output().unwrap();
    assert!(said.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

/// A repository with the branch `trunk` and one commit on it.
pub(super) struct People(TempDir);

impl People {
    pub(super) fn new() -> Self {
        let people = Self(TempDir::new().unwrap());
        people.git(&["init", "-q", "-b", "trunk"]);
        people.commit("README", "hello\n");
        people
    }

    pub(super) fn git(&self, arguments: &[&str]) -> String {
        git_in(self.0.path(), arguments)
    }

    /// Writes a file and commits it; answers the commit's oid.
    pub(super) fn commit(&self, path: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.0.path().join(path), content).unwrap();
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", path]);
        self.git(&["rev-parse", "HEAD"])
    }
}
