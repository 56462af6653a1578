//! `/session`: signing in, and out. Whoever has something that opens the admin API opens a session with it; the first
//! admin of all opens his with an invitation, and is given a key.

use actix_web::http::header::AUTHORIZATION;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use chrono::{DateTime, SubsecRound as _, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::api::input;
use super::auth::{self, Admin};
use super::client_address::ClientAddress;
use super::problem::Problem;
use super::request_id::RequestIds;
use super::session::{self, resume};
use super::shared::Shared;
use crate::domain::api_key::{Scope, Scopes};
use crate::domain::session::Ticket;
use crate::store::api_keys::{self, NewKey};
use crate::store::audit::{self, NewEntry};
use crate::store::minting::{self, Minted};
use crate::store::sessions::{self, Opener, Session};
use crate::store::{Connection, StoreError};

/// Whoever makes the first key, in the audit log.
const INVITED: &str = "invitation";
/// What the first key is called.
const FIRST_KEY: &str = "first sign-in";

/// A session, to the page that has it.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
struct SessionView {
    /// `admin`, the prefix of a key, or the issuer and the subject of a token.
    actor: String,
    #[schema(value_type = Vec<Scope>)]
    scopes: Vec<&'static str>,
    /// Where repositories are seen at GitHub.
    github_url: String,
    /// The header `X-CSRF-Token` of every call that changes something.
    csrf_token: String,
    expires_at: DateTime<Utc>,
}

impl SessionView {
    fn of(shared: &Shared, session: &Session, ticket: &Ticket) -> Self {
        Self {
            actor: session.actor.clone(),
            scopes: session.scopes.words(),
            github_url: shared.github_web.clone(),
            csrf_token: ticket.csrf_token(),
            expires_at: session.ends_at.map_or(session.expires_at, |it| it.min(session.expires_at)),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Invitation)]
struct Invitation {
    /// The end of the address that `starkeep serve` printed.
    #[schema(pattern = "^[0-9A-Za-z]{43}$")]
    code: String,
}

/// The first session, and the first key.
#[derive(Serialize, ToSchema)]
#[schema(as = FirstSession)]
struct FirstView {
    session: SessionView,
    /// Of the scope `admin`; shown this once.
    full_key: String,
}

/// `GET /session`: who is signed in, and the token that calls need beside the cookie.
#[utoipa::path(get, path = "/session", operation_id = "showSession", tag = "session",
    responses((status = 200, body = SessionView), (status = 401), (status = 503)))]
pub(super) async fn show(shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let ticket = shared.cookies.presented(&request).ok_or_else(session::over)?;
    let session = resume(&shared, &request, &ticket).await?;
    Ok(HttpResponse::Ok().json(SessionView::of(&shared, &session, &ticket)))
}

/// `POST /session`: signs in with what opens the admin API. The answer sets a cookie, which is good for 12 hours and
/// no longer than what it was opened with.
#[utoipa::path(post, path = "/session", operation_id = "signIn", tag = "session",
    responses((status = 201, body = SessionView), (status = 401), (status = 429), (status = 503)))]
pub(super) async fn open(shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let presented = request.headers().get(AUTHORIZATION).map(|it| it.as_bytes());
    let admin = auth::by_token(&shared, &request, presented).await?;
    let ticket = minting::ticket()?;
    let session = session_of(&shared, &admin, &ticket, Utc::now())?;
    let opened = session.clone();
    shared.store.write(move |c| record(c, &opened, &admin.did("session.open", &opened.actor, json!({})))).await?;
    let view = SessionView::of(&shared, &session, &ticket);
    Ok(HttpResponse::Created().cookie(shared.cookies.given(&request, &ticket)).json(view))
}

fn session_of(shared: &Shared, admin: &Admin, ticket: &Ticket, now: DateTime<Utc>) -> Result<Session, Problem> {
    let opener = match (admin.key, admin.token) {
        (Some(key), _) => Opener::Key(key),
        (None, Some(_)) => {
            let token = shared.secrets.borrow().admin.clone().ok_or_else(session::over)?;
            Opener::AdminToken(ticket.seal_of_admin_token(&token))
        }
        (None, None) => Opener::Issuer,
    };
    Ok(Session {
        id: ticket.id(),
        actor: admin.actor.clone(),
        scopes: admin.scopes.clone(),
        opener,
        ends_at: admin.until,
        expires_at: over(now),
    })
}

