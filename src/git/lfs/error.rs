//! Why one LFS object could not be moved: which side, a stable word, and when another try makes sense.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::lfs::LfsOid;
use crate::domain::retry::Retry;
use crate::git::error::{Side, WireError};

/// The pause after an answer that names none, and the longest that is obeyed.
const OVER_QUOTA: (Duration, Duration) = (Duration::from_secs(3600), Duration::from_secs(86_400));

/// Why an object is not in the target as it should be. Texts of servers are cleaned and cut.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// 404 or 410.
    #[error("{side} does not have the object ({status}){message}")]
    Missing {
        /// Which side.
        side: Side,
        /// The status.
        status: u16,
        /// `: ` and the server's words, or nothing.
        message: String,
    },
    /// 422: the id or the size is not what the server knows, or it found the object damaged.
    #[error("{side} says that the object is not valid (422){message}")]
    Invalid {
        /// Which side.
        side: Side,
        /// As above.
        message: String,
    },
    /// 429, 509, or a 403 that speaks of a quota.
    #[error("{side} gives no more now: over quota or rate limit ({status}){message}")]
    OverQuota {
        /// Which side.
        side: Side,
        /// The status.
        status: u16,
        /// The pause that it asked for.
        after: Option<Duration>,
        /// As above.
        message: String,
    },
    /// 406 of OneDev, 413 of a proxy.
    #[error("{side} takes no object of {size} bytes{message}")]
    TooLarge {
        /// Which side.
        side: Side,
        /// Bytes of the object.
        size: u64,
        /// As above.
        message: String,
    },
    /// 401, 403.
    #[error("{side} does not allow it ({status}){message}")]
    Forbidden {
        /// Which side.
        side: Side,
        /// The status.
        status: u16,
        /// As above.
        message: String,
    },
    /// Another number of bytes than the pointer says.
    #[error("{side} gave {got} bytes where the pointer says {want}: refused")]
    WrongSize {
        /// Which side.
        side: Side,
        /// What the pointer says.
        want: u64,
        /// What came, or was announced; at least so many.
        got: u64,
    },
    /// The content is not that of the id.
    #[error("the bytes that {side} gave have the hash {got}: refused")]
    WrongHash {
        /// Which side.
        side: Side,
        /// The hash of what came.
        got: LfsOid,
    },
    /// It was said to be there and was not when it was read back.
    #[error("OneDev had the object one moment and not the next")]
    Vanished,
    /// What was said of many objects together.
    #[error("{0}")]
    Together(Arc<ObjectError>),
    /// The whole exchange failed.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl ObjectError {
    /// Whether and when the same may be tried again. [`Retry::Never`] is what only somebody at the
    /// other side can mend: worth a look from time to time.
    pub fn retry(&self) -> Retry {
        match self {
            Self::OverQuota { after, .. } => {
                Retry::After(after.unwrap_or(OVER_QUOTA.0).clamp(Duration::from_secs(1), OVER_QUOTA.1))
            }
            Self::Missing { .. }
            | Self::Invalid { .. }
            | Self::TooLarge { .. }
            | Self::Forbidden { .. }
            | Self::WrongSize { .. }
            | Self::WrongHash { .. } => Retry::Never,
            Self::Vanished => Retry::Backoff,
            Self::Together(error) => error.retry(),
            Self::Wire(error) => error.retry(),
        }
    }

    /// A short, stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "lfs_missing",
            Self::Invalid { .. } => "lfs_invalid",
            Self::OverQuota { .. } => "lfs_over_quota",
            Self::TooLarge { .. } => "lfs_too_large",
            Self::Forbidden { .. } => "lfs_forbidden",
            Self::WrongSize { .. } => "lfs_wrong_size",
            Self::WrongHash { .. } => "lfs_wrong_hash",
            Self::Vanished => "lfs_vanished",
            Self::Together(error) => error.code(),
            Self::Wire(error) => error.code(),
        }
    }

    /// Whether upstream does not have the object, or does not give it: it may be kept at another server.
    pub fn is_refusal_of_upstream(&self) -> bool {
        match self {
            Self::Missing { side, .. } | Self::Invalid { side, .. } | Self::Forbidden { side, .. } => {
                *side == Side::Upstream
            }
            Self::Together(error) => error.is_refusal_of_upstream(),
            _ => false,
        }
    }

    /// What a status and the words beside it mean for an object of `size` bytes.
    pub(super) fn of_status(side: Side, status: u16, after: Option<Duration>, words: &str, size: u64) -> Self {
        let message = if words.is_empty() { String::new() } else { format!(": {words}") };
        match status {
            404 | 410 => Self::Missing { side, status, message },
            422 => Self::Invalid { side, message },
            429 | 509 => Self::OverQuota { side, status, after, message },
            403 if after.is_some() || words.contains("quota") => Self::OverQuota { side, status, after, message },
            406 | 413 => Self::TooLarge { side, size, message },
            401 | 403 => Self::Forbidden { side, status, message },
            502..=504 => WireError::NotReady { side, status, after, message: words.to_owned() }.into(),
            _ => WireError::Status { side, status, message: words.to_owned() }.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, words: &str) -> &'static str {
        ObjectError::of_status(Side::Upstream, status, None, words, 5).code()
    }

    #[test]
    fn a_status_tells_what_is_the_matter() {
        let told = [404, 410, 422, 429, 509, 406, 413, 401, 403, 503, 500].map(|it| of(it, ""));
        let want = [
            "lfs_missing",
            "lfs_missing",
            "lfs_invalid",
            "lfs_over_quota",
            "lfs_over_quota",
            "lfs_too_large",
            "lfs_too_large",
            "lfs_forbidden",
            "lfs_forbidden",
            "upstream_not_ready",
            "upstream_http_status",
        ];
        assert_eq!(told, want);
        assert_eq!(of(403, "This repository is over its data quota."), "lfs_over_quota");
    }

    #[test]
    fn a_pause_that_was_asked_for_is_obeyed_within_reason() {
        let pause = |after| ObjectError::of_status(Side::Upstream, 429, after, "", 0).retry();
        assert_eq!(pause(Some(Duration::from_secs(7))), Retry::After(Duration::from_secs(7)));
        assert_eq!(pause(None), Retry::After(Duration::from_secs(3600)));
        assert_eq!(pause(Some(Duration::from_secs(1 << 40))), Retry::After(Duration::from_secs(86_400)));
    }
}
