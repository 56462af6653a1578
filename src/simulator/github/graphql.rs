//! The simulated GitHub's GraphQL, as far as a client here asks: many repositories by their node ids, and a user's
//! star lists.
//!
//! As the real one it answers 200 whatever is wrong with the question, with as much of the data as there is,
//! and counts points of an allowance of its own.

use actix_web::http::header::HeaderName;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::auth::{self, Caller};
use super::state::{Repo, State};
use super::{GithubSimulator, Shared, json, star_lists, state};
use crate::domain::ids::GithubId;
use crate::simulator::record::lock;
use crate::simulator::repository;
use crate::simulator::streams::ByteStream;

/// Longer questions are not read.
const LONGEST: usize = 1 << 20;
/// A repository that spoils the answer for all others.
const SPOILS: &str = "spoils";
/// Ids in one question.
const MOST_IDS: usize = 100;

impl GithubSimulator {
    /// Sets the allowance of GraphQL; with nothing remaining, questions are answered with an error and 200.
    pub fn set_graphql_limit(&self, limit: u32, remaining: u32, reset: i64) {
        lock(&self.shared.state).points = state::Rate { limit, remaining, reset };
    }

    /// GraphQL answers for a repository with a null and an error of this type, or with a null alone.
    pub fn fail_node(&self, id: GithubId, kind: Option<&str>) {
        lock(&self.shared.state).failing_nodes.insert(id, kind.map(str::to_owned));
    }

    /// GraphQL gives no data at all for any question that this repository is in.
    pub fn spoil_answers_with(&self, id: GithubId) {
        self.fail_node(id, Some(SPOILS));
    }

    /// Takes that back for all repositories.
    pub fn mend_nodes(&self) {
        lock(&self.shared.state).failing_nodes.clear();
    }

    /// A token is not shown a private repository.
    pub fn hide_from(&self, token: &str, id: GithubId) {
        lock(&self.shared.state).hidden.insert((token.to_owned(), id));
    }
}

pub(crate) fn is_meant(request: &HttpRequest) -> bool {
    matches!(request.path(), "/graphql" | "/api/graphql")
}

pub(crate) async fn answer(shared: &Shared, request: &HttpRequest, mut body: ByteStream) -> HttpResponse {
    let mut text = Vec::new();
    while let Some(Ok(chunk)) = body.next().await {
        if text.len() + chunk.len() > LONGEST {
            return HttpResponse::PayloadTooLarge().finish();
        }
        text.extend_from_slice(&chunk);
    }
    let mut state = lock(&shared.state);
    match auth::caller(&state, request) {
        Caller::Token => {}
        Caller::Anonymous => {
            return HttpResponse::Unauthorized()
                .json(json!({ "message": "This endpoint requires you to be authenticated." }));
        }
        Caller::Invalid => return HttpResponse::Unauthorized().json(json!({ "message": "Bad credentials" })),
    }
    let Ok(question) = serde_json::from_slice::<Value>(&text) else {
        return HttpResponse::BadRequest().json(json!({ "message": "Problems parsing JSON" }));
    };
    if state.points.remaining == 0 {
        let error = json!({ "type": "RATE_LIMITED", "message": "API rate limit exceeded for user ID 1." });
        return counted(&state, json!({ "errors": [error] }));
    }
    state.points.remaining -= 1;
    let token = auth::presented(request).unwrap_or_default();
    if !shared.options.api_prefix.is_empty()
        && let Some(told) = star_lists::unknown(&question)
    {
        return counted(&state, told);
    }
    if let Some(told) = star_lists::answer(&mut state, &token, &question) {
        return counted(&state, told);
    }
    let ids: Vec<&str> = question
        .pointer("/variables/ids")
        .and_then(Value::as_array)
        .map(|ids| ids.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    if ids.len() > MOST_IDS {
        let message = format!("You may not provide more than 100 node ids; you provided {}.", ids.len());
        return counted(&state, json!({ "data": null, "errors": [{ "type": "ARGUMENT_LIMIT", "message": message }] }));
    }
    counted(&state, nodes(&state, &token, &ids))
}

fn nodes(state: &State, token: &str, ids: &[&str]) -> Value {
    let (mut nodes, mut errors) = (Vec::new(), Vec::new());
    for (place, id) in ids.iter().enumerate() {
        let found = json::id_of_node(id).and_then(|id| state.repositories.get(&id)).filter(|it| state.sees(token, it));
        let fails = found.and_then(|it| state.failing_nodes.get(&it.id));
        let kind = match (found, fails) {
            (Some(repo), None) => {
                nodes.push(node(state, repo));
                continue;
            }
            (_, Some(kind)) => kind.clone(),
            (None, None) => Some("NOT_FOUND".to_owned()),
        };
        if kind.as_deref() == Some(SPOILS) {
            let message = "Something went wrong while executing your query. This may be the result of a timeout.";
            return json!({ "data": null, "errors": [{ "message": message }] });
        }
        nodes.push(Value::Null);
        if let Some(kind) = kind {
            let message = format!("Could not resolve to a node with the global id of '{id}'");
            errors.push(json!({ "type": kind, "path": ["nodes", place], "message": message }));
        }
    }
    let rate = state.points;
    let limits = json!({ "cost": 1, "remaining": rate.remaining, "resetAt": reset(rate.reset) });
    let data = json!({ "rateLimit": limits, "nodes": nodes });
    if errors.is_empty() { json!({ "data": data }) } else { json!({ "data": data, "errors": errors }) }
}

fn node(state: &State, repo: &Repo) -> Value {
    let branch = repo.pushed_at.and_then(|_| repository::head_branch(&repo.folder).ok());
    json!({
        "id": json::node_id("R", repo.id.0),
        "databaseId": repo.id.0,
        "nameWithOwner": state.full_name(repo),
        "pushedAt": repo.pushed_at.map(json::time),
        "isArchived": repo.archived,
        "isDisabled": repo.disabled,
        "visibility": if repo.private { "PRIVATE" } else { "PUBLIC" },
        "defaultBranchRef": branch.map(|name| json!({ "name": name })),
    })
}

fn reset(seconds: i64) -> String {
    json::time(chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default())
}

fn counted(state: &State, body: Value) -> HttpResponse {
    let mut response = HttpResponse::Ok().json(body);
    let rate = state.points;
    let headers = [
        ("x-ratelimit-limit", rate.limit.to_string()),
        ("x-ratelimit-remaining", rate.remaining.to_string()),
        ("x-ratelimit-reset", rate.reset.to_string()),
        ("x-ratelimit-used", rate.limit.saturating_sub(rate.remaining).to_string()),
        ("x-ratelimit-resource", "graphql".to_owned()),
    ];
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}
