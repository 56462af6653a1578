//! What must be put right from time to time: leases that ran out, mirrors that are due, old history.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Only, Records, Tools, listings, recover, stars, sweep};
use crate::domain::ids::{CorrelationId, MirrorId};
use crate::domain::job::{JobKind, Priority};
use crate::domain::part::Part;
use crate::stages::failure::Failure;
use crate::store::jobs::{self, NewJob};
use crate::store::{
    Connection, StoreError, audit, catalog, deliveries, drills, history, keyed_calls, listings as batches, markers,
    parts, sessions, settings, syncs, turns,
};

/// Mirrors queued in one go; the rest follows at the next look.
const DUE_AT_ONCE: u32 = 500;
/// Markers queued in one go.
const MARKERS_AT_ONCE: i64 = 100;
/// Ended jobs are kept as history for so long.
const JOBS_KEPT: chrono::Duration = chrono::Duration::days(7);
/// The runs of a mirror are kept for so long, and the latest always.
const SYNCS_KEPT: chrono::Duration = chrono::Duration::days(90);
/// Batches are kept for so long, as history and for those who ask again with the same key.
const BATCHES_KEPT: chrono::Duration = chrono::Duration::days(90);

pub(super) async fn run(tools: &Arc<Tools>) -> Result<(), Failure> {
    if tools.stop.is_cancelled() {
        return Ok(());
    }
    let freed = tools.store.write(|c| jobs::free_expired(c, Utc::now())).await?;
    if freed > 0 {
        tracing::warn!(jobs = freed, "leases had run out; their jobs are free again");
    }
    listings::begin(tools, tools.only.as_ref().map(Only::batches)).await?;
    if tools.only.is_none() {
        stars::begin(tools).await?;
        recover::begin(tools).await?;
        let is_trusted = sweep::begin(tools).await?;
        queue_due(tools, is_trusted).await?;
        queue_markers(tools).await?;
        queue_drills(tools).await?;
        if tools.metadata {
            queue_catalogs(tools).await?;
        }
        let (history, records) = (tools.history, tools.records);
        tools.store.write(move |c| tidy(c, history, records, Utc::now())).await?;
        tools.store.write(move |c| see_to_audit(c, records, Utc::now())).await?;
    }
    Ok(())
}

/// Deliveries whose jobs ended unseen are settled, and what is old goes, a bounded number of rows at each look.
fn tidy(
    c: &mut Connection,
    remembered: std::time::Duration,
    records: Records,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if !turns::take(c, "tidy")? {
        return Ok(());
    }
    deliveries::settle_open(c)?;
    jobs::prune(c, now - JOBS_KEPT)?;
    deliveries::prune(c, now - records.deliveries)?;
    deliveries::prune_beyond(c, records.most_deliveries)?;
    syncs::prune(c, now - SYNCS_KEPT)?;
    batches::prune(c, now - BATCHES_KEPT)?;
    history::prune(c, now - remembered)?;
    keyed_calls::prune(c, now - keyed_calls::LIFETIME)?;
    sessions::prune(c, now)?;
    Ok(())
}

/// The chain over the audit log follows within a second or two, 1,000 entries at each look.
fn see_to_audit(c: &mut Connection, records: Records, now: DateTime<Utc>) -> Result<(), StoreError> {
    audit::chain::extend(c)?;
    if let Some(keep) = records.audit {
        audit::chain::prune(c, now - keep, now)?;
    }
    Ok(())
}

/// Looks before it writes, as nearly always nothing is due.
async fn queue_markers(tools: &Tools) -> Result<(), Failure> {
    if tools.store.read(|c| markers::is_due(c, Utc::now())).await? {
        let queue = |c: &mut Connection| match turns::take(c, "markers")? {
            true => markers::queue_due(c, Utc::now(), MARKERS_AT_ONCE).map(drop),
            false => Ok(()),
        };
        tools.store.write(queue).await?;
    }
    Ok(())
}

/// When the next drill is due, in the settings: one service of several does it.
const NEXT_DRILL: &str = "drill.next";

async fn queue_drills(tools: &Tools) -> Result<(), Failure> {
    let Some((every, sample)) = tools.drills.every else { return Ok(()) };
    let is_due = |next: Option<String>| {
        next.and_then(|it| DateTime::parse_from_rfc3339(&it).ok()).is_none_or(|it| it <= Utc::now())
    };
    if !is_due(tools.store.read(|c| settings::get(c, NEXT_DRILL)).await?) {
        return Ok(());
    }
    let draws: Vec<f64> = (0..sample).map(|_| rand::random()).collect();
    tools
        .store
        .write(move |c| {
            if !turns::take(c, "drill")? {
                return Ok(());
            }
            let next = settings::get(c, NEXT_DRILL)?;
            let begun = next.is_some();
            if !is_due(next) {
                return Ok(());
            }
            settings::set(c, NEXT_DRILL, &(Utc::now() + every).to_rfc3339())?;
            // A service that has just been set up has nothing to drill yet.
            if begun { drill_some(c, &draws) } else { Ok(()) }
        })
        .await?;
    Ok(())
}

/// Queues a drill of as many mirrors as there are draws, which are numbers from 0 to 1.
fn drill_some(c: &mut Connection, draws: &[f64]) -> Result<(), StoreError> {
    let mut all = drills::candidates(c)?;
    for draw in draws {
        if all.is_empty() {
            break;
        }
        let place = (draw * all.len() as f64) as usize;
        let mirror = all.swap_remove(place.min(all.len() - 1));
        let job = NewJob::of(JobKind::Drill, mirror, Priority::UPKEEP, CorrelationId(Uuid::now_v7()));
        jobs::enqueue(c, &job, Utc::now())?;
    }
    Ok(())
}

async fn queue_due(tools: &Tools, is_trusted: bool) -> Result<(), Failure> {
    queue(tools, JobKind::Sync, sweep::due(tools, is_trusted, DUE_AT_ONCE)).await?;
    if tools.wiki {
        let due = |c: &mut Connection| parts::due(c, Part::Wiki, JobKind::Wiki, Utc::now(), DUE_AT_ONCE);
        queue(tools, JobKind::Wiki, due).await?;
    }
    Ok(())
}

/// Queues what is due. Looks first, as nearly always nothing is, and again in its turn: what another process has just
/// queued may be done by now, and would be done twice.
async fn queue(
    tools: &Tools,
    kind: JobKind,
    due: impl Fn(&mut Connection) -> Result<Vec<MirrorId>, StoreError> + Copy + Send + 'static,
) -> Result<(), Failure> {
    if tools.store.read(due).await?.is_empty() {
        return Ok(());
    }
    tools
        .store
        .write(move |c| {
            if !turns::take(c, kind.as_str())? {
                return Ok(());
            }
            due(c)?.iter().try_for_each(|mirror| {
                let job = NewJob::of(kind, *mirror, Priority::ROUTINE, CorrelationId(Uuid::now_v7()));
                jobs::enqueue(c, &job, Utc::now()).map(drop)
            })
        })
        .await?;
    Ok(())
}

async fn queue_catalogs(tools: &Tools) -> Result<(), Failure> {
    queue(tools, JobKind::Catalog, |c: &mut Connection| catalog::due(c, Utc::now(), DUE_AT_ONCE)).await
}
