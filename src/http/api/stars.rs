//! Whose stars are looked at, how the looks went, and a look now.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::query::Query;
use super::{List, input, whole};
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::mirrors::TroubleView;
use crate::store::polls::{self, Poll};
use crate::store::star_lists::{self, Reading};
use crate::store::{Connection, StoreError, audit};

/// `GET /stars`: every user that is or was looked at.
#[utoipa::path(
    get, path = "/api/v1/stars", operation_id = "listStars", tag = "stars",
    responses((status = 200, body = List<UserView>))
)]
pub(super) async fn list(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let (polls, readings) = shared.store.read(|c| Ok((polls::list(c)?, star_lists::readings(c)?))).await?;
    let reading = |it: &Poll| {
        let account = it.account.as_ref().map(|it| it.0);
        readings.iter().find(|reading| Some(reading.account) == account)
    };
    Ok(whole(polls.iter().map(|it| shown(it, reading(it), &shared.watched))))
}

#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LookWish)]
struct Wish {
    /// Let go as many as the list lacks, this once.
    #[serde(default)]
    allow_mass_gone: bool,
}

/// `POST /stars/{login}`: looks now. 202 with the user. The body may say `{"allow_mass_gone": true}`.
#[utoipa::path(
    post, path = "/api/v1/stars/{login}", operation_id = "lookAtStars", tag = "stars",
    params(("login" = String, Path)),
    request_body = Option<Wish>,
    responses((status = 202, body = UserView))
)]
pub(super) async fn look(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let login = request.match_info().query("login").to_ascii_lowercase();
    let Wish { allow_mass_gone } = input::read_or_default(&shared, &request, body).await?;
    let found = shared.store.write(move |c| hasten(c, &admin, &login, allow_mass_gone)).await?;
    let (poll, reading) =
        found.ok_or_else(|| Problem::not_found("user_unknown", "no such user's stars are looked at"))?;
    Ok(HttpResponse::Accepted().json(shown(&poll, reading.as_ref(), &shared.watched)))
}

type Hastened = (Poll, Option<Reading>);

fn hasten(c: &mut Connection, admin: &Admin, login: &str, allow: bool) -> Result<Option<Hastened>, StoreError> {
    let now = Utc::now();
    let known = if allow { polls::allow_mass_gone(c, login, now)? } else { polls::hasten(c, login, now)? };
    if known {
        audit::append(c, &admin.did("stars.look", &login, json!({ "allow_mass_gone": allow })), now)?;
    }
    let Some(poll) = polls::find(c, login)? else { return Ok(None) };
    let Some((account, _)) = poll.account.clone() else { return Ok(Some((poll, None))) };
    star_lists::hasten(c, account, now)?;
    Ok(Some((poll, star_lists::reading(c, account)?)))
}

/// A user whose stars are looked at, or were.
#[derive(Serialize, ToSchema)]
#[schema(as = StarredBy)]
struct UserView {
    login: String,
    /// The configuration names the user.
    watched: bool,
    account_id: Option<i64>,
    /// The login as GitHub writes it.
    name: Option<String>,
    stars: Option<u64>,
    last_looked_at: Option<DateTime<Utc>>,
    last_read_whole_at: Option<DateTime<Utc>>,
    next_look_at: DateTime<Utc>,
    held: Option<HeldView>,
    error: Option<TroubleView>,
    lists: Option<ListsView>,
}

/// So many stars are missing at once that an admin is waited for.
#[derive(Serialize, ToSchema)]
#[schema(as = HeldStars)]
struct HeldView {
    stars: u64,
    since: DateTime<Utc>,
}

/// How the star lists of a user were read.
#[derive(Serialize, ToSchema)]
#[schema(as = StarListReading)]
struct ListsView {
    last_read_at: Option<DateTime<Utc>>,
    next_read_at: DateTime<Utc>,
    error: Option<TroubleView>,
}

fn shown(it: &Poll, lists: Option<&Reading>, watched: &[String]) -> UserView {
    let lists = lists.map(|it| ListsView {
        last_read_at: it.read_at,
        next_read_at: it.next_at,
        error: it.error.clone().map(TroubleView::from),
    });
    UserView {
        login: it.login.clone(),
        watched: watched.iter().any(|user| user.eq_ignore_ascii_case(&it.login)),
        account_id: it.account.as_ref().map(|it| it.0.0),
        name: it.account.as_ref().map(|it| it.1.clone()),
        stars: it.known.as_ref().map(|it| it.total),
        last_looked_at: it.polled_at,
        last_read_whole_at: it.scanned_at,
        next_look_at: it.next_at,
        held: it.held.map(|(stars, since)| HeldView { stars, since }),
        error: it.error.clone().map(TroubleView::from),
        lists,
    }
}
