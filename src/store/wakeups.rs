//! Tells waiting workers that a job was queued: in this process at once, from other processes by
//! Postgres's `LISTEN`/`NOTIFY`. Only a hint; whoever waits also looks from time to time.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Config, NoTls};

use super::address::Address;

/// Postgres's channel.
pub(super) const CHANNEL: &str = "starkeep_jobs";
const LISTEN: &str = "LISTEN starkeep_jobs";

/// The first pause before a lost connection is made again, doubled to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How often the server is asked whether it still answers: a lost network says nothing by itself.
const ASKED_EVERY: Duration = Duration::from_secs(30);
/// What its answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The counter, and on Postgres the task that hears other processes.
pub(super) struct Wakeups {
    counter: watch::Sender<u64>,
    listener: Option<Config>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Moves the counter on.
pub(super) fn bump(counter: &watch::Sender<u64>) {
    counter.send_modify(|it| *it = it.wrapping_add(1));
}

impl Wakeups {
    pub(super) fn new(address: &Address) -> Self {
        let listener = match address {
            Address::Sqlite(_) => None,
            Address::Postgres(server) => Some(server.listener()),
        };
        Self { counter: watch::Sender::new(0), listener, task: Mutex::new(None) }
    }

    pub(super) fn sender(&self) -> watch::Sender<u64> {
        self.counter.clone()
    }

    pub(super) fn bump(&self) {
        bump(&self.counter);
    }

    /// Follows the counter; starts to listen at the first call.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        if let Some(config) = &self.listener {
            let mut task = self.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if task.as_ref().is_none_or(JoinHandle::is_finished) {
                *task = Some(tokio::spawn(listen(config.clone(), self.counter.clone())));
            }
        }
        self.counter.subscribe()
    }
}

impl Drop for Wakeups {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.abort();
        }
    }
}

/// Listens for ever. While the connection was away notifications may have been lost, so the counter
/// moves each time it is back.
async fn listen(config: Config, counter: watch::Sender<u64>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let mut heard = false;
        let lost = hear(&config, &counter, &mut heard).await;
        if heard {
            pause = FIRST_PAUSE;
        }
        tracing::warn!(
            reason = lost,
            retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            "no notifications from Postgres; jobs of other processes are found by looking until it is back"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One connection's life; tells why it ended.
async fn hear(config: &Config, counter: &watch::Sender<u64>, heard: &mut bool) -> String {
    let (client, mut connection) = match config.connect(NoTls).await {
        Ok(both) => both,
        Err(e) => return reason(&e),
    };
    // The connection moves, and so the client's calls, only while its messages are asked for.
    let messages = async {
        let mut messages = poll_fn(move |context| connection.poll_message(context));
        loop {
            match messages.next().await {
                Some(Ok(AsyncMessage::Notification(_))) => bump(counter),
                Some(Ok(_)) => {}
                Some(Err(e)) => return reason(&e),
                None => return "the connection was closed".to_owned(),
            }
        }
    };
    let calls = async {
        if let Err(e) = client.batch_execute(LISTEN).await {
            return reason(&e);
        }
        *heard = true;
        bump(counter);
        loop {
            tokio::time::sleep(ASKED_EVERY).await;
            let answer = tokio::time::timeout(PATIENCE, client.batch_execute("SELECT 1")).await;
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

/// The error with what is behind it: tokio-postgres's own text is only "error connecting to server".
fn reason(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(|it| format!(": {it}")).unwrap_or_default();
    format!("{error}{cause}")
}
