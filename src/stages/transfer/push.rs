//! Carrying out a plan: pushes in an order that OneDev survives, and what its answers mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use super::round::{Run, View};
use crate::domain::part::Part;
use crate::domain::plan::{self, Change, Plan};
use crate::domain::refs::{Oid, RefName};
use crate::domain::retry::Retry;
use crate::git::{self, Command, Order, Prepared, Push, PushReport, RefOutcome, Relay, TransferOptions, Transferred};
use crate::stages::failure::Failure;
use crate::store::{mirrors, tips};

/// How often the bytes that moved are told.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// A first pack of more objects is searched for LFS pointers only if a glance shows that there are some.
const GLANCE_ABOVE: u32 = 50_000;
/// Refusals of one kind in one closer look, after which the rest is left for the next.
const MOST_RETRIED: usize = 4;
/// OneDev's pre-receive hook declines a whole push and says so before each ref that it dislikes.
const ACCUSES: &str = "ERROR PUSHING REF: ";

impl Run<'_> {
    pub(super) async fn execute(&mut self, plan: &Plan, view: &mut View) -> Result<(), Failure> {
        self.fill(view).await?;
        let answers = self.answers(plan, view).await?;
        self.doubt_reach(plan, &answers).await?;
        let first = self.goes_first(plan, view).await?;
        let mut order = plan::schedule(plan, &answers, first.as_ref(), &view.target, Utc::now(), self.sides.proven_at);
        let mut suspected = Vec::new();
        for group in &mut order.bulk {
            suspected.extend(group.extract_if(.., |it| self.suspects.contains_key(&it.at)));
        }
        self.announce(order.first.iter().chain(order.bulk.iter().flatten()).chain(&order.lone).chain(&suspected))
            .await?;
        self.record_keeps(order.standing).await?;
        self.keep(order.keeps, view).await?;
        self.keep(order.tag_keeps, view).await?;
        let mut groups: Vec<Vec<Change>> = order.first.into_iter().map(|it| vec![it]).collect();
        if self.loses_head(plan).await? {
            self.put_groups(&std::mem::take(&mut groups), view).await?;
            self.free_head(plan, view).await?;
        }
        groups.extend(order.bulk.into_iter().filter(|it| !it.is_empty()));
        if self.batch == usize::MAX {
            self.put_groups(&groups, view).await?;
        } else {
            let most = self.batch;
            for chunk in groups.iter().flat_map(|it| it.chunks(most)) {
                self.put_changes(chunk, view).await?;
            }
        }
        for change in order.lone.into_iter().chain(suspected) {
            self.put_changes(std::slice::from_ref(&change), view).await?;
        }
        Ok(())
    }

    /// Commits what is about to be put, so that after a crash our own half-done work is known as ours.
    async fn announce(&mut self, changes: impl Iterator<Item = &Change>) -> Result<(), Failure> {
        let intents: Vec<(RefName, Option<Oid>)> = changes.map(|it| (it.at.clone(), it.new)).collect();
        self.intents.extend(intents.iter().cloned());
        let (of, announced) = (self.of(), std::mem::replace(&mut self.announced, true));
        let landed = std::mem::take(&mut self.landed);
        self.tools
            .store
            .write(move |c| {
                if !announced && of.part == Part::Code {
                    mirrors::set_syncing(c, of.mirror, Utc::now())?;
                }
                tips::settle(c, of, &landed, Utc::now())?;
                tips::intend(c, of, &intents)
            })
            .await?;
        Ok(())
    }

    /// Announces one change and pushes it.
    pub(super) async fn put_announced(&mut self, change: &Change, view: &mut View) -> Result<(), Failure> {
        self.announce(std::iter::once(change)).await?;
        self.put_changes(std::slice::from_ref(change), view).await
    }

    /// One push, and what its report means for each ref.
    async fn put_changes(&mut self, changes: &[Change], view: &mut View) -> Result<(), Failure> {
        self.put_groups(&[changes.to_vec()], view).await
    }

    /// One push for each group, one after the other, with one pack: the first push carries the objects of all.
    async fn put_groups(&mut self, groups: &[Vec<Change>], view: &mut View) -> Result<(), Failure> {
        if groups.is_empty() {
            return Ok(());
        }
        let wants = view.lacking(groups.iter().flatten().filter_map(|it| it.new));
        let commands = groups.iter().map(|it| it.iter().map(command).collect()).collect();
        let reports = self.push_all(commands, wants, view).await?;
        for (changes, report) in groups.iter().zip(&reports) {
            self.hear(changes, report, view);
        }
        Ok(())
    }

    /// What a push's report means for each of its refs.
    fn hear(&mut self, changes: &[Change], report: &PushReport, view: &mut View) {
        let done: Vec<&Change> = changes.iter().filter(|it| is_done(report, &it.at)).collect();
        for change in &done {
            self.stats.note(&change.at, change.old, change.new);
            view.landed(&change.at, change.new);
        }
        if report.callback_failed && done.len() > 1 {
            tracing::warn!(mirror = %self.ticket.mirror, "OneDev's post-receive callback failed: it may not have indexed this push");
        }
        self.land(done.iter().map(|it| (it.at.clone(), it.new)).collect());
        self.judge(changes, report);
    }

    /// What a refused ref does in the next round: goes alone, in smaller company, or under its alias.
    fn judge(&mut self, changes: &[Change], report: &PushReport) {
        let failed: Vec<(&Change, &str)> =
            changes.iter().filter_map(|it| Some((it, refusal(report, &it.at)?))).collect();
        if failed.is_empty() {
            return;
        }
        if let [(change, reason)] = failed.as_slice()
            && changes.len() == 1
        {
            self.refuse(change, reason);
            return;
        }
        let named = report.remote_output.lines().filter_map(|line| line.split_once(ACCUSES));
        let named: BTreeSet<&str> = named.map(|(_, name)| name.trim()).collect();
        let named: Vec<&Change> =
            failed.iter().map(|(it, _)| *it).filter(|it| named.contains(it.at.as_str())).collect();
        if !named.is_empty() {
            self.suspects.extend(named.iter().map(|it| (it.at.clone(), it.old)));
        } else if failed.len() == changes.len() {
            self.batch = (changes.len() / 2).max(1);
        } else {
            self.suspects.extend(failed.iter().map(|(it, _)| (it.at.clone(), it.old)));
        }
    }

    /// A ref was refused though it went alone. It may have been a race, which the next reading shows;
    /// OneDev's last word is a second time from the same old value, and the first for a troublesome name.
    fn refuse(&mut self, change: &Change, reason: &str) {
        let again = self.suspects.insert(change.at.clone(), change.old) == Some(change.old);
        if !again && !plan::is_troublesome(&change.at) {
            return;
        }
        if change.at == change.name && change.new.is_some() {
            self.refused.insert(change.name.clone(), reason.to_owned());
        } else {
            self.stuck.insert(change.at.clone(), reason.to_owned());
        }
    }

    /// Tries the real names of refs that OneDev refused before. True if one was taken this time.
    pub(super) async fn retry_refused(&mut self, view: &mut View) -> Result<bool, Failure> {
        let before = self.refused.len();
        // Somebody may have made it in OneDev by hand.
        self.refused.retain(|name, _| view.upstream.get(name).is_none_or(|it| view.target.get(name) != Some(it)));
        let absent = |name: &&RefName| view.upstream.contains_key(*name) && !view.target.contains_key(*name);
        let again: Vec<RefName> = self.refused.keys().filter(absent).cloned().collect();
        // Of many that were refused in one way only a few are tried: OneDev has changed its mind about all or none.
        let mut tried: BTreeMap<(bool, String), usize> = BTreeMap::new();
        for name in again {
            let way = (plan::is_troublesome(&name), self.refused.get(&name).cloned().unwrap_or_default());
            let refusals = tried.entry(way).or_default();
            if *refusals >= MOST_RETRIED {
                continue;
            }
            let new = view.upstream.get(&name).copied();
            let change = Change { name: name.clone(), at: name, old: None, new, keep: plan::Keep::No };
            self.announce(std::iter::once(&change)).await?;
            let wants = view.lacking(new.into_iter());
            let report = self.push(vec![command(&change)], wants, view).await?;
            if is_done(&report, &change.at) {
                self.refused.remove(&change.name);
                self.stats.note(&change.at, None, change.new);
                view.landed(&change.at, change.new);
                self.settle_tips(vec![(change.at.clone(), change.new)]).await?;
            } else {
                *refusals += 1;
            }
        }
        Ok(self.refused.len() < before)
    }

    /// One push through the relay: the pack of `wants` from upstream, if any, into receive-pack.
    pub(super) async fn push(
        &mut self,
        commands: Vec<Command>,
        wants: Vec<Oid>,
        view: &View,
    ) -> Result<PushReport, Failure> {
        Ok(self.push_all(vec![commands], wants, view).await?.pop().unwrap_or_default())
    }

    /// Several pushes with one pack. There are fewer reports than pushes if the one that carried the
    /// pack was refused as a whole; the next round sees to the others.
    async fn push_all(
        &mut self,
        pushes: Vec<Vec<Command>>,
        wants: Vec<Oid>,
        view: &View,
    ) -> Result<Vec<PushReport>, Failure> {
        let moving: Vec<Oid> = pushes.iter().flatten().map(|it| it.old).filter(|it| *it != Oid::ZERO).collect();
        let haves = git::haves(&moving, &view.target, &view.upstream);
        let arrival = self.arrival(&pushes, &wants);
        let mut order = Order { wants, haves, pushes: pushes.into_iter().map(Push::plain).collect() };
        let mut prepared = self.watched(self.prepare(&order, view, arrival.is_some())).await?;
        self.before_push(&order, &mut prepared).await?;
        if let Some(arrival) = arrival.filter(|_| self.lfs.on && prepared.is_streamed()) {
            if !self.arrive(&mut order, prepared, arrival).await? {
                return Ok(Vec::new());
            }
            prepared = self.prepare(&order, view, false).await?;
        }
        self.deliver(&order, prepared).await.map(|it| it.reports)
    }

    /// Pushes what was prepared, and counts it.
    pub(super) async fn deliver(&mut self, order: &Order, prepared: Prepared) -> Result<Transferred, Failure> {
        let sent = self.bytes.snapshot().sent;
        let done = self.watched(self.relay(false).deliver(order, prepared)).await?;
        self.stats.bytes_in += done.received;
        self.stats.bytes_out += if self.cache.is_some() { self.bytes.snapshot().sent - sent } else { done.received };
        self.stats.objects += u64::from(done.objects);
        if let Some(unpack) = done.reports.iter().find_map(|it| it.unpack_failed.as_ref()) {
            let message = format!("OneDev could not unpack what was pushed: {unpack}");
            return Err(Failure::new("unpack_failed", message, Retry::Backoff));
        }
        Ok(done)
    }

    /// `streams`: whether a pack may be pushed while it comes.
    pub(super) fn relay(&self, streams: bool) -> Relay<'_> {
        Relay {
            upstream: &self.upstream,
            target: &self.target,
            spool: &self.tools.spool,
            permits: Arc::clone(&self.tools.pushes),
            progress: Arc::clone(&self.bytes),
            options: TransferOptions {
                stream_above: self.tools.sync.stream_above.filter(|_| streams),
                max_bytes: self.tools.sync.max_bytes,
                scan: self.lfs.on,
                glance_above: Some(GLANCE_ABOVE),
            },
        }
    }

    /// Tells how many bytes moved while the work goes on.
    pub(super) async fn watched<T>(&self, work: impl Future<Output = T>) -> T {
        let mut tick = tokio::time::interval(TELL_EVERY);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = tick.tick() => {
                    let sent = self.bytes.snapshot().sent + self.lfs.sent();
                    self.tools.progress.tell(self.ticket.mirror, "transfer", sent);
                }
            }
        }
    }
}

fn command(change: &Change) -> Command {
    Command { name: change.at.clone(), old: change.old.unwrap_or(Oid::ZERO), new: change.new.unwrap_or(Oid::ZERO) }
}

fn is_done(report: &PushReport, name: &RefName) -> bool {
    report.refs.get(name) == Some(&RefOutcome::Done)
}

fn refusal<'a>(report: &'a PushReport, name: &RefName) -> Option<&'a str> {
    match report.refs.get(name) {
        Some(RefOutcome::Refused(refusal)) => Some(refusal.reason()),
        Some(RefOutcome::Done) => None,
        None => Some("OneDev did not report on it"),
    }
}
