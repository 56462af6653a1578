//! The heartbeat: a lease is renewed every third of its length, for as long as the work goes on.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::store::StoreError;

/// Returns when the lease is lost: `renew`, which is given the time until which to hold it, says that somebody
/// else has it, or the database could not be asked before it ran out.
pub(super) async fn keep<F>(lease: Duration, renew: impl Fn(DateTime<Utc>) -> F)
where
    F: Future<Output = Result<bool, StoreError>>,
{
    let mut held_until = Utc::now() + lease;
    loop {
        tokio::time::sleep(lease / 3).await;
        let until = Utc::now() + lease;
        match renew(until).await {
            Ok(true) => held_until = until,
            Ok(false) => return,
            Err(error) if Utc::now() >= held_until => {
                tracing::warn!(code = error.code(), "the lease could not be renewed: {error}");
                return;
            }
            Err(_) => {}
        }
    }
}
