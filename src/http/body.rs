//! Reading a request's body within bounds: bytes of one, bytes of all at once, and time.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{Bytes, Payload};
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::problem::Problem;

/// Bodies in memory at once, over all requests. KiB.
const ROOM: usize = 192 * 1024;
/// A body must be whole after so long. GitHub itself gives up after 10 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bounds that all requests share.
#[derive(Clone)]
pub(super) struct Room {
    free: Arc<Semaphore>,
    patience: Duration,
}

impl Default for Room {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(ROOM)), patience: PATIENCE }
    }
}

/// A whole body, and its place in the room.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    place: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// A room of another size and patience.
    #[cfg(test)]
    pub(super) fn of(kib: usize, patience: Duration) -> Self {
        Self { free: Arc::new(Semaphore::new(kib)), patience }
    }

    /// The body of a request, of at most `most` bytes.
    ///
    /// # Errors
    /// 413 for a larger one, 400 for one that ends early, 408 for one that does not end in time, 503
    /// when too many bodies are on their way at once.
    pub(super) async fn read(&self, request: &HttpRequest, payload: Payload, most: u64) -> Result<Body, Problem> {
        // What is left unread of a refused body is the server's business: it reads on for a while, so that
        // the caller gets to see the answer, and closes.
        let declared = declared(request);
        if declared.is_some_and(|length| length > most) {
            return Err(too_large(most));
        }
        // No larger than it says it will be, so that no room stands empty.
        let whole = declared.unwrap_or(most);
        let mut inflow = Inflow { payload, deadline: Instant::now() + self.patience };
        let mut body = Body { bytes: Vec::new(), place: None };
        while let Some(chunk) = inflow.next().await? {
            let length = body.bytes.len().saturating_add(chunk.len());
            if u64::try_from(length).unwrap_or(u64::MAX) > most {
                return Err(too_large(most));
            }
            self.make_room(&mut body, length, whole)?;
            body.bytes.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Takes as much of the room as `length` bytes need, the vector's spare capacity included, which grows to the
    /// `whole` at most.
    fn make_room(&self, body: &mut Body, length: usize, whole: u64) -> Result<(), Problem> {
        if length > body.bytes.capacity() {
            let whole = usize::try_from(whole).unwrap_or(usize::MAX);
            let capacity = length.max(body.bytes.capacity().saturating_mul(2).min(whole));
            let held = body.place.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let more = u32::try_from(capacity.div_ceil(1024).saturating_sub(held)).unwrap_or(u32::MAX);
            let place = Arc::clone(&self.free).try_acquire_many_owned(more).map_err(|_| full())?;
            match &mut body.place {
                Some(held) => held.merge(place),
                None => body.place = Some(place),
            }
            body.bytes.reserve_exact(capacity - body.bytes.len());
        }
        Ok(())
    }
}

fn full() -> Problem {
    let detail = "too many large requests are on their way at once; come again";
    Problem::unavailable("busy", detail, Duration::from_secs(5))
}

fn declared(request: &HttpRequest) -> Option<u64> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What comes in, until the deadline.
struct Inflow {
    payload: Payload,
    deadline: Instant,
}

impl Inflow {
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        match timeout_at(self.deadline, self.payload.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
            Ok(Some(Err(error))) => Err(broken(&error)),
            Err(_) => {
                let detail = "the body did not arrive in time";
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail))
            }
        }
    }
}

fn too_large(most: u64) -> Problem {
    let detail = format!("the body is larger than the {most} bytes that are taken here");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

fn broken(error: &PayloadError) -> Problem {
    let detail = match error {
        PayloadError::Incomplete(_) => "the body ended early".to_owned(),
        other => format!("the body cannot be read: {other}"),
    };
    Problem::bad_request("body_incomplete", detail)
}
