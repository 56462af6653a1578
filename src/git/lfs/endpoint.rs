//! One repository's LFS at one server: the batch call, and objects read, written and checked.
//!
//! Credentials go to the configured server only: other hosts, where upstream's links lead, get just the
//! headers that came with the link.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT,
};
use reqwest::{Client, RequestBuilder, Response};
use secrecy::ExposeSecret as _;
use url::Url;

use super::answer::{Answer, Asked, Operation, Question};
use super::claims::{Claim, Claims};
use super::download::Download;
use super::error::ObjectError;
use super::link::{Link, ONEDEVS, has_credential, is_same_server};
use super::upload::{self, Source, Watch};
use crate::domain::lfs::{LfsOid, Pointer};
use crate::git::clean::Redactor;
use crate::git::error::{Side, WireError};
use crate::git::progress::Progress;
use crate::git::remote::{Address, CLIENT_NAME, Patience};
use crate::git::status::beginning;
use crate::outbound;
use crate::telemetry::metrics::Metrics;

/// Objects in one batch call; GitHub takes no more.
pub const MOST_AT_ONCE: usize = 100;

const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";
/// The most bytes of a batch answer: a hundred links of a few KiB.
const MOST_ANSWER: usize = 2 << 20;
const MOST_REDIRECTS: usize = 3;
/// OneDev cuts a body that pauses for 30 s: upstream is given up before that.
const LIVE_STALL: Duration = Duration::from_secs(20);

/// What stands in the target under an object's id.
#[derive(Debug)]
pub enum Standing {
    /// The right bytes.
    Good,
    /// Nothing.
    Absent,
    /// Other bytes.
    Bad,
    /// The right bytes, and they are not as many as the pointer says: the pointer is wrong.
    OtherSize(u64),
}

/// A repository's LFS.
pub struct LfsEndpoint {
    http: Client,
    base: Url,
    authorization: Option<HeaderValue>,
    redactor: Arc<Redactor>,
    side: Side,
    service: &'static str,
    claims: Claims,
    metrics: Metrics,
    patience: Patience,
}

impl std::fmt::Debug for LfsEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LfsEndpoint")
            .field("base", &self.base.as_str())
            .field("side", &self.side)
            .finish_non_exhaustive()
    }
}

impl LfsEndpoint {
    /// Makes no request. The address is the repository's, `.git` included: OneDev insists on it.
    ///
    /// # Errors
    /// [`WireError::BadRequest`] for a credential that does not fit in a header.
    pub fn new(
        http: Client,
        address: Address,
        side: Side,
        claims: Claims,
        metrics: Metrics,
        patience: Patience,
    ) -> Result<Self, WireError> {
        let Address { url: base, authorization, service } = address;
        let redactor = Arc::new(Redactor::of(authorization.as_ref()));
        let authorization = authorization.map(|it| HeaderValue::from_str(it.expose_secret())).transpose();
        let mut authorization = authorization.map_err(|_| WireError::BadRequest {
            detail: format!("{side}: the credential does not fit in a header"),
        })?;
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        Ok(Self { http, base, authorization, redactor, side, service, claims, metrics, patience })
    }

    /// Asks for at most [`MOST_AT_ONCE`] objects; one answer for each, in that order.
    ///
    /// # Errors
    /// What was said of all of them together.
    pub async fn ask(&self, operation: Operation, objects: &[Pointer]) -> Result<Vec<(Pointer, Answer)>, ObjectError> {
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        let question = Question { operation, transfers: ["basic"], objects };
        let body = serde_json::to_vec(&question)
            .map_err(|error| WireError::BadRequest { detail: format!("an LFS question cannot be written: {error}") })?;
        let request = self
            .http
            .post(self.below("info/lfs/objects/batch", None))
            .header(ACCEPT, MEDIA_TYPE)
            .header(CONTENT_TYPE, MEDIA_TYPE)
            .body(body);
        let response = self.answered(self.signed(request)).await?;
        if response.status() != http::StatusCode::OK {
            return Err(self.refusal(response, 0).await);
        }
        let body = self.small(response).await?;
        let asked = Asked { side: self.side, base: &self.base, redactor: &self.redactor, operation };
        asked.read(&body, objects)
    }

    async fn ask_one(&self, operation: Operation, object: Pointer) -> Result<Option<Link>, ObjectError> {
        match self.ask(operation, &[object]).await?.pop() {
            Some((_, Answer::Link(link))) => Ok(Some(link)),
            Some((_, Answer::Refused(error))) => Err(error),
            Some((_, Answer::Present)) | None => Ok(None),
        }
    }

