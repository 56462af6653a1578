//! GitHub's JSON, as far as it is used. One odd field that is not needed must not lose an answer.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::error::{GithubError, clip};
use crate::domain::event::Account;
use crate::domain::ids::{AccountId, GithubId, InstallationId};
use crate::domain::installation::Installation;
use crate::domain::repository::{Repository, RepositoryName};

#[derive(Debug, Deserialize)]
pub(super) struct RepositoryBody {
    id: i64,
    node_id: Option<String>,
    name: String,
    owner: AccountBody,
    /// Absent means private: the safe reading, since it decides who may see the mirror.
    #[serde(default = "yes")]
    private: bool,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    fork: bool,
    /// The first repository of a fork's network.
    source: Option<NetworkBody>,
    #[serde(default)]
    size: i64,
    default_branch: Option<String>,
    description: Option<String>,
    /// A number of seconds in `push` events, an ISO time everywhere else.
    #[serde(default)]
    pushed_at: serde_json::Value,
}

fn yes() -> bool {
    true
}

/// A repository that another one names.
#[derive(Debug, Deserialize)]
struct NetworkBody {
    id: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct AccountBody {
    pub(super) login: String,
    id: Option<i64>,
}

impl RepositoryBody {
    /// The account that has it, which survives another login.
    pub(super) fn owner(&self) -> Option<Account> {
        let AccountBody { login, id } = &self.owner;
        Some(Account { id: AccountId((*id)?), login: login.clone() })
    }
}

impl TryFrom<RepositoryBody> for Repository {
    type Error = GithubError;

    fn try_from(body: RepositoryBody) -> Result<Self, Self::Error> {
        let RepositoryBody { id, name, owner, private, archived, disabled, fork, size, .. } = body;
        let name = RepositoryName::new(&owner.login, &name)
            .map_err(|error| GithubError::Malformed(clip(&error.to_string())))?;
        Ok(Self {
            id: GithubId(id),
            node_id: body.node_id.filter(|it| !it.is_empty()),
            name,
            private,
            archived,
            disabled,
            fork,
            network: GithubId(body.source.map_or(id, |it| it.id)),
            size_kib: size.max(0),
            default_branch: body.default_branch.filter(|it| !it.is_empty()),
            description: body.description,
            pushed_at: moment(&body.pushed_at),
        })
    }
}

fn moment(value: &serde_json::Value) -> Option<DateTime<Utc>> {
    match value {
        serde_json::Value::Number(seconds) => DateTime::from_timestamp(seconds.as_i64()?, 0),
        serde_json::Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// One entry of `GET /app/installations`.
#[derive(Debug, Deserialize)]
pub(super) struct InstallationBody {
    id: i64,
    account: Option<HolderBody>,
    #[serde(default)]
    repository_selection: String,
    #[serde(default)]
    permissions: BTreeMap<String, String>,
    suspended_at: Option<serde_json::Value>,
}

/// The account of an installation; an enterprise has no login.
#[derive(Debug, Deserialize)]
struct HolderBody {
    #[serde(default)]
    id: i64,
    login: Option<String>,
}

impl From<InstallationBody> for Installation {
    fn from(body: InstallationBody) -> Self {
        let InstallationBody { id, account, repository_selection, permissions, suspended_at } = body;
        let account = account.and_then(|it| Some(Account { id: AccountId(it.id), login: it.login? }));
        // A time of an odd form is a suspension all the same.
        let suspended_at = suspended_at.map(|it| moment(&it).unwrap_or(DateTime::UNIX_EPOCH));
        Self { id: InstallationId(id), account, selection: repository_selection, permissions, suspended_at }
    }
}

/// `POST /app/installations/{id}/access_tokens`. The token's length is not fixed.
#[derive(Deserialize)]
pub(super) struct TokenBody {
    pub(super) token: String,
    pub(super) expires_at: DateTime<Utc>,
}
