//! The endpoints that a token's holder or nobody in particular may call: repositories, accounts,
//! stars.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use super::auth::{self, Caller};
use super::catalog;
use super::contents;
use super::json;
use super::owned;
use super::rest::{Answer, Call};
use super::state::{Block, Repo};
use crate::domain::ids::{AccountId, GithubId};

pub(crate) fn answer(call: &mut Call<'_>, segments: &[&str]) -> Answer {
    if call.request.method() != actix_web::http::Method::GET {
        return Answer::not_found();
    }
    match segments {
        ["repositories", id] => by_id(call, id),
        ["repos", owner, name] => by_name(call, owner, name),
        ["user-attachments", "assets", name] => stored(call, name),
        ["repositories", _, "releases", "assets", asset] if wants_bytes(call) => {
            stored(call, &format!("asset-{asset}"))
        }
        ["repositories", id, below @ ..] => {
            let repo = id.parse().ok().and_then(|id| call.state.repositories.get(&GithubId(id)));
            repo.map_or_else(Answer::not_found, |repo| beside_git(call, repo, below))
        }
        ["repos", owner, name, below @ ..] => match call.state.current(owner, name) {
            Some(repo) => beside_git(call, repo, below),
            None => Answer::not_found(),
        },
        ["users", login] => user(call, call.state.account(login)),
        ["user"] => own(call, |call, id| user(call, Some(id))),
        ["user", "starred"] => own(call, |call, id| starred(call, Some(id), "/user/starred")),
        ["user", "repos"] => own(call, owned::own),
        ["users", login, "repos"] => owned::of_user(call, call.state.account(login)),
        ["user", id, "repos"] => owned::of_user(call, account_id(id)),
        ["orgs", login, "repos"] => owned::of_organization(call, call.state.account(login)),
        ["organizations", id, "repos"] => owned::of_organization(call, account_id(id)),
        ["installation", "repositories"] => owned::of_installation(call),
        ["user", id] => user(call, account_id(id)),
        ["users", login, "starred"] => starred_by(call, call.state.account(login)),
        ["user", id, "starred"] => starred_by(call, account_id(id)),
        ["rate_limit"] => rate_limit(call),
        _ => Answer::not_found(),
    }
}

fn account_id(id: &str) -> Option<AccountId> {
    id.parse().ok().map(AccountId)
}

fn by_id(call: &Call<'_>, id: &str) -> Answer {
    let repo = id.parse().ok().and_then(|id| call.state.repositories.get(&GithubId(id)));
    repo.map_or_else(Answer::not_found, |repo| show(call, repo))
}

fn by_name(call: &Call<'_>, owner: &str, name: &str) -> Answer {
    if let Some(repo) = call.state.current(owner, name) {
        return show(call, repo);
    }
    match call.state.former(owner, name) {
        Some(repo) if is_visible(call, repo) => {
            let url = format!("{}/repositories/{}", call.base, repo.id);
            let body = json!({
                "message": "Moved Permanently",
                "url": url,
                "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects",
            });
            Answer { status: StatusCode::MOVED_PERMANENTLY, body, location: Some(url), link: None }
        }
        _ => Answer::not_found(),
    }
}

fn wants_bytes(call: &Call<'_>) -> bool {
    let accept = call.request.headers().get("accept").and_then(|it| it.to_str().ok());
    accept.is_some_and(|it| it.contains("octet-stream"))
}

/// Where the bytes of a file are.
fn stored(call: &Call<'_>, name: &str) -> Answer {
    if !call.state.files.contains_key(name) {
        return Answer::not_found();
    }
    let location = Some(format!("{}/_files/{name}", call.base));
    Answer { status: StatusCode::FOUND, location, ..Answer::ok(Value::Null) }
}

/// Issues, releases and the like; files of the default branch.
fn beside_git(call: &Call<'_>, repo: &Repo, below: &[&str]) -> Answer {
    let shown = show(call, repo);
    if shown.status != StatusCode::OK {
        return shown;
    }
    if let ["contents", path @ ..] = below {
        return call.state.folder(repo.id).map_or_else(|_| Answer::not_found(), |it| contents::answer(it, path));
    }
    let full = call.state.full_name(repo);
    catalog::endpoints::answer(repo, &full, below, call.request.query_string(), &call.base)
}

fn is_visible(call: &Call<'_>, repo: &Repo) -> bool {
    !repo.private || auth::sees_private(call.state, call.request, repo)
}

