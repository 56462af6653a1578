//! What happened to a mirror: its syncs, the tips that were kept, its LFS objects.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::mirrors::{find, part};
use super::query::{Query, mirror_id};
use super::{ErrorView, page};
use crate::domain::part::{Part, PartId};
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::syncs::Sync;
use crate::store::{kept, lfs, syncs};

/// A run of a sync as the API shows it.
#[derive(Serialize)]
struct SyncView {
    id: i64,
    part: Part,
    job: Option<i64>,
    correlation_id: String,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    duration_ms: Option<i64>,
    outcome: &'static str,
    engine: String,
    bytes: Value,
    objects: u64,
    refs: Value,
    digest: Option<String>,
    error: Option<ErrorView>,
    changes: Vec<Value>,
}

impl From<Sync> for SyncView {
    fn from(it: Sync) -> Self {
        let work = it.work;
        Self {
            id: it.id.0,
            part: it.part,
            job: it.job.map(|it| it.0),
            correlation_id: it.correlation.to_string(),
            started_at: it.started_at,
            finished_at: it.finished_at,
            duration_ms: it.finished_at.map(|end| (end - it.started_at).num_milliseconds()),
            outcome: it.outcome.as_str(),
            engine: it.engine,
            bytes: json!({ "in": work.bytes_in, "out": work.bytes_out }),
            objects: work.objects,
            refs: json!({
                "created": work.created,
                "moved": work.moved,
                "deleted": work.deleted,
                "kept": work.kept,
                "aliased": work.aliased,
            }),
            digest: work.digest,
            error: work.error.map(ErrorView::from),
            changes: work.changes,
        }
    }
}

/// `GET /mirrors/{id}/syncs`: the newest first.
pub(super) async fn syncs(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (_, window) = Query::list(&request, &[])?;
    let mirror = find(&shared, mirror_id(&request)?).await?;
    let found = shared.store.read(move |c| syncs::list(c, mirror.id, &window)).await?;
    Ok(page(found, SyncView::from))
}

/// `GET /mirrors/{id}/lfs`: LFS objects by id, with where each stands.
pub(super) async fn lfs(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (_, window) = Query::list(&request, &[])?;
    let mirror = find(&shared, mirror_id(&request)?).await?;
    let found = shared.store.read(move |c| lfs::list(c, mirror.id, &window)).await?;
    Ok(page(found, |it| {
        json!({
            "oid": it.pointer.oid,
            "size": it.pointer.size,
            "origin": it.origin,
            "state": it.state,
            "reason": it.reason,
            "attempts": it.attempts,
            "next_try_at": it.next_try_at,
            "reachable": it.reachable,
        })
    }))
}

/// `GET /mirrors/{id}/kept?part=code|wiki`: the newest first.
pub(super) async fn kept(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (query, window) = Query::list(&request, &["part"])?;
    let part = part(&query)?;
    let of = PartId { mirror: find(&shared, mirror_id(&request)?).await?.id, part };
    let found = shared.store.read(move |c| kept::list(c, of, &window)).await?;
    Ok(page(found, |it| {
        json!({
            "id": it.id.0,
            "ref": it.name,
            "kept_ref": it.kept_ref,
            "oid": it.oid,
            "reason": it.reason.as_str(),
            "kept_at": it.created_at,
        })
    }))
}
