//! Pages: one answer each, which asks for nothing from outside. Their script and their style are allowed by their
//! hashes, and nothing else is.

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_SECURITY_POLICY;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// A page that is put together.
pub(super) struct Page {
    whole: String,
    policy: String,
}

impl Page {
    /// Of a text with `{style}` and `{script}` in it.
    pub(super) fn new(text: &str, style: &str, script: &str) -> Self {
        let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
        let policy = format!(
            "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
            hash(script),
            hash(style)
        );
        Self { whole: text.replace("{style}", style).replace("{script}", script), policy }
    }

    /// The answer.
    pub(super) fn answer(&'static self) -> HttpResponse {
        HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .insert_header((CONTENT_SECURITY_POLICY, self.policy.as_str()))
            .body(self.whole.as_str())
    }
}
