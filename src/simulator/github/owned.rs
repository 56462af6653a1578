//! Lists of repositories: a user's, an organization's, and what an installation covers. In pages, with `Link`.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use super::auth;
use super::endpoints::number;
use super::json;
use super::rest::{Answer, Call};
use super::state::Repo;
use crate::domain::ids::AccountId;

/// `GET /users/{login}/repos`: what is public, whoever asks.
pub(super) fn of_user(call: &Call<'_>, id: Option<AccountId>) -> Answer {
    let Some(id) = id.filter(|id| call.state.accounts.contains_key(id)) else { return Answer::not_found() };
    let public = |repo: &&Repo| repo.owner == id && !repo.private;
    page(call, call.state.repositories.values().filter(public).collect(), &format!("/user/{id}/repos"))
}

/// `GET /user/repos`: what is his own, private or not.
pub(super) fn own(call: &Call<'_>, id: AccountId) -> Answer {
    let visible = |repo: &&Repo| repo.owner == id && sees(call, repo);
    page(call, call.state.repositories.values().filter(visible).collect(), "/user/repos")
}

/// `GET /orgs/{login}/repos`: what the caller is shown. A user is no organization.
pub(super) fn of_organization(call: &Call<'_>, id: Option<AccountId>) -> Answer {
    let Some(id) = id.filter(|id| call.state.organizations.contains(id)) else { return Answer::not_found() };
    let visible = |repo: &&Repo| repo.owner == id && sees(call, repo);
    page(call, call.state.repositories.values().filter(visible).collect(), &format!("/organizations/{id}/repos"))
}

/// `GET /installation/repositories`: with an installation's token only.
pub(super) fn of_installation(call: &Call<'_>) -> Answer {
    let token = auth::presented(call.request).unwrap_or_default();
    let Some(account) = call.state.app.account_of(&token) else {
        let text = "You must authenticate with an installation access token in order to list repositories for an \
                    installation.";
        return Answer::error(StatusCode::FORBIDDEN, text);
    };
    let covered: Vec<&Repo> = call.state.repositories.values().filter(|it| it.owner == account).collect();
    let total = covered.len();
    let answer = page(call, covered, "/installation/repositories");
    let body = json!({ "total_count": total, "repository_selection": "all", "repositories": answer.body });
    Answer { body, ..answer }
}

fn sees(call: &Call<'_>, repo: &Repo) -> bool {
    !repo.private || auth::sees_private(call.state, call.request, repo)
}

/// The oldest first where `sort=created&direction=asc` asks for that, and the newest first without a direction;
/// by name otherwise.
fn page(call: &Call<'_>, mut all: Vec<&Repo>, path: &str) -> Answer {
    let query = call.request.query_string();
    match (query.contains("sort=created"), query.contains("direction=asc")) {
        (true, true) => all.sort_by_key(|it| (it.created_at, it.id)),
        (true, false) => all.sort_by_key(|it| std::cmp::Reverse((it.created_at, it.id))),
        _ => all.sort_by_key(|it| it.name.to_ascii_lowercase()),
    }
    let size = number(query, "per_page", 30, 100).min(call.state.largest_page);
    let page = number(query, "page", 1, usize::MAX);
    let last = all.len().div_ceil(size).max(1);
    let some = all.into_iter().skip((page - 1).saturating_mul(size)).take(size);
    let items: Vec<Value> = some.map(|repo| json::repository(call.state, repo, &call.base)).collect();
    let rest: String = query
        .split('&')
        .filter(|it| !it.is_empty() && !it.starts_with("page=") && !it.starts_with("per_page="))
        .map(|it| format!("{it}&"))
        .collect();
    let link =
        |page: usize, rel: &str| format!("<{}{path}?{rest}per_page={size}&page={page}>; rel=\"{rel}\"", call.base);
    let mut links = Vec::new();
    if page > 1 {
        links.extend([link(page - 1, "prev"), link(1, "first")]);
    }
    if page < last {
        links.extend([link(page + 1, "next"), link(last, "last")]);
    }
    Answer { link: (!links.is_empty()).then(|| links.join(", ")), ..Answer::ok(Value::Array(items)) }
}
