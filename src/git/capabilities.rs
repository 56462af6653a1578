//! What a server says it can do: the words behind the first ref of an old list, or the lines of a
//! protocol v2 answer.

use super::error::{Side, WireError};
use crate::domain::refs::{Head, RefName};

/// The most capabilities that are kept of one server.
const MAX_CAPABILITIES: usize = 256;

/// Capabilities in the order in which the server names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities(Vec<(String, Option<String>)>);

impl Capabilities {
    /// From the words behind the NUL of a list's first line.
    pub(crate) fn of_words(words: &[u8]) -> Self {
        let text = String::from_utf8_lossy(words);
        Self(text.split_ascii_whitespace().take(MAX_CAPABILITIES).map(pair).collect())
    }

    /// Adds one line of a v2 answer.
    pub(crate) fn add_line(&mut self, line: &[u8]) {
        if self.0.len() < MAX_CAPABILITIES {
            self.0.push(pair(&String::from_utf8_lossy(line)));
        }
    }

    /// Whether a capability was named, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(it, _)| it == name)
    }

    /// The value of the first capability of that name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(it, _)| it == name).and_then(|(_, value)| value.as_deref())
    }

    /// Whether the space-separated value of `name` holds a word (`fetch=shallow filter`).
    pub fn feature(&self, name: &str, word: &str) -> bool {
        self.value(name).is_some_and(|value| value.split_ascii_whitespace().any(|it| it == word))
    }

    /// Refuses everything but SHA-1. A server that says nothing speaks SHA-1.
    ///
    /// # Errors
    /// [`WireError::ObjectFormat`].
    pub(crate) fn require_sha1(&self, side: Side) -> Result<(), WireError> {
        match self.value("object-format") {
            None | Some("sha1") => Ok(()),
            Some(other) => Err(WireError::ObjectFormat { side, format: other.chars().take(20).collect() }),
        }
    }

    /// The branch that `symref=HEAD:…` names. Old lists tell it only where it has a commit.
    pub(crate) fn head(&self) -> Head {
        let mut symrefs = self.0.iter().filter(|(name, _)| name == "symref").filter_map(|(_, value)| value.as_deref());
        let target = symrefs.find_map(|it| it.strip_prefix("HEAD:")).and_then(|it| RefName::new(it).ok());
        target.map_or(Head::Unknown, Head::Branch)
    }
}

fn pair(word: &str) -> (String, Option<String>) {
    match word.split_once('=') {
        None => (word.to_owned(), None),
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_values_and_features_are_found() {
        let caps =
            Capabilities::of_words(b"report-status symref=HEAD:refs/heads/main object-format=sha1 agent=git/2.39");
        assert!(caps.has("report-status") && !caps.has("atomic"));
        assert_eq!(caps.value("agent"), Some("git/2.39"));
        assert_eq!(caps.head(), Head::Branch(RefName::new("refs/heads/main").unwrap()));
        assert!(caps.require_sha1(Side::Target).is_ok());
        let mut v2 = Capabilities::default();
        v2.add_line(b"fetch=shallow wait-for-done filter");
        v2.add_line(b"object-format=sha256");
        assert!(v2.feature("fetch", "filter") && !v2.feature("fetch", "fil"));
        assert_eq!(v2.require_sha1(Side::Upstream).unwrap_err().code(), "upstream_object_format");
    }
}
