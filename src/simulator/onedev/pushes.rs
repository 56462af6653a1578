//! How many pushes were under way at once into one project: whoever works on a mirror should be alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::simulator::record::lock;

/// Pushes under way by project, and the most there ever were into one.
#[derive(Debug, Clone, Default)]
pub(super) struct Pushes(Arc<Mutex<(BTreeMap<i64, usize>, usize)>>);

/// A push under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    pushes: Pushes,
    project: i64,
}

impl Pushes {
    pub(super) fn begin(&self, project: i64) -> UnderWay {
        let (under_way, most) = &mut *lock(&self.0);
        let now = under_way.entry(project).or_default();
        *now += 1;
        *most = (*most).max(*now);
        UnderWay { pushes: self.clone(), project }
    }

    pub(super) fn most(&self) -> usize {
        lock(&self.0).1
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut inner = lock(&self.pushes.0);
        if let Some(now) = inner.0.get_mut(&self.project) {
            *now = now.saturating_sub(1);
        }
    }
}
