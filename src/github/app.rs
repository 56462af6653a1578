//! The GitHub App: its JWT, its installations, and a token for each of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use octocrab::models::AppId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use tokio::sync::watch;
use url::Url;

use super::error::GithubError;
use super::exchange::{Answer, Exchange, Pass, Principal};
use super::model::{InstallationBody, TokenBody};
use super::token::{Slot, Token};
use crate::domain::installation::{Installation, narrowed};
use crate::domain::rate::Urgency;

/// How long a list of installations is believed.
const LIST_LIFE: TimeDelta = TimeDelta::minutes(10);
/// A list so young is not read again, whatever is missing in it.
pub(super) const LIST_REST: TimeDelta = TimeDelta::minutes(1);
/// Pages of a hundred installations.
const MAX_PAGES: usize = 10;

/// A JWT is refused where clocks differ by more than its margin of a minute; so much is told from the time that
/// an answer took.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(30);

/// What a JWT says: who, since when, until when.
#[derive(Serialize)]
struct Claims {
    iss: AppId,
    iat: i64,
    exp: i64,
}

#[derive(Debug)]
struct Listing {
    read_at: DateTime<Utc>,
    /// Suspended ones too.
    all: Arc<[Installation]>,
    active: Arc<[Installation]>,
}

impl Listing {
    fn new(read_at: DateTime<Utc>, all: Vec<Installation>) -> Self {
        let active = all.iter().filter(|it| it.is_active()).cloned().collect();
        Self { read_at, all: all.into(), active }
    }
}

/// A key as GitHub issues it.
fn signing_key(key: &SecretString) -> Result<EncodingKey, GithubError> {
    EncodingKey::from_rsa_pem(key.expose_secret().as_bytes()).map_err(|_| {
        GithubError::Config(
            "github.app_private_key is no RSA private key in PEM form; download a new one from the App's settings"
                .to_owned(),
        )
    })
}

/// The App's key and everything learned with it.
pub(super) struct App {
    app_id: AppId,
    key: RwLock<EncodingKey>,
    listing: tokio::sync::Mutex<Option<Listing>>,
    /// Logins, in lower case, whose installation has gone.
    lost: Mutex<HashSet<String>>,
    slots: Mutex<HashMap<i64, Arc<Slot>>>,
    /// Moves whenever GitHub's list was read.
    pub(super) read: watch::Sender<u64>,
}

impl App {
    pub(super) fn new(id: u64, key: &SecretString) -> Result<Self, GithubError> {
        Ok(Self {
            app_id: AppId(id),
            key: RwLock::new(signing_key(key)?),
            listing: tokio::sync::Mutex::default(),
            lost: Mutex::default(),
            slots: Mutex::default(),
            read: watch::Sender::default(),
        })
    }

    /// Signs with another key from now on; what was signed with the one before stays good at GitHub.
    pub(super) fn renew(&self, key: &SecretString) -> Result<(), GithubError> {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = signing_key(key)?;
        Ok(())
    }

    /// The App's id.
    pub(super) fn id(&self) -> u64 {
        self.app_id.0
    }

