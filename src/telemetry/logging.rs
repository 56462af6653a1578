//! The log: one line an event on stderr, JSON for machines or plain for people.
//!
//! Events come from `tracing` (and from libraries that use `log`). In JSON the fields of all
//! surrounding spans stand flat beside those of the event, the innermost winning, so that
//! `correlation_id` of a delivery's span is a top-level field of every line up to the proof. No line
//! leaves without [`super::redaction`].

use std::fmt;
use std::io;

use chrono::{SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use super::redaction::Redacting;
use super::traces::Traces;
use crate::config::log::{Format, Log};

/// Starts the log of this process, and its traces if there are any; `terminal` says whether stderr is one. Returns
/// whether this call did it: a second call changes nothing.
pub fn init(log: &Log, traces: Option<&Traces>, terminal: bool) -> bool {
    use tracing_subscriber::util::SubscriberInitExt as _;
    subscriber(log, traces, terminal, io::stderr).try_init().is_ok()
}

/// From now on a panic is a line of the log, with its place, instead of raw text between the lines.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(panic = message, place, "a thread panicked");
    }));
}

/// The layout that `log.format` means for this stderr.
pub fn format(log: &Log, terminal: bool) -> Format {
    log.format.unwrap_or(if terminal { Format::Pretty } else { Format::Json })
}

fn subscriber<W>(log: &Log, traces: Option<&Traces>, terminal: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // The configuration has checked the level; a caller's own nonsense must not stop the program.
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let writer = MakeRedacting(writer);
    let base = tracing_subscriber::registry().with(filter).with(traces.map(Traces::layer));
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match format(log, terminal) {
        Format::Json => Box::new(base.with(lines.fmt_fields(JsonFields::new()).event_format(Flat))),
        Format::Pretty => Box::new(base.with(lines.with_ansi(terminal && colours_wanted()).with_target(false))),
    }
}

/// The custom of <https://no-color.org>: any value that is not empty says no.
fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}

struct MakeRedacting<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for MakeRedacting<W> {
    type Writer = Redacting<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Redacting(self.0.make_writer())
    }
}

/// One JSON object a line, spans flattened.
struct Flat;

/// The fixed fields come first and in this order; the others follow by name.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'a str,
    target: &'a str,
    message: Value,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl<S, N> FormatEvent<S, N> for Flat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Map::new();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            // Whoever formats spans here writes JSON objects; anything else is left out.
            if let Some(written) = extensions.get::<FormattedFields<N>>()
                && let Ok(of_span) = serde_json::from_str::<Map<String, Value>>(&written.fields)
            {
                fields.extend(of_span);
            }
        }
        event.record(&mut Fields(&mut fields));
        let message = fields.remove("message").unwrap_or_default();
        for fixed in ["timestamp", "level", "target"] {
            if let Some(other) = fields.remove(fixed) {
                fields.insert(format!("field_{fixed}"), other);
            }
        }
        let metadata = event.metadata();
        let line = Line {
            timestamp: Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
            level: metadata.level().as_str(),
            target: metadata.target(),
            message,
            fields,
        };
        writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
    }
}

/// Takes an event's fields as JSON values.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().trim_start_matches("r#").to_owned(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Collects what is written.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(log: &Log, terminal: bool, story: impl FnOnce()) -> String {
        let paper = Paper::default();
        let copy = paper.clone();
        tracing::subscriber::with_default(subscriber(log, None, terminal, move || copy.clone()), story);
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn objects(lines: &str) -> Vec<Value> {
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_carries_the_fields_of_all_its_spans() {
        let lines = written(&Log::default(), false, || {
            let delivery = tracing::info_span!("delivery", correlation_id = "c-1", stage = "accept");
            let _delivery = delivery.enter();
            let sync = tracing::info_span!("sync", stage = "transfer", mirror = tracing::field::Empty);
            sync.record("mirror", 7);
            let _sync = sync.enter();
            tracing::info!(bytes = 3, level = "mine", moved = true, "pack sent");
        });
        let [line] = objects(&lines).try_into().unwrap();
        assert!(lines.starts_with("{\"timestamp\":\"") && lines.ends_with("}\n"));
        assert_eq!(line["correlation_id"], "c-1");
        assert_eq!(line["stage"], "transfer");
        assert_eq!(line["mirror"], 7);
        assert_eq!(line["bytes"], 3);
        assert_eq!(line["moved"], true);
        assert_eq!(line["message"], "pack sent");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["field_level"], "mine");
        assert_eq!(line["target"], "starkeep::telemetry::logging::tests");
    }

    #[test]
    fn credentials_are_masked_in_both_layouts() {
        for format in [Format::Json, Format::Pretty] {
            let log = Log { format: Some(format), ..Log::default() };
            let lines = written(&log, false, || {
                let span = tracing::info_span!("call", url = "https://me:hunter2@host/");
                let _span = span.enter();
                tracing::warn!(header = "Bearer 0123456789abcdef", "sent ghp_0123456789abcdef");
            });
            assert!(!lines.contains("hunter2") && !lines.contains("0123456789abcdef"), "{lines}");
            assert_eq!(lines.matches("********").count(), 3, "{lines}");
        }
    }

    #[test]
    fn the_level_filters_and_the_terminal_picks_the_layout() {
        let log = Log { format: None, level: "warn,starkeep=debug".to_owned() };
        let lines = written(&log, true, || {
            tracing::info!(target: "elsewhere", "not this");
            tracing::debug!("but this");
        });
        assert!(lines.contains("but this") && !lines.contains("not this") && !lines.starts_with('{'));
        assert_eq!(format(&Log { format: Some(Format::Json), ..log }, true), Format::Json);
    }

    #[test]
    fn a_line_break_in_a_field_stays_inside_its_line() {
        let lines = written(&Log::default(), false, || tracing::info!(text = "a\nb", "c\nd"));
        assert_eq!(lines.lines().count(), 1);
    }

    #[test]
    fn starting_twice_changes_nothing() {
        init(&Log { format: None, level: "off".to_owned() }, None, false);
        assert!(!init(&Log::default(), None, false));
    }
}
