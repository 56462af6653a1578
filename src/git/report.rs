//! What the target says about a push: a status for each ref, and what its hooks print.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::body::{Body, MAX_MESSAGE};
use super::clean::Redactor;
use super::command::Command;
use super::error::{Side, WireError};
use super::pktline::{Decoder, FrameError, Packet, line};
use super::progress::Progress;
use super::sideband::{SideBand, Step};
use crate::domain::refs::RefName;

/// The most of the hooks' output that is kept.
const MAX_OUTPUT: usize = 64 * 1024;
/// curl reports a hook's callback into OneDev that was answered with an error.
const CALLBACK_FAILED: &[u8] = b"curl: (22)";

/// How git says that a ref did not stand where it should, or cannot stand beside another one.
const STALE: [&str; 6] = [
    "failed to update ref",
    "failed to lock",
    "cannot lock ref",
    "atomic transaction failed",
    "already exists",
    "does not exist",
];

/// What became of one ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefOutcome {
    /// It stands where it shall.
    Done,
    /// It stands where it stood.
    Refused(Refusal),
}

/// Why a ref was refused: git's word for it, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It stood elsewhere than expected, or its name conflicts with another ref's: read again, plan again.
    Stale(String),
    /// A hook declined the whole push.
    Hook(String),
    /// HEAD points at the branch that was to be deleted.
    CurrentBranch(String),
    /// The new object or one that it needs is missing.
    MissingObjects(String),
    /// The pack was not accepted.
    Unpack(String),
    /// Another ref of the atomic push was refused.
    Atomic(String),
    /// Anything else.
    Other(String),
}

impl Refusal {
    fn of(reason: String) -> Self {
        let has = |text: &str| reason.contains(text);
        if has("hook declined") {
            Self::Hook(reason)
        } else if has("current branch prohibited") {
            Self::CurrentBranch(reason)
        } else if has("missing necessary objects") || has("bad pack") {
            Self::MissingObjects(reason)
        } else if has("unpacker error") {
            Self::Unpack(reason)
        } else if has("atomic push failure") {
            Self::Atomic(reason)
        } else if STALE.iter().any(|it| has(it)) {
            Self::Stale(reason)
        } else {
            Self::Other(reason)
        }
    }

    /// git's word.
    pub fn reason(&self) -> &str {
        match self {
            Self::Stale(it)
            | Self::Hook(it)
            | Self::CurrentBranch(it)
            | Self::MissingObjects(it)
            | Self::Unpack(it)
            | Self::Atomic(it)
            | Self::Other(it) => it,
        }
    }
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushReport {
    /// Why the pack was not accepted, if so; every ref is refused then.
    pub unpack_failed: Option<String>,
    /// Every ref that was commanded.
    pub refs: BTreeMap<RefName, RefOutcome>,
    /// What the target's hooks and its git told people. Cleaned, at most 64 KiB.
    pub remote_output: String,
    /// A hook's callback into OneDev failed. If refs were done nevertheless, OneDev has not set
    /// HEAD, indexed or announced anything of this push.
    pub callback_failed: bool,
}

impl PushReport {
    /// Whether every ref stands where it shall.
    pub fn all_done(&self) -> bool {
        self.refs.values().all(|it| *it == RefOutcome::Done)
    }

    /// The refs that do not.
    pub fn refused(&self) -> impl Iterator<Item = (&RefName, &Refusal)> {
        self.refs.iter().filter_map(|(name, outcome)| match outcome {
            RefOutcome::Done => None,
            RefOutcome::Refused(refusal) => Some((name, refusal)),
        })
    }

