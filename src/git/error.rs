//! What goes wrong on the wire: which side, why, whether it may pass, and a short word for the API.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::refs::Oid;
use crate::domain::retry::Retry;

/// The two ends of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The server that refs and packs are read from.
    Upstream,
    /// The server that is pushed to.
    Target,
    /// A server of somebody's choice, onto which a mirror is restored.
    Elsewhere,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Upstream => "upstream",
            Self::Target => "OneDev",
            Self::Elsewhere => "the other server",
        })
    }
}

/// How long a server that is starting is left alone.
const BOOTING: Duration = Duration::from_secs(5);
/// How long a server that is away is left alone, GitHub and OneDev, unless it answers somebody sooner.
const AWAY: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(10));
/// The pause after a 429 that names none, and the longest one that is obeyed.
const RATE_LIMITED: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// Why refs could not be read or a pack not be moved. Texts of the other side are cleaned and cut;
/// credentials are never in them.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No connection, or it broke.
    #[error("the connection to {side} failed: {detail}")]
    Transport {
        /// Which side.
        side: Side,
        /// The chain of causes, without the address.
        detail: String,
    },
    /// The server as a whole is away; nothing was sent, or what was sent found nobody.
    #[error("{side} is away: {detail}")]
    Away {
        /// Which side.
        side: Side,
        /// For how long, or what was seen.
        detail: String,
    },
    /// The answer did not begin in time.
    #[error("{side} did not answer within {after:?}")]
    NoAnswer {
        /// Which side.
        side: Side,
        /// The limit.
        after: Duration,
    },
    /// An answer or a push stopped moving.
    #[error("no byte moved at {side} for {after:?}")]
    Stalled {
        /// Which side.
        side: Side,
        /// The limit.
        after: Duration,
    },
    /// A redirect to another host, port or scheme. Nothing was sent there.
    #[error(
        "{side} redirects to {to}, which is another server: credentials are not sent there; configure that address if it is right"
    )]
    RedirectedElsewhere {
        /// Which side.
        side: Side,
        /// Scheme, host and port of the other server.
        to: String,
    },
    /// A redirect that cannot be followed: too many in a row, or not to a repository.
    #[error("{side} redirects in a way that cannot be followed: {detail}")]
    BadRedirect {
        /// Which side.
        side: Side,
        /// What is wrong with it.
        detail: String,
    },
    /// 401.
    #[error("{side} does not accept the credentials (401): {message}")]
    Unauthorized {
        /// Which side.
        side: Side,
        /// The server's words.
        message: String,
    },
    /// An SSH server does not know our key. Same word as for a wrong token.
    #[error(
        "{side} does not accept our SSH key {key}: give its public half to the account that may use the repository"
    )]
    KeyRefused {
        /// Which side.
        side: Side,
        /// The fingerprint of our key.
        key: String,
    },
    /// An SSH server showed a key that is not pinned. Nothing was told to it.
    #[error(
        "{side} shows the SSH host key {offered}, which is not pinned: if it is the server's, by a source that you trust, add it to `{}`; if not, somebody stands in between",
        pins(*side)
    )]
    HostKey {
        /// Which side.
        side: Side,
        /// Fingerprint and kind of the key.
        offered: String,
    },
    /// 403.
    #[error("{side} forbids this (403): {message}")]
    Forbidden {
        /// Which side.
        side: Side,
        /// The server's words.
        message: String,
    },
    /// 404 or 410: no such repository, or none that these credentials may see.
    #[error("{side} has no such repository, or hides it: {message}")]
    NotFound {
        /// Which side.
        side: Side,
        /// The server's words.
        message: String,
    },
    /// OneDev's probe page, which answers 404 for every address while the server starts.
    #[error("{side} is starting")]
    Booting {
        /// Which side.
        side: Side,
    },
    /// 502, 503, 504.
    #[error("{side} is not ready ({status}): {message}")]
    NotReady {
        /// Which side.
        side: Side,
        /// The status.
        status: u16,
        /// The pause that it asked for.
        after: Option<Duration>,
        /// The server's words.
        message: String,
    },
    /// 429, or a 403 with `Retry-After`.
    #[error("{side} asks for a pause")]
    RateLimited {
        /// Which side.
        side: Side,
        /// For how long.
        after: Option<Duration>,
    },
    /// Any other status.
    #[error("{side} answered {status}: {message}")]
    Status {
        /// Which side.
        side: Side,
        /// The status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// An answer that does not follow the protocol.
    #[error("{side} does not speak git's protocol as expected: {detail}")]
    Protocol {
        /// Which side.
        side: Side,
        /// What was wrong.
        detail: String,
    },
    /// An answer that ended too early. Nothing of it is used.
    #[error("the answer of {side} ended before {what} was complete")]
    Truncated {
        /// Which side.
        side: Side,
        /// What was being read.
        what: &'static str,
    },
    /// The server said why it stops (`ERR`, or the error band).
    #[error("{side} said: {message}")]
    Remote {
        /// Which side.
        side: Side,
        /// The server's words.
        message: String,
    },
    /// An object that was advertised is not to be had any more: upstream moved in between.
    #[error("upstream moved while it was read: {message}")]
    UpstreamMoved {
        /// The server's words.
        message: String,
    },
    /// Not a SHA-1 repository.
    #[error("{side} holds a repository of object format {format}; only sha1 can be mirrored")]
    ObjectFormat {
        /// Which side.
        side: Side,
        /// What it said.
        format: String,
    },
    /// Upstream is a shallow clone: its history is not whole.
    #[error("upstream is a shallow repository: its history is not whole, so there is nothing to mirror faithfully")]
    Shallow,
    /// A bound of ours was reached.
    #[error("{side}: {what} is larger than the limit of {limit}")]
    TooLarge {
        /// Which side.
        side: Side,
        /// What is too large.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// The spool's file could not be written or read.
    #[error("the spool in {} {}: {source}", folder.display(), spool_state(source))]
    Spool {
        /// `sync.spool_dir`.
        folder: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The cached engine's copy could not be used, and a new one could not either.
    #[error("the copies in {} cannot be used: {detail}; see that the disk has room and may be written", folder.display())]
    Cache {
        /// `sync.cache_dir`.
        folder: PathBuf,
        /// What libgit2 or the system says.
        detail: String,
    },
    /// The target's report does not name every ref.
    #[error("OneDev did not report on {missing} of {commanded} refs, the first is {first}")]
    ReportMissing {
        /// Refs without a word.
        missing: usize,
        /// Refs that were commanded.
        commanded: usize,
        /// One of the missing.
        first: String,
    },
    /// A command that cannot be put on the wire.
    #[error("this push cannot be made: {detail}")]
    BadRequest {
        /// Why.
        detail: String,
    },
}

/// The key that holds the pinned keys of a side.
fn pins(side: Side) -> &'static str {
    match side {
        Side::Upstream => "github.ssh_host_keys",
        Side::Target => "onedev.ssh_host_keys",
        Side::Elsewhere => "known_hosts",
    }
}

fn spool_state(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "is full",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "may not be written",
        ErrorKind::NotFound | ErrorKind::NotADirectory => "does not exist",
        _ => "failed",
    }
}

