//! `/docs`: a page on which every call can be tried. It is one answer and asks for nothing but `/openapi.json` and
//! the calls themselves; its script and its style are allowed by their hashes, and nothing else is.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_SECURITY_POLICY;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const PAGE: &str = include_str!("docs/page.html");
const SCRIPT: &str = include_str!("docs/page.js");
const STYLE: &str = include_str!("docs/page.css");

static WHOLE: LazyLock<String> = LazyLock::new(|| PAGE.replace("{script}", SCRIPT).replace("{style}", STYLE));
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
});

/// `GET /docs`: a page to try the calls, which asks for nothing from outside.
#[utoipa::path(get, path = "/docs", operation_id = "docs", tag = "docs",
    responses((status = 200, body = String, content_type = "text/html")))]
pub(super) async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, POLICY.as_str()))
        .body(WHOLE.as_str())
}
