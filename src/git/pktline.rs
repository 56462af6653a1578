//! pkt-lines: the frames of git's protocols, four hex digits of length and the data.
//!
//! Bytes come from [`super::body`] in chunks as the network cut them; a packet that lies within one
//! chunk is handed on as a slice of it, only one that crosses chunks is put together. Packs are not
//! read with this but with [`super::sideband`], which never puts anything together.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// The most data one packet can carry (git's `LARGE_PACKET_MAX` less its length digits).
pub(crate) const MAX_DATA: usize = 65_516;

/// Digits of the length.
pub(crate) const DIGITS: usize = 4;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    /// A line or a piece of data, often with a line feed at its end.
    Data(Bytes),
    /// `0000`: the end of a list or of a request.
    Flush,
    /// `0001`: the end of a section, protocol v2.
    Delimiter,
    /// `0002`: the end of an answer, protocol v2 over stateless connections.
    ResponseEnd,
}

/// Bytes that are no pkt-line, or data that fits in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The four bytes where a length should be.
    #[error("`{}` is no pkt-line length", .0.escape_ascii())]
    Length([u8; DIGITS]),
    /// More data than one packet carries.
    #[error("{0} bytes do not fit in one pkt-line")]
    TooLong(usize),
}

/// What a packet's four digits say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Flush,
    Delimiter,
    ResponseEnd,
    /// So many bytes of data follow.
    Data(usize),
}

impl From<Length> for Packet {
    /// The packet, its data still to come.
    fn from(length: Length) -> Self {
        match length {
            Length::Flush => Self::Flush,
            Length::Delimiter => Self::Delimiter,
            Length::ResponseEnd => Self::ResponseEnd,
            Length::Data(_) => Self::Data(Bytes::new()),
        }
    }
}

/// Reads the four digits.
pub(crate) fn length(digits: [u8; DIGITS]) -> Result<Length, FrameError> {
    let mut value = 0_usize;
    for digit in digits {
        let digit = char::from(digit).to_digit(16).ok_or(FrameError::Length(digits))?;
        value = value * 16 + digit as usize;
    }
    match value {
        0 => Ok(Length::Flush),
        1 => Ok(Length::Delimiter),
        2 => Ok(Length::ResponseEnd),
        it if (DIGITS..=MAX_DATA + DIGITS).contains(&it) => Ok(Length::Data(it - DIGITS)),
        _ => Err(FrameError::Length(digits)),
    }
}

/// Appends one data packet.
///
/// # Errors
/// [`FrameError::TooLong`] above [`MAX_DATA`] bytes.
pub(crate) fn put(out: &mut BytesMut, data: &[u8]) -> Result<(), FrameError> {
    if data.len() > MAX_DATA {
        return Err(FrameError::TooLong(data.len()));
    }
    out.reserve(data.len() + DIGITS);
    let length = data.len() + DIGITS;
    for shift in [12, 8, 4, 0] {
        let digit = u32::try_from((length >> shift) & 0xf).unwrap_or_default();
        out.put_u8(char::from_digit(digit, 16).map_or(b'0', |it| it as u8));
    }
    out.put_slice(data);
    Ok(())
}

/// Appends `0000`.
pub(crate) fn put_flush(out: &mut BytesMut) {
    out.put_slice(b"0000");
}

/// Appends `0001`.
pub(crate) fn put_delimiter(out: &mut BytesMut) {
    out.put_slice(b"0001");
}

/// The text of a packet without the line feed that may end it.
pub(crate) fn line(data: &[u8]) -> &[u8] {
    data.strip_suffix(b"\n").unwrap_or(data)
}

/// Cuts packets out of chunks, incrementally. Holds at most one chunk and one unfinished packet.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The beginning of a packet whose end has not come yet.
    begun: BytesMut,
    /// What has not been looked at.
    chunk: Bytes,
}

