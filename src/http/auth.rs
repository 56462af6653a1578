//! Who may use the admin API: whoever has `admin.token`, or a key or a token of `admin.jwt` with the scope that the call
//! demands, or a session that was opened with one of these.
//!
//! ```text
//! Authorization ─▶ too many wrong ones from there? ─▶ admin.token ─▶ key: row by prefix ─▶ Argon2, unless it was
//! run for this key a moment ago ─▶ revoked, expired? ─▶ the scope of the call ─▶ Admin
//! ```

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, web};
use chrono::{DateTime, Utc};
use futures_util::future::LocalBoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use super::Secrets;
use super::client_address::ClientAddress;
use super::jwt::{Bearer, Issuer, Refused};
use super::limits::Failures;
use super::problem::Problem;
use super::request_id::RequestIds;
use super::scopes;
use super::session;
use super::shared::Shared;
use super::verified::{Counted, Verified};
use crate::domain::api_key::{FullKey, Scopes};
use crate::domain::ids::CorrelationId;
use crate::domain::session::Ticket;
use crate::store::api_keys::{self, Key, Status};
use crate::store::audit::NewEntry;
use crate::store::sessions::{self, Opener};
use crate::store::{Connection, Store, StoreError};

/// The name of whoever has the admin token, in the audit log.
const ADMIN: &str = "admin";
/// Argon2 runs at once, each with 19 MiB.
const HASHES: usize = 2;
/// How long a key waits for its turn to be verified.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request that is let in. A handler that takes one is closed to everybody else.
#[derive(Debug, Clone)]
pub(super) struct Admin {
    /// `admin`, the prefix of a key, or the issuer and the subject of a token.
    pub(super) actor: String,
    pub(super) scopes: Scopes,
    /// When the key or the token that was used ends.
    pub(super) until: Option<DateTime<Utc>>,
    /// The key that was used.
    pub(super) key: Option<Uuid>,
    /// The MAC of the admin token that was used.
    pub(super) token: Option<[u8; 32]>,
    /// The session that was used: its id.
    session: Option<String>,
    pub(super) address: IpAddr,
    pub(super) correlation: CorrelationId,
}

impl Admin {
    /// An entry of the audit log: this caller did something.
    pub(super) fn did(&self, action: &str, subject: &impl ToString, detail: serde_json::Value) -> NewEntry {
        NewEntry {
            actor: self.actor.clone(),
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
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { admit(&request).await })
    }
}

/// Whose key a request came with, for the record of its refusal.
#[derive(Debug, Clone)]
pub(super) struct Presented(pub(super) String);

/// Lets a request in, once: whoever asks again is told the same.
///
/// # Errors
/// 401, 403, 429, 503: why not.
pub(super) async fn admit(request: &HttpRequest) -> Result<Admin, Problem> {
    if let Some(admin) = request.extensions().get::<Admin>() {
        return Ok(admin.clone());
    }
    let admin = examine(request).await?;
    request.extensions_mut().insert(admin.clone());
    Ok(admin)
}

async fn examine(request: &HttpRequest) -> Result<Admin, Problem> {
    let shared = request.app_data::<web::Data<Shared>>().ok_or_else(past_the_shell)?;
    let presented = request.headers().get(AUTHORIZATION).map(|it| it.as_bytes());
    let ticket = if presented.is_none() { shared.cookies.presented(request) } else { None };
    let admin = match ticket {
        Some(ticket) => by_session(shared, request, &ticket).await?,
        None => by_token(shared, request, presented).await?,
    };
    let demanded =
        scopes::demanded(request).ok_or_else(|| Problem::internal("nobody decided which scope this needs"))?;
    if admin.scopes.allow(demanded) {
        return Ok(admin);
    }
    let detail = format!("this key or token lacks the scope `{}`, which this call needs", demanded.as_str());
    Err(Problem::forbidden("scope_missing", detail))
}

/// Whoever signed in.
async fn by_session(shared: &Shared, request: &HttpRequest, ticket: &Ticket) -> Result<Admin, Problem> {
    let session = session::resume(shared, request, ticket).await?;
    let mut admin = caller(request, session.actor, session.scopes)?;
    match session.opener {
        Opener::Key(key) => {
            note_use(shared, key, admin.address);
            admin.key = Some(key);
        }
        Opener::AdminToken(_) => admin.token = shared.door.expected(),
        Opener::Issuer => {}
    }
    Ok(Admin { until: session.ends_at, session: Some(session.id), ..admin })
}

