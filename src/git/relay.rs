//! The whole way of a pack: fetched from upstream, held until it is whole, pushed to the target.
//!
//! No repository on disk, no working copy, nothing computed: the pack that upstream makes is the
//! pack that the target indexes. Either everything arrives and the target moves its refs, or none
//! of the objects count: a pack that breaks off is thrown away by the target with its quarantine.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cache::{Built, CacheSource, Needs};
use super::command::{Push, batches};
use super::error::{Side, WireError};
use super::feed::Feed;
use super::fetch::FetchOptions;
use super::progress::{Phase, Progress};
use super::report::{PushReport, RefOutcome, Refusal};
use super::scan::{Findings, Scan, Thoroughness};
use super::spool::{Spool, StreamRule, Taken, Taking};
use super::target::Target;
use super::upstream::Upstream;
use crate::domain::refs::Oid;

/// How packs may be moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransferOptions {
    /// `sync.stream_above`: a pack that outgrew the memory and came at least so fast (bytes a
    /// second) is pushed while it comes. `None`: always through the spool.
    pub stream_above: Option<u64>,
    /// Packs above so many bytes are given up: `sync.max_bytes`.
    pub max_bytes: Option<u64>,
    /// Look for LFS pointers in the pack as it passes.
    pub scan: bool,
    /// A first pack (the target has nothing) of more objects is only glanced over, and scanned if that shows
    /// that there is something to find.
    pub glance_above: Option<u32>,
}

/// What is to be moved.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// Objects that the target lacks ([`super::wants()`]); none: no fetch.
    pub wants: Vec<Oid>,
    /// Objects that the target has ([`super::haves()`]).
    pub haves: Vec<Oid>,
    /// One after the other; the first that needs a pack carries all objects of all of them.
    pub pushes: Vec<Push>,
}

/// What was moved.
#[derive(Debug, Clone, Default)]
pub struct Transferred {
    /// One for each push that was made, in their order. There are fewer than pushes were ordered
    /// if the one that carried the pack was refused as a whole: the later ones would lack objects.
    pub reports: Vec<PushReport>,
    /// Bytes of packs that came from upstream.
    pub received: u64,
    /// Objects in the pack.
    pub objects: u32,
    /// The pack was pushed while it came.
    pub streamed: bool,
    /// The pack waited in a file.
    pub in_file: bool,
    /// The LFS pointers that were seen in it, if it was scanned.
    pub found: Option<Findings>,
}

/// A pack that has been fetched, or is coming, and nothing of it pushed yet.
#[derive(Debug)]
pub struct Prepared {
    ready: Ready,
    done: Transferred,
    before: u64,
    scan: Option<Scan>,
}

impl Prepared {
    /// The LFS pointers in the pack. `None` if it was not scanned, or is streamed: then they are known
    /// when it has been delivered.
    ///
    /// # Errors
    /// [`WireError::Spool`] when the pack cannot be read once more.
    pub async fn take_findings(&mut self) -> Result<Option<Findings>, WireError> {
        if self.ready.live {
            return Ok(None);
        }
        let Some(scan) = self.scan.take() else { return Ok(None) };
        let was_glance = scan.is_glance();
        let findings = scan.findings().await;
        if !was_glance || findings.is_complete() {
            return Ok(Some(findings));
        }
        let (pieces, scan) = Scan::begin(Thoroughness::Whole);
        let mut again = self.ready.feed.again();
        while let Some(piece) = again.next().await? {
            drop(pieces.send(piece).await);
        }
        drop(pieces);
        Ok(Some(scan.findings().await))
    }

    /// Whether the pack is streamed: what is in it is not known yet.
    pub fn is_streamed(&self) -> bool {
        self.ready.live
    }
}

/// The two ends of a transfer and what it uses on the way.
#[derive(Debug, Clone)]
pub struct Relay<'a> {
    /// Where objects come from. Its refs have been read.
    pub upstream: &'a Upstream,
    /// Where they go. Its refs have been read.
    pub target: &'a Target,
    /// Where the pack waits.
    pub spool: &'a Spool,
    /// `onedev.concurrent_pushes`: taken when a pack is whole, or streams.
    pub permits: Arc<Semaphore>,
    /// Told as bytes move.
    pub progress: Arc<Progress>,
    /// How packs may be moved.
    pub options: TransferOptions,
}

/// A pack, and the turn to push it.
#[derive(Debug)]
struct Ready {
    feed: Feed,
    permit: Option<OwnedSemaphorePermit>,
    live: bool,
}