fn show(call: &Call<'_>, repo: &Repo) -> Answer {
    if !is_visible(call, repo) {
        return Answer::not_found();
    }
    let blocked = |status, reason: &str| {
        let body = json!({
            "message": "Repository access blocked",
            "block": { "reason": reason, "created_at": json::time(repo.updated_at), "html_url": format!("https://github.com/{reason}") },
        });
        Answer { status, body, location: None, link: None }
    };
    match repo.block {
        Some(Block::Dmca) => blocked(StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS, "dmca"),
        Some(Block::Tos) => blocked(StatusCode::FORBIDDEN, "tos"),
        None => Answer::ok(json::repository(call.state, repo, &call.base)),
    }
}

fn user(call: &Call<'_>, id: Option<AccountId>) -> Answer {
    match id {
        Some(id) if call.state.accounts.contains_key(&id) => Answer::ok(json::account(call.state, id, &call.base)),
        _ => Answer::not_found(),
    }
}

fn rate_limit(call: &Call<'_>) -> Answer {
    let rate = call.state.rate;
    let core = json!({ "limit": rate.limit, "remaining": rate.remaining, "reset": rate.reset,
        "used": rate.limit.saturating_sub(rate.remaining), "resource": "core" });
    Answer::ok(json!({ "resources": { "core": core }, "rate": core }))
}

/// A number of the query, within bounds.
pub(super) fn number(query: &str, name: &str, default: usize, most: usize) -> usize {
    let value = query.split('&').find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|it| it.parse().ok()).unwrap_or(default).clamp(1, most)
}

/// What needs a user's own token; to an App's it is forbidden.
fn own(call: &Call<'_>, answer: impl Fn(&Call<'_>, AccountId) -> Answer) -> Answer {
    match auth::user(call.state, call.request) {
        Some(id) => answer(call, id),
        None if call.caller == Caller::Anonymous => Answer::error(StatusCode::UNAUTHORIZED, "Requires authentication"),
        None => Answer::error(StatusCode::FORBIDDEN, "Resource not accessible by integration"),
    }
}

/// Linked under the account's id, as GitHub does.
fn starred_by(call: &Call<'_>, id: Option<AccountId>) -> Answer {
    let path = id.map_or_else(String::new, |id| format!("/user/{id}/starred"));
    starred(call, id, &path)
}

/// Newest first, in pages.
fn starred(call: &Call<'_>, id: Option<AccountId>, path: &str) -> Answer {
    let Some(id) = id.filter(|id| call.state.accounts.contains_key(id)) else { return Answer::not_found() };
    let query = call.request.query_string();
    let most = call.state.largest_page;
    let (size, page) = (number(query, "per_page", 30, 100).min(most), number(query, "page", 1, usize::MAX));
    let oldest_first = query.contains("direction=asc");
    let with_time =
        call.request.headers().get("accept").and_then(|it| it.to_str().ok()).is_some_and(|it| it.contains("star+json"));
    let mut stars: Vec<_> = call.state.stars.get(&id).cloned().unwrap_or_default();
    if !oldest_first {
        stars.reverse();
    }
    let visible: Vec<_> = stars
        .iter()
        .filter_map(|(repo, at)| call.state.repositories.get(repo).map(|repo| (repo, *at)))
        .filter(|(repo, _)| is_visible(call, repo))
        .collect();
    let last = visible.len().div_ceil(size).max(1);
    let items: Vec<Value> = visible
        .into_iter()
        .skip((page - 1).saturating_mul(size))
        .take(size)
        .map(|(repo, at)| {
            let body = json::repository(call.state, repo, &call.base);
            if with_time { json!({ "starred_at": json::time(at), "repo": body }) } else { body }
        })
        .collect();
    let direction = if oldest_first { "asc" } else { "desc" };
    let link = |page: usize, rel: &str| {
        format!("<{}{path}?sort=created&direction={direction}&per_page={size}&page={page}>; rel=\"{rel}\"", call.base)
    };
    let mut links = Vec::new();
    if page > 1 {
        links.extend([link(page - 1, "prev"), link(1, "first")]);
    }
    if page < last {
        links.extend([link(page + 1, "next"), link(last, "last")]);
    }
    Answer { link: (!links.is_empty()).then(|| links.join(", ")), ..Answer::ok(Value::Array(items)) }
}
