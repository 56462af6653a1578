//! Secrets that stand elsewhere: looked up before the start, and again from time to time while the service runs.
//!
//! A store that is broken at the start is a problem of the configuration. Later it is not: the last good values stay
//! in use, and `/readyz`, a metric and the log say so.

use std::collections::BTreeSet;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::notify::Notify;
use crate::config::secret_stores::SecretStores as Settings;
use crate::config::{Config, LoadOptions, Loaded, LookedUp, Problems, Reference};
use crate::github::GithubClient;
use crate::http::{self, Component, ComponentState};
use crate::onedev::OnedevClient;
use crate::secret_stores::SecretStores;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

/// Reads a configuration with the secrets that it refers to, as often as is wanted.
pub struct Secrets {
    options: LoadOptions,
    stores: Option<SecretStores>,
}

impl Secrets {
    /// Nothing is read yet.
    pub fn new(options: LoadOptions) -> Self {
        Self { options, stores: None }
    }

    /// The configuration as it is now. Secret stores are asked only if it refers to them.
    ///
    /// # Errors
    /// Everything that is wrong, references that lead nowhere included.
    pub async fn load(&mut self) -> Result<Loaded, Problems> {
        let looked_up = match Config::asks(&self.options) {
            Some((settings, references)) => self.look_up(&settings, &references).await,
            None => LookedUp::new(),
        };
        Config::load(&LoadOptions { looked_up, ..self.options.clone() })
    }

    /// A client that fails may have a credential of yesterday: another one is made and asked.
    async fn look_up(&mut self, settings: &Settings, references: &BTreeSet<Reference>) -> LookedUp {
        if let Some(stores) = &self.stores {
            let found = stores.look_up(references).await;
            if found.values().all(Result::is_ok) {
                return found;
            }
        }
        self.stores.insert(SecretStores::new(settings)).look_up(references).await
    }
}

/// A secret's key in the configuration, and how it is found there.
type Kept = (&'static str, fn(&Config) -> Vec<&SecretString>);

/// What is taken over while the service runs.
const RENEWED: [Kept; 10] = [
    ("github.token", |it| it.github.token.iter().collect()),
    ("github.tokens", |it| it.github.tokens.iter().collect()),
    ("github.app_private_key", |it| it.github.app_private_key.iter().collect()),
    ("github.webhook_secret", |it| it.github.webhook_secret.iter().collect()),
    ("github.webhook_secret_old", |it| it.github.webhook_secret_old.iter().collect()),
    ("onedev.token", |it| it.onedev.token.iter().collect()),
    ("admin.token", |it| it.admin.token.iter().collect()),
    ("notify.webhook_secret", |it| it.notify.webhook_secret.iter().collect()),
    ("notify.ntfy_token", |it| it.notify.ntfy_token.iter().collect()),
    ("notify.smtp_password", |it| it.notify.smtp_password.iter().collect()),
];

/// Taken over as long as nothing but the login in it changes.
const DATABASE: Kept = ("database.url", |it| vec![&it.database.url]);

/// What is in use until the process ends.
const FIXED: [Kept; 3] = [
    ("github.ssh_key", |it| it.github.ssh.key.iter().chain(&it.github.ssh.passphrase).collect()),
    ("onedev.ssh_key", |it| it.onedev.ssh.key.iter().chain(&it.onedev.ssh.passphrase).collect()),
    ("traces.authorization", |it| it.traces.authorization.iter().collect()),
];

/// The keys whose secrets differ.
fn changed(keys: &[Kept], old: &Config, new: &Config) -> Vec<&'static str> {
    let text = |it: Vec<&SecretString>| it.into_iter().map(|it| it.expose_secret().to_owned()).collect::<Vec<_>>();
    keys.iter().filter(|(_, of)| text(of(old)) != text(of(new))).map(|(key, _)| *key).collect()
}

/// What takes over changed secrets.
pub(super) struct Renewal {
    secrets: Secrets,
    config: Config,
    every: Duration,
    github: GithubClient,
    onedev: OnedevClient,
    store: Store,
    notify: watch::Sender<Notify>,
    requests: watch::Sender<http::Secrets>,
    state: watch::Sender<ComponentState>,
    metrics: Metrics,
}

/// What of it others look at.
pub(super) struct Renewed {
    /// What requests must know.
    pub(super) requests: watch::Receiver<http::Secrets>,
    /// What those who tell people must know.
    pub(super) notify: watch::Receiver<Notify>,
    /// Whether all secrets could be read when that was last tried; `None` where nothing is read again.
    pub(super) component: Option<Component>,
}

