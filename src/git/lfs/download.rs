//! The bytes of one object on their way, counted and hashed.
//!
//! One piece is always held back: the last is given out only when size and hash of all were right. So
//! whatever the bytes are passed on to cannot be finished with a wrong content.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use sha2::{Digest as _, Sha256};

use super::error::ObjectError;
use crate::domain::lfs::{LfsOid, Pointer};
use crate::git::body::Body;
use crate::git::clean::Redactor;
use crate::git::error::Side;
use crate::git::progress::Progress;

/// An object that is being read.
#[derive(Debug)]
pub struct Download {
    body: Body,
    want: Pointer,
    hash: Sha256,
    got: u64,
    held: Option<Bytes>,
    ended: bool,
    counted: Option<Arc<Progress>>,
}

impl Download {
    /// The body of any good answer that is to bring this content, as a release's asset. No byte may come
    /// later than `stall` after the one before.
    ///
    /// # Errors
    /// [`ObjectError::WrongSize`] when the answer announces another size.
    pub fn of(response: reqwest::Response, want: Pointer, side: Side, stall: Duration) -> Result<Self, ObjectError> {
        let announced = response.headers().get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
        if let Some(got) = announced.filter(|it| *it != want.size) {
            return Err(ObjectError::WrongSize { side, want: want.size, got });
        }
        Ok(Self::unchecked(response, want, side, stall))
    }

    /// As [`Download::of`], whatever size is announced.
    pub(super) fn unchecked(response: reqwest::Response, want: Pointer, side: Side, stall: Duration) -> Self {
        let body = Body::new(response, side, stall, Arc::new(Redactor::default()));
        Self { body, want, hash: Sha256::new(), got: 0, held: None, ended: false, counted: None }
    }

    /// Counts the bytes that come.
    #[must_use]
    pub fn counted_by(self, progress: &Arc<Progress>) -> Self {
        Self { counted: Some(Arc::clone(progress)), ..self }
    }

    /// What is being read.
    pub fn pointer(&self) -> Pointer {
        self.want
    }

    /// Waits less long for a piece from now on.
    pub(super) fn stall_after(&mut self, stall: Duration) {
        self.body.stall_after(stall);
    }

    /// The next piece; `None` after the last, when the content was right.
    ///
    /// # Errors
    /// [`ObjectError::WrongSize`] and [`ObjectError::WrongHash`] before the last piece is given out; those
    /// of the transport.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ObjectError> {
        let side = self.body.side();
        while !self.ended {
            let Some(piece) = self.body.chunk().await? else {
                self.ended = true;
                self.check()?;
                return Ok(self.held.take());
            };
            self.got += piece.len() as u64;
            if let Some(progress) = &self.counted {
                progress.received(piece.len());
            }
            if self.got > self.want.size {
                return Err(ObjectError::WrongSize { side, want: self.want.size, got: self.got });
            }
            self.hash.update(&piece);
            if let Some(before) = self.held.replace(piece) {
                return Ok(Some(before));
            }
        }
        Ok(None)
    }

    fn check(&mut self) -> Result<(), ObjectError> {
        let side = self.body.side();
        if self.got != self.want.size {
            return Err(ObjectError::WrongSize { side, want: self.want.size, got: self.got });
        }
        let got = LfsOid::from_bytes(std::mem::take(&mut self.hash).finalize().into());
        if got == self.want.oid { Ok(()) } else { Err(ObjectError::WrongHash { side, got }) }
    }

    /// All of it at once; for small objects.
    ///
    /// # Errors
    /// As [`Download::next`].
    pub async fn whole(mut self) -> Result<Bytes, ObjectError> {
        let mut all = BytesMut::with_capacity(usize::try_from(self.want.size).unwrap_or_default().min(1 << 20));
        while let Some(piece) = self.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// Reads it to its end and keeps nothing: what is it?
    pub(super) async fn measure(mut self) -> Result<(LfsOid, u64), ObjectError> {
        while let Some(piece) = self.body.chunk().await? {
            self.got += piece.len() as u64;
            self.hash.update(&piece);
        }
        Ok((LfsOid::from_bytes(self.hash.finalize().into()), self.got))
    }
}

/// Reads a body to its end and keeps nothing: which content is it? `None` if it has more than `most` bytes.
///
/// # Errors
/// Those of the transport.
pub async fn measure(
    response: reqwest::Response,
    side: Side,
    stall: Duration,
    most: u64,
) -> Result<Option<Pointer>, ObjectError> {
    let mut body = Body::new(response, side, stall, Arc::new(Redactor::default()));
    let (mut hash, mut size) = (Sha256::new(), 0);
    while let Some(piece) = body.chunk().await? {
        size += piece.len() as u64;
        if size > most {
            return Ok(None);
        }
        hash.update(&piece);
    }
    Ok(Some(Pointer { oid: LfsOid::from_bytes(hash.finalize().into()), size }))
}
