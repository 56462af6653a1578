//! The first stage: makes a delivery and the jobs it asks for durable, in one transaction.
//!
//! What comes in has a right signature and is parsed. GitHub is told "accepted" only after the commit.

use std::sync::Arc;

use actix::{Actor, Context, Handler, ResponseActFuture, WrapFuture as _};
use chrono::{DateTime, Utc};

use super::failure::Failure;
use super::messages::{Accept, Accepted, Reception, Replay, Replayed};
use super::panics::Panics;
use super::pool::Guard;
use super::starring::{self, Stargazer};
use crate::config::stars::Stars;
use crate::domain::catalog::feed;
use crate::domain::event::{Account, Event, Subject};
use crate::domain::ids::{InstallationId, JobId};
use crate::domain::installation::{Installation, InstallationChange};
use crate::domain::job::{JobKind, Priority};
use crate::domain::policy::{self, Wish};
use crate::github::GithubClient;
use crate::store::audit::NewEntry;
use crate::store::deliveries::{NewDelivery, Outcome, Recorded};
use crate::store::jobs::NewJob;
use crate::store::mirrors::Mirror;
use crate::store::{
    Connection, Store, StoreError, audit, catalog, deliveries, installations, jobs, mirrors, replays, starred, watched,
};

/// What the stage works with.
pub struct Tools {
    /// State.
    pub store: Store,
    /// Whose stars count, and what a taken-back one means.
    pub stars: Stars,
    /// Told at once when an installation of the App is another now.
    pub github: GithubClient,
    /// Keep catalogs.
    pub metadata: bool,
    /// Planned panics; none in production.
    pub panics: Panics,
}

/// The actor: one delivery at a time; many of them share one commit of the database.
pub struct AcceptActor {
    tools: Arc<Tools>,
    _guard: Guard,
}

impl AcceptActor {
    /// One child of the stage's pool.
    pub fn new(tools: Arc<Tools>, guard: Guard) -> Self {
        Self { tools, _guard: guard }
    }
}

impl Actor for AcceptActor {
    type Context = Context<Self>;
}

impl Handler<Accept> for AcceptActor {
    type Result = ResponseActFuture<Self, Result<Accepted, Failure>>;

    fn handle(&mut self, message: Accept, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move {
            tools.panics.strike("accept");
            let (stars, metadata, now) = (tools.stars.clone(), tools.metadata, Utc::now());
            let changed = installation_of(&message.event);
            let accepted = tools.store.write(move |c| accept(c, &stars, metadata, &message, now)).await?;
            if let Some(id) = changed {
                tools.github.installation_changed(id).await;
            }
            Ok(accepted)
        };
        Box::pin(work.into_actor(self))
    }
}

impl Handler<Replay> for AcceptActor {
    type Result = ResponseActFuture<Self, Result<Option<Replayed>, Failure>>;

    fn handle(&mut self, message: Replay, _: &mut Self::Context) -> Self::Result {
        let tools = Arc::clone(&self.tools);
        let work = async move {
            let (stars, metadata, now) = (tools.stars.clone(), tools.metadata, Utc::now());
            let done = tools.store.write(move |c| replay(c, &stars, metadata, &message, now)).await?;
            let Some((replayed, changed)) = done else { return Ok(None) };
            // What it tells of is past: GitHub says how things stand.
            if let Some(id) = changed {
                tools.github.installation_changed(id).await;
            }
            Ok(Some(replayed))
        };
        Box::pin(work.into_actor(self))
    }
}

/// The installation of the App that is another now.
fn installation_of(event: &Event) -> Option<InstallationId> {
    match event {
        Event::InstallationChanged { installation, .. } => Some(installation.id),
        _ => None,
    }
}

/// Records a delivery and queues what it asks for.
fn accept(
    c: &mut Connection,
    stars: &Stars,
    metadata: bool,
    message: &Accept,
    now: DateTime<Utc>,
) -> Result<Accepted, StoreError> {
    let wish = wish_of(c, stars, metadata, message, true)?;
    let ignored = is_ignored(wish, message);
    if let Recorded::Duplicate(jobs) = deliveries::record(c, &delivery(message, ignored), now)? {
        return Ok(Accepted { reception: Reception::Duplicate, jobs });
    }
    let jobs = carry_out(c, stars, message, wish, now)?;
    Ok(Accepted { reception: if ignored { Reception::Ignored } else { Reception::Accepted }, jobs })
}

