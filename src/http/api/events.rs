//! Server-sent events: stage and progress of every sync, at whatever process it runs.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};

use super::query::Query;
use crate::http::auth::Admin;
use crate::http::connections::Connection;
use crate::http::followers::{self, Wish};
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::store::events::Event;

const MEDIA_TYPE: &str = "text/event-stream";
/// What was seen last.
const SEEN: &str = "last-event-id";
/// Asks nginx not to gather what is meant to arrive at once.
const UNBUFFERED: (&str, &str) = ("x-accel-buffering", "no");

/// `GET /events?mirror=`: server-sent events. Each `step` has an id and this JSON: `at`, `mirror`, `repository`, `stage`,
/// `bytes`. With `Last-Event-ID` the stream goes on after that one; `gap` comes first if it is not held any more.
#[utoipa::path(
    get, path = "/api/v1/events", operation_id = "followEvents", tag = "events",
    params(
        ("mirror" = Option<Uuid>, Query, description = "Only steps of this mirror."),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen."),
    ),
    responses((status = 200, body = Event, content_type = "text/event-stream"))
)]
pub(super) async fn follow(
    admin: Admin,
    shared: web::Data<Shared>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mirror = Query::read(&request, &["mirror"])?.get("mirror", "it is the id of a mirror")?;
    let seen = seen(&request)?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CONTENT_TYPE, MEDIA_TYPE)).insert_header(UNBUFFERED);
    if request.method() == Method::HEAD {
        return Ok(answer.finish());
    }
    let connection = request.conn_data::<Arc<Connection>>().cloned();
    let stream = followers::join(&shared.into_inner(), Wish { admin, mirror, seen, connection }).await?;
    Ok(answer.streaming(stream))
}

fn seen(request: &HttpRequest) -> Result<Option<i64>, Problem> {
    let Some(value) = request.headers().get(HeaderName::from_static(SEEN)) else { return Ok(None) };
    let text = value.to_str().unwrap_or("?").trim();
    if text.is_empty() {
        return Ok(None);
    }
    let id = text.parse().ok().filter(|it| *it >= 0);
    let refused = || Problem::bad_request("event_id_malformed", "Last-Event-ID is the id of an event, a whole number");
    id.map(Some).ok_or_else(refused)
}
