//! What the demo plays on: the simulated servers, four repositories, and the service itself.

use std::net::SocketAddr;

use anyhow::Context as _;
use secrecy::SecretString;
use tempfile::TempDir;

use crate::app::{App, AppOptions};
use crate::cli::output;
use crate::config::Config;
use crate::domain::ids::GithubId;
use crate::domain::refs::Oid;
use crate::simulator::{Delivery, GithubSimulator, Simulator, SimulatorOptions};

/// Whose stars are watched.
pub(super) const FAN: &str = "stargazer";

/// The repositories, by what happens to them.
pub(super) struct Cast {
    pub(super) pushed: GithubId,
    pub(super) forced: GithubId,
    pub(super) renamed: GithubId,
    pub(super) unstarred: GithubId,
    /// The tip that the force-push overwrites.
    pub(super) overwritten: Oid,
}

impl Cast {
    fn assemble(github: &GithubSimulator) -> anyhow::Result<Self> {
        github.account(FAN);
        let pushed = repository(github, "octo", "hello")?;
        let forced = repository(github, "octo", "rewritten")?;
        let renamed = repository(github, "acme", "old-name")?;
        let unstarred = repository(github, "acme", "hello")?;
        let overwritten = github.tip(forced, "refs/heads/main")?.context("a branch was just made")?;
        Ok(Self { pushed, forced, renamed, unstarred, overwritten })
    }

    pub(super) fn all(&self) -> [GithubId; 4] {
        [self.pushed, self.forced, self.renamed, self.unstarred]
    }
}

/// A small history: two branches, a light tag and an annotated one.
fn repository(github: &GithubSimulator, owner: &str, name: &str) -> anyhow::Result<GithubId> {
    let id = github.create_repository(owner, name)?;
    github.set_description(id, Some(&format!("{name} of {owner}")))?;
    let first = github.commit(id, "main", "README", &format!("{owner}/{name}"))?;
    github.set_ref(id, "refs/heads/dev", first)?;
    github.set_ref(id, "refs/tags/v1", first)?;
    github.commit(id, "dev", "draft", "not yet")?;
    let second = github.commit(id, "main", "src", "code")?;
    github.annotated_tag(id, "v2", second)?;
    Ok(id)
}

pub(super) struct Stage {
    pub(super) simulator: Simulator,
    pub(super) cast: Cast,
    pub(super) app: App,
    pub(super) address: String,
    pub(super) admin_token: String,
    // The last field: the service ends before its folder goes.
    _folder: TempDir,
}

impl Stage {
    pub(super) async fn set(once: bool) -> anyhow::Result<Self> {
        let (webhook_secret, admin_token) = (secret(), secret());
        let options = SimulatorOptions { webhook_secret: webhook_secret.clone(), ..SimulatorOptions::default() };
        let simulator = Simulator::start(options)?;
        let cast = Cast::assemble(simulator.github())?;
        let folder = TempDir::with_prefix("starkeep-demo-")?;
        let mut config = Config::default();
        config.database.url = SecretString::from(format!("sqlite://{}", folder.path().join("starkeep.db").display()));
        config.github.api_url = simulator.github().api_url().parse()?;
        config.github.git_url = simulator.github().git_url().parse()?;
        config.github.webhook_secret = Some(SecretString::from(webhook_secret));
        config.onedev.url = Some(simulator.onedev().url().parse()?);
        config.onedev.token = Some(SecretString::from(simulator.onedev().admin_token().to_owned()));
        config.stars.users = vec![FAN.to_owned()];
        // Webhooks tell it all, and at once.
        config.stars.poll_interval = None;
        config.admin.token = Some(SecretString::from(admin_token.clone()));
        config.server.bind = bind(once, config.server.bind);
        let app = App::start(AppOptions { config, serve: true, ..AppOptions::default() }).await?;
        let address = format!("http://{}", app.address().context("the demo serves")?);
        output::say(&format!("GitHub and OneDev are simulated on this machine; starkeep serves at {address}"));
        Ok(Self { simulator, cast, app, address, admin_token, _folder: folder })
    }

    /// Sends a webhook as GitHub would; anything but 202 ends the demo.
    pub(super) async fn deliver(&self, delivery: &Delivery) -> anyhow::Result<()> {
        let (status, answer) = delivery.deliver(&format!("{}/webhooks/github", self.address)).await?;
        anyhow::ensure!(status == 202, "the webhook was answered {status}: {answer}");
        Ok(())
    }
}

/// The usual address if it is free and somebody is to look at it; any free port otherwise.
fn bind(once: bool, usual: SocketAddr) -> SocketAddr {
    let any = SocketAddr::new(usual.ip(), 0);
    if once || std::net::TcpListener::bind(usual).is_err() { any } else { usual }
}

/// A secret of this run.
fn secret() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}
