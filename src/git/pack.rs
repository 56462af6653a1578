//! A pack on its way: checked at its head, counted, handed on as it comes.
//!
//! Bytes come from the side-band of a fetch; they go to the spool, straight into a push, or to the
//! walker of [`super::census`]. The checksum at the end is not verified here: the target does so.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::body::Body;
use super::error::WireError;
use super::progress::Progress;
use super::scan::Pieces;
use super::sideband::{SideBand, Step};

/// `PACK`, version, count of objects.
pub(crate) const HEADER: usize = 12;
/// The SHA-1 behind the last object.
pub(crate) const TRAILER: usize = 20;
/// The pack without objects: a command that is not a delete needs a pack even when nothing is missing.
pub(crate) const EMPTY: &[u8; HEADER + TRAILER] =
    b"PACK\0\0\0\x02\0\0\0\0\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e";

/// The number of objects that a pack's first twelve bytes promise; `None` if they are not a pack's.
pub(crate) fn objects(header: &[u8; HEADER]) -> Option<u32> {
    let [b'P', b'A', b'C', b'K', 0, 0, 0, 2 | 3, count @ ..] = header else { return None };
    Some(u32::from_be_bytes(*count))
}

/// A pack that is being received. Dropping it drops the connection.
#[derive(Debug)]
pub struct Pack {
    body: Body,
    bands: SideBand,
    /// What has come but not been taken apart.
    input: Bytes,
    /// The head, read already, and whatever came with it.
    ahead: Option<Bytes>,
    objects: u32,
    bytes: u64,
    ended: bool,
    scan: Option<Pieces>,
    progress: Option<Arc<Progress>>,
}

impl Pack {
    /// Waits for the head of the pack and checks it.
    ///
    /// # Errors
    /// Whatever the server reports instead; bytes that are no pack.
    pub(crate) async fn open(body: Body, bands: SideBand, input: Bytes) -> Result<Self, WireError> {
        let mut it =
            Self { body, bands, input, ahead: None, objects: 0, bytes: 0, ended: false, scan: None, progress: None };
        let mut ahead = Bytes::new();
        while ahead.len() < HEADER {
            let Some(piece) = it.receive().await? else { return Err(it.truncated()) };
            ahead = if ahead.is_empty() { piece } else { joined(&ahead, &piece) };
        }
        let count = ahead.first_chunk().and_then(objects);
        it.objects = count.ok_or_else(|| it.body.protocol("the pack does not begin as a pack of version 2"))?;
        it.ahead = Some(ahead);
        it.bytes = 0;
        Ok(it)
    }

    /// Every piece that is handed on goes to this scan too.
    pub(crate) fn scan_with(&mut self, scan: Pieces) {
        self.scan = Some(scan);
    }

    /// Every byte that is handed on is counted there too; for packs that go neither through a spool nor a feed,
    /// which do so themselves.
    pub fn count(&mut self, progress: Arc<Progress>) {
        self.progress = Some(progress);
    }

    /// How many objects the head promises.
    pub fn objects(&self) -> u32 {
        self.objects
    }

    /// How many bytes have been handed on.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Waits less long for a chunk from now on.
    pub(crate) fn stall_after(&mut self, stall: std::time::Duration) {
        self.body.stall_after(stall);
    }

    /// The next piece, a slice of what the network brought, never empty; `None` after the whole
    /// pack, when the connection is free for the next request.
    ///
    /// # Errors
    /// A server that gives up, a connection that breaks or stalls, an answer that ends too early.
    pub async fn next(&mut self) -> Result<Option<Bytes>, WireError> {
        let piece = match self.ahead.take() {
            Some(piece) => Some(piece),
            None => self.receive().await?,
        };
        self.bytes += piece.as_ref().map_or(0, |it| it.len() as u64);
        if let (Some(piece), Some(progress)) = (&piece, &self.progress) {
            progress.received(piece.len());
        }
        match (&piece, &self.scan) {
            (Some(piece), Some(scan)) => drop(scan.send(piece.clone()).await),
            _ => self.scan = None,
        }
        if piece.is_none() && self.bytes < (HEADER + TRAILER) as u64 {
            return Err(self.truncated());
        }
        Ok(piece)
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, WireError> {
        while !self.ended {
            match self.bands.step(&mut self.input).map_err(|it| self.body.frame(it))? {
                Step::Data(piece) => return Ok(Some(piece)),
                Step::Progress(text) => {
                    tracing::trace!(text = self.body.redactor().line(&text, 200), "progress of upstream");
                }
                Step::Fatal(reason) => return Err(refused(self.body.remote(&reason))),
                Step::Flush => {
                    self.ended = true;
                    self.body.finish().await;
                }
                Step::More => {
                    self.input = self.body.chunk().await?.ok_or_else(|| self.truncated())?;
                }
            }
        }
        Ok(None)
    }

    fn truncated(&self) -> WireError {
        WireError::Truncated { side: self.body.side(), what: "the pack" }
    }
}

/// Tells an object that is gone from other reasons.
pub(crate) fn refused(error: WireError) -> WireError {
    match error {
        WireError::Remote { message, .. } if message.contains("not our ref") => WireError::UpstreamMoved { message },
        other => other,
    }
}

fn joined(one: &[u8], other: &[u8]) -> Bytes {
    let mut both = BytesMut::with_capacity(one.len() + other.len());
    both.extend_from_slice(one);
    both.extend_from_slice(other);
    both.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_pack_tells_the_count() {
        assert_eq!(objects(EMPTY.first_chunk().unwrap()), Some(0));
        assert_eq!(objects(b"PACK\0\0\0\x02\0\x05\x20\x80"), Some(336_000));
        assert_eq!(objects(b"PACK\0\0\0\x04\0\0\0\0"), None);
        assert_eq!(objects(b"<html><body>"), None);
    }
}
