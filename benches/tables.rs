//! Large tables: whether a claim takes longer with many jobs queued, a page with many before it, an entry of the audit
//! log with many there. Of each a small and a large table in the same run, on both databases.

use std::time::Instant;

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use starkeep::store::audit::{self, NewEntry};
use starkeep::store::page::Window;
use starkeep::store::{Store, jobs, mirrors, notices};

use crate::support::bed::{self, Bed};
use crate::support::child;
use crate::support::number;
use crate::support::report::{Samples, at_most, line, seconds, times};

/// What is measured so often.
const TIMES: usize = 100;
const LARGEST_PAGE: u32 = 200;

pub(crate) fn run() -> anyhow::Result<()> {
    let (many, entries) = (number("STARKEEP_BENCH_MIRRORS", 100_000), number("STARKEEP_BENCH_ENTRIES", 1_000_000));
    line("mirrors with a job each, entries of the audit log", &format!("{many}, {entries}"));
    actix::System::new().block_on(async {
        let folder = child::scratch()?;
        measure("SQLite", many, entries, || Some(bed::sqlite(folder.path()))).await?;
        measure("Postgres", many, entries, bed::postgres).await
    })
}

async fn measure(name: &str, many: usize, entries: usize, make: impl Fn() -> Option<Bed>) -> anyhow::Result<()> {
    let (Some(small), Some(large)) = (make(), make()) else {
        line(name, "not measured: there is none");
        return Ok(());
    };
    let (few, mine) = (small.store().await?, large.store().await?);
    small.mirrors(TIMES, true)?;
    large.mirrors(many, true)?;
    let (before, after) = (claims(&few).await?, claims(&mine).await?);
    let of = |what: &str| format!("{name}: {what}");
    at_most(&of("claim with all of them queued"), after.median(), 0.005, seconds);
    line(&of("the same with 100 queued, the ratio"), &both(&before, &after));

    let (first, last, all) = pages(&mine).await?;
    at_most(&of("page of 200 mirrors, the last ones"), last.median(), 0.020, seconds);
    line(&of("the first pages, the ratio"), &both(&first, &last));
    at_most(&of("of all pages, p99"), all.quantile(0.99), 0.020, seconds);

    line(&of("a look for what people are to be told"), &looks(&mine).await?.seconds());

    small.entries(1_000)?;
    large.entries(entries)?;
    let (before, after) = (appends(&few).await?, appends(&mine).await?);
    line(&of("entry of the audit log, all there; 1,000 there, the ratio"), &both(&before, &after));
    let (before, after) = (entry_pages(&few, 500).await?, entry_pages(&mine, entries / 2).await?);
    line(&of("page of 200 in its middle; the same of 1,000, the ratio"), &both(&before, &after));
    Ok(())
}

/// The large table's median, the small one's, and how they compare.
fn both(small: &Samples, large: &Samples) -> String {
    let ratio = large.median() / small.median();
    format!("{}; {}, {}", seconds(large.median()), seconds(small.median()), times(ratio))
}

async fn claims(store: &Store) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..TIMES {
        let began = Instant::now();
        let lease = TimeDelta::seconds(600);
        let claimed = store.write(move |c| jobs::claim_many(c, "bench", Utc::now(), lease, 1, None)).await?;
        samples.add_time(began.elapsed());
        anyhow::ensure!(claimed.len() == 1, "there is no job to claim");
    }
    Ok(samples)
}

/// The first pages, the last, and all.
async fn pages(store: &Store) -> anyhow::Result<(Samples, Samples, Samples)> {
    let (mut measured, mut cursor) = (Vec::new(), None);
    loop {
        let window = Window { limit: LARGEST_PAGE, cursor };
        let began = Instant::now();
        let page = store.read(move |c| mirrors::list(c, &mirrors::Filter::default(), &window)).await?;
        measured.push(began.elapsed());
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let some = measured.len().min(20);
    let (first, last) = (measured.get(..some), measured.get(measured.len() - some..));
    let samples = |times: &[std::time::Duration]| {
        let mut samples = Samples::default();
        times.iter().for_each(|it| samples.add_time(*it));
        samples
    };
    let (first, last) = first.zip(last).context("there is no page")?;
    Ok((samples(first), samples(last), samples(&measured)))
}

async fn looks(store: &Store) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..10 {
        let began = Instant::now();
        store.read(|c| notices::is_needed(c, Utc::now())).await?;
        samples.add_time(began.elapsed());
    }
    Ok(samples)
}

async fn appends(store: &Store) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..TIMES {
        let began = Instant::now();
        store.write(|c| audit::append(c, &NewEntry::of("admin", "mirror.sync", "a"), Utc::now())).await?;
        samples.add_time(began.elapsed());
    }
    Ok(samples)
}

async fn entry_pages(store: &Store, before: usize) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..TIMES {
        let window = Window { limit: LARGEST_PAGE, cursor: Some(before.to_string()) };
        let began = Instant::now();
        let page = store.read(move |c| audit::list(c, &audit::Filter::default(), &window)).await?;
        samples.add_time(began.elapsed());
        anyhow::ensure!(page.items.len() == LARGEST_PAGE as usize, "the page is short");
    }
    Ok(samples)
}
