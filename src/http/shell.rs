//! Around every request: its ids, one line in the access log, panics caught, errors as problem
//! documents, and the headers that every answer has.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpRequest, HttpResponse, web};
use futures_util::FutureExt as _;
use tracing::Instrument as _;

use super::auth::Presented;
use super::client_address::{self, ClientAddress};
use super::connections::{Connection, held};
use super::cors::Cors;
use super::problem::{MEDIA_TYPE, Problem};
use super::refusals::Refused;
use super::request_id::{self, RequestIds};
use super::shared::Shared;
use super::{scopes, session, upkeep};
use crate::telemetry::traces;

/// Longer paths are cut in the log. Characters.
const LONGEST_PATH: usize = 200;
/// The same of methods, which may be any word.
const LONGEST_METHOD: usize = 20;

/// When to come again with what was not answered in time.
const PAUSE: Duration = Duration::from_secs(5);

/// What an answer has unless its handler said otherwise. Nothing here is for a browser to render,
/// frame, guess the type of or keep.
const HEADERS: [(HeaderName, &str); 4] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (REFERRER_POLICY, "no-referrer"),
];

pub(super) async fn shell(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let ids = RequestIds::read(request.headers());
    let address = address(&request);
    request.extensions_mut().insert(ids.clone());
    request.extensions_mut().insert(address);
    let line = Line::begin(&request, address);
    let in_hand = request.conn_data::<Arc<Connection>>().map(Connection::take_in_hand);
    let limit = limit(&request);
    if let Some(answer) = line.cors.preflight(&request) {
        return Ok(request.into_response(line.end(&ids, None, answer)));
    }
    let span = tracing::info_span!("request", correlation_id = %ids.correlation);
    traces::follow(&span, ids.correlation);
    let answered = AssertUnwindSafe(async move { next.call(request).await }).catch_unwind();
    let answered = in_time(answered.instrument(span.clone()), limit).await;
    let _span = span.enter();
    match answered {
        Ok(Ok(response)) => {
            let (request, response) = response.map_into_boxed_body().into_parts();
            let problem = problem_in(&response);
            if let Some(problem) = &problem {
                record_refusal(&request, &ids, address, problem);
            }
            let response = line.end(&ids, problem.as_ref(), response);
            let response = response.map_body(|_, body| match in_hand {
                Some(in_hand) => held(body, in_hand),
                None => body,
            });
            Ok(ServiceResponse::new(request, response))
        }
        Ok(Err(error)) => Err(line.end_outside(&ids, problem_of(&error))),
        Err(panic) => Err(line.end_outside(&ids, Problem::internal(text_of(panic.as_ref())))),
    }
}

/// How long a call may take.
fn limit(request: &ServiceRequest) -> Option<Duration> {
    request.app_data::<web::Data<Shared>>().map(|it| it.request_timeout)
}

/// What is not answered in time is dropped; what it left to others may still be done.
async fn in_time<T, P>(
    answered: impl Future<Output = Result<Result<T, Error>, P>>,
    limit: Option<Duration>,
) -> Result<Result<T, Error>, P> {
    let Some(limit) = limit else { return answered.await };
    tokio::time::timeout(limit, answered).await.unwrap_or_else(|_| {
        let detail = "this was not answered within `server.request_timeout`; what it asked for may still be done";
        Ok(Err(Problem::unavailable("request_took_too_long", detail, PAUSE).into()))
    })
}

/// What the admin API refuses goes to the audit log, behind the answer's back; and who could not sign in. The page asks
/// for its session whenever it is opened, which is nothing to tell of.
fn record_refusal(request: &HttpRequest, ids: &RequestIds, ClientAddress(address): ClientAddress, problem: &Problem) {
    let is_of_session = request.path().starts_with(session::PATH) && !request.method().is_safe();
    let is_refusal = matches!(problem.status().as_u16(), 401 | 403 | 429)
        && (request.path().starts_with(scopes::ROOT) || is_of_session);
    let Some(shared) = request.app_data::<web::Data<Shared>>().filter(|_| is_refusal) else { return };
    let refused = Refused {
        address,
        actor: request.extensions().get::<Presented>().map(|it| it.0.clone()),
        method: request.method().as_str().chars().take(LONGEST_METHOD).collect(),
        path: request.path().chars().take(LONGEST_PATH).collect(),
        status: problem.status().as_u16(),
        code: problem.code(),
        correlation: ids.correlation,
    };
    if let Some(entry) = shared.refusals.note(refused, Instant::now()) {
        let store = shared.store.clone();
        actix_web::rt::spawn(async move { upkeep::write_entries(&store, vec![entry]).await });
    }
}

