//! What of the governors is seen from outside: their state, to be kept, and the allowance.

use tokio::sync::watch;

use super::client::GithubClient;
use crate::domain::rate::{Resource, Standing};

impl GithubClient {
    /// What is known of every credential's allowance and pauses; worth keeping beyond the process.
    pub fn standings(&self) -> Vec<Standing> {
        self.exchange().governors().standings()
    }

    /// Takes over what was kept, or what another process learned meanwhile.
    pub fn recall(&self, standings: Vec<Standing>) {
        self.exchange().governors().recall(standings, self.now());
    }

    /// Moves whenever GitHub asks for a pause: that is worth keeping at once.
    pub fn pauses(&self) -> watch::Receiver<u64> {
        self.exchange().governors().pauses()
    }

    /// Requests of REST an hour, as GitHub last said; of several credentials the least. `None` before
    /// anything was asked.
    pub fn hourly_allowance(&self) -> Option<u32> {
        self.exchange().governors().least_limit(Resource::Core, self.now())
    }
}
