//! Forgetting a mirror, with or without its project.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde_json::json;
use utoipa::ToSchema;

use super::query::{Query, mirror_id, no_mirror};
use crate::domain::ids::MirrorId;
use crate::domain::job::JobState;
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::stages::messages::{Remove, TidyCaches};
use crate::store::mirrors::Mirror;
use crate::store::{Connection, StoreError, Window, audit, jobs, mirrors};

/// How long a place in the stage that deletes projects is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The whole deletion.
const LIMIT: Duration = Duration::from_secs(60);

/// What becomes of the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
enum Fate {
    Keep,
    Delete,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Keep { "keep" } else { "delete" })
    }
}

impl FromStr for Fate {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::Keep, Self::Delete].into_iter().find(|it| it.to_string() == word).ok_or(())
    }
}

/// `DELETE /mirrors/{id}?project=keep|delete`: 204. Without a word the project is kept. While a job of
/// the mirror runs, its project is not deleted: 409.
#[utoipa::path(
    delete, path = "/api/v1/mirrors/{id}", operation_id = "forgetMirror", tag = "mirrors",
    params(("id" = Uuid, Path), ("project" = inline(Option<Fate>), Query)),
    responses((status = 204), (status = 502))
)]
pub(super) async fn forget(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let query = Query::read(&request, &["project"])?;
    let fate = query.word("project", &["keep", "delete"])?.unwrap_or(Fate::Keep);
    let id = mirror_id(&request)?;
    match fate {
        Fate::Keep => {
            let known = shared.store.write(move |c| drop_mirror(c, &admin, id, Utc::now())).await?;
            if !known {
                return Err(no_mirror());
            }
        }
        Fate::Delete => delete(&shared, admin, id).await?,
    }
    // A copy that somebody fetches into just now is not waited for long; what is missed goes at the next start.
    let transfer = shared.stages.transfer.clone();
    let tidied = actix_web::rt::spawn(async move { transfer.ask(TidyCaches, LIMIT).await });
    if let Ok(Ok(Ok(Err(error)))) = tokio::time::timeout(PATIENCE, tidied).await {
        tracing::warn!(code = error.code, "a copy could not be thrown away: {}", error.message);
    }
    Ok(HttpResponse::NoContent().finish())
}

fn drop_mirror(c: &mut Connection, admin: &Admin, id: MirrorId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let Some(mirror) = mirrors::find(c, id)? else { return Ok(false) };
    audit::append(c, &entry(admin, &mirror, Fate::Keep, "ok"), now)?;
    mirrors::delete(c, id)
}

/// What was found before anything is deleted.
enum Found {
    Nothing,
    Busy,
    Held { mirror: Box<Mirror>, paused: bool },
}

/// First the mirror is held, so that no job that starts now makes the project anew.
async fn delete(shared: &Shared, admin: Admin, id: MirrorId) -> Result<(), Problem> {
    let (mirror, paused) = match shared.store.write(move |c| hold(c, id, Utc::now())).await? {
        Found::Nothing => return Err(no_mirror()),
        Found::Busy => {
            let detail = "a job of this mirror is running; try again when it has ended, or pause the mirror first";
            return Err(Problem::conflict("mirror_busy", detail));
        }
        Found::Held { mirror, paused } => (*mirror, paused),
    };
    let removed = remove(shared, mirror.clone()).await;
    let outcome = removed.as_ref().map_or_else(Problem::code, |()| "ok");
    let entry = entry(&admin, &mirror, Fate::Delete, outcome);
    let failed = removed.is_err();
    let noted = shared.store.write(move |c| {
        if failed && paused {
            mirrors::resume(c, id, Utc::now())?;
        }
        audit::append(c, &entry, Utc::now())
    });
    let noted = noted.await;
    removed?;
    Ok(noted?)
}

fn hold(c: &mut Connection, id: MirrorId, now: DateTime<Utc>) -> Result<Found, StoreError> {
    let running = jobs::Filter { state: Some(JobState::Running), mirror: Some(id), kind: None };
    if !jobs::list(c, &running, &Window::default())?.items.is_empty() {
        return Ok(Found::Busy);
    }
    let paused = mirrors::pause(c, id, now)?;
    let mirror = mirrors::find(c, id)?;
    Ok(mirror.map_or(Found::Nothing, |it| Found::Held { mirror: Box::new(it), paused }))
}

async fn remove(shared: &Shared, mirror: Mirror) -> Result<(), Problem> {
    let late = |_| Problem::unavailable("onedev_slow", "OneDev did not answer in time; look and try again", PATIENCE);
    let asked = shared.stages.ensure.ask(Remove { mirror }, PATIENCE);
    Ok(tokio::time::timeout(LIMIT, asked).await.map_err(late)???)
}

fn entry(admin: &Admin, mirror: &Mirror, fate: Fate, outcome: &str) -> audit::NewEntry {
    let path = mirror.project.as_ref().map(|it| &it.path);
    let detail =
        json!({ "mirror": mirror.id, "github_id": mirror.github_id, "path": path, "project": fate.to_string() });
    audit::NewEntry { outcome: outcome.to_owned(), ..admin.did("mirror.forget", &mirror.name, detail) }
}
