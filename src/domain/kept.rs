//! Names of starkeep's own refs: kept refs (old tips) and alias refs (tips whose real name OneDev refuses).
//!
//! OneDev's hooks trip over `+ & = %` in a ref name, so these names hold letters, digits, `.`, `-`,
//! `/` and `_` only. The escape can be undone, so that a lost database can be rebuilt from them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::refs::{InvalidRefName, Oid, RefName};

/// All kept refs stand below this.
pub const KEPT: &str = "refs/starkeep/kept/";
/// All alias refs stand below this.
pub const ALIAS: &str = "refs/starkeep/alias/";

/// A branch that stands in as OneDev's default branch for the moment in which the old one must go and
/// the new one has no room yet. It is gone before the proof.
pub const STAND_IN: &str = "refs/heads/starkeep-stand-in";

/// Holds a commit of a pack that is pushed while it comes, from its end until the LFS objects it needs are there
/// and the refs have moved. It is gone before the proof.
pub const ARRIVING: &str = "refs/starkeep/arriving";

/// OneDev was seen to take components of 250 bytes; longer ones are replaced by a hash.
const LONGEST_COMPONENT: usize = 200;
/// OneDev was seen to take names of 2,099 bytes.
const LONGEST_NAME: usize = 1_500;

/// Why a tip is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = KeptReason)]
pub enum Reason {
    /// Upstream put something there that is not its descendant.
    Overwritten,
    /// Upstream deleted the ref.
    Deleted,
    /// Somebody had moved the ref in OneDev.
    MovedInOnedev,
    /// The ref was there before starkeep came to need its name.
    Foreign,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Overwritten, Self::Deleted, Self::MovedInOnedev, Self::Foreign];

    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overwritten => "overwritten",
            Self::Deleted => "deleted",
            Self::MovedInOnedev => "moved_in_onedev",
            Self::Foreign => "foreign",
        }
    }
}

super::job::word!(Reason, "reason");

/// When kept refs are given up; never, as long as neither is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Kept for longer: given up.
    pub max_age: Option<std::time::Duration>,
    /// More in one mirror: the oldest are given up.
    pub max_count: Option<usize>,
}

impl Retention {
    /// Whether anything is ever given up.
    pub fn is_set(&self) -> bool {
        self.max_age.is_some() || self.max_count.is_some()
    }

    /// Which of a mirror's kept refs are given up now, by reason and time, as their places in the list. Tips
    /// that somebody made in OneDev never are: no copy of them was ever at GitHub.
    pub fn given_up(&self, kept: &[(Reason, DateTime<Utc>)], now: DateTime<Utc>) -> Vec<usize> {
        let upstreams = |(_, (reason, _)): &(usize, &(Reason, DateTime<Utc>))| {
            matches!(reason, Reason::Overwritten | Reason::Deleted)
        };
        let mut its: Vec<(usize, DateTime<Utc>)> =
            kept.iter().enumerate().filter(upstreams).map(|(place, (_, at))| (place, *at)).collect();
        its.sort_by_key(|(place, at)| (std::cmp::Reverse(*at), std::cmp::Reverse(*place)));
        let oldest = self.max_age.and_then(|age| now.checked_sub_signed(chrono::Duration::from_std(age).ok()?));
        let is_old = |at: DateTime<Utc>| oldest.is_some_and(|oldest| at < oldest);
        let is_many = |rank: usize| self.max_count.is_some_and(|most| rank >= most);
        let gone = its.into_iter().enumerate().filter(|(rank, (_, at))| is_old(*at) || is_many(*rank));
        gone.map(|(_, (place, _))| place).collect()
    }
}

/// A ref that holds an old tip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRef {
    /// The ref whose tip it was.
    #[serde(rename = "ref")]
    pub name: RefName,
    /// The ref that holds it now.
    pub kept: RefName,
    /// The tip: exactly the object that stood there, annotated tags unpeeled.
    pub oid: Oid,
    /// Why.
    pub reason: Reason,
}

/// `refs/starkeep/kept/<UTC microsecond>-<oid>/<escaped name>`: a folder of its own for each moment and
/// tip, so that no two kept refs can stand in each other's way as file and folder. Two refs of one
/// moment stood side by side, so they cannot either; two moments differ in the folder.
///
/// # Errors
/// None in practice: an escaped name is always a legal one.
pub fn kept_name(name: &RefName, oid: Oid, at: DateTime<Utc>) -> Result<RefName, InvalidRefName> {
    RefName::new(&format!("{KEPT}{}-{}/{}", at.format("%Y%m%dT%H%M%S%.6fZ"), oid.short(), escape(name)))
}

/// `refs/starkeep/alias/<escaped name>`.
///
/// # Errors
/// None in practice: an escaped name is always a legal one.
pub fn alias_name(name: &RefName) -> Result<RefName, InvalidRefName> {
    RefName::new(&format!("{ALIAS}{}", escape(name)))
}

