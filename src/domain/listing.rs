//! Batches and sources: what is listed, how far the walk through it has come, and what it found.

use serde::{Deserialize, Serialize};

use super::ids::AccountId;
use super::rate::{Resource, Standing};
use super::repository::RepositoryName;
use super::sources::Declaration;

/// What is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// What a user starred.
    Stars {
        /// His login.
        user: String,
    },
    /// These.
    Names {
        /// As somebody wrote them.
        names: Vec<RepositoryName>,
    },
    /// A source of the configuration, which is read again and again.
    Declared {
        /// As the configuration has it.
        declaration: Declaration,
    },
}

impl What {
    /// Whether GitHub could have such a login.
    pub fn is_login(text: &str) -> bool {
        let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=39).contains(&text.len()) && text.bytes().all(letter)
    }
}

/// How far a walk has come. Kept with every page, so that the next process goes on there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Walk {
    /// Where it goes on; none is the beginning.
    pub next: Option<String>,
    /// Pages that were read.
    pub pages: u64,
    /// Entries that could not be understood.
    pub odd: u64,
    /// How many there are in all, as GitHub counts.
    pub total: Option<u64>,
    /// Whose the list is, and what the account is called.
    pub account: Option<(AccountId, String)>,
    /// What stood at the top of a list of stars when the walk began.
    pub top: Option<i64>,
    /// How often it began anew since the list had changed.
    pub rounds: u32,
    /// Names that GitHub does not know.
    pub missing: Vec<String>,
    /// Names that GitHub would not tell of, for reasons of their own: asked for again, and they alone.
    pub doubtful: Vec<String>,
    /// Requests an hour that GitHub allows all credentials together, as far as it has told.
    pub allowance: Option<u64>,
}

/// What a repository is to what is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// There is no mirror of it.
    New,
    /// There is one.
    Existing,
    /// There is one under a former name.
    Renamed,
    /// There is none, and something else stands where it would go.
    Conflict,
}

impl Finding {
    /// Every finding.
    pub const ALL: [Self; 4] = [Self::New, Self::Existing, Self::Renamed, Self::Conflict];

    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Existing => "existing",
            Self::Renamed => "renamed",
            Self::Conflict => "conflict",
        }
    }
}

/// Requests an hour to GitHub's REST that all credentials have together; `None` where GitHub has told of none.
pub fn allowance(standings: &[Standing]) -> Option<u64> {
    let rest = standings.iter().filter(|it| it.resource == Some(Resource::Core));
    rest.filter_map(|it| it.window.map(|it| u64::from(it.limit))).reduce(u64::saturating_add)
}

/// What a batch would cost at least: requests to GitHub's API, and the seconds they take at an allowance of requests
/// an hour, which need not all be left. `None` where GitHub has told no limit.
pub fn cost(pages: u64, new: u64, allowance: Option<u64>) -> (u64, Option<u64>) {
    // One describes each repository; git is not counted by that limit.
    let calls = pages.saturating_add(new);
    (calls, allowance.map(|it| calls.saturating_mul(3600) / it.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rate::Window;
    use chrono::DateTime;

    #[test]
    fn a_batch_costs_a_request_a_page_and_a_repository() {
        assert_eq!(cost(3, 250, Some(5000)), (253, Some(182)));
        assert_eq!(cost(3, 250, None), (253, None));
    }

    #[test]
    fn credentials_are_used_side_by_side() {
        let told = |resource, limit| Standing {
            credential: "token".to_owned(),
            resource: Some(resource),
            window: Some(Window { limit, remaining: 0, resets_at: DateTime::UNIX_EPOCH }),
            closed_until: None,
            refusals: 0,
        };
        let untold = Standing { window: None, ..told(Resource::Core, 0) };
        assert_eq!(allowance(&[told(Resource::Graphql, 5000), untold.clone()]), None);
        let all = [told(Resource::Core, 5000), told(Resource::Graphql, 7), told(Resource::Core, 60), untold];
        assert_eq!(allowance(&all), Some(5060));
    }
}
