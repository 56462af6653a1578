//! A network that misbehaves on demand: a proxy in front of a real server, and a server that only
//! recites.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What happens to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    /// The connection breaks after so many bytes of the answer.
    Cut(usize),
    /// Nothing comes any more after so many bytes of the answer.
    Stall(usize),
    /// The connection breaks after so many bytes of the request.
    CutRequest(usize),
}

/// A mishap for requests whose first line holds a text; happens so many times.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) path: &'static str,
    pub(super) mishap: Mishap,
    pub(super) times: usize,
}

#[derive(Debug, Default)]
struct State {
    plans: Vec<Plan>,
    heads: Vec<String>,
    connections: usize,
    /// The header that asks for protocol version 2 is taken out, as if the server knew nothing of it.
    old: bool,
}

/// A proxy on loopback.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub(super) async fn before(server: &str) -> Self {
        let server: SocketAddr = server.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let it = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = Arc::clone(&it.state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                state.lock().unwrap().connections += 1;
                tokio::spawn(carry(client, server, Arc::clone(&state)));
            }
        });
        it
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub(super) fn plan(&self, path: &'static str, mishap: Mishap, times: usize) {
        self.state.lock().unwrap().plans.push(Plan { path, mishap, times });
    }

    /// The first lines of all requests so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().heads.clone()
    }

    /// From now on the server behind speaks the old protocol.
    pub(super) fn grow_old(&self) {
        self.state.lock().unwrap().old = true;
    }

    pub(super) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }
}

/// The mishap for a request, if a chunk begins one.
fn begun(chunk: &[u8], state: &Mutex<State>) -> Option<Option<Mishap>> {
    let line = chunk.split(|it| *it == b'\r').next()?;
    let line = std::str::from_utf8(line).ok().filter(|it| it.ends_with(" HTTP/1.1"))?;
    let mut state = state.lock().unwrap();
    state.heads.push(line.trim_end_matches(" HTTP/1.1").to_owned());
    let plan = state.plans.iter_mut().find(|it| it.times > 0 && line.contains(it.path));
    Some(plan.map(|it| {
        it.times -= 1;
        it.mishap
    }))
}

fn without_version(chunk: &[u8]) -> Vec<u8> {
    let header = b"git-protocol: version=2\r\n";
    match chunk.windows(header.len()).position(|it| it.eq_ignore_ascii_case(header)) {
        Some(at) => [&chunk[..at], &chunk[at + header.len()..]].concat(),
        None => chunk.to_vec(),
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, state: Arc<Mutex<State>>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let mut mishap = None;
    let (mut up, mut down) = (0, 0);
    let (mut from_client, mut from_server) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(n @ 1..) = read else { return };
                if let Some(planned) = begun(&from_client[..n], &state) {
                    (mishap, up, down) = (planned, 0, 0);
                }
                up += n;
                let old = state.lock().unwrap().old;
                let request = if old { without_version(&from_client[..n]) } else { from_client[..n].to_vec() };
                if server.write_all(&request).await.is_err() { return }
                if matches!(mishap, Some(Mishap::CutRequest(after)) if up >= after) { return }
            }
            read = server.read(&mut from_server) => {
                let Ok(n @ 1..) = read else { return };
                let room = match mishap {
                    Some(Mishap::Cut(after) | Mishap::Stall(after)) if down + n >= after => after - down,
                    _ => n,
                };
                down += room;
                if client.write_all(&from_server[..room]).await.is_err() { return }
                if room < n || matches!(mishap, Some(Mishap::Cut(after) | Mishap::Stall(after)) if down >= after) {
                    if matches!(mishap, Some(Mishap::Stall(_))) { std::future::pending::<()>().await }
                    return;
                }
            }
        }
    }
}

/// A server that gives prepared answers in their order, one connection each, and remembers what
/// was asked.
#[derive(Debug, Clone)]
pub(super) struct Reciter {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// An answer with its length.
pub(super) fn answer(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    for header in headers {
        out.push_str(header);
        out.push_str("\r\n");
    }
    out.push_str("\r\n");
    [out.as_bytes(), body].concat()
}

/// The content type of a list of refs.
pub(super) fn listed(service: &str) -> String {
    format!("Content-Type: application/x-git-{service}-advertisement")
}

impl Reciter {
    pub(super) async fn of(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let it = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let asked = Arc::clone(&it.asked);
        tokio::spawn(async move {
            for answer in answers {
                let Ok((mut client, _)) = listener.accept().await else { return };
                let mut buffer = vec![0; 64 * 1024];
                let n = client.read(&mut buffer).await.unwrap_or_default();
                asked.lock().unwrap().push(String::from_utf8_lossy(&buffer[..n]).into_owned());
                let _ = client.write_all(&answer).await;
                let _ = client.shutdown().await;
                // Whatever else was sent is read, or the system would reset the connection.
                while matches!(client.read(&mut buffer).await, Ok(1..)) {}
            }
        });
        it
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Every request so far: head, and body as far as it came with it.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}
