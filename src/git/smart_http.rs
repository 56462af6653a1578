//! One repository at one server over smart HTTP: requests, redirects, time-outs and status codes.
//!
//! [`super::remote`] chooses between this and SSH. Credentials travel in a header that is marked as
//! sensitive, and only ever to the configured scheme, host and port.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT,
};
use reqwest::{Client, RequestBuilder, Response};
use secrecy::ExposeSecret as _;
use url::Url;

use super::body::Body;
use super::clean::Redactor;
use super::error::{Side, WireError};
use super::feed::Outgoing;
use super::remote::{Address, CLIENT_NAME, CONNECT, Patience, Service, answered, enter, failed};
use super::status::refusal;
use crate::domain::outage::Sign;
use crate::outbound;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::outages::Turn;

const MAX_REDIRECTS: usize = 3;

/// The HTTP client that remotes need: no redirects and no retries of its own, bounded connecting,
/// and HTTP/1.1: a pack has its connection for itself, so that one that waits stops no other. One
/// client is enough for the whole process.
///
/// # Errors
/// When TLS cannot be set up.
pub fn http_client() -> Result<Client, reqwest::Error> {
    outbound::client()
        .http1_only()
        .connect_timeout(CONNECT)
        .tcp_keepalive(Duration::from_secs(60))
        // OneDev closes an idle connection after 30 s: never send on one that is about to go.
        .pool_idle_timeout(Duration::from_secs(25))
        .build()
}

/// A repository at a server.
pub(crate) struct HttpRemote {
    http: Client,
    /// Moves when the first request is redirected within the server.
    base: RwLock<Url>,
    /// Set once a request was answered: from then on redirects are not followed.
    settled: AtomicBool,
    authorization: Option<HeaderValue>,
    redactor: Arc<Redactor>,
    side: Side,
    service: &'static str,
    metrics: Metrics,
    patience: Patience,
}

impl std::fmt::Debug for HttpRemote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { http: _, base: _, settled: _, authorization: _, redactor, side, service, metrics: _, patience } =
            self;
        f.debug_struct("HttpRemote")
            .field("url", &self.url().as_str())
            .field("redactor", redactor)
            .field("side", side)
            .field("service", service)
            .field("patience", patience)
            .finish_non_exhaustive()
    }
}

