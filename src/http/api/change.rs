//! Pausing and resuming mirrors, and asking for a sync or a comparison now.

use actix_web::http::StatusCode;
use actix_web::http::header::ETAG;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::etag::{IfMatch, Tag};
use super::input;
use super::jobs::JobView;
use super::query::{Query, mirror_id, no_mirror};
use crate::domain::ids::MirrorId;
use crate::domain::job::{JobKind, Priority};
use crate::domain::mirror::Status;
use crate::domain::part::PartId;
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::jobs::{Job, NewJob};
use crate::store::mirrors::{self, Mirror, View};
use crate::store::{Connection, StoreError, audit, jobs, parts};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MirrorChange)]
struct Change {
    paused: bool,
}

/// `PATCH /mirrors/{id}`: pause or resume. Asking for what already is changes nothing. With `If-Match` it is done only
/// while the mirror is as that tag says, and 412 otherwise.
#[utoipa::path(
    patch, path = "/api/v1/mirrors/{id}", operation_id = "changeMirror", tag = "mirrors",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header, description = "The ETag of the state that was seen, or `*`.")),
    request_body = Change,
    responses((status = 200, body = View, headers(("ETag" = String, description = "Of the new state."))), (status = 412))
)]
pub(super) async fn change(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let id = mirror_id(&request)?;
    let seen = IfMatch::read(&request)?;
    let Change { paused } = input::read(&shared, &request, body).await?;
    let applied = shared.store.write(move |c| apply(c, &admin, id, &seen, paused, Utc::now())).await?;
    match applied {
        Applied::Now(mirror) => {
            let view = mirror.view();
            Ok(HttpResponse::Ok().insert_header((ETAG, Tag::of(&view)?.header())).json(view))
        }
        Applied::NoMirror => Err(no_mirror()),
        Applied::Stale => {
            let detail = "the mirror is not as it was when that ETag was given; look at it and decide again";
            Err(Problem::new(StatusCode::PRECONDITION_FAILED, "etag_stale", detail))
        }
    }
}

/// What became of a change.
enum Applied {
    NoMirror,
    Stale,
    Now(Box<Mirror>),
}

fn apply(
    c: &mut Connection,
    admin: &Admin,
    id: MirrorId,
    seen: &IfMatch,
    paused: bool,
    now: DateTime<Utc>,
) -> Result<Applied, StoreError> {
    mirrors::lock(c, id)?;
    let Some(before) = mirrors::find(c, id)? else { return Ok(Applied::NoMirror) };
    if !seen.allows(&Tag::of(&before.view())?) {
        return Ok(Applied::Stale);
    }
    let changed = if paused { mirrors::pause(c, id, now)? } else { mirrors::resume(c, id, now)? };
    let Some(mirror) = mirrors::find(c, id)? else { return Ok(Applied::NoMirror) };
    if changed {
        let action = if paused { "mirror.pause" } else { "mirror.resume" };
        audit::append(c, &admin.did(action, &mirror.name, json!({ "mirror": id })), now)?;
        if mirror.status.is_synced() {
            jobs::enqueue(c, &NewJob::of(JobKind::Sync, id, Priority::ASKED, admin.correlation), now)?;
        }
    }
    Ok(Applied::Now(Box::new(mirror)))
}

#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SyncWish)]
struct Wish {
    /// Delete and overwrite as much as upstream says, this once.
    #[serde(default)]
    allow_mass_delete: bool,
}

/// `POST /mirrors/{id}/sync`: 202 with the job that will do it, which may have waited already. 409 for
/// a mirror that is not synced. The body may say `{"allow_mass_delete": true}`.
#[utoipa::path(
    post, path = "/api/v1/mirrors/{id}/sync", operation_id = "syncMirror", tag = "mirrors",
    params(("id" = Uuid, Path)),
    request_body = Option<Wish>,
    responses((status = 202, body = JobView))
)]
pub(super) async fn sync(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let wish = input::read_or_default(&shared, &request, body).await?;
    ask(&admin, &shared, &request, JobKind::Sync, wish).await
}

