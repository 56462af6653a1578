//! Whether everything that `serve` needs is there: each thing tried for real, with the mend for what is amiss.
//!
//! Nothing is changed but an SQLite file that is not there yet, which is made as `serve` makes it.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use url::Url;

use crate::config::Config;
use crate::config::github::Github;
use crate::git;
use crate::github::{AppSeen, Credential, GithubClient, Seen};
use crate::http;
use crate::onedev::OnedevClient;
use crate::outbound;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// A service that answers nothing is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Clocks that differ by more are worth a word.
const CLOCKS_DIFFER: i64 = 30;
/// What a delivery must be about to be of use.
const EVENTS: [&str; 3] = ["push", "repository", "star"];
/// Without a credential looks at stars take a quarter of 60 requests an hour.
const MINUTES_A_LOOK: usize = 4;

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and less well than it could.
    Warning,
    /// Starkeep cannot do its work like this.
    Failed,
}

/// One thing that was tried.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What it is about: `database`, `github`, ….
    pub topic: &'static str,
    /// How it stands.
    pub state: State,
    /// What was seen.
    pub text: String,
    /// What to do, if something is amiss and the text does not say so itself.
    pub mend: Option<String>,
}

impl Finding {
    fn ok(topic: &'static str, text: impl Into<String>) -> Self {
        Self { topic, state: State::Ok, text: text.into(), mend: None }
    }

    fn warning(topic: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { topic, state: State::Warning, text: text.into(), mend: Some(mend.into()) }
    }

    fn failed(topic: &'static str, text: &(impl ToString + ?Sized)) -> Self {
        Self { topic, state: State::Failed, text: text.to_string(), mend: None }
    }

    fn mend(self, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..self }
    }
}

/// Tries everything, all at once, in a fixed order.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let parts = tokio::join!(
        within("database", database(config)),
        within("github", github(config)),
        within("onedev", onedev(config)),
        within("webhooks", webhooks(config)),
        within("admin", issuer(config)),
        within("disk", disk(config)),
    );
    let mut all = vec![Finding::ok("configuration", "it is whole, and every value is possible")];
    all.extend([parts.0, parts.1, parts.2, parts.3, parts.4, parts.5].into_iter().flatten());
    all
}

async fn within(topic: &'static str, look: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    let silent = |_| vec![Finding::failed(topic, &format!("no answer within {} s", PATIENCE.as_secs()))];
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(silent)
}

async fn database(config: &Config) -> Vec<Finding> {
    vec![match try_database(config).await {
        Ok(finding) => finding,
        Err(error) => Finding::failed("database", &error),
    }]
}

async fn try_database(config: &Config) -> Result<Finding, StoreError> {
    let store = Store::open(&config.database).await?;
    let kind = if store.is_postgres() { "Postgres" } else { "SQLite" };
    let pending = store.pending_migrations().await?;
    if !pending.is_empty() {
        let text = format!("{kind} answers, and lacks {} migrations", pending.len());
        return Ok(if config.database.migrate {
            Finding::ok("database", format!("{text}: `serve` makes them at its start"))
        } else {
            Finding::failed("database", &text).mend("run `starkeep migrate`, or set database.migrate = true")
        });
    }
    store.check().await?;
    let theirs = store.server_time().await?;
    let apart = theirs.map_or(0, |it| (it - chrono::Utc::now()).num_seconds().abs());
    if apart > CLOCKS_DIFFER {
        let text = format!("{kind} takes deliveries, and its clock is {apart} s away from ours");
        return Ok(Finding::warning("database", text, "let both machines follow a time server"));
    }
    Ok(Finding::ok("database", format!("{kind} is up to date and takes deliveries")))
}

async fn github(config: &Config) -> Vec<Finding> {
    let client = match Metrics::new()
        .map_err(|it| it.to_string())
        .and_then(|metrics| GithubClient::new(&config.github, &metrics).map_err(|it| it.to_string()))
    {
        Ok(client) => client,
        Err(error) => return vec![Finding::failed("github", &error)],
    };
    let credentials = client.checkup().await;
    let mut all: Vec<Finding> = credentials.iter().flat_map(|it| credential(it, config)).collect();
    let apart = client.clock_skew().num_seconds().abs();
    if apart > CLOCKS_DIFFER {
        let text = format!("GitHub's clock is {apart} s away from ours");
        all.push(Finding::warning("github", text, "let this machine follow a time server"));
    }
    if all.iter().all(|it| it.state != State::Failed) {
        all.extend(join_all(config.stars.users.iter().map(|login| user(&client, login))).await);
    }
    if config.stars.users.is_empty() {
        let mend = "name those whose stars are kept in stars.users";
        all.push(Finding::warning("stars", "nobody's stars are kept", mend));
    }
    all
}