impl HttpRemote {
    pub(crate) fn new(
        http: Client,
        address: Address,
        side: Side,
        metrics: Metrics,
        patience: Patience,
    ) -> Result<Self, WireError> {
        let Address { url, authorization, service } = address;
        let bad = |detail: &str| WireError::BadRequest { detail: format!("{side}: {detail}") };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("credentials do not belong in the address"));
        }
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(bad("only http, https and ssh addresses can be used"));
        }
        let redactor = Arc::new(Redactor::of(authorization.as_ref()));
        let authorization = match authorization {
            None => None,
            Some(secret) => {
                let mut value = HeaderValue::from_str(secret.expose_secret())
                    .map_err(|_| bad("the credential does not fit in a header"))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let (base, settled) = (RwLock::new(url), AtomicBool::new(false));
        Ok(Self { http, base, settled, authorization, redactor, side, service, metrics, patience })
    }

    /// The present address; another one than configured after a redirect.
    pub(crate) fn url(&self) -> Url {
        self.base.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }

    fn address_of(&self, path: &str, service: Option<Service>) -> Url {
        let mut url = self.url();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        url.set_query(service.map(|it| format!("service={}", it.name())).as_deref());
        url
    }

    /// `GET info/refs`: a list of refs, or with `version2` what the server can do. Redirects within
    /// the server are followed while nothing has been answered yet.
    pub(crate) async fn info_refs(&self, service: Service, version2: bool) -> Result<Body, WireError> {
        let content_type = format!("application/x-{}-advertisement", service.name());
        for _ in 0..=MAX_REDIRECTS {
            let mut request =
                self.http.get(self.address_of("info/refs", Some(service))).header(CACHE_CONTROL, "no-cache");
            if version2 {
                request = request.header("Git-Protocol", "version=2");
            }
            let response = self.answered(request).await?;
            if !self.moved(&response, "/info/refs")? {
                return self.accepted(response, &content_type).await;
            }
        }
        Err(self.bad_redirect("too many in a row"))
    }

    /// `POST git-upload-pack`: a small question with a body of any size. The first one of all may
    /// be redirected within the server.
    pub(crate) async fn ask(&self, body: bytes::Bytes, version2: bool) -> Result<Body, WireError> {
        let service = Service::UploadPack;
        let path = format!("/{}", service.name());
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.post(service).body(body.clone());
            if version2 {
                request = request.header("Git-Protocol", "version=2");
            }
            let response = self.answered(request).await?;
            if !self.moved(&response, &path)? {
                return self.accepted(response, &result_type(service)).await;
            }
        }
        Err(self.bad_redirect("too many in a row"))
    }

    /// `POST git-receive-pack` with a streamed body. The wait for the answer is not bounded here:
    /// the caller watches whether bytes move.
    pub(crate) async fn give(&self, body: Outgoing) -> Result<Body, WireError> {
        let body = reqwest::Body::wrap_stream(body);
        let response = self.counted(self.post(Service::ReceivePack).body(body)).await?;
        let mut body = self.accepted(response, &result_type(Service::ReceivePack)).await?;
        body.set_stall(self.patience.push);
        Ok(body)
    }

    fn post(&self, service: Service) -> RequestBuilder {
        self.http
            .post(self.address_of(service.name(), None))
            .header(CONTENT_TYPE, format!("application/x-{}-request", service.name()))
            .header(ACCEPT, result_type(service))
    }

    /// A question's answer. A connection that was kept open may be closed by the server at the very
    /// moment in which it is used again; a question changes nothing, so it is then asked once more.
    async fn answered(&self, request: RequestBuilder) -> Result<Response, WireError> {
        let turn = enter(&self.metrics, self.side)?;
        let after = self.patience.answer;
        let again = request.try_clone();
        let asked = async {
            match (self.sent(request).await, again) {
                (Err(error), Some(again)) if !error.is_connect() && !error.is_timeout() => self.sent(again).await,
                (answer, _) => answer,
            }
        };
        match tokio::time::timeout(after, asked).await {
            Ok(Ok(response)) => Ok(self.weighed(turn, response)),
            Ok(Err(error)) => {
                let sign = if error.is_connect() { Sign::Unreached } else { self.sign() };
                Err(failed(turn, sign, self.broken(error)))
            }
            Err(_) => {
                self.count("timeout");
                Err(failed(turn, self.sign(), WireError::NoAnswer { side: self.side, after }))
            }
        }
    }

    /// A push: that it broke off says nothing of the server, which may have meant to.
    async fn counted(&self, request: RequestBuilder) -> Result<Response, WireError> {
        let turn = enter(&self.metrics, self.side)?;
        match self.sent(request).await {
            Ok(response) => Ok(self.weighed(turn, response)),
            Err(error) if error.is_connect() => Err(failed(turn, Sign::Unreached, self.broken(error))),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Tells what an answer says of the server. A gateway's word that names a pause is obeyed instead.
    fn weighed(&self, turn: Option<Turn>, response: Response) -> Response {
        let (status, asks) = (response.status().as_u16(), response.headers().contains_key(RETRY_AFTER));
        match turn {
            Some(turn) if matches!(status, 502..=504) && !asks => {
                turn.failed(self.sign());
            }
            turn => answered(turn),
        }
        response
    }

    /// What it means when nobody answers for this repository.
    fn sign(&self) -> Sign {
        Sign::unanswered(self.url().path(), usize::MAX)
    }

    async fn sent(&self, request: RequestBuilder) -> Result<Response, reqwest::Error> {
        let mut request = request.header(USER_AGENT, CLIENT_NAME);
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        let answer = request.send().await;
        match &answer {
            Ok(response) => self.count(response.status().as_str()),
            Err(_) => self.count("error"),
        }
        answer
    }

    fn broken(&self, error: reqwest::Error) -> WireError {
        WireError::Transport { side: self.side, detail: outbound::causes(error) }
    }

    fn count(&self, code: &str) {
        self.metrics.upstream_requests.with_label_values(&[self.service, code]).inc();
    }

    /// Whether the answer is a redirect, which is remembered then.
    fn moved(&self, response: &Response, suffix: &str) -> Result<bool, WireError> {
        if !matches!(response.status().as_u16(), 301 | 302 | 307 | 308) || self.settled.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let location = response.headers().get(LOCATION).and_then(|it| it.to_str().ok());
        let location = location.ok_or_else(|| self.bad_redirect("it names no address"))?;
        let here = self.url();
        let mut there = response.url().join(location).map_err(|_| self.bad_redirect("its address is malformed"))?;
        if (there.scheme(), there.host(), there.port_or_known_default())
            != (here.scheme(), here.host(), here.port_or_known_default())
        {
            let to = there.origin().ascii_serialization();
            return Err(WireError::RedirectedElsewhere { side: self.side, to });
        }
        let repository = there.path().strip_suffix(suffix).map(str::to_owned);
        let repository = repository.ok_or_else(|| self.bad_redirect("it does not lead to a repository"))?;
        there.set_path(&repository);
        there.set_query(None);
        there.set_fragment(None);
        let _ = (there.set_username(""), there.set_password(None));
        tracing::info!(from = here.path(), to = there.path(), "the repository has moved within its server");
        *self.base.write().unwrap_or_else(PoisonError::into_inner) = there;
        Ok(true)
    }

    fn bad_redirect(&self, detail: &str) -> WireError {
        WireError::BadRedirect { side: self.side, detail: detail.to_owned() }
    }

    /// The body of a good answer; an error for any other, with the server's words.
    async fn accepted(&self, response: Response, content_type: &str) -> Result<Body, WireError> {
        if response.status() != http::StatusCode::OK {
            return Err(refusal(response, self.side, &self.redactor).await);
        }
        let given = response.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
        if given != content_type {
            let given = self.redactor.line(given.as_bytes(), 80);
            let detail = format!("the answer is of type `{given}`, not `{content_type}`");
            return Err(WireError::Protocol { side: self.side, detail });
        }
        self.settled.store(true, Ordering::Relaxed);
        Ok(Body::new(response, self.side, self.patience.stall, Arc::clone(&self.redactor)))
    }
}

fn result_type(service: Service) -> String {
    format!("application/x-{}-result", service.name())
}
