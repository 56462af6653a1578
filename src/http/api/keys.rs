//! Keys of this API: made, listed, rotated, revoked.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::query::Query;
use super::{List, Paging, input, page};
use crate::config::duration;
use crate::domain::api_key::{LONGEST_OVERLAP, OVERLAP, Scope, Scopes};
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::api_keys::{self, Key, KeyView, NewKey, Status};
use crate::store::minting::{Minted, mint};
use crate::store::{Connection, StoreError, audit};

/// Characters of a name.
const LONGEST_NAME: usize = 100;
/// Days that a key may live.
const LONGEST_LIFE: i64 = 3_650;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApiKey)]
struct Wanted {
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What it may do, as in `mirrors:read`.
    #[schema(value_type = Vec<Scope>, min_items = 1)]
    scopes: Vec<String>,
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3650)]
    expires_in_days: Option<i64>,
}

/// `POST /api-keys`: 201 with the key, which is shown this once.
#[utoipa::path(
    post, path = "/api/v1/api-keys", operation_id = "createApiKey", tag = "api-keys",
    request_body = Wanted,
    responses((status = 201, body = MadeView))
)]
pub(super) async fn create(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let Wanted { name, scopes, expires_in_days } = input::read(&shared, &request, body).await?;
    let name = well_named(&name)?;
    let scopes = Scopes::parse(&scopes).map_err(|it| Problem::bad_request("scopes_refused", it.to_string()))?;
    expect_covered(&admin, &scopes)?;
    let now = Utc::now();
    let expires_at = capped(life(expires_in_days)?.map(|it| now + it), &admin);
    let Minted { full, hash } = mint().await?;
    let key = new_key(&admin, name, full.prefix(), hash, scopes, expires_at);
    let key = shared.store.write(move |c| record(c, &admin, &key, now)).await?;
    Ok(made_at(&key).json(shown_once(&key, full.expose(), now)))
}

fn well_named(name: &str) -> Result<String, Problem> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        let detail = format!("a name has 1 to {LONGEST_NAME} characters, none of them a control character");
        return Err(Problem::bad_request("name_refused", detail));
    }
    Ok(name.to_owned())
}

fn life(days: Option<i64>) -> Result<Option<TimeDelta>, Problem> {
    match days {
        None => Ok(None),
        Some(days) if (1..=LONGEST_LIFE).contains(&days) => Ok(Some(TimeDelta::days(days))),
        Some(_) => {
            let detail = format!("`expires_in_days` is a number from 1 to {LONGEST_LIFE}, or is left out");
            Err(Problem::bad_request("expiry_refused", detail))
        }
    }
}

/// Nobody hands out more than he has.
fn expect_covered(admin: &Admin, scopes: &Scopes) -> Result<(), Problem> {
    if admin.scopes.cover(scopes) {
        return Ok(());
    }
    let detail = format!("a key can only hand out scopes of its own: {}", admin.scopes.words().join(", "));
    Err(Problem::forbidden("scope_exceeded", detail))
}

/// What a key makes does not outlive it, or a stolen one would live for ever.
fn capped(wanted: Option<DateTime<Utc>>, admin: &Admin) -> Option<DateTime<Utc>> {
    match (wanted, admin.until) {
        (Some(wanted), Some(until)) => Some(wanted.min(until)),
        (wanted, until) => wanted.or(until),
    }
}

fn new_key(
    admin: &Admin,
    name: String,
    prefix: &str,
    hash: String,
    scopes: Scopes,
    expires_at: Option<DateTime<Utc>>,
) -> NewKey {
    let (prefix, created_by) = (prefix.to_owned(), admin.actor.clone());
    NewKey { id: Uuid::now_v7(), name, prefix, hash, scopes, created_by, expires_at }
}

fn record(c: &mut Connection, admin: &Admin, key: &NewKey, now: DateTime<Utc>) -> Result<Key, StoreError> {
    let made = api_keys::insert(c, key, now)?;
    let detail = json!({ "name": made.name, "scopes": made.scopes.words(), "expires_at": made.expires_at });
    audit::append(c, &admin.did("key.create", &made.prefix, detail), now)?;
    Ok(made)
}

/// A new key. Its secret is shown in this answer and never again.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeApiKey)]
struct MadeView {
    id: Uuid,
    name: String,
    /// `sk_` and eight characters.
    prefix: String,
    /// The prefix, `_`, and the secret.
    full_key: String,
    #[schema(value_type = Vec<Scope>)]
    scopes: Vec<&'static str>,
    status: Status,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
}

fn made_at(key: &Key) -> HttpResponseBuilder {
    let mut answer = HttpResponse::Created();
    answer.insert_header((LOCATION, format!("/api/v1/api-keys/{}", key.id)));
    answer
}

