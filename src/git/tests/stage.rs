//! What every story needs: an upstream and a target with real git behind them, a working copy that
//! people push from, and a mirroring run as a whole.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::super::*;
use super::network::Proxy;
use super::people::{People, git_in};
use crate::domain::refs::{Oid, RefMap, RefName, RefPattern, managed};
use crate::simulator::GitServer;
use crate::telemetry::metrics::Metrics;

pub(super) const SECRET: &str = "Basic c3RhcmtlZXA6c2VjcmV0LXRva2Vu";

/// Both sides, and the way between them.
pub(super) struct Stage {
    pub(super) people: People,
    pub(super) upstream_proxy: Proxy,
    pub(super) target_proxy: Proxy,
    pub(super) upstream: Upstream,
    pub(super) target: Target,
    pub(super) spool: Spool,
    pub(super) spool_dir: TempDir,
    pub(super) permits: Arc<Semaphore>,
    pub(super) metrics: Metrics,
    pub(super) options: TransferOptions,
    root: TempDir,
    _server: GitServer,
}

pub(super) fn name(text: &str) -> RefName {
    RefName::new(text).unwrap()
}

pub(super) fn oid(text: &str) -> Oid {
    text.parse().unwrap()
}

/// Longer than any busy machine needs: no story waits for it but those that shorten it.
pub(super) fn patience() -> Patience {
    let long = Duration::from_secs(60);
    Patience { answer: long, stall: long, push: long }
}

pub(super) fn address(url: &str, service: &'static str) -> Address {
    Address { url: url.parse().unwrap(), authorization: Some(SecretString::from(SECRET)), service }
}

pub(super) fn upstream_at(url: &str) -> Upstream {
    let metrics = Metrics::new().unwrap();
    Upstream::new(http_client().unwrap(), address(url, "github"), metrics, patience()).unwrap()
}

pub(super) fn target_at(url: &str) -> Target {
    let metrics = Metrics::new().unwrap();
    Target::new(http_client().unwrap(), address(url, "onedev"), metrics, patience()).unwrap()
}

impl Stage {
    /// An upstream with one commit on `trunk`, and an empty target.
    pub(super) async fn new() -> Self {
        let root = TempDir::new().unwrap();
        for side in ["up.git", "down.git"] {
            git_in(root.path(), &["init", "-q", "--bare", "-b", "trunk", side]);
        }
        let server = GitServer::start(root.path()).unwrap();
        let upstream_proxy = Proxy::before(server.base_url()).await;
        let target_proxy = Proxy::before(server.base_url()).await;
        let metrics = Metrics::new().unwrap();
        let http = http_client().unwrap();
        let up = address(&upstream_proxy.url("up.git"), "github");
        let down = address(&target_proxy.url("down.git"), "onedev");
        let spool_dir = TempDir::new().unwrap();
        let stage = Self {
            people: People::new(),
            upstream: Upstream::new(http.clone(), up, metrics.clone(), patience()).unwrap(),
            target: Target::new(http, down, metrics.clone(), patience()).unwrap(),
            upstream_proxy,
            target_proxy,
            spool: Spool::new(1 << 20, Some(spool_dir.path().to_owned())),
            spool_dir,
            permits: Arc::new(Semaphore::new(1)),
            metrics,
            options: TransferOptions::default(),
            root,
            _server: server,
        };
        stage.publish();
        stage
    }

    /// From now on upstream is given up when it pauses for a second.
    pub(super) fn hurry(&mut self) {
        let up = address(&self.upstream_proxy.url("up.git"), "github");
        let patience = Patience { stall: Duration::from_secs(1), ..patience() };
        self.upstream = Upstream::new(http_client().unwrap(), up, self.metrics.clone(), patience).unwrap();
    }

    pub(super) fn path(&self, side: &str) -> PathBuf {
        self.root.path().join(side)
    }

    /// Whatever the people have is upstream's state.
    pub(super) fn publish(&self) {
        let up = self.path("up.git");
        self.people.git(&["push", "-q", "--mirror", up.to_str().unwrap()]);
    }

    /// Bytes that do not compress, committed as a file.
    pub(super) fn big_commit(&self, bytes: usize) -> Oid {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut content = Vec::with_capacity(bytes + 8);
        while content.len() < bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            content.extend_from_slice(&state.to_le_bytes());
        }
        oid(&self.people.commit("big", content))
    }

    pub(super) fn git(&self, side: &str, arguments: &[&str]) -> String {
        git_in(&self.path(side), arguments)
    }

    pub(super) fn fsck(&self) {
        self.git("down.git", &["fsck", "--full", "--strict", "--connectivity-only"]);
    }

    pub(super) fn relay(&self) -> Relay<'_> {
        Relay {
            upstream: &self.upstream,
            target: &self.target,
            spool: &self.spool,
            permits: Arc::clone(&self.permits),
            progress: Arc::new(Progress::new(&self.metrics)),
            options: self.options,
        }
    }

    /// What a mirroring run would order: everything, one plain push.
    pub(super) async fn order(&self) -> Result<Order, WireError> {
        let patterns = patterns();
        let list = self.upstream.ls_refs(&["refs/heads/", "refs/tags/", "refs/notes/"]).await?;
        let have = self.target.receive_refs().await?;
        Ok(order(&managed(&list.refs, &patterns), &managed(&have.refs, &patterns)))
    }

    /// One whole run.
    pub(super) async fn mirror(&self) -> Result<Transferred, WireError> {
        let order = self.order().await?;
        self.relay().transfer(&order).await
    }

    /// Both sides hold the same refs, by what git itself says, and all objects are there.
    pub(super) fn assert_level(&self) {
        let refs = ["for-each-ref", "--format=%(objectname) %(refname)"];
        assert_eq!(self.git("down.git", &refs), self.git("up.git", &refs));
        self.fsck();
    }

    pub(super) fn requests_counted(&self, service: &str, code: &str) -> u64 {
        self.metrics.upstream_requests.with_label_values(&[service, code]).get()
    }

    /// A connection that was given up is taken down beside the test: it is waited for.
    pub(super) async fn assert_spool_is_empty(&self) {
        let emptied = async {
            while self.spool.in_memory() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), emptied).await.expect("memory is given back");
        assert_eq!(std::fs::read_dir(self.spool_dir.path()).unwrap().count(), 0);
    }
}

pub(super) fn patterns() -> Vec<RefPattern> {
    ["refs/heads/*", "refs/tags/*", "refs/notes/*"].map(|it| it.parse().unwrap()).to_vec()
}

/// The order that makes `have` into `want`.
pub(super) fn order(want: &RefMap, have: &RefMap) -> Order {
    let mut commands = Vec::new();
    for (name, old) in have.iter().filter(|(name, _)| !want.contains_key(*name)) {
        commands.push(Command { name: name.clone(), old: *old, new: Oid::ZERO });
    }
    for (name, new) in want {
        let old = have.get(name).copied().unwrap_or(Oid::ZERO);
        if old != *new {
            commands.push(Command { name: name.clone(), old, new: *new });
        }
    }
    let moving: Vec<Oid> = commands.iter().map(|it| it.old).collect();
    let new: Vec<Oid> = commands.iter().map(|it| it.new).collect();
    let pushes = if commands.is_empty() { vec![] } else { vec![Push::plain(commands)] };
    Order { wants: wants(&new, have), haves: haves(&moving, have, want), pushes }
}
