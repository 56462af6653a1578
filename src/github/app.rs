//! The GitHub App: its JWT, its installations, and a token for each of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use octocrab::auth::{AppAuth, EncodingKey};
use octocrab::models::AppId;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::error::GithubError;
use super::exchange::{Answer, Exchange, Pass, Principal};
use super::model::{InstallationBody, TokenBody};
use super::token::{Slot, Token};
use crate::domain::rate::Urgency;

/// How long a list of installations is believed.
const LIST_LIFE: TimeDelta = TimeDelta::minutes(10);
/// A list so young is not read again, whatever is missing in it.
pub(super) const LIST_REST: TimeDelta = TimeDelta::minutes(1);
/// Pages of a hundred installations.
const MAX_PAGES: usize = 10;

/// An installation of the App on one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installation {
    pub(super) id: i64,
    account: Option<String>,
}

impl Installation {
    pub(super) fn is_of(&self, owner: &str) -> bool {
        self.account.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(owner))
    }
}

#[derive(Debug)]
struct Listing {
    read_at: DateTime<Utc>,
    installations: Arc<[Installation]>,
}

/// The App's key and everything learned with it.
#[derive(Debug)]
pub(super) struct App {
    auth: AppAuth,
    listing: tokio::sync::Mutex<Option<Listing>>,
    slots: Mutex<HashMap<i64, Arc<Slot>>>,
}

impl App {
    pub(super) fn new(id: u64, key: &SecretString) -> Result<Self, GithubError> {
        let key = EncodingKey::from_rsa_pem(key.expose_secret().as_bytes()).map_err(|_| {
            GithubError::Config(
                "github.app_private_key is no RSA private key in PEM form; download a new one from the App's settings"
                    .to_owned(),
            )
        })?;
        let auth = AppAuth { app_id: AppId(id), key };
        Ok(Self { auth, listing: tokio::sync::Mutex::default(), slots: Mutex::default() })
    }

    /// A fresh JWT: RS256, issued a minute ago, good for nine more.
    pub(super) fn pass(&self) -> Result<Pass, GithubError> {
        let jwt = self
            .auth
            .generate_bearer_token()
            .map_err(|error| GithubError::Config(format!("github.app_private_key cannot sign: {error}")))?;
        // What an App asks by itself stands before everything else: without a token nothing goes.
        Ok(Pass::bearer(Principal::App, &SecretString::from(jwt))?.with(Urgency::Fresh))
    }

    /// The installations that are not suspended, read again when the list is older than `life`
    /// ([`LIST_LIFE`] if `None`). One list serves all repositories: an installation belongs to an
    /// account, so a request for each repository would tell no more.
    pub(super) async fn installations(
        &self,
        exchange: &Exchange,
        life: Option<TimeDelta>,
    ) -> Result<Arc<[Installation]>, GithubError> {
        let mut listing = self.listing.lock().await;
        let now = exchange.now();
        if let Some(known) = listing.as_ref().filter(|it| now - it.read_at < life.unwrap_or(LIST_LIFE)) {
            return Ok(Arc::clone(&known.installations));
        }
        let installations: Arc<[Installation]> = self.read_installations(exchange).await?.into();
        *listing = Some(Listing { read_at: now, installations: Arc::clone(&installations) });
        Ok(installations)
    }

    async fn read_installations(&self, exchange: &Exchange) -> Result<Vec<Installation>, GithubError> {
        let mut url = exchange.url(&["app", "installations"]);
        url.query_pairs_mut().append_pair("per_page", "100");
        let mut found = Vec::new();
        let pass = self.pass()?;
        for _ in 0..MAX_PAGES {
            let answer = exchange.get(url, &pass).await.map_err(about_app)?;
            let page: Vec<InstallationBody> = answer.json()?;
            found.extend(
                page.into_iter()
                    .filter(|it| it.suspended_at.is_none())
                    .map(|it| Installation { id: it.id, account: it.account.map(|account| account.login) }),
            );
            match next_page(&answer).filter(|next| exchange.is_home(next)) {
                Some(next) => url = next,
                None => break,
            }
        }
        Ok(found)
    }

    /// An installation's token.
    pub(super) async fn token(&self, exchange: &Exchange, installation: i64) -> Result<Token, GithubError> {
        let slot = self.slot(installation);
        slot.token(exchange.now(), || self.mint(exchange, installation)).await
    }

    /// Forgets a token that GitHub has refused.
    pub(super) async fn forget(&self, installation: i64, refused: &Token) {
        self.slot(installation).forget(refused).await;
    }

    /// Forgets an installation's token, whichever it is.
    pub(super) fn forget_any(&self, installation: i64) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(&installation);
    }

    async fn mint(&self, exchange: &Exchange, installation: i64) -> Result<Token, GithubError> {
        let url = exchange.url(&["app", "installations", &installation.to_string(), "access_tokens"]);
        let minted = exchange.post(url, &self.pass()?).await;
        if matches!(minted, Err(GithubError::NotFound | GithubError::Forbidden(_))) {
            // Uninstalled or suspended since the list was read.
            *self.listing.lock().await = None;
        }
        let TokenBody { token, expires_at } = minted.map_err(about_app)?.json()?;
        Ok(Token { secret: SecretString::from(token), expires_at })
    }

    fn slot(&self, installation: i64) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(installation).or_default())
    }
}

/// A 404 or 403 about the App itself must not read as "no such repository".
fn about_app(error: GithubError) -> GithubError {
    match error {
        GithubError::NotFound => GithubError::App("its installation is gone; install it again".to_owned()),
        GithubError::Forbidden(text) => GithubError::App(format!("its installation is suspended ({text})")),
        other => other,
    }
}

/// The address of `rel="next"` in a `Link` header.
pub(super) fn next_page(answer: &Answer) -> Option<Url> {
    linked(answer, "next")
}

/// The address of a relation in a `Link` header.
pub(super) fn linked(answer: &Answer, relation: &str) -> Option<Url> {
    let (link, relation) = (answer.header("link")?, format!("rel=\"{relation}\""));
    let next = link.split(',').find(|it| it.contains(&relation))?;
    let address = next.trim().strip_prefix('<')?.split('>').next()?;
    Url::parse(address).ok()
}
