//! A scan on a thread of its own: a transfer does not wait while the objects before are inflated.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::entries::Scanner;
use super::findings::Findings;
use super::glance::Glance;

/// Pieces that may wait for the scan, of 64 KiB at most each: after so many the transfer is held up.
const WAITING: usize = 32;

/// Takes the pieces of a pack as they pass. The pack has ended when all of its clones are dropped.
pub(crate) type Pieces = mpsc::Sender<Bytes>;

/// How closely a pack is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thoroughness {
    /// Every object.
    Whole,
    /// Whether there may be pointers at all: findings are incomplete if so.
    Glance,
}

/// A scan that runs. Dropping it leaves it to end by itself.
#[derive(Debug)]
pub(crate) struct Scan {
    thoroughness: Thoroughness,
    task: JoinHandle<Findings>,
}

impl Scan {
    /// Begins one.
    pub(crate) fn begin(thoroughness: Thoroughness) -> (Pieces, Self) {
        let (pieces, coming) = mpsc::channel::<Bytes>(WAITING);
        let task = tokio::task::spawn_blocking(move || match thoroughness {
            Thoroughness::Whole => whole(coming),
            Thoroughness::Glance => glance(coming),
        });
        (pieces, Self { thoroughness, task })
    }

    /// Whether the pack is only glanced over.
    pub(crate) fn is_glance(&self) -> bool {
        self.thoroughness == Thoroughness::Glance
    }

    /// What was found, when every piece has been looked at. Drop [`Pieces`] before.
    pub(crate) async fn findings(self) -> Findings {
        self.task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the scan for LFS pointers broke off");
            Findings { incomplete: true, ..Findings::default() }
        })
    }
}

fn whole(mut coming: mpsc::Receiver<Bytes>) -> Findings {
    let mut scanner = Scanner::passing();
    while let Some(piece) = coming.blocking_recv() {
        scanner.feed(&piece);
    }
    scanner.finish()
}

fn glance(mut coming: mpsc::Receiver<Bytes>) -> Findings {
    let mut glance = Glance::new();
    while let Some(piece) = coming.blocking_recv() {
        glance.feed(&piece);
    }
    Findings { incomplete: glance.finish(), ..Findings::default() }
}