/// The ref that an alias ref stands for; `None` for any other ref and for shortened names.
pub fn aliased(alias: &RefName) -> Option<RefName> {
    unescape(alias.as_str().strip_prefix(ALIAS)?)
}

/// The ref and the moment that a kept ref tells of; `None` for any other ref and for shortened names.
pub fn kept_of(kept: &RefName) -> Option<(RefName, DateTime<Utc>)> {
    let (at, escaped) = parts(kept)?;
    Some((unescape(escaped)?, at))
}

/// The moment that a kept ref tells of, and the rest of its name: the escaped or hashed name of the
/// ref, the same for every kept ref of one ref. `None` for any other ref.
pub fn parts(kept: &RefName) -> Option<(DateTime<Utc>, &str)> {
    let (folder, rest) = kept.as_str().strip_prefix(KEPT)?.split_once('/')?;
    let (stamp, _) = folder.split_once('-')?;
    let at = chrono::NaiveDateTime::parse_from_str(stamp, "%Y%m%dT%H%M%S%.fZ").ok()?.and_utc();
    Some((at, rest))
}

fn escape(name: &RefName) -> String {
    let short = name.as_str().strip_prefix("refs/").unwrap_or(name.as_str());
    let mut out = String::with_capacity(short.len());
    for byte in short.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'/' => out.push(char::from(byte)),
            b'_' => out.push_str("__"),
            _ => out.push_str(&format!("_{byte:02x}")),
        }
    }
    if out.len() > LONGEST_NAME || out.split('/').any(|part| part.len() > LONGEST_COMPONENT) {
        return format!("hashed/{}", hex::encode(Sha256::digest(name.as_str().as_bytes())));
    }
    out
}

fn unescape(text: &str) -> Option<RefName> {
    if text.starts_with("hashed/") {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'_' {
            out.push(byte);
            continue;
        }
        match bytes.next()? {
            b'_' => out.push(b'_'),
            high => {
                let pair = [high, bytes.next()?];
                let mut decoded = [0];
                hex::decode_to_slice(pair, &mut decoded).ok()?;
                out.extend(decoded);
            }
        }
    }
    RefName::new(&format!("refs/{}", String::from_utf8(out).ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> RefName {
        RefName::new(text).unwrap()
    }

    #[test]
    fn a_kept_name_tells_moment_tip_and_ref() {
        let at = DateTime::parse_from_rfc3339("2026-11-20T21:20:00Z").unwrap().to_utc();
        let kept = kept_name(&name("refs/heads/a+b_c"), Oid::from_bytes([0xab; 20]), at).unwrap();
        assert_eq!(kept.as_str(), "refs/starkeep/kept/20261120T212000.000000Z-abababab/heads/a_2bb__c");
        assert_eq!(kept_of(&kept), Some((name("refs/heads/a+b_c"), at)));
    }

    #[test]
    fn a_name_too_long_for_onedev_is_hashed() {
        let long = name(&format!("refs/heads/{}", "+".repeat(90)));
        assert!(alias_name(&long).unwrap().as_str().starts_with("refs/starkeep/alias/hashed/"));
        assert_eq!(aliased(&alias_name(&long).unwrap()), None);
    }

    proptest! {
        #[test]
        fn an_alias_can_be_undone_and_holds_nothing_onedev_trips_over(text in "refs/(heads|tags)/[^\\x00-\\x1f]{1,20}") {
            if let Ok(name) = RefName::new(&text) {
                let alias = alias_name(&name).unwrap();
                prop_assert!(!alias.as_str().contains(['+', '&', '=', '%']));
                if !alias.as_str().contains("/hashed/") {
                    prop_assert_eq!(aliased(&alias), Some(name));
                }
            }
        }
    }

    #[test]
    fn only_what_was_upstreams_is_given_up_by_age_and_count() {
        let day = |it| DateTime::UNIX_EPOCH + chrono::Duration::days(it);
        let kept = [
            (Reason::Deleted, day(1)),
            (Reason::MovedInOnedev, day(1)),
            (Reason::Overwritten, day(5)),
            (Reason::Foreign, day(2)),
            (Reason::Overwritten, day(8)),
        ];
        let by = |days: Option<u64>, max_count| Retention {
            max_age: days.map(|it| std::time::Duration::from_secs(it * 86_400)),
            max_count,
        };
        let gone = |rule: Retention| {
            let mut places = rule.given_up(&kept, day(10));
            places.sort_unstable();
            places
        };
        assert_eq!(gone(by(None, None)), Vec::<usize>::new());
        assert_eq!(gone(by(Some(4), None)), [0, 2]);
        assert_eq!(gone(by(None, Some(2))), [0]);
        assert_eq!(gone(by(Some(1), Some(1))), [0, 2, 4]);
    }
}
