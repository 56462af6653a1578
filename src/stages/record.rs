//! The last stage: writes down how a job ended, all of it in one transaction.

mod wiki;

use std::sync::Arc;

use actix::{Actor, Context, Handler, ResponseActFuture, WrapFuture as _};
use chrono::{DateTime, TimeDelta, Utc};

use super::failure::{Failure, Verdict};
use super::messages::{Cataloged, Ending, Outcome, Record};
use super::panics::Panics;
use super::pool::Guard;
use crate::config::sync::{Engine, Sync};
use crate::domain::catalog::Unit;
use crate::domain::ids::MirrorId;
use crate::domain::job::{JobKind, Priority};
use crate::domain::mirror::Status;
use crate::domain::outcome::{Comparison, Moved, Stats, Synced};
use crate::domain::part::{Part, PartId};
use crate::domain::policy;
use crate::domain::retry::{self, BackoffRule, Retry};
use crate::domain::sweep::{Activity, Next};
use crate::store::jobs::{self, NewJob};
use crate::store::mirrors;
use crate::store::syncs::{self, Outcome as SyncOutcome, Work};
use crate::store::{Connection, Store, StoreError, catalog, kept, markers, parts, vanished};
use crate::telemetry::metrics::Metrics;

/// Between two tries of LFS objects.
const LEAST_PAUSE: TimeDelta = TimeDelta::seconds(5);
/// The project is told after so long which refs starkeep made or deleted: several syncs together.
const NAMES_TOLD: chrono::Duration = chrono::Duration::minutes(10);
/// And after so long where refs moved: one marker a day.
const MOVES_TOLD: chrono::Duration = markers::MOVES_TOLD;

/// What the stage works with.
pub struct Tools {
    /// State.
    pub store: Store,
    /// When a mirror is looked at again.
    pub sync: Sync,
    /// How failures are tried again.
    pub rule: BackoffRule,
    /// What is counted.
    pub metrics: Metrics,
    /// Planned panics; none in production.
    pub panics: Panics,
}

/// The actor: one outcome at a time.
pub struct RecordActor {
    tools: Arc<Tools>,
    _guard: Guard,
}

impl RecordActor {
    /// One child of the stage's pool.
    pub fn new(tools: Arc<Tools>, guard: Guard) -> Self {
        Self { tools, _guard: guard }
    }
}

impl Actor for RecordActor {
    type Context = Context<Self>;
}

impl Handler<Record> for RecordActor {
    type Result = ResponseActFuture<Self, Result<Ending, Failure>>;

    fn handle(&mut self, message: Record, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move {
            tools.panics.strike("record");
            count(&tools, &message);
            let pen = Pen { sync: tools.sync.clone(), rule: tools.rule, draw: rand::random(), now: Utc::now() };
            Ok(tools.store.write(move |c| pen.record(c, &message)).await?)
        };
        Box::pin(work.into_actor(self))
    }
}

fn count(tools: &Tools, message: &Record) {
    if message.job.kind != JobKind::Sync {
        return;
    }
    let outcome = match &message.outcome {
        Outcome::Synced(it) if it.stats.changed() => "changed",
        Outcome::Synced(_) => "unchanged",
        Outcome::Failed(failure) if failure.verdict == Verdict::CalledOff => "cut_off",
        Outcome::Failed(failure) if matches!(failure.verdict, Verdict::Held { .. }) => "held",
        Outcome::Failed(_) => "failed",
        Outcome::Compared(_) | Outcome::Absent | Outcome::Cataloged(_) | Outcome::Nothing => return,
    };
    tools.metrics.syncs.with_label_values(&[outcome, tools.sync.engine.name()]).inc();
    if let Outcome::Synced(it) = &message.outcome {
        let size = match it.stats.bytes_in {
            0..100_000_000 => "small",
            100_000_000..1_000_000_000 => "medium",
            _ => "large",
        };
        let took = (Utc::now() - message.started_at).to_std().unwrap_or_default();
        tools.metrics.sync_duration.with_label_values(&[size]).observe(took.as_secs_f64());
    }
}

/// What writing an outcome down takes besides the database.
struct Pen {
    sync: Sync,
    rule: BackoffRule,
    draw: f64,
    now: DateTime<Utc>,
}

impl Pen {
    fn record(&self, c: &mut Connection, it: &Record) -> Result<Ending, StoreError> {
        if it.job.kind == JobKind::Wiki {
            return self.wiki(c, it);
        }
        match &it.outcome {
            Outcome::Nothing | Outcome::Absent => self.finish(c, it),
            Outcome::Synced(synced) => {
                self.synced(c, it, synced)?;
                self.finish(c, it)
            }
            Outcome::Compared(comparison) => {
                self.compared(c, it, comparison)?;
                self.finish(c, it)
            }
            Outcome::Cataloged(done) => self.cataloged(c, it, done),
            Outcome::Failed(failure) if it.job.kind == JobKind::Catalog => self.catalog_failed(c, it, failure),
            Outcome::Failed(failure) => self.failed(c, it, failure),
        }
    }

