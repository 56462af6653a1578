//! Tells that a pack holds no LFS pointers without inflating all of it.
//!
//! Where an object of a pack ends is known only to who inflates it, which is most of what a scan costs. A
//! glance looks for the few bytes with which a small file begins instead (type and size, then zlib's
//! header), wherever they stand, and inflates that alone. If none of those speaks of a pointer, there is no
//! pointer: one that is packed as a delta rests, by some steps, on a file that lies whole, and git, JGit,
//! libgit2 and go-git make no delta of over half a file's size less 20 bytes, while the hash alone is half
//! of a pointer. So that file holds the very hash: it is a pointer itself, or a text of 1 KiB and more that
//! quotes one (which is not looked for).
//!
//! Bytes that look like a small file by chance, or stand in a file that is a pack itself, are no error: they
//! only lead to the scan of everything.

use flate2::{Decompress, FlushDecompress, Status};

use super::delta::ANCHOR;
use crate::domain::lfs::{POINTER_LIMIT, POINTER_START};

/// Type and size of a small file.
const HEAD: usize = 2;
/// The first byte of a zlib stream whose window has the usual 32 KiB.
const ZLIB: u8 = 0x78;
/// A small file is no longer when deflated, its two headers included.
const REACH: usize = POINTER_LIMIT + 76;

/// A glance over one pack.
#[derive(Debug)]
pub(super) struct Glance {
    /// What has not been looked at, and the two bytes before it.
    bytes: Vec<u8>,
    inflate: Decompress,
    content: Vec<u8>,
    is_doubtful: bool,
}

impl Glance {
    pub(super) fn new() -> Self {
        let inflate = Decompress::new(false);
        Self { bytes: Vec::new(), inflate, content: Vec::with_capacity(POINTER_LIMIT), is_doubtful: false }
    }

    /// Takes the next piece.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        if self.is_doubtful {
            return;
        }
        self.bytes.extend_from_slice(piece);
        let until = self.bytes.len().saturating_sub(REACH);
        self.look(until);
        self.bytes.drain(..until.saturating_sub(HEAD));
    }

    /// Whether something in it may be a pointer, when the pack has come to its end.
    pub(super) fn finish(mut self) -> bool {
        self.look(self.bytes.len());
        self.is_doubtful
    }

    /// At every place before `until`.
    fn look(&mut self, until: usize) {
        let places = self.bytes.get(..until).unwrap_or_default();
        self.is_doubtful |= memchr::memchr_iter(ZLIB, places).any(|at| {
            let Some(begin) = at.checked_sub(HEAD) else { return false };
            let object = self.bytes.get(begin..self.bytes.len().min(begin + REACH)).unwrap_or_default();
            let Some(size) = small_file(object) else { return false };
            let deflated = object.get(HEAD + 2..).unwrap_or_default();
            self.inflate.reset(false);
            self.content.clear();
            let ended = self.inflate.decompress_vec(deflated, &mut self.content, FlushDecompress::Finish);
            matches!(ended, Ok(Status::StreamEnd)) && self.content.len() == size && speaks_of_a_pointer(&self.content)
        });
    }
}

/// The size of the file that would begin here.
fn small_file(object: &[u8]) -> Option<usize> {
    // More size to come, type 3, then the last of it; smaller files have one byte and are no pointers.
    let [first @ 0xb0..=0xbf, second @ 0x01..=0x3f, ZLIB, flags, ..] = object else { return None };
    let is_zlib = (u16::from(ZLIB) << 8 | u16::from(*flags)) % 31 == 0;
    is_zlib.then_some(usize::from(first & 0xf) | usize::from(*second) << 4)
}

fn speaks_of_a_pointer(content: &[u8]) -> bool {
    content.starts_with(POINTER_START) || memchr::memmem::find(content, ANCHOR).is_some()
}
