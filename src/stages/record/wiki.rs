//! How a look at a wiki ended: written to its own row, never to the mirror's.

use chrono::{DateTime, Utc};

use super::{Pen, error_of};
use crate::domain::mirror::Status;
use crate::domain::outcome::{Stats, Synced};
use crate::domain::part::{PartId, PartState};
use crate::domain::policy;
use crate::domain::retry::Retry;
use crate::stages::failure::{Failure, Verdict};
use crate::stages::messages::{Ending, Outcome, Record};
use crate::store::audit::{self, NewEntry};
use crate::store::mirrors::{self, Proven};
use crate::store::syncs::Outcome as SyncOutcome;
use crate::store::{Connection, StoreError, jobs, markers, parts};

impl Pen {
    pub(super) fn wiki(&self, c: &mut Connection, it: &Record) -> Result<Ending, StoreError> {
        let id = PartId::wiki(it.ticket.mirror);
        match &it.outcome {
            Outcome::Synced(synced) => self.wiki_synced(c, it, id, synced)?,
            Outcome::Absent => self.wiki_absent(c, id)?,
            Outcome::Failed(failure) => return self.wiki_failed(c, it, id, failure),
            // Nobody could look: the mirror is held, or its upstream is gone.
            Outcome::Compared(_) | Outcome::Cataloged(_) | Outcome::Nothing => {
                parts::schedule(c, id, Some(self.next_wiki_look()), self.now)?;
            }
        }
        self.finish(c, it)
    }

    fn wiki_synced(&self, c: &mut Connection, it: &Record, id: PartId, synced: &Synced) -> Result<(), StoreError> {
        let next = Some(self.next_wiki_look());
        if !synced.both_read {
            let state = if synced.not_level.is_empty() { PartState::Healthy } else { PartState::Partial };
            return parts::looked(c, id, state, next, self.now).map(drop);
        }
        let first = parts::find(c, id)?.is_none_or(|it| it.first_proof_at.is_none());
        parts::record_proof(c, id, &self.proven(synced, next))?;
        self.mark(c, it, synced)?;
        if first {
            markers::queue(c, id.mirror, it.ticket.correlation, self.now)?;
        }
        let outcome = super::outcome_of(synced);
        self.history(c, it, outcome, &synced.stats, Some(&synced.digest), None)
    }

    /// What a sync proved.
    pub(super) fn proven(&self, synced: &Synced, next: Option<DateTime<Utc>>) -> Proven {
        Proven {
            digest: synced.digest.clone(),
            onedev_digest: Some(synced.digest.clone()),
            head: synced.head,
            ref_count: i64::try_from(synced.ref_count).unwrap_or(i64::MAX),
            default_branch: synced.default_branch.clone(),
            upstream_head: synced.upstream_head.clone(),
            not_level: synced.not_level.clone(),
            status: if synced.not_level.is_empty() { Status::Healthy } else { Status::Partial },
            changed: synced.stats.changed(),
            verified_at: self.now,
            next_sync_at: next,
        }
    }

    /// Upstream has no wiki. Where there is a copy, it has none any more.
    fn wiki_absent(&self, c: &mut Connection, id: PartId) -> Result<(), StoreError> {
        let known = parts::find(c, id)?;
        let copied = known.as_ref().is_some_and(|it| it.first_proof_at.is_some());
        let state = if copied { PartState::Gone } else { PartState::Absent };
        if copied && known.is_some_and(|it| it.state != state) {
            markers::soon(c, id.mirror, self.now)?;
        }
        parts::looked(c, id, state, Some(self.next_wiki_look()), self.now).map(drop)
    }

    fn wiki_failed(
        &self,
        c: &mut Connection,
        it: &Record,
        id: PartId,
        failure: &Failure,
    ) -> Result<Ending, StoreError> {
        if failure.verdict == Verdict::CalledOff {
            return self.called_off(c, it, failure);
        }
        self.history(c, it, SyncOutcome::Failed, &Stats::default(), None, Some(failure))?;
        parts::record_error(c, id, error_of(failure), self.now)?;
        if let Verdict::Held { told } = failure.verdict {
            if !told {
                parts::hold(c, id, self.now)?;
                self.tell_of_hold(c, it, failure)?;
            }
            parts::schedule(c, id, Some(self.next_wiki_look()), self.now)?;
            return self.finish(c, it);
        }
        let attempts = it.job.attempts + u32::from(!matches!(failure.retry, Retry::After(_)));
        let pause = match failure.retry {
            Retry::After(pause) => Some((pause, false)),
            Retry::Backoff => self.rule.pause(attempts, self.draw).map(|it| (it, true)),
            Retry::Never => None,
        };
        if let Some((pause, counted)) = pause {
            return self.postpone(c, it, failure, pause, counted);
        }
        self.tell_of_death(c, it, failure)?;
        // A dead job is no reason never to look again: the sweep will.
        parts::schedule(c, id, Some(self.now + policy::DEEP_CHECK), self.now)?;
        Ok(if jobs::bury(c, it.job.id, &it.worker, error_of(failure), self.now)? { Ending::Dead } else { Ending::Lost })
    }

    /// That a sync waits for an admin, in the audit log.
    pub(super) fn tell_of_hold(&self, c: &mut Connection, it: &Record, failure: &Failure) -> Result<(), StoreError> {
        let mirror = it.ticket.mirror;
        let name = mirrors::find(c, mirror)?.map_or_else(|| mirror.to_string(), |it| it.name.to_string());
        let mut entry = NewEntry::of("starkeep", "mirror.hold", &name);
        entry.outcome = failure.code.to_owned();
        entry.detail = serde_json::json!({ "mirror": mirror, "job": it.job.kind, "message": failure.message });
        entry.correlation = Some(it.ticket.correlation);
        audit::append(c, &entry, self.now)
    }

    /// That nobody will try a job again by himself, in the audit log.
    pub(super) fn tell_of_death(&self, c: &mut Connection, it: &Record, failure: &Failure) -> Result<(), StoreError> {
        let mut entry = NewEntry::of("starkeep", &format!("job.{}", it.job.kind), &it.ticket.mirror.to_string());
        entry.outcome = failure.code.to_owned();
        entry.correlation = Some(it.ticket.correlation);
        audit::append(c, &entry, self.now)
    }

    /// An interval from now, a tenth more or less.
    fn next_wiki_look(&self) -> DateTime<Utc> {
        self.now + self.sync.wiki_interval.mul_f64(0.9 + 0.2 * self.draw)
    }
}