    /// One slice is done; what is left is a job of its own, behind everything that is more urgent.
    fn cataloged(&self, c: &mut Connection, it: &Record, done: &Cataloged) -> Result<Ending, StoreError> {
        let ending = self.finish(c, it)?;
        if let (Ending::Done, Some(pause)) = (ending, done.more) {
            let run_after = Some(self.now + pause);
            let job = NewJob::of(JobKind::Catalog, it.ticket.mirror, Priority::ROUTINE, it.ticket.correlation);
            jobs::enqueue(c, &NewJob { run_after, ..job }, self.now)?;
        }
        Ok(ending)
    }

    /// The mirror's health does not hang on its catalog: the failure is the catalog's own.
    fn catalog_failed(&self, c: &mut Connection, it: &Record, failure: &Failure) -> Result<Ending, StoreError> {
        if failure.verdict == Verdict::CalledOff {
            return self.postpone(c, it, failure, std::time::Duration::ZERO, false);
        }
        let (attempts, mirror) = (it.job.attempts + 1, it.ticket.mirror);
        let (pause, counted) = match failure.retry {
            Retry::After(pause) => (Some(retry::spread(pause, self.draw)), false),
            Retry::Backoff => (self.rule.pause(attempts, self.draw), true),
            Retry::Never => (None, true),
        };
        // What no retry mends is looked at with the patience of a daily check.
        let rest = if failure.retry == Retry::Never { policy::DEEP_CHECK } else { self.sync.metadata_interval };
        let next = pause.is_none().then(|| self.now + rest.max(self.sync.metadata_interval));
        catalog::record_error(c, mirror, error_of(failure), next, self.now)?;
        match pause {
            Some(pause) => self.postpone(c, it, failure, pause, counted),
            None => {
                let buried = jobs::bury(c, it.job.id, &it.worker, error_of(failure), self.now)?;
                Ok(if buried { Ending::Dead } else { Ending::Lost })
            }
        }
    }

    fn finish(&self, c: &mut Connection, it: &Record) -> Result<Ending, StoreError> {
        Ok(if jobs::finish(c, it.job.id, &it.worker, self.now)? { Ending::Done } else { Ending::Lost })
    }

    fn synced(&self, c: &mut Connection, it: &Record, synced: &Synced) -> Result<(), StoreError> {
        let mirror = it.ticket.mirror;
        let looks = self.next_looks(c, mirror, synced.stats.changed())?;
        // An object that could not be brought is tried again at its own time, but not without a pause.
        let retry = synced.retry_at.map_or(looks.full, |at| looks.full.min(at.max(self.now + LEAST_PAUSE)));
        let next = looks.at.min(retry);
        if synced.both_read {
            mirrors::record_proof(c, mirror, &self.proven(synced, Some(next)))?;
            self.begin_wiki(c, it)?;
            self.mark(c, it, synced)?;
            if self.sync.metadata && catalog::ensure(c, mirror, self.now)? {
                let job = NewJob::of(JobKind::Catalog, mirror, Priority::ROUTINE, it.ticket.correlation);
                jobs::enqueue(c, &job, self.now)?;
            }
        } else {
            mirrors::record_unchanged(c, mirror, next, self.now)?;
            if synced.retry_at.is_some() || synced.stats.changed() {
                mirrors::set_not_level(c, mirror, &synced.not_level, self.now)?;
            }
            if synced.stats.changed() {
                markers::later(c, mirror, self.now + MOVES_TOLD)?;
            }
        }
        mirrors::plan_full(c, mirror, retry)?;
        vanished::forget(c, mirror)?;
        // Only now, since a kept ref goes only while upstream is there.
        if kept::any_given_up(c, mirror, &self.sync.retention(), self.now)? {
            markers::soon(c, mirror, self.now)?;
        }
        let outcome = outcome_of(synced);
        self.history(c, it, outcome, &synced.stats, Some(&synced.digest), None)
    }

    /// The first look at the wiki follows the first proof.
    fn begin_wiki(&self, c: &mut Connection, it: &Record) -> Result<(), StoreError> {
        let mirror = it.ticket.mirror;
        if self.sync.wiki && parts::begin(c, PartId::wiki(mirror), self.now)? {
            let job = NewJob::of(JobKind::Wiki, mirror, Priority::ROUTINE, it.ticket.correlation);
            jobs::enqueue(c, &job, self.now)?;
        }
        Ok(())
    }