impl Relay<'_> {
    /// Moves objects, then refs. Refs that the target refuses are in the reports; after an error
    /// the refs of the pushes before may have moved, each whole, so read them again.
    ///
    /// A stream that upstream breaks off or lets stall is begun again through the spool, once.
    /// Waiting for a turn ([`Phase::Waiting`]) is not bounded here.
    ///
    /// # Errors
    /// See [`WireError`]; upstream's reason is told where both sides have one.
    pub async fn transfer(&self, order: &Order) -> Result<Transferred, WireError> {
        let prepared = self.prepare(order).await?;
        self.deliver(order, prepared).await
    }

    /// The first half of a transfer: the pack is fetched, or begins to come. Nothing is pushed, and no
    /// turn to push is held unless it streams: then the other half must follow at once.
    ///
    /// # Errors
    /// As for [`Relay::transfer`].
    pub async fn prepare(&self, order: &Order) -> Result<Prepared, WireError> {
        let before = self.progress.snapshot().received;
        let (mut done, mut scan) = (Transferred::default(), None);
        let ready = self.ready(order, self.options.stream_above, &mut done, &mut scan).await?;
        Ok(Prepared { ready, done, before, scan })
    }

    /// The same, with the pack made out of a copy that has been filled. It is always whole.
    ///
    /// # Errors
    /// As for [`Relay::transfer`], and [`WireError::Cache`].
    pub async fn prepare_cached(&self, order: &Order, source: &CacheSource<'_>) -> Result<Prepared, WireError> {
        if order.wants.is_empty() {
            return self.prepare(order).await;
        }
        let needs = Needs { wants: &order.wants, haves: source.haves, scan: self.options.scan };
        let Built { objects, spooled, scan } = source.cache.pack(source, needs).await?;
        let done = Transferred { objects, in_file: spooled.in_file(), ..Transferred::default() };
        let ready = Ready { feed: spooled.feed(), permit: None, live: false };
        Ok(Prepared { ready, done, before: self.progress.snapshot().received, scan })
    }

    /// The other half.
    ///
    /// # Errors
    /// As for [`Relay::transfer`].
    pub async fn deliver(&self, order: &Order, prepared: Prepared) -> Result<Transferred, WireError> {
        let Prepared { mut ready, mut done, before, mut scan } = prepared;
        if ready.permit.is_none() {
            ready.permit = Some(self.turn().await?);
        }
        let mut carried = false;
        for push in &order.pushes {
            let mut report = PushReport::default();
            for part in parts(push) {
                let carries = !carried && part.needs_pack();
                report.absorb(self.part(order, &part, carries, &mut ready, &mut done, &mut scan).await?);
                carried |= carries;
            }
            let lost = done.objects > 0 && carried && pack_was_refused(&report);
            done.reports.push(report);
            if lost {
                break;
            }
        }
        self.progress.enter(Phase::Done);
        done.received = self.progress.snapshot().received - before;
        // A pack that did not come to its end still has the scan waiting.
        drop(ready);
        if let Some(scan) = scan {
            done.found = Some(scan.findings().await);
        }
        Ok(done)
    }

    /// One request to the target, with the pack if it `carries` it.
    async fn part(
        &self,
        order: &Order,
        part: &Push,
        carries: bool,
        ready: &mut Ready,
        done: &mut Transferred,
        scan: &mut Option<Scan>,
    ) -> Result<PushReport, WireError> {
        let failed = match self.target.push_pack(part, ready.take(carries), &self.progress).await {
            Err(error) if carries && ready.live && error.side() == Some(Side::Upstream) => error,
            result => return result,
        };
        tracing::warn!(error = %failed, "the stream from upstream broke off: once more through the spool");
        // The turn goes back while the pack is fetched again: it may come slowly.
        ready.permit = None;
        *ready = self.ready(order, None, done, scan).await?;
        ready.permit = Some(self.turn().await?);
        self.target.push_pack(part, ready.take(carries), &self.progress).await
    }

    /// Fetches. The turn to push comes with a stream only.
    async fn ready(
        &self,
        order: &Order,
        stream_above: Option<u64>,
        done: &mut Transferred,
        scan: &mut Option<Scan>,
    ) -> Result<Ready, WireError> {
        let mut feed = Feed::empty();
        done.streamed = false;
        if !order.wants.is_empty() {
            match self.fetch(order, stream_above, done, scan).await? {
                Taken::Live(live) => {
                    done.streamed = true;
                    let (feed, permit) = Feed::live(*live);
                    return Ok(Ready { feed, permit: Some(permit), live: true });
                }
                Taken::Whole(spooled) => {
                    done.in_file = spooled.in_file();
                    feed = spooled.feed();
                }
            }
        }
        Ok(Ready { feed, permit: None, live: false })
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, WireError> {
        self.progress.enter(Phase::Waiting);
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit.map_err(|_| WireError::BadRequest { detail: "starkeep is stopping".to_owned() })
    }

    async fn fetch(
        &self,
        order: &Order,
        stream_above: Option<u64>,
        done: &mut Transferred,
        scan: &mut Option<Scan>,
    ) -> Result<Taken, WireError> {
        self.progress.enter(Phase::Fetching);
        let mut pack = self.upstream.fetch(&order.wants, &order.haves, FetchOptions::RELAY).await?;
        self.progress.promised(pack.objects());
        done.objects = pack.objects();
        // A pack that is fetched once more is scanned once more.
        if self.options.scan {
            let is_first = order.haves.is_empty();
            let is_glance = is_first && self.options.glance_above.is_some_and(|above| pack.objects() > above);
            let (pieces, begun) = Scan::begin(if is_glance { Thoroughness::Glance } else { Thoroughness::Whole });
            pack.scan_with(pieces);
            *scan = Some(begun);
        }
        let stream = stream_above.map(|above| StreamRule { above, permits: Arc::clone(&self.permits) });
        let taking = Taking { stream, max_bytes: self.options.max_bytes };
        self.spool.take(pack, &taking, &self.progress).await
    }
}

impl Ready {
    /// The pack, once, or the empty one.
    fn take(&mut self, carries: bool) -> Feed {
        if carries { std::mem::replace(&mut self.feed, Feed::empty()) } else { Feed::empty() }
    }
}

/// A push in parts that the target accepts.
fn parts(push: &Push) -> Vec<Push> {
    if push.atomic {
        return vec![push.clone()];
    }
    batches(push.commands.clone()).into_iter().map(Push::plain).collect()
}

/// Whether the target threw the pack away. A ref that is refused for itself does not do that: the
/// objects have been moved out of quarantine by then.
fn pack_was_refused(report: &PushReport) -> bool {
    report.unpack_failed.is_some()
        || (!report.refs.values().any(|it| *it == RefOutcome::Done)
            && report.refused().any(|(_, it)| matches!(it, Refusal::Hook(_))))
}
