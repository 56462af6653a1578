//! One repository at one server over SSH: git's own programs at the other end of a channel.
//!
//! Every request runs its program anew, on a channel of its own of one connection that lasts as long
//! as the remote. What HTTP asks in two halves is one conversation here, so the first thing that comes
//! is always the server's greeting: its list of refs, or what it can do in protocol v2. Everything we
//! have to say is sent at once beside it, and the greeting is read over where it is not what was asked.
//!
//! - [`SshServer`]: host, key, pinned host keys; makes connections.
//! - [`SshStream`]: what a program prints, its errors and its end.

mod server;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self as pieces, StreamExt as _};
use tokio::sync::Mutex;
use url::Url;

pub use server::SshServer;
use server::{Connection, broken};
pub(crate) use stream::SshStream;

use super::body::{Body, Packets};
use super::clean::Redactor;
use super::error::{Side, WireError};
use super::feed::Outgoing;
use super::pktline::{Packet, line};
use super::remote::{Address, Patience, Service, answered, enter, failed};
use crate::domain::outage::Sign;
use crate::telemetry::metrics::Metrics;

/// The most bytes of a greeting: OneDev's list of two million refs.
const MAX_GREETING: u64 = 512 << 20;
/// What ends a conversation in which nothing is asked.
const GOODBYE: &[u8] = b"0000";

/// A repository at a server.
pub(crate) struct SshRemote {
    server: Arc<SshServer>,
    connection: Mutex<Option<Arc<Connection>>>,
    url: Url,
    /// The repository's path as the shell at the other end reads it, in quotes.
    path: String,
    side: Side,
    service: &'static str,
    metrics: Metrics,
    patience: Patience,
    redactor: Arc<Redactor>,
}

impl std::fmt::Debug for SshRemote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { server, connection: _, url, path: _, side, service: _, metrics: _, patience: _, redactor: _ } = self;
        f.debug_struct("SshRemote").field("url", &url.as_str()).field("side", side).field("server", server).finish()
    }
}

impl SshRemote {
    pub(crate) fn new(
        server: Arc<SshServer>,
        address: &Address,
        side: Side,
        metrics: Metrics,
        patience: Patience,
    ) -> Result<Self, WireError> {
        let bad = |detail: &str| WireError::BadRequest { detail: format!("{side}: {detail}") };
        if address.url.password().is_some() {
            return Err(bad("a password does not belong in the address"));
        }
        let path = quoted(address.url.path()).ok_or_else(|| bad("its path cannot be told to an SSH server"))?;
        let (connection, url, service) = (Mutex::default(), address.url.clone(), address.service);
        Ok(Self { server, connection, url, path, side, service, metrics, patience, redactor: Arc::default() })
    }

