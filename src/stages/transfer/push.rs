//! Carrying out a plan: pushes in an order that OneDev survives, and what its answers mean.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use super::round::{Run, View};
use crate::domain::plan::{self, Change, Plan};
use crate::domain::refs::{Oid, RefName};
use crate::domain::retry::Retry;
use crate::git::{self, Command, Order, Push, PushReport, RefOutcome, Relay, TransferOptions, Transferred};
use crate::stages::failure::Failure;
use crate::store::{mirrors, tips};

/// How often the bytes that moved are told.
const TELL_EVERY: Duration = Duration::from_millis(250);

impl Run<'_> {
    pub(super) async fn execute(&mut self, plan: &Plan, view: &View) -> Result<(), Failure> {
        let answers = self.answers(plan, view).await?;
        let first = self.goes_first(plan, view).await?;
        let mut order = plan::schedule(plan, &answers, first.as_ref(), &view.target, Utc::now(), self.sides.proven_at);
        let stuck = self.stuck.keys().cloned().collect::<BTreeSet<_>>();
        order.bulk.retain(|it| !stuck.contains(&it.at));
        order.lone.retain(|it| !stuck.contains(&it.at));
        let (suspected, bulk) =
            std::mem::take(&mut order.bulk).into_iter().partition(|it| self.suspects.contains(&it.at));
        let (suspected, bulk): (Vec<Change>, Vec<Change>) = (suspected, bulk);
        self.announce(order.first.iter().chain(&bulk).chain(&order.lone).chain(&suspected)).await?;
        self.keep(order.keeps, view).await?;
        self.keep(order.tag_keeps, view).await?;
        let mut there: BTreeSet<Oid> = view.target.values().copied().collect();
        if let Some(change) = order.first {
            self.put_changes(std::slice::from_ref(&change), &mut there, view).await?;
        }
        self.free_head(plan, view).await?;
        for chunk in bulk.chunks(self.batch) {
            self.put_changes(chunk, &mut there, view).await?;
        }
        for change in order.lone.into_iter().chain(suspected) {
            self.put_changes(std::slice::from_ref(&change), &mut there, view).await?;
        }
        Ok(())
    }

    /// Commits what is about to be put, so that after a crash our own half-done work is known as ours.
    async fn announce(&mut self, changes: impl Iterator<Item = &Change>) -> Result<(), Failure> {
        let intents: Vec<(RefName, Option<Oid>)> = changes.map(|it| (it.at.clone(), it.new)).collect();
        self.intents.extend(intents.iter().cloned());
        let (mirror, announced) = (self.ticket.mirror, std::mem::replace(&mut self.announced, true));
        self.tools
            .store
            .write(move |c| {
                if !announced {
                    mirrors::set_syncing(c, mirror, Utc::now())?;
                }
                tips::intend(c, mirror, &intents)
            })
            .await?;
        Ok(())
    }

    /// Announces one change and pushes it.
    pub(super) async fn put_announced(
        &mut self,
        change: &Change,
        there: &mut BTreeSet<Oid>,
        view: &View,
    ) -> Result<(), Failure> {
        self.announce(std::iter::once(change)).await?;
        self.put_changes(std::slice::from_ref(change), there, view).await
    }

    /// One push, and what its report means for each ref.
    async fn put_changes(&mut self, changes: &[Change], there: &mut BTreeSet<Oid>, view: &View) -> Result<(), Failure> {
        let wants: BTreeSet<Oid> = changes.iter().filter_map(|it| it.new).filter(|oid| !there.contains(oid)).collect();
        let commands = changes.iter().map(command).collect();
        let report = self.push(commands, wants.into_iter().collect(), view).await?;
        let done: Vec<&Change> = changes.iter().filter(|it| is_done(&report, &it.at)).collect();
        for change in &done {
            self.stats.note(&change.at, change.old, change.new);
            there.extend(change.new);
            self.fresh.extend(change.new.filter(|_| self.fresh.len() < git::MAX_HAVES));
        }
        if report.callback_failed && done.len() > 1 {
            tracing::warn!(mirror = %self.ticket.mirror, "OneDev's post-receive callback failed: it may not have indexed this push");
        }
        self.settle_tips(done.iter().map(|it| (it.at.clone(), it.new)).collect()).await?;
        self.judge(changes, &report);
        Ok(())
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
        let named: Vec<&Change> = failed
            .iter()
            .map(|(it, _)| *it)
            .filter(|it| report.remote_output.contains(&format!("REF: {} ", it.at)))
            .collect();
        if !named.is_empty() {
            self.suspects.extend(named.iter().map(|it| it.at.clone()));
        } else if failed.len() == changes.len() {
            self.batch = (changes.len() / 2).max(1);
        } else {
            self.suspects.extend(failed.iter().map(|(it, _)| it.at.clone()));
        }
    }

    /// A ref was refused though it went alone. The first time it may have been a race that the next
    /// reading shows; troublesome names and second times are OneDev's last word.
    fn refuse(&mut self, change: &Change, reason: &str) {
        let first_time = self.suspects.insert(change.at.clone());
        if first_time && !plan::is_troublesome(&change.at) {
            return;
        }
        if change.at == change.name && change.new.is_some() {
            self.refused.insert(change.name.clone(), reason.to_owned());
        } else {
            self.stuck.insert(change.at.clone(), reason.to_owned());
        }
    }

    /// Tries the real names of refs that OneDev refused before. True if one was taken this time.
    pub(super) async fn retry_refused(&mut self, view: &View) -> Result<bool, Failure> {
        let again: Vec<Change> = self
            .refused
            .keys()
            .filter_map(|name| {
                let new = view.upstream.get(name)?;
                let old = view.target.get(name).copied();
                Some(Change { name: name.clone(), at: name.clone(), old, new: Some(*new), keep: plan::Keep::No })
            })
            .filter(|it| it.old.is_none())
            .collect();
        let mut there: BTreeSet<Oid> = view.target.values().copied().collect();
        let before = self.refused.len();
        for change in again {
            self.announce(std::iter::once(&change)).await?;
            let wants = change.new.into_iter().filter(|oid| !there.contains(oid)).collect();
            let report = self.push(vec![command(&change)], wants, view).await?;
            if is_done(&report, &change.at) {
                self.refused.remove(&change.name);
                self.stats.note(&change.at, None, change.new);
                there.extend(change.new);
                self.settle_tips(vec![(change.at.clone(), change.new)]).await?;
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
        let moving = commands.iter().map(|it| it.old).filter(|it| *it != Oid::ZERO);
        let known: Vec<Oid> = moving.take(git::MAX_HAVES / 2).chain(self.fresh.iter().copied()).collect();
        let haves = git::haves(&known, &view.target, &view.upstream);
        let relay = Relay {
            upstream: &self.upstream,
            target: &self.target,
            spool: &self.tools.spool,
            permits: Arc::clone(&self.tools.pushes),
            progress: Arc::clone(&self.bytes),
            options: TransferOptions {
                stream_above: self.tools.sync.stream_above,
                max_bytes: self.tools.sync.max_bytes,
            },
        };
        let order = Order { wants, haves, pushes: vec![Push::plain(commands)] };
        let Transferred { reports, received, objects, .. } = self.watched(relay.transfer(&order)).await?;
        self.stats.bytes_in += received;
        self.stats.bytes_out += received;
        self.stats.objects += u64::from(objects);
        let report = reports.into_iter().next().unwrap_or_default();
        if let Some(unpack) = &report.unpack_failed {
            let message = format!("OneDev could not unpack what was pushed: {unpack}");
            return Err(Failure::new("unpack_failed", message, Retry::Backoff));
        }
        Ok(report)
    }

    /// Tells how many bytes moved while the work goes on.
    async fn watched<T>(&self, work: impl Future<Output = T>) -> T {
        let mut tick = tokio::time::interval(TELL_EVERY);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = tick.tick() => self.tools.progress.tell(self.ticket.mirror, "transfer", self.bytes.snapshot().sent),
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
