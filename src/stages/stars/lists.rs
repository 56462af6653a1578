//! Beside the stars: the lists that the user sorts them into. A reading that fails does not fail the look.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::look::Look;
use crate::domain::ids::{CorrelationId, GithubId};
use crate::domain::job::{JobKind, Priority};
use crate::domain::rate::Urgency;
use crate::domain::retry::Retry;
use crate::github::{GithubError, ListsSeen};
use crate::stages::failure::Failure;
use crate::store::audit::NewEntry;
use crate::store::jobs::NewJob;
use crate::store::star_lists::{self, Reading};
use crate::store::{Connection, StoreError, audit, jobs, mirrors, polls};

/// Mirrors that are told in one transaction that their lists changed.
const BATCH: u32 = 100;
/// After failures the next reading comes later each time, no later than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// How star lists are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListRule {
    /// How often.
    pub every: Duration,
    /// Projects lie where their lists say, so a change is told to their mirrors at once.
    pub placing: bool,
}

/// When within a look lists are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Before the stars: only if no reading was ever tried, so that the first mirrors go to their places at once.
    Before,
    /// Behind them: a fresh star does not wait for lists.
    Behind,
}

impl Look<'_> {
    /// Reads the user's lists if that is due.
    pub(super) async fn lists(&self, when: When) -> Result<(), Failure> {
        let Some(rule) = self.tools.lists else { return Ok(()) };
        let account = self.who.id;
        let known = self.tools.store.read(move |c| star_lists::reading(c, account)).await?;
        let is_due = known.as_ref().is_none_or(|it| it.next_at <= Utc::now());
        if is_due && (when == When::Behind || known.is_none()) {
            match self.github(Urgency::Routine).star_lists(&self.who).await {
                Ok(seen) => self.take_lists(seen, rule).await?,
                Err(GithubError::Unsupported(why)) if !self.has_lists().await? => {
                    if known.is_none() {
                        tracing::info!(user = self.who.login, "there are no star lists here: {why}");
                    }
                    self.take_lists(ListsSeen { lists: Vec::new(), as_owner: false }, rule).await?;
                }
                Err(error) => self.note_failure(error.into(), known.as_ref(), rule).await?,
            }
        }
        self.tell(rule).await
    }

    /// Whether lists of this user are known. Who has none loses nothing where GitHub has none.
    async fn has_lists(&self) -> Result<bool, Failure> {
        let account = self.who.id;
        Ok(!self.tools.store.read(move |c| star_lists::of_account(c, account)).await?.is_empty())
    }

    async fn take_lists(&self, seen: ListsSeen, rule: ListRule) -> Result<(), Failure> {
        let ListsSeen { lists: read, as_owner } = seen;
        let (login, worker, who, count) = (self.poll.login.clone(), self.worker.clone(), self.who.clone(), read.len());
        // Not all users at once.
        let next = Utc::now() + rule.every.mul_f64(0.9 + 0.1 * rand::random::<f64>());
        let taken = self.tools.store.write(move |c| {
            if !polls::is_held(c, &login, &worker)? {
                return Ok(None);
            }
            let now = Utc::now();
            let changed = star_lists::take(c, who.id, &read, as_owner, next, now)?;
            if changed > 0 {
                let detail = json!({ "lists": count, "repositories": changed });
                audit::append(c, &NewEntry { detail, ..NewEntry::of("starkeep", "lists.change", &who.login) }, now)?;
            }
            Ok(Some(changed))
        });
        let taken = taken.await?;
        self.held(taken.is_some())?;
        if let Some(changed) = taken.filter(|it| *it > 0) {
            tracing::info!(user = self.who.login, lists = count, repositories = changed, "star lists changed");
        }
        Ok(())
    }

    /// What was read before stays; told once.
    async fn note_failure(&self, failure: Failure, known: Option<&Reading>, rule: ListRule) -> Result<(), Failure> {
        let (account, now) = (self.who.id, Utc::now());
        if let Retry::After(pause) = failure.retry {
            return Ok(self.tools.store.write(move |c| star_lists::postpone(c, account, now + pause, now)).await?);
        }
        let before = known.map_or(0, |it| it.failures);
        let pause = rule.every.saturating_mul(1 << before.min(10)).min(LONGEST_PAUSE.max(rule.every));
        let (code, message) = (failure.code, failure.message.clone());
        let failed = move |c: &mut _| star_lists::failed(c, account, (code, &message), now + pause, now);
        if self.tools.store.write(failed).await? {
            tracing::warn!(user = self.who.login, code, "the star lists cannot be read: {}", failure.message);
        }
        Ok(())
    }

    /// Tells the mirrors whose lists changed, those of a look that was cut off included.
    async fn tell(&self, rule: ListRule) -> Result<(), Failure> {
        loop {
            let batch = self.tools.store.read(|c| star_lists::news(c, BATCH)).await?;
            if batch.is_empty() {
                return Ok(());
            }
            let correlation = self.correlation;
            let tell = move |c: &mut _| batch.iter().try_for_each(|id| told(c, *id, rule, correlation, Utc::now()));
            self.tools.store.write(tell).await?;
        }
    }
}

/// One that is synced looks closely at its project soon; one that is not, when it is synced again.
fn told(
    c: &mut Connection,
    id: GithubId,
    rule: ListRule,
    correlation: CorrelationId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    star_lists::told(c, id)?;
    if !rule.placing {
        return Ok(());
    }
    let Some(mirror) = mirrors::by_github_id(c, id)? else { return Ok(()) };
    mirrors::doubt_description(c, mirror.id)?;
    if mirror.status.is_synced() {
        jobs::enqueue(c, &NewJob::of(JobKind::Sync, mirror.id, Priority::ROUTINE, correlation), now)?;
    }
    Ok(())
}