/// Whoever has what opens, whatever he may do with it.
///
/// # Errors
/// 401, 429, 503: why not; 403 for a token of the issuer that has no scope at all.
pub(super) async fn by_token(
    shared: &Shared,
    request: &HttpRequest,
    presented: Option<&[u8]>,
) -> Result<Admin, Problem> {
    let admin = caller(request, ADMIN.to_owned(), Scopes::all())?;
    let address = admin.address;
    match shared.door.open(presented, address)? {
        Opened::Admin(token) => Ok(Admin { token: Some(token), ..admin }),
        Opened::Token(token) => {
            let bearer = shared.door.examine(&token, address).await?;
            request.extensions_mut().insert(Presented(bearer.actor.clone()));
            let scopes = bearer.scopes.ok_or_else(|| {
                Problem::forbidden("scope_missing", "this token has no scope that is known here; see `admin.jwt`")
            })?;
            Ok(Admin { actor: bearer.actor, scopes, until: Some(bearer.until), ..admin })
        }
        Opened::Presented(full) => {
            request.extensions_mut().insert(Presented(full.prefix().to_owned()));
            let key = shared.door.verify(&shared.store, full, address).await?;
            note_use(shared, key.id, address);
            Ok(Admin { actor: key.prefix, scopes: key.scopes, until: key.expires_at, key: Some(key.id), ..admin })
        }
    }
}

/// Somebody of this name at the other end of a request.
fn caller(request: &HttpRequest, actor: String, scopes: Scopes) -> Result<Admin, Problem> {
    let ids = request.extensions().get::<RequestIds>().cloned().ok_or_else(past_the_shell)?;
    let ClientAddress(address) = request.extensions().get::<ClientAddress>().copied().ok_or_else(past_the_shell)?;
    let correlation = ids.correlation;
    Ok(Admin { actor, scopes, until: None, key: None, token: None, session: None, address, correlation })
}

fn past_the_shell() -> Problem {
    Problem::internal("a request came in past the shell")
}

/// Whether somebody who was let in a while ago would be let in now: keys and sessions end, and the admin token changes.
///
/// # Errors
/// Those of the database.
pub(super) async fn may_still(shared: &Shared, admin: &Admin) -> Result<bool, StoreError> {
    let now = Utc::now();
    let has_changed = admin.token.is_some() && admin.token != shared.door.expected();
    if has_changed || admin.until.is_some_and(|it| it <= now) {
        return Ok(false);
    }
    let (key, session) = (admin.key, admin.session.clone());
    let look = move |c: &mut Connection| match (session, key) {
        (Some(id), _) => Ok(sessions::find(c, &id, now)?.is_some()),
        (None, Some(id)) => Ok(api_keys::find(c, id)?.is_some_and(|it| it.status(now) == Status::Active)),
        (None, None) => Ok(true),
    };
    shared.store.read(look).await
}

/// Written behind the answer's back: a use that cannot be recorded is no reason to refuse.
fn note_use(shared: &Shared, id: Uuid, address: IpAddr) {
    let Some(uses) = shared.door.uses.note(id, address, Utc::now()) else { return };
    let store = shared.store.clone();
    actix_web::rt::spawn(async move { super::upkeep::write_uses(&store, vec![(id, uses)]).await });
}

/// What was presented, as far as it is known without asking anybody.
#[derive(Debug)]
pub(super) enum Opened {
    /// The admin token, by its MAC.
    Admin([u8; 32]),
    /// Something of the form of a key.
    Presented(FullKey),
    /// Something of the form of a token of the issuer.
    Token(SecretString),
}

/// Knows the admin token, as a MAC under a key of this process: comparing MACs takes the same time wherever
/// the difference is, and tells nothing about the token's length.
pub(super) struct Door {
    secrets: watch::Receiver<Secrets>,
    key: [u8; 32],
    failures: Failures,
    verified: Verified,
    hashes: Arc<Semaphore>,
    /// Whose tokens open, beside keys.
    pub(super) issuer: Option<Issuer>,
    /// Uses of keys.
    pub(super) uses: Counted,
}

impl Door {
    pub(super) fn new(secrets: watch::Receiver<Secrets>, failures: Failures) -> Self {
        Self {
            secrets,
            key: rand::random(),
            failures,
            verified: Verified::default(),
            hashes: Arc::new(Semaphore::new(HASHES)),
            issuer: None,
            uses: Counted::default(),
        }
    }

