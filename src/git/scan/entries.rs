//! Walks over the entries of a pack as its bytes come, in pieces of any length.

use std::collections::HashMap;

use flate2::{Decompress, FlushDecompress, Status};

use super::delta::{ANCHOR, Delta};
use super::findings::{Findings, blob_id};
use super::suspects::{Suspect, Suspects};
use crate::domain::lfs::{POINTER_LIMIT, POINTER_START};
use crate::domain::refs::Oid;
use crate::git::pack::{HEADER, TRAILER, objects};

/// Before the deflated bytes.
const WRAPPER: usize = 2;
/// Behind them. It is not looked at: the target checks the whole pack.
const CHECKSUM: usize = 4;
/// Room for inflated bytes: most objects come in one go.
const SCRATCH: usize = 64 * 1024;
/// Longer deltas are not looked at: what they make is taken for opaque.
const MOST_DELTA: u64 = 16 * 1024;
/// Bytes of suspects while a pack passes by, and in a scan of small files alone.
const SUSPECTS: (usize, usize) = (4 << 20, 24 << 20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head(usize),
    Entry,
    Size(u32),
    Offset(Option<u64>),
    BaseId(usize),
    /// So many bytes of the zlib header have come.
    Wrapper(usize),
    Data,
    /// So many bytes of the checksum of the content.
    Checksum(usize),
    Trailer(usize),
    /// It is no pack that can be walked over.
    Lost,
}

/// The object that is being read.
#[derive(Debug, Default)]
struct Object {
    start: u64,
    code: u8,
    size: u64,
    inflated: u64,
    base: u64,
    base_id: [u8; 20],
    /// Small files and deltas.
    content: Vec<u8>,
    /// The end of what was inflated before, where the anchor may begin.
    edge: Vec<u8>,
    has_anchor: bool,
}

/// A scan of one pack. Never fails: what cannot be read makes the findings incomplete.
#[derive(Debug)]
pub(crate) struct Scanner {
    state: State,
    head: [u8; HEADER],
    position: u64,
    left: u32,
    object: Object,
    inflate: Decompress,
    scratch: Vec<u8>,
    suspects: Suspects,
    findings: Findings,
    /// Contents that are wanted whatever they are, by git's id.
    bases: Option<HashMap<Oid, Vec<u8>>>,
}

impl Scanner {
    fn new(suspects: usize) -> Self {
        Self {
            state: State::Head(0),
            head: [0; HEADER],
            position: 0,
            left: 0,
            object: Object::default(),
            inflate: Decompress::new(false),
            scratch: vec![0; SCRATCH],
            suspects: Suspects::new(suspects),
            findings: Findings::default(),
            bases: None,
        }
    }

    /// For a pack on its way to the target.
    pub(crate) fn passing() -> Self {
        Self::new(SUSPECTS.0)
    }

    /// For a pack that is read for its pointers alone.
    pub(super) fn thorough() -> Self {
        Self::new(SUSPECTS.1)
    }

    /// For a pack of the bases that deltas wait for: small files are kept.
    pub(super) fn for_bases() -> Self {
        Self { bases: Some(HashMap::new()), ..Self::new(SUSPECTS.1) }
    }

