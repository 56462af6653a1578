//! Which pages of other origins may call the API from a browser: those of `server.cors_origins`, and none by default.
//!
//! No answer ever allows credentials, so the dashboard's cookie is never sent from elsewhere: a page of another origin has
//! to have a token of its own.

use actix_web::HttpResponse;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue,
    ORIGIN, VARY,
};

use super::scopes;

/// The document that a page may want to know the calls from.
const DOCUMENT: &str = "/openapi.json";
/// What a page may call.
const METHODS: &str = "GET, HEAD, POST, PATCH, DELETE";
/// What it may send.
const SENT: &str = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Request-Id";
/// What it may read of an answer's head.
const READ: &str = "Allow, ETag, Idempotency-Replayed, Location, Retry-After, X-Request-Id";
/// How long a browser may remember that. Seconds.
const REMEMBERED: &str = "600";

/// What an answer has to say of origins.
#[derive(Debug, Clone)]
pub(super) enum Cors {
    /// Nothing: nobody configured any, or the path is not for pages.
    Off,
    /// It depends on the origin, and this one may not read it, or there is none.
    Refused,
    /// This origin may read it.
    Allowed(HeaderValue),
}

impl Cors {
    /// For a request. `origins` are exact, as a browser writes them.
    pub(super) fn of(request: &ServiceRequest, origins: &[String]) -> Self {
        let path = request.path().trim_end_matches('/');
        let is_for_pages = path == DOCUMENT
            || path.strip_prefix(scopes::ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if origins.is_empty() || !is_for_pages {
            return Self::Off;
        }
        let mut told = request.headers().get_all(ORIGIN);
        match (told.next(), told.next()) {
            (Some(origin), None) if origins.iter().any(|it| it.as_bytes() == origin.as_bytes()) => {
                Self::Allowed(origin.clone())
            }
            _ => Self::Refused,
        }
    }

    /// The answer to a browser that asks before it calls; others are answered as they would be anyway.
    pub(super) fn preflight(&self, request: &ServiceRequest) -> Option<HttpResponse> {
        let asks = request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || !matches!(self, Self::Allowed(_)) {
            return None;
        }
        let mut answer = HttpResponse::NoContent();
        answer.insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS));
        answer.insert_header((ACCESS_CONTROL_ALLOW_HEADERS, SENT));
        answer.insert_header((ACCESS_CONTROL_MAX_AGE, REMEMBERED));
        Some(answer.finish())
    }

    /// Writes it into an answer.
    pub(super) fn dress(&self, headers: &mut HeaderMap) {
        match self {
            Self::Off => return,
            Self::Refused => {}
            Self::Allowed(origin) => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READ));
            }
        }
        // Whatever keeps answers must not give one origin's to another.
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}
