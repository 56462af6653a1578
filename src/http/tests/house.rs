//! Where a test's server lives, and how it is spoken to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::Arbiter;
use actix_web::dev::ServerHandle;
use actix_web::web;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Method, Response};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::contract::{Contract, Told};
use crate::canned::{Canned, Reply, Seen};
use crate::config::Config;
use crate::domain::naming::Naming;
use crate::git;
use crate::github::GithubClient;
use crate::http::shared::Shared;
use crate::http::{Component, Secrets, Tools, server};
use crate::onedev::OnedevClient;
use crate::orchestrator::Stages;
use crate::stages::panics::Panics;
use crate::stages::pool::{Pool, PoolOptions};
use crate::stages::{accept, catalog, describe, ensure, listing, record, stars, sweep, transfer};
use crate::store::{Connection, Store, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::progress::Progress;

thread_local! {
    /// Every answer is held against the document.
    static CONTRACT: Contract = Contract::new(crate::http::document());
}

/// The admin token of every house.
pub(super) const TOKEN: &str = "the-admin-token";
/// The webhook secret of every house.
pub(super) const SECRET: &str = "the-webhook-secret";

/// A running server and what is behind it.
pub(super) struct House {
    pub(super) store: Store,
    pub(super) address: SocketAddr,
    pub(super) stages: Stages,
    pub(super) panics: Panics,
    pub(super) github: Canned,
    pub(super) onedev: Canned,
    pub(super) folder: TempDir,
    pub(super) shared: Arc<Shared>,
    pub(super) letting_go: CancellationToken,
    client: reqwest::Client,
    handle: ServerHandle,
}

impl Drop for House {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

/// What a house is built of, open to changes before it stands.
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) components: Vec<Component>,
    pub(super) change: Box<dyn FnOnce(&mut Shared)>,
    pub(super) github: Box<dyn FnMut(&Seen) -> Reply + Send>,
    pub(super) onedev: Box<dyn FnMut(&Seen) -> Reply + Send>,
}

impl Plan {
    pub(super) fn new() -> Self {
        let mut config = Config::default();
        config.github.webhook_secret = Some(SecretString::from(SECRET));
        config.admin.token = Some(SecretString::from(TOKEN));
        config.stars.users = vec!["fan".to_owned()];
        // Tests about the limit set it; all others must not meet it.
        config.server.webhook_rate_per_minute = 0;
        let nothing = |_: &Seen| Reply::json(404, &json!({"message": "Not Found"}));
        Self {
            config,
            components: Vec::new(),
            change: Box::new(|_| ()),
            github: Box::new(nothing),
            onedev: Box::new(nothing),
        }
    }

    pub(super) async fn build(self) -> House {
        let Self { mut config, components, change, github, onedev } = self;
        let (github, onedev) = (Canned::start(github).await, Canned::start(onedev).await);
        let folder = tempfile::tempdir().unwrap();
        config.database.url = SecretString::from(format!("sqlite://{}", folder.path().join("house.db").display()));
        config.github.api_url = github.url.clone();
        config.github.git_url = github.url.clone();
        config.onedev.url = Some(onedev.url.clone());
        config.onedev.token = Some(SecretString::from("onedev-token"));
        let store = Store::open(&config.database).await.unwrap();
        store.migrate().await.unwrap();
        let (metrics, panics) = (Metrics::new().unwrap(), Panics::default());
        let stages = stages(&config, &store, &metrics, &panics);
        let letting_go = CancellationToken::new();
        let secrets = watch::channel(Secrets::of(&config)).1;
        let tools = Tools {
            store: store.clone(),
            stages: stages.clone(),
            config,
            secrets,
            metrics,
            components,
            letting_go: letting_go.clone(),
        };
        let mut shared = Shared::new(tools);
        change(&mut shared);
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let shared = Arc::new(shared);
        let (server, address) =
            server::listen(web::Data::from(Arc::clone(&shared)), here, Duration::from_secs(1)).unwrap();
        let handle = server.handle();
        actix::spawn(server);
        let client = reqwest::Client::new();
        House { store, address, stages, panics, github, onedev, folder, shared, letting_go, client, handle }
    }
}

