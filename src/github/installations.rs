//! The App's installations as the rest of starkeep sees them: what is known is handed in from the database, and
//! what GitHub's list says is handed out to be kept.

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use super::app::App;
use super::client::GithubClient;
use super::error::GithubError;
use crate::domain::ids::InstallationId;
use crate::domain::installation::Installation;

impl GithubClient {
    pub(super) fn app(&self) -> Option<&App> {
        self.inner.credentials.app.as_deref()
    }

    /// The id of the App that this client acts as, if there is one.
    pub fn app_id(&self) -> Option<u64> {
        self.app().map(App::id)
    }

    /// Reads GitHub's list of installations now.
    ///
    /// # Errors
    /// [`GithubError`].
    pub async fn read_installations(&self) -> Result<(), GithubError> {
        if let Some(app) = self.app() {
            app.installations(self.exchange(), Some(TimeDelta::zero())).await?;
        }
        Ok(())
    }

    /// What is known of installations, suspended ones too, and when GitHub said so.
    pub async fn known_installations(&self) -> Option<(Vec<Installation>, DateTime<Utc>)> {
        match self.app() {
            Some(app) => app.known().await,
            None => None,
        }
    }

    /// Takes over what is kept: the installations, the logins of those that are gone, and when GitHub's list was
    /// read. What this client has read itself after that stands. Without a time something was told since then: it
    /// is believed, and GitHub is asked before the next use.
    pub async fn learn_installations(&self, all: Vec<Installation>, gone: Vec<String>, read_at: Option<DateTime<Utc>>) {
        if let Some(app) = self.app() {
            app.learn(all, gone, read_at).await;
        }
    }

    /// GitHub told that something about an installation is another now: its token is dropped, and the list is read
    /// again before it is used.
    pub async fn installation_changed(&self, id: InstallationId) {
        if let Some(app) = self.app() {
            app.forget_any(id.0);
            app.doubt().await;
        }
    }

    /// Moves whenever GitHub's list of installations was read; `None` without an App.
    pub fn installations_read(&self) -> Option<watch::Receiver<u64>> {
        self.app().map(|it| it.read.subscribe())
    }
}
