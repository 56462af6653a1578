//! The catalog of a mirror: how far it is, what it holds, what ails it.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::Queued;
use super::mirrors::find;
use super::query::{Query, mirror_id};
use crate::domain::catalog::Visit;
use crate::domain::job::{JobKind, Priority};
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::audit;
use crate::store::catalog::{self, Catalog, assets, feeds, items, todo};
use crate::store::jobs::{self, NewJob};
use crate::store::mirrors::TroubleView;

/// `GET /mirrors/{id}/catalog`: `state` is `off`, `waiting` (before the first round), `reading` (a round is
/// open), `level` or `error`.
#[utoipa::path(
    get, path = "/api/v1/mirrors/{id}/catalog", operation_id = "getCatalog", tag = "mirrors",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = CatalogView))
)]
pub(super) async fn show(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let mirror = find(&shared, mirror_id(&request)?).await?;
    let (known, visits, counts, waiting, files, troubles) = shared
        .store
        .read(move |c| {
            let known = catalog::find(c, mirror.id)?.unwrap_or_default();
            let (counts, waiting) = (items::counts(c, mirror.id)?, todo::count(c, mirror.id)?);
            let (files, troubles) = (assets::counts(c, mirror.id)?, assets::troubles(c, mirror.id)?);
            Ok((known, feeds::load(c, mirror.id)?, counts, waiting, files, troubles))
        })
        .await?;
    Ok(HttpResponse::Ok().json(CatalogView {
        state: state(&known, shared.metadata),
        name: known.ref_name.map(|it| it.to_string()),
        tip: known.tip.map(|it| it.to_string()),
        commits: known.commits,
        items: counts.into_iter().map(|(kind, it)| (kind.to_string(), it)).collect(),
        waiting,
        files: FilesView {
            stored: files.0,
            missing: files.1,
            reasons: troubles.into_iter().map(|(name, reason)| MissingView { name, reason }).collect(),
        },
        last_looked_at: known.looked_at,
        last_changed_at: known.changed_at,
        last_swept_at: known.swept_at,
        next_at: known.next_at,
        feeds: visits.into_iter().map(FeedView::from).collect(),
        error: known.error.map(|it| TroubleView { code: it.code, message: it.message, since: it.since }),
    }))
}

/// How far the catalog of a mirror is: what it holds of that which git does not carry.
#[derive(Serialize, ToSchema)]
#[schema(as = Catalog)]
struct CatalogView {
    state: State,
    /// The ref that holds it.
    #[serde(rename = "ref")]
    name: Option<String>,
    tip: Option<String>,
    commits: u64,
    /// How many items of each kind it holds.
    items: BTreeMap<String, u64>,
    /// Items that are still to be read or written.
    waiting: u64,
    files: FilesView,
    last_looked_at: Option<DateTime<Utc>>,
    last_changed_at: Option<DateTime<Utc>>,
    last_swept_at: Option<DateTime<Utc>>,
    next_at: Option<DateTime<Utc>>,
    feeds: Vec<FeedView>,
    error: Option<TroubleView>,
}

/// Where a catalog stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CatalogState)]
enum State {
    /// Catalogs are switched off.
    Off,
    /// Before the first round.
    Waiting,
    /// A round is open.
    Reading,
    /// All of it is read.
    Level,
    /// The last run failed.
    Error,
}

/// Assets and attachments.
#[derive(Serialize, ToSchema)]
#[schema(as = CatalogFiles)]
struct FilesView {
    stored: u64,
    missing: u64,
    /// Why some are missing.
    reasons: Vec<MissingView>,
}

/// A file that could not be had.
#[derive(Serialize, ToSchema)]
#[schema(as = MissingFile)]
struct MissingView {
    name: String,
    reason: String,
}

/// One list of GitHub's, and how far it was read.
#[derive(Serialize, ToSchema)]
#[schema(as = Feed)]
struct FeedView {
    feed: &'static str,
    /// It is to be read in the round that is open.
    reading: bool,
    known_until: Option<DateTime<Utc>>,
    page: u32,
    last_read_at: Option<DateTime<Utc>>,
    problem: Option<String>,
}

/// `DELETE /mirrors/{id}/catalog`: forgets what the database knows of it; 202 with the job that reads everything
/// anew. What stands in OneDev stays, and its history goes on.
#[utoipa::path(
    delete, path = "/api/v1/mirrors/{id}/catalog", operation_id = "forgetCatalog", tag = "mirrors",
    params(("id" = Uuid, Path)),
    responses((status = 202, body = Queued))
)]
pub(super) async fn forget(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let mirror = find(&shared, mirror_id(&request)?).await?;
    let queued = shared.store.write(move |c| {
        catalog::forget(c, mirror.id)?;
        audit::append(
            c,
            &admin.did("mirror.catalog.forget", &mirror.name, json!({ "mirror": mirror.id })),
            Utc::now(),
        )?;
        let job = NewJob::of(JobKind::Catalog, mirror.id, Priority::ASKED, admin.correlation);
        jobs::enqueue(c, &job, Utc::now())
    });
    Ok(HttpResponse::Accepted().json(Queued { job: queued.await?.id.0 }))
}

fn state(known: &Catalog, on: bool) -> State {
    match known {
        _ if !on => State::Off,
        Catalog { error: Some(_), .. } => State::Error,
        Catalog { round_open: true, .. } => State::Reading,
        Catalog { looked_at: None, .. } => State::Waiting,
        Catalog { .. } => State::Level,
    }
}

impl From<Visit> for FeedView {
    fn from(it: Visit) -> Self {
        Self {
            feed: it.feed.as_str(),
            reading: it.wanted,
            known_until: it.since,
            page: it.page,
            last_read_at: it.done_at,
            problem: it.problem,
        }
    }
}
