//! Received webhooks.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::page;
use super::query::Query;
use crate::domain::ids::JobId;
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::deliveries::{self, Delivery, Filter, State};

/// A delivery as the API shows it.
#[derive(Serialize)]
struct DeliveryView {
    id: String,
    event: String,
    action: Option<String>,
    sender: Option<Value>,
    repository: Option<Value>,
    outcome: &'static str,
    state: &'static str,
    received_at: DateTime<Utc>,
    correlation_id: String,
    jobs: Vec<JobId>,
}

impl From<Delivery> for DeliveryView {
    fn from(it: Delivery) -> Self {
        Self {
            id: it.guid,
            event: it.name,
            action: it.action,
            sender: it.sender.map(|(id, login)| json!({ "id": id, "login": login })),
            repository: it.repository.map(|(id, name)| json!({ "github_id": id, "repository": name })),
            outcome: it.outcome.as_str(),
            state: it.state.as_str(),
            received_at: it.received_at,
            correlation_id: it.correlation.to_string(),
            jobs: it.jobs,
        }
    }
}

/// `GET /deliveries?state=&event=`: the newest first.
pub(super) async fn list(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (query, window) = Query::list(&request, &["state", "event"])?;
    let filter = Filter { state: query.word("state", &State::ALL.map(State::as_str))?, event: query.text("event") };
    let found = shared.store.read(move |c| deliveries::list(c, &filter, &window)).await?;
    Ok(page(found, DeliveryView::from))
}

/// `GET /deliveries/{id}`: by GitHub's GUID.
pub(super) async fn one(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let id = delivery_id(&request);
    let found = shared.store.read(move |c| deliveries::find(c, &id)).await?;
    Ok(HttpResponse::Ok().json(DeliveryView::from(found.ok_or_else(no_delivery)?)))
}

/// The delivery that the path names.
pub(super) fn delivery_id(request: &HttpRequest) -> String {
    request.match_info().get("id").unwrap_or_default().to_ascii_lowercase()
}

/// There is no such delivery.
pub(super) fn no_delivery() -> Problem {
    Problem::not_found("delivery_not_found", "no delivery of this GUID was received, or it was long ago")
}
