//! Where packs wait until they are whole: in memory within one budget for the process, beyond it in
//! unnamed temporary files.
//!
//! OneDev takes one of its few slots when a push arrives and cuts a body that pauses, so a pack
//! that comes slowly must not be pushed while it comes. Packs come from [`super::pack`], and
//! [`super::feed`] reads them out again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::error::{Side, WireError};
use super::feed::Feed;
use super::file::{Blob, FileWriter};
use super::pack::Pack;
use super::progress::Progress;
use super::scan::Pieces;

/// Packs in memory are kept in blocks of this size, so that no small slice holds a big buffer.
const BLOCK: usize = 64 * 1024;
/// With fewer bytes the speed of a pack is not known.
const LEAST_SAMPLE: u64 = 1 << 20;

/// The process's spool. Cloning shares the budget.
#[derive(Debug, Clone)]
pub struct Spool {
    ledger: Arc<Ledger>,
    folder: PathBuf,
}

/// Bytes in memory.
#[derive(Debug)]
struct Ledger {
    limit: u64,
    used: AtomicU64,
}

/// A share of the budget; goes back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    ledger: Arc<Ledger>,
    bytes: u64,
}

impl Held {
    /// Takes more; `false` when it is not there.
    fn grow(&mut self, bytes: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|it| *it <= self.ledger.limit);
        let grown = self.ledger.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok();
        self.bytes += if grown { bytes } else { 0 };
        grown
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.ledger.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// When a pack may be pushed while it still comes.
#[derive(Debug, Clone)]
pub(crate) struct StreamRule {
    /// Bytes a second so far.
    pub(crate) above: u64,
    /// A pack is streamed only if its turn to be pushed has come already.
    pub(crate) permits: Arc<Semaphore>,
}

/// What became of a pack.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It is whole.
    Whole(Spooled),
    /// It came fast and outgrew the memory: what came so far, the rest, and the turn to push it.
    Live(Box<Live>),
}

/// A pack of which the end has not come.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) blocks: Vec<Bytes>,
    pub(crate) held: Held,
    pub(crate) rest: Pack,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// A whole pack. Dropping it frees memory or file.
#[derive(Debug)]
pub(crate) enum Spooled {
    Memory { blocks: Vec<Bytes>, held: Held },
    File(Blob),
}

