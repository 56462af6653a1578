//! What vanished upstream in such numbers that an admin must say so.

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
use crate::store::{Connection, StoreError, audit, vanished};

/// `GET /vanished`: how many mirrors wait, by owner or user.
#[utoipa::path(
    get, path = "/api/v1/vanished", operation_id = "listVanished", tag = "vanished",
    responses((status = 200, body = List<WaitingView>))
)]
pub(super) async fn list(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let waiting = shared.store.read(vanished::waiting).await?;
    Ok(whole(waiting.into_iter().map(|it| WaitingView { whose: it.whose, mirrors: it.mirrors, since: it.since })))
}

/// Mirrors of one owner or user that wait for a word.
#[derive(Serialize, ToSchema)]
#[schema(as = Vanished)]
struct WaitingView {
    whose: String,
    mirrors: u64,
    since: DateTime<Utc>,
}

/// How many mirrors are looked at again.
#[derive(Serialize, ToSchema)]
#[schema(as = VanishedAnswered)]
struct AnsweredView {
    mirrors: u64,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VanishedWord)]
struct Word {
    /// They are gone; else they are only looked at again.
    confirm: bool,
    /// Of one owner or user; without it all that waits.
    whose: Option<String>,
}

/// `POST /vanished`: an admin's word on what waits. 202 with the number of mirrors that are looked at again.
#[utoipa::path(
    post, path = "/api/v1/vanished", operation_id = "answerVanished", tag = "vanished",
    request_body = Word,
    responses((status = 202, body = AnsweredView))
)]
pub(super) async fn answer(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let word: Word = input::read(&shared, &request, body).await?;
    let mirrors = shared.store.write(move |c| apply(c, &admin, &word)).await?;
    Ok(HttpResponse::Accepted().json(AnsweredView { mirrors }))
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
