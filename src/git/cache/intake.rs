//! A pack from upstream into a copy: streamed to disk while it comes, indexed, completed if it is thin.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use git2::{Indexer, Repository};
use tokio::sync::mpsc;

use super::Trouble;
use super::lock::Guard;
use crate::git::error::{Side, WireError};
use crate::git::pack::Pack;
use crate::git::progress::Progress;

/// Pieces between the network and the disk.
const AHEAD: usize = 16;

/// libgit2 makes room for a piece by writing its last byte, and then writes the piece by memory mapping: on a
/// disk that is full in between, a piece longer than a page would kill the process.
const PAGE: usize = 4096;

/// What comes of a pack. Without the second there is no whole pack.
enum Piece {
    Bytes(Bytes),
    End,
}

/// Takes a pack in. It counts from the moment in which this ends well; before, it is a file of a
/// temporary name. Answers its bytes.
pub(super) async fn take(
    mut pack: Pack,
    repository: &Path,
    guard: &Arc<Guard>,
    max_bytes: Option<u64>,
    progress: &Progress,
) -> Result<u64, Trouble> {
    let (tell, told) = mpsc::channel(AHEAD);
    let (path, guard) = (repository.to_owned(), Arc::clone(guard));
    let work = tokio::task::spawn_blocking(move || {
        let _held = guard;
        index(&path, told)
    });
    let received = hand_over(&mut pack, tell, max_bytes, progress).await;
    let indexed = work.await.map_err(std::io::Error::other)?;
    received?;
    indexed?;
    Ok(pack.bytes())
}

/// Gives every piece to the disk. Ends early where the disk does, which knows why.
async fn hand_over(
    pack: &mut Pack,
    tell: mpsc::Sender<Piece>,
    max_bytes: Option<u64>,
    progress: &Progress,
) -> Result<(), WireError> {
    while let Some(bytes) = pack.next().await? {
        progress.received(bytes.len());
        if let Some(limit) = max_bytes.filter(|it| pack.bytes() > *it) {
            return Err(WireError::TooLarge { side: Side::Upstream, what: "the pack", limit });
        }
        if tell.send(Piece::Bytes(bytes)).await.is_err() {
            return Ok(());
        }
    }
    // The disk tells for itself if it has gone.
    let _ = tell.send(Piece::End).await;
    Ok(())
}

fn index(path: &Path, mut told: mpsc::Receiver<Piece>) -> Result<(), Trouble> {
    let repository = Repository::open_bare(path)?;
    let odb = repository.odb()?;
    let folder = repository.path().join("objects").join("pack");
    // Whether all hangs together is OneDev's to check, which takes a pack out of this copy.
    let mut indexer = Indexer::new(Some(&odb), &folder, 0, false)?;
    while let Some(piece) = told.blocking_recv() {
        match piece {
            Piece::Bytes(bytes) => append(&mut indexer, &bytes)?,
            Piece::End => {
                indexer.commit()?;
                return Ok(());
            }
        }
    }
    // It broke off: the indexer removes what it has.
    Ok(())
}

/// Gives an indexer bytes in pieces that it bears.
pub(super) fn append(indexer: &mut Indexer<'_>, bytes: &[u8]) -> Result<(), Trouble> {
    bytes.chunks(PAGE).try_for_each(|piece| indexer.write_all(piece)).map_err(unwrapped)
}

/// libgit2's error out of the writer's.
fn unwrapped(error: std::io::Error) -> Trouble {
    match error.downcast::<git2::Error>() {
        Ok(error) => error.into(),
        Err(error) => error.into(),
    }
}