/// The real stages, as the app makes them.
#[expect(clippy::too_many_lines, reason = "a list of what each stage works with")]
fn stages(config: &Config, store: &Store, metrics: &Metrics, panics: &Panics) -> Stages {
    let pool = |name| PoolOptions {
        name,
        size: 4,
        arbiter: Arbiter::current(),
        pause: Duration::ZERO,
        gave_up: CancellationToken::new(),
        metrics: metrics.clone(),
    };
    let github = GithubClient::new(&config.github, metrics).unwrap();
    let onedev = OnedevClient::new(&config.onedev, metrics).unwrap();
    let accept = Arc::new(accept::Tools {
        store: store.clone(),
        github: github.clone(),
        stars: config.stars.clone(),
        metadata: config.sync.metadata,
        panics: panics.clone(),
    });
    let describe = Arc::new(describe::Tools { github: github.clone(), panics: panics.clone() });
    let ensure = Arc::new(ensure::Tools {
        store: store.clone(),
        onedev: onedev.clone(),
        naming: Naming::parse(&config.onedev.naming, &config.onedev.root).unwrap(),
        on_conflict: config.onedev.on_conflict,
        on_rename: config.onedev.on_rename,
        visibility: config.onedev.visibility,
        lists: ensure::Lists { users: Vec::new(), are_read: false, labels_refused: false.into() },
        panics: panics.clone(),
    });
    let pushes = Arc::new(Semaphore::new(1));
    let catalog = Arc::new(catalog::Tools {
        store: store.clone(),
        github: github.clone(),
        onedev: onedev.clone(),
        connections: git::http_client().unwrap().into(),
        wire: git::Patience::default(),
        folder: std::env::temp_dir(),
        pushes: Arc::clone(&pushes),
        claims: crate::git::Claims::default(),
        sync: config.sync.clone(),
        metrics: metrics.clone(),
        progress: Progress::default(),
        panics: panics.clone(),
    });
    let stars = stars_tools(config, store, &github, metrics, panics);
    let listing = listing_tools(config, store, (&github, &onedev), panics);
    let transfer = Arc::new(transfer::Tools {
        store: store.clone(),
        github: github.clone(),
        onedev,
        connections: git::http_client().unwrap().into(),
        wire: git::Patience::default(),
        spool: git::Spool::new(1 << 20, None),
        caches: None,
        pushes,
        lfs: Arc::new(tokio::sync::Semaphore::new(1)),
        claims: crate::git::Claims::default(),
        sync: config.sync.clone(),
        policy: config.policy.clone(),
        metrics: metrics.clone(),
        progress: Progress::default(),
        panics: panics.clone(),
    });
    let sweep = Arc::new(sweep::Tools {
        store: store.clone(),
        github,
        pace: config.sync.pace(),
        rule: config.retry.rule(),
        metrics: metrics.clone(),
        panics: panics.clone(),
    });
    let record = Arc::new(record::Tools {
        store: store.clone(),
        sync: config.sync.clone(),
        rule: config.retry.rule(),
        metrics: metrics.clone(),
        panics: panics.clone(),
    });
    Stages {
        accept: Pool::start(pool("accept"), move |it| accept::AcceptActor::new(Arc::clone(&accept), it)),
        describe: Pool::start(pool("describe"), move |it| describe::DescribeActor::new(Arc::clone(&describe), it)),
        ensure: Pool::start(pool("ensure"), move |it| ensure::EnsureActor::new(Arc::clone(&ensure), it)),
        transfer: Pool::start(pool("transfer"), move |it| transfer::TransferActor::new(Arc::clone(&transfer), it)),
        record: Pool::start(pool("record"), move |it| record::RecordActor::new(Arc::clone(&record), it)),
        catalog: Pool::start(pool("catalog"), move |it| catalog::CatalogActor::new(Arc::clone(&catalog), it)),
        listing: Pool::start(pool("listing"), move |it| listing::ListingActor::new(Arc::clone(&listing), it)),
        stars: Pool::start(pool("stars"), move |it| stars::StarsActor::new(Arc::clone(&stars), it)),
        sweep: Pool::start(pool("sweep"), move |it| sweep::SweepActor::new(Arc::clone(&sweep), it)),
    }
}

