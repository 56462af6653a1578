//! The queue: looking at jobs, trying dead ones again, calling waiting ones off.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::query::{Query, job_id, no_job};
use super::{ErrorView, List, Paging, page};
use crate::domain::ids::{JobId, MirrorId};
use crate::domain::job::{JobKind, JobState};
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::jobs::{Filter, Job};
use crate::store::{Connection, StoreError, audit, jobs};

/// A durable unit of work in the queue.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
pub(super) struct JobView {
    id: i64,
    kind: JobKind,
    state: JobState,
    mirror: Option<String>,
    priority: i16,
    attempts: u32,
    crashes: u32,
    run_after: DateTime<Utc>,
    lease_until: Option<DateTime<Utc>>,
    correlation_id: String,
    delivery: Option<String>,
    error: Option<ErrorView>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl From<Job> for JobView {
    fn from(it: Job) -> Self {
        Self {
            id: it.id.0,
            kind: it.kind,
            state: it.state,
            mirror: it.mirror.map(|it| it.to_string()),
            priority: it.priority.0,
            attempts: it.attempts,
            crashes: it.crashes,
            run_after: it.run_after,
            lease_until: it.lease_until,
            correlation_id: it.correlation.to_string(),
            delivery: it.delivery,
            error: it.error.map(ErrorView::from),
            created_at: it.created_at,
            updated_at: it.updated_at,
            finished_at: it.finished_at,
        }
    }
}

/// `GET /jobs?state=&kind=&mirror=`: the newest first.
#[utoipa::path(
    get, path = "/api/v1/jobs", operation_id = "listJobs", tag = "jobs",
    params(Paging, ("state" = Option<JobState>, Query), ("kind" = Option<JobKind>, Query), ("mirror" = Option<String>, Query, description = "The id of a mirror.")),
    responses((status = 200, body = List<JobView>))
)]
pub(super) async fn list(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (query, window) = Query::list(&request, &["state", "kind", "mirror"])?;
    let filter = Filter {
        state: query.word("state", &JobState::ALL.map(JobState::as_str))?,
        kind: query.word("kind", &JobKind::ALL.map(JobKind::as_str))?,
        mirror: query.get::<Uuid>("mirror", "it is the id of a mirror")?.map(MirrorId),
    };
    let found = shared.store.read(move |c| jobs::list(c, &filter, &window)).await?;
    Ok(page(found, JobView::from))
}

/// `GET /jobs/{id}`: one job.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}", operation_id = "getJob", tag = "jobs",
    params(("id" = i64, Path)),
    responses((status = 200, body = JobView))
)]
pub(super) async fn one(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let id = job_id(&request)?;
    let job = shared.store.read(move |c| jobs::find(c, id)).await?;
    Ok(HttpResponse::Ok().json(JobView::from(job.ok_or_else(no_job)?)))
}

/// `POST /jobs/{id}/retry`: a dead or cancelled job runs again, with no attempts behind it. 202 with
/// the job that does it: an equal one, if one waits.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/retry", operation_id = "retryJob", tag = "jobs",
    params(("id" = i64, Path)),
    responses((status = 202, body = JobView))
)]
pub(super) async fn retry(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    act(&admin, &shared, &request, Act::Retry).await
}

/// `POST /jobs/{id}/cancel`: a waiting job is called off. 202 with the job.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/cancel", operation_id = "cancelJob", tag = "jobs",
    params(("id" = i64, Path)),
    responses((status = 202, body = JobView))
)]
pub(super) async fn cancel(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    act(&admin, &shared, &request, Act::Cancel).await
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Retry,
    Cancel,
}

async fn act(admin: &Admin, shared: &Shared, request: &HttpRequest, act: Act) -> Result<HttpResponse, Problem> {
    Query::read(request, &[])?;
    let (id, admin) = (job_id(request)?, admin.clone());
    let (before, done) = shared.store.write(move |c| carry_out(c, &admin, id, act)).await?.ok_or_else(no_job)?;
    if let Some(job) = done {
        return Ok(HttpResponse::Accepted().json(JobView::from(job)));
    }
    let rule = match act {
        Act::Retry => "only a dead or cancelled one is tried again",
        Act::Cancel => "only a queued one can be called off",
    };
    Err(Problem::conflict("job_state", format!("the job is {before}; {rule}")))
}

/// The job's state before, and the job after if something was done. `None`: there is no such job.
type Done = Option<(JobState, Option<Job>)>;

fn carry_out(c: &mut Connection, admin: &Admin, id: JobId, act: Act) -> Result<Done, StoreError> {
    let now = Utc::now();
    let Some(before) = jobs::find(c, id)?.map(|it| it.state) else { return Ok(None) };
    let (action, after) = match act {
        Act::Retry => match jobs::retry(c, id, now)? {
            Some(queued) => ("job.retry", jobs::find(c, queued.id)?),
            None => return Ok(Some((before, None))),
        },
        Act::Cancel if before == JobState::Queued => {
            let after = jobs::cancel(c, id, now)?;
            ("job.cancel", after.filter(|it| it.state == JobState::Cancelled))
        }
        Act::Cancel => return Ok(Some((before, None))),
    };
    if let Some(after) = &after {
        let detail = json!({ "kind": after.kind, "mirror": after.mirror, "runs_as": after.id });
        audit::append(c, &admin.did(action, &id, detail), now)?;
    }
    Ok(Some((before, after)))
}
