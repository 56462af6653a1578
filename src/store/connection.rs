//! One connection type over both databases, opened and prepared the same way everywhere.
//!
//! [`Backend`] is what diesel sees; [`Connection`] is what the functions of the tables get, always
//! inside a transaction that [`Store::read`](super::Store::read) or
//! [`Store::write`](super::Store::write) opened.

use std::path::Path;

use diesel::connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager};
use diesel::r2d2::{ManageConnection, R2D2Connection as _};
use diesel::{Connection as _, PgConnection, SqliteConnection};
use secrecy::ExposeSecret as _;

use super::address::{Address, Server};
use super::backend::Backend;
use super::error::StoreError;

type Transactions = <Backend as diesel::Connection>::TransactionManager;

/// A connection within a transaction.
pub struct Connection {
    pub(super) db: Backend,
    /// Whether this transaction queued a job, so that somebody must be woken after its commit.
    pub(super) queued: bool,
    /// It failed in a way that no next user may inherit.
    condemned: bool,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Queries only; SQLite holds it to that.
    Reading,
    /// Reads and writes.
    Writing,
    /// Changing the schema: as long as it takes.
    Migrating,
}

/// How long SQLite waits for another process's transaction. Milliseconds.
const BUSY_TIMEOUT: u32 = 5_000;
/// What a statement of ours may take on Postgres, and wait for a row that somebody else holds.
const PG_LIMITS: &str = "SET statement_timeout = '30s'; SET lock_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = warning";

impl Connection {
    /// Opens and prepares a connection. The arm follows the address: diesel's own `establish` would
    /// try one after the other and hide why each failed.
    pub(super) fn open(address: &Address, purpose: Use) -> Result<Self, StoreError> {
        let db = match address {
            Address::Sqlite(path) => Backend::Sqlite(sqlite(path, purpose)?),
            Address::Postgres(server) => Backend::Postgres(postgres(server, purpose)?),
        };
        Ok(Self { db, queued: false, condemned: false })
    }

    /// Whether this is Postgres.
    pub(super) fn is_postgres(&self) -> bool {
        matches!(self.db, Backend::Postgres(_))
    }

    /// Tells SQLite, which has no statistics and misjudges partial indexes, which index to go along;
    /// Postgres knows by itself. To be put after the table's name.
    pub(super) fn along(&self, index: &str) -> String {
        if self.is_postgres() { String::new() } else { format!("INDEXED BY {index}") }
    }

    /// Marks that this transaction queued work: waiting workers, of every process, are woken after
    /// its commit. Queueing a job does so by itself.
    pub(super) fn wake(&mut self) {
        self.queued = true;
    }

    /// One view of the data for all queries of a reading, on both databases.
    pub(super) fn begin_read(&mut self) -> Result<(), StoreError> {
        let begun = match &mut self.db {
            Backend::Sqlite(c) => AnsiTransactionManager::begin_transaction(c),
            Backend::Postgres(c) => {
                AnsiTransactionManager::begin_transaction_sql(c, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            }
        };
        begun.map_err(StoreError::from)
    }

    /// A writing transaction. SQLite takes its lock at once: one that is only wanted later can fail
    /// without waiting when somebody else wrote in between.
    pub(super) fn begin_write(&mut self) -> Result<(), StoreError> {
        self.queued = false;
        let begun = match &mut self.db {
            Backend::Sqlite(c) => AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE"),
            Backend::Postgres(c) => AnsiTransactionManager::begin_transaction(c),
        };
        begun.map_err(StoreError::from)
    }

    /// Ends the transaction with all it did.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        Transactions::commit_transaction(&mut self.db).map_err(StoreError::from)
    }

    /// Ends the transaction with nothing done.
    pub(super) fn rollback(&mut self) -> Result<(), StoreError> {
        Transactions::rollback_transaction(&mut self.db).map_err(StoreError::from)
    }

