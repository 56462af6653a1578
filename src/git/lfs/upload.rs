//! The body of an upload: the object's bytes as they come, broken off rather than finished when they
//! turn out to be wrong.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream;

use super::download::Download;
use super::error::ObjectError;
use crate::git::progress::Progress;

/// Where the bytes of an upload come from.
#[derive(Debug)]
pub enum Source {
    /// All of them, known to be right.
    Whole(Bytes),
    /// As they come.
    Coming(Box<Download>),
}

/// What is told of an upload under way: why its body ended early, and that it moves.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    cause: Arc<Mutex<Option<ObjectError>>>,
    moved: Arc<AtomicU64>,
}

impl Watch {
    /// The reason why the body ended early, once.
    pub(super) fn cause(&self) -> Option<ObjectError> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Grows as bytes move.
    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }
}

/// The body.
pub(super) fn body(source: Source, progress: Arc<Progress>, watch: Watch) -> reqwest::Body {
    let download = match source {
        Source::Whole(bytes) => {
            progress.sent(bytes.len());
            return bytes.into();
        }
        Source::Coming(download) => download,
    };
    let pieces = stream::try_unfold((download, progress, watch), |(mut download, progress, watch)| async move {
        match download.next().await {
            Ok(None) => Ok(None),
            Ok(Some(piece)) => {
                progress.sent(piece.len());
                watch.moved.fetch_add(piece.len() as u64, Ordering::Relaxed);
                Ok(Some((piece, (download, progress, watch))))
            }
            Err(error) => {
                let told = std::io::Error::other(error.to_string());
                *watch.cause.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(told)
            }
        }
    });
    reqwest::Body::wrap_stream(pieces)
}
