//! Git LFS in values: the id of an object, and the small file that stands for it in a repository.
//!
//! Pointer files come out of packs (`git`) and go into trees; their objects are moved by the LFS client.
//! The format is that of git-lfs' `docs/spec.md`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::retry::Retry;

/// A pointer file is shorter than this; whatever is longer is an ordinary file.
pub const POINTER_LIMIT: usize = 1024;
/// How every pointer file begins.
pub const POINTER_START: &[u8] = b"version http";

/// No object is left alone for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(7 * 86_400);

/// The version that is written.
const VERSION: &str = "https://git-lfs.github.com/spec/v1";
/// Older words for the same, which git-lfs reads too.
const OLD_VERSIONS: [&str; 2] = ["https://hawser.github.com/spec/v1", "http://git-media.io/v/2"];

/// The SHA-256 of an object's content: its identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LfsOid([u8; 32]);

impl LfsOid {
    /// From the raw digest.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The id of a content that is at hand.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }
}

/// A text that is no id of an LFS object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an LFS object id: 64 small hex digits are expected")]
pub struct InvalidLfsOid;

impl FromStr for LfsOid {
    type Err = InvalidLfsOid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        if text.bytes().any(|it| it.is_ascii_uppercase()) {
            return Err(InvalidLfsOid);
        }
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidLfsOid)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for LfsOid {
    type Error = InvalidLfsOid;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<LfsOid> for String {
    fn from(oid: LfsOid) -> Self {
        oid.to_string()
    }
}

impl fmt::Display for LfsOid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for LfsOid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a pointer file says: which object, of how many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pointer {
    /// The object.
    pub oid: LfsOid,
    /// Its size in bytes.
    pub size: u64,
}

/// Where an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectState {
    /// A pointer was seen; nothing was written yet.
    Wanted,
    /// Its bytes may be on their way; before the end was seen nothing that stands in OneDev is believed.
    Uploading,
    /// It stands in OneDev: its upload was seen to end, or OneDev had it and nobody here had begun one.
    There,
    /// It could not be brought; the reason is beside it, and it is tried again at its time.
    Missing,
}

impl ObjectState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Wanted, Self::Uploading, Self::There, Self::Missing];

    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Uploading => "uploading",
            Self::There => "there",
            Self::Missing => "missing",
        }
    }
}

super::job::word!(ObjectState, "state of an LFS object");

/// The pause before an object is tried again that failed `attempts` times (at least 1): what the server
/// asked for; a few minutes and more where it may pass by itself; hours and more where somebody at the
/// other side must act. At most a week. `draw` is in `0.0..1.0`.
pub fn pause(retry: Retry, attempts: u32, draw: f64) -> Duration {
    let first = match retry {
        Retry::After(pause) => return pause,
        Retry::Backoff => Duration::from_secs(60),
        Retry::Never => Duration::from_secs(3600),
    };
    let pause = first.saturating_mul(1 << attempts.saturating_sub(1).min(12)).min(LONGEST_PAUSE);
    pause.mul_f64(0.75 + 0.25 * draw.clamp(0.0, 1.0))
}

/// Why a file is no pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAPointer {
    /// It does not begin as one, or is too long: an ordinary file.
    #[error("an ordinary file")]
    Ordinary,
    /// It begins as one and goes on otherwise: git-lfs would not read it either.
    #[error("a pointer file that cannot be read: {0}")]
    Garbage(&'static str),
}

impl Pointer {
    /// The pointer of a content that is at hand.
    pub fn of(content: &[u8]) -> Self {
        Self { oid: LfsOid::of(content), size: content.len() as u64 }
    }

    /// Whether it stands for the empty file, of which every server and client knows the content.
    pub fn is_empty(&self) -> bool {
        self.size == 0 && *self == Self::of(b"")
    }

    /// Reads a pointer file as the specification has it. As git-lfs does, the two older versions and a
    /// missing last line feed are accepted, since such files stand for objects as well.
    ///
    /// # Errors
    /// [`NotAPointer`], which tells an ordinary file from a spoilt pointer.
    pub fn parse(file: &[u8]) -> Result<Self, NotAPointer> {
        use NotAPointer::{Garbage, Ordinary};
        if file.len() >= POINTER_LIMIT || !file.starts_with(POINTER_START) {
            return Err(Ordinary);
        }
        let first = file.split(|it| *it == b'\n').next().unwrap_or_default();
        let version = first.strip_prefix(b"version ").unwrap_or_default();
        if version != VERSION.as_bytes() && !OLD_VERSIONS.iter().any(|it| it.as_bytes() == version) {
            return Err(Ordinary);
        }
        let text = std::str::from_utf8(file).map_err(|_| Garbage("it is not UTF-8"))?;
        let lines = text.strip_suffix('\n').unwrap_or(text).split('\n').skip(1);
        let (mut oid, mut size, mut before) = (None, None, "");
        for line in lines {
            let (key, value) = line.split_once(' ').ok_or(Garbage("a line has no value"))?;
            if !is_key(key) || value.is_empty() || value.contains('\r') {
                return Err(Garbage("a line is not of the form `key value`"));
            }
            if key <= before {
                return Err(Garbage("its keys are not in order"));
            }
            before = key;
            match key {
                "oid" => oid = Some(read_oid(value).ok_or(Garbage("its oid is not `sha256:` and 64 hex digits"))?),
                "size" => size = Some(read_size(value).ok_or(Garbage("its size is not a number of bytes"))?),
                _ => {}
            }
        }
        match (oid, size) {
            (Some(oid), Some(size)) => Ok(Self { oid, size }),
            (None, _) => Err(Garbage("it has no oid")),
            (_, None) => Err(Garbage("it has no size")),
        }
    }

