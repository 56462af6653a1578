//! Bodies of admin calls: small JSON objects without a field too many.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, web};
use serde::de::DeserializeOwned;

use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::webhook::headers;

/// Larger bodies are refused. Bytes.
pub(super) const LARGEST: u64 = 64 * 1024;

/// The body as a `T`, which denies unknown fields.
///
/// # Errors
/// 415 when it is not called JSON, 413 when it is too large, 408 when it is too slow, 400 when it is
/// not a `T`.
pub(in crate::http) async fn read<T: DeserializeOwned>(
    shared: &Shared,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<T, Problem> {
    expect_json(request)?;
    let body = shared.room.read(request, body, LARGEST).await?;
    parse(&body.bytes)
}

/// The same of a call that needs no body: without one, all of `T` as it is by default.
///
/// # Errors
/// As [`read`].
pub(super) async fn read_or_default<T: DeserializeOwned + Default>(
    shared: &Shared,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<T, Problem> {
    let body = shared.room.read(request, body, LARGEST).await?;
    if body.bytes.is_empty() {
        return Ok(T::default());
    }
    expect_json(request)?;
    parse(&body.bytes)
}

fn expect_json(request: &HttpRequest) -> Result<(), Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    headers::expect_json(kind).map_err(|_| {
        let status = actix_web::http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Problem::new(status, "media_type_unsupported", "send `Content-Type: application/json`")
    })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // A derived struct would take an array too, so the outermost bracket is looked at first.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::bad_request("body_malformed", "the body is not a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let told: String = error.to_string().chars().take(300).flat_map(char::escape_debug).collect();
        Problem::bad_request("body_malformed", format!("the body is not what this call takes: {told}"))
    })
}
