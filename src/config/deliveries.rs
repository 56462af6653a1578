//! `deliveries.*`: how long received webhooks are kept.

use std::time::Duration;

use super::problem::Problem;
use super::rules::{counting, lasting};
use super::values::{Values, number};
use super::{Section, duration};

const DAY: Duration = Duration::from_secs(86_400);

/// The `deliveries` section.
#[derive(Debug, Clone)]
pub struct Deliveries {
    /// Older ones are given up.
    pub keep: Duration,
    /// As many are kept at most.
    pub max_count: u64,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self { keep: DAY * 30, max_count: 200_000 }
    }
}

impl Section for Deliveries {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self { keep, max_count } = &mut it;
        values.set("deliveries.keep", keep, duration::parse);
        values.set("deliveries.max_count", max_count, number);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self { keep, max_count } = self;
        // Shorter, and what GitHub sends again would be taken for new.
        let mut problems: Vec<Problem> = lasting("deliveries.keep", *keep, DAY * 4, DAY * 3_650).into_iter().collect();
        problems.extend(counting("deliveries.max_count", *max_count, 1_000, 100_000_000));
        problems
    }
}