impl Spooled {
    /// Whether it lies in a file.
    pub(crate) fn in_file(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

/// Bounds and rules for taking one pack.
#[derive(Debug, Clone)]
pub(crate) struct Taking {
    pub(crate) stream: Option<StreamRule>,
    pub(crate) max_bytes: Option<u64>,
}

impl Spool {
    /// `memory` bytes over all packs of the process (`sync.spool_memory`); files go to `folder`
    /// (`sync.spool_dir`), by default the system's temporary one.
    pub fn new(memory: u64, folder: Option<PathBuf>) -> Self {
        let ledger = Arc::new(Ledger { limit: memory, used: AtomicU64::new(0) });
        Self { ledger, folder: folder.unwrap_or_else(std::env::temp_dir) }
    }

    /// Bytes of packs in memory now.
    pub fn in_memory(&self) -> u64 {
        self.ledger.used.load(Ordering::Acquire)
    }

    /// The folder for packs that outgrow the memory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn hold(&self) -> Held {
        Held { ledger: Arc::clone(&self.ledger), bytes: 0 }
    }

    /// Receives a pack.
    ///
    /// # Errors
    /// Those of receiving; [`WireError::Spool`] when the file cannot be written; [`WireError::TooLarge`].
    pub(crate) async fn take(&self, mut pack: Pack, taking: &Taking, progress: &Progress) -> Result<Taken, WireError> {
        let began = Instant::now();
        let mut held = self.hold();
        let mut memory = Blocks::default();
        while let Some(piece) = pack.next().await? {
            progress.received(piece.len());
            bounded(&pack, taking)?;
            if held.grow(piece.len() as u64) {
                memory.push(&piece);
                continue;
            }
            if let Some(permit) = taking.stream.as_ref().and_then(|it| it.turn(pack.bytes(), began.elapsed())) {
                let mut blocks = memory.finish();
                blocks.push(piece);
                return Ok(Taken::Live(Box::new(Live { blocks, held, rest: pack, permit })));
            }
            let mut writer = FileWriter::create(&self.folder).await?;
            let mut blocks = memory.finish();
            blocks.push(piece);
            writer.write(blocks).await?;
            drop(held);
            return to_file(pack, writer, taking, progress).await.map(Taken::Whole);
        }
        Ok(Taken::Whole(Spooled::Memory { blocks: memory.finish(), held }))
    }
}

impl Spool {
    /// Holds a pack that is made in this process, until its last piece; each passes the scan, if any.
    ///
    /// # Errors
    /// [`WireError::Spool`] when the file cannot be written.
    pub(crate) async fn hold_pieces(
        &self,
        mut pieces: mpsc::Receiver<Bytes>,
        scan: Option<Pieces>,
    ) -> Result<Spooled, WireError> {
        let mut held = self.hold();
        let mut memory = Blocks::default();
        while let Some(piece) = next(&mut pieces, scan.as_ref()).await {
            if held.grow(piece.len() as u64) {
                memory.push(&piece);
                continue;
            }
            let mut writer = FileWriter::create(&self.folder).await?;
            let mut blocks = memory.finish();
            blocks.push(piece);
            writer.write(blocks).await?;
            drop(held);
            while let Some(piece) = next(&mut pieces, scan.as_ref()).await {
                writer.push(piece).await?;
            }
            return writer.finish().await.map(Spooled::File);
        }
        Ok(Spooled::Memory { blocks: memory.finish(), held })
    }
}

async fn next(pieces: &mut mpsc::Receiver<Bytes>, scan: Option<&Pieces>) -> Option<Bytes> {
    let piece = pieces.recv().await?;
    if let Some(scan) = scan {
        drop(scan.send(piece.clone()).await);
    }
    Some(piece)
}

async fn to_file(
    mut pack: Pack,
    mut writer: FileWriter,
    taking: &Taking,
    progress: &Progress,
) -> Result<Spooled, WireError> {
    while let Some(piece) = pack.next().await? {
        progress.received(piece.len());
        bounded(&pack, taking)?;
        writer.push(piece).await?;
    }
    writer.finish().await.map(Spooled::File)
}

fn bounded(pack: &Pack, taking: &Taking) -> Result<(), WireError> {
    match taking.max_bytes {
        Some(limit) if pack.bytes() > limit => {
            Err(WireError::TooLarge { side: Side::Upstream, what: "the pack", limit })
        }
        _ => Ok(()),
    }
}

impl StreamRule {
    /// The turn to push at once, if the pack is fast enough and nobody else is pushing.
    fn turn(&self, bytes: u64, elapsed: Duration) -> Option<OwnedSemaphorePermit> {
        let fast =
            bytes >= LEAST_SAMPLE.min(self.above.max(1)) && bytes as f64 >= self.above as f64 * elapsed.as_secs_f64();
        if fast { Arc::clone(&self.permits).try_acquire_owned().ok() } else { None }
    }
}

impl Spooled {
    /// Reads the pack once more from its beginning.
    pub(crate) fn feed(self) -> Feed {
        match self {
            Self::Memory { blocks, held } => Feed::memory(blocks, held),
            Self::File(blob) => Feed::file(blob),
        }
    }
}

/// Bytes in blocks.
#[derive(Debug, Default)]
struct Blocks {
    full: Vec<Bytes>,
    last: BytesMut,
}

impl Blocks {
    fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let (fits, rest) = piece.split_at(piece.len().min(BLOCK - self.last.len()));
            self.last.extend_from_slice(fits);
            piece = rest;
            if self.last.len() == BLOCK {
                self.full.push(std::mem::take(&mut self.last).freeze());
                self.last.reserve(BLOCK);
            }
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        if !self.last.is_empty() {
            self.full.push(self.last.freeze());
        }
        self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_shared_and_comes_back() {
        let spool = Spool::new(100, None);
        let (mut one, mut other) = (spool.hold(), spool.hold());
        assert!(one.grow(60) && !other.grow(60) && other.grow(40));
        assert_eq!(spool.in_memory(), 100);
        drop(one);
        assert!(other.grow(60) && !other.grow(1));
        drop(other);
        assert_eq!(spool.in_memory(), 0);
    }

    #[test]
    fn blocks_hold_exactly_what_was_pushed() {
        let mut blocks = Blocks::default();
        let bytes: Vec<u8> = (0..200_000_u32).map(|it| it.to_le_bytes()[0]).collect();
        for piece in bytes.chunks(777) {
            blocks.push(piece);
        }
        let blocks = blocks.finish();
        assert_eq!(blocks.len(), 200_000_usize.div_ceil(BLOCK));
        assert_eq!(blocks.concat(), bytes);
    }

    #[test]
    fn a_pack_is_streamed_only_if_it_is_fast_and_its_turn_has_come() {
        let rule = StreamRule { above: 20 << 20, permits: Arc::new(Semaphore::new(1)) };
        assert!(rule.turn(16 << 20, Duration::from_secs(1)).is_none(), "slow");
        assert!(rule.turn(1000, Duration::from_micros(1)).is_none(), "too little to tell");
        let turn = rule.turn(16 << 20, Duration::from_millis(500));
        assert!(turn.is_some());
        assert!(rule.turn(16 << 20, Duration::from_millis(500)).is_none(), "somebody else pushes");
    }
}