    /// # Errors
    /// 401 with neither the admin token nor something that looks like a key, 429 after too many wrong ones from one
    /// address, right or not.
    pub(super) fn open(&self, authorization: Option<&[u8]>, address: IpAddr) -> Result<Opened, Problem> {
        self.check(address)?;
        let expected = self.expected();
        let Some(presented) = authorization else {
            if expected.is_none() && self.issuer.is_none() {
                return Err(closed());
            }
            let detail = "this needs the header `Authorization: Bearer` with the admin token, an API key or a token";
            return Err(Problem::unauthorized("token_missing", detail));
        };
        let token = bearer(presented);
        let right = |expected: &[u8; 32]| token.is_some_and(|it| self.is_mac(it, expected));
        if let Some(expected) = expected.filter(right) {
            return Ok(Opened::Admin(expected));
        }
        let text = token.and_then(|it| std::str::from_utf8(it).ok());
        if let Some(full) = text.and_then(FullKey::parse) {
            return Ok(Opened::Presented(full));
        }
        if let Some(text) = text.filter(|it| self.issuer.is_some() && Issuer::is_token(it)) {
            return Ok(Opened::Token(SecretString::from(text)));
        }
        self.failures.note(address);
        Err(if expected.is_none() && self.issuer.is_none() { closed() } else { wrong() })
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// 401 for one that is refused, which counts as a guess unless only its time is over; 503 when the issuer's keys are
    /// not known and cannot be fetched.
    async fn examine(&self, token: &SecretString, address: IpAddr) -> Result<Bearer, Problem> {
        let issuer = self.issuer.as_ref().ok_or_else(wrong)?;
        match issuer.verify(token.expose_secret()).await {
            Ok(bearer) => Ok(bearer),
            Err(Refused::NotNow) => {
                let detail = "this token's time is over, or has not come yet; ask its issuer for a new one";
                Err(Problem::unauthorized("token_not_now", detail))
            }
            Err(Refused::Wrong(why)) => {
                self.failures.note(address);
                Err(Problem::unauthorized("token_refused", format!("this token is refused: {why}")))
            }
            Err(Refused::Away) => {
                let detail = "the keys of this token's issuer cannot be fetched; come again, or use an API key";
                Err(Problem::unavailable("issuer_away", detail, PATIENCE))
            }
        }
    }

    /// The MAC of the admin token, as it is now.
    fn expected(&self) -> Option<[u8; 32]> {
        let mac = mac(&self.key, self.secrets.borrow().admin.as_ref()?.expose_secret().as_bytes())?;
        Some(mac.finalize().into_bytes().into())
    }

    fn is_mac(&self, token: &[u8], expected: &[u8; 32]) -> bool {
        mac(&self.key, token).is_some_and(|it| it.verify_slice(expected).is_ok())
    }

    fn check(&self, address: IpAddr) -> Result<(), Problem> {
        self.failures.check(address).map_err(|pause| {
            let detail = "too many wrong tokens came from this address";
            Problem::too_many("too_many_wrong_tokens", detail, pause)
        })
    }

    /// The row of a key that opens.
    ///
    /// # Errors
    /// 401 for one that does not, 429 as [`Door::open`], 503 when too many wait to be verified.
    async fn verify(&self, store: &Store, full: FullKey, address: IpAddr) -> Result<Key, Problem> {
        let prefix = full.prefix().to_owned();
        let row = store.read(move |c| api_keys::by_prefix(c, &prefix)).await?;
        let hash = row.as_ref().map(|(_, hash)| hash.clone());
        if !self.is_of(&full, hash, address).await? {
            self.failures.note(address);
            return Err(wrong());
        }
        let Some((key, _)) = row else { return Err(wrong()) };
        let problem = match key.status(Utc::now()) {
            Status::Active => return Ok(key),
            Status::Expired => Problem::unauthorized("key_expired", "this key has ended; ask for a new one"),
            Status::Revoked => Problem::unauthorized("key_revoked", "this key was revoked; ask for a new one"),
        };
        self.verified.forget(&full);
        Err(problem)
    }

    /// The same work for a prefix that nobody has, so that its time tells nothing.
    async fn is_of(&self, full: &FullKey, hash: Option<String>, address: IpAddr) -> Result<bool, Problem> {
        let is_known = || hash.as_ref().is_some_and(|it| self.verified.knows(full, it, Instant::now()));
        if is_known() {
            return Ok(true);
        }
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.hashes).acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(Problem::unavailable("busy", "too many keys wait to be verified; come again", PATIENCE));
        };
        // While it waited another request may have verified it, or its address may have guessed too often.
        if is_known() {
            return Ok(true);
        }
        self.check(address)?;
        let (key, stored) = (full.clone(), hash.clone());
        let work = move || {
            let _place = place;
            key.is_of(stored.as_deref())
        };
        let right = tokio::task::spawn_blocking(work).await.map_err(|it| Problem::internal(it.to_string()))?;
        if let (true, Some(hash)) = (right, &hash) {
            self.verified.remember(full, hash, Instant::now());
        }
        Ok(right)
    }
}

fn closed() -> Problem {
    let detail = "there is no admin token: sign in once at the address that `starkeep serve` printed when it started, use \
                  an API key, or set `admin.token` in the configuration and restart";
    Problem::unauthorized("admin_token_not_set", detail)
}

fn wrong() -> Problem {
    let detail = "this is neither the admin token (`admin.token` in the configuration) nor a key that is known here";
    Problem::unauthorized("token_wrong", detail)
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
    use super::*;

    fn door(token: Option<&str>) -> Door {
        let now = Instant::now();
        let secrets = Secrets { admin: token.map(Into::into), ..Secrets::default() };
        Door::new(watch::channel(secrets).1, Failures::new(move || now))
    }

    fn story(door: &Door, header: Option<&str>) -> Result<(), &'static str> {
        door.open(header.map(str::as_bytes), IpAddr::from([203, 0, 113, 7])).map(drop).map_err(|it| it.code())
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
    fn a_key_goes_on_to_its_row_whether_there_is_an_admin_token_or_not() {
        let key = FullKey::of_random(&std::array::from_fn(|it| it as u8)).unwrap();
        let header = format!("Bearer {}", key.expose());
        for token in [None, Some("s3cret")] {
            let opened = door(token).open(Some(header.as_bytes()), IpAddr::from([203, 0, 113, 7]));
            assert!(matches!(opened, Ok(Opened::Presented(it)) if it.prefix() == key.prefix()));
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