    /// Adds the report of a further part of the same push.
    pub(crate) fn absorb(&mut self, other: Self) {
        let Self { unpack_failed, refs, remote_output, callback_failed } = other;
        self.unpack_failed = self.unpack_failed.take().or(unpack_failed);
        self.refs.extend(refs);
        if self.remote_output.len() < MAX_OUTPUT {
            self.remote_output.push_str(&remote_output);
        }
        self.callback_failed |= callback_failed;
    }
}

/// The output of hooks, bounded, and searched as a whole for a failed callback.
#[derive(Debug, Default)]
struct Output {
    kept: Vec<u8>,
    /// The end of what came before: the words that are searched for may be cut.
    tail: Vec<u8>,
    callback_failed: bool,
}

impl Output {
    fn add(&mut self, piece: &[u8]) {
        let room = MAX_OUTPUT.saturating_sub(self.kept.len()).min(piece.len());
        self.kept.extend_from_slice(piece.get(..room).unwrap_or_default());
        if self.callback_failed {
            return;
        }
        self.tail.extend_from_slice(piece);
        self.callback_failed = self.tail.windows(CALLBACK_FAILED.len()).any(|it| it == CALLBACK_FAILED);
        let surplus = self.tail.len().saturating_sub(CALLBACK_FAILED.len() - 1);
        self.tail.drain(..surplus);
    }
}

/// The lines of a report as they come.
#[derive(Debug)]
struct Lines {
    decoder: Decoder,
    unpack: Option<Result<(), String>>,
    refs: BTreeMap<RefName, Option<RefOutcome>>,
    ended: bool,
}

impl Lines {
    fn of(commands: &[Command]) -> Self {
        let refs = commands.iter().map(|it| (it.name.clone(), None)).collect();
        Self { decoder: Decoder::default(), unpack: None, refs, ended: false }
    }

