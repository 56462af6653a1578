//! `starkeep demo`: the whole service, for real, against a simulated GitHub and OneDev on loopback.
//!
//! Four repositories are starred by signed webhooks; then one is pushed to, one force-pushed, one
//! renamed and one un-starred. At the end both servers are compared ref by ref.

mod stage;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Given, output, serve};
use crate::domain::mirror::Status;
use crate::domain::refs::{self, RefMap};
use crate::store::mirrors::{self, Filter, Mirror};
use crate::store::page::Window;
use stage::Stage;

pub(super) async fn run(given: &Given, once: bool) -> anyhow::Result<u8> {
    let stage = Stage::set(once).await?;
    let told = actix::spawn(tell(stage.app.progress.listen(), stage.app.store.clone()));
    let played = play(&stage).await;
    told.abort();
    let found = match played {
        Ok(()) => inspect(&stage).await?,
        Err(error) => {
            stage.app.shut_down().await;
            return Err(error);
        }
    };
    let good = found.iter().all(|it| it.faults.is_empty());
    print(given, &found, good)?;
    if !once {
        output::say(&format!("\nstarkeep keeps serving at {} - Ctrl-C ends it", stage.address));
        output::say(&format!("admin token: {}", stage.admin_token));
        if let Some(address) = stage.app.invite().await? {
            output::say(&format!("the dashboard, signed in by the first visit: {address}"));
        }
        serve::until_told(&stage.app).await?;
    }
    stage.app.shut_down().await;
    Ok(u8::from(!good))
}

/// The story, act by act; each act ends when no work is left.
async fn play(stage: &Stage) -> anyhow::Result<()> {
    let (github, cast) = (stage.simulator.github(), &stage.cast);
    output::say("four repositories are starred:");
    for id in cast.all() {
        stage.deliver(&github.star(stage::FAN, id)?).await?;
    }
    stage.app.idle().await?;

    output::say("one gets a commit, one is force-pushed, one is renamed, one is un-starred:");
    let before = github.tip(cast.pushed, "refs/heads/main")?;
    let after = github.commit(cast.pushed, "main", "NEWS", "something new")?;
    stage.deliver(&github.push(cast.pushed, "refs/heads/main", before, Some(after))?).await?;
    let before = github.tip(cast.forced, "refs/heads/main")?;
    let after = github.force_branch(cast.forced, "main")?;
    stage.deliver(&github.push(cast.forced, "refs/heads/main", before, Some(after))?).await?;
    github.rename(cast.renamed, "new-name")?;
    stage.deliver(&github.renamed(cast.renamed, "old-name")?).await?;
    stage.deliver(&github.unstar(stage::FAN, cast.unstarred)?).await?;
    stage.app.idle().await
}

/// Tells each step as it begins.
async fn tell(
    mut steps: tokio::sync::broadcast::Receiver<crate::telemetry::progress::Step>,
    store: crate::store::Store,
) {
    while let Ok(step) = steps.recv().await {
        let name = store.read(move |c| mirrors::find(c, step.mirror)).await;
        let name = name.ok().flatten().map_or_else(String::new, |it| it.name.to_string());
        if step.bytes == 0 {
            output::say(&format!("  {name:<20} {}", step.stage));
        }
    }
}

/// A mirror, what both servers hold, and what is not as it should be.
struct Found {
    mirror: Mirror,
    upstream: RefMap,
    onedev: RefMap,
    faults: Vec<String>,
}

async fn inspect(stage: &Stage) -> anyhow::Result<Vec<Found>> {
    let window = Window { limit: 200, cursor: None };
    let page = stage.app.store.read(move |c| mirrors::list(c, &Filter::default(), &window)).await?;
    anyhow::ensure!(page.items.len() == 4, "there should be four mirrors, there are {}", page.items.len());
    page.items.into_iter().map(|mirror| look_at(stage, mirror)).collect()
}

fn look_at(stage: &Stage, mirror: Mirror) -> anyhow::Result<Found> {
    let upstream = stage.simulator.github().refs(mirror.github_id)?;
    let path = mirror.project.as_ref().map(|it| it.path.clone()).context("a mirror has no project")?;
    let onedev = stage.simulator.onedev().refs(&path)?;
    let mut faults = Vec::new();
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            faults.push(what.to_owned());
        }
    };
    let patterns = crate::config::sync::Sync::default().refs;
    if mirror.github_id == stage.cast.unstarred {
        expect(mirror.status == Status::Archived, "it should be archived");
    } else {
        expect(mirror.status == Status::Healthy, "it should be healthy");
    }
    let level = refs::managed(&upstream, &patterns) == refs::managed(&onedev, &patterns);
    expect(level, "the two servers should hold the same refs");
    expect(mirror.proof.is_some(), "it should be verified");
    if mirror.github_id == stage.cast.forced {
        expect(onedev.values().any(|it| *it == stage.cast.overwritten), "the overwritten tip should be kept");
    }
    if mirror.github_id == stage.cast.renamed {
        expect(mirror.name.name() == "new-name", "it should have its new name");
    }
    Ok(Found { mirror, upstream, onedev, faults })
}

fn print(given: &Given, found: &[Found], good: bool) -> anyhow::Result<()> {
    if given.json {
        return output::json(&found.iter().map(as_json).collect::<Vec<_>>());
    }
    for it in found {
        let verified = it.mirror.proof.as_ref().map_or_else(|| "never".to_owned(), |it| it.verified_at.to_rfc3339());
        let kept = it.onedev.keys().filter(|name| name.as_str().starts_with(crate::domain::kept::KEPT)).count();
        output::line(&format!(
            "{:<20} {:<9} {} refs, {kept} kept, verified {verified}",
            it.mirror.name.to_string(),
            it.mirror.status.as_str(),
            it.mirror.ref_count.unwrap_or(0),
        ));
        it.faults.iter().for_each(|fault| output::line(&format!("    {fault}")));
    }
    output::line(if good { "all is as it should be" } else { "something is not as it should be" });
    Ok(())
}

fn as_json(it: &Found) -> Value {
    let mut value = it.mirror.to_json();
    if let Some(object) = value.as_object_mut() {
        object.insert("refs".to_owned(), json!({ "upstream": it.upstream, "onedev": it.onedev }));
        object.insert("faults".to_owned(), json!(it.faults));
    }
    value
}
