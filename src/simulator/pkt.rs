//! Git's pkt-lines, as far as the simulated servers look into them: a push's commands, a report,
//! side-bands.

use bytes::{Bytes, BytesMut};

/// One packet with its four hex digits in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet(Bytes);

impl Packet {
    /// `0000`: the end of a list.
    pub(crate) fn is_flush(&self) -> bool {
        self.0.as_ref() == b"0000"
    }

    /// What stands behind the length; nothing for a flush and its like.
    pub(crate) fn payload(&self) -> &[u8] {
        self.0.get(4..).unwrap_or_default()
    }

    /// The packet as it goes over the wire.
    pub(crate) fn bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// A packet around a payload, which must fit in one.
    pub(crate) fn of(payload: &[u8]) -> Self {
        let mut packet = format!("{:04x}", payload.len() + 4).into_bytes();
        packet.extend_from_slice(payload);
        Self(packet.into())
    }

    /// `0000`.
    pub(crate) fn flush() -> Self {
        Self(Bytes::from_static(b"0000"))
    }

    /// Text of the remote for the client's terminal.
    pub(crate) fn progress(text: &str) -> Vec<Self> {
        let bytes = text.as_bytes();
        bytes.chunks(60_000).map(|part| Self::of(&[&[2], part].concat())).collect()
    }
}

/// Cuts a stream into packets.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    waiting: BytesMut,
    broken: bool,
}

impl Splitter {
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.waiting.extend_from_slice(chunk);
    }

    /// The next whole packet; `None` if more is needed, or if what came is no packet.
    pub(crate) fn next(&mut self) -> Option<Packet> {
        if self.broken {
            return None;
        }
        let digits = std::str::from_utf8(self.waiting.get(..4)?).ok();
        let Some(length) = digits.and_then(|it| usize::from_str_radix(it, 16).ok()) else {
            self.broken = true;
            return None;
        };
        let length = if length < 4 { 4 } else { length };
        (self.waiting.len() >= length).then(|| Packet(self.waiting.split_to(length).freeze()))
    }

    /// What has come and is no whole packet.
    pub(crate) fn rest(self) -> Bytes {
        self.waiting.freeze()
    }

    /// Whether what came is no stream of packets.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }
}

/// One command of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    /// Forty hex digits; zeros for a create.
    pub(crate) old: String,
    /// Forty hex digits; zeros for a delete.
    pub(crate) new: String,
    /// The full ref.
    pub(crate) name: String,
}

impl Command {
    /// Reads `old new name[\0capabilities]`; `None` for other lines of the list (`shallow …`).
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let line = payload.split(|byte| *byte == 0).next()?;
        let line = String::from_utf8_lossy(line);
        let mut words = line.trim_end_matches('\n').splitn(3, ' ');
        let (old, new, name) = (words.next()?, words.next()?, words.next()?);
        (old.len() == 40 && new.len() == 40).then(|| Self {
            old: old.to_owned(),
            new: new.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// Whether the capabilities behind a push's first command hold a word.
pub(crate) fn has_capability(payload: &[u8], wanted: &str) -> bool {
    let capabilities = payload.splitn(2, |byte| *byte == 0).nth(1).unwrap_or_default();
    capabilities.split(|byte| matches!(byte, b' ' | b'\n')).any(|word| word == wanted.as_bytes())
}

/// The refs that a report-status calls `ok`, as `Some`; `None` if there is no report.
pub(crate) fn accepted(report: &[u8]) -> Option<Vec<String>> {
    let mut splitter = Splitter::default();
    splitter.push(report);
    let mut unpacked = false;
    let mut names = Vec::new();
    while let Some(packet) = splitter.next() {
        let line = String::from_utf8_lossy(packet.payload()).trim_end().to_owned();
        unpacked |= line.starts_with("unpack ");
        names.extend(line.strip_prefix("ok ").map(str::to_owned));
    }
    unpacked.then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_cut_wherever_the_chunks_end() {
        let mut splitter = Splitter::default();
        for byte in b"0006ab0000zzzz" {
            splitter.push(&[*byte]);
        }
        assert_eq!(splitter.next().unwrap().payload(), b"ab");
        assert!(splitter.next().unwrap().is_flush());
        assert_eq!(splitter.next(), None);
        assert!(splitter.is_broken());
    }

    #[test]
    fn a_command_and_a_report_are_read() {
        let line = format!("{} {} refs/heads/a b\0 quiet side-band-64k\n", "0".repeat(40), "1".repeat(40));
        let command = Command::parse(line.as_bytes()).unwrap();
        assert_eq!(command.name, "refs/heads/a b");
        assert!(has_capability(line.as_bytes(), "side-band-64k"));
        assert_eq!(accepted(b"000eunpack ok\n0009ok a\n0000"), Some(vec!["a".to_owned()]));
        assert_eq!(accepted(b"0000"), None);
    }
}
