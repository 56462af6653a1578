//! The keys that an issuer signs its tokens with: fetched, kept, and fetched again when a token names another one.
//!
//! Fetched at most once a minute, whatever is presented. If the issuer is away the last keys that it showed are used
//! on: a signature does not become wrong by that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;
use url::Url;

use crate::config::jwt::Jwt;

/// One request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A longer answer is none. Bytes.
const LARGEST: usize = 256 << 10;
/// Keys that are kept at most.
const MOST: usize = 100;
/// Between two attempts to fetch them.
const PAUSE: Duration = Duration::from_secs(60);
/// After so long they are fetched again, so that one that was taken back does not open for ever.
const LIFETIME: Duration = Duration::from_secs(3_600);

/// What may sign a token: asymmetric only. `none` is unknown to the library, HS* is left out here.
pub(super) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// One key of the issuer.
#[derive(Clone)]
struct Key {
    id: Option<String>,
    /// What it may be used with, by its own kind.
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The issuer has none of this name and kind.
    Unknown,
    /// It could not be asked.
    Away,
}

/// The keys of one issuer.
pub(super) struct Jwks {
    issuer: String,
    place: Option<Url>,
    client: Result<reqwest::Client, String>,
    state: Mutex<State>,
    fetching: tokio::sync::Mutex<()>,
    pub(super) pause: Duration,
}

#[derive(Default)]
struct State {
    keys: Arc<Vec<Key>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
    /// The last attempt failed.
    away: bool,
}

impl Jwks {
    pub(super) fn new(config: &Jwt) -> Self {
        let place = config.jwks_url.clone();
        let first = place.as_ref().map_or(config.issuer.as_str(), Url::as_str);
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("starkeep/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .timeout(TIMEOUT);
        if first.starts_with("http://") {
            // Plain http is for loopback, which no proxy is the way to.
            client = client.no_proxy();
        }
        Self {
            issuer: config.issuer.clone(),
            place,
            client: client.build().map_err(|it| it.to_string()),
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
            pause: PAUSE,
        }
    }

    /// The key of this name for this algorithm. Without a name there must be one key only that fits.
    ///
    /// # Errors
    /// [`NoKey`].
    pub(super) async fn key(&self, id: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, NoKey> {
        let known = self.find(id, algorithm);
        if known.is_some() && !self.is_old() {
            return known.ok_or(NoKey::Unknown);
        }
        let _turn = match (&known, self.fetching.try_lock()) {
            (_, Ok(turn)) => turn,
            // Somebody fetches; what is known will do meanwhile.
            (Some(known), Err(_)) => return Ok(known.clone()),
            (None, Err(_)) => self.fetching.lock().await,
        };
        if self.may_try() {
            self.refresh().await;
        }
        let away = self.state().away;
        self.find(id, algorithm).ok_or(if away { NoKey::Away } else { NoKey::Unknown })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let keys = Arc::clone(&self.state().keys);
        let mut fitting =
            keys.iter().filter(|it| it.algorithms.contains(&algorithm) && (id.is_none() || it.id.as_deref() == id));
        let first = fitting.next()?;
        (id.is_some() || fitting.next().is_none()).then(|| first.decoding.clone())
    }

    fn is_old(&self) -> bool {
        self.state().fetched.is_none_or(|it| it.elapsed() >= LIFETIME)
    }

    /// Whether it may be asked now; notes that it is.
    fn may_try(&self) -> bool {
        let mut state = self.state();
        let may = state.tried.is_none_or(|it| it.elapsed() >= self.pause);
        if may {
            state.tried = Some(Instant::now());
        }
        may
    }

    async fn refresh(&self) {
        let fetched = self.fetch().await;
        let mut state = self.state();
        state.away = fetched.is_err();
        match fetched {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "the keys of admin.jwt.issuer were fetched");
                state.keys = Arc::new(keys);
                state.fetched = Some(Instant::now());
            }
            Err(why) => tracing::warn!("the keys of admin.jwt.issuer cannot be fetched, those of before stay: {why}"),
        }
    }

    async fn fetch(&self) -> Result<Vec<Key>, String> {
        let place = match &self.place {
            Some(place) => place.clone(),
            None => self.discover().await?,
        };
        let set = self.get(place).await?;
        let keys: Vec<Key> =
            set.get("keys").and_then(Value::as_array).into_iter().flatten().filter_map(key).take(MOST).collect();
        if keys.is_empty() { Err("there is no key that can be used".to_owned()) } else { Ok(keys) }
    }

    /// Where the issuer says its keys are. Another host must be configured, or the issuer could send us anywhere.
    async fn discover(&self) -> Result<Url, String> {
        let place = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let place: Url = place.parse().map_err(|_| "the issuer is no address".to_owned())?;
        let document = self.get(place.clone()).await?;
        if document.get("issuer").and_then(Value::as_str) != Some(self.issuer.as_str()) {
            return Err("its discovery document names another issuer".to_owned());
        }
        let told = document.get("jwks_uri").and_then(Value::as_str).and_then(|it| it.parse::<Url>().ok());
        let told = told.ok_or("its discovery document names no jwks_uri")?;
        if told.origin() != place.origin() {
            return Err("its keys are on another host; name their address in admin.jwt.jwks_url".to_owned());
        }
        Ok(told)
    }

    async fn get(&self, place: Url) -> Result<Value, String> {
        let client = self.client.as_ref().map_err(Clone::clone)?;
        let unreachable = |error: reqwest::Error| error.without_url().to_string();
        let answer = client.get(place).send().await.map_err(unreachable)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(format!("it answered {}", answer.status().as_u16()));
        }
        let (mut body, mut parts) = (Vec::new(), answer.bytes_stream());
        while let Some(part) = parts.next().await {
            body.extend_from_slice(&part.map_err(unreachable)?);
            if body.len() > LARGEST {
                return Err(format!("it answered more than {LARGEST} bytes"));
            }
        }
        serde_json::from_slice(&body).map_err(|_| "it answered no JSON".to_owned())
    }
}

/// A key that may sign; what is not understood is left out, as the others are still good.
fn key(value: &Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|it| *it != PublicKeyUse::Signature) {
        return None;
    }
    let own = jwk.common.key_algorithm.map(|it| it.to_string().parse::<Algorithm>());
    let mut algorithms: Vec<Algorithm> = ALGORITHMS.into_iter().filter(|it| fits(&jwk.algorithm, *it)).collect();
    match own {
        Some(Ok(own)) => algorithms.retain(|it| *it == own),
        Some(Err(_)) => return None,
        None => {}
    }
    if algorithms.is_empty() {
        return None;
    }
    Some(Key { decoding: DecodingKey::from_jwk(&jwk).ok()?, id: jwk.common.key_id, algorithms })
}

/// Whether a key of this kind is one of that algorithm. A shared secret is none of any.
fn fits(kind: &AlgorithmParameters, algorithm: Algorithm) -> bool {
    use Algorithm::{ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512};
    match algorithm {
        RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => matches!(kind, AlgorithmParameters::RSA(_)),
        ES256 => matches!(kind, AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256),
        ES384 => matches!(kind, AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P384),
        EdDSA => matches!(kind, AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519),
        HS256 | HS384 | HS512 => false,
    }
}
