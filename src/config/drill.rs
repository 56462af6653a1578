//! `drill.*`: restoring mirrors on trial.

use std::time::Duration;

use super::problem::Problem;
use super::rules::{counting, lasting};
use super::values::{Values, number};
use super::{Section, duration, size};

/// The `drill` section.
#[derive(Debug, Clone)]
pub struct Drill {
    /// How often `serve` drills; `None` is never.
    pub interval: Option<Duration>,
    /// How many mirrors, chosen by chance.
    pub sample: usize,
    /// Bytes of LFS objects of one mirror that are read; of what is beyond OneDev is only asked.
    pub lfs_bytes: u64,
}

impl Default for Drill {
    fn default() -> Self {
        Self { interval: None, sample: 3, lfs_bytes: 1 << 30 }
    }
}

impl Section for Drill {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self { interval, sample, lfs_bytes } = &mut it;
        values.set_option("drill.interval", interval, duration::parse);
        values.set("drill.sample", sample, number);
        values.set("drill.lfs_bytes", lfs_bytes, size::parse);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        // Any number of bytes will do.
        let Self { interval, sample, lfs_bytes: _ } = self;
        let (second, year) = (Duration::from_secs(1), Duration::from_secs(365 * 86_400));
        let mut problems: Vec<Problem> = counting("drill.sample", *sample as u64, 1, 1_000).into_iter().collect();
        problems.extend(interval.and_then(|it| lasting("drill.interval", it, second, year)));
        problems
    }
}
