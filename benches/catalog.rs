//! What git does not carry, of a repository with 1,000 issues (or 10,000): the first catalog, and looks that find
//! nothing new. Counted are requests, time, and the memory of the process.

use std::time::{Duration, Instant};

use chrono::Utc;
use starkeep::domain::ids::{CorrelationId, GithubId};
use starkeep::domain::job::{JobKind, Priority};
use starkeep::store::jobs::NewJob;
use starkeep::store::{Store, catalog, jobs, mirrors};
use uuid::Uuid;

use crate::support::child::{self, Service};
use crate::support::report::{Samples, at_most, line, megabytes};
use crate::support::stage::{self, FAN, OWNER, Stage};

/// Issues; three comments for each. Ten times as many with `STARKEEP_BENCH_LONG=1`.
const ISSUES: u32 = 1_000;
const RELEASES: u32 = 20;
/// Every list has its turn once.
const LOOKS: u32 = 6;
const LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn run() -> anyhow::Result<()> {
    actix::System::new().block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
    let stage = Stage::set()?;
    let github = stage.simulator.github();
    let id = github.create_repository(OWNER, "talkative")?;
    github.commit(id, "main", "README", "hello")?;
    let issues = if std::env::var_os("STARKEEP_BENCH_LONG").is_some() { 10 * ISSUES } else { ISSUES };
    github.fill(id, issues, 3 * issues, RELEASES)?;
    github.set_rate_limit(1_000_000, 1_000_000, i64::from(u32::MAX));
    let folder = child::scratch()?;
    let url = stage::sqlite(folder.path());
    let config = stage.config_file(folder.path(), &url, "[sync]\nmetadata = true\n")?;
    let service = Service::start(&config, folder.path())?;
    let store = Store::open(&stage.config(&url)?.database).await?;

    github.clear_requests();
    let began = Instant::now();
    github.star(FAN, id)?.deliver(&format!("{}/webhooks/github", service.address)).await?;
    let looked = looked_after(&store, id, None).await?;
    line("issues, comments, releases", &format!("{issues}, {}, {RELEASES}", 3 * issues));
    line("first catalog", &format!("{:.2} s", began.elapsed().as_secs_f64()));
    line("requests of it", &asked(&stage, id).to_string());
    let refs = stage.simulator.onedev().refs(&stage::mirrored_path("talkative"))?;
    anyhow::ensure!(refs.keys().any(|it| it.as_str() == "refs/starkeep/meta"), "there is no catalog");
    at_most("memory of the process at its most", child::peak_memory(service.id()) as f64, 64e6, megabytes);

    let (mut requests, mut times, mut last) = (Samples::default(), Samples::default(), looked);
    for _ in 0..LOOKS {
        github.clear_requests();
        let began = Instant::now();
        queue(&store, id).await?;
        last = looked_after(&store, id, Some(last)).await?;
        times.add_time(began.elapsed());
        requests.add(asked(&stage, id) as f64);
    }
    line("a look without change", &times.seconds());
    at_most("requests of it at most", requests.max(), 3.0, |it| format!("{it:.0}"));
    at_most("memory after that", child::peak_memory(service.id()) as f64, 64e6, megabytes);
    Ok(())
}

fn asked(stage: &Stage, id: GithubId) -> usize {
    let mark = format!("/repositories/{id}");
    stage.simulator.github().requests().iter().filter(|it| it.path.starts_with(&mark)).count()
}

async fn queue(store: &Store, id: GithubId) -> anyhow::Result<()> {
    let queued = store.write(move |c| {
        let Some(mirror) = mirrors::by_github_id(c, id)? else { return Ok(()) };
        let job = NewJob::of(JobKind::Catalog, mirror.id, Priority::ASKED, CorrelationId(Uuid::now_v7()));
        jobs::enqueue(c, &job, Utc::now()).map(drop)
    });
    Ok(queued.await?)
}

/// Waits until a round has ended later than the one before.
async fn looked_after(
    store: &Store,
    id: GithubId,
    before: Option<chrono::DateTime<Utc>>,
) -> anyhow::Result<chrono::DateTime<Utc>> {
    let began = Instant::now();
    while began.elapsed() < LIMIT {
        let looked = store
            .read(move |c| {
                let Some(mirror) = mirrors::by_github_id(c, id)? else { return Ok(None) };
                Ok(catalog::find(c, mirror.id)?.and_then(|it| it.looked_at))
            })
            .await?;
        if let Some(looked) = looked.filter(|it| before.is_none_or(|before| *it > before)) {
            return Ok(looked);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("the catalog is not done after {LIMIT:?}")
}
