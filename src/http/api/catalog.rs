//! The catalog of a mirror: how far it is, what it holds, what ails it.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use super::mirrors::find;
use super::query::{Query, mirror_id};
use crate::domain::catalog::Visit;
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::catalog::{self, Catalog, feeds, items, todo};

/// `GET /mirrors/{id}/catalog`: `state` is `off`, `waiting` (before the first round), `reading` (a round is
/// open), `level` or `error`.
pub(super) async fn show(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let mirror = find(&shared, mirror_id(&request)?).await?;
    let (known, visits, counts, waiting) = shared
        .store
        .read(move |c| {
            let known = catalog::find(c, mirror.id)?.unwrap_or_default();
            Ok((known, feeds::load(c, mirror.id)?, items::counts(c, mirror.id)?, todo::count(c, mirror.id)?))
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
        "last_looked_at": known.looked_at,
        "last_changed_at": known.changed_at,
        "last_swept_at": known.swept_at,
        "next_at": known.next_at,
        "feeds": visits.iter().map(feed).collect::<Vec<_>>(),
        "error": known.error.map(|it| json!({ "code": it.code, "message": it.message, "since": it.since })),
    })))
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
