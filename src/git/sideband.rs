//! The side-band: pack (or report), progress and errors of the other side in one stream of packets.
//!
//! Bytes come from [`super::body`]; those of band 1 are handed on as slices of the chunk in which
//! they came, of whatever length: a packet is never put together, so nothing is copied.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::pktline::{DIGITS, FrameError, Length, length};

/// The most of a fatal error's text that is kept.
const MAX_ERROR: usize = 4096;

/// What the next bytes mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Bytes of the pack or of the report.
    Data(Bytes),
    /// A piece of what the other side tells people.
    Progress(Bytes),
    /// The other side gave up, and why.
    Fatal(Bytes),
    /// The end.
    Flush,
    /// The input is used up.
    More,
}

/// Takes the bands apart, incrementally.
#[derive(Debug, Default)]
pub(crate) struct SideBand {
    /// Length digits and band number, as far as they have come.
    header: [u8; DIGITS + 1],
    have: usize,
    /// Bytes of the present packet that have not come.
    left: usize,
    band: u8,
    fatal: BytesMut,
}

impl SideBand {
    /// Goes on from a packet that another reader has already cut out, band number included.
    pub(crate) fn resumed(mut packet: Bytes) -> Result<(Self, Bytes), FrameError> {
        if packet.is_empty() {
            return Ok((Self::default(), packet));
        }
        let band = packet.split_to(1).first().copied().unwrap_or_default();
        if !matches!(band, 1..=3) {
            return Err(FrameError::Length([band, 0, 0, 0]));
        }
        Ok((Self { left: packet.len(), band, ..Self::default() }, packet))
    }

    /// Reads from the front of `input`.
    ///
    /// # Errors
    /// [`FrameError`] where no packet or no known band begins.
    pub(crate) fn step(&mut self, input: &mut Bytes) -> Result<Step, FrameError> {
        loop {
            if self.left > 0 {
                if let Some(step) = self.content(input) {
                    return Ok(step);
                }
                continue;
            }
            if !self.fatal.is_empty() {
                return Ok(Step::Fatal(self.fatal.split().freeze()));
            }
            match self.begin(input)? {
                None => return Ok(Step::More),
                Some(Length::Flush) => return Ok(Step::Flush),
                Some(_) => {}
            }
        }
    }

    /// The next piece of the present packet; `None` for one that is only collected.
    fn content(&mut self, input: &mut Bytes) -> Option<Step> {
        let piece = input.split_to(self.left.min(input.len()));
        if piece.is_empty() {
            return Some(Step::More);
        }
        self.left -= piece.len();
        match self.band {
            1 => Some(Step::Data(piece)),
            2 => Some(Step::Progress(piece)),
            _ => {
                let room = MAX_ERROR.saturating_sub(self.fatal.len()).min(piece.len());
                self.fatal.put_slice(&piece.slice(..room));
                None
            }
        }
    }

    /// Reads length and band; `None` when the input ends before them. An empty data packet, which
    /// keeps a connection alive, leaves nothing to read.
    fn begin(&mut self, input: &mut Bytes) -> Result<Option<Length>, FrameError> {
        self.fill(input, DIGITS);
        let Some(digits) = self.header.first_chunk::<DIGITS>().copied().filter(|_| self.have >= DIGITS) else {
            return Ok(None);
        };
        let length = length(digits)?;
        let Length::Data(size) = length else {
            self.have = 0;
            return if length == Length::Flush { Ok(Some(length)) } else { Err(FrameError::Length(digits)) };
        };
        if size > 0 {
            self.fill(input, DIGITS + 1);
            if self.have <= DIGITS {
                return Ok(None);
            }
            self.band = self.header.last().copied().unwrap_or_default();
            if !matches!(self.band, 1..=3) {
                return Err(FrameError::Length(digits));
            }
        }
        self.left = size.saturating_sub(1);
        self.have = 0;
        Ok(Some(length))
    }

    fn fill(&mut self, input: &mut Bytes, wanted: usize) {
        let piece = input.split_to(wanted.saturating_sub(self.have).min(input.len()));
        for (place, byte) in self.header.iter_mut().skip(self.have).zip(&piece) {
            *place = *byte;
        }
        self.have += piece.len();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pktline::{put, put_flush};
    use super::*;

    /// Bands 1 and 2 and the fatal text, and whether the end was seen.
    type Bands = (Vec<u8>, Vec<u8>, Vec<u8>, bool);

    fn taken_apart(bytes: &[u8], cut: usize) -> Result<Bands, FrameError> {
        let mut bands = SideBand::default();
        let (mut data, mut progress, mut fatal, mut ended) = (vec![], vec![], vec![], false);
        for chunk in bytes.chunks(cut.max(1)) {
            let mut input = Bytes::copy_from_slice(chunk);
            loop {
                match bands.step(&mut input)? {
                    Step::Data(it) => data.extend_from_slice(&it),
                    Step::Progress(it) => progress.extend_from_slice(&it),
                    Step::Fatal(it) => fatal.extend_from_slice(&it),
                    Step::Flush => ended = true,
                    Step::More => break,
                }
            }
        }
        Ok((data, progress, fatal, ended))
    }

    proptest! {
        #[test]
        fn the_bands_come_apart_however_the_network_cuts_them(
            sent in proptest::collection::vec((1_u8..=2, proptest::collection::vec(any::<u8>(), 0..200)), 0..20),
            cut in 1_usize..300,
        ) {
            let mut bytes = BytesMut::new();
            let mut want = (vec![], vec![], vec![], true);
            for (band, content) in &sent {
                let mut packet = vec![*band];
                packet.extend_from_slice(content);
                put(&mut bytes, &packet).unwrap();
                if *band == 1 { want.0.extend_from_slice(content) } else { want.1.extend_from_slice(content) }
            }
            put_flush(&mut bytes);
            prop_assert_eq!(taken_apart(&bytes, cut).unwrap(), want);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 1_usize..40) {
            let _ = taken_apart(&bytes, cut);
        }
    }

    #[test]
    fn a_fatal_error_is_put_together_and_bounded() {
        let mut bytes = BytesMut::new();
        put(&mut bytes, b"\x01PACK").unwrap();
        put(&mut bytes, b"\x03no space left").unwrap();
        put_flush(&mut bytes);
        let (data, _, fatal, _) = taken_apart(&bytes, 3).unwrap();
        assert_eq!((data, fatal), (b"PACK".to_vec(), b"no space left".to_vec()));
        let mut long = BytesMut::new();
        put(&mut long, &[3; 60_000]).unwrap();
        put_flush(&mut long);
        assert_eq!(taken_apart(&long, 999).unwrap().2.len(), MAX_ERROR);
    }

    #[test]
    fn a_packet_that_was_cut_out_already_is_gone_on_with() {
        let (mut bands, mut input) = SideBand::resumed(Bytes::from_static(b"\x01PACK")).unwrap();
        assert_eq!(bands.step(&mut input).unwrap(), Step::Data(Bytes::from_static(b"PACK")));
        assert_eq!(bands.step(&mut input).unwrap(), Step::More);
        assert_eq!(bands.step(&mut Bytes::from_static(b"0005\x010000")).unwrap(), Step::Flush);
        assert!(SideBand::resumed(Bytes::from_static(b"NAK\n")).is_err());
    }
}
