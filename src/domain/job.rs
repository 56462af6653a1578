//! Durable units of work: what kinds there are, how urgent they are, which of them are the same.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Bring a project level with its upstream and prove it.
    Sync,
    /// Compare both sides without changing either.
    Verify,
    /// Bring the wiki level with upstream's, if there is one, and prove it.
    Wiki,
    /// Delete the project of an un-starred mirror once its grace period is over.
    Remove,
    /// Write what the project says of its mirror, and prune kept refs where that is configured.
    Mark,
    /// Restore a mirror into a temporary folder and compare it with its proof.
    Drill,
    /// Read everything at GitHub that git does not carry, and keep it in the project.
    Catalog,
}

impl JobKind {
    /// Every kind, for metrics and tests.
    pub const ALL: [Self; 7] =
        [Self::Sync, Self::Verify, Self::Wiki, Self::Remove, Self::Mark, Self::Drill, Self::Catalog];

    /// The word in the database, the API and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Verify => "verify",
            Self::Wiki => "wiki",
            Self::Remove => "remove",
            Self::Mark => "mark",
            Self::Drill => "drill",
            Self::Catalog => "catalog",
        }
    }

    /// Whether a failure of it says that the mirror itself is in trouble.
    pub fn tells_of_the_mirror(self) -> bool {
        match self {
            Self::Sync | Self::Verify | Self::Remove => true,
            Self::Wiki | Self::Mark | Self::Drill | Self::Catalog => false,
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waiting for its time and a free place.
    Queued,
    /// Held by a process under a lease.
    Running,
    /// Ended well; kept for a while as history.
    Done,
    /// Out of attempts or beyond repair; kept until somebody retries it.
    Dead,
    /// Ended by an admin, or overtaken by an equal job.
    Cancelled,
}

impl JobState {
    /// Every state, for metrics and tests.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Done, Self::Dead, Self::Cancelled];

    /// The word in the database, the API and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How urgent a job is; a higher one is claimed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Priority(pub i16);

impl Priority {
    /// Somebody waits for it: a call of the admin API or the command line.
    pub const ASKED: Self = Self(300);
    /// A star that has no copy yet.
    pub const FRESH: Self = Self(200);
    /// GitHub said that something changed.
    pub const CHANGED: Self = Self(100);
    /// One of many stars that were there before starkeep was: fresh ones overtake it.
    pub const IMPORTED: Self = Self(50);
    /// A look whether something changed.
    pub const ROUTINE: Self = Self(0);
    /// Upkeep that no sync shall wait for.
    pub const UPKEEP: Self = Self(-100);
}

/// A word that is none of the known ones; only a newer version or a hand in the database writes such.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{word}`")]
pub struct UnknownWord {
    /// What was being read.
    pub what: &'static str,
    /// What was found.
    pub word: String,
}

macro_rules! word {
    ($name:ident, $what:literal) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::domain::job::UnknownWord;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Self::ALL
                    .into_iter()
                    .find(|it| it.as_str() == word)
                    .ok_or_else(|| $crate::domain::job::UnknownWord { what: $what, word: word.to_owned() })
            }
        }
    };
}
pub(crate) use word;

word!(JobKind, "job kind");
word!(JobState, "job state");
