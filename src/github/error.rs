//! What can go wrong with GitHub, told apart as far as its answers allow.

use std::time::Duration;

use crate::domain::retry::Retry;

/// Longest piece of a foreign text that goes into an error, in characters.
const LONGEST_TEXT: usize = 300;

/// How long an outage is waited out before the next look.
const OUTAGE: Duration = Duration::from_secs(60);

/// Why GitHub did not give what was asked for. Never holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GithubError {
    /// The configuration cannot work; says which key and how to mend it.
    #[error("{0}")]
    Config(String),
    /// Deleted, or private without access: GitHub does not tell the two apart.
    #[error("GitHub has no such repository, or shows it to others only")]
    NotFound,
    /// Not there any more, and neither is its owner's account.
    #[error("GitHub has no such repository, and no account `{0}` that had it")]
    OwnerGone(String),
    /// Nobody has that login, or the account is not there any more.
    #[error("GitHub has no account `{0}` of that kind; correct stars.users or sources. What is kept stays")]
    NoUser(String),
    /// 451: taken down for legal reasons.
    #[error("GitHub has taken the repository down for legal reasons ({reason})")]
    Unavailable {
        /// GitHub's word for it, for instance `dmca`.
        reason: String,
    },
    /// 403 with a block: GitHub has closed the repository, mostly for breaking its terms of service.
    #[error("GitHub has blocked the repository ({reason})")]
    Blocked {
        /// GitHub's word for it, for instance `tos`.
        reason: String,
    },
    /// A limit is used up; the pause is GitHub's own or, where it names none, at least a minute.
    #[error("GitHub's rate limit is used up or nearly so, next try in {} s", after.as_secs())]
    RateLimited {
        /// The pause from now.
        after: Duration,
    },
    /// 401: the credential is wrong, expired or revoked.
    #[error("GitHub refuses the credential ({0}); check github.token, or github.app_id and github.app_private_key")]
    Unauthorized(String),
    /// 403 that is neither a limit nor a block.
    #[error("GitHub forbids it: {0}")]
    Forbidden(String),
    /// Any other 4xx.
    #[error("GitHub answered {status}: {message}")]
    Rejected {
        /// HTTP status.
        status: u16,
        /// GitHub's message, clipped.
        message: String,
    },
    /// 5xx.
    #[error("GitHub failed with {status}")]
    Server {
        /// HTTP status.
        status: u16,
        /// The pause it asked for, if any.
        after: Option<Duration>,
    },
    /// No connection could be made: GitHub, or the way to it, is down.
    #[error("GitHub cannot be reached: {0}")]
    Unreachable(String),
    /// A connection broke or took too long.
    #[error("the connection to GitHub failed: {0}")]
    Transport(String),
    /// A redirect to another host; it was not followed and nothing was sent there.
    #[error("GitHub redirects to another host ({0}), which is not followed; check github.api_url")]
    RedirectElsewhere(String),
    /// The App is installed nowhere it could act, or its installation has gone.
    #[error("the GitHub App cannot act: {0}")]
    App(String),
    /// GraphQL gave errors and no data.
    #[error("GitHub's GraphQL gives no data: {0}")]
    Graphql(String),
    /// This GitHub, an Enterprise Server most likely, does not have what was asked for.
    #[error("this GitHub does not know what is asked for: {0}")]
    Unsupported(String),
    /// The App's installation on the owner's account was suspended or removed: whether the repository is there
    /// cannot be told.
    #[error("GitHub does not show the repository, and cannot tell why: {0}")]
    Suspended(String),
    /// An answer that GitHub would not give.
    #[error("GitHub's answer is not understood: {0}; check github.api_url")]
    Malformed(String),
}

impl GithubError {
    /// Whether and when to try again.
    pub fn retry(&self) -> Retry {
        match self {
            Self::RateLimited { after } | Self::Server { after: Some(after), .. } => Retry::After(*after),
            Self::Unreachable(_) => Retry::After(OUTAGE),
            Self::Server { after: None, .. }
            | Self::Transport(_)
            | Self::App(_)
            | Self::Graphql(_)
            | Self::Malformed(_) => Retry::Backoff,
            Self::Config(_)
            | Self::NotFound
            | Self::OwnerGone(_)
            | Self::NoUser(_)
            | Self::Unavailable { .. }
            | Self::Blocked { .. }
            | Self::Unauthorized(_)
            | Self::Forbidden(_)
            | Self::Suspended(_)
            | Self::Unsupported(_)
            | Self::Rejected { .. }
            | Self::RedirectElsewhere(_) => Retry::Never,
        }
    }

    /// The stable word for the API, the database and the log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(_) => "github_config",
            Self::NotFound => "upstream_not_found",
            Self::OwnerGone(_) => "upstream_owner_gone",
            Self::NoUser(_) => "github_no_user",
            Self::Unavailable { .. } => "upstream_unavailable",
            Self::Blocked { .. } => "upstream_blocked",
            Self::RateLimited { .. } => "github_rate_limited",
            Self::Unauthorized(_) => "github_unauthorized",
            Self::Forbidden(_) => "github_forbidden",
            Self::Rejected { .. } => "github_rejected",
            Self::Server { .. } => "github_server_error",
            Self::Unreachable(_) => "github_unreachable",
            Self::Transport(_) => "github_transport",
            Self::RedirectElsewhere(_) => "github_redirect",
            Self::App(_) => "github_app",
            Self::Graphql(_) => "github_graphql",
            Self::Unsupported(_) => "github_unsupported",
            Self::Suspended(_) => "installation_suspended",
            Self::Malformed(_) => "github_malformed",
        }
    }

    /// Whether this says that the upstream itself has gone (as GitHub shows it to us): the copy stays.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NotFound | Self::OwnerGone(_) | Self::Unavailable { .. } | Self::Blocked { .. })
    }
}

impl From<reqwest::Error> for GithubError {
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
