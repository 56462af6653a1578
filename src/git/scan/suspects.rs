//! Objects of a pack that a later delta could make a pointer of: few, and held within a budget.

use std::collections::HashMap;

use crate::domain::refs::Oid;

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
    /// Where those stand whose content is known: some packs name bases by id though they hold them.
    places: HashMap<Oid, u64>,
    bytes: usize,
    most: usize,
    overflown: bool,
}

/// What one entry costs beside its content.
const OVERHEAD: usize = 112;

impl Suspects {
    pub(super) fn new(most: usize) -> Self {
        Self { held: HashMap::new(), places: HashMap::new(), bytes: 0, most, overflown: false }
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

    /// Puts a content aside whose id in git is known as well.
    pub(super) fn insert_known(&mut self, at: u64, oid: Option<Oid>, content: &[u8]) {
        self.insert(at, Suspect::Known(content.to_vec()));
        if let Some(oid) = oid.filter(|_| self.held.contains_key(&at)) {
            self.places.insert(oid, at);
        }
    }

    /// The content of an object, if it came before in this pack and was put aside.
    pub(super) fn content_of(&self, oid: Oid) -> Option<&[u8]> {
        match self.held.get(self.places.get(&oid)?)? {
            Suspect::Known(content) => Some(content),
            Suspect::Opaque => None,
        }
    }

    /// `None`: it holds no pointer's text.
    pub(super) fn get(&self, at: u64) -> Option<&Suspect> {
        self.held.get(&at).or(if self.overflown { Some(&Suspect::Opaque) } else { None })
    }
}
