//! Kept refs: no tip that starkeep is about to overwrite or delete goes before it stands elsewhere.

use std::collections::BTreeSet;

use chrono::Utc;

use super::round::{Run, View};
use crate::domain::kept::{self, KeptRef, Reason};
use crate::domain::part::Part;
use crate::domain::refs::{Oid, RefName};
use crate::domain::retry::Retry;
use crate::git::{self, Ancestry, Command};
use crate::stages::failure::Failure;
use crate::store::kept as table;
use crate::store::{mirrors, parts, tips};

impl Run<'_> {
    /// Makes kept refs, all in one push with an empty pack: their objects are there.
    pub(super) async fn keep(&mut self, keeps: Vec<KeptRef>, view: &mut View) -> Result<(), Failure> {
        if keeps.is_empty() {
            return Ok(());
        }
        let commands: Vec<Command> =
            keeps.iter().map(|it| Command { name: it.kept.clone(), old: Oid::ZERO, new: it.oid }).collect();
        let report = self.push(commands, Vec::new(), view).await?;
        if let Some((name, reason)) = report.refused().next() {
            let reason = reason.reason();
            let message = format!("OneDev refused the kept ref {name} ({reason}); nothing was overwritten or deleted");
            return Err(Failure::new("kept_ref_refused", message, Retry::Backoff));
        }
        self.stats.kept += keeps.len();
        self.tools.metrics.kept_refs.inc_by(keeps.len() as u64);
        for keep in &keeps {
            view.landed(&keep.kept, Some(keep.oid));
        }
        self.record_keeps(keeps).await
    }

    /// Writes kept refs down; those that are recorded stay as they are.
    pub(super) async fn record_keeps(&self, keeps: Vec<KeptRef>) -> Result<(), Failure> {
        if keeps.is_empty() {
            return Ok(());
        }
        let (of, now) = (self.of(), Utc::now());
        self.tools.store.write(move |c| table::insert(c, of, &keeps, now)).await?;
        Ok(())
    }

    /// Kept refs that a run made and could not write down, since it was cut off, are written down now.
    pub(super) async fn settle_kept(&self, view: &View) -> Result<(), Failure> {
        let of = self.of();
        let standing: Vec<KeptRef> = view
            .target
            .iter()
            .filter(|(at, _)| at.as_str().starts_with(kept::KEPT))
            .map(|(at, oid)| {
                // A name that had to be hashed cannot be told any more.
                let name = kept::kept_of(at).map_or_else(|| at.clone(), |(name, _)| name);
                KeptRef { name, kept: at.clone(), oid: *oid, reason: Reason::Overwritten }
            })
            .collect();
        if standing.is_empty() {
            return Ok(());
        }
        let known: BTreeSet<RefName> = self.tools.store.read(move |c| table::names(c, of)).await?;
        self.record_keeps(standing.into_iter().filter(|it| !known.contains(&it.kept)).collect()).await
    }

    /// Takes over somebody's project, which is allowed only if it holds nothing that upstream lacks.
    /// Only then it is remembered as ours.
    pub(super) async fn take_over(&mut self, view: &View) -> Result<(), Failure> {
        let managed = crate::domain::refs::managed(&view.target, &self.tools.sync.refs);
        let held: BTreeSet<_> = view.upstream.values().copied().collect();
        for (name, oid) in &managed {
            let known = held.contains(oid)
                || match view.upstream.get(name) {
                    Some(tip) => git::is_ancestor(&self.upstream, *oid, *tip).await == Ancestry::Yes,
                    None => false,
                };
            if !known {
                let message = format!(
                    "project {} is not starkeep's and holds {name}, which upstream lacks: it is left alone. Move it away, or set onedev.on_conflict to `suffix`",
                    self.sides.path
                );
                return Err(Failure::new("project_conflict", message, Retry::Never));
            }
        }
        let url = self.tools.onedev.page_url(&self.path).to_string();
        let project = mirrors::Project { id: self.sides.project, path: self.sides.path.clone(), url };
        let (of, held) = (self.of(), managed.clone());
        self.tools
            .store
            .write(move |c| {
                // Whatever an earlier project held is of no meaning here.
                tips::clear_intents(c, of)?;
                tips::replace_all(c, of, &held)?;
                match of.part {
                    Part::Code => mirrors::set_project(c, of.mirror, &project, false, Utc::now()),
                    Part::Wiki => parts::set_project(c, of, &project, false, Utc::now()),
                }
            })
            .await?;
        self.intents.clear();
        self.put = managed;
        Ok(())
    }
}
