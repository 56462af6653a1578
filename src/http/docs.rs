//! `/docs`: a page on which every call can be tried. It asks for nothing but `/openapi.json` and the calls themselves.

use std::sync::LazyLock;

use actix_web::HttpResponse;

use super::page::Page;

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    Page::new(include_str!("docs/page.html"), include_str!("docs/page.css"), include_str!("docs/page.js"))
});

/// `GET /docs`: a page to try the calls, which asks for nothing from outside.
#[utoipa::path(get, path = "/docs", operation_id = "docs", tag = "docs",
    responses((status = 200, body = String, content_type = "text/html")))]
pub(super) async fn page() -> HttpResponse {
    PAGE.answer()
}
