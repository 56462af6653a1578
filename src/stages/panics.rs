//! Planned panics, so that a test can kill a stage in the middle of its work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How often which stage is still to panic. Empty in production.
#[derive(Debug, Clone, Default)]
pub struct Panics(Arc<Mutex<BTreeMap<&'static str, u32>>>);

impl Panics {
    /// Lets the next `times` pieces of work of a stage panic.
    pub fn plan(&self, stage: &'static str, times: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(stage, times);
    }

    /// Panics if one is planned for this stage.
    #[expect(clippy::panic, reason = "its only purpose, and only where a test planned it")]
    pub fn strike(&self, stage: &'static str) {
        let due = {
            let mut planned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match planned.get_mut(stage) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    true
                }
                _ => false,
            }
        };
        if due {
            panic!("planned panic of the stage `{stage}`");
        }
    }
}
