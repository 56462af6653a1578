//! One request and its answer: headers, time-outs, bounded bodies, redirects, counting.
//!
//! Takes an address and a credential from the client, gives a status, headers and a body back; what is
//! not a success becomes a [`GithubError`] here, by way of `limits`.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, Method};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

use super::client::Clock;
use super::error::{GithubError, clip};
use super::governors::Governors;
use crate::domain::outage::{Server, Sign};
use crate::domain::rate::{Resource, Urgency};
use crate::outbound;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::outages::Turn;

/// A repository's answer has some 10 KiB, a page of a hundred installations some 300 KiB.
const LARGEST_BODY: usize = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);
/// A rename redirects once; twice if the answer's address was renamed as well.
const MAX_REDIRECTS: usize = 3;

/// Clocks that differ by fewer seconds are the same.
const SAME_TIME: i64 = 5;

/// Whose limits a request counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Principal {
    Anonymous,
    /// By its place in the configuration.
    Token(usize),
    App,
    Installation(i64),
    /// The key that git goes by SSH with.
    Key,
}

/// A credential, ready to send.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    pub(super) principal: Principal,
    /// For whose sake requests with it are made.
    pub(super) urgency: Urgency,
    authorization: Option<HeaderValue>,
}

impl Pass {
    pub(super) fn anonymous() -> Self {
        Self { principal: Principal::Anonymous, urgency: Urgency::Routine, authorization: None }
    }

    pub(super) fn bearer(principal: Principal, token: &SecretString) -> Result<Self, GithubError> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
            .map_err(|_| GithubError::Config("the GitHub token holds characters that no header can carry".into()))?;
        value.set_sensitive(true);
        Ok(Self { principal, urgency: Urgency::Routine, authorization: Some(value) })
    }

    /// The same for another sake.
    #[must_use]
    pub(super) fn with(self, urgency: Urgency) -> Self {
        Self { urgency, ..self }
    }
}

/// What a request carries beyond its address and credential.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    /// The `ETag` of the answer that is known: 304 if it still stands.
    pub(super) etag: Option<&'a str>,
    /// Larger answers are refused. Bytes.
    pub(super) largest: usize,
    /// Another form of the answer than the usual one.
    pub(super) accept: Option<&'static str>,
    /// What it counts against.
    pub(super) resource: Resource,
    /// JSON to send.
    pub(super) body: Option<&'a str>,
}

impl Terms<'_> {
    pub(super) const PLAIN: Self =
        Terms { etag: None, largest: LARGEST_BODY, accept: None, resource: Resource::Core, body: None };
}

/// A successful answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, GithubError> {
        serde_json::from_slice(&self.body).map_err(|error| GithubError::Malformed(clip(&error.to_string())))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|it| it.to_str().ok()).map(str::trim)
    }
}

/// Sends requests to one API host.
pub(super) struct Exchange {
    http: reqwest::Client,
    api: Url,
    metrics: Metrics,
    clock: Clock,
    /// How many seconds GitHub's clock is ahead of ours, by the last answer.
    skew: AtomicI64,
    governors: Governors,
}

