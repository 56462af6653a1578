//! LFS within a sync: pointers that the packs held are written down, their objects brought before the
//! refs where the pack waits, and before the proof in any case.
//!
//! Nothing here fails the git part: what cannot be searched or brought is named in the proof.

use std::sync::Arc;

use tokio::time::Instant;

use super::round::{Run, Tools, View};
use crate::domain::ids::MirrorId;
use crate::domain::kept::ARRIVING;
use crate::domain::lfs::LfsOid;
use crate::domain::mirror::{Item, NotLevel};
use crate::domain::part::Part;
use crate::domain::refs::{self, Oid};
use crate::domain::retry::Retry;
use crate::git::{self, Address, Findings, LfsEndpoint, Order, Prepared, Side};
use crate::stages::failure::Failure;
use crate::stages::lfs::Depot;
use crate::stages::messages::Depth;
use crate::store::lfs as table;
use crate::store::lfs::reach::{self, Scan};
use crate::store::{Connection, StoreError};

/// LFS objects and spoilt pointers that are named one by one; the API lists all.
const MOST_NAMED: u32 = 500;

/// What the database knows of a mirror's LFS.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Everything that was mirrored was searched; `None`: nothing was yet.
    whole: Option<bool>,
    /// There are objects.
    pub(super) used: bool,
    /// Refs went, or were forced, since it was last asked which objects the others need.
    pub(super) doubted: bool,
    /// When that was last begun.
    pub(super) searched_at: Option<chrono::DateTime<chrono::Utc>>,
    /// There are objects that no ref needs.
    pub(super) unneeded: bool,
    /// Where upstream says that its objects are kept; empty: at upstream.
    pub(super) elsewhere: Option<String>,
}

impl Known {
    pub(super) fn load(c: &mut Connection, mirror: MirrorId) -> Result<Self, StoreError> {
        let scan = reach::find(c, mirror)?;
        let whole = scan.as_ref().map(|it| it.whole);
        let Scan { doubted, searched_at, elsewhere, .. } = scan.unwrap_or_default();
        let unneeded = reach::has_unneeded(c, mirror)?;
        Ok(Self { whole, used: table::is_used(c, mirror)?, doubted, searched_at, unneeded, elsewhere })
    }
}

/// LFS in one run.
#[derive(Debug)]
pub(super) struct Lfs {
    pub(super) on: bool,
    pub(super) known: Known,
    /// No object is begun after it, so that refs have their share of the time.
    pub(super) until: Instant,
    /// Objects may be due.
    pub(super) due: bool,
    /// This run deletes or forces refs.
    pub(super) loses: bool,
    /// Upstream did not give objects that it was asked for.
    pub(super) refused: bool,
    /// Everything was searched before a pack began to stream; the mark is away until its end.
    was_whole: bool,
    /// Where the ref stands under which streamed packs arrive.
    pub(super) arrived: Option<Oid>,
    /// OneDev does not take that ref.
    pub(super) refused_arrival: bool,
    /// Bytes of objects: apart from those of packs, which are counted while objects may be on their way.
    bytes: Arc<git::Progress>,
}

/// What is not there at the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Open {
    pub(super) not_level: Vec<NotLevel>,
    pub(super) retry_at: Option<chrono::DateTime<chrono::Utc>>,
}

impl Lfs {
    /// GitHub takes no LFS objects in wikis.
    pub(super) fn new(tools: &Tools, part: Part) -> Self {
        let until = Instant::now() + tools.sync.timeout / 2;
        let bytes = Arc::new(git::Progress::new(&tools.metrics));
        let on = tools.sync.lfs && part == Part::Code;
        Self {
            on,
            known: Known::default(),
            until,
            due: false,
            loses: false,
            refused: false,
            was_whole: false,
            arrived: None,
            refused_arrival: false,
            bytes,
        }
    }

    pub(super) fn know(&mut self, known: Known) {
        self.due = self.on && known.used;
        self.known = known;
    }

    /// Bytes of objects that went to OneDev so far.
    pub(super) fn sent(&self) -> u64 {
        self.bytes.snapshot().sent
    }
}

