//! The endpoints that only the App itself may call, by its JWT: installations and their tokens.

use actix_web::HttpRequest;
use actix_web::http::{Method, StatusCode};
use chrono::Duration;
use serde_json::{Value, json};

use super::rest::Answer;
use super::state::State;
use super::{Shared, auth, hook, json};

/// `None` if the path is none of the App's.
pub(crate) fn answer(
    shared: &Shared,
    state: &mut State,
    request: &HttpRequest,
    segments: &[&str],
    base: &str,
) -> Option<Answer> {
    let method = request.method();
    let serve: Box<dyn FnOnce(&mut State) -> Answer> = match segments {
        ["app"] if method == Method::GET => Box::new(|_| {
            let (permissions, events) = (permissions(), ["push", "repository", "star"]);
            Answer::ok(json!({ "id": shared.options.app_id, "slug": "simulated-app", "name": "simulated app",
                "permissions": permissions, "events": events }))
        }),
        ["app", "hook", "config"] if method == Method::GET => Box::new(|_| {
            let url = "http://127.0.0.1:9/webhooks/github";
            Answer::ok(json!({ "content_type": "json", "insecure_ssl": "0", "secret": "********", "url": url }))
        }),
        ["app", "installations"] if method == Method::GET => Box::new(|state| {
            Answer::ok(hook::installations(state).unwrap_or_else(|| json!([installation(shared, base)])))
        }),
        ["app", "installations", id, "access_tokens"] if method == Method::POST => {
            let (id, default) = (id.parse().unwrap_or_default(), shared.options.installation_id);
            Box::new(move |state| match hook::may_mint(state, id, default) {
                Ok(()) => mint(shared, state, id),
                Err(refusal) => refusal,
            })
        }
        ["app", "hook", "deliveries"] if method == Method::GET => {
            let (query, base) = (request.query_string(), base);
            Box::new(move |state| hook::list(state, query, base))
        }
        ["app", "hook", "deliveries", id] if method == Method::GET => {
            let id = id.parse().unwrap_or_default();
            Box::new(move |state| hook::show(state, id))
        }
        ["repos", owner, name, "installation"] if method == Method::GET => {
            let known = state.current(owner, name).is_some();
            Box::new(move |_| if known { Answer::ok(installation(shared, base)) } else { Answer::not_found() })
        }
        _ => return None,
    };
    Some(match auth::check_jwt(request, shared.options.app_id, state.app.now().timestamp()) {
        Ok(()) => serve(state),
        Err(message) => Answer::error(StatusCode::UNAUTHORIZED, message),
    })
}

fn installation(shared: &Shared, base: &str) -> Value {
    let id = shared.options.installation_id;
    json!({
        "id": id,
        "app_id": shared.options.app_id,
        "app_slug": "simulated-app",
        "repository_selection": "all",
        "access_tokens_url": format!("{base}/app/installations/{id}/access_tokens"),
        "permissions": permissions(),
        "suspended_at": null,
    })
}

pub(super) fn permissions() -> Value {
    json!({ "contents": "read", "issues": "read", "metadata": "read", "pull_requests": "read", "starring": "read" })
}

/// A new token, good until the server forgets it; how long it claims to be good is an option.
fn mint(shared: &Shared, state: &mut State, installation: i64) -> Answer {
    state.mints += 1;
    let token = format!("ghs_simulated{:08}", state.mints);
    state.tokens.insert(token.clone());
    state.app.minted(&token, installation);
    let lifetime = Duration::from_std(shared.options.token_lifetime).unwrap_or_else(|_| Duration::hours(1));
    let body = json!({
        "token": token,
        "expires_at": json::time(state.app.now() + lifetime),
        "permissions": permissions(),
        "repository_selection": "all",
    });
    Answer { status: StatusCode::CREATED, ..Answer::ok(body) }
}
