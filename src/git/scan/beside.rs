//! A scan on a thread of its own: a transfer does not wait while the objects before are inflated.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::entries::Scanner;
use super::findings::Findings;

/// Pieces that may wait for the scan, of 64 KiB at most each: after so many the transfer is held up.
const WAITING: usize = 32;

/// Takes the pieces of a pack as they pass. The pack has ended when all of its clones are dropped.
pub(crate) type Pieces = mpsc::Sender<Bytes>;

/// A scan that runs. Dropping it leaves it to end by itself.
#[derive(Debug)]
pub(crate) struct Scan(JoinHandle<Findings>);

impl Scan {
    /// Begins one.
    pub(crate) fn begin() -> (Pieces, Self) {
        let (pieces, mut coming) = mpsc::channel::<Bytes>(WAITING);
        let scan = tokio::task::spawn_blocking(move || {
            let mut scanner = Scanner::passing();
            while let Some(piece) = coming.blocking_recv() {
                scanner.feed(&piece);
            }
            scanner.finish()
        });
        (pieces, Self(scan))
    }

    /// What was found, when every piece has been looked at. Drop [`Pieces`] before.
    pub(crate) async fn findings(self) -> Findings {
        self.0.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the scan for LFS pointers broke off");
            Findings { incomplete: true, ..Findings::default() }
        })
    }
}