/// Who takes part in a renewal, and who looks at it.
pub(super) fn renewal(
    config: &Config,
    secrets: Option<Secrets>,
    store: &Store,
    clients: (GithubClient, OnedevClient),
    metrics: &Metrics,
) -> (Option<Renewal>, Renewed) {
    let (requests, seen) = watch::channel(http::Secrets::of(config));
    let (notify, present) = watch::channel(config.notify.clone());
    let Some((secrets, every)) = secrets.zip(config.secrets.refresh) else {
        return (None, Renewed { requests: seen, notify: present, component: None });
    };
    let (state, told) = watch::channel(ComponentState::Ok);
    let component = Component::new("secrets", move || {
        let told = told.borrow().clone();
        Box::pin(async move { told })
    });
    let ((github, onedev), config, metrics) = (clients, config.clone(), metrics.clone());
    let store = store.clone();
    let renewal = Renewal { secrets, config, every, github, onedev, store, notify, requests, state, metrics };
    (Some(renewal), Renewed { requests: seen, notify: present, component: Some(component) })
}

impl Renewal {
    /// Looks everything up again and again until it is stopped.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.every) => {}
            }
            let outcome = self.secrets.load().await;
            let word = if outcome.is_ok() { "ok" } else { "failed" };
            self.metrics.secret_refreshes.with_label_values(&[word]).inc();
            match outcome {
                Ok(loaded) => self.take_over(loaded.config),
                Err(problems) => {
                    tracing::warn!("the secrets could not be read again; those of before stay in use: {problems}");
                    let text = "secrets could not be read again; those of before stay in use".to_owned();
                    self.state.send_replace(ComponentState::Degraded(text));
                }
            }
        }
    }

    /// Only secrets are taken over: another change of the configuration waits for the next start.
    fn take_over(&mut self, config: Config) {
        let was_degraded = self.state.send_replace(ComponentState::Ok) != ComponentState::Ok;
        if was_degraded {
            tracing::info!("the secrets can be read again");
        }
        let another = changed(&[DATABASE], &self.config, &config);
        let is_in_use = !another.is_empty() && self.store.renew(&config.database);
        let waits = another.iter().filter(|_| !is_in_use).copied();
        for key in waits.chain(changed(&FIXED, &self.config, &config)) {
            tracing::warn!(key, "this secret was changed where it is kept; it is taken over at the next start");
        }
        let mut renewed = changed(&RENEWED, &self.config, &config);
        renewed.extend(another.iter().filter(|_| is_in_use));
        if !renewed.is_empty() {
            let github = self.github.renew(&config.github).map_err(|it| it.to_string());
            let onedev = self.onedev.renew(&config.onedev).map_err(|it| it.to_string());
            for error in [github, onedev].into_iter().filter_map(Result::err) {
                tracing::warn!("a changed secret cannot be used, the one before is: {error}");
            }
            self.notify.send_replace(config.notify.clone());
            self.requests.send_replace(http::Secrets::of(&config));
            tracing::info!(keys = renewed.join(", "), "changed secrets are in use");
        }
        self.config = config;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that the defaults call secret; a key and its passphrase are one.
    fn secret_keys() -> BTreeSet<String> {
        let (mut section, mut comment, mut found) = (String::new(), String::new(), BTreeSet::new());
        for line in include_str!("../../config/default.toml").lines() {
            if let Some(text) = line.strip_prefix("# ") {
                comment.push_str(text);
            } else if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
            } else if let Some((key, _)) = line.split_once(" = ")
                && comment.contains("(secret")
            {
                let key = key.trim_start_matches('#').trim_end_matches("_passphrase");
                found.insert(format!("{section}.{key}"));
            }
            if !line.starts_with('#') {
                comment.clear();
            }
        }
        // What opens the stores is read with them.
        found.retain(|it| !it.starts_with("secrets."));
        found
    }

    #[test]
    fn every_secret_is_taken_over_or_said_to_wait() {
        let known: BTreeSet<&str> = RENEWED.iter().chain(&FIXED).chain([&DATABASE]).map(|(key, _)| *key).collect();
        let keys = secret_keys();
        assert!(keys.len() > 8, "{keys:?}");
        let missing: Vec<_> = keys.iter().filter(|it| !known.contains(it.as_str())).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn what_differs_is_found_under_its_key() {
        let old = Config::default();
        let mut new = Config::default();
        new.onedev.token = Some("next".into());
        new.github.tokens = vec!["one".into()];
        new.database.url = "sqlite://other.db".into();
        new.traces.authorization = Some("next".into());
        assert_eq!(changed(&RENEWED, &old, &new), ["github.tokens", "onedev.token"]);
        assert_eq!(changed(&FIXED, &old, &new), ["traces.authorization"]);
        assert!(changed(&RENEWED, &new, &new).is_empty());
    }
}
