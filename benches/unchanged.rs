//! A thousand mirrors of which nothing has changed: how many the service looks at in a second, job
//! engine and database included, beside C git's `ls-remote` of both sides.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use starkeep::app::{self, App, AppOptions};
use starkeep::domain::event::Subject;
use starkeep::domain::ids::{MirrorId, ProjectId};
use starkeep::domain::mirror::{Source, Status};
use starkeep::domain::refs;
use starkeep::domain::repository::{Repository, RepositoryName};
use starkeep::store::mirrors::{self, Project, Proven};
use starkeep::store::{Store, StoreError};

use crate::postgres;
use crate::support::report::{Samples, at_least, line, times};
use crate::support::stage::{self, OWNER, Stage};
use crate::support::{child, number, rounds};

const AT_ONCE: usize = 16;

pub(crate) fn run() -> anyhow::Result<()> {
    let count = number("STARKEEP_BENCH_MIRRORS", 1_000);
    let stage = Stage::set()?;
    let seeds = Arc::new(seeds(&stage, count)?);
    line("mirrors", &count.to_string());
    let folder = child::scratch()?;
    let mut pairs = Vec::new();
    for it in seeds.iter().take(count.min(300)) {
        let name = it.repository.name.name();
        let to = format!("{}/{}", stage.simulator.onedev().url().trim_end_matches('/'), it.path);
        pairs.push((stage.upstream_url(name), to));
    }
    let git = Git { pairs: Arc::new(pairs), authorization: stage.authorization(), folder: folder.path().to_owned() };
    measure("SQLite", &stage, &seeds, &stage::sqlite(folder.path()), &git)?;
    match postgres::fresh() {
        Some(fresh) => measure("Postgres", &stage, &seeds, &fresh.url, &git),
        None => {
            line("Postgres", "not measured: there is none");
            Ok(())
        }
    }
}

fn measure(name: &str, stage: &Stage, seeds: &Arc<Vec<Seed>>, database: &str, git: &Git) -> anyhow::Result<()> {
    let config = stage.config(database)?;
    actix::System::new().block_on(async {
        let store = app::open_store(&config).await?;
        seed(&store, Arc::clone(seeds)).await?;
        drop(store);
        let app = App::start(AppOptions { config, serve: true, ..AppOptions::default() }).await?;
        let (mut ours, mut whole, mut theirs) = (Samples::default(), Samples::default(), Samples::default());
        let mut requests = 0.0;
        for _ in 0..rounds(3) {
            let git = git.clone();
            theirs.add(tokio::task::spawn_blocking(move || git.pairs_a_second()).await??);
            stage.simulator.github().clear_requests();
            stage.simulator.onedev().clear_requests();
            let (first, all) = look_at_all(&app).await?;
            ours.add(seeds.len() as f64 / first.as_secs_f64());
            whole.add(seeds.len() as f64 / all.as_secs_f64());
            let sent = stage.simulator.github().requests().len() + stage.simulator.onedev().requests().len();
            requests = sent as f64 / seeds.len() as f64;
        }
        line(&format!("{name}: git ls-remote of both sides, {AT_ONCE} at once"), &format!("{:.0}/s", theirs.median()));
        line(&format!("{name}: checks"), &format!("{:.0}/s, {requests:.2} requests each", ours.median()));
        line(&format!("{name}: checks, from the moment all are due"), &format!("{:.0}/s", whole.median()));
        at_least(&format!("{name}: checks / git"), ours.median() / theirs.median(), 4.0, times);
        app.shut_down().await;
        Ok(())
    })
}