    /// The project is told at once of what nobody else knows, soon of names that came and went, and once a
    /// day of what only moved.
    fn mark(&self, c: &mut Connection, it: &Record, synced: &Synced) -> Result<(), StoreError> {
        let stats = &synced.stats;
        let due = if stats.created + stats.deleted > 0 { NAMES_TOLD } else { MOVES_TOLD };
        let (mirror, correlation) = (it.ticket.mirror, it.ticket.correlation);
        let known = markers::later(c, mirror, self.now + due)?;
        if known && stats.kept + stats.aliased == 0 {
            return Ok(());
        }
        markers::queue(c, mirror, correlation, self.now)
    }

    /// A comparison that found all level is a proof; one that did not asks for a sync.
    fn compared(&self, c: &mut Connection, it: &Record, comparison: &Comparison) -> Result<(), StoreError> {
        let mirror = it.ticket.mirror;
        if let Some(moved) = &comparison.catalog {
            self.catalog_moved(c, it, moved)?;
        }
        if comparison.is_level() {
            mirrors::record_verified(c, mirror, &comparison.digest, self.now)?;
            vanished::forget(c, mirror)?;
            return Ok(());
        }
        let message = told(comparison);
        mirrors::record_error(c, mirror, ("not_level", &message), 0, Status::Error, self.now)?;
        let job = NewJob::of(JobKind::Sync, mirror, Priority::CHANGED, it.ticket.correlation);
        jobs::enqueue(c, &job, self.now)?;
        Ok(())
    }

    /// The catalog's next look puts its ref back, what stands there now being kept first.
    fn catalog_moved(&self, c: &mut Connection, it: &Record, moved: &Moved) -> Result<(), StoreError> {
        let mirror = it.ticket.mirror;
        let found = moved.found.map_or_else(|| "is gone".to_owned(), |oid| format!("stands at {oid}"));
        let message = format!("somebody moved {}: it {found}, it was put at {}", moved.name, moved.expected);
        catalog::record_error(c, mirror, ("catalog_moved", &message), None, self.now)?;
        catalog::todo::add(c, mirror, [Unit::Repository])?;
        let job = NewJob::of(JobKind::Catalog, mirror, Priority::CHANGED, it.ticket.correlation);
        jobs::enqueue(c, &job, self.now).map(drop)
    }

    fn failed(&self, c: &mut Connection, it: &Record, failure: &Failure) -> Result<Ending, StoreError> {
        if failure.verdict == Verdict::CalledOff {
            return self.called_off(c, it, failure);
        }
        self.history(c, it, SyncOutcome::Failed, &Stats::default(), None, Some(failure))?;
        if !it.job.kind.tells_of_the_mirror() {
            return self.again(c, it, failure);
        }
        let mirror = it.ticket.mirror;
        let status = match failure.verdict {
            Verdict::Gone => Some(Status::Gone),
            Verdict::Paused => Some(Status::Paused),
            Verdict::Held { told } => return self.held(c, it, failure, told),
            Verdict::Fault | Verdict::CalledOff => None,
        };
        if let Some(status) = status {
            mirrors::record_error(c, mirror, (failure.code, &failure.message), 0, status, self.now)?;
            mirrors::schedule(c, mirror, Some(self.now + policy::DEEP_CHECK), self.now)?;
            return self.finish(c, it);
        }
        // Waiting that the other side asked for is no attempt.
        let attempts = it.job.attempts + u32::from(!matches!(failure.retry, Retry::After(_)));
        mirrors::record_error(c, mirror, (failure.code, &failure.message), attempts, Status::Error, self.now)?;
        self.again(c, it, failure)
    }

    /// When a failed job is tried again, if it is.
    fn again(&self, c: &mut Connection, it: &Record, failure: &Failure) -> Result<Ending, StoreError> {
        let attempts = it.job.attempts + u32::from(!matches!(failure.retry, Retry::After(_)));
        match failure.retry {
            Retry::After(pause) => self.postpone(c, it, failure, retry::spread(pause, self.draw), false),
            Retry::Backoff => match self.rule.pause(attempts, self.draw) {
                Some(pause) => self.postpone(c, it, failure, pause, true),
                None => self.bury(c, it, failure),
            },
            Retry::Never => self.bury(c, it, failure),
        }
    }

    fn called_off(&self, c: &mut Connection, it: &Record, failure: &Failure) -> Result<Ending, StoreError> {
        self.history(c, it, SyncOutcome::CutOff, &Stats::default(), None, Some(failure))?;
        let postponed = jobs::postpone(c, it.job.id, &it.worker, self.now, false, Some(error_of(failure)), self.now)?;
        Ok(if postponed { Ending::Postponed } else { Ending::Lost })
    }

