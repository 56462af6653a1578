//! Looking at mirrors.

use actix_web::http::header::ETAG;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::etag::{IfNoneMatch, Tag};
use super::query::{Query, mirror_id, no_mirror};
use super::{List, Paging, page, whole};
use crate::domain::ids::MirrorId;
use crate::domain::mirror::{Source, Status};
use crate::domain::part::{Part, PartId};
use crate::domain::star_lists::Membership;
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::mirrors::{self, Filter, Mirror, View};
use crate::store::parts::{self, PartView};
use crate::store::star_lists;

/// `GET /mirrors?status=&source=&q=`: in the order in which they became known.
#[utoipa::path(
    get, path = "/api/v1/mirrors", operation_id = "listMirrors", tag = "mirrors",
    params(Paging, ("status" = Option<Status>, Query), ("source" = Option<Source>, Query), ("q" = Option<String>, Query, description = "A part of the name.", max_length = 512)),
    responses((status = 200, body = List<View>))
)]
pub(super) async fn list(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (query, window) = Query::list(&request, &["status", "source", "q"])?;
    let filter = Filter {
        status: query.word("status", &Status::ALL.map(Status::as_str))?,
        source: query.word("source", &Source::ALL.map(Source::as_str))?,
        text: query.text("q"),
    };
    let found = shared.store.read(move |c| mirrors::list(c, &filter, &window)).await?;
    Ok(page(found, |it| it.view()))
}

/// `GET /mirrors/{id}`: one mirror. 304 while it is as the tag in `If-None-Match` says.
#[utoipa::path(
    get, path = "/api/v1/mirrors/{id}", operation_id = "getMirror", tag = "mirrors",
    params(("id" = Uuid, Path), ("If-None-Match" = Option<String>, Header, description = "The ETag of an answer before.")),
    responses((status = 200, body = View, headers(("ETag" = String, description = "Of this state."))), (status = 304))
)]
pub(super) async fn one(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let known = IfNoneMatch::read(&request)?;
    let view = find(&shared, mirror_id(&request)?).await?.view();
    let tag = Tag::of(&view)?;
    if known.has(&tag) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, tag.header())).finish());
    }
    Ok(HttpResponse::Ok().insert_header((ETAG, tag.header())).json(view))
}

/// `GET /mirrors/{id}/wiki`: where the wiki stands; 404 before anybody looked for one.
#[utoipa::path(
    get, path = "/api/v1/mirrors/{id}/wiki", operation_id = "getWiki", tag = "mirrors",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = PartView))
)]
pub(super) async fn wiki(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let id = PartId::wiki(find(&shared, mirror_id(&request)?).await?.id);
    let wiki = shared.store.read(move |c| parts::find(c, id)).await?;
    Ok(HttpResponse::Ok().json(wiki.ok_or_else(no_wiki)?.view()))
}

/// `GET /mirrors/{id}/lists`: the star lists that its upstream is in, of all users; the first of a user first.
#[utoipa::path(
    get, path = "/api/v1/mirrors/{id}/lists", operation_id = "listStarLists", tag = "mirrors",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = List<MembershipView>))
)]
pub(super) async fn lists(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Query::read(&request, &[])?;
    let id = find(&shared, mirror_id(&request)?).await?.github_id;
    let lists = shared.store.read(move |c| star_lists::of_repository(c, id)).await?;
    Ok(whole(lists.into_iter().map(MembershipView::from)))
}

/// A star list that an upstream is in.
#[derive(Serialize, ToSchema)]
#[schema(as = Membership)]
struct MembershipView {
    /// GitHub's numeric id of the user whose list it is.
    account_id: i64,
    /// Its place on the user's page, from 0.
    place: i32,
    name: String,
    slug: String,
    /// Shown to its owner alone.
    private: bool,
    /// What stands for it in the path of a project.
    folder: String,
}

impl From<Membership> for MembershipView {
    fn from(it: Membership) -> Self {
        let Membership { account, place, name, slug, private, folder } = it;
        Self { account_id: account.0, place, name, slug, private, folder }
    }
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
