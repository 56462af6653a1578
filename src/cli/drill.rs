//! `starkeep drill`: restores some mirrors on trial and says whether they are whole.

use serde_json::{Value, json};

use super::{Given, output};
use crate::app::archive::Archive;
use crate::store::drills::{Drill, Outcome};
use crate::store::mirrors::Mirror;

pub(super) async fn run(given: &Given, sample: Option<usize>) -> anyhow::Result<u8> {
    let config = given.quiet_config().await?;
    let archive = Archive::open(&config).await?;
    let (mut report, mut failed) = (Vec::new(), 0);
    for mirror in archive.sample(sample.unwrap_or(config.drill.sample)).await? {
        let found = archive.drill(&mirror).await;
        failed += usize::from(!matches!(&found, Ok(it) if it.outcome == Outcome::Ok));
        if given.json {
            report.push(as_json(&mirror, &found));
        } else {
            output::line(&as_text(&mirror, &found));
        }
    }
    if given.json {
        output::json(&report)?;
    }
    Ok(u8::from(failed > 0))
}

fn as_json(mirror: &Mirror, found: &anyhow::Result<Drill>) -> Value {
    match found {
        Ok(it) => json!({
            "repository": mirror.name,
            "outcome": it.outcome.as_str(),
            "refs": it.refs,
            "objects": it.objects,
            "bytes": it.bytes,
            "lfs": { "objects": it.lfs_objects, "bytes": it.lfs_bytes, "unread": it.lfs_unread },
            "duration_ms": it.millis,
            "problem": it.problem,
        }),
        Err(error) => json!({ "repository": mirror.name, "outcome": "error", "problem": error.to_string() }),
    }
}

fn as_text(mirror: &Mirror, found: &anyhow::Result<Drill>) -> String {
    let name = &mirror.name;
    match found {
        Ok(Drill { outcome: Outcome::Ok, refs, objects, lfs_objects, lfs_unread, millis, .. }) => {
            let lfs = match (lfs_objects, lfs_unread) {
                (0, 0) => String::new(),
                (read, 0) => format!(", {read} LFS objects"),
                (read, unread) => format!(", {read} of {} LFS objects (drill.lfs_bytes)", read + unread),
            };
            format!("{name}: whole, {refs} refs, {objects} objects{lfs}, {millis} ms")
        }
        Ok(it) => format!("{name}: NOT WHOLE: {}", it.problem.as_deref().unwrap_or("nobody knows why")),
        Err(error) => format!("{name}: could not be drilled: {error}"),
    }
}
