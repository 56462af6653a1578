//! Received webhooks that are taken once more, alone or as a range.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::deliveries::{delivery_id, no_delivery};
use super::input;
use super::query::Query;
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::stages::messages::{Replay, Replayed};
use crate::store::Window;
use crate::store::replays::{self, Range};

/// How long one may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// Deliveries of a range in one call.
const AT_ONCE: u32 = 100;

#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplayOne)]
struct One {
    #[serde(default)]
    dry_run: bool,
}

/// `POST /deliveries/{id}/replay`: 202 with its jobs; 200 with what it would do for `{"dry_run": true}`.
#[utoipa::path(
    post, path = "/api/v1/deliveries/{id}/replay", operation_id = "replayDelivery", tag = "deliveries",
    params(("id" = Uuid, Path, description = "GitHub's GUID of it.")),
    request_body = Option<One>,
    responses((status = 202, body = ReplayedView), (status = 200, body = ReplayedView), (status = 502))
)]
pub(super) async fn one(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let id = delivery_id(&request);
    let One { dry_run } = input::read_or_default(&shared, &request, body).await?;
    let replayed = replay(&shared, &admin, &id, dry_run).await?.ok_or_else(no_delivery)?;
    Ok(answer(dry_run).json(shown(&id, replayed, dry_run)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplaySeveral)]
struct Several {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    #[serde(default)]
    event: Option<String>,
    /// Who wants it done says so.
    #[serde(default = "yes")]
    dry_run: bool,
    #[serde(default)]
    cursor: Option<String>,
}

fn yes() -> bool {
    true
}

/// `POST /deliveries/replay` `{"from","to","event","dry_run","cursor"}`: those that arrived in that time, the oldest
/// first, at most 100 in one call; `next_cursor` says where to go on. Nothing is done unless `dry_run` is `false`.
#[utoipa::path(
    post, path = "/api/v1/deliveries/replay", operation_id = "replayDeliveries", tag = "deliveries",
    request_body = Several,
    responses((status = 202, body = SeveralView), (status = 200, body = SeveralView), (status = 404), (status = 502))
)]
pub(super) async fn several(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let Several { from, to, event, dry_run, cursor } = input::read(&shared, &request, body).await?;
    if from >= to {
        return Err(Problem::bad_request("range_refused", "`from` must be before `to`"));
    }
    let (range, window) = (Range { from, to, event }, Window { limit: AT_ONCE, cursor });
    let found = shared.store.read(move |c| replays::within(c, &range, &window)).await?;
    let mut items = Vec::new();
    for guid in &found.items {
        // One that was given up meanwhile is none any more.
        if let Some(replayed) = replay(&shared, &admin, guid, dry_run).await? {
            items.push(shown(guid, replayed, dry_run));
        }
    }
    Ok(answer(dry_run).json(SeveralView { dry_run, items, next_cursor: found.next }))
}

fn answer(dry_run: bool) -> actix_web::HttpResponseBuilder {
    if dry_run { HttpResponse::Ok() } else { HttpResponse::Accepted() }
}

async fn replay(shared: &Shared, admin: &Admin, guid: &str, dry_run: bool) -> Result<Option<Replayed>, Problem> {
    let entry = admin.did("delivery.replay", &guid, json!({}));
    let order = Replay { guid: guid.to_owned(), dry_run, entry, correlation: admin.correlation };
    let answer = tokio::time::timeout(shared.webhook_limit, shared.stages.accept.ask(order, PATIENCE)).await;
    let late = |_| Problem::unavailable("busy", "the delivery could not be taken in time; try again", PATIENCE);
    Ok(answer.map_err(late)???)
}

/// A delivery that was taken once more, or would be.
#[derive(Serialize, ToSchema)]
#[schema(as = Replayed)]
struct ReplayedView {
    delivery: String,
    event: String,
    /// What it asks for now, in a word.
    asks_for: &'static str,
    dry_run: bool,
    /// The jobs that were queued for it; none of a dry run.
    jobs: Vec<i64>,
}

/// Some deliveries that were taken once more, or would be.
#[derive(Serialize, ToSchema)]
#[schema(as = ReplayedSeveral)]
struct SeveralView {
    dry_run: bool,
    items: Vec<ReplayedView>,
    /// The `cursor` of the next call; null if there is no more.
    next_cursor: Option<String>,
}

fn shown(guid: &str, it: Replayed, dry_run: bool) -> ReplayedView {
    let Replayed { event, wish, jobs } = it;
    let jobs = jobs.into_iter().map(|it| it.0).collect();
    ReplayedView { delivery: guid.to_owned(), event, asks_for: wish, dry_run, jobs }
}
