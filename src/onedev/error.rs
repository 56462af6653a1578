//! What can go wrong with OneDev, told apart as far as its answers allow.

use std::time::Duration;

use crate::domain::retry::Retry;

/// Longest piece of a foreign text that goes into an error, in characters.
const LONGEST_TEXT: usize = 300;

/// A start takes OneDev 10 to 30 s; it never says `Retry-After`.
const BOOTING: Duration = Duration::from_secs(5);
/// Nobody answers: down, or in the gap of a start.
const OUTAGE: Duration = Duration::from_secs(10);

/// Why OneDev did not do what was asked for. Never holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OnedevError {
    /// The configuration cannot work; says which key and how to mend it.
    #[error("{0}")]
    Config(String),
    /// It is starting, or somebody in front of it says that it is not there at present. Says nothing
    /// about what exists.
    #[error("OneDev is not ready yet ({0})")]
    Booting(String),
    /// Nobody listens at its address: between two phases of a start, or down.
    #[error("OneDev cannot be reached: {0}")]
    Unreachable(String),
    /// 401.
    #[error("OneDev refuses the token ({0}); check onedev.token")]
    Unauthorized(String),
    /// 403.
    #[error("OneDev forbids it ({0}); the token needs the role Project Owner on the project onedev.root")]
    Forbidden(String),
    /// A 404 that is OneDev's own.
    #[error("OneDev does not have it: {text}")]
    NotFound {
        /// What is missing.
        what: Missing,
        /// OneDev's text, clipped.
        text: String,
    },
    /// Something of that name or path is there already, and it is not ours.
    #[error("{0}")]
    Conflict(String),
    /// A guard of starkeep's own said no before anything was sent.
    #[error("refused: {0}")]
    Guarded(String),
    /// 4xx: the request is wrong, or not for this version of OneDev.
    #[error("OneDev answered {status}: {text}")]
    Rejected {
        /// HTTP status.
        status: u16,
        /// OneDev's text, clipped.
        text: String,
    },
    /// 5xx, which is OneDev's answer to business errors too.
    #[error("OneDev failed with {status}: {text}")]
    Server {
        /// HTTP status.
        status: u16,
        /// OneDev's text, clipped.
        text: String,
    },
    /// The server is older than the calls that starkeep makes.
    #[error("OneDev {0} is too old; starkeep needs 12.0.10 or later")]
    TooOld(String),
    /// A connection broke or took too long: what was asked for may have happened.
    #[error("the connection to OneDev failed: {0}")]
    Transport(String),
    /// An answer that OneDev would not give.
    #[error("OneDev's answer is not understood: {0}; check onedev.url")]
    Malformed(String),
}

/// What a 404 of OneDev's is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A project, by path or by id; the token may merely not see it.
    Project,
    /// A commit, a branch or a tag within a project.
    Object,
}

impl OnedevError {
    /// Whether and when to try again.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Booting(_) => Retry::After(BOOTING),
            Self::Unreachable(_) => Retry::After(OUTAGE),
            Self::Server { .. } | Self::Transport(_) | Self::Malformed(_) => Retry::Backoff,
            Self::Config(_)
            | Self::Unauthorized(_)
            | Self::Forbidden(_)
            | Self::NotFound { .. }
            | Self::Conflict(_)
            | Self::Guarded(_)
            | Self::Rejected { .. }
            | Self::TooOld(_) => Retry::Never,
        }
    }

    /// The stable word for the API, the database and the log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(_) => "onedev_config",
            Self::Booting(_) => "onedev_booting",
            Self::Unreachable(_) => "onedev_unreachable",
            Self::Unauthorized(_) => "onedev_unauthorized",
            Self::Forbidden(_) => "onedev_forbidden",
            Self::NotFound { .. } => "onedev_not_found",
            Self::Conflict(_) => "onedev_conflict",
            Self::Guarded(_) => "onedev_guarded",
            Self::Rejected { .. } => "onedev_rejected",
            Self::Server { .. } => "onedev_server_error",
            Self::TooOld(_) => "onedev_too_old",
            Self::Transport(_) => "onedev_transport",
            Self::Malformed(_) => "onedev_malformed",
        }
    }

    /// Whether OneDev says that there is no such project (or that the token does not see it).
    pub fn is_missing_project(&self) -> bool {
        matches!(self, Self::NotFound { what: Missing::Project, .. })
    }
}

impl From<reqwest::Error> for OnedevError {
    fn from(error: reqwest::Error) -> Self {
        let connecting = error.is_connect();
        let text = chain(&error.without_url());
        if connecting { Self::Unreachable(text) } else { Self::Transport(text) }
    }
}

/// An error and what is behind it in one line: reqwest's own text never says why.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |it| it.source()).take(6).map(ToString::to_string);
    clip(&causes.collect::<Vec<_>>().join(": "))
}

/// A foreign text, fit for an error: one line, no control characters, of bounded length.
pub(super) fn clip(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_TEXT).collect();
    text.trim().to_owned()
}
