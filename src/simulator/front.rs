//! The front of both simulated servers: every request is written down, goes through the planned
//! faults, and only then reaches GitHub's or OneDev's own handler.

use std::future::Future;
use std::pin::Pin;

use actix_web::body::{BodyStream, BoxBody, MessageBody as _, to_bytes};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};

use super::faults::{Arrived, Fault, Happening, Hold, Plan};
use super::garble;
use super::git_http::{self, GitCall};
use super::process::Quirks;
use super::record::{RequestLog, RequestRecord};
use super::streams::{self, ByteStream, Then, severed};

/// What one server has seen and what it has in store.
#[derive(Debug, Default)]
pub(crate) struct Front {
    pub(crate) log: RequestLog,
    pub(crate) plan: Plan,
}

impl Front {
    /// Leads one request through, with `serve` as the handler behind it.
    pub(crate) async fn lead<F, Served>(&self, request: HttpRequest, payload: web::Payload, serve: F) -> HttpResponse
    where
        F: FnOnce(HttpRequest, ByteStream, Quirks) -> Served,
        Served: Future<Output = HttpResponse>,
    {
        self.log.add(RequestRecord::of(&request));
        let call = GitCall::of(request.uri().path(), request.query_string()).map(|(_, call)| call);
        let mut body = git_http::request_body(request.headers(), payload);
        let mut start = Bytes::new();
        if matches!(call, Some(GitCall::Exchange(_))) && self.plan.reads_bodies() {
            (start, body) = streams::peek(body, 1024).await;
        }
        let arrived = Arrived { method: request.method().as_str(), path: request.uri().path(), call, start: &start };
        let happenings = self.plan.take(&arrived);
        let mut quirks = Quirks::default();
        for happening in &happenings {
            match happening {
                Happening::Fault(Fault::Answer { status, headers, body }) => return answer(*status, headers, body),
                Happening::Hold(Hold::Arrival, barrier) => barrier.pass().await,
                other => body = change_request(other, body, &mut quirks),
            }
        }
        let mut response = serve(request, body, quirks).await;
        for happening in happenings {
            response = change_response(happening, response).await;
        }
        response
    }
}

fn answer(status: u16, headers: &[(String, String)], body: &str) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    for (name, value) in headers {
        response.insert_header((name.as_str(), value.as_str()));
    }
    response.body(body.to_owned())
}

/// A request's body as a fault leaves it.
pub(crate) fn change_request(happening: &Happening, body: ByteStream, quirks: &mut Quirks) -> ByteStream {
    match happening {
        Happening::Fault(Fault::CutRequest { after }) => streams::after(body, *after, Then::Cut),
        Happening::Fault(Fault::StallRequest { after }) => streams::after(body, *after, Then::Stall),
        Happening::Hold(Hold::RequestBytes(after), barrier) => {
            streams::after(body, *after, Then::Hold(barrier.clone()))
        }
        Happening::Fault(Fault::Decline(words)) => {
            quirks.decline = Some(words.clone());
            body
        }
        Happening::Fault(Fault::LoseReport) => {
            quirks.lose_report = true;
            body
        }
        _ => body,
    }
}

async fn change_response(happening: Happening, response: HttpResponse) -> HttpResponse {
    match happening {
        Happening::Hold(Hold::Answer, barrier) => {
            let (head, body) = response.into_parts();
            let Ok(whole) = to_bytes(body).await else { return severed() };
            barrier.pass().await;
            head.set_body(BoxBody::new(whole))
        }
        it if changes_body(&it) => with_body(response, |body| change_body(it, body)),
        _ => response,
    }
}

/// An answer that has no head, as a fault leaves it.
pub(crate) async fn change_answer(happening: Happening, body: ByteStream) -> ByteStream {
    match happening {
        Happening::Hold(Hold::Answer, barrier) => {
            let whole: Vec<std::io::Result<Bytes>> = body.collect().await;
            barrier.pass().await;
            stream::iter(whole).boxed_local()
        }
        other => change_body(other, body),
    }
}

fn changes_body(happening: &Happening) -> bool {
    matches!(
        happening,
        Happening::Hold(Hold::ResponseBytes(_), _)
            | Happening::Fault(
                Fault::CutResponse { .. }
                    | Fault::StallResponse { .. }
                    | Fault::SlowResponse { .. }
                    | Fault::GarbagePack
                    | Fault::LoseFlush
            )
    )
}

fn change_body(happening: Happening, body: ByteStream) -> ByteStream {
    match happening {
        Happening::Fault(Fault::CutResponse { after }) => streams::after(body, after, Then::Cut),
        Happening::Fault(Fault::StallResponse { after }) => streams::after(body, after, Then::Stall),
        Happening::Fault(Fault::SlowResponse { bytes_per_second }) => streams::slow(body, bytes_per_second),
        Happening::Fault(Fault::GarbagePack) => garble::pack(body),
        Happening::Fault(Fault::LoseFlush) => garble::without_last_flush(body),
        Happening::Hold(Hold::ResponseBytes(after), barrier) => streams::after(body, after, Then::Hold(barrier)),
        _ => body,
    }
}

fn with_body(response: HttpResponse, change: impl FnOnce(ByteStream) -> ByteStream) -> HttpResponse {
    response.map_body(|_, mut body| {
        let stream = stream::poll_fn(move |cx| {
            Pin::new(&mut body).poll_next(cx).map_err(|error| std::io::Error::other(error.to_string()))
        });
        BoxBody::new(BodyStream::new(change(stream.boxed_local())))
    })
}
