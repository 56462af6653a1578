//! One request to OneDev and its answer: credential, time-outs, bounded bodies, and what its statuses
//! mean.
//!
//! OneDev's statuses are its own: 500 for business errors, 404 as HTML from whoever holds the port
//! while the server starts, JSON labels on plain texts and the other way round. All that is read here,
//! once; callers see values and [`OnedevError`]s.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, SERVER};
use http::{HeaderMap, HeaderValue, Method};
use serde::de::DeserializeOwned;
use url::Url;

use super::error::{Missing, OnedevError, clip};
use crate::domain::outage::{Server, Sign};
use crate::outbound;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::outages::Turn;

/// Fifty thousand branch names of 20 bytes.
const LARGEST_BODY: usize = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);
/// Deletes wait for the storage, and the first project of a server takes its time.
const SLOW_TIMEOUT: Duration = Duration::from_secs(120);

/// A request: where to, and what with.
pub(super) struct Call {
    method: Method,
    url: Url,
    body: Option<serde_json::Value>,
    credential: bool,
}

impl Call {
    pub(super) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, body: None, credential: true }
    }

    pub(super) fn post(url: Url, body: serde_json::Value) -> Self {
        Self { method: Method::POST, url, body: Some(body), credential: true }
    }

    pub(super) fn delete(url: Url) -> Self {
        Self { method: Method::DELETE, url, body: None, credential: true }
    }

    /// Without the token, for what OneDev tells everybody.
    pub(super) fn anonymous(self) -> Self {
        Self { credential: false, ..self }
    }
}

/// An answer as it came.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, OnedevError> {
        if self.is_html() {
            return Err(self.not_onedev());
        }
        serde_json::from_str(&self.body).map_err(|error| OnedevError::Malformed(clip(&error.to_string())))
    }

    /// The body of the calls that answer with a bare text, whatever their content type claims.
    pub(super) fn text(&self) -> Result<&str, OnedevError> {
        if self.is_html() { Err(self.not_onedev()) } else { Ok(self.body.trim()) }
    }

    fn header(&self, name: http::header::HeaderName) -> &str {
        self.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default()
    }

    fn is_html(&self) -> bool {
        self.header(CONTENT_TYPE).starts_with("text/html")
    }

    fn is_plain(&self) -> bool {
        self.header(CONTENT_TYPE).starts_with("text/plain")
    }

    fn not_onedev(&self) -> OnedevError {
        OnedevError::Malformed(format!("a page instead of data (status {})", self.status))
    }
}

/// Sends requests to one OneDev.
pub(super) struct Exchange {
    http: reqwest::Client,
    base: Url,
    authorization: RwLock<HeaderValue>,
    metrics: Metrics,
}

