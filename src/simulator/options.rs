//! What can be chosen when the simulator starts.

use std::fmt;
use std::time::Duration;

/// Options of both servers. The credentials are made up and open nothing but the simulation.
#[derive(Clone)]
pub struct SimulatorOptions {
    /// Threads of each server that serve requests.
    pub workers: usize,
    /// The personal access token that GitHub takes.
    pub github_token: String,
    /// What webhooks are signed with.
    pub webhook_secret: String,
    /// The App's id, which its JWTs must name.
    pub app_id: i64,
    /// The id of the App's only installation.
    pub installation_id: i64,
    /// Where GitHub's REST lies on its host: empty, or `/api/v3` as on an Enterprise Server.
    pub api_prefix: String,
    /// How long an installation token claims to be good.
    pub token_lifetime: Duration,
    /// The password of OneDev's user `admin`.
    pub onedev_password: String,
    /// An access token with all the rights of `admin`.
    pub onedev_token: String,
    /// How many pack requests OneDev serves at once: half of the real one's cores, at least 1.
    pub onedev_slots: usize,
    /// How long OneDev waits for the next bytes of a body; 30 s in the real one.
    pub onedev_idle: Duration,
}

impl Default for SimulatorOptions {
    fn default() -> Self {
        Self {
            workers: 2,
            github_token: "ghp_simulated0000000000000000000000000000".to_owned(),
            webhook_secret: "simulated webhook secret".to_owned(),
            app_id: 4_242,
            installation_id: 77,
            api_prefix: String::new(),
            token_lifetime: Duration::from_secs(3_600),
            onedev_password: "simulated".to_owned(),
            onedev_token: "simulatedAdminToken000000000000000000000".to_owned(),
            onedev_slots: 1,
            onedev_idle: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for SimulatorOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every field is named, so that a new secret cannot slip in.
        let Self {
            workers,
            github_token: _,
            webhook_secret: _,
            app_id,
            installation_id,
            api_prefix,
            token_lifetime,
            onedev_password: _,
            onedev_token: _,
            onedev_slots,
            onedev_idle,
        } = self;
        f.debug_struct("SimulatorOptions")
            .field("workers", workers)
            .field("app_id", app_id)
            .field("installation_id", installation_id)
            .field("api_prefix", api_prefix)
            .field("token_lifetime", token_lifetime)
            .field("onedev_slots", onedev_slots)
            .field("onedev_idle", onedev_idle)
            .finish_non_exhaustive()
    }
}
