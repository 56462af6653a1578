//! Tells waiting workers that a job was queued: in this process at once, to and from other processes
//! by Postgres's `LISTEN`/`NOTIFY`. Only a hint; whoever waits also looks from time to time.
//!
//! Transactions that notify commit one after the other, each with its own fsync: Postgres orders them
//! under one lock. So a process that listens notifies over that same connection after its commits,
//! once for all that have gathered; only one that does not (a command) does it in its transaction.

use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client};

use super::address::{Address, Server};
use super::tls;

/// Postgres's channel.
pub(super) const CHANNEL: &str = "starkeep_jobs";
// A notification need not survive a crash of the server: nobody waits for its fsync.
const LISTEN: &str = "SET synchronous_commit = off; LISTEN starkeep_jobs";
const NOTIFY: &str = "NOTIFY starkeep_jobs";

/// The first pause before a lost connection is made again, doubled to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How often the server is asked whether it still answers: a lost network says nothing by itself.
const ASKED_EVERY: Duration = Duration::from_secs(30);
/// What its answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The counter, and on Postgres the task that speaks with other processes.
pub(super) struct Wakeups {
    counter: watch::Sender<u64>,
    server: Option<Box<Server>>,
    /// Asks the task to tell the others; what gathers before it does is told once.
    others: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Moves the counter on.
pub(super) fn bump(counter: &watch::Sender<u64>) {
    counter.send_modify(|it| *it = it.wrapping_add(1));
}

impl Wakeups {
    pub(super) fn new(address: &Address) -> Self {
        let server = match address {
            Address::Sqlite(_) => None,
            Address::Postgres(server) => Some(server.clone()),
        };
        Self { counter: watch::Sender::new(0), server, others: Arc::default(), task: Mutex::new(None) }
    }

    pub(super) fn sender(&self) -> watch::Sender<u64> {
        self.counter.clone()
    }

    /// Whether the task is there to tell the others.
    pub(super) fn is_listening(&self) -> bool {
        self.task().as_ref().is_some_and(|it| !it.is_finished())
    }

    /// Wakes this process alone.
    pub(super) fn bump(&self) {
        bump(&self.counter);
    }

    /// Work was queued: wakes this process, and the others if the task is there.
    pub(super) fn tell(&self) {
        self.bump();
        self.others.notify_one();
    }

    /// Follows the counter; starts to listen at the first call.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        if let Some(server) = &self.server {
            let mut task = self.task();
            if task.as_ref().is_none_or(JoinHandle::is_finished) {
                *task = Some(tokio::spawn(listen(server.clone(), self.counter.clone(), Arc::clone(&self.others))));
            }
        }
        self.counter.subscribe()
    }

    fn task(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wakeups {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.abort();
        }
    }
}

/// Listens for ever. While the connection was away notifications may have been lost in both
/// directions, so each time it is back the counter moves and the others are told.
async fn listen(server: Box<Server>, counter: watch::Sender<u64>, others: Arc<Notify>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let mut heard = false;
        let lost = hear(&server, &counter, &others, &mut heard).await;
        if heard {
            pause = FIRST_PAUSE;
        }
        tracing::warn!(
            reason = lost,
            retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            "no notifications from Postgres; jobs of other processes are found by looking until it is back"
        );
        others.notify_one();
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One connection's life; tells why it ended.
async fn hear(server: &Server, counter: &watch::Sender<u64>, others: &Notify, heard: &mut bool) -> String {
    let connector = match tls::connector(&server.tls) {
        Ok(connector) => connector,
        Err(why) => return why,
    };
    // Each time with the present login.
    let (client, mut connection) = match server.listener().connect(connector).await {
        Ok(both) => both,
        Err(e) => return reason(&e),
    };
    let ours = AtomicI32::new(0);
    // The connection moves, and so the client's calls, only while its messages are asked for.
    let messages = async {
        let mut messages = poll_fn(move |context| connection.poll_message(context));
        loop {
            match messages.next().await {
                // What this process said itself it knew before.
                Some(Ok(AsyncMessage::Notification(it))) if it.process_id() != ours.load(Relaxed) => bump(counter),
                Some(Ok(_)) => {}
                Some(Err(e)) => return reason(&e),
                None => return "the connection was closed".to_owned(),
            }
        }
    };
    let calls = async {
        match session(&client).await {
            Ok(id) => ours.store(id, Relaxed),
            Err(e) => return reason(&e),
        }
        *heard = true;
        bump(counter);
        loop {
            let asked = tokio::time::timeout(ASKED_EVERY, others.notified()).await;
            let call = if asked.is_ok() { NOTIFY } else { "SELECT 1" };
            let answer = tokio::time::timeout(PATIENCE, client.batch_execute(call)).await;
            if !matches!(answer, Ok(Ok(()))) {
                return "the server does not answer any more".to_owned();
            }
        }
    };
    tokio::select! {
        why = messages => why,
        why = calls => why,
    }
}

/// Starts to listen; gives the id that the server has for this connection.
async fn session(client: &Client) -> Result<i32, tokio_postgres::Error> {
    client.batch_execute(LISTEN).await?;
    client.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)
}

/// The error with what is behind it: tokio-postgres's own text is only "error connecting to server".
fn reason(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(|it| format!(": {it}")).unwrap_or_default();
    format!("{error}{cause}")
}
