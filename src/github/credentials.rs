//! The credentials of the configuration, side by side: which of them sends a request.
//!
//! A repository that not everybody sees is read with the credential that showed it; all others with the
//! installation of their owner or the token that has most of its hour's allowance left. A token that GitHub
//! refuses is set aside for a while and the others go on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};

use super::app::App;
use super::error::GithubError;
use super::exchange::{Pass, Principal};
use crate::config::github::Github;
use crate::domain::event::Account;
use crate::domain::ids::{AccountId, GithubId};
use crate::domain::repository::RepositoryName;
use crate::telemetry::metrics::Metrics;

/// A token that GitHub refused is tried again after so long.
const SET_ASIDE: TimeDelta = TimeDelta::minutes(10);
/// Repositories of which it is remembered who sees them.
const MAX_REMEMBERED: usize = 50_000;

/// All credentials, in the order of the configuration, and what was learned of them.
pub(super) struct Credentials {
    pub(super) tokens: Vec<Personal>,
    pub(super) app: Option<Box<App>>,
    memory: Mutex<Memory>,
    metrics: Metrics,
}

/// A personal access token.
pub(super) struct Personal {
    secret: RwLock<SecretString>,
    /// Its key in the configuration.
    pub(super) key: String,
    /// Whose it is, once GitHub has told.
    pub(super) own: tokio::sync::OnceCell<Option<AccountId>>,
    /// GitHub refused it; tried again from then on.
    refused_until: Mutex<Option<DateTime<Utc>>>,
}

impl Personal {
    /// As it is now.
    pub(super) fn secret(&self) -> SecretString {
        self.secret.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, Option<DateTime<Utc>>> {
        self.refused_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who can see what; lost with the process, and learned again.
#[derive(Default)]
struct Memory {
    /// `None` is everybody.
    by_id: HashMap<GithubId, Option<Principal>>,
    /// Only what not everybody sees.
    by_name: HashMap<String, Principal>,
    /// Who last read it by git.
    by_git: HashMap<String, Principal>,
    /// Accounts that have repositories, by login.
    owners: HashMap<String, Account>,
}

impl Credentials {
    pub(super) fn new(config: &Github, metrics: &Metrics) -> Result<Self, GithubError> {
        let mut tokens = Vec::new();
        for (key, secret) in tokens_of(config) {
            Pass::bearer(Principal::Token(tokens.len()), secret)?;
            let (own, refused_until) = (tokio::sync::OnceCell::new(), Mutex::default());
            tokens.push(Personal { secret: RwLock::new(secret.clone()), key, own, refused_until });
        }
        let app = match (config.app_id, &config.app_private_key) {
            (None, None) => None,
            (Some(id), Some(key)) => Some(Box::new(App::new(id, key)?)),
            _ => return Err(GithubError::Config("github.app_id and github.app_private_key go together".to_owned())),
        };
        Ok(Self { tokens, app, memory: Mutex::default(), metrics: metrics.clone() })
    }

    /// Takes over secrets that were changed where they are kept. Which credentials there are, and whose, stays.
    pub(super) fn renew(&self, config: &Github) -> Result<(), GithubError> {
        for (own, (key, secret)) in self.tokens.iter().zip(tokens_of(config)) {
            let changed = own.key == key && own.secret().expose_secret() != secret.expose_secret();
            if changed && Pass::bearer(Principal::Token(0), secret).is_ok() {
                *own.secret.write().unwrap_or_else(PoisonError::into_inner) = secret.clone();
                own.refused().take();
            }
        }
        self.count();
        match (&self.app, &config.app_private_key) {
            (Some(app), Some(key)) => app.renew(key),
            _ => Ok(()),
        }
    }

    pub(super) fn any(&self) -> bool {
        self.app.is_some() || !self.tokens.is_empty()
    }

    /// Whether there is one that GitHub is not known to refuse.
    pub(super) fn any_live(&self, now: DateTime<Utc>) -> bool {
        self.app.is_some() || (0..self.tokens.len()).any(|it| !self.is_set_aside(it, now))
    }

    /// Whether GitHub has refused a token lately.
    pub(super) fn is_set_aside(&self, token: usize, now: DateTime<Utc>) -> bool {
        self.tokens.get(token).is_some_and(|it| it.refused().is_some_and(|until| until > now))
    }

    /// GitHub has refused a token: said once, until it is taken again.
    pub(super) fn set_aside(&self, token: usize, now: DateTime<Utc>) {
        let Some(it) = self.tokens.get(token) else { return };
        let known = it.refused().replace(now + SET_ASIDE);
        if known.is_none() {
            tracing::warn!(
                key = it.key,
                "GitHub refuses this token: it is set aside, and tried again every ten minutes"
            );
        }
        self.count();
    }

    /// GitHub has taken a token.
    pub(super) fn taken(&self, token: usize) {
        let Some(it) = self.tokens.get(token) else { return };
        let was_refused = it.refused().take().is_some();
        if was_refused {
            tracing::info!(key = it.key, "GitHub takes this token again");
            self.count();
        }
    }

    fn count(&self) {
        let refused = self.tokens.iter().filter(|it| it.refused().is_some()).count();
        self.metrics.github_credentials_set_aside.set(i64::try_from(refused).unwrap_or(i64::MAX));
    }

    /// Who showed a repository, and whether others would not have.
    pub(super) fn remember(&self, id: GithubId, name: &RepositoryName, by: Principal, exclusive: bool) {
        let mut memory = self.memory();
        if memory.by_id.len() >= MAX_REMEMBERED {
            *memory = Memory::default();
        }
        memory.by_id.insert(id, exclusive.then_some(by));
        if exclusive {
            memory.by_name.insert(key(name), by);
        } else {
            memory.by_name.remove(&key(name));
        }
    }

    /// Who alone sees a repository; `Some(None)` is everybody, `None` is not known.
    pub(super) fn remembered(&self, id: GithubId) -> Option<Option<Principal>> {
        self.memory().by_id.get(&id).copied()
    }

    /// Who alone sees the repository of a name, as far as is known.
    pub(super) fn remembered_named(&self, name: &RepositoryName) -> Option<Principal> {
        self.memory().by_name.get(&key(name)).copied()
    }

    /// Remembers who reads a repository by git.
    pub(super) fn reads_by_git(&self, name: &RepositoryName, by: Principal) {
        let mut memory = self.memory();
        if memory.by_git.len() >= MAX_REMEMBERED {
            memory.by_git.clear();
        }
        memory.by_git.insert(key(name), by);
    }

    /// Who last read a repository by git.
    pub(super) fn git_reader(&self, name: &RepositoryName) -> Option<Principal> {
        self.memory().by_git.get(&key(name)).copied()
    }

    /// Remembers who has a login.
    pub(super) fn know_owner(&self, owner: Account) {
        let mut memory = self.memory();
        if memory.owners.len() >= MAX_REMEMBERED {
            memory.owners.clear();
        }
        memory.owners.insert(owner.login.to_ascii_lowercase(), owner);
    }

    /// Who had a login when a repository of his was last seen.
    pub(super) fn owner(&self, login: &str) -> Option<Account> {
        self.memory().owners.get(&login.to_ascii_lowercase()).cloned()
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each token with its key in the configuration.
fn tokens_of(config: &Github) -> impl Iterator<Item = (String, &SecretString)> {
    let listed = config.tokens.iter().enumerate().map(|(n, it)| (format!("github.tokens[{n}]"), it));
    config.token.iter().map(|it| ("github.token".to_owned(), it)).chain(listed)
}

fn key(name: &RepositoryName) -> String {
    name.to_string().to_ascii_lowercase()
}