impl WireError {
    /// Whether and when the same may be tried again.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Booting { .. } => Retry::After(BOOTING),
            Self::Away { side: Side::Target, .. } => Retry::After(AWAY.1),
            Self::Away { .. } => Retry::After(AWAY.0),
            Self::NotReady { after, .. } => Retry::After(bounded(*after, BOOTING)),
            Self::RateLimited { after, .. } => Retry::After(bounded(*after, RATE_LIMITED.0)),
            Self::Transport { .. }
            | Self::NoAnswer { .. }
            | Self::Stalled { .. }
            | Self::Protocol { .. }
            | Self::Truncated { .. }
            | Self::Remote { .. }
            | Self::UpstreamMoved { .. }
            | Self::Spool { .. }
            | Self::Cache { .. }
            | Self::ReportMissing { .. } => Retry::Backoff,
            Self::Status { status, .. } if *status >= 500 || *status == 408 => Retry::Backoff,
            Self::Status { .. }
            | Self::RedirectedElsewhere { .. }
            | Self::BadRedirect { .. }
            | Self::Unauthorized { .. }
            | Self::KeyRefused { .. }
            | Self::HostKey { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::ObjectFormat { .. }
            | Self::Shallow
            | Self::TooLarge { .. }
            | Self::BadRequest { .. } => Retry::Never,
        }
    }

    /// The side that failed; `None` when it was this process.
    pub fn side(&self) -> Option<Side> {
        match self {
            Self::Transport { side, .. }
            | Self::Away { side, .. }
            | Self::NoAnswer { side, .. }
            | Self::Stalled { side, .. }
            | Self::RedirectedElsewhere { side, .. }
            | Self::BadRedirect { side, .. }
            | Self::Unauthorized { side, .. }
            | Self::KeyRefused { side, .. }
            | Self::HostKey { side, .. }
            | Self::Forbidden { side, .. }
            | Self::NotFound { side, .. }
            | Self::Booting { side }
            | Self::NotReady { side, .. }
            | Self::RateLimited { side, .. }
            | Self::Status { side, .. }
            | Self::Protocol { side, .. }
            | Self::Truncated { side, .. }
            | Self::Remote { side, .. }
            | Self::ObjectFormat { side, .. }
            | Self::TooLarge { side, .. } => Some(*side),
            Self::UpstreamMoved { .. } | Self::Shallow => Some(Side::Upstream),
            Self::ReportMissing { .. } => Some(Side::Target),
            Self::Spool { .. } | Self::Cache { .. } | Self::BadRequest { .. } => None,
        }
    }

    /// The object that the other side does not have, where it names one.
    pub fn lacking(&self) -> Option<Oid> {
        let Self::UpstreamMoved { message } = self else { return None };
        message.rsplit_once("not our ref ")?.1.split_whitespace().next()?.parse().ok()
    }

    /// A short, stable word: `upstream_not_found`, `onedev_stalled`, `spool_failed`.
    pub fn code(&self) -> &'static str {
        let (upstream, target) = match self {
            Self::Transport { .. } | Self::Away { .. } => ("upstream_unreachable", "onedev_unreachable"),
            Self::NoAnswer { .. } => ("upstream_no_answer", "onedev_no_answer"),
            Self::Stalled { .. } => ("upstream_stalled", "onedev_stalled"),
            Self::RedirectedElsewhere { .. } | Self::BadRedirect { .. } => ("upstream_redirected", "onedev_redirected"),
            Self::Unauthorized { .. } | Self::KeyRefused { .. } => ("upstream_unauthorized", "onedev_unauthorized"),
            Self::HostKey { .. } => ("upstream_host_key", "onedev_host_key"),
            Self::Forbidden { .. } => ("upstream_forbidden", "onedev_forbidden"),
            Self::NotFound { .. } => ("upstream_not_found", "onedev_not_found"),
            Self::Booting { .. } => ("upstream_booting", "onedev_booting"),
            Self::NotReady { .. } => ("upstream_not_ready", "onedev_not_ready"),
            Self::RateLimited { .. } => ("upstream_rate_limited", "onedev_rate_limited"),
            Self::Status { .. } => ("upstream_http_status", "onedev_http_status"),
            Self::Protocol { .. } => ("upstream_protocol", "onedev_protocol"),
            Self::Truncated { .. } => ("upstream_truncated", "onedev_truncated"),
            Self::Remote { .. } => ("upstream_refused", "onedev_refused"),
            Self::UpstreamMoved { .. } => ("upstream_moved", "upstream_moved"),
            Self::ObjectFormat { .. } => ("upstream_object_format", "onedev_object_format"),
            Self::Shallow => ("upstream_shallow", "upstream_shallow"),
            Self::TooLarge { .. } => ("upstream_too_large", "onedev_too_large"),
            Self::ReportMissing { .. } => ("onedev_report_missing", "onedev_report_missing"),
            Self::Spool { .. } => ("spool_failed", "spool_failed"),
            Self::Cache { .. } => ("cache_failed", "cache_failed"),
            Self::BadRequest { .. } => ("push_impossible", "push_impossible"),
        };
        if self.side() == Some(Side::Target) { target } else { upstream }
    }
}

