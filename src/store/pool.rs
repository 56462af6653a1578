//! A small pool of connections: SQLite's readers, all of Postgres.

use std::sync::Arc;
use std::time::Duration;

use diesel::RunQueryDsl as _;
use diesel::r2d2::{Pool, PooledConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::address::Address;
use super::connection::{Connection, Opener, Use};
use super::error::StoreError;
use super::guarded;
use super::wakeups::CHANNEL;

/// Connections that read a SQLite file.
pub(super) const SQLITE_READERS: u32 = 4;
/// Connections to a Postgres server.
pub(super) const POSTGRES: u32 = 10;

/// How long a caller waits for a place.
const PLACE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a thread waits for a connection; having a place, it waits for the server alone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(6);
/// A transaction that met another one is run again so often.
const REPEATS: u32 = 5;
/// The pause before it, doubled each time.
const PAUSE: Duration = Duration::from_millis(5);

/// The pool, with as many places as connections: callers wait in line without holding a thread.
pub(super) struct Connections {
    pool: Pool<Opener>,
    places: Arc<Semaphore>,
    shown: String,
}

type Pooled = PooledConnection<Opener>;

impl Connections {
    /// Opens the first connection, to see that it can be, and the others when they are needed.
    pub(super) fn new(address: Address, purpose: Use, size: u32) -> Result<Self, StoreError> {
        drop(Connection::open(&address, purpose)?);
        let shown = format!("{address:?}");
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(0))
            .connection_timeout(CONNECT_TIMEOUT)
            // The beginning of the transaction is the test.
            .test_on_check_out(false)
            .error_handler(Box::new(diesel::r2d2::NopErrorHandler))
            .build_unchecked(Opener { address, purpose });
        let places = Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(1)));
        Ok(Self { pool, places, shown })
    }

    /// Waits in line for a place.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        match tokio::time::timeout(PLACE_TIMEOUT, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(StoreError::Unavailable("the store is closed".to_owned())),
            Err(_) => Err(StoreError::Busy("every connection was in use for too long".to_owned())),
        }
    }

    fn get(&self) -> Result<Pooled, StoreError> {
        self.pool.get().map_err(|e| {
            // The text holds the last reason why no connection could be opened.
            StoreError::Unavailable(format!("{}: {e}", self.shown))
        })
    }

    /// A connection in a transaction. One that was cut off while it lay in the pool shows it by failing
    /// here, and is replaced: at worst all of them, after a restart of the server.
    fn begun(&self, begin: fn(&mut Connection) -> Result<(), StoreError>) -> Result<Pooled, StoreError> {
        let mut left = self.pool.max_size();
        loop {
            let mut c = self.get()?;
            match begin(&mut c) {
                Ok(()) => return Ok(c),
                Err(error) => {
                    let was_cut_off = c.is_postgres();
                    c.condemn();
                    if !was_cut_off || left == 0 {
                        return Err(error);
                    }
                }
            }
            left -= 1;
        }
    }

    /// Runs queries on one view of the data.
    pub(super) fn read<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut c = self.begun(Connection::begin_read)?;
        let done = guarded(|| work(&mut c));
        // There is nothing to keep; a connection that cannot even roll back is thrown away by the pool.
        c.rollback().or_else(|e| if done.is_ok() { Err(e) } else { Ok(()) })?;
        done
    }

    /// Runs `work` in a transaction, and again while it meets others. Tells whether it queued work;
    /// `notify` says that the transaction itself has to tell other processes.
    pub(super) fn write<T>(
        &self,
        notify: bool,
        mut work: impl FnMut(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<(T, bool), StoreError> {
        let mut c = self.begun(Connection::begin_write)?;
        let mut repeats = 0;
        loop {
            match once(&mut c, notify, &mut work) {
                Err(error) if error.is_race() && repeats < REPEATS => {
                    std::thread::sleep(PAUSE * (1 << repeats));
                    repeats += 1;
                    c.begin_write()?;
                }
                done => return done,
            }
        }
    }
}

/// Runs `work` in the transaction that was begun, and ends it.
fn once<T>(
    c: &mut Connection,
    notify: bool,
    work: &mut impl FnMut(&mut Connection) -> Result<T, StoreError>,
) -> Result<(T, bool), StoreError> {
    let done = guarded(|| {
        let done = work(c)?;
        if c.queued && notify {
            // Sent by Postgres when and only when the transaction commits.
            diesel::sql_query(format!("NOTIFY {CHANNEL}")).execute(&mut c.db)?;
        }
        Ok(done)
    });
    match done {
        Ok(done) => {
            c.commit()?;
            Ok((done, c.queued))
        }
        Err(error) => {
            // The first error is the one that says something; a broken connection leaves the pool.
            let _ = c.rollback();
            Err(error)
        }
    }
}