impl Decoder {
    /// Gives the next chunk. Call it when [`Decoder::packet`] has answered `None`; a chunk that is
    /// given earlier is joined to what is left, at the cost of a copy.
    pub(crate) fn feed(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            let mut both = BytesMut::with_capacity(self.chunk.len() + chunk.len());
            both.put_slice(&self.chunk);
            both.put_slice(&chunk);
            self.chunk = both.freeze();
        }
    }

    /// The next whole packet; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError::Length`] where no length stands; nothing after it makes sense.
    pub(crate) fn packet(&mut self) -> Result<Option<Packet>, FrameError> {
        if self.begun.is_empty() {
            let Some(digits) = self.chunk.first_chunk::<DIGITS>() else {
                self.begun.put_slice(&self.chunk);
                self.chunk.clear();
                return Ok(None);
            };
            let size = match length(*digits)? {
                Length::Data(size) => size,
                other => {
                    self.chunk.advance(DIGITS);
                    return Ok(Some(other.into()));
                }
            };
            if self.chunk.len() >= DIGITS + size {
                self.chunk.advance(DIGITS);
                return Ok(Some(Packet::Data(self.chunk.split_to(size))));
            }
        }
        self.join()
    }

    /// Finishes the packet that crosses chunks, as far as the bytes go.
    fn join(&mut self) -> Result<Option<Packet>, FrameError> {
        if !self.take_up_to(DIGITS) {
            return Ok(None);
        }
        let Some(digits) = self.begun.first_chunk::<DIGITS>().copied() else { return Ok(None) };
        let size = match length(digits)? {
            Length::Data(size) => size,
            other => {
                self.begun.clear();
                return Ok(Some(other.into()));
            }
        };
        if !self.take_up_to(DIGITS + size) {
            return Ok(None);
        }
        let mut whole = self.begun.split();
        whole.advance(DIGITS);
        Ok(Some(Packet::Data(whole.freeze())))
    }

    /// Moves bytes until `wanted` have begun; whether there were enough.
    fn take_up_to(&mut self, wanted: usize) -> bool {
        let missing = wanted.saturating_sub(self.begun.len()).min(self.chunk.len());
        self.begun.put_slice(&self.chunk.split_to(missing));
        self.begun.len() >= wanted
    }

    /// Whether no packet is half read: only here may the bytes end.
    pub(crate) fn at_boundary(&self) -> bool {
        self.begun.is_empty() && self.chunk.is_empty()
    }

    /// What has not been cut yet, for another reader. Only between two packets.
    pub(crate) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.chunk)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packets(bytes: &[u8], cut: usize) -> Result<Vec<Packet>, FrameError> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        for chunk in bytes.chunks(cut.max(1)) {
            decoder.feed(Bytes::copy_from_slice(chunk));
            while let Some(packet) = decoder.packet()? {
                out.push(packet);
            }
        }
        Ok(out)
    }

    fn encoded(packets: &[Packet]) -> BytesMut {
        let mut out = BytesMut::new();
        for packet in packets {
            match packet {
                Packet::Data(data) => put(&mut out, data).unwrap(),
                Packet::Flush => put_flush(&mut out),
                Packet::Delimiter => put_delimiter(&mut out),
                Packet::ResponseEnd => out.put_slice(b"0002"),
            }
        }
        out
    }

    fn any_packet() -> impl Strategy<Value = Packet> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(|it| Packet::Data(it.into())),
            Just(Packet::Flush),
            Just(Packet::Delimiter),
            Just(Packet::ResponseEnd),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_however_the_network_cuts_it(
            sent in proptest::collection::vec(any_packet(), 0..20), cut in 1_usize..700,
        ) {
            prop_assert_eq!(packets(&encoded(&sent), cut).unwrap(), sent);
        }

        #[test]
        fn garbage_is_an_error_or_packets_and_never_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 1_usize..50,
        ) {
            let _ = packets(&bytes, cut);
        }
    }

    #[test]
    fn the_bounds_of_the_length_hold() {
        assert_eq!(length(*b"0004"), Ok(Length::Data(0)));
        assert_eq!(length(*b"FFf0"), Ok(Length::Data(MAX_DATA)));
        for bad in [*b"0003", *b"fff1", *b"00g0", *b"PACK", *b"-001"] {
            assert_eq!(length(bad), Err(FrameError::Length(bad)));
        }
        assert!(put(&mut BytesMut::new(), &vec![0; MAX_DATA]).is_ok());
        assert!(put(&mut BytesMut::new(), &vec![0; MAX_DATA + 1]).is_err());
    }

    #[test]
    fn a_packet_within_a_chunk_is_a_slice_of_it() {
        let chunk = Bytes::from_static(b"0009abcde0000");
        let mut decoder = Decoder::default();
        decoder.feed(chunk.clone());
        let Some(Packet::Data(data)) = decoder.packet().unwrap() else { panic!("no data") };
        assert_eq!(data.as_ptr(), chunk.slice(4..).as_ptr());
        assert_eq!(decoder.packet().unwrap(), Some(Packet::Flush));
        assert!(decoder.at_boundary());
    }
}
