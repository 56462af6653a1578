//! The right to be the one `serve` on a SQLite file: a lock on a file beside it, which the system
//! takes back when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::error::StoreError;

/// Held for as long as the value lives.
#[derive(Debug)]
pub struct ServeLock {
    /// `None` on Postgres, which is shared. The file stays when the lock goes: removing it would
    /// let a third process lock a new file while a second still holds the old one.
    file: Option<File>,
}

impl ServeLock {
    pub(super) fn shared() -> Self {
        Self { file: None }
    }

    pub(super) fn on(database: &Path) -> Result<Self, StoreError> {
        let path = beside(database);
        let unavailable = |e: std::io::Error| StoreError::Unavailable(format!("the lock file {}: {e}", path.display()));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(unavailable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(format!(
                "another `starkeep serve` runs on {}; stop it, or use Postgres, which several processes may share",
                database.display()
            ))),
            Err(TryLockError::Error(e)) => Err(unavailable(e)),
        }
    }

    /// Whether nobody else can serve this database: leases that are still held are left over from
    /// a process that is gone.
    pub fn is_exclusive(&self) -> bool {
        self.file.is_some()
    }
}

impl Drop for ServeLock {
    /// A process that was just forked off holds the file open until it runs its own program: closing it
    /// here would not yet give the lock back.
    fn drop(&mut self) {
        if let Some(Err(error)) = self.file.as_ref().map(File::unlock) {
            tracing::debug!(%error, "the lock goes with the process");
        }
    }
}

/// The same lock file for one database by whatever path it was reached.
fn beside(database: &Path) -> PathBuf {
    let real = database.canonicalize().unwrap_or_else(|_| database.to_owned());
    let mut name = real.into_os_string();
    name.push(".lock");
    PathBuf::from(name)
}
