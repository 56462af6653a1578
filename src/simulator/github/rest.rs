//! The simulated GitHub's REST interface: what comes before any endpoint (user agent, version,
//! credentials, rate limit, ETag) and which endpoint a path means.

use actix_web::http::StatusCode;
use actix_web::http::header::{ETAG, IF_NONE_MATCH, LINK, LOCATION, USER_AGENT};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::auth::{self, Caller};
use super::state::State;
use super::{Shared, app, endpoints};
use crate::simulator::record::lock;

/// An answer of an endpoint, before headers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    pub(crate) location: Option<String>,
    pub(crate) link: Option<String>,
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body, location: None, link: None }
    }

    pub(crate) fn error(status: StatusCode, message: &str) -> Self {
        let body = json!({
            "message": message,
            "documentation_url": "https://docs.github.com/rest",
            "status": status.as_str(),
        });
        Self { status, body, location: None, link: None }
    }

    pub(crate) fn not_found() -> Self {
        Self::error(StatusCode::NOT_FOUND, "Not Found")
    }
}

/// What an endpoint may look at.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) request: &'a HttpRequest,
    /// `http://host:port`, as the client wrote it.
    pub(crate) base: String,
    pub(crate) caller: Caller,
}

/// Versions of the interface that GitHub knows.
const VERSIONS: [&str; 2] = ["2022-11-28", "2026-03-10"];

pub(crate) fn answer(shared: &Shared, request: &HttpRequest) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok());
    if header(USER_AGENT.as_str()).is_none_or(str::is_empty) {
        return HttpResponse::Forbidden().content_type("text/html").body(
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header\n",
        );
    }
    if let Some(version) = header("x-github-api-version").filter(|it| !VERSIONS.contains(it)) {
        let message = format!("The version {version} is not supported");
        return plain(Answer::error(StatusCode::BAD_REQUEST, &message));
    }
    let prefix = shared.options.api_prefix.as_str();
    let base = format!("http://{}{prefix}", header("host").unwrap_or("localhost"));
    let Some(path) = request.uri().path().strip_prefix(prefix).map(str::to_owned) else {
        return HttpResponse::NotFound().content_type("text/html").body("<html>GitHub Enterprise</html>");
    };
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let mut state = lock(&shared.state);
    if let Some(content) = path.strip_prefix("/_files/").and_then(|name| state.files.get(name)) {
        return HttpResponse::Ok().content_type("application/octet-stream").body(content.clone());
    }
    let caller = auth::caller(&state, request);
    if auth::presented(request).is_some_and(|it| state.app.is_suspended(&it)) {
        return plain(Answer::error(StatusCode::FORBIDDEN, "This installation has been suspended"));
    }
    if let Some(answer) = app::answer(shared, &mut state, request, &segments, &base) {
        return plain(answer);
    }
    if caller == Caller::Invalid {
        return plain(Answer::error(StatusCode::UNAUTHORIZED, "Bad credentials"));
    }
    if state.rate.remaining == 0 {
        return limited(&state, plain(Answer::error(StatusCode::FORBIDDEN, "API rate limit exceeded")));
    }
    let answer = endpoints::answer(&mut Call { state: &mut state, request, base, caller }, &segments);
    finish(&mut state, request, answer)
}

fn finish(state: &mut State, request: &HttpRequest, answer: Answer) -> HttpResponse {
    let etag = format!("W/\"{}\"", hex::encode(Sha256::digest(answer.body.to_string())));
    let known = request.headers().get(IF_NONE_MATCH).and_then(|it| it.to_str().ok());
    if answer.status == StatusCode::OK && known == Some(etag.as_str()) {
        // Not counted against the limit.
        return limited(state, HttpResponse::NotModified().insert_header((ETAG, etag)).finish());
    }
    state.rate.remaining = state.rate.remaining.saturating_sub(1);
    let ok = answer.status == StatusCode::OK;
    let mut response = plain(answer);
    if ok && let Ok(value) = etag.parse() {
        response.headers_mut().insert(ETAG, value);
    }
    limited(state, response)
}

fn plain(answer: Answer) -> HttpResponse {
    let mut response = HttpResponse::build(answer.status);
    response.content_type("application/json; charset=utf-8");
    if let Some(location) = answer.location {
        response.insert_header((LOCATION, location));
    }
    if let Some(link) = answer.link {
        response.insert_header((LINK, link));
    }
    response.body(answer.body.to_string())
}

/// The rate limit's headers on an answer.
fn limited(state: &State, mut response: HttpResponse) -> HttpResponse {
    let rate = state.rate;
    let used = rate.limit.saturating_sub(rate.remaining);
    let headers = [
        ("x-ratelimit-limit", rate.limit.to_string()),
        ("x-ratelimit-remaining", rate.remaining.to_string()),
        ("x-ratelimit-reset", rate.reset.to_string()),
        ("x-ratelimit-used", used.to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
    ];
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(actix_web::http::header::HeaderName::from_static(name), value);
        }
    }
    response
}
