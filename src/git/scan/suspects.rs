//! Objects of a pack that a later delta could make a pointer of: few, and held within a budget.

use std::collections::HashMap;

/// What is known of an object that deltas may rest on.
#[derive(Debug, Clone)]
pub(super) enum Suspect {
    /// Its content.
    Known(Vec<u8>),
    /// It may hold a pointer's text, and nothing more is known.
    Opaque,
}

/// By where they begin in the pack. What is not here holds no pointer's text.
#[derive(Debug)]
pub(super) struct Suspects {
    held: HashMap<u64, Suspect>,
    bytes: usize,
    most: usize,
    overflown: bool,
}

/// What one entry costs beside its content.
const OVERHEAD: usize = 64;

impl Suspects {
    pub(super) fn new(most: usize) -> Self {
        Self { held: HashMap::new(), bytes: 0, most, overflown: false }
    }

    pub(super) fn insert(&mut self, at: u64, suspect: Suspect) {
        let size = OVERHEAD + if let Suspect::Known(content) = &suspect { content.len() } else { 0 };
        if self.bytes + size > self.most {
            self.overflown = true;
            return;
        }
        self.bytes += size;
        self.held.insert(at, suspect);
    }

    /// `None`: it holds no pointer's text.
    pub(super) fn get(&self, at: u64) -> Option<&Suspect> {
        self.held.get(&at).or(if self.overflown { Some(&Suspect::Opaque) } else { None })
    }
}