/// The same for one that is on record. Tells of the installation that is in doubt then, too.
fn replay(
    c: &mut Connection,
    stars: &Stars,
    metadata: bool,
    order: &Replay,
    now: DateTime<Utc>,
) -> Result<Option<(Replayed, Option<InstallationId>)>, StoreError> {
    let Some(known) = deliveries::find(c, &order.guid)? else { return Ok(None) };
    // It tells of what was, and must not undo what was seen since.
    let sent_at = Some(known.received_at);
    let message = Accept { guid: known.guid, event: known.event, correlation: order.correlation, sent_at };
    let wish = wish_of(c, stars, metadata, &message, !order.dry_run)?;
    let mut jobs = Vec::new();
    if !order.dry_run {
        let outcome = if is_ignored(wish, &message) { Outcome::Ignored } else { Outcome::Accepted };
        replays::reopen(c, &message.guid, outcome, order.correlation)?;
        jobs = carry_out(c, stars, &message, wish, now)?;
        audit::append(c, &order.entry, now)?;
    }
    let changed = installation_of(&message.event).filter(|_| !order.dry_run);
    Ok(Some((Replayed { event: message.event.name().to_owned(), wish: word(wish), jobs }, changed)))
}

/// What a delivery asks for, as things stand. Whether the id behind a login may be learnt from it.
fn wish_of(
    c: &mut Connection,
    stars: &Stars,
    metadata: bool,
    message: &Accept,
    learn: bool,
) -> Result<Wish, StoreError> {
    let watched = match &message.event {
        Event::Starred { sender, .. } | Event::Unstarred { sender, .. } => is_watched(c, stars, sender, learn)?,
        _ => false,
    };
    let wish = Some(policy::wish(&message.event, watched)).filter(|it| metadata || *it != Wish::Catalog);
    let wish = granted(c, wish.unwrap_or(Wish::Nothing), message)?;
    Ok(if is_overtaken(c, wish, message)? { Wish::Nothing } else { wish })
}

fn is_ignored(wish: Wish, message: &Accept) -> bool {
    wish == Wish::Nothing && !matches!(message.event, Event::Ping)
}

/// Queues it in the transaction that records the delivery.
fn carry_out(
    c: &mut Connection,
    stars: &Stars,
    message: &Accept,
    wish: Wish,
    now: DateTime<Utc>,
) -> Result<Vec<JobId>, StoreError> {
    if let (Wish::Note, Event::InstallationChanged { installation, change }) = (wish, &message.event) {
        installations::told(c, installation, *change, now)?;
        audit::append(c, &entry(message, installation, *change), now)?;
    }
    let jobs = match message.event.subject() {
        Some(subject) => grant(c, stars, message, wish, subject, now)?,
        None => Vec::new(),
    };
    // With a job on its way nothing is decided yet.
    if !is_ignored(wish, message) && jobs.is_empty() {
        deliveries::settle(c, &message.guid)?;
    }
    Ok(jobs)
}

fn word(wish: Wish) -> &'static str {
    match wish {
        Wish::Nothing => "nothing",
        Wish::Keep => "keep",
        Wish::LetGo => "let_go",
        Wish::Wiki => "wiki",
        Wish::Note => "note",
        Wish::Catalog => "catalog",
        Wish::Sync { .. } => "sync",
    }
}

/// What an admin may want to know later: why something could not be read, or can be again.
fn entry(message: &Accept, it: &Installation, change: InstallationChange) -> NewEntry {
    let whose = it.account.as_ref().map_or_else(|| it.id.to_string(), |it| it.login.clone());
    let (event, action) = change.words();
    let correlation = Some(message.correlation);
    NewEntry { correlation, ..NewEntry::of("github", &format!("{event}.{action}"), &whose) }
}

/// What is asked of a mirror that does not exist is asked of nobody.
fn granted(c: &mut Connection, wish: Wish, message: &Accept) -> Result<Wish, StoreError> {
    let (Wish::Sync { .. } | Wish::LetGo | Wish::Wiki | Wish::Catalog, Some(subject)) = (wish, message.event.subject())
    else {
        return Ok(wish);
    };
    Ok(if mirrors::by_github_id(c, subject.id)?.is_some() { wish } else { Wish::Nothing })
}

/// A delivery that was fetched back tells of what was. A star from before its mirror was let go, and a withdrawal
/// from before the star that is known by now, were overtaken by what was seen since.
fn is_overtaken(c: &mut Connection, wish: Wish, message: &Accept) -> Result<bool, StoreError> {
    let (Some(sent), Some(who), Some(subject)) = (message.sent_at, stargazer(message), message.event.subject()) else {
        return Ok(false);
    };
    let since = match wish {
        Wish::Keep => mirrors::by_github_id(c, subject.id)?.and_then(|it| it.unstarred_at),
        Wish::LetGo => starred::since(c, who.account.id, subject.id)?,
        _ => None,
    };
    Ok(since.is_some_and(|it| it > sent))
}

fn delivery(message: &Accept, ignored: bool) -> NewDelivery {
    let sender = match &message.event {
        Event::Starred { sender, .. } | Event::Unstarred { sender, .. } => Some((sender.id, sender.login.clone())),
        _ => None,
    };
    NewDelivery {
        guid: message.guid.clone(),
        event: message.event.clone(),
        action: message.event.action().map(str::to_owned),
        sender,
        outcome: if ignored { Outcome::Ignored } else { Outcome::Accepted },
        correlation: message.correlation,
    }
}

