//! The SSH door of a simulated server: the same git and the same planned faults behind channels
//! instead of requests.
//!
//! A door has a thread and a port of its own. Every program that a client runs becomes a [`Call`] to
//! the server behind it, GitHub's or OneDev's; faults see it as the HTTP call it stands for, with the
//! method `SSH`: one that only listens to the greeting is [`GitCall::Advertise`].

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, StreamExt as _};
use russh::keys::ssh_key::{Algorithm, LineEnding, PublicKey};
use russh::keys::{HashAlg, PrivateKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Disconnect};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::faults::{Arrived, Fault, Happening, Hold};
use super::front::{self, Front};
use super::git_http::{GitCall, Service};
use super::process::Quirks;
use super::record::{RequestRecord, lock};
use super::streams::{self, ByteStream};

/// A program that a client runs.
pub(crate) struct Call {
    pub(crate) service: Service,
    /// As it was sent, the slash in front and quotes removed.
    pub(crate) path: String,
    /// `GIT_PROTOCOL`.
    pub(crate) protocol: Option<String>,
    /// The client says nothing but goodbye.
    pub(crate) listens_only: bool,
    pub(crate) body: ByteStream,
    pub(crate) quirks: Quirks,
}

/// What a program prints, or its last words.
pub(crate) type Output = Result<ByteStream, String>;
/// What serves calls, on the door's own thread.
pub(crate) type Serve = Rc<dyn Fn(Call) -> LocalBoxFuture<'static, Output>>;

/// An open door. Dropping it closes it and cuts every connection.
#[derive(Debug)]
pub struct SshDoor {
    address: SocketAddr,
    shared: Arc<Shared>,
    client: PrivateKey,
    closed: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    lock: Mutex<Lock>,
}

/// What a connection is met with.
#[derive(Debug)]
struct Lock {
    host: PrivateKey,
    /// The client keys that are known.
    known: Vec<PublicKey>,
    /// Whether `GIT_PROTOCOL` is taken.
    takes_environment: bool,
    connections: usize,
}

fn fresh_key() -> io::Result<PrivateKey> {
    PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).map_err(io::Error::other)
}

impl SshDoor {
    /// Opens a door on a free port of loopback. `make` makes what serves, on the door's thread.
    pub(crate) fn open<M>(front: Arc<dyn AsRef<Front> + Send + Sync>, make: M) -> io::Result<Self>
    where
        M: FnOnce() -> Serve + Send + 'static,
    {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (host, client) = (fresh_key()?, fresh_key()?);
        let known = vec![client.public_key().clone()];
        let lock = Lock { host, known, takes_environment: true, connections: 0 };
        let shared = Arc::new(Shared { lock: Mutex::new(lock) });
        let (closed, inside) = (CancellationToken::new(), Arc::clone(&shared));
        let end = closed.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread =
            std::thread::Builder::new().name(format!("simulator-ssh-{}", address.port())).spawn(move || {
                let work = tokio::task::LocalSet::new();
                let (tell, told) = mpsc::unbounded_channel();
                work.spawn_local(dispatch(front, make(), told));
                runtime.block_on(work.run_until(async {
                    tokio::select! {
                        () = end.cancelled() => {}
                        _ = accept(listener, inside, tell) => {}
                    }
                }));
            })?;
        Ok(Self { address, shared, client, closed, thread: Some(thread) })
    }

    /// `ssh://git@127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("ssh://git@{}", self.address)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The fingerprint of the host key that is shown now.
    pub fn fingerprint(&self) -> String {
        lock(&self.shared.lock).host.public_key().fingerprint(HashAlg::Sha256).to_string()
    }

    /// The private key that is let in from the start, as OpenSSH writes it. Opens nothing but this door.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn client_key(&self) -> io::Result<String> {
        Ok(self.client.to_openssh(LineEnding::LF).map_err(io::Error::other)?.to_string())
    }

    /// Shows another host key from the next connection on, as after a new installation or from somebody
    /// in between.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn change_host_key(&self) -> io::Result<()> {
        lock(&self.shared.lock).host = fresh_key()?;
        Ok(())
    }

    /// Knows no client key any more.
    pub fn forget_clients(&self) {
        lock(&self.shared.lock).known.clear();
    }

    /// Takes `GIT_PROTOCOL` or not, as some servers do not.
    pub fn take_environment(&self, takes: bool) {
        lock(&self.shared.lock).takes_environment = takes;
    }

    /// Connections since it was opened.
    pub fn connections(&self) -> usize {
        lock(&self.shared.lock).connections
    }
}

impl Drop for SshDoor {
    fn drop(&mut self) {
        self.closed.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed by its own hook.
            let _ended = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tell: mpsc::UnboundedSender<Exec>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let config = {
            let mut lock = lock(&shared.lock);
            lock.connections += 1;
            Config {
                keys: vec![lock.host.clone()],
                auth_rejection_time: Duration::ZERO,
                nodelay: true,
                ..Config::default()
            }
        };
        let visitor =
            Visitor { shared: Arc::clone(&shared), tell: tell.clone(), channels: HashMap::new(), env: HashMap::new() };
        tokio::spawn(async move {
            if let Ok(session) = russh::server::run_stream(Arc::new(config), socket, visitor).await {
                // A client that left is no surprise here.
                let _left = session.await;
            }
        });
    }
}

