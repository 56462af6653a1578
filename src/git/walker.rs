//! Walks over a pack as it comes and tells what kinds of objects it holds. Nothing is stored.
//!
//! Pieces come from [`super::pack`], the answer goes to [`super::census`]. Made for packs of tags
//! and tip commits: contents are inflated only to find where each object ends, and of tags the
//! first two lines are looked at.

use std::collections::HashMap;

use flate2::{Decompress, FlushDecompress, Status};

use super::pack::{HEADER, TRAILER, objects};
use crate::domain::refs::Oid;

/// The most objects of one walk: their offsets are remembered.
const MAX_OBJECTS: u32 = 1_000_000;
/// The most inflated bytes of one walk.
const MAX_INFLATED: u64 = 512 << 20;
/// Enough of a tag for its `object` and `type` lines.
const TAG_HEAD: usize = 64;
/// Room for inflated bytes, which are thrown away.
const SCRATCH: usize = 16 * 1024;

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

/// What a pack holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// How many commits.
    pub(crate) commits: usize,
    /// What the tags in it point at; tags that are stored as deltas do not tell.
    pub(crate) tagged: HashMap<Oid, Kind>,
}

/// Bytes that are no pack, or one that cannot be walked over in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a pack that can be walked over: {0}")]
pub(crate) struct WalkError(&'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes of the head have come.
    Head(usize),
    /// The first byte of an object comes next.
    Entry,
    /// More of an object's size comes next, at this bit.
    Size(u32),
    /// The distance to a delta's base comes next; the value so far, if any.
    Offset(Option<u64>),
    /// Deflated content.
    Data,
    /// So many bytes of the checksum have come.
    Trailer(usize),
}

/// The object that is being read.
#[derive(Debug, Default)]
struct Object {
    start: u64,
    code: u8,
    size: u64,
    inflated: u64,
    kind: Option<Kind>,
    head: Vec<u8>,
}

/// The walk. Feed pieces, then [`Walker::finish`].
#[derive(Debug)]
pub(crate) struct Walker {
    state: State,
    head: [u8; HEADER],
    position: u64,
    left: u32,
    object: Object,
    kinds: HashMap<u64, Kind>,
    inflate: Decompress,
    inflated: u64,
    scratch: Vec<u8>,
    contents: Contents,
}

impl Default for Walker {
    fn default() -> Self {
        Self {
            state: State::Head(0),
            head: [0; HEADER],
            position: 0,
            left: 0,
            object: Object::default(),
            kinds: HashMap::new(),
            inflate: Decompress::new(true),
            inflated: 0,
            scratch: vec![0; SCRATCH],
            contents: Contents::default(),
        }
    }
}

