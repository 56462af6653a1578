//! What a star and its withdrawal mean to a mirror, whoever told of them: a webhook, or a look at the list.
//!
//! Called within the transaction that records what was told.

use chrono::{DateTime, Utc};

use crate::config::stars::{Stars, Unstar};
use crate::domain::event::{Account, Subject};
use crate::domain::ids::{CorrelationId, GithubId, JobId};
use crate::domain::job::{JobKind, Priority};
use crate::domain::mirror::Source;
use crate::domain::stars::Star;
use crate::store::audit::NewEntry;
use crate::store::jobs::NewJob;
use crate::store::mirrors::Mirror;
use crate::store::{Connection, StoreError, audit, jobs, listings, mirrors, starred, stars};

/// A watched user, and what his star came with.
pub(super) struct Stargazer<'a> {
    /// Who.
    pub(super) account: &'a Account,
    /// Follows the work through every log line.
    pub(super) correlation: CorrelationId,
    /// The delivery that told of it.
    pub(super) delivery: Option<&'a str>,
}

/// What became of a starred repository.
pub(super) struct Kept {
    /// Its mirror, as it was when the star was told.
    pub(super) mirror: Mirror,
    /// Made by this star.
    created: bool,
    /// Archived before, and wanted again.
    pub(super) woken: bool,
}

impl Kept {
    /// There is no copy yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.created || self.mirror.proof.is_none()
    }
}

/// Makes a mirror of what was starred at `at`, or wakes the archived one. Queues nothing.
pub(super) fn keep(
    c: &mut Connection,
    who: &Stargazer<'_>,
    subject: &Subject,
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Kept, StoreError> {
    starred::note(c, who.account.id, Star { repository: subject.id, at }, 0, now)?;
    let (mirror, created) = mirrors::ensure(c, subject, Source::Star, now)?;
    stars::add(c, mirror.id, who.account.id, at)?;
    let woken = mirrors::restar(c, mirror.id, now)?;
    if mirror.name != subject.name {
        mirrors::doubt_description(c, mirror.id)?;
    }
    note(c, who, "star", &mirror, now)?;
    Ok(Kept { mirror, created, woken })
}

/// The star was taken back at `at`. A mirror that another watched user still stars, that somebody asked for by name,
/// or that a source of the configuration has listed, stays. Gives the job that will delete it, where that is wanted.
pub(super) fn let_go(
    c: &mut Connection,
    who: &Stargazer<'_>,
    rules: &Stars,
    repository: GithubId,
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<JobId>, StoreError> {
    starred::forget(c, who.account.id, repository)?;
    let Some(mirror) = mirrors::by_github_id(c, repository)? else { return Ok(Vec::new()) };
    stars::remove(c, mirror.id, who.account.id)?;
    if rules.unstar == Unstar::Ignore || mirror.source != Source::Star || stars::count(c, mirror.id)? > 0 {
        return Ok(Vec::new());
    }
    if listings::is_declared(c, repository)? {
        return Ok(Vec::new());
    }
    mirrors::unstar(c, mirror.id, at)?;
    jobs::cancel_queued(c, mirror.id, JobKind::Sync, now)?;
    jobs::cancel_queued(c, mirror.id, JobKind::Wiki, now)?;
    note(c, who, "unstar", &mirror, now)?;
    if rules.unstar != Unstar::Delete {
        return Ok(Vec::new());
    }
    let due = at + chrono::Duration::from_std(rules.delete_after).unwrap_or(chrono::Duration::MAX);
    let job = NewJob {
        run_after: Some(due),
        delivery: who.delivery.map(str::to_owned),
        ..NewJob::of(JobKind::Remove, mirror.id, Priority::ROUTINE, who.correlation)
    };
    Ok(vec![jobs::enqueue(c, &job, now)?.id])
}

fn note(
    c: &mut Connection,
    who: &Stargazer<'_>,
    action: &str,
    mirror: &Mirror,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let actor = format!("github:{}", who.account.login);
    let entry =
        NewEntry { correlation: Some(who.correlation), ..NewEntry::of(&actor, action, &mirror.name.to_string()) };
    audit::append(c, &entry, now)
}
