//! `Idempotency-Key`: a call that is made again under its key is not run again, but answered as before.
//!
//! ```text
//! POST with a key ─▶ let in? ─▶ body, whole ─▶ claim ─▶ run: the handler ─▶ settle
//!                                               ├─▶ answered before: the same answer
//!                                               ├─▶ under way: 409
//!                                               └─▶ another call under the same key: 422
//! ```

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use actix_web::body::{self, BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpRequest, HttpResponse, web};
use chrono::{TimeDelta, Utc};
use futures_util::FutureExt as _;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::input;
use crate::http::auth::{self, Admin};
use crate::http::problem::Problem;
use crate::http::request_id::RequestIds;
use crate::http::scopes;
use crate::http::shared::Shared;
use crate::store::Store;
use crate::store::keyed_calls::{self, Answer, Call, Claimed};

/// The header of the request.
pub(super) const HEADER: &str = "idempotency-key";
/// Tells that an answer was given before.
const REPLAYED: &str = "idempotency-replayed";
/// Longer keys are refused. Bytes.
const LONGEST_KEY: usize = 200;
/// Longer answers are not kept. Bytes.
const LONGEST_ANSWER: u64 = 256 * 1024;
/// A call that was not settled after so long was cut off. They take less; should a range of replays take longer, the
/// same range may be replayed twice, which changes nothing.
const PATIENCE: TimeDelta = TimeDelta::minutes(2);
/// How long an answer is kept.
const LIFETIME: TimeDelta = keyed_calls::LIFETIME;
/// When to ask again for the answer of a call that is under way.
const PAUSE: Duration = Duration::from_secs(1);
/// These answers show a secret, which is kept nowhere.
const SECRET: [&str; 2] = ["/api/v1/api-keys", "/api/v1/api-keys/{id}/rotate"];
/// A batch has its key in its row, and is found by it as long as it is kept.
const OWN: &str = "/api/v1/batches";

/// The key of a call.
///
/// # Errors
/// 400 for one that is not 1 to 200 visible characters of ASCII, or is given twice.
pub(super) fn key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut all = request.headers().get_all(HEADER);
    let Some(value) = all.next() else { return Ok(None) };
    let fits = (1..=LONGEST_KEY).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    match value.to_str() {
        Ok(key) if fits && all.next().is_none() => Ok(Some(key.to_owned())),
        _ => Err(Problem::bad_request(
            "idempotency_key_malformed",
            "an Idempotency-Key is 1 to 200 visible characters of ASCII, given once",
        )),
    }
}

/// Around every call of the API.
pub(in crate::http) async fn once(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let is_keyed = request.method() == Method::POST
        && request.headers().contains_key(HEADER)
        && request.match_pattern().is_some_and(|it| it != OWN)
        && scopes::demanded(request.request()).is_some();
    if !is_keyed {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    }
    match claim(&mut request).await {
        Ok(Found::Run(call, shared)) => run(request, next, call, shared).await,
        Ok(Found::Answer(answer)) => Ok(request.into_response(answer)),
        Err(problem) => Ok(request.error_response(problem)),
    }
}

enum Found {
    Run(Call, web::Data<Shared>),
    Answer(HttpResponse),
}

/// Nothing is told, and nothing read, before it is clear that the caller may make this call.
async fn claim(request: &mut ServiceRequest) -> Result<Found, Problem> {
    let missing = || Problem::internal("a request came in past the shell");
    let shared = request.app_data::<web::Data<Shared>>().cloned().ok_or_else(missing)?;
    let admin = auth::admit(request.request()).await?;
    let key = key(request.request())?.unwrap_or_default();
    let payload = request.extract::<web::Payload>().await.map_err(|it| Problem::internal(it.to_string()))?;
    let body = shared.room.read(request.request(), payload, input::LARGEST).await?;
    let call = call(request.request(), &admin, &key, &body.bytes);
    request.set_payload(Payload::from(web::Bytes::from(body.bytes)));
    let wanted = call.clone();
    let claimed = shared.store.write(move |c| keyed_calls::claim(c, &wanted, (PATIENCE, LIFETIME), Utc::now())).await?;
    match claimed {
        Claimed::Run => Ok(Found::Run(call, shared)),
        Claimed::Answered(answer) => replayed(answer).map(Found::Answer),
        Claimed::UnderWay(_) => {
            let detail = "the same call is under way; come again for its answer";
            Err(Problem::conflict("idempotency_under_way", detail).after(PAUSE))
        }
        Claimed::Reused => {
            let detail = "this Idempotency-Key was used for another call; choose a new one for this one";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail))
        }
    }
}

/// Parts of any length, each with its length before it: no two lists of parts are the same bytes.
fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

