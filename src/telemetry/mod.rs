//! Logging, metrics and traces. No globals: metrics are one struct that is handed in.

pub mod logging;
pub mod metrics;
pub mod progress;
pub mod redaction;
pub mod traces;
