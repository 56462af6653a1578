//! `retry.*`: backing off.

use std::time::Duration;

use super::problem::Problem;
use super::rules::{counting, lasting};
use super::values::{Values, number};
use super::{Section, duration};
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

impl Section for Retry {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self { max_attempts, base, cap } = &mut it;
        values.set("retry.max_attempts", max_attempts, number);
        values.set("retry.base", base, duration::parse);
        values.set("retry.cap", cap, duration::parse);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self { max_attempts, base, cap } = self;
        let (least, day) = (Duration::from_millis(1), Duration::from_secs(86_400));
        let mut problems = Vec::new();
        problems.extend(counting("retry.max_attempts", u64::from(*max_attempts), 1, 1000));
        problems.extend(lasting("retry.base", *base, least, day));
        problems.extend(lasting("retry.cap", *cap, least, day));
        if base > cap {
            let found = format!("`{}` is longer than `retry.cap`", duration::text(*base));
            problems.push(Problem::new("retry.base", found, "write a duration that is not longer than `retry.cap`"));
        }
        problems
    }
}
