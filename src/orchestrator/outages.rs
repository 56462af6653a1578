//! Jobs that wait for a server which is away stay where they are, but for one at a time that tries it; when it answers
//! again, they come back one after the other.

use chrono::{TimeDelta, Utc};

use super::{Only, Tools};
use crate::domain::ids::JobId;
use crate::domain::job::{JobKind, Priority};
use crate::domain::outage::comes_back;
use crate::stages::failure::Failure;
use crate::store::jobs::{self, Claim, Job, Waits};
use crate::telemetry::outages::Return;

/// Jobs that come back in one transaction.
const AT_ONCE: usize = 500;
/// What waits for a server that is away is put off by so much, until it answers.
const ON: TimeDelta = TimeDelta::seconds(60);
/// From a refusal until it is written down.
const MARGIN: TimeDelta = TimeDelta::seconds(1);
/// Whoever is told that a server is away waits for longer than this.
const TOLD: TimeDelta = TimeDelta::seconds(5);

/// Claims up to `most` jobs that can be worked on, the most urgent first.
pub(super) async fn claim(tools: &Tools, most: usize) -> Result<Vec<Job>, Failure> {
    bring_back(tools).await?;
    let (barred, tried) = (tools.outages.waited_for(), tools.outages.to_try());
    let lease = TimeDelta::from_std(tools.lease).unwrap_or(TimeDelta::MAX);
    let (worker, only) = (tools.worker.clone(), tools.only.as_ref().map(Only::all));
    let claim = move |c: &mut _| {
        let waits = Waits::ForNoneOf(&barred);
        let (worker, only) = (worker.as_str(), only.as_deref());
        let wanted = Claim { worker, now: Utc::now(), lease, kinds: &JobKind::ALL, only, waits };
        if !barred.is_empty() {
            // It is no use that they are due, and whoever waits for what is due need not wait for them.
            jobs::put_off(c, &barred, Utc::now() + ON, Utc::now())?;
        }
        let mut claimed = Vec::new();
        for server in &tried {
            // One that waits for it need not be due: it tries for all.
            if claimed.len() < most {
                claimed.extend(jobs::claim_one(c, &Claim { waits: Waits::ForOneOf(server.waited_for()), ..wanted })?);
            }
        }
        claimed.extend(jobs::claim_some(c, &wanted, most - claimed.len())?);
        Ok(claimed)
    };
    let claimed: Vec<Job> = tools.store.write(claim).await?;
    // A person may have mended something just now.
    if claimed.iter().any(|it| it.priority >= Priority::ASKED && it.error.is_none()) {
        tools.outages.hurry();
    }
    Ok(claimed)
}

/// The jobs that waited for servers which answer again are due, one after the other.
pub(super) async fn bring_back(tools: &Tools) -> Result<(), Failure> {
    for Return { server, is_news, ago } in tools.outages.answer_again() {
        let now = Utc::now();
        // Behind the first time only those who were just being written down.
        let since = now - TimeDelta::from_std(ago).unwrap_or(TimeDelta::MAX) - MARGIN;
        let late = (!is_news).then_some((since, now + TOLD));
        let ids: Vec<JobId> = tools.store.read(move |c| jobs::waiting_for(c, server.waited_for(), late)).await?;
        let all = ids.len();
        let at = |place| now + comes_back(place, all, rand::random());
        let planned: Vec<_> = ids.into_iter().enumerate().map(|(place, id)| (id, at(place))).collect();
        for some in planned.chunks(AT_ONCE) {
            let some = some.to_vec();
            tools.store.write(move |c| jobs::reschedule(c, &some)).await?;
        }
        if is_news && all > 0 {
            tracing::info!(jobs = all, "the jobs that waited for {server} come back");
        }
    }
    Ok(())
}