/// Keys of different callers, and of different routes, have nothing to do with each other.
fn call(request: &HttpRequest, admin: &Admin, key: &str, body: &[u8]) -> Call {
    let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    Call {
        id: digest(&[admin.actor.as_bytes(), request.path().as_bytes(), key.as_bytes()]),
        digest: digest(&[request.query_string().as_bytes(), kind, body]),
        holder: Uuid::now_v7().to_string(),
    }
}

fn replayed(answer: Answer) -> Result<HttpResponse, Problem> {
    let Answer { status, content_type, location, body } = answer;
    let Some(body) = body else {
        let place = location.map(|it| format!(": see `{it}`")).unwrap_or_default();
        let detail = format!(
            "this call was made before under this Idempotency-Key and was answered {status}, but its answer shows a \
             secret or is very long and was not kept{place}"
        );
        return Err(Problem::conflict("idempotency_answer_not_kept", detail));
    };
    let status = StatusCode::from_u16(status).map_err(|it| Problem::internal(it.to_string()))?;
    let mut answer = HttpResponse::build(status);
    answer.insert_header((HeaderName::from_static(REPLAYED), HeaderValue::from_static("true")));
    for (name, value) in [(CONTENT_TYPE, content_type), (LOCATION, location)] {
        if let Some(value) = value {
            answer.insert_header((name, value));
        }
    }
    Ok(answer.body(body))
}

/// On a task of its own: a caller who hangs up must not leave a call half told.
async fn run(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    call: Call,
    shared: web::Data<Shared>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let work = async move {
        let keeps = !request.match_pattern().is_some_and(|it| SECRET.contains(&it.as_str()));
        let answered = AssertUnwindSafe(next.call(request)).catch_unwind().await;
        let (answered, answer) = match answered {
            Ok(Ok(response)) => {
                let (request, response) = response.map_into_boxed_body().into_parts();
                let (response, answer) = taken_down(&request, response, keeps).await?;
                (Ok(Ok(ServiceResponse::new(request, response))), answer)
            }
            failed => (failed.map(|it| it.map(ServiceResponse::map_into_boxed_body)), None),
        };
        settle(&shared.store, call, answer).await;
        answered.unwrap_or_else(|panic| resume_unwind(panic))
    };
    match actix_web::rt::spawn(work).await {
        Ok(answered) => answered,
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        Err(error) => Err(Problem::internal(error.to_string()).into()),
    }
}

/// A call that was answered and could not be written down is free again when its patience is over.
async fn settle(store: &Store, call: Call, answer: Option<Answer>) {
    let written = store.write(move |c| match &answer {
        Some(answer) => keyed_calls::settle(c, &call, answer),
        None => keyed_calls::drop(c, &call),
    });
    if let Err(error) = written.await {
        tracing::warn!(code = error.code(), "the answer of a keyed call could not be recorded: {error}");
    }
}

/// The answer as it is kept: `None` when the call may be made anew.
async fn taken_down(
    request: &HttpRequest,
    response: HttpResponse,
    keeps: bool,
) -> Result<(HttpResponse, Option<Answer>), Problem> {
    if is_for_now(response.status()) {
        return Ok((response, None));
    }
    let problem = response.error().and_then(|it| it.as_error::<Problem>()).cloned();
    let ids = request.extensions().get::<RequestIds>().cloned();
    if let (Some(problem), Some(ids)) = (problem, ids) {
        // The shell writes the same document later.
        let (_, answer) = with_body(problem.response(&ids), keeps).await?;
        return Ok((response, Some(answer)));
    }
    let (response, answer) = with_body(response, keeps).await?;
    Ok((response, Some(answer)))
}

async fn with_body(response: HttpResponse, keeps: bool) -> Result<(HttpResponse, Answer), Problem> {
    let text = |name: &HeaderName| response.headers().get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
    let mut answer = Answer {
        status: response.status().as_u16(),
        content_type: text(&CONTENT_TYPE),
        location: text(&LOCATION),
        body: None,
    };
    let fits = match response.body().size() {
        BodySize::None => true,
        BodySize::Sized(length) => length <= LONGEST_ANSWER,
        BodySize::Stream => false,
    };
    if !fits || (!keeps && response.status().is_success()) {
        return Ok((response, answer));
    }
    let (response, body) = response.into_parts();
    let bytes = body::to_bytes(body).await.map_err(|it| Problem::internal(it.to_string()))?;
    answer.body = String::from_utf8(bytes.to_vec()).ok();
    Ok((response.set_body(BoxBody::new(bytes)), answer))
}

/// What another try may answer otherwise.
fn is_for_now(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}
