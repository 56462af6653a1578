//! An HTTP server of its own thread on a free port of loopback, for the simulated services.
//!
//! It runs beside whatever runtime the caller has, and stops when its guard is dropped.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, rt, web};

/// A running server; dropping it cuts every connection, kills what the requests started and waits
/// for the thread to end.
#[derive(Debug)]
pub(crate) struct ServerThread {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
    /// Held by every worker, which may outlive the server's thread by a moment.
    workers: Weak<()>,
}

/// How long workers that were told to stop are waited for.
const PATIENCE: Duration = Duration::from_secs(2);

impl ServerThread {
    /// Starts on a port that the system picks.
    pub(crate) fn start<F>(workers: usize, configure: F) -> io::Result<Self>
    where
        F: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), workers, configure)
    }

    /// Starts at an address, as after a restart.
    pub(crate) fn start_at<F>(address: SocketAddr, workers: usize, configure: F) -> io::Result<Self>
    where
        F: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let (started, starting) = mpsc::channel();
        let alive = Arc::new(());
        let workers_alive = Arc::downgrade(&alive);
        let configure = move |config: &mut web::ServiceConfig| {
            config.app_data(web::Data::from(Arc::clone(&alive)));
            configure(config);
        };
        let thread = std::thread::Builder::new()
            .name(format!("simulator-{}", address.port()))
            .spawn(move || rt::System::new().block_on(run(listener, workers, configure, started)))?;
        let handle = starting.recv().map_err(|_| io::Error::other("the server's thread ended at once"))??;
        Ok(Self { address, handle, thread: Some(thread), workers: workers_alive })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn run<F>(listener: TcpListener, workers: usize, configure: F, started: mpsc::Sender<io::Result<ServerHandle>>)
where
    F: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
{
    let server = HttpServer::new(move || App::new().configure(configure.clone()))
        .workers(workers)
        .disable_signals()
        .tcp_nodelay(true)
        // A client that leaves while git is silent is noticed only so, and git is stopped.
        .h1_allow_half_closed(false)
        .h1_write_buffer_size(256 * 1024)
        .listen(listener);
    match server {
        Ok(server) => {
            let server = server.run();
            if started.send(Ok(server.handle())).is_ok() {
                // Its only error is an accept thread that could not start; the caller sees refused connections.
                let _ended = server.await;
            }
        }
        Err(error) => {
            // Nobody to tell if the caller has gone.
            let _told = started.send(Err(error));
        }
    }
}

impl Drop for ServerThread {
    fn drop(&mut self) {
        // The command is sent by the call; the future only waits for its end, and the thread's end says more.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed by its own hook.
            let _ended = thread.join();
        }
        let since = Instant::now();
        while self.workers.strong_count() > 0 && since.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