/// By id once it is known; by login, without case, before that.
fn is_watched(c: &mut Connection, stars: &Stars, sender: &Account, learn: bool) -> Result<bool, StoreError> {
    if let Some(login) = watched::login_of(c, sender.id)? {
        return Ok(stars.users.iter().any(|it| it.eq_ignore_ascii_case(&login)));
    }
    let named = stars.users.iter().any(|it| it.eq_ignore_ascii_case(&sender.login));
    if !named || watched::id_of(c, &sender.login)?.is_some() {
        return Ok(false);
    }
    if learn {
        watched::remember(c, &sender.login, sender.id)?;
    }
    Ok(true)
}

fn grant(
    c: &mut Connection,
    stars: &Stars,
    message: &Accept,
    wish: Wish,
    subject: &Subject,
    now: DateTime<Utc>,
) -> Result<Vec<JobId>, StoreError> {
    match wish {
        Wish::Nothing | Wish::Note => Ok(Vec::new()),
        Wish::Keep => keep(c, message, subject, now),
        Wish::LetGo => match stargazer(message) {
            Some(who) => starring::let_go(c, &who, stars, subject.id, message.sent_at.unwrap_or(now), now),
            None => Ok(Vec::new()),
        },
        Wish::Wiki => {
            let Some(mirror) = mirrors::by_github_id(c, subject.id)? else { return Ok(Vec::new()) };
            if mirror.name != subject.name {
                mirrors::doubt_description(c, mirror.id)?;
            }
            // The first proof of the code asks for the first look at the wiki.
            if !mirror.status.is_synced() || mirror.proof.is_none() {
                return Ok(Vec::new());
            }
            queue(c, message, &mirror, JobKind::Wiki, Priority::CHANGED, now)
        }
        Wish::Catalog => look_up(c, message, subject, now),
        Wish::Sync { describe } => {
            let Some(mirror) = mirrors::by_github_id(c, subject.id)? else { return Ok(Vec::new()) };
            if describe {
                mirrors::set_name(c, mirror.id, &subject.name, now)?;
            }
            if describe || mirror.name != subject.name {
                mirrors::doubt_description(c, mirror.id)?;
            }
            if !mirror.status.is_synced() {
                return Ok(Vec::new());
            }
            queue(c, message, &mirror, JobKind::Sync, Priority::CHANGED, now)
        }
    }
}

/// Events of a busy repository come in crowds: one look serves all that come within this.
const CROWD: chrono::TimeDelta = chrono::TimeDelta::seconds(30);

fn look_up(
    c: &mut Connection,
    message: &Accept,
    subject: &Subject,
    now: DateTime<Utc>,
) -> Result<Vec<JobId>, StoreError> {
    let Some(mirror) = mirrors::by_github_id(c, subject.id)?.filter(|it| it.status.is_synced()) else {
        return Ok(Vec::new());
    };
    // The first proof sees to one that was never begun.
    let Some(known) = catalog::find(c, mirror.id)? else { return Ok(Vec::new()) };
    let (name, action) = (message.event.name(), message.event.action().unwrap_or_default());
    catalog::todo::wish(c, mirror.id, &feed::told_by(name, action))?;
    let run_after = known.looked_at.map(|it| it + CROWD).filter(|it| *it > now);
    let job = NewJob { run_after, ..job(message, &mirror, JobKind::Catalog, Priority::CHANGED) };
    Ok(vec![jobs::enqueue(c, &job, now)?.id])
}

/// The star's own time where GitHub told it: the list of stars will show the same one.
fn keep(c: &mut Connection, message: &Accept, subject: &Subject, now: DateTime<Utc>) -> Result<Vec<JobId>, StoreError> {
    let (Some(who), Event::Starred { at, .. }) = (stargazer(message), &message.event) else { return Ok(Vec::new()) };
    let kept = starring::keep(c, &who, subject, at.unwrap_or(now), now)?;
    let priority = policy::priority(JobKind::Sync, kept.is_fresh());
    queue(c, message, &kept.mirror, JobKind::Sync, priority, now)
}

/// Who starred, or took a star back.
fn stargazer(message: &Accept) -> Option<Stargazer<'_>> {
    let (Event::Starred { sender, .. } | Event::Unstarred { sender, .. }) = &message.event else { return None };
    Some(Stargazer { account: sender, correlation: message.correlation, delivery: Some(&message.guid) })
}

fn job(message: &Accept, mirror: &Mirror, kind: JobKind, priority: Priority) -> NewJob {
    NewJob { delivery: Some(message.guid.clone()), ..NewJob::of(kind, mirror.id, priority, message.correlation) }
}

fn queue(
    c: &mut Connection,
    message: &Accept,
    mirror: &Mirror,
    kind: JobKind,
    priority: Priority,
    now: DateTime<Utc>,
) -> Result<Vec<JobId>, StoreError> {
    Ok(vec![jobs::enqueue(c, &job(message, mirror, kind, priority), now)?.id])
}