/// Makes every mirror due and waits until all have been looked at: the time since the first look
/// began, and since they were due.
async fn look_at_all(app: &App) -> anyhow::Result<(Duration, Duration)> {
    let unchanged = app.metrics.syncs.with_label_values(&["unchanged", "relay"]);
    let changed = app.metrics.syncs.with_label_values(&["changed", "relay"]);
    let failed = app.metrics.syncs.with_label_values(&["failed", "relay"]);
    let before = unchanged.get();
    let mut steps = app.progress.listen();
    let now = Utc::now();
    let due = app
        .store
        .write(move |c| {
            let all = mirrors::due(c, now + chrono::TimeDelta::days(1), 1_000_000)?;
            all.iter().try_for_each(|id| mirrors::schedule(c, *id, Some(now), now).map(drop))?;
            Ok(all.len() as u64)
        })
        .await?;
    let began = Instant::now();
    steps.recv().await?;
    let first = Instant::now();
    drop(steps);
    while unchanged.get() < before + due {
        anyhow::ensure!(failed.get() + changed.get() == 0, "a look did not find what was seeded");
        anyhow::ensure!(first.elapsed() < Duration::from_secs(300), "only {} were looked at", unchanged.get() - before);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let whole = (first.elapsed(), began.elapsed());
    app.idle().await?;
    Ok(whole)
}

/// A mirror as it stands after its first sync.
struct Seed {
    repository: Repository,
    path: String,
    project: ProjectId,
    proven: Proven,
}

/// Repositories and projects that hold the same, without the work of mirroring them.
fn seeds(stage: &Stage, count: usize) -> anyhow::Result<Vec<Seed>> {
    let (github, onedev) = (stage.simulator.github(), stage.simulator.onedev());
    let patterns = starkeep::config::sync::Sync::default().refs;
    let mut made = Vec::new();
    for number in 0..count {
        let name = format!("still{number}");
        let id = github.create_repository(OWNER, &name)?;
        let tip = github.commit(id, "main", "README", &name)?;
        github.set_ref(id, "refs/tags/v1", tip)?;
        let path = stage::mirrored_path(&name);
        let project = ProjectId(onedev.create_project(&path)?);
        copy(&github.repo_dir(id)?, &onedev.repo_dir(&path)?)?;
        let now = Utc::now();
        let managed = refs::managed(&github.refs(id)?, &patterns);
        let digest = refs::digest(&managed, &github.head(id)?);
        let repository = Repository {
            id,
            node_id: None,
            name: RepositoryName::new(OWNER, &name)?,
            private: false,
            archived: false,
            disabled: false,
            fork: false,
            network: id,
            size_kib: 1,
            default_branch: Some("main".to_owned()),
            description: None,
            pushed_at: Some(now),
        };
        let proven = Proven {
            onedev_digest: Some(digest.clone()),
            digest,
            head: Some(tip),
            ref_count: 2,
            default_branch: Some("main".to_owned()),
            upstream_head: None,
            not_level: Vec::new(),
            status: Status::Healthy,
            changed: true,
            verified_at: now,
            next_sync_at: Some(now + chrono::TimeDelta::hours(1)),
        };
        made.push(Seed { repository, path, project, proven });
    }
    Ok(made)
}

/// Copies a folder over another one.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let there = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &there)?;
        } else {
            std::fs::copy(entry.path(), there)?;
        }
    }
    Ok(())
}

async fn seed(store: &Store, seeds: Arc<Vec<Seed>>) -> Result<(), StoreError> {
    store
        .write(move |c| {
            for it in seeds.iter() {
                let now = it.proven.verified_at;
                let subject = Subject { id: it.repository.id, name: it.repository.name.clone() };
                let id: MirrorId = mirrors::ensure(c, &subject, Source::Star, now)?.0.id;
                mirrors::set_description(c, id, &it.repository, now)?;
                let project = Project { id: it.project, path: it.path.clone(), url: String::new() };
                mirrors::set_project(c, id, &project, true, now)?;
                mirrors::record_proof(c, id, &it.proven)?;
            }
            Ok(())
        })
        .await
}

/// C git, asking both servers.
#[derive(Clone)]
struct Git {
    pairs: Arc<Vec<(String, String)>>,
    authorization: String,
    folder: PathBuf,
}

impl Git {
    fn pairs_a_second(&self) -> anyhow::Result<f64> {
        let next = AtomicUsize::new(0);
        let began = Instant::now();
        std::thread::scope(|scope| {
            let askers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(|| self.ask(&next))).collect();
            askers.into_iter().try_for_each(|it| it.join().map_err(|_| anyhow::anyhow!("an asker panicked"))?)
        })?;
        Ok(self.pairs.len() as f64 / began.elapsed().as_secs_f64())
    }

    fn ask(&self, next: &AtomicUsize) -> anyhow::Result<()> {
        let git = child::place("git");
        while let Some((from, to)) = self.pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
            for url in [from, to] {
                let mut command = Command::new(&git);
                child::plain(&mut command);
                command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "http.extraHeader");
                let authorization = if url == to { self.authorization.as_str() } else { "" };
                let header =
                    if authorization.is_empty() { String::new() } else { format!("Authorization: {authorization}") };
                command.env("GIT_CONFIG_VALUE_0", header).current_dir(&self.folder);
                let said = command.args(["ls-remote", url]).output()?;
                anyhow::ensure!(said.status.success() && !said.stdout.is_empty(), "git ls-remote {url} failed");
            }
        }
        Ok(())
    }
}
