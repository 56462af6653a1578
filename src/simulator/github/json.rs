//! GitHub's JSON of accounts and repositories, in the fields that a client may read and some that
//! it must overlook.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::state::{Repo, State};
use crate::domain::ids::{AccountId, GithubId};
use crate::simulator::repository;

/// `2024-01-01T00:00:07Z`.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An opaque id as GraphQL and newer REST show it.
pub(crate) fn node_id(kind: &str, id: i64) -> String {
    use base64::Engine as _;
    format!("{kind}_{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(format!("sim{id}")))
}

/// How GraphQL knows a repository.
pub fn repository_node_id(id: GithubId) -> String {
    node_id("R", id.0)
}

/// The repository that an id of [`node_id`] means.
pub(crate) fn id_of_node(id: &str) -> Option<GithubId> {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD_NO_PAD.decode(id.strip_prefix("R_")?).ok()?;
    String::from_utf8(text).ok()?.strip_prefix("sim")?.parse().ok().map(GithubId)
}

/// An account.
pub(crate) fn account(state: &State, id: AccountId, base: &str) -> Value {
    let login = state.login(id);
    json!({
        "login": login,
        "id": id.0,
        "node_id": node_id("U", id.0),
        "avatar_url": format!("{base}/avatars/u/{id}"),
        "gravatar_id": "",
        "url": format!("{base}/users/{login}"),
        "html_url": format!("{base}/{login}"),
        "starred_url": format!("{base}/users/{login}/starred{{/owner}}{{/repo}}"),
        "type": if state.organizations.contains(&id) { "Organization" } else { "User" },
        "user_view_type": "public",
        "site_admin": false,
    })
}

/// A repository as `GET /repositories/{id}` and most webhooks show it.
pub(crate) fn repository(state: &State, repo: &Repo, base: &str) -> Value {
    let full = state.full_name(repo);
    let stars = state.stargazers(repo.id).len();
    let default_branch = repository::head_branch(&repo.folder).unwrap_or_else(|_| "main".to_owned());
    let mut body = json!({
        "id": repo.id.0,
        "node_id": node_id("R", repo.id.0),
        "name": repo.name,
        "full_name": full,
        "private": repo.private,
        "owner": account(state, repo.owner, base),
        "html_url": format!("{base}/{full}"),
        "description": repo.description,
        "fork": repo.fork,
        "url": format!("{base}/repos/{full}"),
        "created_at": time(repo.created_at),
        "updated_at": time(repo.updated_at),
        "pushed_at": repo.pushed_at.map(time),
        "git_url": format!("git://github.invalid/{full}.git"),
        "ssh_url": format!("git@github.invalid:{full}.git"),
        "clone_url": format!("{base}/{full}.git"),
        "homepage": null,
        "size": repo.size_kib,
        "stargazers_count": stars,
        "watchers_count": stars,
        "language": repo.language,
        "has_issues": true,
        "has_projects": true,
        "has_downloads": true,
        "has_wiki": true,
        "has_pages": false,
        "forks_count": 0,
        "mirror_url": null,
        "archived": repo.archived,
        "disabled": repo.disabled,
        "open_issues_count": 0,
        "license": null,
        "allow_forking": true,
        "is_template": false,
        "topics": repo.topics,
        "visibility": if repo.private { "private" } else { "public" },
        "forks": 0,
        "open_issues": 0,
        "watchers": stars,
        "default_branch": default_branch,
    });
    if let (Some(source), Some(fields)) = (repo.source.and_then(|it| state.repo(it).ok()), body.as_object_mut()) {
        let named = json!({ "id": source.id.0, "full_name": state.full_name(source) });
        fields.insert("source".to_owned(), named.clone());
        fields.insert("parent".to_owned(), named);
    }
    repo.shelf.describe(&mut body);
    body
}
