//! One upload of an object to a project at a time in this process: OneDev writes straight into the
//! final file, so two writers would spoil each other's.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::lfs::LfsOid;

type Key = (String, LfsOid);

/// Who uploads what now. Cloning shares it; one for the process.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    held: Arc<Mutex<HashSet<Key>>>,
    freed: Arc<Notify>,
}

/// The right to upload one object to one project. Goes back when dropped.
#[derive(Debug)]
pub struct Claim {
    claims: Claims,
    key: Key,
}

impl Claims {
    /// Waits until nobody else uploads this object there. Who takes several takes them in the order of
    /// their ids, or two callers could wait for each other.
    pub(super) async fn take(&self, place: &str, oid: LfsOid) -> Claim {
        let key = (place.to_owned(), oid);
        loop {
            // Registered before the look, so that no release is missed in between.
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
                return Claim { claims: self.clone(), key };
            }
            freed.await;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.claims.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_second_waits_for_the_first_and_other_projects_do_not() {
        let (claims, oid) = (Claims::default(), LfsOid::of(b"x"));
        let first = claims.take("a", oid).await;
        assert!(claims.take("b", oid).now_or_never().is_some());
        let second = claims.take("a", oid);
        tokio::pin!(second);
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        second.await;
    }
}
