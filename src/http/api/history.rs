//! What happened to a mirror: its syncs, the tips that were kept, its LFS objects.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::mirrors::{find, part};
use super::query::{Query, mirror_id};
use super::{ErrorView, List, Paging, page};
use crate::domain::kept::Reason;
use crate::domain::lfs::ObjectState;
use crate::domain::part::{Part, PartId};
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::kept::Kept;
use crate::store::lfs::LfsObject;
use crate::store::syncs::{Outcome, Sync};
use crate::store::{kept, lfs, syncs};

/// A run of a sync.
#[derive(Serialize, ToSchema)]
#[schema(as = Sync)]
struct SyncView {
    id: i64,
    part: Part,
    job: Option<i64>,
    correlation_id: String,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    duration_ms: Option<i64>,
    outcome: Outcome,
    /// `relay`, `cached`, or `verify` for a comparison alone.
    engine: String,
    bytes: BytesView,
    objects: u64,
    refs: CountsView,
    digest: Option<String>,
    error: Option<ErrorView>,
    /// The first changes, as `+ref oid`, `~ref old new`, `-ref old`.
    #[schema(value_type = Vec<String>)]
    changes: Vec<serde_json::Value>,
}

/// Bytes of packs.
#[derive(Serialize, ToSchema)]
#[schema(as = SyncBytes)]
struct BytesView {
    r#in: u64,
    out: u64,
}

/// How many refs were touched.
#[derive(Serialize, ToSchema)]
#[schema(as = SyncRefs)]
struct CountsView {
    created: u64,
    moved: u64,
    deleted: u64,
    kept: u64,
    aliased: u64,
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
            outcome: it.outcome,
            engine: it.engine,
            bytes: BytesView { r#in: work.bytes_in, out: work.bytes_out },
            objects: work.objects,
            refs: CountsView {
                created: work.created,
                moved: work.moved,
                deleted: work.deleted,
                kept: work.kept,
                aliased: work.aliased,
            },
            digest: work.digest,
            error: work.error.map(ErrorView::from),
            changes: work.changes,
        }
    }
}

/// `GET /mirrors/{id}/syncs`: the newest first.
#[utoipa::path(
    get, path = "/api/v1/mirrors/{id}/syncs", operation_id = "listSyncs", tag = "mirrors",
    params(("id" = Uuid, Path), Paging),
    responses((status = 200, body = List<SyncView>))
)]
pub(super) async fn syncs(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (_, window) = Query::list(&request, &[])?;
    let mirror = find(&shared, mirror_id(&request)?).await?;
    let found = shared.store.read(move |c| syncs::list(c, mirror.id, &window)).await?;
    Ok(page(found, SyncView::from))
}

/// `GET /mirrors/{id}/lfs`: LFS objects by id, with where each stands.
#[utoipa::path(
    get, path = "/api/v1/mirrors/{id}/lfs", operation_id = "listLfs", tag = "mirrors",
    params(("id" = Uuid, Path), Paging),
    responses((status = 200, body = List<LfsView>))
)]
pub(super) async fn lfs(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (_, window) = Query::list(&request, &[])?;
    let mirror = find(&shared, mirror_id(&request)?).await?;
    let found = shared.store.read(move |c| lfs::list(c, mirror.id, &window)).await?;
    Ok(page(found, LfsView::from))
}

/// An LFS object.
#[derive(Serialize, ToSchema)]
#[schema(as = LfsObject)]
struct LfsView {
    oid: String,
    size: u64,
    /// Who brought it.
    origin: String,
    state: ObjectState,
    /// Why it is not there.
    reason: Option<String>,
    attempts: u32,
    next_try_at: Option<DateTime<Utc>>,
    /// Some ref of upstream needs it.
    reachable: bool,
}

impl From<LfsObject> for LfsView {
    fn from(it: LfsObject) -> Self {
        let LfsObject { pointer, origin, state, reason, attempts, next_try_at, reachable } = it;
        let (oid, size) = (pointer.oid.to_string(), pointer.size);
        Self { oid, size, origin, state, reason, attempts, next_try_at, reachable }
    }
}

/// `GET /mirrors/{id}/kept?part=code|wiki`: the newest first.
#[utoipa::path(
    get, path = "/api/v1/mirrors/{id}/kept", operation_id = "listKept", tag = "mirrors",
    params(("id" = Uuid, Path), Paging, ("part" = Option<Part>, Query)),
    responses((status = 200, body = List<KeptView>))
)]
pub(super) async fn kept(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (query, window) = Query::list(&request, &["part"])?;
    let part = part(&query)?;
    let of = PartId { mirror: find(&shared, mirror_id(&request)?).await?.id, part };
    let found = shared.store.read(move |c| kept::list(c, of, &window)).await?;
    Ok(page(found, KeptView::from))
}

/// An old tip that is kept.
#[derive(Serialize, ToSchema)]
#[schema(as = Kept)]
struct KeptView {
    id: i64,
    /// The ref whose tip it was.
    r#ref: String,
    /// The ref that holds it now.
    kept_ref: String,
    oid: String,
    reason: Reason,
    kept_at: DateTime<Utc>,
}

impl From<Kept> for KeptView {
    fn from(it: Kept) -> Self {
        Self {
            id: it.id.0,
            r#ref: it.name.to_string(),
            kept_ref: it.kept_ref.to_string(),
            oid: it.oid.to_string(),
            reason: it.reason,
            kept_at: it.created_at,
        }
    }
}