fn credential(credential: &Credential, config: &Config) -> Vec<Finding> {
    let key = &credential.key;
    match &credential.seen {
        Err(error) => vec![Finding::failed("github", &format!("{key}: {error}"))],
        Ok(Seen::Token { login, scopes, allowance }) => {
            let whose = login.as_ref().map_or_else(|| "nobody's in particular".to_owned(), |it| format!("{it}'s"));
            let left = match (allowance.remaining, allowance.limit) {
                (Some(left), Some(limit)) => format!(", {left} of {limit} requests of this hour are left"),
                _ => String::new(),
            };
            let blind = match scopes {
                Some(scopes) if !scopes.iter().any(|it| it == "repo") => {
                    "; without the scope `repo` it sees public repositories only"
                }
                _ => "",
            };
            vec![Finding::ok("github", format!("{key} is {whose}{left}{blind}"))]
        }
        Ok(Seen::App(app)) => about_app(app, config),
        Ok(Seen::Anonymous(allowance)) => {
            let minutes = MINUTES_A_LOOK * config.stars.users.len().max(1);
            let text = format!(
                "no credential: {} requests an hour for everything. Only public repositories are seen; each user's \
                 stars are looked at every {minutes} minutes at best; mirrors are looked at one by one with git, not \
                 a hundred in one request; star lists are not seen; issues and releases take \
                 days",
                allowance.limit.unwrap_or(60)
            );
            let mend = "set github.token: even one without any permission is allowed 5,000 requests an hour";
            vec![Finding::warning("github", text, mend)]
        }
    }
}

fn about_app(app: &AppSeen, config: &Config) -> Vec<Finding> {
    let AppSeen { slug, lacking, installations, webhook, events } = app;
    if *installations == 0 {
        let text = format!("the App {slug} is installed nowhere");
        return vec![Finding::failed("github", &text).mend("install it on an account, from its page at GitHub")];
    }
    let mut all = vec![Finding::ok("github", format!("the App {slug} is installed on {installations} accounts"))];
    if !lacking.is_empty() {
        let text = format!("the App does not ask for the permissions {} (read)", lacking.join(", "));
        let mend = "add them in the App's settings, and accept them on each account";
        all.push(Finding::warning("github", text, mend));
    }
    let missed: Vec<&str> = EVENTS.into_iter().filter(|it| !events.iter().any(|have| have == it)).collect();
    if webhook.is_some() && !missed.is_empty() {
        let text = format!("the App is not subscribed to the events {}", missed.join(", "));
        all.push(Finding::warning("github", text, "subscribe to them in the App's settings"));
    }
    let wanted = config.server.public_url.as_ref().map(webhook_address);
    match (webhook, wanted) {
        (None, _) => all.push(Finding::warning(
            "github",
            "the App's webhooks are off: changes are seen when they are looked for",
            "switch them on where GitHub can reach this machine",
        )),
        (Some(has), Some(wanted)) if has.trim_end_matches('/') != wanted => all.push(
            Finding::failed("github", &format!("the App's webhooks go to {has}, not here"))
                .mend(format!("set the address {wanted} in the App's settings, or mend server.public_url")),
        ),
        _ => {}
    }
    all
}

async fn user(client: &GithubClient, login: &str) -> Finding {
    match client.account_named(login).await {
        Ok(_) => Finding::ok("stars", format!("{login} is an account at GitHub")),
        Err(error) => Finding::failed("stars", &format!("{login}: {error}")),
    }
}

async fn onedev(config: &Config) -> Vec<Finding> {
    match try_onedev(config).await {
        Ok(all) => all,
        Err(text) => vec![Finding::failed("onedev", &text)],
    }
}

async fn try_onedev(config: &Config) -> Result<Vec<Finding>, String> {
    let metrics = Metrics::new().map_err(|it| it.to_string())?;
    let client = OnedevClient::new(&config.onedev, &metrics).map_err(|it| it.to_string())?;
    let version = client.check().await.map_err(|it| it.to_string())?;
    let mut all = vec![Finding::ok("onedev", format!("OneDev {version} takes the token"))];
    let root = client.root();
    let role = "give the token the role Project Owner on that project, and on no other";
    if client.project_at(root).await.map_err(|it| format!("the project {root}: {it}"))?.is_none() {
        let text = format!("there is no project {root} that the token sees");
        all.push(Finding::warning(
            "onedev",
            text,
            format!("make it in OneDev and {role}; an administrator's token makes it"),
        ));
        return Ok(all);
    }
    let connections = git::Connections::of(config)?;
    let url = client.push_url(root);
    let authorization = (url.scheme() != "ssh").then(|| client.git_authorization());
    let address = git::Address { url, authorization, service: "onedev" };
    let target = git::Target::new(connections, address, metrics, git::Patience::default());
    let pushing = match target {
        Ok(target) => target.receive_refs().await.map(drop),
        Err(error) => Err(error),
    };
    all.push(match pushing {
        Ok(()) => Finding::ok("onedev", format!("git may push below the project {root}")),
        Err(error) => Finding::failed("onedev", &format!("git may not push to the project {root}: {error}")).mend(role),
    });
    Ok(all)
}

fn webhook_address(public: &Url) -> String {
    format!("{}/webhooks/github", public.as_str().trim_end_matches('/'))
}

