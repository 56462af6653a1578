//! The audit log: who did what, when, to what, with what outcome.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::page;
use super::query::Query;
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::audit::{self, Entry, Filter, NewEntry};

/// `GET /audit?actor=&action=&subject=`: the newest first.
pub(super) async fn list(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (query, window) = Query::list(&request, &["actor", "action", "subject"])?;
    let filter = Filter { actor: query.text("actor"), action: query.text("action"), subject: query.text("subject") };
    let found = shared.store.read(move |c| audit::list(c, &filter, &window)).await?;
    Ok(page(found, |Entry { id, at, entry }| {
        let NewEntry { actor, action, subject, outcome, detail, correlation, address } = entry;
        json!({
            "id": id,
            "at": at,
            "actor": actor,
            "action": action,
            "subject": subject,
            "outcome": outcome,
            "detail": detail,
            "correlation_id": correlation,
            "address": address,
        })
    }))
}