impl Walker {
    /// Takes the next piece of the pack.
    ///
    /// # Errors
    /// [`WalkError`] for anything but a pack of whole objects and offset deltas, and above the bounds.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Result<(), WalkError> {
        let mut input = piece;
        while let Some((first, behind)) = input.split_first() {
            if self.state == State::Data {
                let used = self.content(input)?;
                self.position += used as u64;
                input = input.get(used..).unwrap_or_default();
            } else {
                self.byte(*first)?;
                self.position += 1;
                input = behind;
            }
        }
        Ok(())
    }

    /// The answer, when the pack has come to its end.
    ///
    /// # Errors
    /// [`WalkError`] when it has not.
    pub(crate) fn finish(self) -> Result<Contents, WalkError> {
        if self.state == State::Trailer(TRAILER) { Ok(self.contents) } else { Err(WalkError("it ends too early")) }
    }

    fn byte(&mut self, byte: u8) -> Result<(), WalkError> {
        match self.state {
            State::Head(have) => self.head_byte(have, byte),
            State::Entry => {
                self.object = Object {
                    start: self.position,
                    code: (byte >> 4) & 7,
                    size: u64::from(byte & 0xf),
                    ..Object::default()
                };
                if byte & 0x80 == 0 { self.sized() } else { self.go(State::Size(4)) }
            }
            State::Size(bit) => {
                if bit > 50 {
                    return Err(WalkError("an object is too large"));
                }
                self.object.size |= u64::from(byte & 0x7f) << bit;
                if byte & 0x80 == 0 { self.sized() } else { self.go(State::Size(bit + 7)) }
            }
            State::Offset(before) => self.offset_byte(before, byte),
            State::Trailer(have) if have < TRAILER => self.go(State::Trailer(have + 1)),
            State::Trailer(_) | State::Data => Err(WalkError("bytes follow its end")),
        }
    }

    fn go(&mut self, state: State) -> Result<(), WalkError> {
        self.state = state;
        Ok(())
    }

    fn head_byte(&mut self, have: usize, byte: u8) -> Result<(), WalkError> {
        if let Some(place) = self.head.get_mut(have) {
            *place = byte;
        }
        if have + 1 < HEADER {
            return self.go(State::Head(have + 1));
        }
        self.left = objects(&self.head).ok_or(WalkError("it does not begin as one"))?;
        if self.left > MAX_OBJECTS {
            return Err(WalkError("it holds too many objects"));
        }
        self.next_object()
    }

    fn next_object(&mut self) -> Result<(), WalkError> {
        match self.left.checked_sub(1) {
            None => self.go(State::Trailer(0)),
            Some(left) => {
                self.left = left;
                self.go(State::Entry)
            }
        }
    }

    /// Type and size are known.
    fn sized(&mut self) -> Result<(), WalkError> {
        self.object.kind = match self.object.code {
            1 => Some(Kind::Commit),
            2 => Some(Kind::Tree),
            3 => Some(Kind::Blob),
            4 => Some(Kind::Tag),
            6 => return self.go(State::Offset(None)),
            _ => return Err(WalkError("an object is of an unexpected type")),
        };
        self.go(State::Data)
    }

    /// The distance is written in sevens of bits, each continuation counting one more.
    fn offset_byte(&mut self, before: Option<u64>, byte: u8) -> Result<(), WalkError> {
        let low = u64::from(byte & 0x7f);
        let value = match before {
            None => low,
            Some(it) if it > u64::MAX >> 10 => return Err(WalkError("a delta's base is out of reach")),
            Some(it) => ((it + 1) << 7) | low,
        };
        if byte & 0x80 != 0 {
            return self.go(State::Offset(Some(value)));
        }
        let base = self.object.start.checked_sub(value).and_then(|it| self.kinds.get(&it));
        self.object.kind = Some(*base.ok_or(WalkError("a delta's base is not in it"))?);
        self.go(State::Data)
    }

    /// Inflates from the front of `input`; how much of it was used.
    fn content(&mut self, input: &[u8]) -> Result<usize, WalkError> {
        let mut used = 0;
        loop {
            let (read, wrote) = (self.inflate.total_in(), self.inflate.total_out());
            let rest = input.get(used..).unwrap_or_default();
            let status = self
                .inflate
                .decompress(rest, &mut self.scratch, FlushDecompress::None)
                .map_err(|_| WalkError("an object's content is damaged"))?;
            let read = usize::try_from(self.inflate.total_in() - read).unwrap_or(usize::MAX);
            let wrote = usize::try_from(self.inflate.total_out() - wrote).unwrap_or(usize::MAX);
            used += read;
            self.produced(wrote)?;
            if status == Status::StreamEnd {
                self.object_ended()?;
                return Ok(used);
            }
            if read == 0 && wrote == 0 {
                // All that came is inflated; an input that is not taken at all would never end.
                return if used == 0 { Err(WalkError("an object's content is damaged")) } else { Ok(used) };
            }
        }
    }

    fn produced(&mut self, bytes: usize) -> Result<(), WalkError> {
        self.object.inflated += bytes as u64;
        self.inflated += bytes as u64;
        if self.object.inflated > self.object.size {
            return Err(WalkError("an object is larger than it says"));
        }
        if self.inflated > MAX_INFLATED {
            return Err(WalkError("its contents are too large"));
        }
        if self.object.code == 4 && self.object.head.len() < TAG_HEAD {
            let room = (TAG_HEAD - self.object.head.len()).min(bytes);
            self.object.head.extend_from_slice(self.scratch.get(..room).unwrap_or_default());
        }
        Ok(())
    }

    fn object_ended(&mut self) -> Result<(), WalkError> {
        self.inflate.reset(true);
        let object = std::mem::take(&mut self.object);
        if object.inflated != object.size {
            return Err(WalkError("an object is smaller than it says"));
        }
        if let Some(kind) = object.kind {
            self.kinds.insert(object.start, kind);
            self.contents.commits += usize::from(kind == Kind::Commit);
        }
        self.contents.tagged.extend(tagged(&object.head));
        self.next_object()
    }
}

