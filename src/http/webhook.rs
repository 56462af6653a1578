//! `POST /webhooks/github`: what GitHub delivers.
//!
//! The order of the checks is part of the surface: the cheap ones come first, and behind the
//! signature only what GitHub itself sent is looked at. The answer 202 is given after the delivery
//! and its jobs are on disk.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::client_address::ClientAddress;
use super::problem::Problem;
use super::request_id::RequestIds;
use super::shared::Shared;
use crate::stages::messages::{Accept, Accepted, Reception};
use crate::webhook::headers::{self, Delivery};
use crate::webhook::{payload, signature};

/// How long a delivery may wait for its turn. GitHub gives up after 10 s.
const PATIENCE: Duration = Duration::from_secs(5);

/// A larger body is read on a thread of its own, or all who share the reader's would wait. Bytes.
const LARGE: usize = 256 << 10;

/// Events that have a label of their own in the metrics; anybody may send any word.
const LABELS: [&str; 4] = ["ping", "push", "repository", "star"];

/// What the sender of a delivery is told, once it is on disk.
#[derive(Serialize, ToSchema)]
#[schema(as = TakenDelivery)]
struct TakenView {
    /// GitHub's GUID of it.
    delivery: Uuid,
    status: Reception,
    /// The jobs that were queued for it.
    jobs: Vec<i64>,
}

/// `POST /webhooks/github`: what GitHub delivers. 202 after the delivery and its jobs are on disk. The body is one of
/// GitHub's events, signed with `github.webhook_secret`.
#[utoipa::path(post, path = "/webhooks/github", operation_id = "deliver", tag = "webhooks",
    params(
        ("X-GitHub-Event" = String, Header, description = "The event's name."),
        ("X-GitHub-Delivery" = Uuid, Header, description = "The delivery's GUID."),
        ("X-Hub-Signature-256" = String, Header, description = "`sha256=` and the HMAC of the body."),
    ),
    request_body = Object,
    responses((status = 202, body = TakenView), (status = 400), (status = 401), (status = 404), (status = 409),
        (status = 429), (status = 502), (status = 503)))]
pub(super) async fn receive(
    shared: web::Data<Shared>,
    request: HttpRequest,
    ids: RequestIds,
    address: ClientAddress,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let timer = shared.metrics.webhook_duration.start_timer();
    let taken = take(&shared, &request, &ids, address, body).await;
    timer.observe_duration();
    let outcome = taken.as_ref().map_or_else(Problem::code, |(_, it)| it.reception.as_str());
    shared.metrics.webhook_deliveries.with_label_values(&[label(&request), outcome]).inc();
    let (delivery, accepted) = taken?;
    Ok(HttpResponse::Accepted().json(TakenView {
        delivery: delivery.id,
        status: accepted.reception,
        jobs: accepted.jobs.into_iter().map(|it| it.0).collect(),
    }))
}

fn label(request: &HttpRequest) -> &'static str {
    let event = text(request, "X-GitHub-Event");
    LABELS.into_iter().find(|it| Some(*it) == event).unwrap_or("other")
}

fn text<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

async fn take(
    shared: &Shared,
    request: &HttpRequest,
    ids: &RequestIds,
    ClientAddress(address): ClientAddress,
    body: web::Payload,
) -> Result<(Delivery, Accepted), Problem> {
    (shared.webhook_gate)(address)
        .map_err(|pause| Problem::too_many("rate_limited", "too many webhooks came from this address", pause))?;
    let secrets = shared.secrets.borrow().webhook.clone();
    if secrets.is_empty() {
        let detail =
            "webhooks are not taken: set `github.webhook_secret` in the configuration, and the same secret at GitHub";
        return Err(Problem::unavailable("webhook_secret_not_set", detail, Duration::from_secs(60)));
    }
    headers::expect_json(text(request, "Content-Type"))?;
    let body = shared.room.read(request, body, shared.max_webhook_bytes).await?;
    let is_large = body.bytes.len() > LARGE;
    let presented = text(request, signature::HEADER).unwrap_or_default().to_owned();
    let delivery = Delivery::read(|name| text(request, name));
    let read = move || -> Result<_, Problem> {
        signature::verify(&secrets, &body.bytes, &presented)?;
        let delivery = delivery?;
        let event = payload::parse(&delivery.event, &body.bytes)?;
        Ok((delivery, event))
    };
    let (delivery, event) = if is_large {
        tokio::task::spawn_blocking(read).await.map_err(|it| Problem::internal(it.to_string()))??
    } else {
        read()?
    };
    let accept = Accept { guid: delivery.id.to_string(), event, correlation: ids.correlation, sent_at: None };
    let answer = tokio::time::timeout(shared.webhook_limit, shared.stages.accept.ask(accept, PATIENCE)).await;
    let late = |_| Problem::unavailable("busy", "the delivery could not be taken in time; deliver it again", PATIENCE);
    Ok((delivery, answer.map_err(late)???))
}
