//! Git's deltas: copies out of a base and inserted bytes. Applied, or looked at without the base.

use crate::domain::lfs::{POINTER_LIMIT, POINTER_START};

/// What every pointer holds and hardly any other file.
pub(super) const ANCHOR: &[u8] = b"oid sha256:";
/// A pointer's hash that is not in the base must be inserted; shorter runs of hex digits are chance.
const LEAST_HEX: usize = 16;
/// Part of the anchor may come from a base that lacks the whole; shorter parts are chance.
const LEAST_PART: usize = 4;
/// The shortest version line of a pointer and its oid line.
const LEAST_THROUGH_OID: usize = 108;
/// A pointer with one extension is shorter. Longer ones whose size alone changes are passed over.
const LONGEST_RESIZED: u64 = 256;

/// One instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step<'a> {
    Copy { from: usize, length: usize },
    Insert(&'a [u8]),
}

/// A delta that has been read.
#[derive(Debug)]
pub(super) struct Delta<'a> {
    base: u64,
    result: u64,
    steps: &'a [u8],
}

impl<'a> Delta<'a> {
    /// Reads the two sizes in front. `None` for anything but a delta.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (base, rest) = size(bytes)?;
        let (result, steps) = size(rest)?;
        Some(Self { base, result, steps })
    }

    /// Bytes of the object that it rests on.
    pub(super) fn base_size(&self) -> u64 {
        self.base
    }

    /// Whether what it makes is short enough for a pointer.
    pub(super) fn is_small(&self) -> bool {
        self.result < POINTER_LIMIT as u64
    }

    /// The object. `None` when base and delta do not belong together, or it is not small.
    pub(super) fn apply(&self, base: &[u8]) -> Option<Vec<u8>> {
        if base.len() as u64 != self.base || !self.is_small() {
            return None;
        }
        let mut out = Vec::with_capacity(usize::try_from(self.result).ok()?);
        let mut rest = self.steps;
        while let Some((step, behind)) = step(rest)? {
            rest = behind;
            match step {
                Step::Copy { from, length } => out.extend_from_slice(base.get(from..from.checked_add(length)?)?),
                Step::Insert(bytes) => out.extend_from_slice(bytes),
            }
            if out.len() as u64 > self.result {
                return None;
            }
        }
        (out.len() as u64 == self.result).then_some(out)
    }

    /// Whether the inserted bytes bring a pointer's text along, as a whole or at the border to a copy.
    pub(super) fn brings_anchor(&self) -> bool {
        self.runs().iter().any(|run| {
            memchr::memmem::find(&run.bytes, ANCHOR).is_some()
                || (LEAST_PART..ANCHOR.len()).any(|part| {
                    let (head, tail) = (ANCHOR.get(..part), ANCHOR.get(ANCHOR.len() - part..));
                    (run.copy_behind && head.is_some_and(|it| run.bytes.ends_with(it)))
                        || (run.copy_before && tail.is_some_and(|it| run.bytes.starts_with(it)))
                })
        })
    }

    /// Whether it can make a pointer out of a base of which nothing is known.
    pub(super) fn may_be_pointer(&self) -> bool {
        self.is_small()
            && self.may_begin_as_pointer(true)
            && (self.brings_anchor() || self.brings_hash() || self.resizes())
    }

    /// Whether it may be a pointer to the same object with another size: all but digits at the end is copied.
    /// The base may be a pointer with a wrong size, and this the one that mends it.
    fn resizes(&self) -> bool {
        let copied = match step(self.steps) {
            Some(Some((Step::Copy { from: 0, length }, _))) => length,
            _ => 0,
        };
        let is_short = self.base < LONGEST_RESIZED && self.result < LONGEST_RESIZED;
        let digits = |run: &Run| run.bytes.iter().all(|it| it.is_ascii_digit() || *it == b'\n');
        is_short && copied >= LEAST_THROUGH_OID && self.runs().iter().all(digits)
    }

    /// Whether it can make a pointer out of a base without a pointer's text.
    pub(super) fn may_be_new_pointer(&self) -> bool {
        self.is_small() && self.may_begin_as_pointer(false) && self.brings_anchor()
    }

    /// `from_start`: the base may begin as a pointer does.
    fn may_begin_as_pointer(&self, from_start: bool) -> bool {
        match step(self.steps) {
            Some(Some((Step::Copy { from: 0, length }, _))) => from_start || length < POINTER_START.len(),
            Some(Some((Step::Copy { .. }, _))) => true,
            Some(Some((Step::Insert(bytes), _))) => {
                let most = bytes.len().min(POINTER_START.len());
                bytes.get(..most) == POINTER_START.get(..most)
            }
            _ => false,
        }
    }

    fn brings_hash(&self) -> bool {
        let is_hex = |it: &u8| it.is_ascii_digit() || (b'a'..=b'f').contains(it);
        self.runs().iter().any(|run| run.bytes.chunk_by(|a, b| is_hex(a) && is_hex(b)).any(|it| it.len() >= LEAST_HEX))
    }

    /// Inserts that follow each other, as one.
    fn runs(&self) -> Vec<Run> {
        let (mut runs, mut rest, mut last_was_copy) = (Vec::<Run>::new(), self.steps, true);
        while let Some(Some((step, behind))) = step(rest) {
            rest = behind;
            match (step, runs.last_mut()) {
                (Step::Insert(bytes), Some(run)) if !last_was_copy => run.bytes.extend_from_slice(bytes),
                (Step::Insert(bytes), before) => {
                    let copy_before = before.is_some() || last_was_copy;
                    runs.push(Run { bytes: bytes.to_vec(), copy_before, copy_behind: false });
                }
                (Step::Copy { .. }, Some(run)) => run.copy_behind = true,
                (Step::Copy { .. }, None) => {}
            }
            last_was_copy = matches!(step, Step::Copy { .. });
        }
        runs
    }
}