impl Exchange {
    pub(super) fn new(base: Url, authorization: HeaderValue, metrics: Metrics) -> Result<Self, OnedevError> {
        let http = outbound::client().connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT).build();
        let http = http.map_err(|error| OnedevError::Config(format!("no HTTP client: {error}")))?;
        Ok(Self { http, base, authorization: RwLock::new(authorization), metrics })
    }

    /// The header that is sent now.
    pub(super) fn authorization(&self) -> HeaderValue {
        self.authorization.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends another one from now on.
    pub(super) fn authorize(&self, authorization: HeaderValue) {
        *self.authorization.write().unwrap_or_else(PoisonError::into_inner) = authorization;
    }

    /// The address of a path given in segments, each escaped as it needs.
    pub(super) fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// The address of a REST call.
    pub(super) fn api<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        self.url(std::iter::once("~api").chain(segments))
    }

    /// Sends and reads; anything but a success is an error.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, OnedevError> {
        let answer = self.ask(call).await?;
        if (200..300).contains(&answer.status) { Ok(answer) } else { Err(refusal(&answer)) }
    }

    /// Sends and reads, whatever the status.
    pub(super) async fn ask(&self, call: Call) -> Result<Answer, OnedevError> {
        let turn = self.metrics.outages.enter(Server::Onedev).map_err(OnedevError::Unreachable)?;
        let path = call.url.path().strip_prefix(self.base.path().trim_end_matches('/')).unwrap_or_default();
        let sign = Sign::unanswered(path, 3);
        let answer = self.transmit(call).await;
        let code = answer.as_ref().map_or_else(|_| "none".to_owned(), |it| it.status.to_string());
        self.metrics.upstream_requests.with_label_values(&["onedev", &code]).inc();
        weigh(turn, sign, answer)
    }

    async fn transmit(&self, call: Call) -> Result<Answer, OnedevError> {
        let Call { method, url, body, credential } = call;
        let is_read = method == Method::GET;
        let timeout = if is_read { TIMEOUT } else { SLOW_TIMEOUT };
        let mut request = self.http.request(method, url).timeout(timeout);
        if credential {
            // Sent without being asked: a 401 of OneDev's REST names no scheme to answer with.
            request = request.header(AUTHORIZATION, self.authorization());
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let again = if is_read { request.try_clone() } else { None };
        let mut response = match (request.send().await, again) {
            // Most likely a kept connection that the other side had closed: a fresh one tells.
            (Err(error), Some(again)) if !error.is_timeout() && !error.is_connect() => again.send().await?,
            (response, _) => response?,
        };
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > LARGEST_BODY {
                return Err(OnedevError::Malformed(format!("an answer of more than {LARGEST_BODY} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// Tells what came of a request. A failure that is OneDev's own absence is told as that, whatever it looked like.
fn weigh(turn: Turn, sign: Sign, answer: Result<Answer, OnedevError>) -> Result<Answer, OnedevError> {
    let is_booting = |it: &Answer| !(200..300).contains(&it.status) && matches!(refusal(it), OnedevError::Booting(_));
    let (sign, text) = match &answer {
        Err(OnedevError::Unreachable(text)) => (Sign::Unreached, text.clone()),
        Err(OnedevError::Transport(text)) => (sign, text.clone()),
        // It says itself that it is not there, and that is told with its own words.
        Ok(it) if is_booting(it) => {
            turn.failed(Sign::Unreached);
            return answer;
        }
        Ok(_) | Err(_) => {
            turn.answered();
            return answer;
        }
    };
    if turn.failed(sign) { Err(OnedevError::Unreachable(text)) } else { answer }
}

/// What an answer that is no success means.
fn refusal(answer: &Answer) -> OnedevError {
    let text = if answer.is_html() { "a page".to_owned() } else { clip(&answer.body) };
    match answer.status {
        300..=399 => OnedevError::Malformed(format!("it redirects ({})", answer.status)),
        401 => OnedevError::Unauthorized(text),
        403 => OnedevError::Forbidden(text),
        404 => not_found(answer, text),
        502..=504 => OnedevError::Booting(format!("{}: {text}", answer.status)),
        500 if is_taken(&answer.body) => OnedevError::Conflict(format!("OneDev: {text}")),
        status @ 500.. => OnedevError::Server { status, text },
        status => OnedevError::Rejected { status, text },
    }
}

/// Only OneDev's own words count as "not there": while it starts, a small server holds its port and
/// answers everything with an HTML 404.
fn not_found(answer: &Answer, text: String) -> OnedevError {
    let body = answer.body.trim_start();
    if answer.is_plain() && is_missing_project(body) {
        return OnedevError::NotFound { what: Missing::Project, text };
    }
    if answer.is_html() {
        let server = answer.header(SERVER);
        let whose = if server.starts_with("Jetty") { "the boot phase's 404" } else { "a 404 that is a page" };
        return OnedevError::Booting(whose.to_owned());
    }
    if !answer.is_plain() || body.is_empty() || body.starts_with("HTTP 404") {
        return OnedevError::Malformed("a 404 for a call that every OneDev since 12.0.10 has".to_owned());
    }
    OnedevError::NotFound { what: Missing::Object, text }
}

fn is_missing_project(text: &str) -> bool {
    text.starts_with("Project not found or inaccessible")
        || (text.starts_with("No row with the given identifier exists") && text.contains("Project#"))
}

/// `Name 'x' is already used by another root project`, `… under 'parent'`.
fn is_taken(text: &str) -> bool {
    text.contains("is already used by another")
}
