//! What a status code other than 200 means: it depends on the server, the headers and the words.

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::Response;

use super::body::MAX_MESSAGE;
use super::clean::Redactor;
use super::error::{Side, WireError};

/// The most that is read of the body of an error.
const MAX_BODY: usize = 4096;
/// How long the rest of such a body is awaited.
const BODY_WAIT: Duration = Duration::from_secs(5);

/// The error that an answer stands for. Reads at most [`MAX_BODY`] bytes.
pub(crate) async fn refusal(mut response: Response, side: Side, redactor: &Redactor) -> WireError {
    let status = response.status().as_u16();
    let html = header(&response, &CONTENT_TYPE).starts_with("text/html");
    let after = header(&response, &RETRY_AFTER).trim().parse().ok().map(Duration::from_secs);
    let body = beginning(&mut response).await;
    // A page made for people tells nothing in one line.
    let message = if html { String::new() } else { redactor.line(&body, MAX_MESSAGE) };
    match status {
        401 => WireError::Unauthorized { side, message },
        403 if after.is_some() => WireError::RateLimited { side, after },
        403 => WireError::Forbidden { side, message },
        // While OneDev starts, a small server answers every address with a page; a project that is
        // really missing is reported as plain text.
        404 if side == Side::Target && html => WireError::Booting { side },
        404 | 410 => WireError::NotFound { side, message },
        429 => WireError::RateLimited { side, after },
        502..=504 => WireError::NotReady { side, status, after, message },
        _ => WireError::Status { side, status, message },
    }
}

fn header<'a>(response: &'a Response, name: &http::HeaderName) -> &'a str {
    response.headers().get(name).and_then(|it| it.to_str().ok()).unwrap_or_default()
}

pub(crate) async fn beginning(response: &mut Response) -> Vec<u8> {
    let mut out = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = MAX_BODY.saturating_sub(out.len()).min(chunk.len());
            out.extend_from_slice(&chunk.slice(..room));
            if out.len() >= MAX_BODY {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(BODY_WAIT, read).await;
    out
}