    /// It waits for an admin. That is audited once; the looks that follow find the same and say nothing.
    fn held(&self, c: &mut Connection, it: &Record, failure: &Failure, told: bool) -> Result<Ending, StoreError> {
        let mirror = it.ticket.mirror;
        mirrors::record_error(c, mirror, (failure.code, &failure.message), 0, Status::Error, self.now)?;
        let next = self.next_looks(c, mirror, false)?.at;
        mirrors::schedule(c, mirror, Some(next), self.now)?;
        if !told {
            mirrors::hold(c, mirror, self.now)?;
            self.tell_of_hold(c, it, failure)?;
        }
        self.finish(c, it)
    }

    fn postpone(
        &self,
        c: &mut Connection,
        it: &Record,
        failure: &Failure,
        pause: std::time::Duration,
        counted: bool,
    ) -> Result<Ending, StoreError> {
        let done =
            jobs::postpone(c, it.job.id, &it.worker, self.now + pause, counted, Some(error_of(failure)), self.now)?;
        Ok(if done { Ending::Postponed } else { Ending::Lost })
    }

    fn bury(&self, c: &mut Connection, it: &Record, failure: &Failure) -> Result<Ending, StoreError> {
        self.tell_of_death(c, it, failure)?;
        // A dead job is no reason never to look again: the routine check will, and where an outage only outlasted
        // the tries, at its usual time.
        if it.job.kind.tells_of_the_mirror() {
            let waits = failure.retry == Retry::Never;
            let mirror = it.ticket.mirror;
            let next = if waits { self.now + policy::DEEP_CHECK } else { self.next_looks(c, mirror, false)?.at };
            mirrors::schedule(c, mirror, Some(next), self.now)?;
        }
        Ok(if jobs::bury(c, it.job.id, &it.worker, error_of(failure), self.now)? { Ending::Dead } else { Ending::Lost })
    }

    fn history(
        &self,
        c: &mut Connection,
        it: &Record,
        outcome: SyncOutcome,
        stats: &Stats,
        digest: Option<&str>,
        failure: Option<&Failure>,
    ) -> Result<(), StoreError> {
        let part = match it.job.kind {
            JobKind::Sync => Part::Code,
            JobKind::Wiki => Part::Wiki,
            JobKind::Verify | JobKind::Remove | JobKind::Mark | JobKind::Drill | JobKind::Catalog => return Ok(()),
        };
        let work = Work {
            bytes_in: stats.bytes_in,
            bytes_out: stats.bytes_out,
            objects: stats.objects,
            created: stats.created as u64,
            moved: stats.moved as u64,
            deleted: stats.deleted as u64,
            kept: stats.kept as u64,
            aliased: stats.aliased as u64,
            digest: digest.map(str::to_owned),
            error: failure.map(|it| (it.code.to_owned(), it.message.clone())),
            changes: stats.changes.iter().map(|it| it.clone().into()).collect(),
        };
        let engine = if part == Part::Code { self.sync.engine.name() } else { Engine::Relay.name() };
        let (of, job) = (PartId { mirror: it.ticket.mirror, part }, Some(it.job.id));
        let run = syncs::start(c, of, job, it.ticket.correlation, engine, it.started_at)?;
        syncs::finish(c, run, outcome, &work, self.now)?;
        Ok(())
    }

    /// When the mirror is looked at again; `changed` says that upstream did just now.
    fn next_looks(&self, c: &mut Connection, mirror: MirrorId, changed: bool) -> Result<Next, StoreError> {
        let activity = mirrors::activity(c, mirror, changed.then_some(self.now))?;
        let activity = activity.unwrap_or(Activity { known_since: self.now, last: None });
        Ok(self.sync.pace().next_after_git(mirror, &activity, self.draw, self.now))
    }
}

fn outcome_of(synced: &Synced) -> SyncOutcome {
    match (synced.stats.changed(), synced.not_level.is_empty()) {
        (_, false) => SyncOutcome::Partial,
        (true, true) => SyncOutcome::Changed,
        (false, true) => SyncOutcome::Unchanged,
    }
}

/// The differences in one line, the first of them by name.
fn told(comparison: &Comparison) -> String {
    let names: Vec<&str> = comparison.differences.iter().take(20).map(|it| it.name.as_str()).collect();
    let refs = format!("{} refs differ from upstream: {}", comparison.differences.len(), names.join(", "));
    let head = comparison.default_branch.as_ref().map(|(upstream, onedev)| {
        format!("the default branch is {}, upstream's is {upstream}", onedev.as_deref().unwrap_or("unborn"))
    });
    let objects = match comparison.lost_objects.as_slice() {
        [] => String::new(),
        [first, ..] => format!("; OneDev lacks {} LFS objects, as {first}", comparison.lost_objects.len()),
    };
    let text = match head {
        Some(head) if names.is_empty() => head,
        Some(head) => format!("{refs}; {head}"),
        None => refs,
    };
    text + &objects
}

fn error_of(failure: &Failure) -> (&str, &str) {
    (failure.code, &failure.message)
}
