//! Installations of the GitHub App: on which account, whether suspended, and what they may read.
//!
//! GitHub tells of them in its list and in webhooks; `store` keeps them, and `github` chooses among them
//! whose token a request goes out with.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::event::Account;
use super::ids::InstallationId;

/// An installation of the App on one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    /// Identity; a new one each time the App is installed.
    pub id: InstallationId,
    /// Whose repositories it covers. An Enterprise Server may leave it out.
    pub account: Option<Account>,
    /// `all` or `selected`, in GitHub's word.
    #[serde(default)]
    pub selection: String,
    /// What it may do: permission and access.
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
    /// Since when GitHub gives it no tokens.
    #[serde(default)]
    pub suspended_at: Option<DateTime<Utc>>,
}

impl Installation {
    /// Whether it is on the account of this login.
    pub fn is_of(&self, owner: &str) -> bool {
        self.account.as_ref().is_some_and(|it| it.login.eq_ignore_ascii_case(owner))
    }

    /// Whether its tokens are of use.
    pub fn is_active(&self) -> bool {
        self.suspended_at.is_none()
    }
}

/// What happened to an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallationChange {
    /// The App was installed.
    Created,
    /// It was uninstalled.
    Deleted,
    /// Its account's owner, or GitHub, has stopped it.
    Suspended,
    /// It goes on.
    Unsuspended,
    /// It may do more, or other things.
    PermissionsAccepted,
    /// It covers more repositories.
    RepositoriesAdded,
    /// It covers fewer repositories.
    RepositoriesRemoved,
    /// Its account has another login.
    Renamed,
}

impl InstallationChange {
    /// GitHub's event and action.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Created => ("installation", "created"),
            Self::Deleted => ("installation", "deleted"),
            Self::Suspended => ("installation", "suspend"),
            Self::Unsuspended => ("installation", "unsuspend"),
            Self::PermissionsAccepted => ("installation", "new_permissions_accepted"),
            Self::RepositoriesAdded => ("installation_repositories", "added"),
            Self::RepositoriesRemoved => ("installation_repositories", "removed"),
            Self::Renamed => ("installation_target", "renamed"),
        }
    }

    /// The change that GitHub's event and action stand for.
    pub fn of(event: &str, action: &str) -> Option<Self> {
        use InstallationChange::{
            Created, Deleted, PermissionsAccepted, Renamed, RepositoriesAdded, RepositoriesRemoved, Suspended,
            Unsuspended,
        };
        [Created, Deleted, Suspended, Unsuspended, PermissionsAccepted, RepositoriesAdded, RepositoriesRemoved, Renamed]
            .into_iter()
            .find(|it| it.words() == (event, action))
    }

    /// Whether something may be readable now that was not before.
    pub fn opens(self) -> bool {
        matches!(self, Self::Created | Self::Unsuspended | Self::PermissionsAccepted | Self::RepositoriesAdded)
    }
}

/// What a token of an installation needs to read what is mirrored. Never more is asked for.
const NEEDED: [&str; 5] = ["contents", "issues", "metadata", "pull_requests", "starring"];

/// The permissions to ask for in a token: to read what is needed, as far as the installation may.
/// Asking for one that it was not given is refused.
pub fn narrowed(granted: &BTreeMap<String, String>) -> BTreeMap<&'static str, &'static str> {
    NEEDED.into_iter().filter(|it| granted.contains_key(*it)).map(|it| (it, "read")).collect()
}

/// Needed permissions that were not granted.
pub fn lacking(granted: &BTreeMap<String, String>) -> Vec<&'static str> {
    NEEDED.into_iter().filter(|it| !granted.contains_key(*it)).collect()
}

/// What the App can read of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cover {
    /// It is installed there.
    Active,
    /// It is installed there, and suspended.
    Suspended,
    /// It was installed there once.
    Removed,
    /// It was never seen there.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_what_is_needed_and_was_granted() {
        let granted = [("contents", "write"), ("metadata", "read"), ("administration", "write")];
        let granted = granted.into_iter().map(|(it, access)| (it.to_owned(), access.to_owned())).collect();
        let asked: Vec<_> = narrowed(&granted).into_iter().collect();
        assert_eq!(asked, [("contents", "read"), ("metadata", "read")]);
        assert!(narrowed(&BTreeMap::new()).is_empty());
        assert_eq!(lacking(&BTreeMap::new()), NEEDED);
    }

    #[test]
    fn each_change_has_words_of_its_own() {
        assert_eq!(InstallationChange::of("installation", "suspend"), Some(InstallationChange::Suspended));
        assert_eq!(InstallationChange::of("installation_target", "renamed"), Some(InstallationChange::Renamed));
        assert_eq!(InstallationChange::of("installation", "added"), None);
        assert!(InstallationChange::Unsuspended.opens() && !InstallationChange::Suspended.opens());
    }
}
