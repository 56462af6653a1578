//! A server that is reached by SSH: where it is, the key that we show, the keys that it may show.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, Config, Handle, Msg};
use russh::keys::ssh_key::{Algorithm, PublicKey};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, Preferred};
use tokio::net::TcpStream;
use url::Url;

use crate::config::ssh::{HostKey, SshKeys, fingerprint, private_key};
use crate::git::error::{Side, WireError};
use crate::git::remote::CONNECT;

const DEFAULT_PORT: u16 = 22;
/// GitHub answers here too, for those whose network lets nothing out at port 22.
const GITHUB: (&str, &str, u16) = ("github.com", "ssh.github.com", 443);
/// Bytes that a server may send before we take some.
const WINDOW: u32 = 4 << 20;
/// A peer that has gone is noticed after four of these without a word.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A server, and how to prove who we are and to know who it is. Makes no connection by itself.
pub struct SshServer {
    host: String,
    port: u16,
    /// Where else it answers if nothing can be reached at `port`.
    fallback: Option<(String, u16)>,
    key: Arc<PrivateKey>,
    pinned: Arc<[HostKey]>,
    config: Arc<Config>,
}

impl std::fmt::Debug for SshServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port, fallback, key: _, pinned, config: _ } = self;
        f.debug_struct("SshServer")
            .field("host", host)
            .field("port", port)
            .field("fallback", fallback)
            .field("pinned", &pinned.len())
            .finish_non_exhaustive()
    }
}

impl SshServer {
    /// The server of `base` (`ssh://[user@]host[:port]`).
    ///
    /// # Errors
    /// What is wrong with address or key, and the mend; never the key.
    pub fn new(base: &Url, keys: &SshKeys) -> Result<Self, String> {
        let host = base.host_str().ok_or("the address names no host")?.trim_matches(['[', ']']).to_owned();
        let key = keys.key.as_ref().ok_or("no private key is given")?;
        let key = private_key(key, keys.passphrase.as_ref()).map_err(|(found, mend)| format!("{found}; {mend}"))?;
        let port = base.port().unwrap_or(DEFAULT_PORT);
        let (github, elsewhere, other) = GITHUB;
        let fallback = (host == github && port == DEFAULT_PORT).then(|| (elsewhere.to_owned(), other));
        let config = Arc::new(config(&keys.host_keys));
        Ok(Self { host, port, fallback, key: Arc::new(key), pinned: keys.host_keys.clone().into(), config })
    }

    /// The same with another place to look for it.
    #[cfg(test)]
    pub(crate) fn with_fallback(self, host: &str, port: u16) -> Self {
        Self { fallback: Some((host.to_owned(), port)), ..self }
    }

    #[cfg(test)]
    pub(crate) fn fallback(&self) -> Option<(&str, u16)> {
        self.fallback.as_ref().map(|(host, port)| (host.as_str(), *port))
    }

    /// Whether an address leads to this server.
    pub(crate) fn is_at(&self, url: &Url) -> bool {
        url.host_str().is_some_and(|it| it.trim_matches(['[', ']']) == self.host)
            && url.port().unwrap_or(DEFAULT_PORT) == self.port
    }

    /// Connects, checks the host key, shows ours. The caller bounds the time.
    ///
    /// # Errors
    /// [`WireError::HostKey`] before anything of ours was shown, [`WireError::KeyRefused`],
    /// [`WireError::Transport`].
    pub(crate) async fn connect(&self, url: &Url, side: Side) -> Result<Connection, WireError> {
        let socket = self.reach(side).await?;
        let offered = Offered::default();
        let guard = Guard { pinned: Arc::clone(&self.pinned), offered: offered.clone() };
        let mut handle =
            client::connect_stream(Arc::clone(&self.config), socket, guard).await.map_err(|error| {
                match (offered.take(), error) {
                    (Some(offered), russh::Error::UnknownKey) => WireError::HostKey { side, offered },
                    (_, error) => broken(side, &error),
                }
            })?;
        let user = if url.username().is_empty() { "git" } else { url.username() };
        let key = PrivateKeyWithHashAlg::new(Arc::clone(&self.key), None);
        let shown = handle.authenticate_publickey(user, key).await.map_err(|error| broken(side, &error))?;
        if shown.success() {
            return Ok(Connection { handle });
        }
        Err(WireError::KeyRefused { side, key: fingerprint(self.key.public_key()) })
    }

    async fn reach(&self, side: Side) -> Result<TcpStream, WireError> {
        let failed = match dial(&self.host, self.port).await {
            Ok(socket) => return Ok(socket),
            Err(error) => error,
        };
        let told = |detail: String| WireError::Transport { side, detail };
        let Some((host, port)) = &self.fallback else { return Err(told(failed.to_string())) };
        tracing::info!(error = %failed, host, port, "the SSH port cannot be reached: trying the other one");
        dial(host, *port).await.map_err(|error| told(format!("{failed}; {host}:{port}: {error}")))
    }
}

async fn dial(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let late = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
    let socket = tokio::time::timeout(CONNECT, TcpStream::connect((host, port))).await.map_err(late)??;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn config(pinned: &[HostKey]) -> Config {
    let known: Vec<Algorithm> = pinned.iter().filter_map(HostKey::algorithm).collect();
    let usual = Preferred::default();
    // A server with several keys shows the one that we name first: one that we know, if we know its kind.
    let is_rsa = |it: &Algorithm| matches!(it, Algorithm::Rsa { .. });
    let rank = |it: &Algorithm| !known.iter().any(|known| known == it || is_rsa(known) && is_rsa(it));
    let mut key: Vec<Algorithm> = usual.key.iter().filter(|it| !is_weak(it)).cloned().collect();
    key.sort_by_key(rank);
    Config {
        window_size: WINDOW,
        keepalive_interval: Some(KEEPALIVE),
        nodelay: true,
        preferred: Preferred { key: Cow::Owned(key), ..usual },
        ..Config::default()
    }
}

/// RSA with SHA-1, and DSA.
fn is_weak(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::Rsa { hash: None } | Algorithm::Dsa)
}

/// A connection on which programs are run, each on a channel of its own. Dropping the last user of
/// it ends it.
pub(crate) struct Connection {
    handle: Handle<Guard>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    pub(crate) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    pub(crate) async fn open(&self) -> Result<Channel<Msg>, russh::Error> {
        self.handle.channel_open_session().await
    }
}

/// A connection that did not come up, or broke.
pub(crate) fn broken(side: Side, error: &russh::Error) -> WireError {
    let detail = match error {
        russh::Error::NoCommonAlgo { kind, .. } => format!("the SSH server offers no {kind:?} algorithm that is safe"),
        error => error.to_string(),
    };
    WireError::Transport { side, detail: format!("SSH: {detail}") }
}

/// The fingerprint of a host key that was refused.
#[derive(Clone, Default)]
struct Offered(Arc<Mutex<Option<String>>>);

impl Offered {
    fn put(&self, key: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Refuses every server whose key is not pinned.
pub(crate) struct Guard {
    pinned: Arc<[HostKey]>,
    offered: Offered,
}

impl Guard {
    fn knows(&self, key: &PublicKey) -> bool {
        let known = self.pinned.iter().any(|it| it.is(key));
        if !known {
            self.offered.put(format!("{} ({})", fingerprint(key), key.algorithm()));
        }
        known
    }
}

impl client::Handler for Guard {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.knows(key),
            // None was asked for, and no authority is known.
            PublicKeyOrCertificate::Certificate(_) => false,
        })
    }
}
