//! The body of a push: the commands, then a pack from wherever it is, as the connection takes it.
//!
//! An upstream that fails while its pack is streamed ends the body with an error, which breaks the
//! connection, so that the target never sees a whole pack. The reason is put aside, because what
//! the target says about the broken body is not the cause.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::error::WireError;
use super::file::{Blob, FileReader};
use super::pack::{EMPTY, Pack};
use super::progress::Progress;
use super::spool::{Held, Live};

/// What goes to a server: pieces, or the error that breaks the connection.
pub(crate) type Outgoing = BoxStream<'static, std::io::Result<Bytes>>;

/// OneDev cuts a body that pauses for 30 s: upstream is given up before that.
const LIVE_STALL: Duration = Duration::from_secs(20);

/// A pack on its way into a push.
#[derive(Debug)]
pub(crate) enum Feed {
    /// No pack: the push deletes only.
    Nothing,
    /// Blocks in memory, then perhaps more from upstream.
    Blocks { blocks: VecDeque<Bytes>, held: Option<Held>, rest: Option<Box<Pack>> },
    /// A file.
    File(FileReader),
}

impl Feed {
    /// The pack without objects.
    pub(crate) fn empty() -> Self {
        Self::Blocks { blocks: [Bytes::from_static(EMPTY)].into(), held: None, rest: None }
    }

    /// A pack that is ours to give.
    pub(crate) fn whole(pack: Bytes) -> Self {
        Self::Blocks { blocks: [pack].into(), held: None, rest: None }
    }

    pub(crate) fn memory(blocks: Vec<Bytes>, held: Held) -> Self {
        Self::Blocks { blocks: blocks.into(), held: Some(held), rest: None }
    }

    pub(crate) fn file(blob: Blob) -> Self {
        Self::File(FileReader::new(blob))
    }

    /// The feed, and the turn to push that must be held as long as it runs.
    pub(crate) fn live(live: Live) -> (Self, tokio::sync::OwnedSemaphorePermit) {
        let Live { blocks, held, mut rest, permit } = live;
        rest.stall_after(LIVE_STALL);
        (Self::Blocks { blocks: blocks.into(), held: Some(held), rest: Some(Box::new(rest)) }, permit)
    }

    /// The same pack from its beginning, for a look at one that is whole and not begun.
    pub(crate) fn again(&self) -> Again {
        match self {
            Self::Nothing => Again::Blocks(VecDeque::new()),
            Self::Blocks { blocks, .. } => Again::Blocks(blocks.clone()),
            Self::File(reader) => Again::File(reader.again()),
        }
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self, progress: &Progress) -> Result<Option<Bytes>, WireError> {
        match self {
            Self::Nothing => Ok(None),
            Self::File(reader) => reader.next().await,
            Self::Blocks { blocks, held, rest } => {
                if let Some(block) = blocks.pop_front() {
                    return Ok(Some(block));
                }
                *held = None;
                let Some(pack) = rest else { return Ok(None) };
                let piece = pack.next().await?;
                progress.received(piece.as_ref().map_or(0, Bytes::len));
                Ok(piece)
            }
        }
    }
}

/// A pack that is read before it is sent.
#[derive(Debug)]
pub(crate) enum Again {
    Blocks(VecDeque<Bytes>),
    File(FileReader),
}

impl Again {
    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, WireError> {
        match self {
            Self::Blocks(blocks) => Ok(blocks.pop_front()),
            Self::File(reader) => reader.next().await,
        }
    }
}

/// The reason why a body ended early.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cause(Arc<Mutex<Option<WireError>>>);

impl Cause {
    fn put(&self, error: WireError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// The reason, once.
    pub(crate) fn take(&self) -> Option<WireError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The body of a push.
pub(crate) fn body(commands: Bytes, feed: Feed, progress: Arc<Progress>, cause: Cause) -> Outgoing {
    struct Sending {
        commands: Option<Bytes>,
        feed: Feed,
        progress: Arc<Progress>,
        cause: Cause,
    }
    let start = Sending { commands: Some(commands), feed, progress, cause };
    let pieces = stream::try_unfold(start, |mut it| async move {
        let piece = match it.commands.take() {
            Some(commands) => Ok(Some(commands)),
            None => it.feed.next(&it.progress).await,
        };
        match piece {
            Ok(None) => Ok(None),
            Ok(Some(piece)) => {
                it.progress.sent(piece.len());
                Ok(Some((piece, it)))
            }
            Err(error) => {
                let told = std::io::Error::other(error.to_string());
                it.cause.put(error);
                Err(told)
            }
        }
    });
    pieces.boxed()
}
