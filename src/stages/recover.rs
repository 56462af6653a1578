//! Deliveries that never came in, fetched back from GitHub ([adr/0025](../../docs/adr/0025-missed-deliveries.md)).
//!
//! The orchestrator says when, holds the lease, and hands what was fetched to the stage that accepts. These are the
//! two steps: a page of GitHub's list, which writes down what is missing, and the payload of one delivery.
//! Either may be cut off and done again.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::failure::Failure;
use super::messages::Accept;
use crate::domain::ids::CorrelationId;
use crate::github::{Delivered, GithubClient, GithubError};
use crate::store::Store;
use crate::store::recoveries::{self, Recovery, Sent, Walk};
use crate::webhook::payload;

/// GitHub keeps deliveries for so long.
const KEPT: TimeDelta = TimeDelta::days(3);

/// What the steps work with.
#[derive(Clone)]
pub struct Tools {
    /// State.
    pub store: Store,
    /// Where to ask.
    pub github: GithubClient,
    /// So far a look goes back behind the last one: what was on its way then may have failed since.
    pub overlap: TimeDelta,
}

/// What a page led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Walked {
    /// There are more.
    On(Recovery),
    /// That was all.
    Done,
    /// Another process has the lease.
    Lost,
}

/// Reads the next page of the list, and writes down which of its deliveries are missing.
///
/// # Errors
/// GitHub's and the database's; the page is read again then.
pub async fn walk(tools: &Tools, recovery: &Recovery, worker: &str) -> Result<Walked, Failure> {
    let cursor = recovery.walk.as_ref().and_then(|it| it.cursor.as_deref());
    let page = match (tools.github.app_deliveries(cursor).await, cursor) {
        (Ok(page), _) => page,
        // An App without a webhook has no deliveries.
        (Err(GithubError::NotFound), None) => return Ok(Walked::Done),
        // GitHub does not know the place any more: from the top, which finds nothing twice.
        (Err(GithubError::NotFound | GithubError::Rejected { .. }), Some(_)) => {
            return forget_place(tools, recovery, worker).await;
        }
        (Err(error), _) => return Err(error.into()),
    };
    let now = Utc::now();
    let (from, to) = match (&recovery.walk, page.entries.first()) {
        (Some(walk), _) => (walk.from, walk.to),
        (None, Some(newest)) => (newest.at, floor(recovery.looked_to, newest.at.max(now), tools.overlap)),
        (None, None) => return Ok(Walked::Done),
    };
    let is_last = page.next.is_none() || page.entries.last().is_some_and(|it| it.at < to);
    let sent: Vec<Sent> = page.entries.iter().filter(|it| it.at >= to).filter_map(of_use).collect();
    let walk = Walk { from, to, cursor: page.next };
    let (app, worker, next) = (recovery.app, worker.to_owned(), walk.clone());
    let held = tools
        .store
        .write(move |c| {
            let held = recoveries::take_page(c, app, &worker, &sent, Some(&next))?;
            if held && is_last { recoveries::end_walk(c, app, &worker, from) } else { Ok(held) }
        })
        .await?;
    Ok(match (held, is_last) {
        (false, _) => Walked::Lost,
        (true, true) => Walked::Done,
        (true, false) => Walked::On(Recovery { walk: Some(walk), ..recovery.clone() }),
    })
}

/// Where a walk ends: a little behind the last one, and where GitHub forgets.
fn floor(looked_to: Option<DateTime<Utc>>, now: DateTime<Utc>, overlap: TimeDelta) -> DateTime<Utc> {
    let forgotten = now - KEPT;
    looked_to.map_or(forgotten, |it| (it - overlap).max(forgotten))
}

async fn forget_place(tools: &Tools, recovery: &Recovery, worker: &str) -> Result<Walked, Failure> {
    let (app, worker) = (recovery.app, worker.to_owned());
    let held = tools.store.write(move |c| recoveries::take_page(c, app, &worker, &[], None)).await?;
    Ok(if held { Walked::On(Recovery { walk: None, ..recovery.clone() }) } else { Walked::Lost })
}

/// A delivery that could ask for something. Stars make mirrors; everything else is about one that is there.
fn of_use(it: &Delivered) -> Option<Sent> {
    if !payload::is_of_use(&it.event) {
        return None;
    }
    let repository = it.repository.filter(|_| it.event != "star");
    Some(Sent { guid: it.guid.clone(), id: it.id, event: it.event.clone(), at: it.at, repository })
}

/// Fetches what one delivery said; `None` when that is not to be had any more, or makes no sense.
///
/// # Errors
/// GitHub's.
pub async fn fetch(tools: &Tools, missed: &Sent) -> Result<Option<Accept>, Failure> {
    let body = match tools.github.app_delivery(missed.id).await {
        Ok(body) => body,
        Err(GithubError::NotFound) => return Ok(None),
        Err(GithubError::Malformed(why)) => {
            tracing::warn!(delivery = missed.guid, "a missed delivery cannot be read: {why}");
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    match payload::parse(&missed.event, &body) {
        Ok(event) => {
            let correlation = CorrelationId(Uuid::now_v7());
            Ok(Some(Accept { guid: missed.guid.clone(), event, correlation, sent_at: Some(missed.at) }))
        }
        Err(error) => {
            tracing::warn!(delivery = missed.guid, code = error.code(), "a missed delivery is left out: {error}");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_ends_behind_the_last_one_and_where_github_forgets() {
        let now = Utc::now();
        let overlap = TimeDelta::hours(6);
        assert_eq!(floor(None, now, overlap), now - TimeDelta::days(3));
        assert_eq!(floor(Some(now - TimeDelta::hours(1)), now, overlap), now - TimeDelta::hours(7));
        assert_eq!(floor(Some(now - TimeDelta::days(9)), now, overlap), now - TimeDelta::days(3));
    }
}