    /// Begins to read an object, by a link of [`Self::ask`] or without one. A link that has run out, or is
    /// not good any more, is renewed once.
    ///
    /// # Errors
    /// What the server says, and those of the transport.
    pub async fn open(&self, object: Pointer, link: Option<Link>) -> Result<Download, ObjectError> {
        let given = link.filter(|it| !it.is_stale());
        let renewable = given.is_some();
        let link = match given {
            Some(link) => link,
            None => self.fresh(object).await?,
        };
        let answer = self.get(object, link).await;
        match answer {
            Err(ObjectError::Forbidden { .. } | ObjectError::Missing { .. }) if renewable => {
                self.get(object, self.fresh(object).await?).await
            }
            answer => answer,
        }
    }

    async fn fresh(&self, object: Pointer) -> Result<Link, ObjectError> {
        let link = self.ask_one(Operation::Download, object).await?;
        link.ok_or_else(|| ObjectError::of_status(self.side, 404, None, "it named no address", object.size))
    }

    async fn get(&self, object: Pointer, link: Link) -> Result<Download, ObjectError> {
        let Link { mut href, mut headers, .. } = link;
        for _ in 0..=MOST_REDIRECTS {
            let request = self.with_credential(self.http.get(href.clone()), &href, &headers);
            let response = self.answered(request).await?;
            if response.status() == http::StatusCode::OK {
                return Download::of(response, object, self.side, self.patience.stall);
            }
            let Some(next) = redirect(&response) else { return Err(self.refusal(response, object.size).await) };
            if !is_same_server(&next, &href) {
                headers = HeaderMap::new();
            }
            if next.scheme() != "https" && href.scheme() == "https" {
                break;
            }
            href = next;
        }
        let detail = "the address of an LFS object leads nowhere".to_owned();
        Err(WireError::BadRedirect { side: self.side, detail }.into())
    }

    /// The right to upload these objects, in the order of their ids; wait for it before asking what is
    /// missing.
    pub async fn claim(&self, objects: &[Pointer]) -> Vec<Claim> {
        let mut oids: Vec<LfsOid> = objects.iter().map(|it| it.oid).collect();
        oids.sort_unstable();
        oids.dedup();
        let mut claims = Vec::with_capacity(oids.len());
        for oid in oids {
            claims.push(self.claims.take(self.base.path(), oid).await);
        }
        claims
    }

    /// Writes an object to where the batch call said. Only for objects that it asked for: OneDev deletes
    /// the object that is there when other bytes arrive. Claim it first.
    ///
    /// # Errors
    /// What was wrong with the source; then nothing, or a part, stands in the target: [`Self::check`] tells.
    /// What the server said, and those of the transport.
    pub async fn put(
        &self,
        object: Pointer,
        link: Link,
        source: Source,
        progress: &Arc<Progress>,
    ) -> Result<(), ObjectError> {
        let source = match source {
            Source::Coming(mut download) => {
                download.stall_after(LIVE_STALL);
                Source::Coming(download)
            }
            whole @ Source::Whole(_) => whole,
        };
        // What came with a link that has run out is of no use; our own credential is.
        let headers = if link.is_stale() { HeaderMap::new() } else { link.headers };
        let watch = Watch::default();
        let body = upload::body(source, Arc::clone(progress), watch.clone());
        let request = self.http.put(link.href.clone()).header(CONTENT_TYPE, "application/octet-stream");
        let request = request.header(CONTENT_LENGTH, object.size).body(body);
        let request = self.with_credential(request, &link.href, &headers);
        let result = self.watched(self.written(request, object), &watch).await;
        // What the target says about a body that broke off is not the cause of it.
        watch.cause().map_or(result, Err)?;
        match link.verify {
            Some(verify) => self.verify(object, *verify).await,
            None => Ok(()),
        }
    }

    /// Tells a server that wants to know it that an upload has ended: it counts only then.
    async fn verify(&self, object: Pointer, link: Link) -> Result<(), ObjectError> {
        let body = serde_json::to_vec(&object)
            .map_err(|error| WireError::BadRequest { detail: format!("a pointer cannot be written: {error}") })?;
        let request = self.http.post(link.href.clone()).header(ACCEPT, MEDIA_TYPE).header(CONTENT_TYPE, MEDIA_TYPE);
        let request = self.with_credential(request.body(body), &link.href, &link.headers);
        self.written(request, object).await
    }

    async fn written(&self, request: RequestBuilder, object: Pointer) -> Result<(), ObjectError> {
        let response = self.sent(request).await.map_err(|error| self.broken(error))?;
        if !response.status().is_success() {
            return Err(self.refusal(response, object.size).await);
        }
        self.small(response).await.map(drop)
    }

    /// Ends an upload in which no byte moves for the patience of a push, at most twice that.
    async fn watched(
        &self,
        upload: impl Future<Output = Result<(), ObjectError>>,
        watch: &Watch,
    ) -> Result<(), ObjectError> {
        let mut upload = std::pin::pin!(upload);
        let silence = self.patience.push;
        loop {
            let moved = watch.moved();
            match tokio::time::timeout(silence, &mut upload).await {
                Ok(result) => return result,
                Err(_) if watch.moved() == moved => {
                    return Err(WireError::Stalled { side: self.side, after: silence }.into());
                }
                Err(_) => {}
            }
        }
    }

