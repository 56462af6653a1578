//! A simulated server's place: its address stays while the server itself may be stopped and started
//! again.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::web::ServiceConfig;
use tokio::net::TcpSocket;

use super::record::lock;
use super::server::ServerThread;

/// How long an address that is to be given up is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

type Configure = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// An address, and the server that runs there if it does.
#[derive(Clone)]
pub(crate) struct Slot {
    address: SocketAddr,
    workers: usize,
    configure: Configure,
    state: Arc<Mutex<State>>,
}

/// What stands at the address.
enum State {
    Running(#[expect(dead_code, reason = "it serves until it is dropped")] ServerThread),
    /// A socket that does not listen: connections are refused, and nobody else is given the port.
    /// `None` if it could not be had.
    Down(#[expect(dead_code, reason = "it holds the port until it is dropped")] Option<TcpSocket>),
}

impl Slot {
    pub(crate) fn start(
        workers: usize,
        configure: impl Fn(&mut ServiceConfig) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let configure: Configure = Arc::new(configure);
        let inner = Arc::clone(&configure);
        let thread = ServerThread::start(workers, move |config| inner(config))?;
        Ok(Self { address: thread.address(), workers, configure, state: Arc::new(Mutex::new(State::Running(thread))) })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops the server; one that is stopped stays so.
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.state);
        if matches!(*state, State::Running(_)) {
            *state = State::Down(None);
            // A program that is being started just now may hold the old socket for a moment longer.
            patiently(|| match TcpStream::connect_timeout(&self.address, PATIENCE) {
                Ok(_) => Err(io::Error::from(io::ErrorKind::AddrInUse)),
                Err(_) => Ok(()),
            })
            .ok();
            *state = State::Down(patiently(|| reserve(self.address)).ok());
        }
    }

    /// Starts it again where it was; one that runs goes on.
    pub(crate) fn restart(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        if matches!(*state, State::Down(_)) {
            *state = State::Down(None);
            let thread = patiently(|| {
                let inner = Arc::clone(&self.configure);
                ServerThread::start_at(self.address, self.workers, move |config| inner(config))
            })?;
            *state = State::Running(thread);
        }
        Ok(())
    }
}

/// Tries again while the address is still in use, for a while.
fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let since = Instant::now();
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && since.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(2));
            }
            done => return done,
        }
    }
}

fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("address", &self.address).finish_non_exhaustive()
    }
}
