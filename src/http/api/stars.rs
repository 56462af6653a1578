//! Whose stars are looked at, how the looks went, and a look now.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::input;
use super::query::Query;
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::polls::{self, Poll};
use crate::store::star_lists::{self, Reading};
use crate::store::{Connection, StoreError, audit};

/// `GET /stars`: every user that is or was looked at.
pub(super) async fn list(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let (polls, readings) = shared.store.read(|c| Ok((polls::list(c)?, star_lists::readings(c)?))).await?;
    let reading = |it: &Poll| {
        let account = it.account.as_ref().map(|it| it.0);
        readings.iter().find(|reading| Some(reading.account) == account)
    };
    let items: Vec<Value> = polls.into_iter().map(|it| shown(&it, reading(&it), &shared.watched)).collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items, "next_cursor": null })))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// Let go as many as the list lacks, this once.
    #[serde(default)]
    allow_mass_gone: bool,
}

/// `POST /stars/{login}`: looks now. 202 with the user. The body may say `{"allow_mass_gone": true}`.
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

fn shown(it: &Poll, lists: Option<&Reading>, watched: &[String]) -> Value {
    let held = it.held.map(|(stars, since)| json!({ "stars": stars, "since": since }));
    let wrong = |error: &Option<(String, String, DateTime<Utc>)>| {
        let told = error.as_ref();
        told.map(|(code, message, since)| json!({ "code": code, "message": message, "since": since }))
    };
    let lists =
        lists.map(|it| json!({ "last_read_at": it.read_at, "next_read_at": it.next_at, "error": wrong(&it.error) }));
    json!({
        "login": it.login,
        "watched": watched.iter().any(|user| user.eq_ignore_ascii_case(&it.login)),
        "account_id": it.account.as_ref().map(|it| it.0),
        "name": it.account.as_ref().map(|it| &it.1),
        "stars": it.known.as_ref().map(|it| it.total),
        "last_looked_at": it.polled_at,
        "last_read_whole_at": it.scanned_at,
        "next_look_at": it.next_at,
        "held": held,
        "error": wrong(&it.error),
        "lists": lists,
    })
}
