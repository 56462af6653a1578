//! The brake: a sync that would take away too much changes nothing and waits for an admin.

use super::round::{Run, View};
use crate::domain::brake::{self, Loss};
use crate::domain::plan::Plan;
use crate::domain::retry::Retry;
use crate::stages::failure::{Failure, Verdict};

impl Run<'_> {
    /// Says no to a plan that would delete or overwrite more than `policy.mass_delete` allows, unless
    /// an admin let it through. Asks upstream about branches only if they decide it.
    pub(super) async fn brake(&self, plan: &Plan, view: &View) -> Result<(), Failure> {
        let Some(percent) = self.tools.policy.mass_delete.filter(|_| !self.sides.allow_mass_delete) else {
            return Ok(());
        };
        let refused = self.refused.keys().cloned().collect();
        let sides = self.compared(view, &refused);
        if !Loss::at_most(plan, &sides).exceeds(percent) {
            return Ok(());
        }
        let loss = Loss::of(plan, &sides, &self.descendants(plan, brake::is_doubtful).await);
        if loss.exceeds(percent) { Err(self.too_much(loss, percent)) } else { Ok(()) }
    }

    fn too_much(&self, loss: Loss, percent: u8) -> Failure {
        let Loss { deleted, forced, of } = loss;
        let (mirror, repository) = (self.ticket.mirror, &self.sides.repository);
        let message = format!(
            "upstream would delete {deleted} and overwrite {forced} of {of} managed refs, more than policy.mass_delete \
             ({percent}%) allows: nothing was changed. If upstream means it, let it go on: POST \
             /api/v1/mirrors/{mirror}/sync with {{\"allow_mass_delete\": true}}, or `starkeep mirror \
             --allow-mass-delete {repository}`; should upstream come back by itself, so does the mirror"
        );
        Failure::new("mass_delete", message, Retry::Never).meaning(Verdict::Held { told: self.sides.held })
    }
}
