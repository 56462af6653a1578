//! A simulated server's place: its address stays while the server itself may be stopped and started
//! again.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use actix_web::web::ServiceConfig;

use super::record::lock;
use super::server::ServerThread;

type Configure = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// An address, and the server that runs there if it does.
#[derive(Clone)]
pub(crate) struct Slot {
    address: SocketAddr,
    workers: usize,
    configure: Configure,
    thread: Arc<Mutex<Option<ServerThread>>>,
}

impl Slot {
    pub(crate) fn start(
        workers: usize,
        configure: impl Fn(&mut ServiceConfig) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let configure: Configure = Arc::new(configure);
        let inner = Arc::clone(&configure);
        let thread = ServerThread::start(workers, move |config| inner(config))?;
        Ok(Self { address: thread.address(), workers, configure, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops the server; one that is stopped stays so.
    pub(crate) fn stop(&self) {
        let running = lock(&self.thread).take();
        drop(running);
    }

    /// Starts it again where it was; one that runs goes on.
    pub(crate) fn restart(&self) -> io::Result<()> {
        let mut thread = lock(&self.thread);
        if thread.is_none() {
            let inner = Arc::clone(&self.configure);
            *thread = Some(ServerThread::start_at(self.address, self.workers, move |config| inner(config))?);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("address", &self.address).finish_non_exhaustive()
    }
}
