//! Persistence: mirrors, jobs, deliveries, history. The only place with SQL.
//!
//! SQLite (a file, embedded) and Postgres (a server, shared by several processes) behave the same
//! and are held to it by one test suite. Work arrives as closures over a [`Connection`]:
//! [`Store::read`] gives them one view of the data, [`Store::write`] one transaction and its answer
//! only after the commit. The tables' functions stand in one module each, take "now" as an argument
//! and never leave the transaction they are called in.
//!
//! Closures are run on threads of their own, never on the async runtime's, and must not wait for
//! network or git.

mod address;
pub mod adopted;
pub mod api_keys;
pub mod audit;
mod backend;
pub mod backup;
pub mod catalog;
mod connection;
pub mod deliveries;
pub mod drills;
mod error;
pub mod events;
pub mod history;
pub mod installations;
pub mod jobs;
pub mod kept;
pub mod keyed_calls;
pub mod lfs;
pub mod listings;
mod lock;
pub mod markers;
mod migration;
pub mod minting;
pub mod mirrors;
pub mod notices;
pub mod page;
pub mod parts;
pub mod polls;
mod pool;
mod prepared;
pub mod rates;
pub mod recoveries;
pub mod replays;
mod schema;
pub mod sessions;
pub mod settings;
pub mod star_lists;
pub mod starred;
pub mod stars;
pub mod sweeps;
pub mod syncs;
mod time;
pub mod tips;
mod tls;
pub mod turns;
pub mod vanished;
mod wakeups;
pub mod watched;
mod writer;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};

use crate::config::database::Database;

use self::address::Address;
use self::pool::Connections;
use self::wakeups::Wakeups;
use self::writer::Waiting;

pub use self::connection::Connection;
pub use self::error::StoreError;
pub use self::lock::ServeLock;
pub use self::page::{Page, Window};

/// How long a write may wait for a place in the writer's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long `/readyz` waits for the database.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The database. Cloning shares it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    address: Address,
    connections: Connections,
    /// SQLite's one writer; Postgres needs none.
    writer: Option<mpsc::Sender<Box<dyn Waiting>>>,
    commits: Arc<AtomicU64>,
    wakeups: Wakeups,
}

impl Store {
    /// Opens the database of `database.url` and tries it. Makes the SQLite file if it is not there;
    /// leaves the schema alone (see [`Store::migrate`]).
    ///
    /// # Errors
    /// [`StoreError::Address`] for an address that cannot be used, [`StoreError::Unavailable`] with
    /// what, where and the mend for a database that cannot be reached. Never shows the password.
    pub async fn open(database: &Database) -> Result<Self, StoreError> {
        let address = Address::parse(&database.url)?;
        blocking(move || Self::connect(address)).await
    }

    /// Connects with the user and password of this `database.url` from now on; connections that are open stay. `false`
    /// if nothing was changed: it is another database, reached in another way, or unusable.
    pub fn renew(&self, database: &Database) -> bool {
        Address::parse(&database.url).is_ok_and(|it| self.inner.address.renew(&it))
    }

    fn connect(address: Address) -> Result<Self, StoreError> {
        let commits = Arc::default();
        let wakeups = Wakeups::new(&address);
        let (size, purpose, writer) = match &address {
            Address::Sqlite(_) => {
                let writer = writer::start(address.clone(), Arc::clone(&commits), wakeups.sender())?;
                (pool::SQLITE_READERS, connection::Use::Reading, Some(writer))
            }
            Address::Postgres(_) => (pool::POSTGRES, connection::Use::Writing, None),
        };
        let connections = Connections::new(address.clone(), purpose, size)?;
        Ok(Self { inner: Arc::new(Inner { address, connections, writer, commits, wakeups }) })
    }

    /// Whether this is Postgres, which several processes may share.
    pub fn is_postgres(&self) -> bool {
        matches!(self.inner.address, Address::Postgres(_))
    }

