//! Traces of OpenTelemetry, where `traces.otlp_endpoint` says so: each request, job and stage is a span.
//!
//! A trace's id is the correlation id of the log and the API, so that one star is one trace from its delivery to its
//! proof, whatever processes worked on it and whenever. Spans carry what the log's lines carry of them (ids, kinds,
//! stages), and no text of the log. They are sent from a thread of their own; what a collector does not take in time is
//! dropped, and nothing waits for it.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use secrecy::ExposeSecret as _;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::config::traces::Traces as Settings;
use crate::domain::ids::CorrelationId;

/// One export takes no longer, and neither does the last one at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends spans until it is ended.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// `None` where no traces are wanted.
    ///
    /// # Errors
    /// Why they cannot be sent.
    pub fn new(settings: &Settings) -> Result<Option<Self>, String> {
        let Some(endpoint) = settings.otlp_endpoint.clone() else { return Ok(None) };
        let authorization = settings.authorization.clone();
        // The client blocks, and may not be made where tasks run.
        let made = std::thread::spawn(move || {
            let client = reqwest::blocking::Client::builder()
                .user_agent(concat!("starkeep/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .timeout(PATIENCE)
                .build()
                .map_err(|it| it.to_string())?;
            let header = |it: secrecy::SecretString| ("Authorization".to_owned(), it.expose_secret().to_owned());
            let exporter = SpanExporter::builder()
                .with_http()
                .with_http_client(client)
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(endpoint.as_str())
                .with_headers(authorization.map(header).into_iter().collect::<HashMap<_, _>>())
                .with_timeout(PATIENCE)
                .build()
                .map_err(|it| it.to_string())?;
            let resource = Resource::builder().with_service_name("starkeep").build();
            Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
        });
        let made = made.join().map_err(|_| "their client cannot be made".to_owned())?;
        made.map(|it| Some(Self(it))).map_err(|why: String| format!("traces cannot be sent: {why}"))
    }

    /// Sees starkeep's own spans; not those of libraries, and no events, whose text may hold anything.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let ours = filter_fn(|it| it.is_span() && it.target().starts_with("starkeep"));
        let layer = tracing_opentelemetry::layer().with_tracer(self.0.tracer("starkeep"));
        layer.with_location(false).with_threads(false).with_tracked_inactivity(false).with_filter(ours)
    }

    /// Sends what is left, and waits for that a little.
    pub fn end(self) {
        let ended = std::thread::spawn(move || self.0.shutdown_with_timeout(PATIENCE));
        if !matches!(ended.join(), Ok(Ok(()))) {
            tracing::warn!("the last traces could not be sent");
        }
    }
}

/// Makes a span, not entered yet, part of the trace of this work. Nothing happens where there are no traces.
pub fn follow(span: &Span, CorrelationId(work): CorrelationId) {
    let [.., a, b, c, d, e, f, g, h] = *work.as_bytes();
    let root = SpanContext::new(
        TraceId::from_bytes(*work.as_bytes()),
        SpanId::from_bytes([a, b, c, d, e, f, g, h]),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    let _ = span.set_parent(Context::new().with_remote_span_context(root));
}