    /// Where the target keeps an object, for one whose upload must be repeated though the batch call
    /// takes it for present.
    pub fn known_address(&self, oid: LfsOid) -> Link {
        Link::to(self.below(&format!("lfs/objects/{oid}"), Some(ONEDEVS)))
    }

    /// Reads an object back and hashes it.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub async fn check(&self, object: Pointer) -> Result<Standing, ObjectError> {
        let read = async {
            let (oid, size) = self.open_any(object).await?.measure().await?;
            Ok(match (oid == object.oid, size == object.size) {
                (true, true) => Standing::Good,
                (true, false) => Standing::OtherSize(size),
                (false, _) => Standing::Bad,
            })
        };
        match read.await {
            Err(ObjectError::Missing { .. }) => Ok(Standing::Absent),
            other => other,
        }
    }

    /// Whatever stands under the id, of whatever size.
    async fn open_any(&self, object: Pointer) -> Result<Download, ObjectError> {
        let link = self.fresh(object).await?;
        let request = self.with_credential(self.http.get(link.href.clone()), &link.href, &link.headers);
        let response = self.answered(request).await?;
        if response.status() != http::StatusCode::OK {
            return Err(self.refusal(response, object.size).await);
        }
        Ok(Download::unchecked(response, object, self.side, self.patience.stall))
    }

    fn below(&self, path: &str, query: Option<&str>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        url.set_query(query);
        url
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    /// The headers of a link, and our own credential where the link is on our server and brings none.
    fn with_credential(&self, request: RequestBuilder, href: &Url, headers: &HeaderMap) -> RequestBuilder {
        let request = request.headers(headers.clone());
        if is_same_server(href, &self.base) && !has_credential(headers) { self.signed(request) } else { request }
    }

    /// A question's answer. One that broke on a connection that the server was just closing is asked once
    /// more, since it changes nothing.
    async fn answered(&self, request: RequestBuilder) -> Result<Response, ObjectError> {
        let (after, again) = (self.patience.answer, request.try_clone());
        let asked = async {
            match (self.sent(request).await, again) {
                (Err(error), Some(again)) if !error.is_connect() && !error.is_timeout() => self.sent(again).await,
                (answer, _) => answer,
            }
        };
        match tokio::time::timeout(after, asked).await {
            Ok(answer) => answer.map_err(|error| self.broken(error)),
            Err(_) => {
                self.count("timeout");
                Err(WireError::NoAnswer { side: self.side, after }.into())
            }
        }
    }

    async fn sent(&self, request: RequestBuilder) -> Result<Response, reqwest::Error> {
        let answer = request.header(USER_AGENT, CLIENT_NAME).send().await;
        match &answer {
            Ok(response) => self.count(response.status().as_str()),
            Err(_) => self.count("error"),
        }
        answer
    }

    fn count(&self, code: &str) {
        self.metrics.upstream_requests.with_label_values(&[self.service, code]).inc();
    }

    fn broken(&self, error: reqwest::Error) -> ObjectError {
        WireError::Transport { side: self.side, detail: outbound::causes(error) }.into()
    }

    /// A body that must be small, to its end, so that the connection can be used again.
    async fn small(&self, mut response: Response) -> Result<Bytes, ObjectError> {
        let mut all = BytesMut::new();
        loop {
            let stall = self.patience.stall;
            let chunk = tokio::time::timeout(stall, response.chunk()).await;
            let chunk = chunk.map_err(|_| WireError::Stalled { side: self.side, after: stall })?;
            match chunk.map_err(|error| self.broken(error))? {
                None => return Ok(all.freeze()),
                Some(chunk) => all.extend_from_slice(&chunk),
            }
            if all.len() > MOST_ANSWER {
                let what = "an answer about LFS objects";
                return Err(WireError::TooLarge { side: self.side, what, limit: MOST_ANSWER as u64 }.into());
            }
        }
    }

    async fn refusal(&self, mut response: Response, size: u64) -> ObjectError {
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let after = header(RETRY_AFTER).trim().parse().ok().map(Duration::from_secs);
        let html = header(CONTENT_TYPE).starts_with("text/html");
        if html && status == 404 && self.side == Side::Target {
            return WireError::Booting { side: self.side }.into();
        }
        let body = beginning(&mut response).await;
        ObjectError::of_status(self.side, status, after, &self.words(&body, html), size)
    }

    /// What the server says in its JSON, or in plain text; a page for people tells nothing in one line.
    fn words(&self, body: &[u8], html: bool) -> String {
        #[derive(serde::Deserialize)]
        struct Said {
            message: String,
        }
        if html {
            return String::new();
        }
        match serde_json::from_slice::<Said>(body) {
            Ok(said) => self.redactor.line(said.message.as_bytes(), 300),
            Err(_) => self.redactor.line(body, 300),
        }
    }
}

fn redirect(response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    response.url().join(response.headers().get(LOCATION)?.to_str().ok()?).ok()
}