/// Inserted bytes between copies.
struct Run {
    bytes: Vec<u8>,
    copy_before: bool,
    copy_behind: bool,
}

fn size(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut value, mut bit) = (0_u64, 0_u32);
    for (index, byte) in bytes.iter().enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(bit)?;
        bit += 7;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
        if bit > 56 {
            return None;
        }
    }
    None
}

/// The next instruction: `Some(None)` at the end, `None` for one that is broken.
#[expect(clippy::option_option, reason = "an end is not a fault")]
fn step(bytes: &[u8]) -> Option<Option<(Step<'_>, &[u8])>> {
    let Some((code, mut rest)) = bytes.split_first() else { return Some(None) };
    if code & 0x80 == 0 {
        let length = usize::from(*code);
        return match (length, rest.split_at_checked(length)) {
            (1.., Some((insert, behind))) => Some(Some((Step::Insert(insert), behind))),
            _ => None,
        };
    }
    let mut part = |bit: u32, shift: u32| -> Option<usize> {
        if code & (1 << bit) == 0 {
            return Some(0);
        }
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        Some(usize::from(*byte) << shift)
    };
    let from = part(0, 0)? | part(1, 8)? | part(2, 16)? | part(3, 24)?;
    let length = part(4, 0)? | part(5, 8)? | part(6, 16)?;
    let length = if length == 0 { 0x1_0000 } else { length };
    Some(Some((Step::Copy { from, length }, rest)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::lfs::Pointer;

    fn varint(mut value: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while value > 0x7f {
            out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        out.push(u8::try_from(value).unwrap());
        out
    }

    fn copy(from: u8, length: u8) -> Vec<u8> {
        vec![0x91, from, length]
    }

    fn insert(bytes: &[u8]) -> Vec<u8> {
        bytes.chunks(127).flat_map(|it| [vec![u8::try_from(it.len()).unwrap()], it.to_vec()].concat()).collect()
    }

    fn delta(base: usize, result: usize, steps: &[Vec<u8>]) -> Vec<u8> {
        [varint(base), varint(result), steps.concat()].concat()
    }

    #[test]
    fn a_pointer_out_of_a_pointer_is_made_and_suspected_without_its_base() {
        let (old, new) = (Pointer::of(b"old").to_bytes(), Pointer::of(b"new!").to_bytes());
        let bytes = delta(old.len(), new.len(), &[copy(0, 54), insert(&new[54..])]);
        let delta = Delta::read(&bytes).unwrap();
        assert_eq!(delta.apply(&old), Some(new));
        assert!(delta.may_be_pointer() && !delta.may_be_new_pointer());
        assert_eq!(delta.apply(b"other"), None);
    }

    #[test]
    fn a_pointer_with_another_size_is_suspected_without_its_base() {
        let old = Pointer::of(b"old");
        for size in [5, 30, 4_000_000_000] {
            let (from, to) = (old.to_bytes(), Pointer { size, ..old }.to_bytes());
            let bytes = delta(from.len(), to.len(), &[copy(0, 124), insert(&to[124..])]);
            let delta = Delta::read(&bytes).unwrap();
            assert_eq!(delta.apply(&from), Some(to));
            assert!(delta.may_be_pointer() && !delta.may_be_new_pointer());
        }
        let cut = delta(200, 150, &[copy(0, 150)]);
        assert!(Delta::read(&cut).unwrap().may_be_pointer(), "a size that lost its end");
    }

    #[test]
    fn ordinary_edits_of_small_files_need_no_base() {
        let edits = [
            vec![copy(0, 100), insert(b"changed line\n"), copy(120, 100)],
            vec![copy(40, 200)],
            vec![insert(b"#!/bin/sh\nsha deadbeefdeadbeefdeadbeef\n"), copy(10, 100)],
        ];
        for steps in edits {
            assert!(!Delta::read(&delta(300, 200, &steps)).unwrap().may_be_pointer(), "{steps:?}");
        }
    }

    #[test]
    fn a_pointer_whose_text_is_inserted_is_suspected_on_any_base() {
        let new = Pointer::of(b"new").to_bytes();
        let whole = delta(500, new.len(), &[insert(&new)]);
        assert!(Delta::read(&whole).unwrap().may_be_new_pointer());
        let torn = delta(500, new.len(), &[insert(&new[..48]), copy(7, 4), insert(&new[52..])]);
        assert!(Delta::read(&torn).unwrap().may_be_new_pointer());
    }

    proptest! {
        #[test]
        fn garbage_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), base in any::<[u8; 64]>()) {
            if let Some(delta) = Delta::read(&bytes) {
                let _ = (delta.apply(&base), delta.may_be_pointer(), delta.may_be_new_pointer());
            }
        }
    }
}