    /// The file as git-lfs writes it.
    pub fn to_bytes(&self) -> Vec<u8> {
        format!("version {VERSION}\noid sha256:{}\nsize {}\n", self.oid, self.size).into_bytes()
    }
}

fn is_key(key: &str) -> bool {
    let legal = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, b'.' | b'-' | b'_');
    !key.is_empty() && key != "version" && key.bytes().all(legal)
}

fn read_oid(value: &str) -> Option<LfsOid> {
    value.strip_prefix("sha256:")?.parse().ok()
}

/// At most what the databases and the servers can hold: 63 bits.
fn read_size(value: &str) -> Option<u64> {
    let plain = value.bytes().all(|it| it.is_ascii_digit());
    value.parse().ok().filter(|it| plain && i64::try_from(*it).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "version https://git-lfs.github.com/spec/v1\n\
        oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

    fn parsed(text: &str) -> Result<Pointer, NotAPointer> {
        Pointer::parse(text.as_bytes())
    }

    #[test]
    fn the_specifications_example_is_read_and_written() {
        let pointer = parsed(GOOD).unwrap();
        assert_eq!(pointer.size, 12_345);
        assert_eq!(String::from_utf8(pointer.to_bytes()).unwrap(), GOOD);
    }

    #[test]
    fn extensions_older_versions_and_a_missing_last_line_feed_are_accepted() {
        let extended = GOOD.replace("oid ", "ext-0-foo sha256:00\next-1-bar sha256:01\noid ");
        let old = GOOD.replace("git-lfs.github", "hawser.github");
        for text in [extended.as_str(), old.as_str(), GOOD.trim_end()] {
            assert_eq!(parsed(text), parsed(GOOD), "{text}");
        }
    }

    #[test]
    fn ordinary_files_are_told_from_spoilt_pointers() {
        for text in ["", "version 2\n", "version https://example.org/v1\noid x\n", "#!/bin/sh\n"] {
            assert_eq!(parsed(text), Err(NotAPointer::Ordinary), "{text}");
        }
        let long = GOOD.replace("oid ", &format!("ext-0-foo {}\noid ", "x".repeat(1000)));
        assert_eq!(parsed(&long), Err(NotAPointer::Ordinary));
        let spoilt = [
            GOOD.replace("sha256:4d", "sha256:"),
            GOOD.replace("sha256:", "sha512:"),
            GOOD.replace("4d7a", "4D7A"),
            GOOD.replace("12345", "-1"),
            GOOD.replace("12345", "+1"),
            GOOD.replace("12345", "99999999999999999999"),
            GOOD.replace("12345", "9223372036854775808"),
            GOOD.replace("size 12345\n", ""),
            GOOD.replace('\n', "\r\n").replacen('\r', "", 1),
            GOOD.replace("size", "a 1\nsize"),
            GOOD.replace("oid", "size 5\noid"),
            format!("{GOOD}\n"),
            format!("{GOOD}size 3\n"),
            GOOD.replace("size ", "size"),
            GOOD.lines().next().unwrap().to_owned() + "\n",
        ];
        for text in spoilt {
            assert!(matches!(parsed(&text), Err(NotAPointer::Garbage(_))), "{text}");
        }
    }

    #[test]
    fn pauses_grow_to_a_week_and_those_asked_for_are_obeyed() {
        let hours = |retry, attempts| pause(retry, attempts, 1.0).as_secs() / 3600;
        assert_eq!((hours(Retry::Never, 1), hours(Retry::Never, 3), hours(Retry::Never, 99)), (1, 4, 168));
        assert_eq!(pause(Retry::Backoff, 1, 0.0), Duration::from_secs(45));
        assert_eq!(pause(Retry::After(Duration::from_secs(7)), 5, 0.0), Duration::from_secs(7));
    }

    #[test]
    fn the_empty_content_needs_no_object() {
        assert!(Pointer::of(b"").is_empty());
        assert!(!Pointer { oid: LfsOid::of(b""), size: 1 }.is_empty());
        assert!(!Pointer::of(b"x").is_empty());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(oid in any::<[u8; 32]>(), size in 0..=u64::MAX >> 1) {
            let pointer = Pointer { oid: LfsOid::from_bytes(oid), size };
            prop_assert_eq!(Pointer::parse(&pointer.to_bytes()), Ok(pointer));
            prop_assert_eq!(pointer.oid.to_string().parse::<LfsOid>(), Ok(pointer.oid));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..1200), cut in 0_usize..200) {
            let _ = Pointer::parse(&bytes);
            let mut spoilt = GOOD.as_bytes()[..cut.min(GOOD.len())].to_vec();
            spoilt.extend(bytes);
            let _ = Pointer::parse(&spoilt);
        }
    }
}