fn shown_once(key: &Key, full: &str, now: DateTime<Utc>) -> MadeView {
    MadeView {
        id: key.id,
        name: key.name.clone(),
        prefix: key.prefix.clone(),
        full_key: full.to_owned(),
        scopes: key.scopes.words(),
        status: key.status(now),
        created_at: key.created_at,
        expires_at: key.expires_at,
    }
}

/// `GET /api-keys?include_revoked=false`: the newest first.
#[utoipa::path(
    get, path = "/api/v1/api-keys", operation_id = "listApiKeys", tag = "api-keys",
    params(Paging, ("include_revoked" = Option<bool>, Query)),
    responses((status = 200, body = List<KeyView>))
)]
pub(super) async fn list(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (query, window) = Query::list(&request, &["include_revoked"])?;
    let revoked = query.word("include_revoked", &["true", "false"])?.unwrap_or(false);
    let found = shared.store.read(move |c| api_keys::list(c, revoked, &window)).await?;
    let now = Utc::now();
    Ok(page(found, |it| it.view(now)))
}

/// `GET /api-keys/{id}`: one key, without its secret.
#[utoipa::path(
    get, path = "/api/v1/api-keys/{id}", operation_id = "getApiKey", tag = "api-keys",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = KeyView))
)]
pub(super) async fn one(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let id = key_id(&request)?;
    let found = shared.store.read(move |c| api_keys::find(c, id)).await?;
    Ok(HttpResponse::Ok().json(found.ok_or_else(no_key)?.view(Utc::now())))
}

/// `DELETE /api-keys/{id}`: 204; no request is let in with it any more, by any process.
#[utoipa::path(
    delete, path = "/api/v1/api-keys/{id}", operation_id = "revokeApiKey", tag = "api-keys",
    params(("id" = Uuid, Path)),
    responses((status = 204))
)]
pub(super) async fn revoke(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let id = key_id(&request)?;
    let known = shared.store.write(move |c| end(c, &admin, id, Utc::now())).await?;
    if known { Ok(HttpResponse::NoContent().finish()) } else { Err(no_key()) }
}

fn end(c: &mut Connection, admin: &Admin, id: Uuid, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let Some(key) = api_keys::find(c, id)? else { return Ok(false) };
    if api_keys::revoke(c, id, now)? {
        audit::append(c, &admin.did("key.revoke", &key.prefix, json!({ "name": key.name })), now)?;
    }
    Ok(true)
}

#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rotation)]
struct Turn {
    /// How long both are valid: a duration from `0s` to `30d`.
    #[serde(default)]
    #[schema(examples("24h"))]
    overlap: Option<String>,
}

/// `POST /api-keys/{id}/rotate`: 201 with a new key of the same name, scopes and length of life. The old one ends
/// after the `overlap` (`24h` if the body does not say otherwise), within which both are valid.
#[utoipa::path(
    post, path = "/api/v1/api-keys/{id}/rotate", operation_id = "rotateApiKey", tag = "api-keys",
    params(("id" = Uuid, Path)),
    request_body = Option<Turn>,
    responses((status = 201, body = MadeView))
)]
pub(super) async fn rotate(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let id = key_id(&request)?;
    let Turn { overlap } = input::read_or_default(&shared, &request, body).await?;
    let overlap = overlap_of(overlap.as_deref())?;
    let old = shared.store.read(move |c| api_keys::find(c, id)).await?.ok_or_else(no_key)?;
    expect_covered(&admin, &old.scopes)?;
    let now = Utc::now();
    let expires_at = capped(old.renewed_until(now), &admin);
    let Minted { full, hash } = mint().await?;
    let entry = admin.did("key.rotate", &old.prefix, Value::Null);
    let key = new_key(&admin, old.name, full.prefix(), hash, old.scopes, expires_at);
    let made = shared.store.write(move |c| api_keys::replace(c, id, &key, overlap, &entry, now)).await?;
    let ended = || Problem::conflict("key_ended", "this key is revoked or expired; make a new one");
    let made = made.ok_or_else(ended)?;
    Ok(made_at(&made).json(shown_once(&made, full.expose(), now)))
}

fn overlap_of(text: Option<&str>) -> Result<TimeDelta, Problem> {
    let refused = || {
        let detail = "`overlap` is a duration from 0s to 30d, as in `24h`";
        Problem::bad_request("overlap_refused", detail)
    };
    let overlap = match text {
        None => OVERLAP,
        Some(text) => duration::parse(text).map_err(|_| refused())?,
    };
    TimeDelta::from_std(overlap).ok().filter(|_| overlap <= LONGEST_OVERLAP).ok_or_else(refused)
}

/// The key that the path names.
fn key_id(request: &HttpRequest) -> Result<Uuid, Problem> {
    request.match_info().get("id").and_then(|it| Uuid::try_parse(it).ok()).ok_or_else(no_key)
}

fn no_key() -> Problem {
    Problem::not_found("key_not_found", "there is no key of this id")
}
