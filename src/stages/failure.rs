//! What a stage answers when it could not do its work: one shape for all adapters' errors.

use std::time::Duration;

use crate::domain::retry::Retry;
use crate::git::{ObjectError, Side, WireError};
use crate::github::GithubError;
use crate::onedev::OnedevError;
use crate::stages::pool::Unanswered;
use crate::store::StoreError;

/// Why a piece of work failed and what that means for its job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// A short stable word for the API and the runbook.
    pub code: &'static str,
    /// What, where, and the mend; free of secrets.
    pub message: String,
    /// Whether it may be tried again.
    pub retry: Retry,
    /// What it means beyond the job.
    pub verdict: Verdict,
}

/// What a failure means for the mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Something went wrong on the way.
    Fault,
    /// Upstream is not there any more, or not for us; the copy stays.
    Gone,
    /// A bound of the configuration says no; an admin must act.
    Paused,
    /// It waits for an admin's word, and is looked at as usual meanwhile.
    Held {
        /// It was said before: this is no news.
        told: bool,
    },
    /// The work was called off: shutdown, or the lease went to another process.
    CalledOff,
}

impl Failure {
    /// A plain fault.
    pub fn new(code: &'static str, message: impl Into<String>, retry: Retry) -> Self {
        Self { code, message: message.into(), retry, verdict: Verdict::Fault }
    }

    /// The same with another meaning.
    #[must_use]
    pub fn meaning(self, verdict: Verdict) -> Self {
        Self { verdict, ..self }
    }

    /// The work was called off before it ended.
    pub fn called_off() -> Self {
        Self::new("called_off", "the work was called off", Retry::After(Duration::ZERO)).meaning(Verdict::CalledOff)
    }
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Busy(_) => Self::new("busy", unanswered.to_string(), Retry::After(Duration::from_secs(1))),
            Unanswered::Crashed(_) => Self::new("crashed", unanswered.to_string(), Retry::Backoff),
            Unanswered::Ended(_) => Self::called_off(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(error.code(), error.to_string(), error.retry())
    }
}

impl From<GithubError> for Failure {
    fn from(error: GithubError) -> Self {
        let verdict = if error.is_gone() { Verdict::Gone } else { Verdict::Fault };
        Self::new(error.code(), error.to_string(), error.retry()).meaning(verdict)
    }
}

impl From<OnedevError> for Failure {
    fn from(error: OnedevError) -> Self {
        Self::new(error.code(), error.to_string(), error.retry())
    }
}

impl From<ObjectError> for Failure {
    fn from(error: ObjectError) -> Self {
        Self::new(error.code(), error.to_string(), error.retry())
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        let verdict = match &error {
            WireError::TooLarge { side: Side::Upstream, .. } => Verdict::Paused,
            _ => Verdict::Fault,
        };
        Self::new(error.code(), error.to_string(), error.retry()).meaning(verdict)
    }
}
