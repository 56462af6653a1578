//! Giving up kept refs by age and count, where that is configured.
//!
//! What is to go is committed first, then deleted in OneDev by compare-and-swap, then forgotten. A run that
//! was cut off in between is finished by the next.

use std::sync::Arc;

use chrono::Utc;
use serde_json::json;

use super::round::{self, Tools};
use crate::domain::mirror::Status;
use crate::domain::refs::Oid;
use crate::domain::retry::Retry;
use crate::git::{self, Command, Push, RefOutcome};
use crate::stages::failure::Failure;
use crate::stages::messages::{Ticket, TwoSides};
use crate::store::audit::{self, NewEntry};
use crate::store::kept::{self, Kept, KeptId};
use crate::store::mirrors::Mirror;

/// Names in one entry of the audit log.
const NAMED: usize = 100;
/// Kept refs that go in one run; the rest follows after the next sync.
const AT_ONCE: usize = 5_000;

/// Gives up what the configuration says, of a mirror that is level with a living upstream.
pub(super) async fn prune(tools: &Tools, ticket: &Ticket, mirror: &Mirror) -> Result<(), Failure> {
    let rule = tools.sync.retention();
    let alive = matches!(mirror.status, Status::Healthy | Status::Partial);
    let (id, now) = (mirror.id, Utc::now());
    let doomed = tools
        .store
        .write(move |c| {
            if rule.is_set() && alive {
                let all = kept::all(c, id)?;
                let dated: Vec<_> = all.iter().map(|it| (it.reason, it.created_at)).collect();
                let places = rule.given_up(&dated, now);
                let gone: Vec<KeptId> =
                    places.into_iter().rev().take(AT_ONCE).filter_map(|it| Some(all.get(it)?.id)).collect();
                kept::doom(c, &gone, now)?;
            }
            kept::doomed(c, id)
        })
        .await?;
    if doomed.is_empty() {
        return Ok(());
    }
    let sides = TwoSides::of(mirror).ok_or_else(|| Failure::new("no_project", "it has no project", Retry::Never))?;
    let gone = delete(tools, &sides, doomed).await?;
    let names: Vec<&str> = gone.iter().take(NAMED).map(|it| it.kept_ref.as_str()).collect();
    let detail = json!({ "mirror": id, "count": gone.len(), "kept_refs": names });
    let entry = NewEntry {
        detail,
        correlation: Some(ticket.correlation),
        ..NewEntry::of("starkeep", "kept.prune", &mirror.name.to_string())
    };
    let ids: Vec<KeptId> = gone.iter().map(|it| it.id).collect();
    tracing::info!(mirror = %id, count = ids.len(), "kept refs were given up by age or count");
    tools
        .store
        .write(move |c| {
            audit::append(c, &entry, now)?;
            kept::forget(c, &ids)
        })
        .await?;
    Ok(())
}

/// Those that stand as recorded go; those that do not stand at all went before. One that stands elsewhere
/// is left alone.
async fn delete(tools: &Tools, sides: &TwoSides, doomed: Vec<Kept>) -> Result<Vec<Kept>, Failure> {
    let target = round::target(tools, &round::path_of(sides)?)?;
    let standing = target.receive_refs().await?.refs;
    let here: Vec<Command> = doomed
        .iter()
        .filter(|it| standing.get(&it.kept_ref) == Some(&it.oid))
        .map(|it| Command { name: it.kept_ref.clone(), old: it.oid, new: Oid::ZERO })
        .collect();
    let mut gone: Vec<Kept> = doomed.iter().filter(|it| !standing.contains_key(&it.kept_ref)).cloned().collect();
    if here.is_empty() {
        return Ok(gone);
    }
    let permit = Arc::clone(&tools.pushes).acquire_owned().await;
    let _permit = permit.map_err(|_| Failure::called_off())?;
    let progress = Arc::new(git::Progress::new(&tools.metrics));
    for part in git::batches(here) {
        let report = target.push(&Push::plain(part), &progress).await?;
        gone.extend(doomed.iter().filter(|it| report.refs.get(&it.kept_ref) == Some(&RefOutcome::Done)).cloned());
    }
    Ok(gone)
}
