//! Received webhooks.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::query::Query;
use super::{List, Paging, page};
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::deliveries::{self, Delivery, Filter, Outcome, State};

/// A webhook that was received.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
struct DeliveryView {
    id: String,
    event: String,
    action: Option<String>,
    sender: Option<SenderView>,
    repository: Option<RepositoryView>,
    outcome: Outcome,
    state: State,
    received_at: DateTime<Utc>,
    correlation_id: String,
    jobs: Vec<i64>,
}

/// Who sent it.
#[derive(Serialize, ToSchema)]
#[schema(as = Sender)]
struct SenderView {
    id: i64,
    login: String,
}

/// What it is about.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryRepository)]
struct RepositoryView {
    github_id: i64,
    repository: String,
}

impl From<Delivery> for DeliveryView {
    fn from(it: Delivery) -> Self {
        Self {
            id: it.guid,
            event: it.name,
            action: it.action,
            sender: it.sender.map(|(id, login)| SenderView { id: id.0, login }),
            repository: it.repository.map(|(id, name)| RepositoryView { github_id: id.0, repository: name }),
            outcome: it.outcome,
            state: it.state,
            received_at: it.received_at,
            correlation_id: it.correlation.to_string(),
            jobs: it.jobs.into_iter().map(|it| it.0).collect(),
        }
    }
}

/// `GET /deliveries?state=&event=`: the newest first.
#[utoipa::path(
    get, path = "/api/v1/deliveries", operation_id = "listDeliveries", tag = "deliveries",
    params(Paging, ("state" = Option<State>, Query), ("event" = Option<String>, Query, max_length = 512)),
    responses((status = 200, body = List<DeliveryView>))
)]
pub(super) async fn list(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (query, window) = Query::list(&request, &["state", "event"])?;
    let filter = Filter { state: query.word("state", &State::ALL.map(State::as_str))?, event: query.text("event") };
    let found = shared.store.read(move |c| deliveries::list(c, &filter, &window)).await?;
    Ok(page(found, DeliveryView::from))
}

/// `GET /deliveries/{id}`: by GitHub's GUID.
#[utoipa::path(
    get, path = "/api/v1/deliveries/{id}", operation_id = "getDelivery", tag = "deliveries",
    params(("id" = Uuid, Path, description = "GitHub's GUID of it.")),
    responses((status = 200, body = DeliveryView))
)]
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
