//! Both simulated servers and starkeep's configuration for them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use starkeep::config::Config;
use starkeep::domain::ids::GithubId;
use starkeep::domain::refs::RefMap;
use starkeep::simulator::{Simulator, SimulatorOptions};

use super::child::{self, Cost};

/// Whose stars are watched.
pub(crate) const FAN: &str = "stargazer";
/// The owner of every repository.
pub(crate) const OWNER: &str = "bench";

/// Both servers.
pub(crate) struct Stage {
    pub(crate) simulator: Simulator,
    options: SimulatorOptions,
}

impl Stage {
    /// # Errors
    /// When the servers cannot be started.
    pub(crate) fn set() -> anyhow::Result<Self> {
        let options = SimulatorOptions::default();
        Ok(Self { simulator: Simulator::start(options.clone())?, options })
    }

    /// A repository of the simulated GitHub that holds what one on this disk holds.
    ///
    /// # Errors
    /// When git cannot copy it.
    pub(crate) fn upstream(&self, name: &str, from: &Path) -> anyhow::Result<GithubId> {
        let id = self.simulator.github().create_repository(OWNER, name)?;
        self.simulator.github().import(id, from)?;
        Ok(id)
    }

    /// Where it is fetched.
    pub(crate) fn upstream_url(&self, name: &str) -> String {
        format!("{}/{OWNER}/{name}.git", self.simulator.github().git_url().trim_end_matches('/'))
    }

    /// An empty project, and where it is pushed to.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn project(&self, path: &str) -> anyhow::Result<String> {
        self.simulator.onedev().create_project(path)?;
        Ok(format!("{}/{path}", self.simulator.onedev().url().trim_end_matches('/')))
    }

    /// Deletes a project and frees its disk.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn clear(&self, path: &str) -> anyhow::Result<()> {
        let folder = self.simulator.onedev().repo_dir(path)?;
        self.simulator.onedev().delete_project(path)?;
        std::fs::remove_dir_all(folder)?;
        Ok(())
    }

    /// The refs of a mirror of this stage, without starkeep's own.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn mirrored_refs(&self, name: &str) -> anyhow::Result<RefMap> {
        let mut refs = self.simulator.onedev().refs(&mirrored_path(name))?;
        refs.retain(|name, _| !name.as_str().starts_with("refs/starkeep/"));
        Ok(refs)
    }

    /// The credential for OneDev's git.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.options.onedev_token)
    }

    /// For a service in this process.
    ///
    /// # Errors
    /// When an address is malformed.
    pub(crate) fn config(&self, database: &str) -> anyhow::Result<Config> {
        let mut config = Config::default();
        config.database.url = SecretString::from(database);
        config.github.api_url = self.simulator.github().api_url().parse()?;
        config.github.git_url = self.simulator.github().git_url().parse()?;
        config.github.webhook_secret = Some(SecretString::from(self.options.webhook_secret.clone()));
        config.onedev.url = Some(self.simulator.onedev().url().parse()?);
        config.onedev.token = Some(SecretString::from(self.options.onedev_token.clone()));
        config.stars.users = vec![FAN.to_owned()];
        // What a benchmark does not measure stays out of its numbers.
        config.sync.metadata = false;
        config.sync.wiki = false;
        config.stars.poll_interval = None;
        config.server.bind.set_port(0);
        config.server.webhook_rate_per_minute = 0;
        Ok(config)
    }

    /// For the binary: a file in `folder`, with more sections behind.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn config_file(&self, folder: &Path, database: &str, more: &str) -> anyhow::Result<PathBuf> {
        let (github, onedev) = (self.simulator.github(), self.simulator.onedev());
        // What a benchmark does not measure stays out of its numbers.
        let off = if more.contains("metadata") { "wiki = false\n" } else { "wiki = false\nmetadata = false\n" };
        let more = if more.contains("[sync]") { format!("{more}{off}") } else { format!("[sync]\n{off}{more}") };
        let text = format!(
            "[server]\nbind = \"127.0.0.1:0\"\nwebhook_rate_per_minute = 0\n\
             [database]\nurl = \"{database}\"\n\
             [github]\napi_url = \"{}\"\ngit_url = \"{}\"\nwebhook_secret = \"{}\"\n\
             [onedev]\nurl = \"{}\"\ntoken = \"{}\"\n\
             [stars]\nusers = [\"{FAN}\"]\npoll_interval = \"off\"\n\
             [admin]\ntoken = \"the-admin-token-of-the-benchmarks\"\n\
             [log]\nformat = \"json\"\n{more}",
            github.api_url(),
            github.git_url(),
            self.options.webhook_secret,
            onedev.url(),
            self.options.onedev_token,
        );
        let path = folder.join("starkeep.toml");
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

/// `starkeep mirror OWNER/NAME` on an empty database, in a folder that its spool is in too. `sync` is more of
/// that section.
///
/// # Errors
/// When the mirror is not healthy at the end.
///
/// `STARKEEP_BENCH_HOLD=1` stops before it and prints the configuration, for a profiler.
pub(crate) fn mirror(stage: &Stage, name: &str, folder: &Path, sync: &str) -> anyhow::Result<Cost> {
    let more = format!("[sync]\nspool_dir = \"{}\"\n{sync}\n", folder.display());
    let config = stage.config_file(folder, &sqlite(folder), &more)?;
    if std::env::var_os("STARKEEP_BENCH_HOLD").is_some() {
        println!("starkeep --config {} mirror {OWNER}/{name}: ends with the input", config.display());
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    }
    let mut command = child::program(env!("CARGO_BIN_EXE_starkeep"), folder);
    command.arg("--config").arg(config).args(["mirror", &format!("{OWNER}/{name}")]);
    child::measure(&mut command, Duration::from_secs(1_800))
}

/// Where `starkeep` puts it.
pub(crate) fn mirrored_path(name: &str) -> String {
    format!("github/{OWNER}/{name}")
}

/// A SQLite file in a folder.
pub(crate) fn sqlite(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("starkeep.db").display())
}