    pub(crate) fn url(&self) -> Url {
        self.url.clone()
    }

    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }

    /// The greeting, after a goodbye.
    pub(crate) async fn info_refs(&self, service: Service, version2: bool) -> Result<Body, WireError> {
        self.counted(self.answered(service, version2, said(Bytes::from_static(GOODBYE))).await)
    }

    /// The answer behind the greeting. A server that ignores the wish for protocol v2 greets with a list,
    /// which is [`WireError::Protocol`].
    pub(crate) async fn ask(&self, question: Bytes, version2: bool) -> Result<Body, WireError> {
        let service = Service::UploadPack;
        // After one command of v2 the server waits for the next; the old protocol ends by itself.
        let goodbye = Bytes::from_static(if version2 { GOODBYE } else { b"" });
        let asked = async {
            let outgoing = pieces::iter([question, goodbye]).map(Ok).boxed();
            let answer = self.answered(service, version2, outgoing).await?;
            self.without_greeting(answer, version2).await
        };
        self.counted(asked.await)
    }

    /// The report behind the greeting. The wait for it is not bounded here.
    pub(crate) async fn give(&self, outgoing: Outgoing) -> Result<Body, WireError> {
        let service = Service::ReceivePack;
        let given = async {
            let stream = self.run(service, false, outgoing).await?;
            let answer = Body::of_ssh(stream, self.side, self.patience.push, Arc::clone(&self.redactor));
            self.without_greeting(answer, false).await
        };
        self.counted(given.await)
    }

    /// A program whose answer must begin in time.
    async fn answered(&self, service: Service, version2: bool, outgoing: Outgoing) -> Result<Body, WireError> {
        let after = self.wait(service);
        let begun = async {
            let mut stream = self.run(service, version2, outgoing).await?;
            stream.wait_for_start().await?;
            Ok(stream)
        };
        let stream = match tokio::time::timeout(after, begun).await {
            Ok(stream) => stream?,
            Err(_) => return Err(WireError::NoAnswer { side: self.side, after }),
        };
        Ok(Body::of_ssh(stream, self.side, self.patience.stall, Arc::clone(&self.redactor)))
    }

    /// Over SSH OneDev queues even the reading of refs behind the pushes of others.
    fn wait(&self, service: Service) -> Duration {
        match service {
            Service::UploadPack => self.patience.answer,
            Service::ReceivePack => self.patience.push,
        }
    }

    async fn run(&self, service: Service, version2: bool, outgoing: Outgoing) -> Result<SshStream, WireError> {
        let connection = self.connected().await?;
        let command = format!("{} {}", service.name(), self.path);
        match connection.open().await {
            Ok(channel) => SshStream::start(channel, connection, &command, version2, outgoing, self.side).await,
            Err(error) => {
                // The next request connects anew.
                *self.connection.lock().await = None;
                Err(broken(self.side, &error))
            }
        }
    }

    /// The connection; a new one if there is none or it has gone.
    async fn connected(&self) -> Result<Arc<Connection>, WireError> {
        let mut connection = self.connection.lock().await;
        if let Some(it) = connection.as_ref().filter(|it| !it.is_closed()) {
            return Ok(Arc::clone(it));
        }
        let turn = enter(&self.metrics, self.side)?;
        let after = self.patience.answer;
        let made = tokio::time::timeout(after, self.server.connect(&self.url, self.side)).await;
        let made = match made.unwrap_or(Err(WireError::NoAnswer { side: self.side, after })) {
            Err(error @ (WireError::Transport { .. } | WireError::NoAnswer { .. })) => {
                return Err(failed(turn, Sign::Unreached, error));
            }
            // Whoever refuses our key is there.
            made => {
                answered(turn);
                Arc::new(made?)
            }
        };
        *connection = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Reads over what a server says first.
    async fn without_greeting(&self, answer: Body, version2: bool) -> Result<Body, WireError> {
        let mut packets = Packets::new(answer, "its greeting", MAX_GREETING);
        let mut packet = packets.required().await?;
        if version2 && !matches!(&packet, Packet::Data(it) if line(it) == b"version 2") {
            return Err(packets.body().protocol("it does not speak version 2"));
        }
        while packet != Packet::Flush {
            packet = packets.required().await?;
        }
        let (body, rest) = packets.into_body();
        Ok(body.resumed(rest))
    }

    fn counted(&self, answer: Result<Body, WireError>) -> Result<Body, WireError> {
        let code = match &answer {
            Ok(_) => "ok",
            Err(WireError::NoAnswer { .. } | WireError::Stalled { .. }) => "timeout",
            Err(_) => "error",
        };
        self.metrics.upstream_requests.with_label_values(&[self.service, code]).inc();
        answer
    }
}

fn said(bytes: Bytes) -> Outgoing {
    pieces::iter([Ok(bytes)]).boxed()
}

/// A path in single quotes, for the shell at the other end. OneDev takes what stands between the first
/// `'/` and the next `'`; `None` for paths that could be read otherwise.
fn quoted(path: &str) -> Option<String> {
    let plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.' | b'/' | b'~' | b'+' | b'@');
    (path.starts_with('/') && path.bytes().all(plain)).then(|| format!("'{path}'"))
}
