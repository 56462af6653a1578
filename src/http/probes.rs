//! How the database and the components are, asked rarely and never waited for long: `/readyz` is open
//! to everybody and must be no way to make starkeep knock at other doors.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Mutex;

use super::{Component, ComponentState};
use crate::store::Store;

/// Answers are good for so long.
const LIFE: Duration = Duration::from_secs(5);
/// The database's answer: long enough that a loop of requests cannot keep it busy with writes.
const DATABASE_LIFE: Duration = Duration::from_secs(1);
/// Who does not answer in time is degraded.
const PATIENCE: Duration = Duration::from_secs(2);

/// Everything that `/readyz` asks.
pub(super) struct Probes {
    store: Store,
    database: Cached,
    components: Vec<(Component, Cached)>,
    patience: Duration,
}

/// One answer and its age. Who asks while it is being got waits for the same one.
struct Cached {
    life: Duration,
    last: Mutex<Option<(Instant, ComponentState)>>,
}

impl Cached {
    fn new(life: Duration) -> Self {
        Self { life, last: Mutex::new(None) }
    }

    async fn get(&self, patience: Duration, ask: impl Future<Output = ComponentState>) -> ComponentState {
        let mut last = self.last.lock().await;
        if let Some((at, state)) = &*last
            && at.elapsed() < self.life
        {
            return state.clone();
        }
        let silent = || ComponentState::Degraded(format!("no answer within {} ms", patience.as_millis()));
        let state = tokio::time::timeout(patience, ask).await.unwrap_or_else(|_| silent());
        *last = Some((Instant::now(), state.clone()));
        state
    }
}

impl Probes {
    pub(super) fn new(store: Store, components: Vec<Component>) -> Self {
        let components = components.into_iter().map(|it| (it, Cached::new(LIFE))).collect();
        Self { store, database: Cached::new(DATABASE_LIFE), components, patience: PATIENCE }
    }

    /// Waits less.
    #[cfg(test)]
    pub(super) fn hurry(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Whether the database can take a delivery. The reason why not names hosts and files, so it goes to
    /// the log.
    pub(super) async fn database(&self) -> ComponentState {
        let ask = async {
            match self.store.check().await {
                Ok(()) => ComponentState::Ok,
                Err(error) => {
                    tracing::warn!(code = error.code(), "the database cannot take a delivery: {error}");
                    ComponentState::Degraded(format!("cannot take a delivery ({})", error.code()))
                }
            }
        };
        self.database.get(self.patience, ask).await
    }

    /// Each component's name and state, in the order of the app.
    pub(super) async fn components(&self) -> Vec<(&'static str, ComponentState)> {
        let asked = self
            .components
            .iter()
            .map(|(it, cached)| async { (it.name, cached.get(self.patience, async { (it.probe)().await }).await) });
        join_all(asked).await
    }
}