fn stars_tools(
    config: &Config,
    store: &Store,
    github: &GithubClient,
    metrics: &Metrics,
    panics: &Panics,
) -> Arc<stars::Tools> {
    Arc::new(stars::Tools {
        store: store.clone(),
        github: github.clone(),
        stars: config.stars.clone(),
        lists: None,
        policy: config.policy.clone(),
        rule: config.retry.rule(),
        metrics: metrics.clone(),
        panics: panics.clone(),
    })
}

fn listing_tools(
    config: &Config,
    store: &Store,
    (github, onedev): (&GithubClient, &OnedevClient),
    panics: &Panics,
) -> Arc<listing::Tools> {
    Arc::new(listing::Tools {
        store: store.clone(),
        github: github.clone(),
        onedev: onedev.clone(),
        naming: Naming::parse(&config.onedev.naming, &config.onedev.root).unwrap(),
        rule: config.retry.rule(),
        panics: panics.clone(),
    })
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|it| it.to_str().unwrap())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of an answer of this status.
    #[track_caller]
    pub(super) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.dressed();
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// An error of this status and code, in the one shape of all errors.
    #[track_caller]
    pub(super) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.dressed();
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let document = self.json();
        assert_eq!(document["type"], format!("urn:starkeep:problem:{code}"), "{document}");
        assert_eq!(document["status"], status);
        let told = |member: &str| document[member].as_str().unwrap_or_default().to_owned();
        assert!(!told("title").is_empty() && !told("detail").is_empty(), "{document}");
        assert!(Uuid::parse_str(&told("correlation_id")).is_ok(), "{document}");
        document
    }

    /// The same, and when to come again.
    #[track_caller]
    pub(super) fn problem_for_now(&self, status: u16, code: &str) -> Value {
        let seconds: u64 = self.header("retry-after").expect("Retry-After").parse().unwrap();
        assert!(seconds >= 1);
        self.problem(status, code)
    }

    #[track_caller]
    fn dressed(&self) {
        assert!(self.header("x-request-id").is_some());
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert!(self.header("content-security-policy").unwrap().contains("default-src 'none'"));
        assert_eq!(self.header("server"), None);
    }
}

/// What GitHub writes under a body.
pub(super) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A star of the watched user.
pub(super) fn star(id: i64, name: &str) -> Value {
    json!({
        "action": "created",
        "repository": {"id": id, "full_name": name},
        "sender": {"id": 7, "login": "fan"},
    })
}

impl House {
    pub(super) async fn new() -> Self {
        Plan::new().build().await
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub(super) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let (method, path) = (request.method().to_string(), request.url().path().to_owned());
        let answer = Answer::of(client.execute(request).await.unwrap()).await;
        let Answer { status, text: body, .. } = &answer;
        let (method, path) = (method.as_str(), path.as_str());
        let told = Told { method, path, status: *status, media_type: answer.header("content-type"), body };
        CONTRACT.with(|it| it.expect(&told));
        answer
    }

    /// Without a token.
    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// With the token, below `/api/v1`.
    pub(super) async fn api(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, &format!("/api/v1{path}")).bearer_auth(TOKEN);
        self.send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    pub(super) async fn look(&self, path: &str) -> Answer {
        self.api(Method::GET, path, None).await
    }

    /// A delivery as GitHub makes it, open to changes.
    pub(super) fn delivery(&self, guid: Uuid, event: &str, body: &Value) -> reqwest::RequestBuilder {
        let body = body.to_string();
        self.request(Method::POST, "/webhooks/github")
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", event)
            .header("X-GitHub-Delivery", guid.to_string())
            .header("X-Hub-Signature-256", signature(SECRET, body.as_bytes()))
            .body(body)
    }

    pub(super) async fn deliver(&self, event: &str, body: &Value) -> Answer {
        self.send(self.delivery(Uuid::new_v4(), event, body)).await
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.write(work).await.unwrap()
    }

    /// How much the database holds: deliveries, jobs, mirrors.
    pub(super) async fn holdings(&self) -> (usize, usize, usize) {
        let count = async |path: &str| self.look(path).await.expect(200)["items"].as_array().unwrap().len();
        (count("/deliveries?limit=200").await, count("/jobs?limit=200").await, count("/mirrors?limit=200").await)
    }
}
