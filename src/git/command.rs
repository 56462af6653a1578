//! What is to be done to the target's refs, in pushes that OneDev accepts.

use bytes::{Bytes, BytesMut};

use super::capabilities::Capabilities;
use super::error::WireError;
use super::pktline::{put, put_flush};
use super::remote::AGENT;
use crate::domain::refs::{Oid, RefName};

/// OneDev's hooks take 83 bytes and the name for each ref, 5,000,000 bytes in all; some are left free.
const MAX_HOOK_BYTES: usize = 4_500_000;
const HOOK_BYTES_A_REF: usize = 83;
/// The most refs of one push: beyond, one push would occupy OneDev for too long.
const MAX_REFS: usize = 20_000;

/// One ref, from where it must stand to where it shall stand. The target refuses the command when
/// the ref stands elsewhere: a compare-and-swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The ref.
    pub name: RefName,
    /// Where it stands; [`Oid::ZERO`] if it must not exist.
    pub old: Oid,
    /// Where it shall stand; [`Oid::ZERO`] deletes it.
    pub new: Oid,
}

impl Command {
    /// Whether the ref goes.
    pub fn deletes(&self) -> bool {
        self.new == Oid::ZERO
    }
}

/// Commands that go out together. Deletes are put first on the wire, or a directory/file conflict
/// (`new` goes, `new/x` comes) would fail; otherwise the order stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Push {
    /// What to do, each ref once.
    pub commands: Vec<Command>,
    /// All or nothing. Such a push is never split.
    pub atomic: bool,
}

impl Push {
    /// A push in which each ref succeeds or fails for itself.
    pub fn plain(commands: Vec<Command>) -> Self {
        Self { commands, atomic: false }
    }

    /// A push in which all refs succeed, or none.
    pub fn atomic(commands: Vec<Command>) -> Self {
        Self { commands, atomic: true }
    }

    /// Whether a pack must follow the commands, be it an empty one.
    pub(crate) fn needs_pack(&self) -> bool {
        self.commands.iter().any(|it| !it.deletes())
    }

    /// The front part of the request's body.
    pub(crate) fn encode(&self, offered: &Capabilities) -> Result<Bytes, WireError> {
        let bad = |detail: String| WireError::BadRequest { detail };
        if self.commands.is_empty() {
            return Err(bad("it has no commands".to_owned()));
        }
        let words = capabilities(self.atomic, offered).map_err(|it| bad(it.to_owned()))?;
        let (deletes, others): (Vec<&Command>, Vec<&Command>) = self.commands.iter().partition(|it| it.deletes());
        let mut out = BytesMut::with_capacity(200 + self.commands.len() * 128);
        for (index, Command { name, old, new }) in deletes.into_iter().chain(others).enumerate() {
            let line = if index == 0 { format!("{old} {new} {name}\0 {words}") } else { format!("{old} {new} {name}") };
            put(&mut out, line.as_bytes()).map_err(|it| bad(it.to_string()))?;
        }
        put_flush(&mut out);
        Ok(out.freeze())
    }
}

/// What is asked of receive-pack. Without `quiet` progress would come while the body still goes up.
fn capabilities(atomic: bool, offered: &Capabilities) -> Result<String, &'static str> {
    if !offered.has("report-status") {
        return Err("the target cannot report what became of the refs");
    }
    if atomic && !offered.has("atomic") {
        return Err("the target has no atomic pushes");
    }
    let mut words = vec!["report-status"];
    words.extend(["side-band-64k", "quiet", "ofs-delta"].into_iter().filter(|it| offered.has(it)));
    words.extend(Some("atomic").filter(|_| atomic));
    words.extend(Some("object-format=sha1").filter(|_| offered.has("object-format")));
    words.extend(Some(AGENT).filter(|_| offered.has("agent")));
    Ok(words.join(" "))
}

/// Splits commands, in their order, below OneDev's limits.
///
/// Only the first part that needs a pack carries it, with the objects of all parts: receive-pack
/// keeps every object of an accepted push, so the later parts find theirs and need an empty pack.
/// Were the later parts never to come, those objects would lie there unreachable, and git would
/// clear them away after two weeks.
pub fn batches(commands: Vec<Command>) -> Vec<Vec<Command>> {
    let mut out = Vec::new();
    let mut part: Vec<Command> = Vec::new();
    let mut bytes = 0;
    for command in commands {
        let cost = HOOK_BYTES_A_REF + command.name.as_str().len();
        if !part.is_empty() && (bytes + cost >= MAX_HOOK_BYTES || part.len() >= MAX_REFS) {
            out.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += cost;
        part.push(command);
    }
    if !part.is_empty() {
        out.push(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn command(name: &str, old: u8, new: u8) -> Command {
        let name = RefName::new(name).unwrap();
        Command { name, old: Oid::from_bytes([old; 20]), new: Oid::from_bytes([new; 20]) }
    }

    fn onedev() -> Capabilities {
        Capabilities::of_words(
            b"report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta object-format=sha1 agent=git/2",
        )
    }

    #[test]
    fn deletes_go_first_and_only_the_first_line_carries_capabilities() {
        let push = Push::atomic(vec![command("refs/heads/new/x", 0, 1), command("refs/heads/new", 1, 0)]);
        let text = String::from_utf8(push.encode(&onedev()).unwrap().to_vec()).unwrap();
        let (first, rest) = text.split_once('\0').unwrap();
        assert!(first.ends_with("refs/heads/new"), "{text}");
        assert!(rest.contains(" report-status side-band-64k quiet ofs-delta atomic object-format=sha1 agent=starkeep"));
        assert!(rest.ends_with("refs/heads/new/x0000") && !rest.contains("report-status-v2"));
    }

    #[test]
    fn what_the_target_cannot_do_is_not_asked_of_it() {
        let plain = Capabilities::of_words(b"report-status");
        assert_eq!(capabilities(false, &plain), Ok("report-status".to_owned()));
        assert!(capabilities(true, &plain).is_err());
        assert!(Push::default().encode(&onedev()).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn every_part_is_below_the_limits_and_nothing_is_lost(count in 0_usize..60_000, length in 1_usize..400) {
            let long = "n".repeat(length);
            let all: Vec<Command> = (0..count).map(|it| command(&format!("refs/tags/{it}{long}"), 0, 1)).collect();
            let parts = batches(all.clone());
            for part in &parts {
                prop_assert!(part.len() <= MAX_REFS && !part.is_empty());
                prop_assert!(part.iter().map(|it| 83 + it.name.as_str().len()).sum::<usize>() < 4_500_000);
            }
            prop_assert_eq!(parts.concat(), all);
        }
    }
}
