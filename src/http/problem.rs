//! The one place where errors become HTTP: every error that leaves this server is a problem document
//! (RFC 9457, `application/problem+json`).
//!
//! Handlers fail with a [`Problem`]; [`super::shell`] renders it, since only there the request's
//! correlation id is known, and writes the cause of a 5xx to the log, once.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::request_id::RequestIds;
use crate::domain::retry::Retry;
use crate::stages::failure::{Failure, Verdict};
use crate::stages::pool::Unanswered;
use crate::store::StoreError;
use crate::webhook::headers::HeaderError;
use crate::webhook::payload::PayloadError;
use crate::webhook::signature::SignatureError;

/// The media type of every error.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";
/// What a caller is told to wait when nothing better is known.
const PAUSE: Duration = Duration::from_secs(5);

/// An error as the caller is told it.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: StatusCode,
    /// A short stable word: the last part of `type`.
    code: &'static str,
    /// For people: what is wrong, and the mend.
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Further members of the document.
    more: Map<String, Value>,
    /// For the log only.
    cause: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, code, detail, headers: Vec::new(), more: Map::new(), cause: None }
    }

    pub(super) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(super) fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub(super) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    pub(super) fn unavailable(code: &'static str, detail: impl Into<String>, pause: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).after(pause)
    }

    pub(super) fn unauthorized(code: &'static str, detail: impl Into<String>) -> Self {
        let challenge = HeaderValue::from_static("Bearer realm=\"starkeep\"");
        Self::new(StatusCode::UNAUTHORIZED, code, detail).header(WWW_AUTHENTICATE, challenge)
    }

    pub(super) fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 429.
    pub(super) fn too_many(code: &'static str, detail: impl Into<String>, pause: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail).after(pause)
    }

    /// Nobody knows why; `cause` goes to the log only.
    pub(super) fn internal(cause: impl Into<String>) -> Self {
        let detail = "starkeep failed over this request; its log has the reason beside the correlation id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).because(cause)
    }

    /// What a status alone says: errors that were made below the handlers.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => ("not_found", "there is nothing under this path"),
            StatusCode::METHOD_NOT_ALLOWED => {
                ("method_not_allowed", "this path does not take this method; Allow names those it takes")
            }
            StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "the body is larger than is taken here"),
            StatusCode::REQUEST_TIMEOUT => ("request_timeout", "the request did not arrive in time"),
            it if it.is_client_error() => ("bad_request", "the request is not one that is understood here"),
            _ => return Self { status, ..Self::internal(status.to_string()) },
        };
        Self::new(status, code, detail)
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// When to come again: whole seconds, at least one.
    pub(super) fn after(self, pause: Duration) -> Self {
        let seconds = pause.as_millis().div_ceil(1000).clamp(1, 86_400);
        match HeaderValue::from_str(&seconds.to_string()) {
            Ok(value) => self.header(RETRY_AFTER, value),
            Err(_) => self,
        }
    }

    pub(super) fn allowing(self, allow: Option<HeaderValue>) -> Self {
        match allow {
            Some(allow) => self.header(ALLOW, allow),
            None => self,
        }
    }

    /// With a further member in the document.
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    pub(super) fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// What goes to the log and to nobody else.
    pub(super) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The answer.
    pub(super) fn response(&self, ids: &RequestIds) -> HttpResponse {
        let document = Document {
            kind: format!("urn:starkeep:problem:{}", self.code),
            title: title(self.code),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            correlation_id: ids.correlation.0,
        };
        let mut document = json!(document);
        if let Some(members) = document.as_object_mut() {
            members.extend(self.more.clone());
        }
        let mut builder = HttpResponse::build(self.status);
        builder.insert_header((CONTENT_TYPE, MEDIA_TYPE));
        for (name, value) in &self.headers {
            builder.insert_header((name.clone(), value.clone()));
        }
        builder.body(document.to_string())
    }
}

/// What went wrong (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document {
    /// `urn:starkeep:problem:` and a stable word, which the runbook explains.
    #[serde(rename = "type")]
    #[schema(pattern = "^urn:starkeep:problem:[a-z0-9_]+$")]
    kind: String,
    title: String,
    status: u16,
    /// For people: what is wrong, and the mend.
    detail: String,
    /// Stands beside it in the log.
    correlation_id: Uuid,
}

/// `signature_missing` becomes `Signature missing`.
fn title(code: &str) -> String {
    let mut letters = code.chars().map(|it| if it == '_' { ' ' } else { it });
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    /// Only seen if something goes wrong outside [`super::shell`], which renders it anew.
    fn error_response(&self) -> HttpResponse {
        self.response(&RequestIds::made())
    }
}

impl From<SignatureError> for Problem {
    fn from(error: SignatureError) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error.code(), error.to_string())
    }
}

impl From<HeaderError> for Problem {
    fn from(error: HeaderError) -> Self {
        let status = match error {
            HeaderError::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            HeaderError::Missing(_) | HeaderError::Event | HeaderError::Delivery => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.code(), error.to_string())
    }
}

impl From<PayloadError> for Problem {
    fn from(error: PayloadError) -> Self {
        Self::bad_request(error.code(), error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Cursor => Self::bad_request(error.code(), error.to_string()),
            StoreError::Conflict(_) => {
                Self::conflict(error.code(), "somebody else changed the same thing; look and try again")
            }
            StoreError::Unavailable(_) | StoreError::Busy(_) | StoreError::Race(_) => database_away(&error.to_string()),
            _ => Self::internal(error.to_string()),
        }
    }
}

/// The database's own words name hosts and files, so they stay in the log.
fn database_away(cause: &str) -> Problem {
    let detail = "the database cannot take or give anything at present; come again";
    Problem::unavailable("database_unavailable", detail, PAUSE).because(cause)
}

impl From<Unanswered> for Problem {
    fn from(unanswered: Unanswered) -> Self {
        Failure::from(unanswered).into()
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let Failure { code, message, retry, verdict } = failure;
        if code.starts_with("database_") && retry != Retry::Never {
            return database_away(&message);
        }
        match (verdict, retry) {
            (Verdict::Gone, _) => Self::not_found(code, message),
            (Verdict::Paused | Verdict::Held { .. }, _) => Self::conflict(code, message),
            (Verdict::CalledOff, _) => Self::unavailable("shutting_down", "starkeep is shutting down", PAUSE),
            (Verdict::Fault, Retry::After(pause)) => Self::unavailable(code, message, pause),
            (Verdict::Fault, _) if is_foreign(code) => Self::new(StatusCode::BAD_GATEWAY, code, message),
            (Verdict::Fault, Retry::Backoff) => Self::unavailable(code, message, PAUSE),
            (Verdict::Fault, Retry::Never) => Self::internal(format!("{code}: {message}")),
        }
    }
}

/// GitHub's and OneDev's failures, told in words that may be shown.
fn is_foreign(code: &str) -> bool {
    let ours = ["database_", "store_", "crashed", "conflict", "bad_cursor"];
    !ours.iter().any(|it| code.starts_with(it))
}
