//! One slice: opens a round if none is open, reads some pages, publishes at the end of the round.

use std::time::{Duration, Instant};

use chrono::Utc;

use super::Tools;
use crate::domain::catalog::Feed;
use crate::domain::catalog::feed;
use crate::domain::policy;
use crate::stages::failure::Failure;
use crate::stages::messages::Cataloged;
use crate::store::catalog::{self, Catalog, feeds, items, todo};
use crate::store::mirrors::Mirror;
use crate::store::{Connection, StoreError, markers};

/// Pages of one slice.
const MOST_PAGES: u32 = 20;
/// No page is begun later than this.
const LONGEST: Duration = Duration::from_secs(8);
/// With so much to write it is written before the round has ended: a first round of a huge repository
/// takes hours.
const MUCH: u64 = 5_000;
/// A list of so many items is read whole when an event says that something in it was deleted; for a
/// longer one that waits for the sweep.
const SHORT: u64 = 1_000;

/// One slice of one mirror's catalog.
pub(super) struct Slice<'a> {
    pub(super) tools: &'a Tools,
    pub(super) mirror: &'a Mirror,
    pub(super) done: Cataloged,
}

pub(super) async fn run(tools: &Tools, mirror: &Mirror) -> Result<Cataloged, Failure> {
    let mut slice = Slice { tools, mirror, done: Cataloged::default() };
    let more = slice.work().await?;
    slice.done.more = more;
    Ok(slice.done)
}

impl Slice<'_> {
    /// What is left to do, and after what pause.
    async fn work(&mut self) -> Result<Option<Duration>, Failure> {
        let began = Instant::now();
        self.check_ref().await?;
        self.open().await?;
        while self.done.pages < MOST_PAGES {
            if began.elapsed() > LONGEST {
                return Ok(Some(Duration::ZERO));
            }
            let Some(pause) = self.step().await? else { return self.end(began).await };
            self.done.pages += 1;
            self.tools.progress.tell(self.mirror.id, "catalog", u64::from(self.done.pages));
            if self.todo().await? >= MUCH {
                self.publish().await?;
            }
            if !pause.is_zero() {
                tracing::info!(seconds = pause.as_secs(), "GitHub's limit is nearly used up: the catalog waits");
                return Ok(Some(pause));
            }
        }
        Ok(Some(Duration::ZERO))
    }

    /// All pages of the round were read.
    async fn end(&mut self, began: Instant) -> Result<Option<Duration>, Failure> {
        while self.todo().await? > 0 {
            if began.elapsed() > LONGEST {
                return Ok(Some(Duration::ZERO));
            }
            self.publish().await?;
        }
        let mirror = self.mirror.id;
        let next = Utc::now() + self.tools.sync.metadata_interval.mul_f64(0.9 + 0.2 * rand::random::<f64>());
        self.tools
            .store
            .write(move |c| {
                let first = catalog::find(c, mirror)?.is_some_and(|it| it.swept_at.is_none());
                catalog::close_round(c, mirror, next, Utc::now())?;
                if first { markers::soon(c, mirror, Utc::now()) } else { Ok(()) }
            })
            .await?;
        Ok(None)
    }

    async fn todo(&self) -> Result<u64, Failure> {
        let mirror = self.mirror.id;
        Ok(self.tools.store.read(move |c| todo::count(c, mirror)).await?)
    }

    /// Opens a round, unless one is open.
    async fn open(&self) -> Result<(), Failure> {
        let (mirror, every) = (self.mirror.id, self.tools.sync.metadata_sweep);
        self.tools
            .store
            .write(move |c| {
                catalog::ensure(c, mirror, Utc::now())?;
                let known = catalog::find(c, mirror)?.unwrap_or_default();
                if known.round_open { Ok(()) } else { open(c, mirror, &known, every) }
            })
            .await?;
        Ok(())
    }

    /// The catalog's row, which is there.
    pub(super) async fn catalog(&self) -> Result<Catalog, Failure> {
        let mirror = self.mirror.id;
        Ok(self.tools.store.read(move |c| catalog::find(c, mirror)).await?.unwrap_or_default())
    }
}

fn open(
    c: &mut Connection,
    mirror: crate::domain::ids::MirrorId,
    known: &Catalog,
    every: Duration,
) -> Result<(), StoreError> {
    let sweeping = policy::is_due(known.swept_at, every, Utc::now());
    let mut visits = feeds::load(c, mirror)?;
    let wishes = todo::take_wishes(c, mirror)?;
    let wanted = if sweeping { Feed::ALL.to_vec() } else { feed::wanted(&visits) };
    let counts = items::counts(c, mirror)?;
    for visit in &mut visits {
        let wishes = || wishes.iter().filter(|it| it.feed == visit.feed);
        let short = counts.get(&visit.feed.kind()).is_none_or(|it| *it <= SHORT);
        if !wanted.contains(&visit.feed) && wishes().next().is_none() {
            continue;
        }
        let whole = short && wishes().any(|it| it.whole);
        visit.begin(sweeping || whole);
        feeds::save(c, mirror, visit)?;
    }
    catalog::open_round(c, mirror, sweeping)
}
