//! The audit log: who did what, when, to what, with what outcome.

use actix_web::{HttpRequest, HttpResponse, web};

use super::query::Query;
use super::{List, Paging, page};
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::audit::{self, EntryView, Filter};

/// `GET /audit?actor=&action=&subject=`: the newest first.
#[utoipa::path(
    get, path = "/api/v1/audit", operation_id = "listAudit", tag = "audit",
    params(Paging, ("actor" = Option<String>, Query, max_length = 512), ("action" = Option<String>, Query, max_length = 512), ("subject" = Option<String>, Query, max_length = 512)),
    responses((status = 200, body = List<EntryView>))
)]
pub(super) async fn list(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (query, window) = Query::list(&request, &["actor", "action", "subject"])?;
    let filter = Filter { actor: query.text("actor"), action: query.text("action"), subject: query.text("subject") };
    let found = shared.store.read(move |c| audit::list(c, &filter, &window)).await?;
    Ok(page(found, |it| it.view()))
}