impl Run<'_> {
    /// A mirror that was never searched is searched whole, once; of the others OneDev is asked whether it
    /// still has every object.
    pub(super) async fn look_closely_at_lfs(&mut self, view: &View) -> Result<(), Failure> {
        if !self.lfs.on {
            return Ok(());
        }
        if self.lfs.known.whole != Some(true) {
            self.search_all(view).await?;
        }
        if self.lfs.known.used {
            let mirror = self.ticket.mirror;
            self.tools.store.write(move |c| table::try_all(c, mirror)).await?;
            match self.depot().await?.take_stock(true).await {
                Ok(lost) => self.lfs.due |= !lost.is_empty(),
                // The objects are not doubted because OneDev could not be asked; the next look does it.
                Err(failure) => tracing::warn!(code = failure.code, "LFS objects not counted: {}", failure.message),
            }
        }
        Ok(())
    }

    async fn search_all(&mut self, view: &View) -> Result<(), Failure> {
        let managed = refs::managed(&view.target, &self.tools.sync.refs);
        let arrived = view.target.keys().any(|it| it.as_str() == ARRIVING);
        if managed.is_empty() && !arrived {
            // Whatever comes passes the scan.
            return self.set_whole(true).await;
        }
        let wants = git::wants(view.upstream.values(), &refs::RefMap::new());
        if wants.is_empty() {
            return self.set_whole(true).await;
        }
        match self.watched(git::scan_all(&self.upstream, &wants, &[])).await {
            Ok(found) => {
                let whole = found.is_complete();
                self.write_down(found, Some(whole)).await
            }
            Err(error) => {
                tracing::warn!(%error, "the mirror could not be searched for LFS pointers; the next close look tries again");
                self.set_whole(false).await
            }
        }
    }

    /// Between fetch and push: what is in a waiting pack is brought before its refs move.
    pub(super) async fn before_push(&mut self, order: &Order, prepared: &mut Prepared) -> Result<(), Failure> {
        if order.wants.is_empty() {
            return Ok(());
        }
        if !self.lfs.on {
            // What passes unseen must be searched for when LFS is switched on again.
            return if self.lfs.known.whole == Some(true) { self.set_whole(false).await } else { Ok(()) };
        }
        if prepared.is_streamed() && self.lfs.known.whole == Some(true) {
            // Until its end has been seen; a run that is cut off before leaves this behind.
            self.lfs.was_whole = true;
            return self.set_whole(false).await;
        }
        if let Some(found) = prepared.take_findings().await? {
            let whole = self.lfs.known.whole == Some(true);
            self.settle_found(order, found, whole).await?;
            self.bring_lfs().await?;
        }
        Ok(())
    }

    /// At the end of a streamed pack: what was in it is written down.
    pub(super) async fn found(&mut self, order: &Order, found: Findings) -> Result<(), Failure> {
        let whole = std::mem::take(&mut self.lfs.was_whole);
        self.settle_found(order, found, whole).await
    }

    async fn settle_found(&mut self, order: &Order, found: Findings, whole: bool) -> Result<(), Failure> {
        let found = if found.is_complete() {
            found
        } else {
            match self.watched(git::settle(&self.upstream, &order.wants, &order.haves, found)).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(%error, "a pack could not be searched whole for LFS pointers");
                    return self.set_whole(false).await;
                }
            }
        };
        let whole = whole.then(|| found.is_complete());
        self.write_down(found, whole).await
    }

    /// `whole` says whether with this everything has been searched; `None` leaves that as it is.
    async fn write_down(&mut self, found: Findings, whole: Option<bool>) -> Result<(), Failure> {
        let anything = !(found.pointers.is_empty() && found.garbage.is_empty());
        let news = whole.filter(|it| self.lfs.known.whole != Some(*it));
        self.lfs.known.whole = whole.or(self.lfs.known.whole);
        if !anything && news.is_none() {
            return Ok(());
        }
        self.lfs.known.used |= anything;
        self.lfs.due |= anything;
        let mirror = self.ticket.mirror;
        let store = &self.tools.store;
        store
            .write(move |c| {
                table::found(c, mirror, &found.pointers, &found.garbage)?;
                news.map_or(Ok(()), |whole| table::set_whole(c, mirror, whole))
            })
            .await?;
        Ok(())
    }

    async fn set_whole(&mut self, whole: bool) -> Result<(), Failure> {
        if self.lfs.known.whole != Some(whole) {
            let mirror = self.ticket.mirror;
            self.tools.store.write(move |c| table::set_whole(c, mirror, whole)).await?;
            self.lfs.known.whole = Some(whole);
        }
        Ok(())
    }

    /// Brings what is due.
    pub(super) async fn bring_lfs(&mut self) -> Result<(), Failure> {
        if !(self.lfs.on && self.lfs.due) {
            return Ok(());
        }
        let depot = self.depot().await?;
        let brought = self.watched(depot.bring_due(self.lfs.until)).await?;
        self.stats.note_lfs(brought.objects, brought.bytes);
        self.lfs.refused |= brought.refused > 0;
        self.lfs.due = false;
        Ok(())
    }

    /// In a quick look: objects whose time has come, if any is open at all.
    pub(super) async fn try_lfs_again(&mut self) -> Result<Option<Open>, Failure> {
        if !self.lfs.on || !self.sides.not_level.iter().any(|it| it.name.is_lfs()) {
            return Ok(None);
        }
        let mirror = self.ticket.mirror;
        let known = self.tools.store.read(move |c| Known::load(c, mirror)).await?;
        self.lfs.know(known);
        if self.lfs.known.whole == Some(false) {
            let message = "not everything was searched for LFS pointers yet";
            return Err(Failure::new("lfs_unsearched", message, Retry::Backoff));
        }
        self.bring_lfs().await?;
        self.ask_where_objects_are(Depth::Quick).await?;
        Ok(Some(self.open_lfs().await?))
    }

    /// What is not there, by name.
    pub(super) async fn open_lfs(&mut self) -> Result<Open, Failure> {
        let mut open = Open::default();
        if !self.lfs.on {
            return Ok(open);
        }
        if self.lfs.known.whole == Some(false) {
            let reason = "not everything was searched for LFS pointers; the next close look does it".to_owned();
            open.not_level.push(NotLevel { name: Item::unsearched(), reason, alias: None });
        }
        if !self.lfs.known.used {
            return Ok(open);
        }
        let (mirror, now) = (self.ticket.mirror, chrono::Utc::now());
        let read =
            move |c: &mut Connection| Ok((table::open(c, mirror, MOST_NAMED)?, table::next_try(c, mirror, now)?));
        let ((objects, count, garbage), retry_at) = self.tools.store.read(read).await?;
        open.retry_at = retry_at;
        let named = objects.len() as u64;
        let elsewhere = self.lfs.known.elsewhere.as_deref().filter(|it| !it.is_empty());
        for it in objects {
            let mut reason = it.reason.unwrap_or_else(|| "not brought yet".to_owned());
            if let Some(place) = elsewhere.filter(|_| it.attempts > 0) {
                reason =
                    format!("objects are kept {place}, says .lfsconfig, and starkeep does not ask there; {reason}");
            }
            if let Some(at) = it.next_try_at {
                reason.push_str(&format!("; next try at {}", at.format("%Y-%m-%dT%H:%M:%SZ")));
            }
            open.not_level.push(NotLevel { name: Item::object(it.pointer.oid), reason, alias: None });
        }
        if let Some(last) = open.not_level.last_mut().filter(|_| count > named) {
            last.reason.push_str(&format!("; and {} further objects", count - named));
        }
        open.not_level.extend(garbage.into_iter().map(|(blob, why)| NotLevel {
            name: Item::pointer(blob),
            reason: format!("the file with this git id begins as an LFS pointer and cannot be read: {why}"),
            alias: None,
        }));
        Ok(open)
    }

    /// Objects that should be there and that OneDev does not have, for a comparison.
    pub(super) async fn lost_objects(&mut self) -> Result<Vec<LfsOid>, Failure> {
        if !(self.lfs.on && self.lfs.known.used) {
            return Ok(Vec::new());
        }
        let lost = self.depot().await?.take_stock(true).await?;
        Ok(lost.into_iter().map(|it| it.oid).collect())
    }

    /// Both sides' LFS. Upstream's address is the one that its git led us to.
    async fn depot(&self) -> Result<Depot, Failure> {
        let tools = self.tools;
        let endpoint = |address: Address, side| {
            let (http, claims, metrics) = (tools.connections.http(), tools.claims.clone(), tools.metrics.clone());
            LfsEndpoint::new(http, address, side, claims, metrics, tools.wire)
        };
        let upstream = Address {
            url: tools.github.lfs_url(self.upstream.url()),
            authorization: tools.github.lfs_authorization(&self.sides.repository).await?,
            service: "github",
        };
        let target = Address {
            url: tools.onedev.git_url(&self.path),
            authorization: Some(tools.onedev.git_authorization()),
            service: "onedev",
        };
        Ok(Depot {
            store: tools.store.clone(),
            mirror: self.ticket.mirror,
            upstream: Some(endpoint(upstream, Side::Upstream)?),
            target: endpoint(target, Side::Target)?,
            slots: Arc::clone(&tools.lfs),
            progress: Arc::clone(&self.lfs.bytes),
        })
    }
}
