//! What can go wrong between the service and its database, and whether trying again may help.
//!
//! Texts come from the database and name tables, constraints and hosts; the password of the address
//! is taken out of them where a connection is made.

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error as Diesel};

use crate::domain::job::UnknownWord;
use crate::domain::retry::Retry;

/// A failure of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// `database.url` cannot be used; says what is accepted.
    #[error("database.url: {0}")]
    Address(String),
    /// The database cannot be reached or cannot write: down, disk full, read-only.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database is there, but every place was taken for too long.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// Two transactions met; one of them may simply run again. Repeated inside the store, seen
    /// outside only when that did not help.
    #[error("two transactions met and repeating did not help: {0}")]
    Race(String),
    /// A row that may stand once stood already, or one that must stand did not.
    #[error("the change contradicts what is stored: {0}")]
    Conflict(String),
    /// Something stored cannot be read: a hand in the database, a newer version, a broken file.
    #[error("stored data cannot be read: {0}")]
    Corrupt(String),
    /// A cursor that no list handed out.
    #[error("not a cursor of this list; start again without one")]
    Cursor,
    /// Another `starkeep serve` holds this SQLite file.
    #[error("{0}")]
    InUse(String),
    /// The schema is not the one this version works with.
    #[error("{0}")]
    Schema(String),
    /// The work panicked; nothing of it was committed.
    #[error("the work panicked and was rolled back: {0}")]
    Panicked(String),
    /// The database refused a statement for a reason of its own.
    #[error("the database refused: {0}")]
    Refused(String),
}

impl StoreError {
    /// Whether and when the same call may be made again.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Busy(_) => Retry::After(Duration::from_secs(1)),
            Self::Unavailable(_) | Self::Race(_) | Self::Panicked(_) => Retry::Backoff,
            Self::Address(_)
            | Self::Conflict(_)
            | Self::Corrupt(_)
            | Self::Cursor
            | Self::InUse(_)
            | Self::Schema(_)
            | Self::Refused(_) => Retry::Never,
        }
    }

    /// The short word for the API and the job row.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Address(_) => "database_address",
            Self::Unavailable(_) => "database_unavailable",
            Self::Busy(_) => "database_busy",
            Self::Race(_) => "database_race",
            Self::Conflict(_) => "conflict",
            Self::Corrupt(_) => "database_corrupt",
            Self::Cursor => "bad_cursor",
            Self::InUse(_) => "database_in_use",
            Self::Schema(_) => "database_schema",
            Self::Panicked(_) => "store_panicked",
            Self::Refused(_) => "database_refused",
        }
    }

    /// Whether the transaction may succeed when it simply runs again.
    pub(super) fn is_race(&self) -> bool {
        matches!(self, Self::Race(_) | Self::Conflict(_))
    }
}

impl From<UnknownWord> for StoreError {
    fn from(unknown: UnknownWord) -> Self {
        Self::Corrupt(unknown.to_string())
    }
}

impl From<Diesel> for StoreError {
    fn from(error: Diesel) -> Self {
        match error {
            Diesel::DatabaseError(kind, info) => of_database(&kind, info.message()),
            Diesel::DeserializationError(why) => Self::Corrupt(why.to_string()),
            Diesel::NotFound => Self::Corrupt("a row that must be there is not".to_owned()),
            Diesel::BrokenTransactionManager => Self::Unavailable("the connection broke in a transaction".to_owned()),
            Diesel::RollbackErrorOnCommit { commit_error, .. } => Self::from(*commit_error),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// diesel tells only some kinds apart and neither SQLite's result code nor most of Postgres's
/// SQLSTATEs, so the rest is told by the text, which both databases keep stable in English.
fn of_database(kind: &DatabaseErrorKind, text: &str) -> StoreError {
    let said = text.trim().to_owned();
    match kind {
        DatabaseErrorKind::UniqueViolation
        | DatabaseErrorKind::ForeignKeyViolation
        | DatabaseErrorKind::CheckViolation
        | DatabaseErrorKind::NotNullViolation => StoreError::Conflict(said),
        DatabaseErrorKind::SerializationFailure => StoreError::Race(said),
        DatabaseErrorKind::ClosedConnection
        | DatabaseErrorKind::ReadOnlyTransaction
        | DatabaseErrorKind::UnableToSendCommand => StoreError::Unavailable(said),
        _ => of_text(said),
    }
}

const RACES: [&str; 2] = ["deadlock detected", "could not serialize access"];
const BUSY: [&str; 5] =
    ["database is locked", "database table is locked", "statement timeout", "lock timeout", "too many clients already"];
const AWAY: [&str; 16] = [
    "disk is full",
    "disk I/O error",
    "No space left on device",
    "could not extend file",
    "could not write",
    "readonly database",
    "unable to open database file",
    "server closed the connection",
    "terminating connection",
    "no connection to the server",
    "connection to server",
    "could not receive data",
    "could not send data",
    "shutting down",
    "starting up",
    "in recovery mode",
];
const BROKEN: [&str; 3] = ["database disk image is malformed", "file is not a database", "invalid page in block"];

fn of_text(said: String) -> StoreError {
    let has = |words: &[&str]| words.iter().any(|it| said.contains(it));
    if has(&RACES) {
        StoreError::Race(said)
    } else if has(&BUSY) {
        StoreError::Busy(said)
    } else if has(&AWAY) {
        StoreError::Unavailable(said)
    } else if has(&BROKEN) {
        StoreError::Corrupt(said)
    } else {
        StoreError::Refused(said)
    }
}
