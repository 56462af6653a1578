//! Whose stars are looked at, how the looks went, and a look now.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Value, json};

use super::input;
use super::query::Query;
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::polls::{self, Poll};
use crate::store::{Connection, StoreError, audit};

/// `GET /stars`: every user that is or was looked at.
pub(super) async fn list(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let items: Vec<Value> =
        shared.store.read(polls::list).await?.into_iter().map(|it| shown(it, &shared.watched)).collect();
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
    let poll = found.ok_or_else(|| Problem::not_found("user_unknown", "no such user's stars are looked at"))?;
    Ok(HttpResponse::Accepted().json(shown(poll, &shared.watched)))
}

fn hasten(c: &mut Connection, admin: &Admin, login: &str, allow: bool) -> Result<Option<Poll>, StoreError> {
    let now = Utc::now();
    let known = if allow { polls::allow_mass_gone(c, login, now)? } else { polls::hasten(c, login, now)? };
    if known {
        audit::append(c, &admin.did("stars.look", &login, json!({ "allow_mass_gone": allow })), now)?;
    }
    polls::find(c, login)
}

fn shown(it: Poll, watched: &[String]) -> Value {
    let held = it.held.map(|(stars, since)| json!({ "stars": stars, "since": since }));
    let error = it.error.map(|(code, message, since)| json!({ "code": code, "message": message, "since": since }));
    json!({
        "login": it.login,
        "watched": watched.iter().any(|user| user.eq_ignore_ascii_case(&it.login)),
        "account_id": it.account.as_ref().map(|it| it.0),
        "name": it.account.map(|it| it.1),
        "stars": it.known.map(|it| it.total),
        "last_looked_at": it.polled_at,
        "last_read_whole_at": it.scanned_at,
        "next_look_at": it.next_at,
        "held": held,
        "error": error,
    })
}
