//! The simulated GitHub's git: smart HTTP under `/owner/name[.git]`, redirects from old names, and
//! git's own words for what is not to be had.

use std::path::PathBuf;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse};

use super::Shared;
use super::auth::{self, Caller};
use super::state::{Block, State};
use crate::domain::ids::GithubId;
use crate::simulator::git_http::{self, GitCall, Service};
use crate::simulator::process::Quirks;
use crate::simulator::record::lock;
use crate::simulator::ssh::{Call, Output};
use crate::simulator::streams::ByteStream;

pub(crate) async fn answer(
    shared: &Shared,
    request: HttpRequest,
    body: ByteStream,
    quirks: Quirks,
    path: &str,
    call: GitCall,
) -> HttpResponse {
    let found = find(&lock(&shared.state), &request, path, call);
    let (id, folder) = match found {
        Ok(found) => found,
        Err(refusal) => return *refusal,
    };
    let git = shared.git.with_quirks(&quirks);
    let response = git_http::answer(&git, &folder, call, request.headers(), body).await;
    if call == GitCall::Exchange(Service::ReceivePack) {
        let mut state = lock(&shared.state);
        let now = state.tick();
        if let Ok(repo) = state.repo_mut(id) {
            repo.pushed_at = Some(now);
        }
    }
    response
}

/// Answers a program that was run over SSH. A repository is found by its old name too, without a word.
pub(crate) async fn answer_ssh(shared: Arc<Shared>, call: Call) -> Output {
    let Call { service, path, protocol, body, quirks, .. } = call;
    let pushes = service == Service::ReceivePack;
    let folder = find_ssh(&lock(&shared.state), &path, pushes)?;
    let git = shared.git.with_quirks(&quirks);
    let output = git_http::conversation(&git, &folder, service, protocol.as_deref(), body).await;
    output.map_err(|error| error.to_string())
}

fn find_ssh(state: &State, path: &str, pushes: bool) -> Result<PathBuf, String> {
    let missing = || "Repository not found.".to_owned();
    let bare = path.strip_suffix(".git").unwrap_or(path);
    let (owner, name) = bare.split_once('/').ok_or_else(missing)?;
    let repo = state.current(owner, name).or_else(|| state.former(owner, name)).ok_or_else(missing)?;
    if repo.block.is_some() || repo.disabled {
        return Err("Access to this repository has been disabled by GitHub staff.".to_owned());
    }
    if pushes && repo.archived {
        return Err("This repository was archived so it is read-only.".to_owned());
    }
    Ok(repo.folder.clone())
}

fn refusal(status: StatusCode, words: &str) -> Box<HttpResponse> {
    let mut response = HttpResponse::build(status);
    response.content_type("text/plain; charset=utf-8");
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((WWW_AUTHENTICATE, "Basic realm=\"GitHub\""));
    }
    Box::new(response.body(words.to_owned()))
}

/// The repository behind a path, or the answer instead.
pub(super) fn find(
    state: &State,
    request: &HttpRequest,
    path: &str,
    call: GitCall,
) -> Result<(GithubId, PathBuf), Box<HttpResponse>> {
    let caller = auth::caller(state, request);
    if caller == Caller::Invalid {
        return Err(refusal(StatusCode::UNAUTHORIZED, "Invalid username or token."));
    }
    // Who may not see it is told what a wrong name would be told.
    let missing = || match caller {
        Caller::Anonymous => refusal(StatusCode::UNAUTHORIZED, "Repository not found."),
        _ => refusal(StatusCode::NOT_FOUND, "Repository not found."),
    };
    let bare = path.strip_suffix(".git").unwrap_or(path);
    let (bare, wiki) = bare.strip_suffix(".wiki").map_or((bare, false), |it| (it, true));
    let (owner, name) = bare.split_once('/').ok_or_else(missing)?;
    let Some(repo) = state.current(owner, name) else {
        let moved = state
            .former(owner, name)
            .filter(|it| !it.private || auth::sees_private(state, request, it))
            .ok_or_else(missing)?;
        return Err(redirect(request, &state.full_name(moved), path, call));
    };
    if repo.private && !auth::sees_private(state, request, repo) {
        return Err(missing());
    }
    match repo.block {
        Some(Block::Dmca) => {
            let words = "Repository unavailable due to DMCA takedown.";
            return Err(refusal(StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS, words));
        }
        Some(Block::Tos) => {
            return Err(refusal(StatusCode::FORBIDDEN, "Access to this repository has been disabled by GitHub Staff."));
        }
        None if repo.disabled => return Err(refusal(StatusCode::FORBIDDEN, "Repository is disabled.")),
        None => {}
    }
    let pushes = matches!(call, GitCall::Advertise(Service::ReceivePack) | GitCall::Exchange(Service::ReceivePack));
    if pushes && caller != Caller::Token {
        return Err(refusal(StatusCode::UNAUTHORIZED, "Authentication required."));
    }
    if pushes && repo.archived {
        return Err(refusal(StatusCode::FORBIDDEN, "This repository was archived so it is read-only."));
    }
    if !wiki {
        return Ok((repo.id, repo.folder.clone()));
    }
    // A wiki without a page is not there, whatever `has_wiki` says.
    let folder = state.wiki_folder(repo.id);
    if folder.is_dir() { Ok((repo.id, folder)) } else { Err(missing()) }
}

fn redirect(request: &HttpRequest, full_name: &str, old: &str, call: GitCall) -> Box<HttpResponse> {
    let host = request.headers().get("host").and_then(|it| it.to_str().ok()).unwrap_or("localhost");
    let suffix = [".wiki.git", ".git"].into_iter().find(|it| old.ends_with(it)).unwrap_or_default();
    let rest = match call {
        GitCall::Advertise(service) => format!("info/refs?service={}", service.name()),
        GitCall::Exchange(service) => service.name().to_owned(),
    };
    let location = format!("http://{host}/{full_name}{suffix}/{rest}");
    Box::new(HttpResponse::MovedPermanently().insert_header((LOCATION, location)).finish())
}