/// What a tag's first two lines say.
fn tagged(head: &[u8]) -> Option<(Oid, Kind)> {
    let text = std::str::from_utf8(head).ok().or_else(|| std::str::from_utf8(head.get(..60)?).ok())?;
    let mut lines = text.split('\n');
    let oid = lines.next()?.strip_prefix("object ")?.parse().ok()?;
    let kind = match lines.next()?.strip_prefix("type ")? {
        "commit" => Kind::Commit,
        "tree" => Kind::Tree,
        "blob" => Kind::Blob,
        "tag" => Kind::Tag,
        _ => return None,
    };
    Some((oid, kind))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;

    use super::*;

    /// Type code, distance to the base for deltas, content.
    type Entry = (u8, Option<usize>, Vec<u8>);

    fn pack(entries: &[Entry]) -> Vec<u8> {
        let mut out = b"PACK\0\0\0\x02".to_vec();
        out.extend(u32::try_from(entries.len()).unwrap().to_be_bytes());
        let mut starts = vec![];
        for (code, back, content) in entries {
            starts.push(out.len());
            let mut size = content.len();
            let mut byte = (code << 4) | u8::try_from(size & 15).unwrap();
            size >>= 4;
            while size > 0 {
                out.push(byte | 0x80);
                byte = u8::try_from(size & 0x7f).unwrap();
                size >>= 7;
            }
            out.push(byte);
            if let Some(back) = back {
                let mut distance = starts[starts.len() - 1] - starts[starts.len() - 1 - back];
                let mut bytes = vec![u8::try_from(distance & 0x7f).unwrap()];
                distance >>= 7;
                while distance > 0 {
                    distance -= 1;
                    bytes.insert(0, 0x80 | u8::try_from(distance & 0x7f).unwrap());
                    distance >>= 7;
                }
                out.extend(bytes);
            }
            let mut zlib = ZlibEncoder::new(&mut out, Compression::default());
            zlib.write_all(content).unwrap();
            zlib.finish().unwrap();
        }
        out.extend([0; TRAILER]);
        out
    }

    fn walked(bytes: &[u8], cut: usize) -> Result<Contents, WalkError> {
        let mut walker = Walker::default();
        for piece in bytes.chunks(cut.max(1)) {
            walker.feed(piece)?;
        }
        walker.finish()
    }

    fn tag(kind: &str, byte: u8) -> Vec<u8> {
        format!("object {}\ntype {kind}\ntag x\ntagger ä <a@b> 0 +0000\n\nü", Oid::from_bytes([byte; 20])).into_bytes()
    }

    #[test]
    fn commits_are_counted_deltas_too_and_tags_tell_what_they_point_at() {
        let bytes = pack(&[
            (1, None, b"tree x\n".repeat(30)),
            (6, Some(1), b"delta".to_vec()),
            (6, Some(1), b"delta of a delta".to_vec()),
            (4, None, tag("commit", 1)),
            (4, None, tag("blob", 2)),
            (3, None, vec![]),
            (2, None, vec![7; 40_000]),
        ]);
        for cut in [1, 7, 4096, usize::MAX] {
            let contents = walked(&bytes, cut).unwrap();
            assert_eq!(contents.commits, 3);
            let want = [(Oid::from_bytes([1; 20]), Kind::Commit), (Oid::from_bytes([2; 20]), Kind::Blob)];
            assert_eq!(contents.tagged, want.into());
        }
    }

    #[test]
    fn a_pack_that_is_cut_or_too_long_is_an_error() {
        let bytes = pack(&[(1, None, b"tree".to_vec())]);
        assert!(walked(&bytes[..bytes.len() - 1], 9).is_err());
        assert!(walked(&[bytes.as_slice(), b"x"].concat(), 9).is_err());
        assert_eq!(walked(&pack(&[]), 5).unwrap(), Contents::default());
    }

    #[test]
    fn a_delta_on_an_object_elsewhere_is_refused() {
        let mut bytes = pack(&[(1, None, b"tree".to_vec())]);
        bytes[HEADER] = 0x74;
        assert!(walked(&bytes, 100).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..500), cut in 1_usize..60) {
            let _ = walked(&bytes, cut);
        }

        #[test]
        fn a_damaged_pack_never_panics(at in 0_usize..300, byte in any::<u8>(), cut in 1_usize..60) {
            let mut bytes = pack(&[
                (1, None, b"tree abc\n".repeat(9)), (6, Some(1), b"xyz".to_vec()), (4, None, tag("tree", 9)),
            ]);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = walked(&bytes, cut);
        }

        #[test]
        fn any_sizes_are_walked_over(sizes in proptest::collection::vec(0_usize..70_000, 0..6), cut in 1_usize..9_000) {
            let entries: Vec<Entry> = sizes.iter().map(|it| (1, None, vec![b'x'; *it])).collect();
            prop_assert_eq!(walked(&pack(&entries), cut).unwrap().commits, sizes.len());
        }
    }
}
