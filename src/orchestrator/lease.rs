//! The heartbeat: a lease is renewed every third of its length, for as long as the work goes on.

use chrono::Utc;
use tokio_util::sync::CancellationToken;

use super::Tools;
use crate::store::jobs::{self, Job};

/// Returns when the lease is lost: somebody else has it, or the database could not be asked before it
/// ran out. Never returns while the work has been called off, since that ends by itself.
pub(super) async fn keep(tools: &Tools, job: &Job, cancel: &CancellationToken) {
    let mut held_until = Utc::now() + tools.lease;
    loop {
        tokio::time::sleep(tools.lease / 3).await;
        if cancel.is_cancelled() {
            std::future::pending::<()>().await;
        }
        let (id, worker, until) = (job.id, tools.worker.clone(), Utc::now() + tools.lease);
        match tools.store.write(move |c| jobs::renew(c, id, &worker, until, Utc::now())).await {
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
