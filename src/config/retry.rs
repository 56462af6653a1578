//! `retry.*`: backing off.

use std::time::Duration;

use crate::domain::retry::BackoffRule;

/// The `retry` section.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Counted attempts before a job is dead.
    pub max_attempts: u32,
    /// The first pause is drawn from zero to this.
    pub base: Duration,
    /// No pause is longer.
    pub cap: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 8, base: Duration::from_secs(5), cap: Duration::from_secs(3600) }
    }
}

impl Retry {
    /// The rule as the domain takes it.
    pub fn rule(&self) -> BackoffRule {
        BackoffRule { max_attempts: self.max_attempts, base: self.base, cap: self.cap }
    }
}