    /// Runs `work` in a savepoint: if it fails, what it did is undone and the transaction goes on.
    ///
    /// # Errors
    /// What `work` failed with; [`Undone::Broken`] if the transaction itself is lost.
    pub(super) fn savepoint<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, Undone> {
        let queued = self.queued;
        Transactions::begin_transaction(&mut self.db).map_err(|e| Undone::Broken(e.into()))?;
        match work(self) {
            Ok(done) => {
                self.commit().map_err(Undone::Broken)?;
                Ok(done)
            }
            Err(error) => {
                self.queued = queued;
                match self.rollback() {
                    Ok(()) => Err(Undone::Failed(error)),
                    // SQLite gives the whole transaction up by itself when the disk is full.
                    Err(_) => Err(Undone::Broken(error)),
                }
            }
        }
    }

    /// Whether the connection is of no more use.
    pub(super) fn is_broken(&mut self) -> bool {
        self.condemned || self.db.is_broken()
    }

    /// Makes it of no more use.
    pub(super) fn condemn(&mut self) {
        self.condemned = true;
    }
}

/// How a savepoint ended without effect.
pub(super) enum Undone {
    /// Its work failed; the transaction goes on.
    Failed(StoreError),
    /// The transaction is lost.
    Broken(StoreError),
}

impl From<Undone> for StoreError {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Failed(error) | Undone::Broken(error) => error,
        }
    }
}

fn sqlite(path: &Path, purpose: Use) -> Result<SqliteConnection, StoreError> {
    create(path)?;
    let failed = |why: &dyn std::fmt::Display| {
        StoreError::Unavailable(format!("the SQLite file {}: {why}; check that it can be written", path.display()))
    };
    let text = path.to_str().ok_or_else(|| StoreError::Address("the path is not UTF-8".to_owned()))?;
    let mut c = SqliteConnection::establish(text).map_err(|e| failed(&e))?;
    let only = if purpose == Use::Reading { "PRAGMA query_only = ON;" } else { "" };
    // FULL: in WAL mode NORMAL would lose the last commits when the power goes, and a 202 means on disk.
    let prepare = format!(
        "PRAGMA busy_timeout = {BUSY_TIMEOUT}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864; PRAGMA temp_store = MEMORY; {only}"
    );
    c.batch_execute(&prepare).map_err(|e| failed(&e))?;
    Ok(c)
}

/// Makes the file, readable by its owner alone, so that SQLite does not make it readable by all.
fn create(path: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => {
            let mend = "make the folder and let this user write to it, or name another place in database.url";
            Err(StoreError::Unavailable(format!("the SQLite file {}: {e}; {mend}", path.display())))
        }
    }
}

fn postgres(server: &Server, purpose: Use) -> Result<PgConnection, StoreError> {
    let failed = |why: &dyn std::fmt::Display| {
        let why = server.scrubbed(&why.to_string());
        StoreError::Unavailable(format!("Postgres at {}: {}", server.shown(), why.trim()))
    };
    let mut c = PgConnection::establish(server.conninfo().expose_secret()).map_err(|e| failed(&e))?;
    let limits = match purpose {
        Use::Reading | Use::Writing => PG_LIMITS,
        Use::Migrating => "SET client_min_messages = warning",
    };
    c.batch_execute(limits).map_err(|e| failed(&e))?;
    Ok(c)
}

/// Lets r2d2 open connections as they are opened everywhere else.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) address: Address,
    pub(super) purpose: Use,
}

impl ManageConnection for Opener {
    type Connection = Connection;
    type Error = StoreError;

    fn connect(&self) -> Result<Connection, StoreError> {
        Connection::open(&self.address, self.purpose)
    }

    fn is_valid(&self, c: &mut Connection) -> Result<(), StoreError> {
        // A file does not go away between two uses; a server does.
        if c.is_postgres() { c.db.ping().map_err(StoreError::from) } else { Ok(()) }
    }

    fn has_broken(&self, c: &mut Connection) -> bool {
        c.is_broken()
    }
}