    /// Runs queries on one unchanging view of the data.
    ///
    /// # Errors
    /// What `work` fails with; [`StoreError::Busy`] when no connection came free in time,
    /// [`StoreError::Unavailable`] when the database is away, [`StoreError::Panicked`].
    pub async fn read<W, T>(&self, work: W) -> Result<T, StoreError>
    where
        W: FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let place = inner.connections.place().await?;
        blocking(move || {
            let _place = place;
            inner.connections.read(work)
        })
        .await
    }

    /// Runs `work` in one transaction and answers only after the commit: what is answered stays.
    /// `work` may run more than once (on Postgres, after it met another transaction), each time
    /// from the start and with nothing of the earlier run left. If the caller gives up waiting, it
    /// may still be committed.
    ///
    /// # Errors
    /// What `work` fails with, its changes undone; else as [`Store::read`].
    pub async fn write<W, T>(&self, work: W) -> Result<T, StoreError>
    where
        W: FnMut(&mut Connection) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        match &self.inner.writer {
            Some(writer) => self.write_grouped(writer, work).await,
            None => self.write_alone(work).await,
        }
    }

    async fn write_grouped<W, T>(&self, writer: &mpsc::Sender<Box<dyn Waiting>>, work: W) -> Result<T, StoreError>
    where
        W: FnMut(&mut Connection) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let (write, answer) = writer::waiting(work);
        let gone = || StoreError::Unavailable("the writer's thread has ended; restart the service".to_owned());
        match writer.send_timeout(write, QUEUE_TIMEOUT).await {
            Ok(()) => answer.await.map_err(|_| gone())?,
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                Err(StoreError::Busy("too many writes wait for the SQLite file".to_owned()))
            }
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(gone()),
        }
    }

    async fn write_alone<W, T>(&self, work: W) -> Result<T, StoreError>
    where
        W: FnMut(&mut Connection) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let place = inner.connections.place().await?;
        blocking(move || {
            let _place = place;
            let listening = inner.wakeups.is_listening();
            let (done, queued) = inner.connections.write(!listening, work)?;
            inner.commits.fetch_add(1, Ordering::Relaxed);
            if queued {
                inner.wakeups.tell();
            }
            Ok(done)
        })
        .await
    }

    /// Opens every connection to a server before it is needed, in the background: the first burst of
    /// deliveries would otherwise wait for all of them. What fails here shows when it is needed.
    pub fn warm_up(&self) {
        if !self.is_postgres() {
            return;
        }
        for _ in 0..pool::POSTGRES {
            let store = self.clone();
            tokio::spawn(async move { store.read(|c| settings::get(c, "probe")).await.map(drop) });
        }
    }

    /// Brings the schema up to date; gives the names of the migrations that were run. Several
    /// processes may call it at once.
    ///
    /// # Errors
    /// [`StoreError::Schema`] when a migration fails or a newer version of starkeep made the schema.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let address = self.inner.address.clone();
        blocking(move || migration::run(&address)).await
    }

    /// The migrations that [`Store::migrate`] would run.
    ///
    /// # Errors
    /// As [`Store::migrate`].
    pub async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        let address = self.inner.address.clone();
        blocking(move || migration::pending(&address)).await
    }

    /// Writes and commits something small: whether a delivery could be taken now.
    ///
    /// # Errors
    /// Why not; [`StoreError::Unavailable`] when there was no answer within two seconds.
    pub async fn check(&self) -> Result<(), StoreError> {
        let probe = self.write(|c| settings::set(c, "probe", "written to see whether it can be written"));
        match tokio::time::timeout(CHECK_TIMEOUT, probe).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::Unavailable(format!("no answer within {} s", CHECK_TIMEOUT.as_secs()))),
        }
    }

    /// The clock of the Postgres server; `None` on SQLite. Processes that share a server compare their
    /// own with it: leases are only as good as their clocks agree.
    ///
    /// # Errors
    /// Those of [`Store::read`].
    pub async fn server_time(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        if self.is_postgres() { self.read(time::of_server).await.map(Some) } else { Ok(None) }
    }

    /// A counter that moves after every commit that queued a job, in this process or, on Postgres,
    /// in any other, and after a lost notification channel was restored. A hint to look: the rows
    /// are the work. Must be called within a tokio runtime: on Postgres the first call starts the
    /// task that listens.
    pub fn wakeups(&self) -> watch::Receiver<u64> {
        self.inner.wakeups.subscribe()
    }

    /// The right to be the one `serve` on a SQLite file, for as long as the value lives. Postgres
    /// is shared, so there it always succeeds.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it.
    pub fn serve_lock(&self) -> Result<ServeLock, StoreError> {
        match &self.inner.address {
            Address::Sqlite(path) => ServeLock::on(path),
            Address::Postgres(_) => Ok(ServeLock::shared()),
        }
    }

    /// Moves that counter by hand: there may be room for a job again.
    pub fn wake(&self) {
        self.inner.wakeups.bump();
    }

    /// Transactions committed by [`Store::write`] so far in this process.
    pub fn commits(&self) -> u64 {
        self.inner.commits.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.inner.address).finish()
    }
}

/// Runs blocking work off the runtime's threads; a panic becomes an error value.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(move || guarded(work)).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::Unavailable("the runtime is shutting down".to_owned())),
    }
}

/// Turns a panic of `work` into an error value.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    // Whatever the closure left half-changed is thrown away with its transaction.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|it| (*it).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(StoreError::Panicked(text.unwrap_or_else(|| "without a text".to_owned())))
    })
}

/// What an error's text may take in a row. Characters.
const LONGEST_TEXT: usize = 2_000;

/// A text for people, cut to what a row may hold; Postgres has no zero bytes in texts.
fn clipped(text: &str) -> String {
    text.chars().filter(|it| *it != '\0').take(LONGEST_TEXT).collect()
}
