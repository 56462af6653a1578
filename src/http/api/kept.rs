//! A kept ref becomes a branch in OneDev.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::change::no_project;
use super::input;
use super::mirrors::find;
use super::query::{Query, mirror_id};
use crate::domain::refs::RefName;
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::stages::failure::Failure;
use crate::stages::messages::{Revive, TwoSides};
use crate::store::audit;
use crate::store::kept::{self, KeptId};

/// How long a place in the stage that does it is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The whole of it.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewBranch)]
struct Wanted {
    /// Its name, without `refs/heads/`.
    branch: String,
}

/// A branch that was made of a kept ref.
#[derive(Serialize, ToSchema)]
#[schema(as = Branch)]
struct BranchView {
    branch: String,
    commit: String,
    kept_ref: String,
}

/// `POST /mirrors/{id}/kept/{kept}/branch` `{"branch": "name"}`: 201 with the branch, which is foreign from
/// then on: no sync touches it. 409 for a name that upstream or the project has.
#[utoipa::path(
    post, path = "/api/v1/mirrors/{id}/kept/{kept}/branch", operation_id = "branchKept", tag = "mirrors",
    params(("id" = Uuid, Path), ("kept" = i64, Path, description = "The id of the kept ref.")),
    request_body = Wanted,
    responses((status = 201, body = BranchView), (status = 502))
)]
pub(super) async fn branch(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let mirror = find(&shared, mirror_id(&request)?).await?;
    let Wanted { branch } = input::read(&shared, &request, body).await?;
    let branch =
        RefName::of_branch(&branch).map_err(|error| Problem::bad_request("branch_malformed", error.to_string()))?;
    let id = request.match_info().get("kept").and_then(|it| it.parse().ok()).map(KeptId).ok_or_else(no_kept)?;
    let whose = mirror.id;
    let kept = shared.store.read(move |c| kept::find(c, whose, id)).await?.ok_or_else(no_kept)?;
    let sides = TwoSides::of(&mirror).ok_or_else(no_project)?;
    let message = Revive { mirror: whose, sides, kept: kept.clone(), branch: branch.clone() };
    let late = |_| {
        Problem::unavailable("onedev_slow", "GitHub or OneDev did not answer in time; look and try again", PATIENCE)
    };
    let asked = tokio::time::timeout(LIMIT, shared.stages.transfer.ask(message, PATIENCE)).await;
    let commit = asked.map_err(late)??.map_err(told)?;
    let detail = json!({ "mirror": whose, "kept_ref": kept.kept_ref, "branch": branch, "commit": commit });
    let entry = admin.did("kept.branch", &mirror.name, detail);
    shared.store.write(move |c| audit::append(c, &entry, Utc::now())).await?;
    let branch = branch.branch().unwrap_or_default().to_owned();
    let made = BranchView { branch, commit: commit.to_string(), kept_ref: kept.kept_ref.to_string() };
    Ok(HttpResponse::Created().json(made))
}

/// What is refused for the caller's own choice is a conflict, not a fault.
fn told(failure: Failure) -> Problem {
    let theirs = ["branch_", "kept_"].iter().any(|it| failure.code.starts_with(it));
    if theirs { Problem::conflict(failure.code, failure.message) } else { failure.into() }
}

/// There is no such kept ref.
fn no_kept() -> Problem {
    Problem::not_found("kept_not_found", "the mirror has no kept ref of this id")
}
