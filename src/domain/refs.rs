//! Git's refs and object ids, parsed so that they cannot be wrong, and maps of them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-1 object id. SHA-256 repositories are refused before any oid is read: OneDev cuts oids at
/// 40 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Oid([u8; 20]);

impl Oid {
    /// Forty zeros: "no object" in git's protocols.
    pub const ZERO: Self = Self([0; 20]);

    /// From the raw twenty bytes.
    pub const fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The raw twenty bytes.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// The first eight hex digits, for people and names.
    pub fn short(&self) -> String {
        self.to_string().chars().take(8).collect()
    }
}

/// A text that is no object id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-1 object id: 40 hex digits are expected")]
pub struct InvalidOid;

impl FromStr for Oid {
    type Err = InvalidOid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 20];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidOid)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Oid {
    type Error = InvalidOid;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Oid> for String {
    fn from(oid: Oid) -> Self {
        oid.to_string()
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A full ref name (`refs/heads/main`) that satisfies git's rules (`git check-ref-format`) and is
/// UTF-8: OneDev's hooks read names as UTF-8 text. Clones share the text: a name stands in a dozen
/// maps and lists during a sync, and a repository may have fifty thousand.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefName(Arc<str>);

/// A text that is no ref name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a full ref name as git allows it")]
pub struct InvalidRefName(pub String);

impl RefName {
    /// Checks git's rules.
    ///
    /// # Errors
    /// [`InvalidRefName`] where `git check-ref-format` would refuse, or outside `refs/`.
    pub fn new(text: &str) -> Result<Self, InvalidRefName> {
        if is_ref_name(text) { Ok(Self(Arc::from(text))) } else { Err(InvalidRefName(text.escape_debug().to_string())) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `main` of `refs/heads/main`; `None` for anything but a branch.
    pub fn branch(&self) -> Option<&str> {
        self.0.strip_prefix("refs/heads/")
    }

    /// The full ref of a branch's name.
    ///
    /// # Errors
    /// [`InvalidRefName`] where git would refuse it.
    pub fn of_branch(name: &str) -> Result<Self, InvalidRefName> {
        Self::new(&format!("refs/heads/{name}"))
    }

    /// Whether this is a tag.
    pub fn is_tag(&self) -> bool {
        self.0.starts_with("refs/tags/")
    }
}

fn is_ref_name(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("refs/") else { return false };
    !rest.is_empty()
        && !rest.ends_with('.')
        && !rest.contains("..")
        && !rest.contains("@{")
        && rest.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
        && !rest
            .bytes()
            .any(|b| b < 0x20 || b == 0x7f || matches!(b, b' ' | b'~' | b'^' | b':' | b'?' | b'*' | b'[' | b'\\'))
}

impl FromStr for RefName {
    type Err = InvalidRefName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<String> for RefName {
    type Error = InvalidRefName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<RefName> for String {
    fn from(name: RefName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Refs and where they stand, in byte order of their names.
pub type RefMap = BTreeMap<RefName, Oid>;

/// Where HEAD points.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Head {
    /// The server did not tell, or HEAD holds an oid.
    #[default]
    Unknown,
    /// A branch that exists.
    Branch(RefName),
    /// A branch without a commit.
    Unborn(RefName),
}

impl Head {
    /// The branch, born or not.
    pub fn target(&self) -> Option<&RefName> {
        match self {
            Self::Unknown => None,
            Self::Branch(name) | Self::Unborn(name) => Some(name),
        }
    }
}

/// One of `sync.refs`: a full ref name with at most one `*`, which stands for any text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefPattern {
    before: String,
    after: Option<String>,
}

/// Namespaces that are never managed: OneDev's own, and starkeep's.
pub const RESERVED: [&str; 4] = ["refs/pulls/", "refs/updates/", "refs/onedev/", "refs/starkeep/"];

impl RefPattern {
    /// Whether the pattern covers a ref. Reserved namespaces are never covered.
    pub fn covers(&self, name: &RefName) -> bool {
        let text = name.as_str();
        if RESERVED.iter().any(|prefix| text.starts_with(prefix)) {
            return false;
        }
        match &self.after {
            None => text == self.before,
            Some(after) => {
                text.len() >= self.before.len() + after.len()
                    && text.starts_with(&self.before)
                    && text.ends_with(after.as_str())
            }
        }
    }

    /// The literal text before the `*`: what protocol v2 calls a ref-prefix.
    pub fn prefix(&self) -> &str {
        &self.before
    }
}

impl FromStr for RefPattern {
    type Err = InvalidRefName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidRefName(text.escape_debug().to_string());
        let (before, after) = match text.split_once('*') {
            None => (text, None),
            Some((before, after)) => (before, Some(after)),
        };
        let sample = format!("{before}{}{}", if after.is_some() { "x" } else { "" }, after.unwrap_or_default());
        RefName::new(&sample).map_err(|_| invalid())?;
        if RESERVED.iter().any(|prefix| sample.starts_with(prefix)) {
            return Err(invalid());
        }
        Ok(Self { before: before.to_owned(), after: after.map(str::to_owned) })
    }
}

impl TryFrom<String> for RefPattern {
    type Error = InvalidRefName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RefPattern> for String {
    fn from(pattern: RefPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for RefPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.after {
            None => f.write_str(&self.before),
            Some(after) => write!(f, "{}*{after}", self.before),
        }
    }
}

/// The refs that `patterns` cover.
pub fn managed(refs: &RefMap, patterns: &[RefPattern]) -> RefMap {
    refs.iter()
        .filter(|(name, _)| patterns.iter().any(|it| it.covers(name)))
        .map(|(name, oid)| (name.clone(), *oid))
        .collect()
}

/// SHA-256, in hex, over HEAD's target and every `oid name` line in name order: two sides with one
/// digest hold the same refs.
pub fn digest(refs: &RefMap, head: &Head) -> String {
    let mut hash = Sha256::new();
    hash.update(head.target().map_or("", RefName::as_str));
    for (name, oid) in refs {
        hash.update(format!("\n{oid} {name}"));
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ref_names_follow_gits_rules() {
        for good in [
            "refs/heads/main",
            "refs/heads/a+b",
            "refs/tags/v1.0+build.5",
            "refs/heads/ünï-日本",
            "refs/heads/@",
            "refs/x",
        ] {
            assert!(RefName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "main",
            "refs/",
            "refs/heads//a",
            "refs/heads/.a",
            "refs/heads/a.lock",
            "refs/heads/a..b",
            "refs/heads/a b",
            "refs/heads/a.",
            "refs/heads/a@{1}",
            "refs/heads/",
            "refs/heads/a\n",
        ] {
            assert!(RefName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_covers_what_its_star_stands_for_and_never_a_reserved_ref() {
        let heads: RefPattern = "refs/heads/*".parse().unwrap();
        assert!(heads.covers(&RefName::new("refs/heads/a/b").unwrap()));
        assert!(!heads.covers(&RefName::new("refs/tags/a").unwrap()));
        let all: RefPattern = "refs/*".parse().unwrap();
        assert!(all.covers(&RefName::new("refs/pull/1/head").unwrap()));
        assert!(!all.covers(&RefName::new("refs/pulls/1/head").unwrap()));
        assert!(!all.covers(&RefName::new("refs/starkeep/kept/x").unwrap()));
        assert!("refs/starkeep/*".parse::<RefPattern>().is_err());
        assert!("heads/*".parse::<RefPattern>().is_err());
        assert_eq!(heads.to_string(), "refs/heads/*");
    }

    #[test]
    fn the_digest_tells_head_and_every_ref() {
        let main = RefName::new("refs/heads/main").unwrap();
        let one: RefMap = [(main.clone(), Oid::ZERO)].into();
        let other: RefMap = [(main.clone(), Oid::from_bytes([1; 20]))].into();
        assert_ne!(digest(&one, &Head::Unknown), digest(&other, &Head::Unknown));
        assert_ne!(digest(&one, &Head::Unknown), digest(&one, &Head::Branch(main.clone())));
        assert_eq!(digest(&one, &Head::Unborn(main.clone())), digest(&one, &Head::Branch(main)));
    }
}
