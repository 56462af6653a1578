//! Many repositories at once: every star of a user, or a list of names.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::Utc;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::query::Query;
use super::{input, once};
use crate::domain::listing::What;
use crate::domain::repository::RepositoryName;
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::stages::listing::Identify;
use crate::store::listings::{self, BatchView, Listing, NewBatch};
use crate::store::{Connection, StoreError, audit};

/// How long GitHub's answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The whole question, GitHub's answer included.
const LIMIT: Duration = Duration::from_secs(30);
/// Names in one batch at most.
const MOST_NAMES: usize = 500;

/// Either a user, all of whose stars are meant, or names.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewBatch)]
struct Wish {
    /// A login.
    #[schema(max_length = 39, examples("octocat"))]
    starred_by: Option<String>,
    /// `OWNER/NAME` each.
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 500)]
    repositories: Option<Vec<RepositoryName>>,
    /// Only say what it would come to.
    #[serde(default)]
    dry_run: bool,
}

/// `POST /batches`: 202 with the batch. The same `Idempotency-Key` again gives the same batch.
#[utoipa::path(
    post, path = "/api/v1/batches", operation_id = "askBatch", tag = "batches",
    request_body = Wish,
    responses((status = 202, body = BatchView), (status = 404), (status = 422), (status = 502))
)]
pub(super) async fn ask(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let key = once::key(&request)?;
    let wish: Wish = input::read(&shared, &request, body).await?;
    let dry_run = wish.dry_run;
    let wanted = wanted(wish)?;
    if let What::Stars { user } = &wanted {
        check_user(&shared, user).await?;
    }
    let id = Uuid::now_v7().to_string();
    let new = NewBatch { id, wanted: wanted.clone(), dry_run, key, correlation: admin.correlation };
    let batch = shared.store.write(move |c| note(c, &admin, &new)).await?;
    if batch.wanted != wanted || batch.dry_run != dry_run {
        let detail = "this Idempotency-Key was used for another batch; choose a new one for this one";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail));
    }
    shared.store.wake();
    let place = format!("/api/v1/batches/{}", batch.id);
    let bounds = shared.bounds;
    let shown = shared.store.read(move |c| listings::view(c, &batch, bounds)).await?;
    Ok(HttpResponse::Accepted().insert_header(("Location", place)).json(shown))
}

/// `GET /batches/{id}`: how far it is.
#[utoipa::path(
    get, path = "/api/v1/batches/{id}", operation_id = "getBatch", tag = "batches",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = BatchView))
)]
pub(super) async fn one(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let unknown = || Problem::not_found("batch_unknown", "there is no batch of this id");
    let id: Uuid = request.match_info().query("id").parse().map_err(|_| unknown())?;
    let (id, bounds) = (id.to_string(), shared.bounds);
    let found = shared
        .store
        .read(move |c| match listings::find(c, &id)? {
            Some(batch) => listings::view(c, &batch, bounds).map(Some),
            None => Ok(None),
        })
        .await?;
    Ok(HttpResponse::Ok().json(found.ok_or_else(unknown)?))
}

fn note(c: &mut Connection, admin: &Admin, new: &NewBatch) -> Result<Listing, StoreError> {
    let now = Utc::now();
    let (batch, made) = listings::ask(c, new, now)?;
    if made {
        let detail = json!({ "wanted": new.wanted, "dry_run": new.dry_run });
        audit::append(c, &admin.did("batch.ask", &batch.id, detail), now)?;
    }
    Ok(batch)
}

fn wanted(wish: Wish) -> Result<What, Problem> {
    let refused = |detail: &str| Err(Problem::bad_request("body_malformed", detail));
    match (wish.starred_by, wish.repositories) {
        (Some(user), None) if What::is_login(&user) => Ok(What::Stars { user }),
        (Some(_), None) => refused("starred_by is a login: at most 39 letters, digits, `-` and `_`"),
        (None, Some(names)) if (1..=MOST_NAMES).contains(&names.len()) => Ok(What::Names { names }),
        (None, Some(_)) => refused("repositories are 1 to 500 names"),
        _ => refused("give either starred_by or repositories"),
    }
}

/// A user who does not exist is told at once.
async fn check_user(shared: &Shared, login: &str) -> Result<(), Problem> {
    let question = shared.stages.listing.ask(Identify { login: login.to_owned() }, PATIENCE);
    let late = |_| Problem::unavailable("github_slow", "GitHub did not answer in time; come again", PATIENCE);
    match tokio::time::timeout(LIMIT, question).await.map_err(late)?? {
        Ok(_) => Ok(()),
        Err(failure) if failure.code == "github_no_user" => {
            Err(Problem::not_found("github_no_user", format!("GitHub has no user `{login}`")))
        }
        Err(failure) => Err(failure.into()),
    }
}
