//! What a scan found, and what it has put aside.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::lfs::{NotAPointer, Pointer};
use crate::domain::refs::Oid;

/// Pointers of one scan; more make it incomplete.
const MOST_POINTERS: usize = 1_000_000;
/// Bytes of deltas that wait for their bases.
const MOST_WAITING: usize = 4 << 20;
/// Objects that may be asked for as bases.
const MOST_BASES: usize = 20_000;

/// What was found in a pack.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Pointers, each once.
    pub pointers: BTreeSet<Pointer>,
    /// Files that begin as pointers and cannot be read, by git's id, with what is wrong.
    pub garbage: BTreeMap<Oid, &'static str>,
    /// Deltas that may be pointers, by the id of the base that they rest on.
    pub(super) waiting: BTreeMap<Oid, Vec<Vec<u8>>>,
    pub(super) waiting_bytes: usize,
    /// Something could not be looked at: the pack must be scanned in another way.
    pub(super) incomplete: bool,
}

impl Findings {
    /// Whether everything was looked at.
    pub fn is_complete(&self) -> bool {
        !self.incomplete && self.waiting.is_empty()
    }

    /// Looks at the content of a small file. `true` if it is, or was meant as, a pointer.
    pub(super) fn look(&mut self, content: &[u8]) -> bool {
        match Pointer::parse(content) {
            Ok(pointer) => {
                if !pointer.is_empty() {
                    self.pointers.insert(pointer);
                }
                self.incomplete |= self.pointers.len() > MOST_POINTERS;
                true
            }
            Err(NotAPointer::Garbage(why)) => {
                if let Some(oid) = blob_id(content) {
                    self.garbage.insert(oid, why);
                }
                true
            }
            Err(NotAPointer::Ordinary) => false,
        }
    }

    /// Puts a delta aside until its base is known.
    pub(super) fn wait_for(&mut self, base: Oid, delta: &[u8]) {
        self.waiting_bytes += delta.len();
        if self.waiting_bytes > MOST_WAITING || self.waiting.len() >= MOST_BASES {
            self.incomplete = true;
            return;
        }
        self.waiting.entry(base).or_default().push(delta.to_vec());
    }

    pub(super) fn absorb(&mut self, other: Self) {
        self.pointers.extend(other.pointers);
        self.garbage.extend(other.garbage);
        self.incomplete |= other.incomplete;
    }
}

/// Git's id of a file with this content.
pub(super) fn blob_id(content: &[u8]) -> Option<Oid> {
    let oid = git2::Oid::hash_object(git2::ObjectType::Blob, content).ok()?;
    Some(Oid::from_bytes(oid.as_bytes().try_into().ok()?))
}
