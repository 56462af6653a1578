//! Who may use the admin API: whoever has `admin.token`.

use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, web};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use super::client_address::ClientAddress;
use super::limits::Failures;
use super::problem::Problem;
use super::request_id::RequestIds;
use super::shared::Shared;
use crate::domain::ids::CorrelationId;
use crate::store::audit::NewEntry;

/// The name of whoever has the admin token, in the audit log.
const ADMIN: &str = "admin";

/// A request with the right token. A handler that takes one is closed to everybody else.
#[derive(Debug, Clone)]
pub(super) struct Admin {
    pub(super) address: IpAddr,
    pub(super) correlation: CorrelationId,
}

impl Admin {
    /// An entry of the audit log: this admin did something.
    pub(super) fn did(&self, action: &str, subject: &impl ToString, detail: serde_json::Value) -> NewEntry {
        NewEntry {
            actor: ADMIN.to_owned(),
            action: action.to_owned(),
            subject: subject.to_string(),
            outcome: "ok".to_owned(),
            detail,
            correlation: Some(self.correlation),
            address: Some(self.address.to_string()),
        }
    }
}

impl FromRequest for Admin {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(admit(request))
    }
}

fn admit(request: &HttpRequest) -> Result<Admin, Problem> {
    let missing = || Problem::internal("a request came in past the shell");
    let shared = request.app_data::<web::Data<Shared>>().ok_or_else(missing)?;
    let extensions = request.extensions();
    let ids = extensions.get::<RequestIds>().ok_or_else(missing)?;
    let ClientAddress(address) = *extensions.get::<ClientAddress>().ok_or_else(missing)?;
    let presented = request.headers().get(AUTHORIZATION).map(|it| it.as_bytes());
    shared.door.open(presented, address)?;
    Ok(Admin { address, correlation: ids.correlation })
}

/// Knows the token, as a MAC under a key of this process: comparing MACs takes the same time wherever
/// the difference is, and tells nothing about the token's length.
pub(super) struct Door {
    expected: Option<[u8; 32]>,
    key: [u8; 32],
    failures: Failures,
}

impl Door {
    pub(super) fn new(token: Option<&SecretString>, failures: Failures) -> Self {
        let key: [u8; 32] = rand::random();
        let expected = token.and_then(|it| mac(&key, it.expose_secret().as_bytes()));
        Self { expected: expected.map(|it| it.finalize().into_bytes().into()), key, failures }
    }

    /// # Errors
    /// 401 without the right token, 429 after too many wrong ones from one address, right or not.
    pub(super) fn open(&self, authorization: Option<&[u8]>, address: IpAddr) -> Result<(), Problem> {
        let Some(expected) = &self.expected else {
            let detail = "the admin API is closed: set `admin.token` in the configuration and restart";
            return Err(Problem::unauthorized("admin_token_not_set", detail));
        };
        if let Err(pause) = self.failures.check(address) {
            let detail = "too many wrong tokens came from this address";
            return Err(Problem::too_many("too_many_wrong_tokens", detail, pause));
        }
        let Some(presented) = authorization else {
            let detail = "this needs the header `Authorization: Bearer` with the admin token";
            return Err(Problem::unauthorized("token_missing", detail));
        };
        let right =
            bearer(presented).and_then(|it| mac(&self.key, it)).is_some_and(|it| it.verify_slice(expected).is_ok());
        if right {
            return Ok(());
        }
        self.failures.note(address);
        Err(Problem::unauthorized("token_wrong", "this is not the admin token; see `admin.token` in the configuration"))
    }
}

fn mac(key: &[u8], text: &[u8]) -> Option<Hmac<Sha256>> {
    // HMAC takes keys of any length, so this cannot fail; if it did, nobody would be let in.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac)
}

/// The token behind `Bearer`, in any case, and one or more spaces.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked(6)?;
    let token = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer") && rest.starts_with(b" ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn door(token: Option<&str>) -> Door {
        let now = Instant::now();
        Door::new(token.map(SecretString::from).as_ref(), Failures::new(move || now))
    }

    fn story(door: &Door, header: Option<&str>) -> Result<(), &'static str> {
        door.open(header.map(str::as_bytes), IpAddr::from([203, 0, 113, 7])).map_err(|it| it.code())
    }

    #[test]
    fn only_the_token_opens() {
        let door = door(Some("s3cret"));
        assert_eq!(story(&door, Some("Bearer s3cret")), Ok(()));
        assert_eq!(story(&door, Some("bearer  s3cret ")), Ok(()));
        assert_eq!(story(&door, None), Err("token_missing"));
        for wrong in
            ["Bearer", "Bearer ", "Bearers3cret", "Basic s3cret", "s3cret", "Bearer s3cre", "Bearer S3cret", ""]
        {
            assert_eq!(story(&door, Some(wrong)), Err("token_wrong"), "{wrong}");
        }
    }

    #[test]
    fn without_a_token_nothing_opens() {
        let door = door(None);
        for header in [None, Some("Bearer "), Some("Bearer x")] {
            assert_eq!(story(&door, header), Err("admin_token_not_set"));
        }
    }

    #[test]
    fn who_guesses_is_shut_out_even_if_he_hits_then() {
        let door = door(Some("s3cret"));
        for _ in 0..20 {
            assert_eq!(story(&door, Some("Bearer guess")), Err("token_wrong"));
        }
        assert_eq!(story(&door, Some("Bearer s3cret")), Err("too_many_wrong_tokens"));
        assert!(door.open(Some(b"Bearer s3cret"), IpAddr::from([203, 0, 113, 8])).is_ok());
    }
}