    /// A JWT for a moment of GitHub's clock: RS256, issued a minute before it, good for nine more.
    fn pass(&self, now: DateTime<Utc>) -> Result<Pass, GithubError> {
        let now = now.timestamp();
        let claims = Claims { iss: self.app_id, iat: now - 60, exp: now + 540 };
        let key = self.key.read().unwrap_or_else(PoisonError::into_inner);
        let jwt = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key)
            .map_err(|error| GithubError::Config(format!("github.app_private_key cannot sign: {error}")))?;
        // What an App asks by itself stands before everything else: without a token nothing goes.
        Ok(Pass::bearer(Principal::App, &SecretString::from(jwt))?.with(Urgency::Fresh))
    }

    /// One request by the App itself. If it is refused and the answer shows that our clock is wrong, it is
    /// signed anew by GitHub's, once.
    pub(super) async fn ask<F>(&self, exchange: &Exchange, request: impl Fn(Pass) -> F) -> Result<Answer, GithubError>
    where
        F: Future<Output = Result<Answer, GithubError>>,
    {
        let believed = exchange.skew();
        match request(self.pass(exchange.their_now())?).await {
            Err(GithubError::Unauthorized(_)) if (exchange.skew() - believed).abs() > CLOCKS_DIFFER => {
                request(self.pass(exchange.their_now())?).await
            }
            answered => answered,
        }
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
            return Ok(Arc::clone(&known.active));
        }
        let read = Listing::new(now, self.read_installations(exchange).await?);
        let active = Arc::clone(&read.active);
        self.settle(listing.as_ref(), &read);
        *listing = Some(read);
        self.read.send_modify(|it| *it += 1);
        Ok(active)
    }

    /// What is known of installations, and since when; suspended ones too.
    pub(super) async fn known(&self) -> Option<(Vec<Installation>, DateTime<Utc>)> {
        self.listing.lock().await.as_ref().map(|it| (it.all.to_vec(), it.read_at))
    }

    /// Takes over what the database knows, unless the list was read after that.
    pub(super) async fn learn(&self, all: Vec<Installation>, lost: Vec<String>, read_at: Option<DateTime<Utc>>) {
        self.lost().extend(lost.into_iter().map(|it| it.to_ascii_lowercase()));
        let mut listing = self.listing.lock().await;
        if read_at.is_some_and(|at| listing.as_ref().is_some_and(|it| it.read_at > at)) {
            return;
        }
        let told = Listing::new(read_at.unwrap_or(DateTime::UNIX_EPOCH), all);
        self.settle(listing.as_ref(), &told);
        *listing = Some(told);
    }

    /// What is believed of installations may be wrong: GitHub is asked at the next need.
    pub(super) async fn doubt(&self) {
        if let Some(listing) = self.listing.lock().await.as_mut() {
            listing.read_at = DateTime::UNIX_EPOCH;
        }
    }

    /// Tokens of what is no longer active are dropped, and whose account is no longer covered is noted.
    fn settle(&self, before: Option<&Listing>, now: &Listing) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| {
            let known = now.all.iter().find(|it| it.id.0 == *id);
            known.is_some_and(Installation::is_active)
        });
        let login = |it: &Installation| it.account.as_ref().map(|it| it.login.to_ascii_lowercase());
        let mut lost = self.lost();
        lost.extend(before.iter().flat_map(|it| it.all.iter()).filter_map(login));
        for covered in now.all.iter().filter_map(login) {
            lost.remove(&covered);
        }
    }

    fn lost(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the App sees no private repository of an account though it did once; `None` if it does, or never did.
    pub(super) async fn blind_to(&self, owner: &str) -> Option<GithubError> {
        let listing = self.listing.lock().await;
        let of: Vec<_> = listing.iter().flat_map(|it| it.all.iter()).filter(|it| it.is_of(owner)).collect();
        let why = match of.as_slice() {
            [] if self.lost().contains(&owner.to_ascii_lowercase()) => "was removed; install it again",
            [_, ..] if !of.iter().any(|it| it.is_active()) => "is suspended; unsuspend it",
            _ => return None,
        };
        Some(GithubError::Suspended(format!("the App's installation on {owner} {why}")))
    }

    async fn read_installations(&self, exchange: &Exchange) -> Result<Vec<Installation>, GithubError> {
        let mut url = exchange.url(&["app", "installations"]);
        url.query_pairs_mut().append_pair("per_page", "100");
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let page = &url;
            let asked = self.ask(exchange, |pass| async move { exchange.get(page.clone(), &pass).await }).await;
            let answer = asked.map_err(about_app)?;
            found.extend(answer.json::<Vec<InstallationBody>>()?.into_iter().map(Installation::from));
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
        slot.token(exchange.their_now(), || self.mint(exchange, installation)).await
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
        let wanted = self.narrowed(installation).await;
        let mut minted = self.ask_for_token(exchange, installation, &wanted).await;
        if !wanted.is_empty() && matches!(minted, Err(GithubError::Rejected { status: 422, .. })) {
            // A permission was taken back since the list was read: all that is left, then.
            minted = self.ask_for_token(exchange, installation, &BTreeMap::new()).await;
        }
        if matches!(minted, Err(GithubError::NotFound | GithubError::Forbidden(_))) {
            // Uninstalled or suspended since the list was read.
            self.doubt().await;
        }
        let TokenBody { token, expires_at } = minted.map_err(about_app)?.json()?;
        Ok(Token { secret: SecretString::from(token), expires_at })
    }

    async fn ask_for_token(
        &self,
        exchange: &Exchange,
        installation: i64,
        permissions: &BTreeMap<&'static str, &'static str>,
    ) -> Result<Answer, GithubError> {
        let url = &exchange.url(&["app", "installations", &installation.to_string(), "access_tokens"]);
        let body = match permissions.is_empty() {
            true => serde_json::json!({}),
            false => serde_json::json!({ "permissions": permissions }),
        };
        let body = &body.to_string();
        self.ask(exchange, |pass| async move { exchange.post(url.clone(), &pass, body).await }).await
    }

    /// What to ask for in a token; nothing, which means everything, while it is not known what was granted.
    async fn narrowed(&self, id: i64) -> BTreeMap<&'static str, &'static str> {
        let listing = self.listing.lock().await;
        let known = listing.iter().flat_map(|it| it.all.iter()).find(|it| it.id.0 == id);
        known.map(|it| narrowed(&it.permissions)).unwrap_or_default()
    }

    fn slot(&self, installation: i64) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(installation).or_default())
    }
}

/// A 404 or 403 about the App itself must not read as "no such repository".
pub(super) fn about_app(error: GithubError) -> GithubError {
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