/// `POST /mirrors/{id}/verify`: 202 with the job that will compare both sides. 409 for a mirror that
/// has no project to compare with.
#[utoipa::path(
    post, path = "/api/v1/mirrors/{id}/verify", operation_id = "verifyMirror", tag = "mirrors",
    params(("id" = Uuid, Path)),
    responses((status = 202, body = JobView))
)]
pub(super) async fn verify(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    ask(&admin, &shared, &request, JobKind::Verify, Wish::default()).await
}

/// `POST /mirrors/{id}/catalog`: 202 with the job that will look for changes of what git does not carry.
/// 409 for a mirror that is not synced or was never proven.
#[utoipa::path(
    post, path = "/api/v1/mirrors/{id}/catalog", operation_id = "readCatalog", tag = "mirrors",
    params(("id" = Uuid, Path)),
    responses((status = 202, body = JobView))
)]
pub(super) async fn catalog(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    if !shared.metadata {
        return Err(Problem::conflict("catalog_off", "catalogs are switched off; set sync.metadata = true"));
    }
    ask(&admin, &shared, &request, JobKind::Catalog, Wish::default()).await
}

/// What became of a question for a job.
enum Asked {
    NoMirror,
    NotNow(Status),
    NoProject,
    Queued(Box<Job>),
}

async fn ask(
    admin: &Admin,
    shared: &Shared,
    request: &HttpRequest,
    kind: JobKind,
    wish: Wish,
) -> Result<HttpResponse, Problem> {
    Query::read(request, &[])?;
    let (id, admin) = (mirror_id(request)?, admin.clone());
    let asked = shared.store.write(move |c| queue(c, &admin, id, kind, &wish, Utc::now())).await?;
    match asked {
        Asked::Queued(job) => Ok(HttpResponse::Accepted().json(JobView::from(*job))),
        Asked::NoMirror => Err(no_mirror()),
        Asked::NoProject => Err(no_project()),
        Asked::NotNow(status) => {
            let mend = if status == Status::Paused { "resume it" } else { "add it again" };
            let detail = format!("the mirror is {status} and so is not synced; {mend} first");
            Err(Problem::conflict("mirror_not_synced", detail))
        }
    }
}

fn queue(
    c: &mut Connection,
    admin: &Admin,
    id: MirrorId,
    kind: JobKind,
    wish: &Wish,
    now: DateTime<Utc>,
) -> Result<Asked, StoreError> {
    let Some(mirror) = mirrors::find(c, id)? else { return Ok(Asked::NoMirror) };
    match kind {
        JobKind::Verify if mirror.project.is_none() => return Ok(Asked::NoProject),
        JobKind::Sync | JobKind::Catalog if !mirror.status.is_synced() => return Ok(Asked::NotNow(mirror.status)),
        JobKind::Catalog if mirror.first_proof_at.is_none() => return Ok(Asked::NoProject),
        _ => {}
    }
    let job = NewJob::of(kind, id, Priority::ASKED, admin.correlation).allowing_mass_delete(wish.allow_mass_delete);
    let queued = jobs::enqueue(c, &job, now)?;
    if kind == JobKind::Sync && parts::find(c, PartId::wiki(id))?.is_some() {
        // Who asks for a sync asks for all of the mirror.
        jobs::enqueue(c, &NewJob { kind: JobKind::Wiki, ..job }, now)?;
    }
    let mut detail = json!({ "mirror": id, "job": queued.id, "joined": queued.coalesced });
    if let (true, Some(detail)) = (wish.allow_mass_delete, detail.as_object_mut()) {
        detail.insert("allow_mass_delete".to_owned(), true.into());
    }
    audit::append(c, &admin.did(&format!("mirror.{kind}"), &mirror.name, detail), now)?;
    let job = jobs::find(c, queued.id)?.ok_or_else(|| StoreError::Race("the job is gone again".to_owned()))?;
    Ok(Asked::Queued(Box::new(job)))
}

/// There is nothing in OneDev yet.
pub(super) fn no_project() -> Problem {
    Problem::conflict("mirror_without_project", "the mirror has no project in OneDev yet; sync it first")
}