/// A program as it was asked for.
struct Exec {
    service: Service,
    path: String,
    protocol: Option<String>,
    read: ChannelReadHalf,
    write: ChannelWriteHalf<Msg>,
    handle: Handle,
}

/// One connection.
struct Visitor {
    shared: Arc<Shared>,
    tell: mpsc::UnboundedSender<Exec>,
    channels: HashMap<ChannelId, Channel<Msg>>,
    env: HashMap<ChannelId, String>,
}

impl Handler for Visitor {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, _: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let known = lock(&self.shared.lock).known.iter().any(|it| it.key_data() == key.public_key.key_data());
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if name != "GIT_PROTOCOL" || !lock(&self.shared.lock).takes_environment {
            return session.channel_failure(id);
        }
        self.env.insert(id, value.to_owned());
        session.channel_success(id)
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        let command = String::from_utf8_lossy(command).into_owned();
        let (Some(channel), Some((service, path))) = (self.channels.remove(&id), parsed(&command)) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let (read, write) = channel.split();
        let exec = Exec { service, path, protocol: self.env.remove(&id), read, write, handle: session.handle() };
        // The door is closing if nobody listens.
        let _told = self.tell.send(exec);
        Ok(())
    }
}

/// `git-upload-pack '/path'`, as OneDev reads it: what stands between `'/` and the next quote.
fn parsed(command: &str) -> Option<(Service, String)> {
    let (name, rest) = command.split_once(' ')?;
    let service = [Service::UploadPack, Service::ReceivePack].into_iter().find(|it| it.name() == name)?;
    let path = rest.split_once("'/")?.1.split('\'').next()?;
    Some((service, path.to_owned()))
}

async fn dispatch(front: Arc<dyn AsRef<Front> + Send + Sync>, serve: Serve, mut told: mpsc::UnboundedReceiver<Exec>) {
    while let Some(exec) = told.recv().await {
        let (front, serve) = (Arc::clone(&front), Rc::clone(&serve));
        tokio::task::spawn_local(async move { converse((*front).as_ref(), serve, exec).await });
    }
}

/// One program from its start to its end.
async fn converse(front: &Front, serve: Serve, exec: Exec) {
    let Exec { service, path, protocol, read, write, handle } = exec;
    let wanted = if front.plan.reads_bodies() { 1024 } else { 4 };
    let (start, mut body) = streams::peek(incoming(read), wanted).await;
    let listens_only = start.starts_with(b"0000");
    let call = if listens_only { GitCall::Advertise(service) } else { GitCall::Exchange(service) };
    front.log.add(RequestRecord::of_ssh(&path, service.name(), protocol.clone()));
    let slashed = format!("/{path}");
    let arrived = Arrived { method: "SSH", path: &slashed, call: Some(call), start: &start };
    let happenings = front.plan.take(&arrived);
    let mut quirks = Quirks::default();
    for happening in &happenings {
        match happening {
            Happening::Fault(Fault::Answer { body, .. }) => return end(&write, Err(body.clone())).await,
            Happening::Hold(Hold::Arrival, barrier) => barrier.pass().await,
            other => body = front::change_request(other, body, &mut quirks),
        }
    }
    let mut output = match serve(Call { service, path, protocol, listens_only, body, quirks }).await {
        Ok(output) => output,
        Err(words) => return end(&write, Err(words)).await,
    };
    for happening in happenings {
        output = front::change_answer(happening, output).await;
    }
    while let Some(chunk) = output.next().await {
        let sent = match chunk {
            Ok(chunk) => write.data_bytes(chunk).await.is_ok(),
            Err(_) => {
                let _gone = handle.disconnect(Disconnect::ConnectionLost, String::new(), String::new()).await;
                false
            }
        };
        if !sent {
            return;
        }
    }
    end(&write, Ok(())).await;
}

/// What the client says, as far as its end; a channel that goes before is an error.
fn incoming(read: ChannelReadHalf) -> ByteStream {
    stream::unfold(Some(read), |read| async move {
        let mut read = read?;
        loop {
            match read.wait().await {
                Some(ChannelMsg::Data { data }) => return Some((Ok(data), Some(read))),
                Some(ChannelMsg::Eof) => return None,
                None | Some(ChannelMsg::Close) => {
                    return Some((Err::<Bytes, _>(io::ErrorKind::ConnectionAborted.into()), None));
                }
                Some(_) => {}
            }
        }
    })
    .fuse()
    .boxed_local()
}

/// Says how it ended. The client may have gone.
async fn end(write: &ChannelWriteHalf<Msg>, ended: Result<(), String>) {
    if let Err(words) = &ended {
        let _gone = write.extended_data_bytes(1, format!("ERROR: {words}\n")).await;
    }
    let _gone = write.exit_status(u32::from(ended.is_err())).await;
    let _gone = write.eof().await;
    let _gone = write.close().await;
}
