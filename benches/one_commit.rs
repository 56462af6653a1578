//! One new commit, from the webhook to the proof: the service beside a bare clone that is kept and
//! fetched into and pushed from. And what a look costs that finds nothing new.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Utc;
use starkeep::app::{App, AppOptions};
use starkeep::domain::ids::{GithubId, MirrorId};
use starkeep::simulator::Delivery;
use starkeep::store::mirrors;

use crate::support::child::{self, Cost};
use crate::support::data::MEDIUM;
use crate::support::report::{Samples, at_most, line, times};
use crate::support::stage::{self, FAN, Stage};
use crate::support::{git, rounds};

const LIMIT: Duration = Duration::from_secs(120);
const MAIN: &str = "refs/heads/main";

pub(crate) fn run() -> anyhow::Result<()> {
    actix::System::new().block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
    let stage = Stage::set()?;
    let id = stage.upstream("busy", &MEDIUM.repository()?)?;
    let folder = child::scratch()?;
    let to = stage.project("plain/busy")?;
    git::clone_mirror(&stage.upstream_url("busy"), folder.path(), LIMIT)?;
    git::push_mirror(&to, &stage.authorization(), folder.path(), LIMIT)?;
    let config = stage.config(&stage::sqlite(folder.path()))?;
    let app = App::start(AppOptions { config, serve: true, ..AppOptions::default() }).await?;
    let service = Service::of(&app, &stage, id).await?;

    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for round in 0..rounds(15) {
        let delivery = service.commit(&stage, id, &format!("round {round}"))?;
        // Who goes first finds colder caches: by turns.
        if round % 2 == 0 {
            ours.add_time(service.synced(&delivery).await?);
        }
        theirs.add_time(fetch_and_push(&stage, &to, folder.path()).await?.wall);
        if round % 2 == 1 {
            ours.add_time(service.synced(&delivery).await?);
        }
        let there = stage.mirrored_refs("busy")?;
        anyhow::ensure!(there == stage.simulator.github().refs(id)?, "the two sides differ");
    }
    line("refs", &stage.simulator.github().refs(id)?.len().to_string());
    line("kept bare clone: git fetch, git push", &theirs.seconds());
    line("starkeep: webhook to proof", &ours.seconds());
    at_most("starkeep / git", ours.median() / theirs.median(), 0.5, times);
    let delivery = service.commit(&stage, id, "once more")?;
    let asked = requests(&stage, service.synced(&delivery)).await?;
    line("requests of one such sync", &format!("{}: {}", asked.len(), asked.join(", ")));
    service.look(&stage).await?;
    app.shut_down().await;
    Ok(())
}

async fn fetch_and_push(stage: &Stage, to: &str, folder: &std::path::Path) -> anyhow::Result<Cost> {
    let (to, authorization, folder) = (to.to_owned(), stage.authorization(), folder.to_path_buf());
    let work = move || Ok(git::fetch(&folder, LIMIT)?.and(git::push_mirror(&to, &authorization, &folder, LIMIT)?));
    tokio::task::spawn_blocking(work).await?
}

/// The service with its one mirror.
struct Service<'a> {
    app: &'a App,
    client: reqwest::Client,
    url: String,
    mirror: MirrorId,
}

impl<'a> Service<'a> {
    async fn of(app: &'a App, stage: &Stage, id: GithubId) -> anyhow::Result<Self> {
        let url = format!("http://{}/webhooks/github", app.address().context("it serves")?);
        let client = reqwest::Client::builder().no_proxy().build()?;
        let star = stage.simulator.github().star(FAN, id)?;
        send(&client, &url, &star).await?;
        app.idle().await?;
        let mirror = app.store.read(move |c| mirrors::by_github_id(c, id)).await?.context("there is a mirror")?;
        anyhow::ensure!(mirror.proof.is_some(), "the first sync failed: {:?}", mirror.error);
        Ok(Self { app, client, url, mirror: mirror.id })
    }

    /// From the webhook until the proof is written down.
    async fn synced(&self, delivery: &Delivery) -> anyhow::Result<Duration> {
        let mut steps = self.app.progress.listen();
        let began = Instant::now();
        send(&self.client, &self.url, delivery).await?;
        loop {
            let step = steps.recv().await?;
            anyhow::ensure!(step.stage != "failed", "the sync failed");
            if step.mirror == self.mirror && step.stage == "done" {
                return Ok(began.elapsed());
            }
        }
    }

    /// A new commit upstream, and GitHub's word of it.
    fn commit(&self, stage: &Stage, id: GithubId, text: &str) -> anyhow::Result<Delivery> {
        let github = stage.simulator.github();
        let before = github.tip(id, MAIN)?;
        let after = github.commit(id, "main", "NEWS", text)?;
        Ok(github.push(id, MAIN, before, Some(after))?)
    }

    /// A routine look at what has not changed.
    async fn look(&self, stage: &Stage) -> anyhow::Result<()> {
        let looked = async {
            let mut steps = self.app.progress.listen();
            let (mirror, now) = (self.mirror, Utc::now());
            self.app.store.write(move |c| mirrors::schedule(c, mirror, Some(now), now)).await?;
            while steps.recv().await?.stage != "done" {}
            Ok(())
        };
        let lines = requests(stage, looked).await?;
        line("a look that finds nothing new", &lines.join(", "));
        at_most("its requests", lines.len() as f64, 2.0, |it| format!("{it:.0}"));
        Ok(())
    }
}

/// What both servers were asked meanwhile.
async fn requests<T>(stage: &Stage, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<Vec<String>> {
    stage.simulator.github().clear_requests();
    stage.simulator.onedev().clear_requests();
    work.await?;
    let (github, onedev) = (stage.simulator.github().requests(), stage.simulator.onedev().requests());
    Ok(github.iter().chain(&onedev).map(|it| it.line()).collect())
}

async fn send(client: &reqwest::Client, url: &str, delivery: &Delivery) -> anyhow::Result<()> {
    let mut request = client.post(url).body(delivery.body.clone());
    for (name, value) in delivery.headers() {
        request = request.header(name, value);
    }
    let answer = request.send().await?;
    anyhow::ensure!(answer.status() == 202, "a delivery was answered {}", answer.status());
    Ok(())
}
