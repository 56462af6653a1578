//! The world of a story: both simulated servers, a database of its own, and the service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::Utc;
use secrecy::SecretString;
use serde_json::Value;
use starkeep::app::{self, App, AppOptions};
use starkeep::config::Config;
use starkeep::config::sync::Engine;
use starkeep::domain::ids::{CorrelationId, GithubId};
use starkeep::domain::job::{JobKind, JobState, Priority};
use starkeep::domain::mirror::Status;
use starkeep::domain::outage::Server;
use starkeep::domain::refs::{self, Oid, RefMap};
use starkeep::simulator::{Delivery, GithubSimulator, OneDevSimulator, Simulator, SimulatorOptions};
use starkeep::stages::panics::Panics;
use starkeep::store::jobs::{self, Job, NewJob};
use starkeep::store::kept::Kept;
use starkeep::store::mirrors::{self, Mirror};
use starkeep::store::page::Window;
use starkeep::store::{Store, kept, rates};
use tempfile::TempDir;
use uuid::Uuid;

use crate::api;
use crate::postgres::{self, Fresh};
use crate::process::Process;

/// Whose stars are watched.
pub const FAN: &str = "Stargazer";
/// A job that backs off for a moment is still work to be waited for.
const SOON: chrono::TimeDelta = chrono::TimeDelta::milliseconds(500);
/// The admin token of every world.
pub const ADMIN: &str = "the-admin-token-of-the-tests";

/// Where a story keeps its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// Tells a story on both databases, as the tests `sqlite` and `postgres` of a module of its name.
macro_rules! on_both {
    (async fn $name:ident($world:ident: $World:ty) $body:block) => {
        mod $name {
            use super::*;

            async fn story($world: $World) $body

            #[actix::test]
            async fn sqlite() {
                story($crate::world::World::new($crate::world::Backend::Sqlite).unwrap()).await;
            }

            #[actix::test]
            async fn postgres() {
                if let Some(world) = $crate::world::World::new($crate::world::Backend::Postgres) {
                    story(world).await;
                }
            }
        }
    };
}
pub(crate) use on_both;

/// Chooses the cached engine. Every story is told over it with `STARKEEP_TEST_ENGINE=cached`.
fn keep_copies(config: &mut Config, folder: &Path) {
    config.sync.engine = Engine::Cached;
    config.sync.cache_dir = Some(folder.join("cache"));
}

pub struct World {
    pub simulator: Simulator,
    pub config: Config,
    pub panics: Panics,
    pub folder: TempDir,
    app: Option<App>,
    store: Option<Store>,
    _database: Option<Fresh>,
}

impl World {
    /// `None` where there is no Postgres; that is said loudly where it is looked for.
    pub fn new(backend: Backend) -> Option<Self> {
        Self::with(backend, &SimulatorOptions::default())
    }

