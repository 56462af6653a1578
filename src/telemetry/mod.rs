//! Logging, metrics and traces, and which servers are away. No globals: metrics are one struct that is handed in.

pub mod logging;
pub mod metrics;
pub mod outages;
pub mod progress;
pub mod redaction;
pub mod traces;
