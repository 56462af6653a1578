//! A pack that is pushed while it comes: what LFS pointers it holds is known at its end only, and their
//! objects belong in OneDev before any ref that needs them.
//!
//! So such a pack arrives under a ref of our own, [`ARRIVING`], which nobody clones. Then the objects are
//! brought, then the refs move, which needs no pack any more, and then the ref goes.

use super::round::{Run, View};
use crate::domain::kept::ARRIVING;
use crate::domain::refs::{Oid, RefName};
use crate::git::{Command, Order, Prepared, Push, RefOutcome};
use crate::stages::failure::Failure;

impl Run<'_> {
    /// The commit that a streamed pack would arrive with: one that a branch shall point at, since OneDev
    /// stumbles over other objects. Without one the pack waits in the spool.
    pub(super) fn arrival(&self, pushes: &[Vec<Command>], wants: &[Oid]) -> Option<Command> {
        if self.lfs.refused_arrival {
            return None;
        }
        let branches = pushes.iter().flatten().filter(|it| it.name.branch().is_some());
        // Wants are in order.
        let new = branches.map(|it| it.new).find(|it| wants.binary_search(it).is_ok())?;
        Some(Command { name: RefName::new(ARRIVING).ok()?, old: self.lfs.arrived.unwrap_or(Oid::ZERO), new })
    }

    /// Pushes a streamed pack under the ref of our own, and brings what it turns out to need. What is left of
    /// the order needs no pack then. False if OneDev does not take that ref.
    pub(super) async fn arrive(
        &mut self,
        order: &mut Order,
        prepared: Prepared,
        arrival: Command,
    ) -> Result<bool, Failure> {
        let (name, commit) = (arrival.name.clone(), arrival.new);
        let refs = std::mem::replace(&mut order.pushes, vec![Push::plain(vec![arrival])]);
        let mut done = self.deliver(order, prepared).await?;
        if let Some(found) = done.found.take() {
            self.found(order, found).await?;
        }
        if !done.reports.iter().any(|it| it.refs.get(&name) == Some(&RefOutcome::Done)) {
            tracing::warn!("OneDev refused the ref under which packs arrive: they wait in the spool from now on");
            self.lfs.refused_arrival = true;
            return Ok(false);
        }
        self.lfs.arrived = Some(commit);
        self.bring_lfs().await?;
        (order.wants, order.pushes) = (Vec::new(), refs);
        Ok(true)
    }

    /// The refs stand: what the pack arrived under goes, after a crash too.
    pub(super) async fn settle_arrival(&mut self, view: &View) -> Result<(), Failure> {
        let Some((name, old)) = view.target.iter().find(|(name, _)| name.as_str() == ARRIVING) else { return Ok(()) };
        let command = Command { name: name.clone(), old: *old, new: Oid::ZERO };
        self.push(vec![command], Vec::new(), view).await?;
        self.lfs.arrived = None;
        Ok(())
    }

    /// A run that was cut off may have left it behind.
    pub(super) fn know_arrival(&mut self, view: &View) {
        let mut target = view.target.iter();
        self.lfs.arrived = target.find(|(name, _)| name.as_str() == ARRIVING).map(|(_, oid)| *oid);
    }
}