async fn webhooks(config: &Config) -> Vec<Finding> {
    let Github { webhook_secret, .. } = &config.github;
    let mut all = Vec::new();
    if webhook_secret.is_none() {
        let text = "github.webhook_secret is not set: webhooks are answered with 503, changes are seen by looking";
        all.push(Finding::warning("webhooks", text, "set the secret that stands in the App's or webhook's settings"));
    }
    if config.admin.token.is_none() {
        let text = "admin.token is not set: keys alone open the API and the dashboard";
        all.push(Finding::warning(
            "admin",
            text,
            "make one by the address that `starkeep serve` prints, or by `starkeep key create`",
        ));
    }
    let Some(public) = &config.server.public_url else {
        let text = "server.public_url is not set: nothing to try";
        all.push(Finding::warning("webhooks", text, "set what GitHub and browsers reach, if anything can"));
        return all;
    };
    let address = format!("{}/healthz", public.as_str().trim_end_matches('/'));
    let asked = async {
        outbound::client()
            .build()
            .map_err(|it| it.to_string())?
            .get(&address)
            .timeout(PATIENCE / 2)
            .send()
            .await
            .map_err(outbound::causes)
    };
    all.push(match asked.await {
        Ok(answer) if answer.status().is_success() => Finding::ok("webhooks", format!("{address} answers")),
        Ok(answer) => Finding::warning("webhooks", format!("{address} answers {}", answer.status()), PROXY),
        Err(error) => Finding::warning("webhooks", format!("{address} is not reached from here: {error}"), PROXY),
    });
    all
}

/// Whose tokens open the admin API: serving goes on without them.
async fn issuer(config: &Config) -> Vec<Finding> {
    let Some(jwt) = &config.admin.jwt else { return Vec::new() };
    vec![match http::issuer_keys(jwt).await {
        Ok(keys) => Finding::ok("admin", format!("{} shows {keys} keys for its tokens", jwt.issuer)),
        Err(why) => {
            let text = format!("the keys of {} cannot be fetched: {why}", jwt.issuer);
            let mend = "see that admin.jwt.issuer is as its discovery document says, or set admin.jwt.jwks_url";
            Finding::warning("admin", text, mend)
        }
    }]
}

const PROXY: &str = "is `serve` running, and does the reverse proxy lead to it? GitHub must reach it from outside";

async fn disk(config: &Config) -> Vec<Finding> {
    let spool = config.sync.spool_dir.clone().unwrap_or_else(std::env::temp_dir);
    let cache = config.sync.cache_dir.clone().map(|it| ("sync.cache_dir", it));
    let folders = [("sync.spool_dir", spool)].into_iter().chain(cache);
    let look = |(key, folder): (&'static str, std::path::PathBuf)| match tempfile::tempfile_in(&folder) {
        Ok(_) => Finding::ok("disk", format!("{key}: {} can be written to", folder.display())),
        Err(error) => {
            let text = format!("{key}: no file can be made in {}: {error}", folder.display());
            Finding::failed("disk", &text).mend("make the folder, and let starkeep's user write there")
        }
    };
    let tried = tokio::task::spawn_blocking(move || folders.map(look).collect()).await;
    tried.unwrap_or_else(|error| vec![Finding::failed("disk", &error)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> AppSeen {
        let events = EVENTS.map(str::to_owned).to_vec();
        let webhook = Some("https://starkeep.example.com/webhooks/github/".to_owned());
        AppSeen { slug: "keeper".to_owned(), lacking: Vec::new(), installations: 2, webhook, events }
    }

    /// States and texts of what is amiss.
    fn amiss(app: &AppSeen) -> Vec<(State, String)> {
        let mut config = Config::default();
        config.server.public_url = Some("https://starkeep.example.com".parse().unwrap());
        let all = about_app(app, &config).into_iter().filter(|it| it.state != State::Ok);
        all.map(|it| (it.state, format!("{}; {}", it.text, it.mend.unwrap_or_default()))).collect()
    }

    #[test]
    fn an_app_that_is_set_up_well_has_nothing_amiss() {
        assert_eq!(amiss(&app()), []);
    }

    #[test]
    fn each_fault_of_an_app_is_told_with_its_mend() {
        for (app, state, word) in [
            (AppSeen { installations: 0, ..app() }, State::Failed, "install it on an account"),
            (AppSeen { lacking: vec!["issues"], ..app() }, State::Warning, "issues (read)"),
            (AppSeen { events: vec!["push".to_owned()], ..app() }, State::Warning, "repository, star"),
            (AppSeen { webhook: None, ..app() }, State::Warning, "webhooks are off"),
            (
                AppSeen { webhook: Some("https://else.example.com/".to_owned()), ..app() },
                State::Failed,
                "https://starkeep.example.com/webhooks/github",
            ),
        ] {
            let found = amiss(&app);
            assert!(found.len() == 1 && found[0].0 == state && found[0].1.contains(word), "{word}: {found:?}");
        }
    }
}
