//! Looking at mirrors.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::page;
use super::query::{Query, mirror_id, no_mirror};
use crate::domain::ids::MirrorId;
use crate::domain::mirror::{Source, Status};
use crate::domain::part::{Part, PartId};
use crate::domain::star_lists::Membership;
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::mirrors::{self, Filter, Mirror};
use crate::store::{parts, star_lists};

/// `GET /mirrors?status=&source=&q=`: in the order in which they became known.
pub(super) async fn list(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (query, window) = Query::list(&request, &["status", "source", "q"])?;
    let filter = Filter {
        status: query.word("status", &Status::ALL.map(Status::as_str))?,
        source: query.word("source", &Source::ALL.map(Source::as_str))?,
        text: query.text("q"),
    };
    let found = shared.store.read(move |c| mirrors::list(c, &filter, &window)).await?;
    Ok(page(found, |it| it.to_json()))
}

/// `GET /mirrors/{id}`.
pub(super) async fn one(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let mirror = find(&shared, mirror_id(&request)?).await?;
    Ok(HttpResponse::Ok().json(mirror.to_json()))
}

/// `GET /mirrors/{id}/wiki`: where the wiki stands; 404 before anybody looked for one.
pub(super) async fn wiki(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let id = PartId::wiki(find(&shared, mirror_id(&request)?).await?.id);
    let wiki = shared.store.read(move |c| parts::find(c, id)).await?;
    Ok(HttpResponse::Ok().json(wiki.ok_or_else(no_wiki)?.to_json()))
}

/// `GET /mirrors/{id}/lists`: the star lists that its upstream is in, of all users; the first of a user first.
pub(super) async fn lists(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let id = find(&shared, mirror_id(&request)?).await?.github_id;
    let lists = shared.store.read(move |c| star_lists::of_repository(c, id)).await?;
    let shown = |it: &Membership| {
        json!({
            "account_id": it.account,
            "place": it.place,
            "name": it.name,
            "slug": it.slug,
            "private": it.private,
            "folder": it.folder,
        })
    };
    let items: Vec<Value> = lists.iter().map(shown).collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items, "next_cursor": null })))
}

/// Nobody looked for a wiki yet.
pub(super) fn no_wiki() -> Problem {
    Problem::not_found("wiki_unknown", "nobody looked for this mirror's wiki yet; sync.wiki may be off")
}

/// The part that a call is about: the code, unless `?part=wiki`.
pub(super) fn part(query: &Query) -> Result<Part, Problem> {
    Ok(query.word("part", &Part::ALL.map(Part::as_str))?.unwrap_or_default())
}

/// One mirror.
///
/// # Errors
/// 404 when there is none.
pub(super) async fn find(shared: &Shared, id: MirrorId) -> Result<Mirror, Problem> {
    shared.store.read(move |c| mirrors::find(c, id)).await?.ok_or_else(no_mirror)
}
