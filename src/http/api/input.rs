//! Bodies of admin calls: small JSON objects without a field too many.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, web};
use serde::de::DeserializeOwned;

use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::webhook::headers;

/// Larger bodies are refused. Bytes.
const LARGEST: u64 = 64 * 1024;

/// The body as a `T`, which denies unknown fields.
///
/// # Errors
/// 415 when it is not called JSON, 413 when it is too large, 408 when it is too slow, 400 when it is
/// not a `T`.
pub(super) async fn read<T: DeserializeOwned>(
    shared: &Shared,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<T, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    if headers::expect_json(kind).is_err() {
        let status = actix_web::http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "media_type_unsupported", "send `Content-Type: application/json`"));
    }
    let body = shared.room.read(request, body, LARGEST).await?;
    // A derived struct would take an array too, so the outermost bracket is looked at first.
    if body.bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::bad_request("body_malformed", "the body is not a JSON object"));
    }
    serde_json::from_slice(&body.bytes).map_err(|error| {
        let told: String = error.to_string().chars().take(300).flat_map(char::escape_debug).collect();
        Problem::bad_request("body_malformed", format!("the body is not what this call takes: {told}"))
    })
}