/// What the other side asked for, within reason.
fn bounded(after: Option<Duration>, default: Duration) -> Duration {
    after.unwrap_or(default).clamp(Duration::from_secs(1), RATE_LIMITED.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_names_the_side_and_the_pause_is_what_the_server_asked_for() {
        let after = Some(Duration::from_secs(7));
        let limited = WireError::RateLimited { side: Side::Upstream, after };
        assert_eq!((limited.code(), limited.retry()), ("upstream_rate_limited", Retry::After(Duration::from_secs(7))));
        let booting = WireError::Booting { side: Side::Target };
        assert_eq!((booting.code(), booting.retry()), ("onedev_booting", Retry::After(BOOTING)));
        let forever = WireError::RateLimited { side: Side::Target, after: Some(Duration::from_secs(1 << 40)) };
        assert_eq!(forever.retry(), Retry::After(Duration::from_secs(3600)));
    }

    #[test]
    fn an_object_that_is_not_to_be_had_is_named() {
        let oid = Oid::from_bytes([0xab; 20]);
        let gone = WireError::UpstreamMoved { message: format!("upload-pack: not our ref {oid}") };
        assert_eq!(gone.lacking(), Some(oid));
        assert_eq!(WireError::UpstreamMoved { message: "not our ref abc".to_owned() }.lacking(), None);
    }

    #[test]
    fn a_full_spool_names_its_folder() {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let full = WireError::Spool { folder: "/var/spool".into(), source };
        assert!(full.to_string().starts_with("the spool in /var/spool is full"), "{full}");
        assert_eq!(full.side(), None);
    }
}
