//! What can happen to a body on its way: cut, stalled, held, slowed, or ended for silence.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use bytes::Bytes;
use futures_util::stream::{self, LocalBoxStream, StreamExt as _};

use super::faults::Barrier;

/// A body on its way in or out.
pub(crate) type ByteStream = LocalBoxStream<'static, io::Result<Bytes>>;

/// What happens when so many bytes have gone by.
#[derive(Debug, Clone)]
pub(crate) enum Then {
    /// The connection breaks.
    Cut,
    /// Nothing more comes, for ever.
    Stall,
    /// It goes on when the gate opens.
    Hold(Arc<Barrier>),
}

/// The error that makes the server drop the connection without a word.
fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "a planned fault broke the connection")
}

/// An answer that is none: the connection is dropped.
pub(crate) fn severed() -> HttpResponse {
    HttpResponse::Ok().streaming(stream::once(async { Err::<Bytes, _>(broken()) }))
}

/// Lets `limit` bytes by, then does what was planned. A shorter body ends before it comes to that,
/// save that a gate is passed at the body's end, too.
pub(crate) fn after(body: ByteStream, limit: u64, then: Then) -> ByteStream {
    stream::unfold((body, Some((limit, then)), None), |(mut body, plan, rest)| async move {
        let Some((left, then)) = plan else {
            let next = if rest.is_some() { rest.map(Ok) } else { body.next().await };
            return next.map(|chunk| (chunk, (body, None, None)));
        };
        if left == 0 {
            // Once round the server's loop, so that what went before is on its way.
            tokio::task::yield_now().await;
            match then {
                Then::Cut => return Some((Err(broken()), (stream::empty().boxed_local(), None, None))),
                Then::Stall => return pending().await,
                Then::Hold(barrier) => barrier.pass().await,
            }
            let next = if rest.is_some() { rest.map(Ok) } else { body.next().await };
            return next.map(|chunk| (chunk, (body, None, None)));
        }
        match body.next().await {
            Some(Ok(mut chunk)) => {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
                let rest = chunk.split_off(here);
                let left = left.saturating_sub(here as u64);
                let rest = (!rest.is_empty()).then_some(rest);
                Some((Ok(chunk), (body, Some((left, then)), rest)))
            }
            Some(Err(error)) => Some((Err(error), (body, None, None))),
            None => {
                if let Then::Hold(barrier) = then {
                    barrier.pass().await;
                }
                None
            }
        }
    })
    .boxed_local()
}

/// Lets a body come at so many bytes a second.
pub(crate) fn slow(body: ByteStream, bytes_per_second: u64) -> ByteStream {
    body.then(move |chunk| async move {
        let length = chunk.as_ref().map_or(0, Bytes::len) as u64;
        let pause = length.saturating_mul(1_000).checked_div(bytes_per_second).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        chunk
    })
    .boxed_local()
}

/// Ends a body that pauses as long as `limit`, as a server's idle time-out does.
pub(crate) fn until_idle(body: ByteStream, limit: Duration) -> ByteStream {
    stream::unfold(body, move |mut body| async move {
        let next = tokio::time::timeout(limit, body.next()).await.ok().flatten();
        next.map(|chunk| (chunk, body))
    })
    .boxed_local()
}

/// Reads until at least `wanted` bytes are there or the body ends; answers them and the whole body
/// again.
pub(crate) async fn peek(mut body: ByteStream, wanted: usize) -> (Bytes, ByteStream) {
    let mut start = bytes::BytesMut::new();
    let mut failed = None;
    while start.len() < wanted {
        match body.next().await {
            Some(Ok(chunk)) => start.extend_from_slice(&chunk),
            Some(Err(error)) => failed = Some(Err(error)),
            None => break,
        }
        if failed.is_some() {
            break;
        }
    }
    let start = start.freeze();
    let whole = stream::iter([Ok(start.clone())]).chain(stream::iter(failed)).chain(body);
    (start, whole.boxed_local())
}