    pub fn with(backend: Backend, options: &SimulatorOptions) -> Option<Self> {
        let folder = TempDir::with_prefix("starkeep-it-").unwrap();
        let database = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(postgres::fresh()?),
        };
        let simulator = Simulator::start(options.clone()).unwrap();
        let mut config = Config::default();
        let file = format!("sqlite://{}", folder.path().join("starkeep.db").display());
        config.database.url = SecretString::from(database.as_ref().map_or(file, |it| it.url.clone()));
        config.github.api_url = simulator.github().api_url().parse().unwrap();
        config.github.git_url = simulator.github().git_url().parse().unwrap();
        config.github.webhook_secret = Some(SecretString::from(options.webhook_secret.clone()));
        config.onedev.url = Some(simulator.onedev().url().parse().unwrap());
        config.onedev.token = Some(SecretString::from(options.onedev_token.clone()));
        config.stars.users = vec![FAN.to_owned()];
        // Stories count requests; those about looking at the list of stars switch it on.
        config.stars.poll_interval = None;
        config.admin.token = Some(SecretString::from(ADMIN));
        config.server.bind.set_port(0);
        config.server.webhook_rate_per_minute = 0;
        // Stories about refs count requests and jobs; those about the catalog switch it on.
        config.sync.metadata = false;
        config.server.shutdown_timeout = Duration::from_secs(30);
        // A job of its own for each mirror, which the stories of wikis ask for.
        config.sync.wiki = false;
        // Backing off is tested where it is decided; here it only takes time.
        (config.retry.base, config.retry.cap) = (Duration::from_millis(1), Duration::from_millis(20));
        if std::env::var("STARKEEP_TEST_ENGINE").is_ok_and(|it| it == "cached") {
            keep_copies(&mut config, folder.path());
        }
        Some(Self { simulator, config, panics: Panics::default(), folder, app: None, store: None, _database: database })
    }

    /// Chooses the cached engine; the copies are below this folder.
    pub fn cached(&mut self) -> PathBuf {
        keep_copies(&mut self.config, self.folder.path());
        self.folder.path().join("cache")
    }

    /// The database is a Postgres.
    pub fn is_postgres(&self) -> bool {
        self._database.is_some()
    }

    /// The story is told over the cached engine.
    pub fn is_cached(&self) -> bool {
        self.config.sync.engine == Engine::Cached
    }

    pub fn github(&self) -> &GithubSimulator {
        self.simulator.github()
    }

    pub fn onedev(&self) -> &OneDevSimulator {
        self.simulator.onedev()
    }

    /// Starts the service, if it does not run.
    pub async fn start(&mut self) -> &App {
        if self.app.is_none() {
            let options = AppOptions {
                config: self.config.clone(),
                serve: true,
                panics: self.panics.clone(),
                ..AppOptions::default()
            };
            let app = App::start(options).await.unwrap();
            self.store = Some(app.store.clone());
            self.app = Some(app);
        }
        self.app.as_ref().unwrap()
    }

    /// Ends the service as a signal would.
    pub async fn stop(&mut self) {
        if let Some(app) = self.app.take() {
            app.shut_down().await;
        }
    }

    pub fn app(&self) -> &App {
        self.app.as_ref().expect("the service runs")
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("the database is open")
    }

    /// Opens the database of a service that runs as a process of its own.
    pub async fn attach(&mut self) -> &Store {
        self.store = Some(app::open_store(&self.config).await.unwrap());
        self.store()
    }

    /// The database is gone, as if its disk had died; an empty one, or none yet, takes its place.
    pub async fn lose_database(&mut self) {
        self.stop().await;
        self.store = None;
        let url = match &self._database {
            Some(_) => {
                let fresh = postgres::fresh().expect("there was a Postgres before");
                let url = fresh.url.clone();
                self._database = Some(fresh);
                url
            }
            None => format!("sqlite://{}", self.folder.path().join(format!("{}.db", Uuid::new_v4())).display()),
        };
        self.config.database.url = SecretString::from(url);
    }

    /// Starts the binary on this world.
    pub fn process(&self) -> Process {
        Process::serve(&self.config, self.folder.path())
    }

    /// The same in one of its roles.
    pub fn process_as(&self, role: &str) -> Process {
        Process::serve_as(&self.config, self.folder.path(), role)
    }

    /// Runs statements in the Postgres, beside whatever else uses it.
    pub fn run_sql(&self, sql: &str) {
        self._database.as_ref().expect("it is a Postgres").run(sql);
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.app().address().unwrap())
    }

    /// Sends a delivery; gives status and answer.
    pub async fn send(&self, delivery: &Delivery) -> (u16, Value) {
        const PATH: &str = "/webhooks/github";
        let (status, answer) = delivery.deliver(&self.url(PATH)).await.unwrap();
        let media_type = if status < 300 { "application/json" } else { "application/problem+json" };
        api::expect("POST", PATH, status, Some(media_type), &answer.to_string());
        (status, answer)
    }

    /// Sends a delivery that must be answered 202, and gives its `status`.
    pub async fn accepted(&self, delivery: &Delivery) -> String {
        let (code, answer) = self.send(delivery).await;
        assert_eq!(code, 202, "{answer}");
        answer["status"].as_str().unwrap().to_owned()
    }

    /// A repository with one commit on `main`.
    pub fn repository(&self, owner: &str, name: &str) -> GithubId {
        let id = self.github().create_repository(owner, name).unwrap();
        self.github().commit(id, "main", "README", name).unwrap();
        id
    }

    /// The watched user stars it, and all that follows is done.
    pub async fn star(&mut self, id: GithubId) -> Mirror {
        self.start().await;
        let delivery = self.github().star(FAN, id).unwrap();
        assert_eq!(self.accepted(&delivery).await, "accepted");
        self.drain().await;
        self.mirror(id).await
    }

    /// The watched user stars it, this process is told, and all that follows is done. Gives what it was told.
    pub async fn star_by(&self, process: &Process, id: GithubId) -> Delivery {
        let star = self.github().star(FAN, id).unwrap();
        process.take(&star).await;
        self.drain().await;
        self.assert_healthy(id).await;
        star
    }

    /// GitHub tells of a push, and all that follows is done.
    pub async fn pushed(&self, id: GithubId) -> Mirror {
        let delivery = self.github().push(id, "refs/heads/main", None, None).unwrap();
        self.accepted(&delivery).await;
        self.drain().await;
        self.mirror(id).await
    }

    /// An admin asks for a sync, which looks closely; waiting jobs become due. All that follows is done.
    pub async fn sync(&self, id: GithubId) -> Mirror {
        self.queue(id, JobKind::Sync).await;
        self.drain().await;
        self.mirror(id).await
    }

    /// Queues a job as an admin would.
    pub async fn queue(&self, id: GithubId, kind: JobKind) {
        let mirror = self.mirror(id).await.id;
        let job = NewJob::of(kind, mirror, Priority::ASKED, CorrelationId(Uuid::now_v7()));
        self.store().write(move |c| jobs::enqueue(c, &job, Utc::now())).await.unwrap();
    }

    /// GitHub's pauses are over, as if the time had passed.
    pub async fn forgive(&mut self) {
        self.stop().await;
        let over = |c: &mut starkeep::store::Connection| {
            let mut all = rates::load(c)?;
            all.iter_mut().for_each(|it| it.closed_until = None);
            rates::save(c, &all, Utc::now())
        };
        self.store().write(over).await.unwrap();
        self.start().await;
    }

    /// Waits until no job is due or running.
    pub async fn drain(&self) {
        self.drain_for(Duration::from_secs(180)).await;
    }

    /// The same, and nothing waits any more for a server that was away: what waits for one is not due.
    pub async fn caught_up_for(&self, patience: Duration) {
        let codes = Server::ALL.map(Server::waited_for).concat();
        let mut wakeups = self.store().wakeups();
        let caught_up = async {
            loop {
                self.drain_for(patience).await;
                let codes = codes.clone();
                if self.store().read(move |c| jobs::waiting_for(c, &codes, None)).await.unwrap().is_empty() {
                    return;
                }
                let _ = tokio::time::timeout(Duration::from_millis(20), wakeups.changed()).await;
            }
        };
        tokio::time::timeout(patience, caught_up).await.expect("the servers are there again");
    }

    /// The same for work that may take so long.
    pub async fn drain_for(&self, patience: Duration) {
        let mut wakeups = self.store().wakeups();
        let idle = async {
            while self.store().read(|c| jobs::is_busy(c, Utc::now() + SOON)).await.unwrap() {
                let _ = tokio::time::timeout(Duration::from_millis(20), wakeups.changed()).await;
            }
        };
        if tokio::time::timeout(patience, idle).await.is_err() {
            let open = |it: &Job| matches!(it.state, JobState::Queued | JobState::Running);
            panic!("the work does not end: {:#?}", self.jobs().await.into_iter().filter(open).collect::<Vec<_>>());
        }
    }

    pub async fn mirror(&self, id: GithubId) -> Mirror {
        self.store().read(move |c| mirrors::by_github_id(c, id)).await.unwrap().expect("there is a mirror")
    }

    pub async fn kept(&self, id: GithubId) -> Vec<Kept> {
        let mirror = self.mirror(id).await.id;
        self.store().read(move |c| kept::list(c, mirror, &Window::default())).await.unwrap().items
    }

    pub async fn jobs(&self) -> Vec<Job> {
        let window = Window { limit: 200, cursor: None };
        self.store().read(move |c| jobs::list(c, &jobs::Filter::default(), &window)).await.unwrap().items
    }

    /// Full path of the project of a mirror.
    pub async fn path(&self, id: GithubId) -> String {
        self.mirror(id).await.project.expect("it has a project").path
    }

    /// Every ref of the project of a mirror.
    pub async fn refs(&self, id: GithubId) -> RefMap {
        self.onedev().refs(&self.path(id).await).unwrap()
    }

    /// The project's refs that are mirrored.
    pub async fn managed(&self, id: GithubId) -> RefMap {
        refs::managed(&self.refs(id).await, &self.config.sync.refs)
    }

    /// Both servers hold the same, and starkeep says so.
    pub async fn assert_healthy(&self, id: GithubId) {
        let mirror = self.mirror(id).await;
        assert_eq!(mirror.status, Status::Healthy, "{:?}", mirror.error);
        let upstream = refs::managed(&self.github().refs(id).unwrap(), &self.config.sync.refs);
        assert_eq!(self.managed(id).await, upstream);
        let proof = mirror.proof.expect("it is proven");
        assert_eq!(proof.digest, refs::digest(&upstream, &self.github().head(id).unwrap()));
    }

    /// Some ref of the project holds this object.
    pub async fn assert_kept(&self, id: GithubId, tip: Oid) {
        let refs = self.refs(id).await;
        let kept = refs.iter().any(|(name, oid)| name.as_str().starts_with("refs/starkeep/kept/") && *oid == tip);
        assert!(kept, "{tip} is not kept: {refs:#?}");
        assert!(self.kept(id).await.iter().any(|it| it.oid == tip), "{tip} is not recorded as kept");
    }

    /// What matters, in one text: told twice, it must not change.
    pub async fn overview(&self) -> String {
        let window = Window { limit: 200, cursor: None };
        let page = self.store().read(move |c| mirrors::list(c, &mirrors::Filter::default(), &window)).await.unwrap();
        let mut text = String::new();
        for it in page.items {
            let path = it.project.map_or_else(String::new, |it| it.path);
            text.push_str(&format!("{} {} {path} {:?}\n", it.name, it.status, it.proof.map(|it| it.digest)));
            for (name, oid) in self.onedev().refs(&path).unwrap_or_default() {
                text.push_str(&format!("  {name} {oid}\n"));
            }
        }
        text
    }

    /// Ends the story. Jobs that are left over fail it.
    pub async fn end(mut self) {
        let left: Vec<Job> = self
            .jobs()
            .await
            .into_iter()
            .filter(|it| matches!(it.state, JobState::Queued | JobState::Running))
            .collect();
        assert!(left.is_empty(), "jobs are left over: {left:#?}");
        self.stop().await;
    }
}
