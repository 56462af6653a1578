//! `audit.*`: how long the audit log is kept.

use std::time::Duration;

use super::problem::Problem;
use super::rules::lasting;
use super::values::Values;
use super::{Section, duration};

/// The `audit` section.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// Older entries are given up; `None` keeps all.
    pub keep: Option<Duration>,
}

impl Section for Audit {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self { keep } = &mut it;
        values.set_option("audit.keep", keep, duration::parse);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self { keep } = self;
        let day = Duration::from_secs(86_400);
        keep.and_then(|it| lasting("audit.keep", it, day, day * 36_500)).into_iter().collect()
    }
}
