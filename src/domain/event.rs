//! What a webhook delivery means to starkeep.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{AccountId, GithubId};
use super::installation::{Installation, InstallationChange};
use super::repository::RepositoryName;

/// A GitHub account as a payload names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Identity.
    pub id: AccountId,
    /// Current login; compared without case.
    pub login: String,
}

/// The repository that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Identity.
    pub id: GithubId,
    /// Name at the time of the event.
    pub name: RepositoryName,
}

/// What happened to a repository, of GitHub's `repository` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepositoryChange {
    /// New name, same owner.
    Renamed,
    /// New owner.
    Transferred,
    /// Read-only from now on.
    Archived,
    /// Writable again.
    Unarchived,
    /// Hidden from the public.
    Privatized,
    /// Shown to the public.
    Publicized,
    /// Description, homepage, topics or default branch changed.
    Edited,
}

/// A delivery, reduced to what starkeep acts on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// GitHub tries the address.
    Ping,
    /// `sender` starred `repository`.
    Starred {
        /// Who.
        sender: Account,
        /// What.
        repository: Subject,
        /// When, by GitHub's clock, if it told.
        #[serde(default)]
        at: Option<DateTime<Utc>>,
    },
    /// `sender` took the star back.
    Unstarred {
        /// Who.
        sender: Account,
        /// What.
        repository: Subject,
    },
    /// Refs moved.
    Pushed {
        /// Where.
        repository: Subject,
    },
    /// Pages of the wiki changed.
    WikiChanged {
        /// Of which repository.
        repository: Subject,
    },
    /// The repository itself changed.
    Changed {
        /// Which, under its new name.
        repository: Subject,
        /// How.
        change: RepositoryChange,
    },
    /// Something changed that git does not carry: an issue, a release, a label.
    Cataloged {
        /// Whose.
        repository: Subject,
        /// GitHub's name of the event.
        name: String,
        /// The payload's `action`.
        action: Option<String>,
    },
    /// The App's installation on an account changed.
    InstallationChanged {
        /// Which, as it is now; of a renamed account its id and login alone.
        installation: Installation,
        /// How.
        change: InstallationChange,
    },
    /// A user took back what he allowed the App to do in his name; starkeep holds no such token.
    AuthorizationRevoked {
        /// Who.
        sender: Account,
    },
    /// Nothing starkeep acts on; recorded with GitHub's words for it.
    Other {
        /// The `X-GitHub-Event` header.
        name: String,
        /// The payload's `action`.
        action: Option<String>,
    },
}

impl Event {
    /// GitHub's name of the event, for the record and as a metric label.
    pub fn name(&self) -> &str {
        match self {
            Self::Ping => "ping",
            Self::Starred { .. } | Self::Unstarred { .. } => "star",
            Self::Pushed { .. } => "push",
            Self::WikiChanged { .. } => "gollum",
            Self::Changed { .. } => "repository",
            Self::InstallationChanged { change, .. } => change.words().0,
            Self::AuthorizationRevoked { .. } => "github_app_authorization",
            Self::Cataloged { name, .. } | Self::Other { name, .. } => name,
        }
    }

    /// GitHub's `action`.
    pub fn action(&self) -> Option<&str> {
        match self {
            Self::Ping | Self::Pushed { .. } | Self::WikiChanged { .. } => None,
            Self::Starred { .. } => Some("created"),
            Self::Unstarred { .. } => Some("deleted"),
            Self::Changed { change, .. } => Some(match change {
                RepositoryChange::Renamed => "renamed",
                RepositoryChange::Transferred => "transferred",
                RepositoryChange::Archived => "archived",
                RepositoryChange::Unarchived => "unarchived",
                RepositoryChange::Privatized => "privatized",
                RepositoryChange::Publicized => "publicized",
                RepositoryChange::Edited => "edited",
            }),
            Self::InstallationChanged { change, .. } => Some(change.words().1),
            Self::AuthorizationRevoked { .. } => Some("revoked"),
            Self::Cataloged { action, .. } | Self::Other { action, .. } => action.as_deref(),
        }
    }

    /// The repository it is about.
    pub fn subject(&self) -> Option<&Subject> {
        match self {
            Self::Starred { repository, .. }
            | Self::Unstarred { repository, .. }
            | Self::Pushed { repository }
            | Self::WikiChanged { repository }
            | Self::Changed { repository, .. }
            | Self::Cataloged { repository, .. } => Some(repository),
            Self::Ping | Self::InstallationChanged { .. } | Self::AuthorizationRevoked { .. } | Self::Other { .. } => {
                None
            }
        }
    }
}
