//! One user of a copy at a time, over all processes of the machine. The system frees the lock of a
//! process that dies.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

/// How often a lock that another one holds is tried.
const PAUSE: Duration = Duration::from_millis(20);

/// The lock of a copy. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Guard(#[expect(dead_code, reason = "it holds the lock until it is dropped")] File);

impl Guard {
    /// Waits for the lock. The caller's time-out bounds the wait; forks of one network wait for each
    /// other here, while one of them is fetched.
    pub(crate) async fn take(path: &Path) -> std::io::Result<Self> {
        // It is never removed: whoever waits for it would hold another one than those who come later.
        let file = File::options().create(true).append(true).open(path)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}
