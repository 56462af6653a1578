//! The OpenAPI document, made of what the handlers and the shapes say of themselves: `/openapi.json`.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use serde_json::Value;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

use super::problem::Document;
use super::{api, dashboard, docs, health, polish, scrape, sign_in, webhook};

/// The name of the one way to prove who asks.
pub(super) const BEARER: &str = "bearer";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "starkeep",
        description = "Star a repository on GitHub and it is kept, whole and for good, on your own OneDev server. \
            Times are RFC 3339 in UTC; errors are problem documents (RFC 9457); every answer has an `X-Request-Id`. \
            Every path answers with and without a final slash."
    ),
    paths(
        webhook::receive,
        health::alive,
        health::ready,
        scrape::metrics,
        shown,
        docs::page,
        dashboard::page,
        sign_in::show,
        sign_in::open,
        sign_in::close,
        sign_in::first
    ),
    components(schemas(Document))
)]
struct Public;

static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// The document: every call that is answered, with all that it takes and gives.
pub fn document() -> Value {
    let mut all = Public::openapi();
    all.merge(api::described());
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description =
        Some("The admin token, or an API key or a token of `admin.jwt` with the scope that the call names.".to_owned());
    all.components.get_or_insert_default().add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    polish::polished(serde_json::json!(all))
}

/// `GET /openapi.json`: this document.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "docs",
    responses((status = 200, body = Object)))]
pub(super) async fn shown() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(TEXT.as_str())
}