fn address(request: &ServiceRequest) -> ClientAddress {
    let trusted = request.app_data::<web::Data<Shared>>().map(|it| it.trusted_proxies.as_slice());
    ClientAddress(client_address::of(request.request(), trusted.unwrap_or_default()))
}

fn problem_of(error: &Error) -> Problem {
    let known = error.as_error::<Problem>().cloned();
    known.unwrap_or_else(|| Problem::of_status(error.as_response_error().status_code()))
}

/// The problem that a response stands for: its handler's own, or one made of its status.
fn problem_in(response: &HttpResponse) -> Option<Problem> {
    if let Some(error) = response.error() {
        return Some(problem_of(error));
    }
    let status = response.status();
    let told = response.headers().get(CONTENT_TYPE).is_some_and(|it| it.as_bytes() == MEDIA_TYPE.as_bytes());
    let failed = status.is_client_error() || status.is_server_error();
    (failed && !told).then(|| Problem::of_status(status).allowing(response.headers().get(ALLOW).cloned()))
}

/// What a panic said.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|it| (*it).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panic: {}", text.unwrap_or_else(|| "without a text".to_owned()))
}

/// One line of the access log in the making.
struct Line {
    method: String,
    path: String,
    address: ClientAddress,
    begun: Instant,
    cors: Cors,
}

impl Line {
    /// The query is left out: it may hold what was not meant for a log.
    fn begin(request: &ServiceRequest, address: ClientAddress) -> Self {
        let path = request.path().chars().take(LONGEST_PATH).collect();
        let shared = request.app_data::<web::Data<Shared>>();
        let cors = Cors::of(request, shared.map(|it| it.cors_origins.as_slice()).unwrap_or_default());
        Self { method: request.method().to_string(), path, address, begun: Instant::now(), cors }
    }

    /// Dresses the answer and writes the line.
    fn end(&self, ids: &RequestIds, problem: Option<&Problem>, response: HttpResponse) -> HttpResponse {
        let mut response = problem.map_or(response, |it| it.response(ids));
        let headers = response.headers_mut();
        for (name, value) in HEADERS {
            if !headers.contains_key(&name) {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        self.cors.dress(headers);
        if let Ok(value) = HeaderValue::from_str(&ids.shown) {
            headers.insert(HeaderName::from_static(request_id::HEADER), value);
        }
        self.write(ids, response.status(), problem);
        response
    }

    /// The same for an answer that has no request to be put back to any more.
    fn end_outside(&self, ids: &RequestIds, problem: Problem) -> Error {
        let response = self.end(ids, Some(&problem), HttpResponse::InternalServerError().finish());
        InternalError::from_response(problem, response).into()
    }

    fn write(&self, ids: &RequestIds, status: StatusCode, problem: Option<&Problem>) {
        let duration_ms = self.begun.elapsed().as_secs_f64() * 1_000.0;
        let (method, path) = (self.method.as_str(), self.path.as_str());
        if let Some((problem, cause)) = problem.and_then(|it| Some((it, it.cause()?))) {
            tracing::warn!(method, path, code = problem.code(), "a request failed: {cause}");
        }
        let (status, code) = (status.as_u16(), problem.map(Problem::code));
        let request_id = ids.shown.as_str();
        // Probes and scrapes come every few seconds and say nothing while all is well.
        if status < 400 && matches!(path, "/healthz" | "/readyz" | "/metrics") {
            tracing::debug!(method, path, status, duration_ms, request_id, address = %self.address.0, "answered");
        } else {
            tracing::info!(method, path, status, code, duration_ms, request_id, address = %self.address.0, "answered");
        }
    }
}