    fn add(&mut self, piece: Bytes, redactor: &Redactor) -> Result<(), FrameError> {
        self.decoder.feed(piece);
        while let Some(packet) = self.decoder.packet()? {
            match packet {
                Packet::Data(data) => self.line(line(&data), redactor),
                Packet::Flush => self.ended = true,
                Packet::Delimiter | Packet::ResponseEnd => {}
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], redactor: &Redactor) {
        if let Some(result) = line.strip_prefix(b"unpack ") {
            self.unpack = Some(if result == b"ok" { Ok(()) } else { Err(redactor.line(result, MAX_MESSAGE)) });
        } else if let Some(name) = line.strip_prefix(b"ok ") {
            self.settle(name, || RefOutcome::Done);
        } else if let Some(rest) = line.strip_prefix(b"ng ") {
            let end = rest.iter().position(|it| *it == b' ').unwrap_or(rest.len());
            let (name, reason) = rest.split_at_checked(end).unwrap_or((rest, b""));
            self.settle(name, || RefOutcome::Refused(Refusal::of(redactor.line(reason, MAX_MESSAGE))));
        }
    }

    fn settle(&mut self, name: &[u8], outcome: impl FnOnce() -> RefOutcome) {
        let name = std::str::from_utf8(name).ok().and_then(|it| RefName::new(it).ok());
        if let Some(place) = name.and_then(|it| self.refs.get_mut(&it)) {
            *place = Some(outcome());
        }
    }

    /// The report, if it is whole.
    fn finish(self, output: &Output, redactor: &Redactor) -> Result<PushReport, WireError> {
        let truncated = WireError::Truncated { side: Side::Target, what: "the report of the push" };
        let Some(unpack) = self.unpack else { return Err(truncated) };
        let unpack_failed = unpack.err();
        let missing = self.refs.values().filter(|it| it.is_none()).count();
        if missing > 0 && unpack_failed.is_none() {
            let commanded = self.refs.len();
            let first = self.refs.iter().find(|(_, it)| it.is_none()).map(|(name, _)| name.to_string());
            let first = first.unwrap_or_default();
            return Err(if self.ended { WireError::ReportMissing { missing, commanded, first } } else { truncated });
        }
        let unsaid = || RefOutcome::Refused(Refusal::Unpack("unpacker error".to_owned()));
        Ok(PushReport {
            unpack_failed,
            refs: self.refs.into_iter().map(|(name, it)| (name, it.unwrap_or_else(unsaid))).collect(),
            remote_output: redactor.text(&output.kept, MAX_OUTPUT),
            callback_failed: output.callback_failed,
        })
    }
}

/// Reads the answer to a push to its end.
///
/// # Errors
/// [`WireError::Truncated`], [`WireError::ReportMissing`] when not every ref is named, the fatal
/// error of the target, those of the transport.
pub(crate) async fn read(
    mut body: Body,
    commands: &[Command],
    banded: bool,
    progress: &Progress,
) -> Result<PushReport, WireError> {
    let mut lines = Lines::of(commands);
    let mut output = Output::default();
    let mut bands = SideBand::default();
    while let Some(chunk) = body.chunk().await? {
        progress.heard(chunk.len());
        if banded {
            take_apart(chunk, &mut bands, &mut lines, &mut output, &body)?;
        } else {
            lines.add(chunk, body.redactor()).map_err(|it| body.frame(it))?;
        }
    }
    lines.finish(&output, body.redactor())
}

fn take_apart(
    mut chunk: Bytes,
    bands: &mut SideBand,
    lines: &mut Lines,
    output: &mut Output,
    body: &Body,
) -> Result<(), WireError> {
    loop {
        match bands.step(&mut chunk).map_err(|it| body.frame(it))? {
            Step::Data(piece) => lines.add(piece, body.redactor()).map_err(|it| body.frame(it))?,
            Step::Progress(text) => output.add(&text),
            Step::Fatal(reason) => return Err(body.remote(&reason)),
            Step::Flush => {}
            Step::More => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::pktline::{put, put_flush};
    use super::*;
    use crate::domain::refs::Oid;

    fn commands(names: &[&str]) -> Vec<Command> {
        let oid = Oid::from_bytes([1; 20]);
        names.iter().map(|it| Command { name: RefName::new(it).unwrap(), old: Oid::ZERO, new: oid }).collect()
    }

    fn report(names: &[&str], lines: &[&str], flush: bool) -> Result<PushReport, WireError> {
        let mut bytes = BytesMut::new();
        lines.iter().for_each(|it| put(&mut bytes, it.as_bytes()).unwrap());
        if flush {
            put_flush(&mut bytes);
        }
        let mut it = Lines::of(&commands(names));
        for piece in bytes.chunks(5) {
            it.add(Bytes::copy_from_slice(piece), &Redactor::default()).unwrap();
        }
        it.finish(&Output::default(), &Redactor::default())
    }

    #[test]
    fn each_ref_has_its_own_outcome() {
        let lines = ["unpack ok\n", "ok refs/heads/a\n", "ng refs/heads/b failed to update ref\n"];
        let report = report(&["refs/heads/a", "refs/heads/b"], &lines, true).unwrap();
        assert!(!report.all_done());
        let refused: Vec<_> = report.refused().map(|(name, it)| (name.as_str(), it.clone())).collect();
        assert_eq!(refused, [("refs/heads/b", Refusal::Stale("failed to update ref".to_owned()))]);
    }

    #[test]
    fn a_ref_without_a_word_is_an_error() {
        let lines = ["unpack ok\n", "ok refs/heads/a\n"];
        let error = report(&["refs/heads/a", "refs/heads/b"], &lines, true).unwrap_err();
        assert!(matches!(error, WireError::ReportMissing { missing: 1, commanded: 2, .. }), "{error}");
        let error = report(&["refs/heads/a", "refs/heads/b"], &lines, false).unwrap_err();
        assert!(matches!(error, WireError::Truncated { .. }));
        assert!(report(&["refs/heads/a"], &[], true).is_err());
    }

    #[test]
    fn a_pack_that_was_not_accepted_refuses_every_ref() {
        let report = report(&["refs/heads/a"], &["unpack index-pack abnormal exit\n"], true).unwrap();
        assert_eq!(report.unpack_failed.as_deref(), Some("index-pack abnormal exit"));
        assert!(matches!(report.refused().next(), Some((_, Refusal::Unpack(_)))));
    }

    #[test]
    fn a_failed_callback_is_noticed_even_when_cut_in_two_and_after_much_noise() {
        let mut output = Output::default();
        output.add(&vec![b'.'; MAX_OUTPUT + 10]);
        output.add(b"remote: curl");
        assert!(!output.callback_failed);
        output.add(b": (22) The requested URL returned error: 500");
        assert!(output.callback_failed);
        assert_eq!(output.kept.len(), MAX_OUTPUT);
    }
}
