//! A look at each credential by itself: whose it is, what it may, how much of its hour is left.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::Deserialize;

use super::client::GithubClient;
use super::error::GithubError;
use super::exchange::{Answer, Principal, Terms};
use crate::domain::installation;

/// An answer about an App has a few KiB.
const LARGEST: usize = 64 * 1024;

/// One credential of the configuration, and what GitHub says of it.
#[derive(Debug)]
pub struct Credential {
    /// Its key, as in `github.token`.
    pub key: String,
    /// What GitHub says; an error if it is refused or GitHub cannot be asked.
    pub seen: Result<Seen, GithubError>,
}

/// A credential that GitHub takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// No credential at all.
    Anonymous(Allowance),
    /// A personal access token.
    Token {
        /// The account's login; none where the token does not tell.
        login: Option<String>,
        /// The scopes of a classic token; a fine-grained one does not tell its permissions.
        scopes: Option<Vec<String>>,
        /// What it may still ask.
        allowance: Allowance,
    },
    /// A GitHub App.
    App(AppSeen),
}

/// A GitHub App as its settings are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSeen {
    /// The name in its address.
    pub slug: String,
    /// Permissions that it needs and does not ask accounts for.
    pub lacking: Vec<&'static str>,
    /// Accounts that it is installed on, suspended ones left out.
    pub installations: usize,
    /// Where its webhooks go; none if they are off.
    pub webhook: Option<String>,
    /// Webhook events that it is subscribed to.
    pub events: Vec<String>,
}

/// What is left of an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Requests an hour; none where the server has no limits.
    pub limit: Option<u64>,
    /// Of them left.
    pub remaining: Option<u64>,
}

#[derive(Deserialize)]
struct LoginBody {
    login: String,
}

#[derive(Deserialize)]
struct AppBody {
    slug: String,
    #[serde(default)]
    permissions: BTreeMap<String, String>,
    #[serde(default)]
    events: Vec<String>,
}

#[derive(Deserialize)]
struct HookBody {
    url: Option<String>,
}

impl Allowance {
    fn of(answer: &Answer) -> Self {
        let number = |name| answer.header(name).and_then(|it| it.parse().ok());
        Self { limit: number("x-ratelimit-limit"), remaining: number("x-ratelimit-remaining") }
    }
}

impl GithubClient {
    /// Asks about every credential, in the order of the configuration. A few requests in all.
    pub async fn checkup(&self) -> Vec<Credential> {
        let all = &self.inner.credentials;
        let mut seen = Vec::new();
        for (place, token) in all.tokens.iter().enumerate() {
            seen.push(Credential { key: token.key.clone(), seen: self.look_at_token(place).await });
        }
        if all.app.is_some() {
            let found = self.look_at_app().await.map(Seen::App);
            seen.push(Credential { key: "github.app_id".to_owned(), seen: found });
        }
        if seen.is_empty() {
            let found = self.look_as_anybody().await;
            seen.push(Credential { key: "github".to_owned(), seen: found });
        }
        seen
    }

    /// How far GitHub's clock is ahead of ours, by its last answer.
    pub fn clock_skew(&self) -> TimeDelta {
        self.exchange().skew()
    }

    async fn look_at_token(&self, place: usize) -> Result<Seen, GithubError> {
        let (reader, url) = (Principal::Token(place), self.exchange().url(&["user"]));
        match self.get_as(reader, url, Terms::PLAIN).await {
            Ok(answer) => {
                let scopes = answer.header("x-oauth-scopes").map(words);
                let login = Some(answer.json::<LoginBody>()?.login);
                Ok(Seen::Token { login, scopes, allowance: Allowance::of(&answer) })
            }
            // A token of an App or a workflow belongs to nobody.
            Err(GithubError::Forbidden(_) | GithubError::NotFound) => {
                let answer = self.get_as(reader, self.exchange().url(&["rate_limit"]), Terms::PLAIN).await?;
                Ok(Seen::Token { login: None, scopes: None, allowance: Allowance::of(&answer) })
            }
            Err(error) => Err(error),
        }
    }

    async fn look_at_app(&self) -> Result<AppSeen, GithubError> {
        let exchange = self.exchange();
        let app: AppBody = self.ask_as_app(&exchange.url(&["app"]), LARGEST).await?.json()?;
        let webhook = match self.ask_as_app(&exchange.url(&["app", "hook", "config"]), LARGEST).await {
            Ok(answer) => answer.json::<HookBody>()?.url.filter(|it| !it.is_empty()),
            Err(GithubError::NotFound) => None,
            Err(error) => return Err(error),
        };
        self.read_installations().await?;
        let known = self.known_installations().await.map(|it| it.0).unwrap_or_default();
        Ok(AppSeen {
            slug: app.slug,
            lacking: installation::lacking(&app.permissions),
            installations: known.iter().filter(|it| it.is_active()).count(),
            webhook,
            events: app.events,
        })
    }

    async fn look_as_anybody(&self) -> Result<Seen, GithubError> {
        let url = self.exchange().url(&["rate_limit"]);
        match self.exchange().get(url, &self.anonymous()).await {
            Ok(answer) => Ok(Seen::Anonymous(Allowance::of(&answer))),
            // An Enterprise Server without limits has no such address.
            Err(GithubError::NotFound) => Ok(Seen::Anonymous(Allowance::default())),
            Err(error) => Err(error),
        }
    }
}

fn words(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
}