impl Exchange {
    pub(super) fn new(api: Url, governors: Governors, metrics: Metrics, clock: Clock) -> Result<Self, GithubError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers.insert("x-github-api-version", HeaderValue::from_static("2022-11-28"));
        let http = outbound::client().default_headers(headers).connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT);
        let http = http.build().map_err(|error| GithubError::Config(format!("no HTTP client: {error}")))?;
        Ok(Self { http, api, metrics, clock, skew: AtomicI64::default(), governors })
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// How far GitHub's clock is ahead of ours.
    pub(super) fn skew(&self) -> TimeDelta {
        TimeDelta::seconds(self.skew.load(Ordering::Relaxed))
    }

    /// What time it is at GitHub, which judges JWTs and says when tokens expire.
    pub(super) fn their_now(&self) -> DateTime<Utc> {
        let now = self.now();
        now.checked_add_signed(self.skew()).unwrap_or(now)
    }

    /// Learns GitHub's clock from an answer.
    fn read_clock(&self, answer: &Answer) {
        let theirs = answer.header(DATE.as_str()).and_then(|it| DateTime::parse_from_rfc2822(it).ok());
        if let Some(theirs) = theirs {
            let skew = (theirs.with_timezone(&Utc) - self.now()).num_seconds();
            // GitHub's times are whole seconds, and an answer is on its way for some: that is no difference.
            let skew = if skew.abs() < SAME_TIME { 0 } else { skew };
            self.skew.store(skew, Ordering::Relaxed);
        }
    }

    /// The address of an API path, below the base's own path (`/api/v3` of an Enterprise Server).
    pub(super) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.api.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Whether `url` is on the API's own host, scheme and port included.
    pub(super) fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.api.origin()
    }

    /// GET, following the redirects of renamed repositories on the API's own host.
    pub(super) async fn get(&self, url: Url, pass: &Pass) -> Result<Answer, GithubError> {
        self.get_on(url, pass, Terms::PLAIN).await
    }

    /// The same on other terms; with an `ETag` the answer may be an empty 304.
    pub(super) async fn get_on(&self, url: Url, pass: &Pass, terms: Terms<'_>) -> Result<Answer, GithubError> {
        let mut url = url;
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.once(Method::GET, url.clone(), pass, terms).await?;
            if answer.status == 304 && terms.etag.is_some() {
                return Ok(answer);
            }
            match self.next_hop(&url, &answer)? {
                None => return Ok(answer),
                Some(next) => url = next,
            }
        }
        Err(GithubError::Malformed("it redirects without end".to_owned()))
    }

    /// POST of JSON. Sent once: GitHub may have acted on a request whose answer is lost.
    pub(super) async fn post(&self, url: Url, pass: &Pass, body: &str) -> Result<Answer, GithubError> {
        let terms = Terms { body: Some(body), ..Terms::PLAIN };
        let answer = self.once(Method::POST, url, pass, terms).await?;
        if answer.status >= 300 {
            return Err(GithubError::Malformed(format!("a redirect ({}) of a POST", answer.status)));
        }
        Ok(answer)
    }

    fn next_hop(&self, from: &Url, answer: &Answer) -> Result<Option<Url>, GithubError> {
        if !matches!(answer.status, 301 | 302 | 307 | 308) {
            return if answer.status < 300 {
                Ok(None)
            } else {
                Err(GithubError::Malformed(format!("status {}", answer.status)))
            };
        }
        let location = answer.header(LOCATION.as_str()).unwrap_or_default();
        let next = from.join(location).map_err(|_| GithubError::Malformed("a redirect to nowhere".to_owned()))?;
        if location.is_empty() || !self.is_home(&next) {
            return Err(GithubError::RedirectElsewhere(clip(next.host_str().unwrap_or("nowhere"))));
        }
        Ok(Some(next))
    }

    /// One request. A POST is sent once: GitHub may have acted on a request whose answer is lost.
    pub(super) async fn once(
        &self,
        method: Method,
        url: Url,
        pass: &Pass,
        terms: Terms<'_>,
    ) -> Result<Answer, GithubError> {
        let resource = terms.resource;
        let (turn, sign) = (self.enter()?, self.sign(&url));
        let place = self.governors.admit(pass.principal, resource, pass.urgency, || self.now()).await?;
        let answer = self.send(method, url, pass, terms).await;
        let code = answer.as_ref().map_or_else(|_| "none".to_owned(), |it| it.status.to_string());
        self.count(&code);
        let answer = weigh(turn, sign, answer)?;
        self.read_clock(&answer);
        self.governors.read(pass.principal, &answer, self.now());
        drop(place);
        if answer.status < 400 {
            self.governors.went_through(pass.principal, self.now());
            return Ok(answer);
        }
        Err(self.governors.refused(pass.principal, resource, &answer, self.now()))
    }

    /// Whether GitHub may be asked at present.
    pub(super) fn enter(&self) -> Result<Turn, GithubError> {
        self.metrics.outages.enter(Server::GithubApi).map_err(GithubError::Unreachable)
    }

    /// What it would mean if a request to this address found nobody.
    pub(super) fn sign(&self, url: &Url) -> Sign {
        let base = self.api.path().trim_end_matches('/');
        let path = url.path().strip_prefix(base).unwrap_or(url.path());
        Sign::unanswered(path, if path.starts_with("/repos/") { 3 } else { 2 })
    }

    /// What a refusal means; a limit makes everybody wait who has this credential.
    pub(super) fn refused(&self, answer: &Answer, pass: &Pass) -> GithubError {
        self.governors.refused(pass.principal, Resource::Core, answer, self.now())
    }

    /// The governors of all credentials.
    pub(super) fn governors(&self) -> &Governors {
        &self.governors
    }

    /// A request with its credential.
    pub(super) fn signed(&self, method: Method, url: Url, pass: &Pass) -> reqwest::RequestBuilder {
        let request = self.http.request(method, url);
        match &pass.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    /// Counts a request by what came of it.
    pub(super) fn count(&self, code: &str) {
        self.metrics.upstream_requests.with_label_values(&["github", code]).inc();
    }

    async fn send(&self, method: Method, url: Url, pass: &Pass, terms: Terms<'_>) -> Result<Answer, GithubError> {
        let mut request = self.signed(method.clone(), url, pass);
        if let Some(etag) = terms.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(accept) = terms.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(body) = terms.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_owned());
        }
        let again = if method == Method::GET { request.try_clone() } else { None };
        let response = match (request.send().await, again) {
            // Most likely a kept connection that the other side had closed: a fresh one tells.
            (Err(error), Some(again)) if !error.is_timeout() && !error.is_connect() => again.send().await?,
            (response, _) => response?,
        };
        Self::read(response, terms.largest).await
    }

    /// Reads an answer of bounded size.
    pub(super) async fn read(mut response: reqwest::Response, largest: usize) -> Result<Answer, GithubError> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > largest {
                return Err(GithubError::Malformed(format!("an answer of more than {largest} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body })
    }
}

/// Tells what came of a request. A failure that is GitHub's own absence is told as that, whatever it looked like.
fn weigh(turn: Turn, sign: Sign, answer: Result<Answer, GithubError>) -> Result<Answer, GithubError> {
    let gateway = |it: &Answer| matches!(it.status, 502..=504) && it.header("retry-after").is_none();
    let (sign, text) = match &answer {
        Err(GithubError::Unreachable(text)) => (Sign::Unreached, text.clone()),
        Err(GithubError::Transport(text)) => (sign, text.clone()),
        Ok(it) if gateway(it) => (sign, format!("it answers {}", it.status)),
        Ok(_) | Err(_) => {
            turn.answered();
            return answer;
        }
    };
    if turn.failed(sign) { Err(GithubError::Unreachable(text)) } else { answer }
}
