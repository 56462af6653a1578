//! Tokens of an issuer (`admin.jwt`): who presents one may do what its scopes say.

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::jwks::{ALGORITHMS, Jwks, NoKey};
use crate::config::jwt::Jwt;
use crate::domain::api_key::{Scope, Scopes};

/// Longer texts are no tokens of ours. Bytes.
const LONGEST: usize = 16 << 10;
/// A subject is at most as long, by OpenID Connect. Bytes.
const LONGEST_SUBJECT: usize = 255;

/// A token that was found to be right.
#[derive(Debug)]
pub(super) struct Bearer {
    /// Issuer and subject, for the audit log.
    pub(super) actor: String,
    /// What it may do here; `None` if that is nothing.
    pub(super) scopes: Option<Scopes>,
    pub(super) until: DateTime<Utc>,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It was right, and its time is over or has not come.
    NotNow,
    /// It is not right; says why.
    Wrong(&'static str),
    /// The issuer's keys could not be fetched.
    Away,
}

/// Who checks tokens.
pub(super) struct Issuer {
    config: Jwt,
    pub(super) keys: Jwks,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: serde_json::Number,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Issuer {
    pub(super) fn new(config: Jwt) -> Self {
        Self { keys: Jwks::new(&config), config }
    }

    /// Whether a text has the form of a token: three parts of base64.
    pub(super) fn is_token(text: &str) -> bool {
        let well =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        text.len() <= LONGEST && text.split('.').count() == 3 && text.split('.').all(well)
    }

    /// Checks signature, issuer, audience and time.
    ///
    /// # Errors
    /// [`Refused`].
    pub(super) async fn verify(&self, token: &str) -> Result<Bearer, Refused> {
        let header = decode_header(token).map_err(|_| Refused::Wrong("its header is not understood"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(Refused::Wrong("it is signed with a shared secret, which nobody here has"));
        }
        if header.crit.is_some() {
            return Err(Refused::Wrong("its header demands something that is not known here"));
        }
        let key = self.keys.key(header.kid.as_deref(), header.alg).await.map_err(|it| match it {
            NoKey::Unknown => Refused::Wrong("the issuer has no such key"),
            NoKey::Away => Refused::Away,
        })?;
        let mut rules = Validation::new(header.alg);
        rules.set_issuer(&[&self.config.issuer]);
        rules.set_audience(&[&self.config.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.validate_nbf = true;
        rules.leeway = self.config.leeway.as_secs();
        let claims = decode::<Claims>(token, &key, &rules).map_err(|it| refused(it.kind()))?.claims;
        self.bearer(&claims)
    }

    fn bearer(&self, claims: &Claims) -> Result<Bearer, Refused> {
        let Claims { sub, exp, others } = claims;
        if sub.is_empty() || sub.len() > LONGEST_SUBJECT || sub.chars().any(char::is_control) {
            return Err(Refused::Wrong("its subject is none"));
        }
        let seconds = exp.as_f64().unwrap_or_default() as i64;
        let leeway = TimeDelta::from_std(self.config.leeway).unwrap_or_default();
        // A time beyond all calendars is as good as none.
        let until = DateTime::from_timestamp(seconds, 0).and_then(|it| it.checked_add_signed(leeway));
        let until = until.unwrap_or(DateTime::<Utc>::MAX_UTC);
        let actor = format!("{}#{sub}", self.config.issuer);
        Ok(Bearer { actor, scopes: scopes(others.get(&self.config.scope_claim)), until })
    }
}

fn refused(kind: &ErrorKind) -> Refused {
    match kind {
        ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature => Refused::NotNow,
        ErrorKind::InvalidAudience => Refused::Wrong("it is for another audience"),
        ErrorKind::InvalidIssuer => Refused::Wrong("it is of another issuer"),
        ErrorKind::MissingRequiredClaim(_) => Refused::Wrong("it lacks one of exp, iss, aud and sub"),
        ErrorKind::InvalidSignature => Refused::Wrong("its signature is wrong"),
        _ => Refused::Wrong("it is not understood"),
    }
}

/// The scopes of ours among those that a claim names; an issuer has others.
fn scopes(claim: Option<&Value>) -> Option<Scopes> {
    let words: Vec<&str> = match claim? {
        Value::String(text) => text.split_ascii_whitespace().collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let ours: Vec<&str> = words.into_iter().filter(|it| it.parse::<Scope>().is_ok()).collect();
    Scopes::parse(&ours).ok()
}