    /// Takes the next piece.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        let mut input = piece;
        while !input.is_empty() && self.state != State::Lost {
            let used = if self.state == State::Data {
                self.content(input)
            } else {
                self.byte(input.first().copied().unwrap_or_default());
                1
            };
            self.position += used as u64;
            input = input.get(used..).unwrap_or_default();
        }
    }

    /// What was found, when the pack has come to its end; a pack that has not is incomplete.
    pub(crate) fn finish(&mut self) -> Findings {
        let mut findings = std::mem::take(&mut self.findings);
        findings.incomplete |= self.state != State::Trailer(TRAILER);
        findings
    }

    /// The contents that were kept.
    pub(super) fn into_bases(self) -> HashMap<Oid, Vec<u8>> {
        self.bases.unwrap_or_default()
    }

    fn byte(&mut self, byte: u8) {
        self.state = match self.state {
            State::Head(have) => self.head_byte(have, byte),
            State::Entry => {
                let mut content = std::mem::take(&mut self.object.content);
                content.clear();
                let (start, code) = (self.position, (byte >> 4) & 7);
                self.object = Object { start, code, size: u64::from(byte & 0xf), content, ..Object::default() };
                if byte & 0x80 == 0 { self.sized() } else { State::Size(4) }
            }
            State::Size(bit) if bit <= 57 => {
                self.object.size |= u64::from(byte & 0x7f) << bit;
                if byte & 0x80 == 0 { self.sized() } else { State::Size(bit + 7) }
            }
            State::Offset(before) => self.offset_byte(before, byte),
            State::BaseId(have) => {
                if let Some(place) = self.object.base_id.get_mut(have) {
                    *place = byte;
                }
                if have + 1 < self.object.base_id.len() { State::BaseId(have + 1) } else { State::Wrapper(0) }
            }
            State::Wrapper(have) if have + 1 < WRAPPER => State::Wrapper(have + 1),
            State::Wrapper(_) => State::Data,
            State::Checksum(have) if have + 1 < CHECKSUM => State::Checksum(have + 1),
            State::Checksum(_) => self.next_object(),
            State::Trailer(have) if have < TRAILER => State::Trailer(have + 1),
            State::Size(_) | State::Trailer(_) | State::Data | State::Lost => State::Lost,
        };
    }

    fn head_byte(&mut self, have: usize, byte: u8) -> State {
        if let Some(place) = self.head.get_mut(have) {
            *place = byte;
        }
        if have + 1 < HEADER {
            return State::Head(have + 1);
        }
        match objects(&self.head) {
            Some(count) => {
                self.left = count;
                self.next_object()
            }
            None => State::Lost,
        }
    }

    fn next_object(&mut self) -> State {
        match self.left.checked_sub(1) {
            None => State::Trailer(0),
            Some(left) => {
                self.left = left;
                State::Entry
            }
        }
    }

    fn sized(&self) -> State {
        match self.object.code {
            1..=4 => State::Wrapper(0),
            6 => State::Offset(None),
            7 => State::BaseId(0),
            _ => State::Lost,
        }
    }

    /// The distance is written in sevens of bits, each continuation counting one more.
    fn offset_byte(&mut self, before: Option<u64>, byte: u8) -> State {
        let low = u64::from(byte & 0x7f);
        let value = match before {
            None => low,
            Some(it) if it > u64::MAX >> 10 => return State::Lost,
            Some(it) => ((it + 1) << 7) | low,
        };
        if byte & 0x80 != 0 {
            return State::Offset(Some(value));
        }
        match self.object.start.checked_sub(value) {
            Some(base) => {
                self.object.base = base;
                State::Wrapper(0)
            }
            None => State::Lost,
        }
    }

    /// Inflates from the front of `input`; how much of it was used.
    fn content(&mut self, input: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let (read, wrote) = (self.inflate.total_in(), self.inflate.total_out());
            let rest = input.get(used..).unwrap_or_default();
            let Ok(status) = self.inflate.decompress(rest, &mut self.scratch, FlushDecompress::Finish) else {
                self.state = State::Lost;
                return input.len();
            };
            let read = usize::try_from(self.inflate.total_in() - read).unwrap_or(usize::MAX);
            let wrote = usize::try_from(self.inflate.total_out() - wrote).unwrap_or(usize::MAX);
            used += read;
            self.produced(wrote);
            if status == Status::StreamEnd {
                self.inflate.reset(false);
                self.object_ended();
                return used;
            }
            if read == 0 && wrote == 0 {
                // All that came is inflated; an input that is not taken at all would never end.
                if used == 0 {
                    self.state = State::Lost;
                    return input.len();
                }
                return used;
            }
        }
    }

    fn produced(&mut self, bytes: usize) {
        let piece = self.scratch.get(..bytes).unwrap_or_default();
        let object = &mut self.object;
        object.inflated += bytes as u64;
        let is_kept = match object.code {
            3 => object.size < POINTER_LIMIT as u64,
            6 | 7 => object.size <= MOST_DELTA,
            _ => false,
        };
        if is_kept {
            object.content.extend_from_slice(piece);
        } else if object.code == 3 && !object.has_anchor {
            let whole = object.inflated == bytes as u64 && object.inflated == object.size;
            if whole {
                object.has_anchor = memchr::memmem::find(piece, ANCHOR).is_some();
                return;
            }
            let head = piece.get(..piece.len().min(ANCHOR.len())).unwrap_or_default();
            object.edge.extend_from_slice(head);
            object.has_anchor =
                memchr::memmem::find(&object.edge, ANCHOR).is_some() || memchr::memmem::find(piece, ANCHOR).is_some();
            let tail = piece.get(piece.len().saturating_sub(ANCHOR.len() - 1)..).unwrap_or_default();
            if piece.len() >= ANCHOR.len() {
                object.edge.clear();
                object.edge.extend_from_slice(tail);
            }
        }
    }

    fn object_ended(&mut self) {
        let object = std::mem::take(&mut self.object);
        if object.inflated != object.size {
            self.state = State::Lost;
            return;
        }
        match object.code {
            3 if object.size < POINTER_LIMIT as u64 => self.small_file(object.start, &object.content),
            3 if object.has_anchor => self.suspects.insert(object.start, Suspect::Opaque),
            6 | 7 => self.delta(&object),
            _ => {}
        }
        // Its room is used again for the next.
        self.object.content = object.content;
        self.state = State::Checksum(0);
    }

    fn small_file(&mut self, at: u64, content: &[u8]) {
        if let Some(bases) = &mut self.bases
            && let Some(oid) = blob_id(content)
        {
            bases.insert(oid, content.to_vec());
            self.suspects.insert_known(at, Some(oid), content);
            return;
        }
        let meant = content.starts_with(POINTER_START);
        if meant {
            self.findings.look(content);
        }
        if meant || memchr::memmem::find(content, ANCHOR).is_some() {
            self.suspects.insert_known(at, blob_id(content), content);
        }
    }

    fn delta(&mut self, object: &Object) {
        if object.size > MOST_DELTA {
            // It makes something long, and what it inserts was not looked at.
            self.suspects.insert(object.start, Suspect::Opaque);
            return;
        }
        let Some(delta) = Delta::read(&object.content) else {
            self.findings.incomplete = true;
            return;
        };
        if object.code == 7 {
            // libgit2 names bases by id in its own packs too.
            let base = self.suspects.content_of(Oid::from_bytes(object.base_id)).filter(|_| delta.is_small());
            match base.map(|it| delta.apply(it)) {
                Some(Some(content)) => self.small_file(object.start, &content),
                Some(None) => self.findings.incomplete = true,
                None => self.on_foreign_base(object, &delta),
            }
            return;
        }
        match self.suspects.get(object.base) {
            Some(Suspect::Known(base)) if delta.is_small() => match delta.apply(base) {
                Some(content) => self.small_file(object.start, &content),
                None => self.findings.incomplete = true,
            },
            Some(_) => {
                self.findings.incomplete |= delta.may_be_pointer();
                self.suspects.insert(object.start, Suspect::Opaque);
            }
            None if self.bases.is_some() => {}
            None => {
                self.findings.incomplete |= delta.may_be_new_pointer();
                if delta.brings_anchor() {
                    self.suspects.insert(object.start, Suspect::Opaque);
                }
            }
        }
    }

    /// A delta whose base is at the target (a thin pack), or stands elsewhere in the pack.
    fn on_foreign_base(&mut self, object: &Object, delta: &Delta<'_>) {
        if delta.may_be_pointer() {
            // A base as long as this is no pointer, and no delta makes one of it but by inserting all.
            if delta.base_size() < POINTER_LIMIT as u64 {
                self.findings.wait_for(Oid::from_bytes(object.base_id), &object.content);
            } else {
                self.findings.incomplete |= delta.brings_anchor();
            }
        }
        self.suspects.insert(object.start, Suspect::Opaque);
    }
}
