//! `admin.jwt.*`: an issuer whose tokens open the admin API.

use std::time::Duration;

use url::Url;

use super::duration;
use super::problem::Problem;
use super::rules::{lasting, plain_http};
use super::values::{Refused, Values, address, words};

/// An issuer of OpenID Connect or OAuth 2, and what its tokens must say.
#[derive(Debug, Clone)]
pub struct Jwt {
    /// The claim `iss`, exactly as it is written there.
    pub issuer: String,
    /// What the claim `aud` must name.
    pub audience: String,
    /// Where its keys are; without it the issuer's discovery document says so.
    pub jwks_url: Option<Url>,
    /// The claim that names scopes: a text with spaces between, or a list.
    pub scope_claim: String,
    /// How much the issuer's clock may differ.
    pub leeway: Duration,
}

/// The keys as they are read.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    issuer: Option<String>,
    audience: Option<String>,
    jwks_url: Option<Url>,
    scope_claim: String,
    leeway: Duration,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            jwks_url: None,
            scope_claim: "scope".to_owned(),
            leeway: Duration::from_secs(60),
        }
    }
}

impl Keys {
    pub(super) fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self { issuer, audience, jwks_url, scope_claim, leeway } = &mut it;
        values.set_option("admin.jwt.issuer", issuer, exact_address);
        values.set_option("admin.jwt.audience", audience, words);
        values.set_option("admin.jwt.jwks_url", jwks_url, address);
        values.set("admin.jwt.scope_claim", scope_claim, words);
        values.set("admin.jwt.leeway", leeway, duration::parse);
        it
    }

    pub(super) fn problems(&self, insecure_http: bool) -> Vec<Problem> {
        let Self { issuer, audience, jwks_url, scope_claim, leeway } = self;
        let (least, most) = (Duration::ZERO, Duration::from_secs(300));
        let mut problems = Vec::new();
        let parsed = issuer.as_ref().and_then(|it| it.parse().ok());
        problems.extend(plain_http("admin.jwt.issuer", parsed.as_ref(), insecure_http));
        problems.extend(plain_http("admin.jwt.jwks_url", jwks_url.as_ref(), insecure_http));
        problems.extend(lasting("admin.jwt.leeway", *leeway, least, most));
        if scope_claim.is_empty() {
            problems.push(Problem::new("admin.jwt.scope_claim", "is empty", "name the claim, as in `scope` or `scp`"));
        }
        let alone = |key, other| Problem::new(key, format!("stands there without `{other}`"), format!("set `{other}`"));
        match (issuer, audience) {
            (Some(_), None) => problems.push(alone("admin.jwt.issuer", "admin.jwt.audience")),
            (None, Some(_)) => problems.push(alone("admin.jwt.audience", "admin.jwt.issuer")),
            (None, None) if jwks_url.is_some() => problems.push(alone("admin.jwt.jwks_url", "admin.jwt.issuer")),
            _ => {}
        }
        problems
    }

    /// What they come to; `None` without an issuer.
    pub(super) fn together(&self) -> Option<Jwt> {
        let Self { issuer, audience, jwks_url, scope_claim, leeway } = self.clone();
        Some(Jwt { issuer: issuer?, audience: audience?, jwks_url, scope_claim, leeway })
    }
}

/// An address that is compared as a text, so a final slash stays.
fn exact_address(text: &str) -> Result<String, Refused> {
    address(text)?;
    Ok(text.to_owned())
}
