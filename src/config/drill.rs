//! `drill.*`: restoring mirrors on trial.

use std::time::Duration;

use super::problem::Problem;
use super::rules::{counting, lasting};
use super::values::{Values, number};
use super::{Section, duration};

/// The `drill` section.
#[derive(Debug, Clone)]
pub struct Drill {
    /// How often `serve` drills; `None` is never.
    pub interval: Option<Duration>,
    /// How many mirrors, chosen by chance.
    pub sample: usize,
}

impl Default for Drill {
    fn default() -> Self {
        Self { interval: None, sample: 3 }
    }
}

impl Section for Drill {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self { interval, sample } = &mut it;
        values.set_option("drill.interval", interval, duration::parse);
        values.set("drill.sample", sample, number);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self { interval, sample } = self;
        let (second, year) = (Duration::from_secs(1), Duration::from_secs(365 * 86_400));
        let mut problems: Vec<Problem> = counting("drill.sample", *sample as u64, 1, 1_000).into_iter().collect();
        problems.extend(interval.and_then(|it| lasting("drill.interval", it, second, year)));
        problems
    }
}
