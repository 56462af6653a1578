//! A repository at GitHub: its name, parsed so that it cannot be wrong, and what GitHub tells of it.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::GithubId;

/// `owner/name` as GitHub allows it: owner of at most 39 ASCII letters, digits and hyphens (an
/// enterprise-managed user has an underscore too), name of at most 100 ASCII letters, digits, `-`,
/// `_` and `.`, never `.` or `..`. Compared without case, as GitHub does.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryName {
    owner: String,
    name: String,
}

/// Why a text is no repository name. Says what was found and what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a repository name: {reason}; write OWNER/NAME, as in `octocat/hello-world`")]
pub struct InvalidRepositoryName {
    text: String,
    reason: &'static str,
}

impl RepositoryName {
    /// Checks both halves.
    ///
    /// # Errors
    /// [`InvalidRepositoryName`] where GitHub could not have such an owner or name.
    pub fn new(owner: &str, name: &str) -> Result<Self, InvalidRepositoryName> {
        let invalid = |reason| InvalidRepositoryName { text: clip(&format!("{owner}/{name}")), reason };
        if !is_owner(owner) {
            return Err(invalid("the owner is 1 to 39 letters, digits or hyphens"));
        }
        if !is_name(name) {
            return Err(invalid("the name is 1 to 100 letters, digits, `-`, `_` or `.`, and not `.` or `..`"));
        }
        Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
    }

    /// The account's login.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The repository's own name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn is_owner(text: &str) -> bool {
    (1..=39).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_name(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text != "."
        && text != ".."
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn clip(text: &str) -> String {
    text.chars().take(160).flat_map(char::escape_debug).collect()
}

impl FromStr for RepositoryName {
    type Err = InvalidRepositoryName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((owner, name)) => Self::new(owner, name),
            None => Err(InvalidRepositoryName { text: clip(text), reason: "there is no `/` in it" }),
        }
    }
}

impl TryFrom<String> for RepositoryName {
    type Error = InvalidRepositoryName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RepositoryName> for String {
    fn from(name: RepositoryName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl PartialEq for RepositoryName {
    fn eq(&self, other: &Self) -> bool {
        self.owner.eq_ignore_ascii_case(&other.owner) && self.name.eq_ignore_ascii_case(&other.name)
    }
}

impl Eq for RepositoryName {}

/// What GitHub's `GET /repositories/{id}` tells of a repository, as far as starkeep uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Identity; survives renames and transfers.
    pub id: GithubId,
    /// The same in GitHub's other interface, where many are asked for at once; `None` where it was not told.
    pub node_id: Option<String>,
    /// Current name.
    pub name: RepositoryName,
    /// Only its collaborators see it.
    pub private: bool,
    /// Read-only at GitHub.
    pub archived: bool,
    /// Switched off by GitHub.
    pub disabled: bool,
    /// A fork of another repository.
    pub fork: bool,
    /// The repository that it and all forks around it come from; itself where GitHub names none.
    pub network: GithubId,
    /// Size in KiB as GitHub last computed it: refreshed hourly, 0 for a new repository.
    pub size_kib: i64,
    /// Name of the default branch; the branch need not exist.
    pub default_branch: Option<String>,
    /// The line under the title.
    pub description: Option<String>,
    /// When something was last pushed.
    pub pushed_at: Option<DateTime<Utc>>,
}

impl Repository {
    /// [`Self::size_kib`] in bytes.
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.size_kib).unwrap_or(0).saturating_mul(1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_case_and_compares_without_it() {
        let name: RepositoryName = "Octo/Hello-World".parse().unwrap();
        assert_eq!(name.to_string(), "Octo/Hello-World");
        assert_eq!(name, "octo/hello-world".parse().unwrap());
    }

    #[test]
    fn what_github_could_not_have_is_refused() {
        for text in
            ["", "octo", "octo/", "/x", "octo/..", "octo/.", "oc to/x", "octo/x y", "octo/x/y", "o.c/x", "octo/é"]
        {
            assert!(text.parse::<RepositoryName>().is_err(), "{text:?}");
        }
        assert!(RepositoryName::new(&"a".repeat(40), "x").is_err());
        assert!(RepositoryName::new("a", &"x".repeat(101)).is_err());
        assert!("octo/.github".parse::<RepositoryName>().is_ok());
    }
}
