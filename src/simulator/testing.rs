//! The real git client, for the tests of this module: what it says is what users would see.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A working copy with a client that knows nothing of this machine's configuration.
pub(crate) struct Client {
    folder: TempDir,
}

/// What a command of the client did.
pub(crate) struct Said {
    /// Whether it exited with 0.
    pub(crate) ok: bool,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            ok: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// `git <arguments>` in a folder.
pub(crate) fn git_in(folder: &Path, arguments: &[&str]) -> Said {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new("git");
    command.current_dir(folder).args(arguments).env_clear().env("PATH", path).env("LC_ALL", "C");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Test").env(format!("GIT_{who}_EMAIL"), "test@example.org");
        command.env(format!("GIT_{who}_DATE"), "1700000000 +0000");
    }
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", folder);
    command.env("GIT_TERMINAL_PROMPT", "0");
    Said::from(command.output().expect("git runs"))
}

impl Client {
    /// A repository with the branch `trunk` and one commit on it.
    pub(crate) fn new() -> Self {
        let client = Self { folder: TempDir::new().expect("a folder") };
        client.done(&["init", "-q", "-b", "trunk"]);
        client.commit("README", "hello\n");
        client
    }

    /// Where it lies.
    pub(crate) fn folder(&self) -> std::path::PathBuf {
        self.folder.path().to_path_buf()
    }

    /// Writes a file and commits it; answers the commit's oid.
    pub(crate) fn commit(&self, path: &str, content: &str) -> String {
        std::fs::write(self.folder.path().join(path), content).expect("a file");
        self.done(&["add", "-A"]);
        self.done(&["commit", "-q", "-m", path]);
        self.done(&["rev-parse", "HEAD"])
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> Said {
        git_in(self.folder.path(), arguments)
    }

    /// Runs what must succeed; answers its trimmed output.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let said = self.git(arguments);
        assert!(said.ok, "git {arguments:?}: {}", said.err);
        said.out.trim().to_owned()
    }
}
