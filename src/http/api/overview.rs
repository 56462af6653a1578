//! Everything at a glance, in numbers: what the dashboard begins with.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::query::Query;
use crate::domain::job::{JobKind, JobState};
use crate::domain::mirror::Status;
use crate::domain::rate::Standing;
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::{Connection, StoreError, jobs, mirrors, rates};

/// `GET /overview`: how many mirrors and jobs there are in which state, and what GitHub still allows.
#[utoipa::path(
    get, path = "/api/v1/overview", operation_id = "showOverview", tag = "overview",
    responses((status = 200, body = OverviewView))
)]
pub(super) async fn show(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let view = shared.store.read(read).await?;
    Ok(HttpResponse::Ok().json(view))
}

fn read(c: &mut Connection) -> Result<OverviewView, StoreError> {
    let counts = mirrors::counts_by_status(c)?;
    let of = |status: Status| (status.as_str().to_owned(), counts.get(&status).copied().unwrap_or_default());
    let job = |((kind, state), count): ((JobKind, JobState), u64)| JobsView {
        kind: kind.as_str().to_owned(),
        state: state.as_str().to_owned(),
        count,
    };
    Ok(OverviewView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mirrors: Status::ALL.map(of).into(),
        jobs: jobs::counts(c)?.into_iter().map(job).collect(),
        oldest_verification_at: mirrors::oldest_verification(c)?,
        allowances: rates::load(c)?.into_iter().map(AllowanceView::from).collect(),
    })
}

/// All of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Overview)]
struct OverviewView {
    /// Of the program.
    version: String,
    /// How many there are of each status.
    mirrors: BTreeMap<String, u64>,
    /// How many there are, where there are any.
    jobs: Vec<JobsView>,
    /// When the mirror was proven whose proof is the oldest.
    oldest_verification_at: Option<DateTime<Utc>>,
    allowances: Vec<AllowanceView>,
}

/// Jobs of one kind in one state.
#[derive(Serialize, ToSchema)]
#[schema(as = JobCount)]
struct JobsView {
    kind: String,
    state: String,
    count: u64,
}

/// What GitHub allows one credential, as it said last.
#[derive(Serialize, ToSchema)]
#[schema(as = Allowance)]
struct AllowanceView {
    /// A word for it that does not give it away.
    credential: String,
    /// `core`, `graphql` and the like; `all` of a pause of everything.
    resource: String,
    limit: Option<u32>,
    remaining: Option<u32>,
    resets_at: Option<DateTime<Utc>>,
    /// Nothing is asked before this.
    closed_until: Option<DateTime<Utc>>,
}

impl From<Standing> for AllowanceView {
    fn from(it: Standing) -> Self {
        Self {
            credential: it.credential,
            resource: it.resource.map_or("all", |it| it.as_str()).to_owned(),
            limit: it.window.map(|it| it.limit),
            remaining: it.window.map(|it| it.remaining),
            resets_at: it.window.map(|it| it.resets_at),
            closed_until: it.closed_until,
        }
    }
}
