//! Ten thousand stars come into the database, and ten thousand unchanged mirrors are looked at: requests, processor
//! and memory of the service, which runs as a process of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use starkeep::app;
use starkeep::domain::ids::GithubId;
use starkeep::domain::repository::RepositoryName;
use starkeep::store::mirrors;
use starkeep::store::{Connection, Store, StoreError};

use crate::level::level;
use crate::support::child::{self, Service};
use crate::support::number;
use crate::support::report::{at_most, line, megabytes, seconds};
use crate::support::stage::{self, FAN, OWNER, Stage};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(900);

pub(crate) fn run() -> anyhow::Result<()> {
    let count = number("STARKEEP_BENCH_STARS", 10_000);
    line("stars, mirrors", &count.to_string());
    actix::System::new().block_on(async {
        import(count).await?;
        sweep(count).await
    })
}

/// The first look at a list of stars. The syncs that it queues wait for a OneDev that is away.
async fn import(count: usize) -> anyhow::Result<()> {
    let (stage, folder) = (Stage::set()?, child::scratch()?);
    stage.simulator.github().star_many(FAN, OWNER, count);
    stage.simulator.onedev().go_down();
    let database = stage::sqlite(folder.path());
    let store = app::open_store(&stage.config(&database)?).await?;
    let config = config(&stage, folder.path(), &database, "1h")?;
    let service = Service::start(&config, folder.path())?;
    wait(|| async { Ok(mirrored(&store).await? >= count as u64) }).await?;
    at_most("import: from exec to the last star", service.began.elapsed().as_secs_f64(), 60.0, seconds);
    line("import: processor", &seconds(child::own_cpu(service.id())));
    at_most("import: memory", child::peak_memory(service.id()) as f64, 120e6, megabytes);
    Ok(())
}

/// Every mirror is due, and none has changed.
async fn sweep(count: usize) -> anyhow::Result<()> {
    let (stage, folder) = (Stage::set()?, child::scratch()?);
    let github = stage.simulator.github();
    let ids: Vec<GithubId> = (0..count).map(|n| github.add_unborn(OWNER, &format!("still{n}"))).collect();
    let database = stage::sqlite(folder.path());
    let store = app::open_store(&stage.config(&database)?).await?;
    let seeds = Arc::new(ids);
    store.write(move |c| seeds.iter().enumerate().try_for_each(|(n, id)| seed(c, *id, n))).await?;
    let config = config(&stage, folder.path(), &database, "off")?;
    github.clear_requests();
    let (service, now) = (Service::start(&config, folder.path())?, Utc::now());
    let is_done = || async { Ok(store.read(move |c| mirrors::due(c, now, 1)).await?.is_empty()) };
    wait(is_done).await?;
    line("sweep: from exec to the last mirror", &seconds(service.began.elapsed().as_secs_f64()));
    at_most("sweep: requests", github.requests().len() as f64, 110.0, |it| format!("{it:.0}"));
    at_most("sweep: processor, start included", child::own_cpu(service.id()), 5.0, seconds);
    at_most("sweep: memory", child::peak_memory(service.id()) as f64, 120e6, megabytes);
    Ok(())
}

async fn wait<F>(is_done: impl Fn() -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<bool>>,
{
    let began = Instant::now();
    while !is_done().await? {
        anyhow::ensure!(began.elapsed() < PATIENCE, "it does not come to its end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn mirrored(store: &Store) -> Result<u64, StoreError> {
    Ok(store.read(mirrors::counts_by_status).await?.values().sum())
}

/// The stage's own, with a token and with looks at stars.
fn config(stage: &Stage, folder: &Path, database: &str, poll_interval: &str) -> anyhow::Result<PathBuf> {
    let path = stage.config_file(folder, database, "[sync]\nworkers = 1\n")?;
    let text = std::fs::read_to_string(&path)?;
    let token = format!("[github]\ntoken = \"{}\"\n", stage.simulator.github().token());
    let text = text.replace("[github]\n", &token);
    let text = text.replace("poll_interval = \"off\"", &format!("poll_interval = \"{poll_interval}\""));
    std::fs::write(&path, text)?;
    Ok(path)
}

fn seed(c: &mut Connection, id: GithubId, number: usize) -> Result<(), StoreError> {
    let name = RepositoryName::new(OWNER, &format!("still{number}")).map_err(|e| StoreError::Refused(e.to_string()))?;
    level(c, id, name, Utc::now())
}
