//! Sources beside stars: lists of repositories that the configuration declares, and which of each list are kept.

use serde::{Deserialize, Serialize};

use super::glob;
use super::mirror::Source;
use super::repository::{Repository, RepositoryName};

/// Whose repositories, or which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// What a user owns, by his login.
    User(String),
    /// What an organization owns, by its login.
    Organization(String),
    /// What the App's installation on this account covers.
    Installation(String),
    /// These.
    Names(Vec<RepositoryName>),
}

impl Of {
    /// Why a mirror exists that this brings.
    pub fn source(&self) -> Source {
        match self {
            Self::User(_) | Self::Organization(_) | Self::Installation(_) => Source::Owned,
            Self::Names(_) => Source::Declared,
        }
    }

    /// As a log names it.
    pub fn label(&self) -> String {
        match self {
            Self::User(login) => format!("user {login}"),
            Self::Organization(login) => format!("organization {login}"),
            Self::Installation(login) => format!("installation on {login}"),
            Self::Names(names) => match names.as_slice() {
                [only] => only.to_string(),
                names => format!("{} names", names.len()),
            },
        }
    }
}

/// Who may see a repository. `internal` ones of an enterprise are private here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Everybody.
    Public,
    /// Some.
    Private,
}

/// Which repositories of a list are kept: those that pass every rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Patterns of which one must fit, if there are any. One without `/` is for the name alone.
    pub include: Vec<String>,
    /// Patterns of which none may fit.
    pub exclude: Vec<String>,
    /// Forks pass.
    pub forks: bool,
    /// Those that are read-only at GitHub pass.
    pub archived: bool,
    /// Only these pass.
    pub visibility: Option<Visibility>,
    /// Topics of which it must have one, if there are any here.
    pub topics: Vec<String>,
    /// Its main language must be one of these, if there are any.
    pub languages: Vec<String>,
    /// Smaller ones do not pass. Bytes, as GitHub computes them.
    pub min_bytes: u64,
    /// Larger ones do not pass. Bytes.
    pub max_bytes: Option<u64>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            forks: true,
            archived: true,
            visibility: None,
            topics: Vec::new(),
            languages: Vec::new(),
            min_bytes: 0,
            max_bytes: None,
        }
    }
}

/// A repository as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The repository.
    pub repository: Repository,
    /// Its topics.
    pub topics: Vec<String>,
    /// The language that most of it is written in.
    pub language: Option<String>,
}

impl Filter {
    /// Whether a repository is to be kept.
    pub fn passes(&self, it: &Listed) -> bool {
        let Self { include, exclude, forks, archived, visibility, topics, languages, min_bytes, max_bytes } = self;
        let (repository, bytes) = (&it.repository, it.repository.bytes());
        let fits = |pattern: &String| is_named(&repository.name, pattern);
        let among = |wanted: &[String], found: &str| wanted.iter().any(|it| it.eq_ignore_ascii_case(found));
        let seen_by = if repository.private { Visibility::Private } else { Visibility::Public };
        (include.is_empty() || include.iter().any(fits))
            && !exclude.iter().any(fits)
            && (*forks || !repository.fork)
            && (*archived || !repository.archived)
            && visibility.is_none_or(|it| it == seen_by)
            && (topics.is_empty() || it.topics.iter().any(|it| among(topics, it)))
            && (languages.is_empty() || it.language.as_ref().is_some_and(|it| among(languages, it)))
            && bytes >= *min_bytes
            && max_bytes.is_none_or(|most| bytes <= most)
    }
}

fn is_named(name: &RepositoryName, pattern: &str) -> bool {
    if pattern.contains('/') { glob::matches(pattern, &name.to_string()) } else { glob::matches(pattern, name.name()) }
}

/// A list, and which of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// The list.
    pub of: Of,
    /// Which of it.
    pub filter: Filter,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::ids::GithubId;

    fn listed(name: &str) -> Listed {
        let repository = Repository {
            id: GithubId(1),
            node_id: None,
            name: name.parse().unwrap(),
            private: false,
            archived: false,
            disabled: false,
            fork: false,
            network: GithubId(1),
            size_kib: 10,
            default_branch: None,
            description: None,
            pushed_at: None,
        };
        Listed { repository, topics: vec!["cli".to_owned()], language: Some("Rust".to_owned()) }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn each_rule_keeps_something_out() {
        let it = listed("Octo/Hello");
        assert!(Filter::default().passes(&it));
        let all = Filter::default;
        for (passes, filter) in [
            (true, Filter { include: texts(&["x", "hello*"]), ..all() }),
            (true, Filter { include: texts(&["octo/*"]), ..all() }),
            (false, Filter { include: texts(&["octo"]), ..all() }),
            (false, Filter { exclude: texts(&["*/HELLO"]), ..all() }),
            (true, Filter { visibility: Some(Visibility::Public), forks: false, archived: false, ..all() }),
            (false, Filter { visibility: Some(Visibility::Private), ..all() }),
            (true, Filter { topics: texts(&["web", "CLI"]), languages: texts(&["rust"]), ..all() }),
            (false, Filter { topics: texts(&["web"]), ..all() }),
            (false, Filter { languages: texts(&["C"]), ..all() }),
            (true, Filter { min_bytes: 10 << 10, max_bytes: Some(10 << 10), ..all() }),
            (false, Filter { min_bytes: (10 << 10) + 1, ..all() }),
            (false, Filter { max_bytes: Some((10 << 10) - 1), ..all() }),
        ] {
            assert_eq!(filter.passes(&it), passes, "{filter:?}");
        }
        let fork = Listed { repository: Repository { fork: true, ..it.repository.clone() }, ..it.clone() };
        let archived = Listed { repository: Repository { archived: true, ..it.repository.clone() }, ..it.clone() };
        let untold = Listed { topics: Vec::new(), language: None, ..it };
        assert!(!Filter { forks: false, ..all() }.passes(&fork) && all().passes(&fork));
        assert!(!Filter { archived: false, ..all() }.passes(&archived) && all().passes(&archived));
        assert!(!Filter { languages: texts(&["rust"]), ..all() }.passes(&untold) && all().passes(&untold));
    }

    proptest! {
        #[test]
        fn what_is_excluded_never_passes_and_a_rule_more_lets_no_more_pass(
            name in "[a-c]{1,4}", include in proptest::collection::vec("[a-c*?]{1,4}", 0..3),
            exclude in proptest::collection::vec("[a-c*?]{1,4}", 0..3), forks: bool, fork: bool,
        ) {
            let mut it = listed(&format!("octo/{name}"));
            it.repository.fork = fork;
            let wide = Filter { include, forks: true, ..Filter::default() };
            let narrow = Filter { exclude: exclude.clone(), forks, ..wide.clone() };
            prop_assert!(!narrow.passes(&it) || wide.passes(&it));
            prop_assert!(!narrow.passes(&it) || !exclude.iter().any(|pattern| glob::matches(pattern, &name)));
            prop_assert!(!narrow.passes(&it) || forks || !fork);
        }
    }
}
