//! What is wrong with a configuration, where it came from and what would be right.
//!
//! Built while the layers are read and by each section's `problems`; printed by whoever loads.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The defaults that are built into the program.
    Default,
    /// A file of the configuration.
    File(PathBuf),
    /// An environment variable, by name.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("built-in default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One thing that is wrong. Holds no secret: whoever makes one leaves secret values out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `section.key`, or the name of the file or variable that could not be read.
    pub key: String,
    /// Where the wrong value came from; `None` when nothing was given.
    pub origin: Option<Origin>,
    /// What was found.
    pub found: String,
    /// What is accepted, or how to mend it.
    pub accepted: String,
}

impl Problem {
    /// A problem of `key`, whose origin the loader fills in.
    pub fn new(key: &str, found: impl Into<String>, accepted: impl Into<String>) -> Self {
        Self { key: key.to_owned(), origin: None, found: found.into(), accepted: accepted.into() }
    }

    /// The same problem with its origin.
    #[must_use]
    pub(crate) fn from(mut self, origin: Option<Origin>) -> Self {
        self.origin = origin;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, origin, found, accepted } = self;
        f.write_str(key)?;
        if let Some(origin) = origin {
            write!(f, " ({origin})")?;
        }
        write!(f, ": {found}; {accepted}")
    }
}

/// Everything that is wrong, at once. Displays as a numbered list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has 1 problem:")?,
            n => write!(f, "the configuration has {n} problems:")?,
        }
        for (index, problem) in self.0.iter().enumerate() {
            write!(f, "\n  {}. {problem}", index + 1)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A value that may be shown in a message: control characters escaped, cut at 80 characters, and
/// whatever stands between `://` and `@` masked, since that is where a password would be.
pub(crate) fn quoted(text: &str) -> String {
    let masked = match text.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://***@{host}"),
            None => text.to_owned(),
        },
        None => text.to_owned(),
    };
    let mut shown: String = masked.chars().take(80).flat_map(char::escape_debug).collect();
    if masked.chars().count() > 80 {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_print_as_a_numbered_list_with_key_origin_and_mend() {
        let problems = Problems(vec![
            Problem::new("sync.lease", "`1ms` is too short", "at least `1s`")
                .from(Some(Origin::Variable("STARKEEP__SYNC__LEASE".to_owned()))),
            Problem::new("github.app_id", "missing", "give both or neither"),
        ]);
        assert_eq!(
            problems.to_string(),
            "the configuration has 2 problems:\n  \
             1. sync.lease (environment variable STARKEEP__SYNC__LEASE): `1ms` is too short; at least `1s`\n  \
             2. github.app_id: missing; give both or neither"
        );
    }

    #[test]
    fn a_shown_value_is_short_and_holds_no_password() {
        assert_eq!(quoted("https://me:pass@word@host/x"), "`https://***@host/x`");
        assert_eq!(quoted("a\nb"), "`a\\nb`");
        assert!(quoted(&"x".repeat(500)).chars().count() < 90);
    }
}
