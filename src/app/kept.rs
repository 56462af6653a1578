//! Kept refs for the command line: which there are, and making a branch of one.

use anyhow::Context as _;
use chrono::Utc;
use serde_json::json;

use super::{App, PATIENCE};
use crate::domain::refs::{Oid, RefName};
use crate::stages::messages::{Revive, TwoSides};
use crate::store::audit::{self, NewEntry};
use crate::store::kept::{self, Kept, KeptId};
use crate::store::mirrors::Mirror;

impl App {
    /// Makes a branch of a kept ref, named by its id or by the ref that holds it. It is foreign from then on:
    /// no sync touches it. Gives the commit.
    ///
    /// # Errors
    /// When there is no such kept ref, the name is upstream's or taken, or OneDev cannot be reached.
    pub async fn revive(&self, mirror: &Mirror, which: &str, branch: &RefName) -> anyhow::Result<Oid> {
        let kept = self.kept_ref(mirror, which).await?;
        let sides = TwoSides::of(mirror).context("it has no project yet: it was never synced")?;
        let message = Revive { mirror: mirror.id, sides, kept: kept.clone(), branch: branch.clone() };
        let commit = self.stages.transfer.ask(message, PATIENCE).await??;
        let detail = json!({ "mirror": mirror.id, "kept_ref": kept.kept_ref, "branch": branch, "commit": commit });
        let entry = NewEntry { detail, ..NewEntry::of("cli", "kept.branch", &mirror.name.to_string()) };
        self.store.write(move |c| audit::append(c, &entry, Utc::now())).await?;
        Ok(commit)
    }

    async fn kept_ref(&self, mirror: &Mirror, which: &str) -> anyhow::Result<Kept> {
        let (id, name) = (mirror.id, which.to_owned());
        let found = self
            .store
            .read(move |c| match name.parse() {
                Ok(number) => kept::find(c, id, KeptId(number)),
                Err(_) => kept::find_by_ref(c, id, &name),
            })
            .await?;
        found.with_context(|| {
            format!("{} has no kept ref `{which}`; `starkeep kept list {}` shows them", mirror.name, mirror.name)
        })
    }
}
