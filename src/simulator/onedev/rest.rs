//! The simulated OneDev's REST: what comes before any endpoint (credentials, media type, query
//! parameters) and which endpoint a path means. Answers are made off the server's loop, since some
//! walk histories.

use std::collections::BTreeMap;

use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::BytesMut;
use futures_util::StreamExt as _;

use super::auth::Principal;
use super::reply::Reply;
use super::{Shared, others, projects, repositories};
use crate::simulator::percent;
use crate::simulator::record::lock;
use crate::simulator::streams::ByteStream;

/// No body that a client sends is longer.
const LONGEST_BODY: usize = 4 * 1024 * 1024;

/// A call, free of the connection it came by.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// Decoded segments behind `/~api/`, as they stand between the slashes of the raw path.
    pub(crate) segments: Vec<String>,
    /// The raw path behind `/~api/`.
    pub(crate) raw: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) is_json: bool,
    authorization: Option<String>,
    /// `http://host:port`, as the client wrote it.
    pub(crate) base: String,
    pub(crate) principal: Principal,
}

pub(crate) async fn answer(shared: web::Data<Shared>, request: HttpRequest, body: ByteStream) -> HttpResponse {
    let call = match read(&request, body).await {
        Ok(call) => call,
        Err(reply) => return reply.into(),
    };
    match web::block(move || serve(&shared, call)).await {
        Ok(reply) => reply.into(),
        Err(_) => Reply::server_error("Server Error").into(),
    }
}

async fn read(request: &HttpRequest, mut body: ByteStream) -> Result<Call, Reply> {
    let header = |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(|_| Reply::text(400, "broken body"))?);
        if bytes.len() > LONGEST_BODY {
            return Err(Reply::text(413, "Request Entity Too Large"));
        }
    }
    let raw = request.uri().path().strip_prefix("/~api/").unwrap_or_default().to_owned();
    Ok(Call {
        method: request.method().to_string(),
        segments: raw.split('/').map(decoded).collect(),
        query: url::form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect(),
        body: bytes.to_vec(),
        is_json: header(CONTENT_TYPE.as_str()).is_some_and(|it| it.starts_with("application/json")),
        authorization: header(AUTHORIZATION.as_str()),
        base: format!("http://{}", header(HOST.as_str()).unwrap_or_default()),
        principal: Principal::Anonymous,
        raw,
    })
}

/// A path segment without its escapes; `+` stays `+`.
pub(crate) fn decoded(segment: &str) -> String {
    percent::decode(segment, false).and_then(|it| String::from_utf8(it).ok()).unwrap_or_else(|| segment.to_owned())
}

fn serve(shared: &Shared, mut call: Call) -> Reply {
    let principal = {
        let state = lock(&shared.state);
        Principal::of(&state, &shared.options.onedev_password, call.authorization.as_deref())
    };
    call.principal = match principal {
        Ok(principal) => principal,
        Err(reply) => return reply,
    };
    let reads_openly =
        call.method == "GET" && lock(&shared.state).security.get("enableAnonymousAccess") == Some(&true.into());
    if call.principal == Principal::Anonymous && !reads_openly {
        return Reply::text(401, "Not authenticated");
    }
    if call.method == "POST" && !call.is_json {
        return Reply::text(415, "HTTP 415 Unsupported Media Type");
    }
    if !matches!(call.method.as_str(), "GET" | "POST" | "DELETE") {
        return Reply::text(405, "HTTP 405 Method Not Allowed");
    }
    route(shared, &call).unwrap_or_else(|reply| reply)
}

fn route(shared: &Shared, call: &Call) -> Result<Reply, Reply> {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    let (first, rest) = segments.split_first().ok_or_else(unknown)?;
    match *first {
        "projects" => projects::answer(shared, call, rest),
        "repositories" => repositories::answer(shared, call, rest),
        _ => others::answer(shared, call, first, rest),
    }
}

/// 404 for a path that is no endpoint's.
pub(crate) fn unknown() -> Reply {
    Reply::text(404, "HTTP 404 Not Found")
}

impl Call {
    /// Refuses query parameters that an endpoint does not have, and the lack of those it must have.
    ///
    /// # Errors
    /// 406 with OneDev's words.
    pub(crate) fn check_query(&self, required: &[&str], optional: &[&str]) -> Result<(), Reply> {
        let missing: Vec<_> = required.iter().filter(|it| !self.query.contains_key(**it)).copied().collect();
        if !missing.is_empty() {
            return Err(Reply::text(406, &format!("Missing query params: [{}]", missing.join(", "))));
        }
        let known = |it: &&String| required.contains(&it.as_str()) || optional.contains(&it.as_str());
        let unexpected: Vec<_> = self.query.keys().filter(|it| !known(it)).map(String::as_str).collect();
        if !unexpected.is_empty() {
            return Err(Reply::text(406, &format!("Unexpected query params: [{}]", unexpected.join(", "))));
        }
        Ok(())
    }

    /// A number of the query.
    ///
    /// # Errors
    /// 404, as JAX-RS answers a parameter that is no number.
    pub(crate) fn number(&self, name: &str) -> Result<usize, Reply> {
        self.query.get(name).map_or(Ok(0), |it| it.parse().map_err(|_| unknown()))
    }

    /// `offset` and `count`, both required; more than 100 at once is for `admin`.
    ///
    /// # Errors
    /// 406 with OneDev's words.
    pub(crate) fn page(&self, optional: &[&str]) -> Result<(usize, usize), Reply> {
        self.check_query(&["offset", "count"], optional)?;
        let (offset, count) = (self.number("offset")?, self.number("count")?);
        if count > 100 && self.principal != Principal::Admin {
            return Err(Reply::text(406, "Count should not be greater than 100"));
        }
        Ok((offset, count))
    }

    /// 403, or 401 for one who did not say who he is.
    pub(crate) fn refused(&self) -> Reply {
        let status = if self.principal == Principal::Anonymous { 401 } else { 403 };
        Reply::text(status, "Not authorized")
    }
}
