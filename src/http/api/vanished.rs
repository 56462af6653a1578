//! What vanished upstream in such numbers that an admin must say so.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Value, json};

use super::input;
use super::query::Query;
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::{Connection, StoreError, audit, vanished};

/// `GET /vanished`: how many mirrors wait, by owner or user.
pub(super) async fn list(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let waiting = shared.store.read(vanished::waiting).await?;
    let shown = |it: &vanished::Waiting| json!({ "whose": it.whose, "mirrors": it.mirrors, "since": it.since });
    let items: Vec<Value> = waiting.iter().map(shown).collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items, "next_cursor": null })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    /// They are gone; else they are only looked at again.
    confirm: bool,
    /// Of one owner or user; without it all that waits.
    whose: Option<String>,
}

/// `POST /vanished`: an admin's word on what waits. 202 with the number of mirrors that are looked at again.
pub(super) async fn answer(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let word: Word = input::read(&shared, &request, body).await?;
    let mirrors = shared.store.write(move |c| apply(c, &admin, &word)).await?;
    Ok(HttpResponse::Accepted().json(json!({ "mirrors": mirrors })))
}

fn apply(c: &mut Connection, admin: &Admin, word: &Word) -> Result<u64, StoreError> {
    let now = Utc::now();
    let mirrors = vanished::answer(c, word.whose.as_deref(), word.confirm, now)?;
    if mirrors > 0 {
        let action = if word.confirm { "vanished.confirm" } else { "vanished.dismiss" };
        let whose = word.whose.as_deref().unwrap_or("all");
        audit::append(c, &admin.did(action, &whose, json!({ "mirrors": mirrors })), now)?;
    }
    Ok(mirrors)
}
