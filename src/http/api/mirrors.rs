//! Looking at mirrors.

use actix_web::{HttpRequest, HttpResponse, web};

use super::page;
use super::query::{Query, mirror_id, no_mirror};
use crate::domain::ids::MirrorId;
use crate::domain::mirror::{Source, Status};
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::mirrors::{self, Filter, Mirror};

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

/// One mirror.
///
/// # Errors
/// 404 when there is none.
pub(super) async fn find(shared: &Shared, id: MirrorId) -> Result<Mirror, Problem> {
    shared.store.read(move |c| mirrors::find(c, id)).await?.ok_or_else(no_mirror)
}
