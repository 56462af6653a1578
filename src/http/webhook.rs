//! `POST /webhooks/github`: what GitHub delivers.
//!
//! The order of the checks is part of the surface: the cheap ones come first, and behind the
//! signature only what GitHub itself sent is looked at. The answer 202 is given after the delivery
//! and its jobs are on disk.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::client_address::ClientAddress;
use super::problem::Problem;
use super::request_id::RequestIds;
use super::shared::Shared;
use crate::stages::messages::{Accept, Accepted};
use crate::webhook::headers::{self, Delivery};
use crate::webhook::{payload, signature};

/// How long a delivery may wait for its turn. GitHub gives up after 10 s.
const PATIENCE: Duration = Duration::from_secs(5);

/// Events that have a label of their own in the metrics; anybody may send any word.
const LABELS: [&str; 4] = ["ping", "push", "repository", "star"];

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
    Ok(HttpResponse::Accepted().json(json!({
        "delivery": delivery.id,
        "status": accepted.reception.as_str(),
        "jobs": accepted.jobs,
    })))
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
    signature::verify(&secrets, &body.bytes, text(request, signature::HEADER).unwrap_or_default())?;
    let delivery = Delivery::read(|name| text(request, name))?;
    let event = payload::parse(&delivery.event, &body.bytes)?;
    drop(body);
    let accept = Accept { guid: delivery.id.to_string(), event, correlation: ids.correlation, sent_at: None };
    let answer = tokio::time::timeout(shared.webhook_limit, shared.stages.accept.ask(accept, PATIENCE)).await;
    let late = |_| Problem::unavailable("busy", "the delivery could not be taken in time; deliver it again", PATIENCE);
    Ok((delivery, answer.map_err(late)???))
}
