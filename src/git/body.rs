//! The body of an answer: chunks as they come, each awaited for a bounded time, and packets of them.
//!
//! Bytes come from [`super::smart_http`] or [`super::ssh`] and go to the readers of lists, packs and reports.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::clean::Redactor;
use super::error::{Side, WireError};
use super::pktline::{Decoder, FrameError, Packet};
use super::ssh::SshStream;
use crate::outbound;

/// The longest error text that is kept.
pub(crate) const MAX_MESSAGE: usize = 1024;
/// What may follow the end of an answer and still be read, so that the connection can be used again.
const MAX_LEFTOVER: u64 = 64 * 1024;
const LEFTOVER_WAIT: Duration = Duration::from_secs(5);

/// Where the bytes come from.
#[derive(Debug)]
enum Source {
    Http(reqwest::Response),
    Ssh(Box<SshStream>),
}

/// The body of a successful answer.
#[derive(Debug)]
pub(crate) struct Body {
    source: Source,
    /// What was read from the source already and belongs to the body.
    ahead: Option<Bytes>,
    side: Side,
    stall: Duration,
    redactor: Arc<Redactor>,
    received: u64,
}

impl Body {
    pub(crate) fn new(response: reqwest::Response, side: Side, stall: Duration, redactor: Arc<Redactor>) -> Self {
        Self { source: Source::Http(response), ahead: None, side, stall, redactor, received: 0 }
    }

    pub(crate) fn of_ssh(stream: SshStream, side: Side, stall: Duration, redactor: Arc<Redactor>) -> Self {
        Self { source: Source::Ssh(Box::new(stream)), ahead: None, side, stall, redactor, received: 0 }
    }

    /// The same body with bytes in front that were read from it before.
    pub(crate) fn resumed(mut self, ahead: Bytes) -> Self {
        self.ahead = Some(ahead).filter(|it| !it.is_empty());
        self.received = 0;
        self
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// Bytes that have come so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Waits so long for a chunk from now on.
    pub(crate) fn set_stall(&mut self, stall: Duration) {
        self.stall = stall;
    }

    /// Waits at most so long for a chunk from now on.
    pub(crate) fn stall_after(&mut self, stall: Duration) {
        self.stall = self.stall.min(stall);
    }

    /// The next chunk, never empty; `None` at the end.
    ///
    /// # Errors
    /// A broken connection, or no byte for the stall time-out.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, WireError> {
        loop {
            match self.read().await? {
                None => return Ok(None),
                Some(chunk) if chunk.is_empty() => {}
                Some(chunk) => {
                    self.received += chunk.len() as u64;
                    return Ok(Some(chunk));
                }
            }
        }
    }

    async fn read(&mut self) -> Result<Option<Bytes>, WireError> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        let side = self.side;
        let chunk = async {
            match &mut self.source {
                Source::Http(it) => {
                    it.chunk().await.map_err(|error| WireError::Transport { side, detail: outbound::causes(error) })
                }
                Source::Ssh(it) => it.chunk().await,
            }
        };
        let stalled = |_| WireError::Stalled { side, after: self.stall };
        tokio::time::timeout(self.stall, chunk).await.map_err(stalled)?
    }

    /// Reads what is left after the last packet, so that the connection can be used again. Whether
    /// that works changes nothing: what was wanted is there already.
    pub(crate) async fn finish(&mut self) {
        let end = self.received + MAX_LEFTOVER;
        self.stall_after(LEFTOVER_WAIT);
        while let Ok(Some(_)) = self.chunk().await {
            if self.received > end {
                break;
            }
        }
    }

    /// What the other side gives as its reason.
    pub(crate) fn remote(&self, message: &[u8]) -> WireError {
        WireError::Remote { side: self.side, message: self.redactor.line(message, MAX_MESSAGE) }
    }

    pub(crate) fn protocol(&self, detail: impl Into<String>) -> WireError {
        WireError::Protocol { side: self.side, detail: detail.into() }
    }

    pub(crate) fn frame(&self, error: FrameError) -> WireError {
        self.protocol(error.to_string())
    }

    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }
}

/// Packets of a body.
#[derive(Debug)]
pub(crate) struct Packets {
    body: Body,
    decoder: Decoder,
    limit: u64,
    what: &'static str,
}

impl Packets {
    /// `what` is named when the answer is truncated or larger than `limit` bytes.
    pub(crate) fn new(body: Body, what: &'static str, limit: u64) -> Self {
        Self { body, decoder: Decoder::default(), limit, what }
    }

    /// The next packet; `None` at the end of the answer.
    ///
    /// # Errors
    /// Those of [`Body::chunk`], bytes that are no packet, an end within one, `ERR` packets, the limit.
    pub(crate) async fn next(&mut self) -> Result<Option<Packet>, WireError> {
        loop {
            match self.decoder.packet().map_err(|it| self.body.frame(it))? {
                Some(Packet::Data(data)) => {
                    return match data.strip_prefix(b"ERR ") {
                        Some(reason) => Err(self.body.remote(reason)),
                        None => Ok(Some(Packet::Data(data))),
                    };
                }
                Some(packet) => return Ok(Some(packet)),
                None => match self.body.chunk().await? {
                    None if self.decoder.at_boundary() => return Ok(None),
                    None => return Err(self.truncated()),
                    Some(chunk) => self.decoder.feed(chunk),
                },
            }
            if self.body.received() > self.limit {
                return Err(WireError::TooLarge { side: self.body.side(), what: self.what, limit: self.limit });
            }
        }
    }

    /// The next packet, which must come.
    pub(crate) async fn required(&mut self) -> Result<Packet, WireError> {
        self.next().await?.ok_or_else(|| self.truncated())
    }

    pub(crate) fn truncated(&self) -> WireError {
        WireError::Truncated { side: self.body.side(), what: self.what }
    }

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    /// Reads to the end of the answer.
    pub(crate) async fn finish(mut self) {
        self.body.finish().await;
    }

    /// The body, and what was read of it but not cut into packets.
    pub(crate) fn into_body(mut self) -> (Body, Bytes) {
        let rest = self.decoder.rest();
        (self.body, rest)
    }
}
