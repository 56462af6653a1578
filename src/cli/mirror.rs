//! `starkeep mirror`: mirrors repositories now, in this process, with progress.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use chrono::Utc;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use uuid::Uuid;

use super::{Given, output, serve};
use crate::app::{App, AppOptions};
use crate::domain::event::Subject;
use crate::domain::ids::{CorrelationId, MirrorId};
use crate::domain::job::{JobKind, Priority};
use crate::domain::mirror::{Source, Status};
use crate::domain::part::PartId;
use crate::domain::repository::{Repository, RepositoryName};
use crate::store::audit::{self, NewEntry};
use crate::store::jobs::{self, NewJob};
use crate::store::mirrors::{self, Mirror};
use crate::store::{Connection, Store, StoreError, parts};
use crate::telemetry::progress::Step;

/// Another process may have done the work, which tells nothing here: the table is looked at so often.
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn run(given: &Given, names: Vec<RepositoryName>, allow_mass_delete: bool) -> anyhow::Result<u8> {
    let config = given.quiet_config().await?;
    // It works on nothing until the mirrors are known, and then on them alone.
    let app = App::start(AppOptions { config, only: Some(Vec::new()), ..AppOptions::default() }).await?;
    let chosen = match choose(&app, names, allow_mass_delete).await {
        Ok(chosen) => chosen,
        Err(error) => {
            app.shut_down().await;
            return Err(error);
        }
    };
    let told = tokio::select! {
        done = watch(&app, &chosen) => done.map(|()| false)?,
        told = serve::until_told(&app) => told.map(|_| true)?,
    };
    if told {
        app.shut_down().await;
        output::say("called off; nothing is half-done, and the next run goes on from here");
        return Ok(1);
    }
    let ended = outcome(&app.store, chosen.keys().copied().collect()).await?;
    app.shut_down().await;
    print(given, &ended)?;
    let good = ended.iter().all(|it| matches!(it.status, Status::Healthy | Status::Partial));
    Ok(u8::from(!good))
}

async fn choose(
    app: &App,
    names: Vec<RepositoryName>,
    allow_mass_delete: bool,
) -> anyhow::Result<BTreeMap<MirrorId, RepositoryName>> {
    let mut chosen = BTreeMap::new();
    for name in names {
        let repository = app.describe(name.clone()).await?;
        let mirror = app.store.write(move |c| queue(c, &repository, allow_mass_delete)).await?;
        chosen.insert(mirror.id, name);
    }
    Ok(chosen)
}

fn queue(c: &mut Connection, repository: &Repository, allow_mass_delete: bool) -> Result<Mirror, StoreError> {
    let now = Utc::now();
    let (mirror, _) =
        mirrors::ensure(c, &Subject { id: repository.id, name: repository.name.clone() }, Source::Manual, now)?;
    mirrors::restar(c, mirror.id, now)?;
    let correlation = CorrelationId(Uuid::now_v7());
    let job = NewJob::of(JobKind::Sync, mirror.id, Priority::ASKED, correlation);
    let job = job.allowing_mass_delete(allow_mass_delete);
    jobs::enqueue(c, &job, now)?;
    if parts::find(c, PartId::wiki(mirror.id))?.is_some() {
        jobs::enqueue(c, &NewJob { kind: JobKind::Wiki, ..job }, now)?;
    }
    if allow_mass_delete {
        let mut entry = NewEntry::of("cli", "mirror.sync", &mirror.name.to_string());
        entry.detail = serde_json::json!({ "mirror": mirror.id, "allow_mass_delete": true });
        entry.correlation = Some(correlation);
        audit::append(c, &entry, now)?;
    }
    Ok(mirror)
}

/// Shows the steps until each mirror's job has ended, here or in a service on the same database.
async fn watch(app: &App, chosen: &BTreeMap<MirrorId, RepositoryName>) -> anyhow::Result<()> {
    let mut steps = app.progress.listen();
    let mut bars = Bars::new(chosen);
    app.take_on(chosen.keys().copied());
    loop {
        if let Ok(Ok(step)) = tokio::time::timeout(LOOK, steps.recv()).await {
            bars.show(&step);
            if !matches!(step.stage, "done" | "failed") {
                continue;
            }
        }
        let ids: Vec<MirrorId> = chosen.keys().copied().collect();
        if !app.store.read(move |c| jobs::is_first_try_open(c, &ids)).await? {
            bars.end();
            return Ok(());
        }
    }
}

async fn outcome(store: &Store, ids: Vec<MirrorId>) -> anyhow::Result<Vec<Mirror>> {
    let found = store.read(move |c| ids.iter().map(|id| mirrors::find(c, *id)).collect::<Result<Vec<_>, _>>()).await?;
    Ok(found.into_iter().flatten().collect())
}

fn print(given: &Given, ended: &[Mirror]) -> anyhow::Result<()> {
    if given.json {
        return output::json(&ended.iter().map(Mirror::to_json).collect::<Vec<_>>());
    }
    for mirror in ended {
        let place = mirror.project.as_ref().map_or("nowhere yet", |it| it.url.as_str());
        output::line(&format!("{}: {}, {} refs, {place}", mirror.name, mirror.status, mirror.ref_count.unwrap_or(0)));
        if let Some(error) = &mirror.error {
            output::say(&format!(
                "error: {}: {} ({}); a running `starkeep serve` tries again by itself",
                mirror.name, error.message, error.code
            ));
        }
    }
    Ok(())
}

/// A bar for each mirror on a terminal, plain lines elsewhere.
struct Bars {
    names: BTreeMap<MirrorId, String>,
    bars: BTreeMap<MirrorId, ProgressBar>,
    told: BTreeMap<MirrorId, &'static str>,
}

impl Bars {
    fn new(chosen: &BTreeMap<MirrorId, RepositoryName>) -> Self {
        let names: BTreeMap<_, _> = chosen.iter().map(|(id, name)| (*id, name.to_string())).collect();
        let mut bars = BTreeMap::new();
        if std::io::stderr().is_terminal() {
            let all = MultiProgress::new();
            let style = ProgressStyle::with_template("{spinner} {prefix:40} {msg:10} {bytes} {bytes_per_sec}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            for (id, name) in &names {
                let bar = all.add(ProgressBar::new_spinner().with_style(style.clone()).with_prefix(name.clone()));
                bar.enable_steady_tick(Duration::from_millis(120));
                bars.insert(*id, bar);
            }
        }
        Self { names, bars, told: BTreeMap::new() }
    }

    fn show(&mut self, step: &Step) {
        if let Some(bar) = self.bars.get(&step.mirror) {
            bar.set_message(step.stage);
            bar.set_position(step.bytes.max(bar.position()));
        } else if let Some(name) = self.names.get(&step.mirror)
            && self.told.insert(step.mirror, step.stage) != Some(step.stage)
        {
            output::say(&format!("{name}: {}", step.stage));
        }
    }

    fn end(&self) {
        self.bars.values().for_each(ProgressBar::finish);
    }
}