/// When a session ends that begins now; the database has microseconds.
fn over(now: DateTime<Utc>) -> DateTime<Utc> {
    (now + sessions::LIFETIME).trunc_subsecs(6)
}

fn record(c: &mut Connection, session: &Session, entry: &NewEntry) -> Result<(), StoreError> {
    let now = Utc::now();
    sessions::open(c, session, now)?;
    audit::append(c, entry, now)
}

/// `DELETE /session`: signs out.
#[utoipa::path(delete, path = "/session", operation_id = "signOut", tag = "session",
    params(("X-CSRF-Token" = Option<String>, Header, description = "As `GET /session` gives it.")),
    responses((status = 204), (status = 401), (status = 403), (status = 503)))]
pub(super) async fn close(shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let ticket = shared.cookies.presented(&request).ok_or_else(session::over)?;
    let session = resume(&shared, &request, &ticket).await?;
    let entry = entry(&request, &session.actor, "session.end", &session.actor, json!({}))?;
    let end = move |c: &mut Connection| {
        if sessions::end(c, &session.id)? {
            audit::append(c, &entry, Utc::now())?;
        }
        Ok(())
    };
    shared.store.write(end).await?;
    Ok(HttpResponse::NoContent().cookie(shared.cookies.taken_back(&request)).finish())
}

/// `POST /session/first`: signs in by the address that `starkeep serve` printed, once, and makes the first key.
#[utoipa::path(post, path = "/session/first", operation_id = "signInFirst", tag = "session", request_body = Invitation,
    responses((status = 201, body = FirstView), (status = 401), (status = 503)))]
pub(super) async fn first(
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let Invitation { code } = input::read(&shared, &request, body).await?;
    let code = Ticket::parse(&code).ok_or_else(refused)?;
    // Nobody guesses 256 bits, so guesses are not counted; but no key is hashed for one.
    let asked = code.clone();
    if !shared.store.read(move |c| sessions::is_invited(c, &asked, Utc::now())).await? {
        return Err(refused());
    }
    let (Minted { full, hash }, ticket) = (minting::mint().await?, minting::ticket()?);
    let (id, prefix, scopes) = (Uuid::now_v7(), full.prefix().to_owned(), Scopes::all());
    let now = Utc::now();
    let session = Session {
        id: ticket.id(),
        actor: prefix.clone(),
        scopes: scopes.clone(),
        opener: Opener::Key(id),
        ends_at: None,
        expires_at: over(now),
    };
    let detail = json!({ "name": FIRST_KEY, "scopes": scopes.words(), "expires_at": null });
    let made = entry(&request, INVITED, "key.create", &prefix, detail)?;
    let opened = entry(&request, INVITED, "session.open", &prefix, json!({}))?;
    let (name, created_by) = (FIRST_KEY.to_owned(), INVITED.to_owned());
    let key = NewKey { id, name, prefix, hash, scopes, created_by, expires_at: None };
    let view = SessionView::of(&shared, &session, &ticket);
    let accept = move |c: &mut Connection| {
        if !sessions::accept(c, &code, now)? {
            return Ok(false);
        }
        api_keys::insert(c, &key, now)?;
        audit::append(c, &made, now)?;
        record(c, &session, &opened)?;
        Ok(true)
    };
    if !shared.store.write(accept).await? {
        return Err(refused());
    }
    let cookie = shared.cookies.given(&request, &ticket);
    Ok(HttpResponse::Created().cookie(cookie).json(FirstView { session: view, full_key: full.expose().to_owned() }))
}

/// An entry of the audit log about a caller who is no [`Admin`].
fn entry(
    request: &HttpRequest,
    actor: &str,
    action: &str,
    subject: &str,
    detail: serde_json::Value,
) -> Result<NewEntry, Problem> {
    let missing = || Problem::internal("a request came in past the shell");
    let ids = request.extensions().get::<RequestIds>().cloned().ok_or_else(missing)?;
    let ClientAddress(address) = request.extensions().get::<ClientAddress>().copied().ok_or_else(missing)?;
    Ok(NewEntry {
        detail,
        correlation: Some(ids.correlation),
        address: Some(address.to_string()),
        ..NewEntry::of(actor, action, subject)
    })
}

fn refused() -> Problem {
    let detail = "this address was used, or its hour is over, or there is a key of the scope `admin` by now; start \
                  `starkeep serve` again for a new one, or make a key with `starkeep key create`";
    Problem::unauthorized("invitation_refused", detail)
}
