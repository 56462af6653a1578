//! The git binary behind both simulated servers, started with an environment of its own.
//!
//! Data comes from an HTTP request ([`super::git_http`]) and goes to a bare repository on disk. A
//! child never sees this process's environment: no credentials, no `GIT_DIR`, no system or user
//! configuration, so that a test means the same on every machine and for every user.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, OnceLock};

use tokio::process::Command;

/// Faults that only the handler of a push can carry out.
#[derive(Debug, Default)]
pub(crate) struct Quirks {
    /// The pre-receive hook declines everything with these words.
    pub(crate) decline: Option<String>,
    /// The report-status is left out.
    pub(crate) lose_report: bool,
}

/// How to start git: the configuration that every child gets, above what the repository holds.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    config: Arc<[(String, String)]>,
    /// What the pre-receive hook says when it declines; `None` runs no hook.
    declines: Option<(Arc<Path>, String)>,
    hooks: Option<Arc<Path>>,
}

/// A pre-receive hook that declines everything with the words it is given.
const DECLINING: &str = "#!/bin/sh\ncat >/dev/null\nprintf '%s\\n' \"$SIMULATOR_WORDS\" >&2\nexit 1\n";

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
        let config = COMMON.iter().chain(extra).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { config, declines: None, hooks: None }
    }

    /// The same, able to decline pushes: the hook for it is written to a folder, which must stay.
    pub(crate) fn with_hooks(self, folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let hook = folder.join("pre-receive");
        std::fs::write(&hook, DECLINING)?;
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { hooks: Some(folder.into()), ..self })
    }

    /// The same, with a pre-receive hook that declines everything and says `words`.
    pub(crate) fn declining(&self, words: &str) -> Self {
        let declines = self.hooks.clone().map(|hooks| (hooks, words.to_owned()));
        Self { declines, ..self.clone() }
    }

    /// As planned for one push.
    pub(crate) fn with_quirks(&self, quirks: &Quirks) -> Self {
        quirks.decline.as_ref().map_or_else(|| self.clone(), |words| self.declining(words))
    }

    /// `git <arguments> <repository>`, piped on both ends and killed when dropped.
    pub(crate) fn command(&self, arguments: &[&str], repository: &Path) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).arg(repository).env_clear().envs(clean_environment());
        let hooks = self.declines.as_ref().map_or(Path::new("/dev/null"), |(hooks, _)| hooks);
        let set = self.config.iter().map(|(key, value)| (key.as_str(), value.as_ref()));
        let set = set.chain([("core.hooksPath", hooks.as_os_str())]);
        let mut count = 0;
        for (key, value) in set {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key).env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        if let Some((_, words)) = &self.declines {
            command.env("SIMULATOR_WORDS", words);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// The git on the path. A child with a path of its own is found by a name alone only after a fork,
/// which copies this process's page tables; by its address it is started without.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places = std::env::split_paths(&path).map(|it| it.join("git"));
        places.find(|it| it.is_file()).unwrap_or_else(|| "git".into())
    })
}

/// Whether there is a git to start.
///
/// # Errors
/// When there is none on the path.
pub(crate) fn check_git() -> io::Result<()> {
    let quiet =
        std::process::Command::new(program()).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.map(drop)
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
