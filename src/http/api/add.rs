//! A mirror that somebody asks for by name.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::input;
use super::query::Query;
use crate::domain::event::Subject;
use crate::domain::job::{JobKind, Priority};
use crate::domain::mirror::Source;
use crate::domain::repository::{Repository, RepositoryName};
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::stages::messages::Describe;
use crate::store::jobs::NewJob;
use crate::store::mirrors::{Mirror, View};
use crate::store::{Connection, StoreError, audit, jobs, mirrors};

/// How long GitHub's answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The whole question, GitHub's answer included.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMirror)]
struct Wanted {
    /// `OWNER/NAME` at GitHub.
    #[schema(value_type = String, max_length = 140, examples("octocat/hello-world"))]
    repository: RepositoryName,
}

/// `POST /mirrors`: 201 with a new mirror, 200 with the one that was there. Either way it is synced
/// next, unless it is paused.
#[utoipa::path(
    post, path = "/api/v1/mirrors", operation_id = "addMirror", tag = "mirrors",
    request_body = Wanted,
    responses((status = 201, body = View), (status = 200, body = View), (status = 404), (status = 502))
)]
pub(super) async fn add(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let Wanted { repository } = input::read(&shared, &request, body).await?;
    // Always asked: only GitHub knows which upstream has the name now.
    let asked = tokio::time::timeout(LIMIT, shared.stages.describe.ask(Describe::Name(repository), PATIENCE)).await;
    let late = |_| Problem::unavailable("github_slow", "GitHub did not answer in time; come again", PATIENCE);
    let found = asked.map_err(late)???;
    let (mirror, made) = shared.store.write(move |c| keep(c, &admin, &found, Utc::now())).await?;
    let mut answer = if made { HttpResponse::Created() } else { HttpResponse::Ok() };
    if made {
        answer.insert_header(("Location", format!("/api/v1/mirrors/{}", mirror.id)));
    }
    Ok(answer.json(mirror.view()))
}

fn keep(
    c: &mut Connection,
    admin: &Admin,
    found: &Repository,
    now: DateTime<Utc>,
) -> Result<(Mirror, bool), StoreError> {
    let subject = Subject { id: found.id, name: found.name.clone() };
    let (mirror, made) = mirrors::ensure(c, &subject, Source::Manual, now)?;
    mirrors::set_description(c, mirror.id, found, now)?;
    // Somebody wants it again although the star was taken back.
    let woken = mirrors::restar(c, mirror.id, now)?;
    if woken || mirror.status.is_synced() {
        let job = NewJob::of(JobKind::Sync, mirror.id, Priority::ASKED, admin.correlation);
        jobs::enqueue(c, &job, now)?;
    }
    let detail = json!({ "made": made, "woken": woken, "mirror": mirror.id });
    audit::append(c, &admin.did("mirror.add", &found.name, detail), now)?;
    let mirror = mirrors::find(c, mirror.id)?;
    Ok((mirror.ok_or_else(|| StoreError::Race("the mirror was forgotten meanwhile".to_owned()))?, made))
}
