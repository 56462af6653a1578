//! The catalog of a mirror: how far it is, what it holds, what ails it.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::Utc;
use serde_json::{Map, Value, json};

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

/// `GET /mirrors/{id}/catalog`: `state` is `off`, `waiting` (before the first round), `reading` (a round is
/// open), `level` or `error`.
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
    let counts: Map<String, Value> = counts.into_iter().map(|(kind, it)| (kind.to_string(), it.into())).collect();
    Ok(HttpResponse::Ok().json(json!({
        "state": state(&known, shared.metadata),
        "ref": known.ref_name,
        "tip": known.tip,
        "commits": known.commits,
        "items": counts,
        "waiting": waiting,
        "files": {
            "stored": files.0,
            "missing": files.1,
            "reasons": troubles.iter().map(|(name, why)| json!({ "name": name, "reason": why })).collect::<Vec<_>>(),
        },
        "last_looked_at": known.looked_at,
        "last_changed_at": known.changed_at,
        "last_swept_at": known.swept_at,
        "next_at": known.next_at,
        "feeds": visits.iter().map(feed).collect::<Vec<_>>(),
        "error": known.error.map(|it| json!({ "code": it.code, "message": it.message, "since": it.since })),
    })))
}

/// `DELETE /mirrors/{id}/catalog`: forgets what the database knows of it; 202 with the job that reads everything
/// anew. What stands in OneDev stays, and its history goes on.
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
    Ok(HttpResponse::Accepted().json(json!({ "job": queued.await?.id })))
}

fn state(known: &Catalog, on: bool) -> &'static str {
    match known {
        _ if !on => "off",
        Catalog { error: Some(_), .. } => "error",
        Catalog { round_open: true, .. } => "reading",
        Catalog { looked_at: None, .. } => "waiting",
        Catalog { .. } => "level",
    }
}

fn feed(visit: &Visit) -> Value {
    json!({
        "feed": visit.feed.as_str(),
        "reading": visit.wanted,
        "known_until": visit.since,
        "page": visit.page,
        "last_read_at": visit.done_at,
        "problem": visit.problem,
    })
}
