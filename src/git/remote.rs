//! One repository at one server, by whichever way it is reached: smart HTTP or SSH.
//!
//! [`super::upstream`] and [`super::target`] say what is asked and speak git's protocol; here it is
//! only carried. The bodies that come back are read in [`super::body`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Client;
use secrecy::SecretString;
use url::Url;

use super::body::Body;
use super::error::{Side, WireError};
use super::feed::Outgoing;
use super::smart_http::{HttpRemote, http_client};
use super::ssh::{SshRemote, SshServer};
use crate::config::Config;
use crate::domain::outage::{Server, Sign};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::outages::Turn;

/// GitHub and others give git's answers only to clients whose name begins so.
pub(crate) const CLIENT_NAME: &str = concat!("git/starkeep-", env!("CARGO_PKG_VERSION"));
/// What we call ourselves within git's protocol.
pub(crate) const AGENT: &str = concat!("agent=starkeep/", env!("CARGO_PKG_VERSION"));
/// How long a connection may take to come up, names resolved.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

/// How long the other side may be silent.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until the first byte of an answer to a question, connecting included.
    pub answer: Duration,
    /// Between two chunks of an answer: `sync.stall_timeout`.
    pub stall: Duration,
    /// While a push is under way and no byte moves in either direction. Longer than the others: a
    /// push waits for one of OneDev's few slots, then for the target's indexing and its hooks.
    pub push: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { answer: Duration::from_secs(60), stall: Duration::from_secs(60), push: Duration::from_secs(600) }
    }
}

/// Where a repository is and how to ask for it.
pub struct Address {
    /// The repository's address as `git clone` takes it, without credentials.
    pub url: Url,
    /// The whole value of the `Authorization` header. Not for SSH, whose servers know a key.
    pub authorization: Option<SecretString>,
    /// The label under which requests are counted: `github` or `onedev`.
    pub service: &'static str,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, authorization, service } = self;
        let authorization = authorization.as_ref().map(|_| "***");
        f.debug_struct("Address")
            .field("url", &url.as_str())
            .field("authorization", &authorization)
            .field("service", service)
            .finish()
    }
}

/// What every remote of the process connects with. Cheap to clone; an HTTP client alone will do
/// where no address is an SSH one.
#[derive(Debug, Clone)]
pub struct Connections {
    http: Client,
    ssh: Vec<Arc<SshServer>>,
}

impl From<Client> for Connections {
    fn from(http: Client) -> Self {
        Self { http, ssh: Vec::new() }
    }
}

impl Connections {
    /// As configured: HTTP, and SSH where a side is reached by it.
    ///
    /// # Errors
    /// What is wrong, with the configuration's key.
    pub fn of(config: &Config) -> Result<Self, String> {
        let http = http_client().map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let github = Some(&config.github.git_url).filter(|it| it.scheme() == "ssh");
        let sides = [
            ("github.ssh_key", github, &config.github.ssh),
            ("onedev.ssh_key", config.onedev.ssh_url.as_ref(), &config.onedev.ssh),
        ];
        let mut connections = Self::from(http);
        for (key, url, keys) in sides {
            let Some(url) = url else { continue };
            let server = SshServer::new(url, keys).map_err(|error| format!("{key}: {error}"))?;
            connections = connections.with_ssh(server);
        }
        Ok(connections)
    }

    /// The connections by HTTP, for what goes by HTTP alone.
    pub fn http(&self) -> Client {
        self.http.clone()
    }

    /// The same, able to reach one more server by SSH.
    #[must_use]
    pub fn with_ssh(mut self, server: SshServer) -> Self {
        self.ssh.push(Arc::new(server));
        self
    }
}

/// Whether a side may be asked at present. A server of somebody's choice always may.
pub(crate) fn enter(metrics: &Metrics, side: Side) -> Result<Option<Turn>, WireError> {
    let server = match side {
        Side::Upstream => Server::GithubGit,
        Side::Target => Server::Onedev,
        Side::Elsewhere => return Ok(None),
    };
    metrics.outages.enter(server).map(Some).map_err(|detail| WireError::Away { side, detail })
}

/// Tells what came of a request that failed. What is the server's own absence is told as that, so that it is no
/// attempt of whoever asked.
pub(crate) fn failed(turn: Option<Turn>, sign: Sign, error: WireError) -> WireError {
    let away = turn.is_some_and(|it| it.failed(sign));
    match error {
        WireError::Transport { side, detail } if away => WireError::Away { side, detail },
        WireError::NoAnswer { side, after } if away => {
            WireError::Away { side, detail: format!("no answer within {after:?}") }
        }
        error => error,
    }
}

/// Tells that a server answered.
pub(crate) fn answered(turn: Option<Turn>) {
    if let Some(turn) = turn {
        turn.answered();
    }
}

/// The two services of git's wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    UploadPack,
    ReceivePack,
}

impl Service {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }
}

/// A repository at a server.
#[derive(Debug)]
pub(crate) enum Remote {
    Http(Box<HttpRemote>),
    Ssh(Box<SshRemote>),
}

impl Remote {
    /// # Errors
    /// [`WireError::BadRequest`] for an address that cannot be used, or for which there is no key.
    pub(crate) fn new(
        connections: &Connections,
        address: Address,
        side: Side,
        metrics: Metrics,
        patience: Patience,
    ) -> Result<Self, WireError> {
        if address.url.scheme() != "ssh" {
            return HttpRemote::new(connections.http.clone(), address, side, metrics, patience)
                .map(|it| Self::Http(Box::new(it)));
        }
        let server = connections.ssh.iter().find(|it| it.is_at(&address.url)).ok_or_else(|| {
            let detail = format!("{side}: there is no SSH key for the server of this address");
            WireError::BadRequest { detail }
        })?;
        Ok(Self::Ssh(Box::new(SshRemote::new(Arc::clone(server), &address, side, metrics, patience)?)))
    }

    /// The present address; another one than configured after a redirect.
    pub(crate) fn url(&self) -> Url {
        match self {
            Self::Http(it) => it.url(),
            Self::Ssh(it) => it.url(),
        }
    }

    pub(crate) fn patience(&self) -> Patience {
        match self {
            Self::Http(it) => it.patience(),
            Self::Ssh(it) => it.patience(),
        }
    }

    /// What the server says first: a list of refs, or with `version2` what it can do.
    pub(crate) async fn info_refs(&self, service: Service, version2: bool) -> Result<Body, WireError> {
        match self {
            Self::Http(it) => it.info_refs(service, version2).await,
            Self::Ssh(it) => it.info_refs(service, version2).await,
        }
    }

    /// A small question to upload-pack, with an answer of any size.
    pub(crate) async fn ask(&self, question: Bytes, version2: bool) -> Result<Body, WireError> {
        match self {
            Self::Http(it) => it.ask(question, version2).await,
            Self::Ssh(it) => it.ask(question, version2).await,
        }
    }

    /// Commands and a pack for receive-pack. The wait for the answer is not bounded here: the caller
    /// watches whether bytes move.
    pub(crate) async fn give(&self, outgoing: Outgoing) -> Result<Body, WireError> {
        match self {
            Self::Http(it) => it.give(outgoing).await,
            Self::Ssh(it) => it.give(outgoing).await,
        }
    }
}
