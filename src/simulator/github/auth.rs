//! Who calls the simulated GitHub: nobody, a token's holder, or the App by its JWT.

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::state::{Repo, State};
use crate::domain::ids::AccountId;

/// What the `Authorization` header amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// No header.
    Anonymous,
    /// A token that is valid.
    Token,
    /// A header that is worth nothing.
    Invalid,
}

/// The token in `Bearer …`, `token …`, or `Basic …` (as the password, whatever the user's name).
pub(crate) fn presented(request: &HttpRequest) -> Option<String> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        return decoded.split_once(':').map(|(_, password)| password.to_owned());
    }
    Some(rest.trim().to_owned())
}

pub(crate) fn caller(state: &State, request: &HttpRequest) -> Caller {
    if !request.headers().contains_key(AUTHORIZATION) {
        return Caller::Anonymous;
    }
    match presented(request) {
        Some(token) if state.tokens.contains(&token) => Caller::Token,
        _ => Caller::Invalid,
    }
}

/// Whether the request's credential shows a private repository.
pub(crate) fn sees_private(state: &State, request: &HttpRequest, repo: &Repo) -> bool {
    presented(request).filter(|it| state.tokens.contains(it)).is_some_and(|it| state.sees(&it, repo))
}

/// Whose token the request carries, if it is a user's.
pub(crate) fn user(state: &State, request: &HttpRequest) -> Option<AccountId> {
    state.owners.get(&presented(request)?).copied()
}

/// Checks an App's JWT as far as its form goes; the signature is not looked at.
///
/// # Errors
/// GitHub's words for what is wrong.
pub(crate) fn check_jwt(request: &HttpRequest, app_id: i64, now: i64) -> Result<(), &'static str> {
    let token = presented(request).unwrap_or_default();
    let parts: Vec<_> = token.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else {
        return Err("A JSON web token could not be decoded");
    };
    let decode =
        |part: &str| URL_SAFE_NO_PAD.decode(part).ok().and_then(|it| serde_json::from_slice::<Value>(&it).ok());
    let (Some(header), Some(claims)) = (decode(header), decode(claims)) else {
        return Err("A JSON web token could not be decoded");
    };
    let number = |name: &str| claims.get(name).and_then(Value::as_i64);
    let issuer = claims.get("iss").map(|it| it.to_string().trim_matches('"').to_owned());
    let Some(expires) = number("exp") else {
        return Err("Missing 'expiration' claim ('exp') in assertion");
    };
    if header.get("alg").and_then(Value::as_str) != Some("RS256") || signature.is_empty() {
        Err("A JSON web token could not be decoded")
    } else if issuer != Some(app_id.to_string()) {
        Err("'Issuer' claim ('iss') must be an Integer")
    } else if expires > now + 600 {
        Err("'Expiration time' claim ('exp') is too far in the future")
    } else if expires <= now {
        Err(
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
        )
    } else if number("iat").is_none_or(|issued| issued > now + 5) {
        Err("'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")
    } else {
        Ok(())
    }
}
