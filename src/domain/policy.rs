//! Decisions about a mirror that are not about refs: what an event asks for, how deep a check goes.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::event::{Event, RepositoryChange};
use super::job::{JobKind, Priority};

/// What a delivery asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Make a mirror of the repository, or wake an archived one, and sync it.
    Keep,
    /// The star was taken back.
    LetGo,
    /// Sync the mirror, if there is one; `describe` says whether to ask GitHub about it first.
    Sync {
        /// Names, flags or the default branch may have changed.
        describe: bool,
    },
    /// Look at the mirror's wiki, if there is a mirror.
    Wiki,
    /// Look at the catalog of the mirror, if there is one.
    Catalog,
    /// Take note of what the App may read now.
    Note,
    /// Nothing.
    Nothing,
}

/// What an event asks for. `watched` says whether its sender is one of `stars.users`.
pub fn wish(event: &Event, watched: bool) -> Wish {
    match event {
        Event::Starred { .. } if watched => Wish::Keep,
        Event::Unstarred { .. } if watched => Wish::LetGo,
        Event::Pushed { .. } => Wish::Sync { describe: false },
        Event::WikiChanged { .. } => Wish::Wiki,
        Event::Changed { change, .. } => match change {
            RepositoryChange::Renamed
            | RepositoryChange::Transferred
            | RepositoryChange::Archived
            | RepositoryChange::Unarchived
            | RepositoryChange::Privatized
            | RepositoryChange::Publicized
            | RepositoryChange::Edited => Wish::Sync { describe: true },
        },
        Event::Cataloged { .. } => Wish::Catalog,
        Event::InstallationChanged { .. } => Wish::Note,
        Event::Starred { .. }
        | Event::Unstarred { .. }
        | Event::AuthorizationRevoked { .. }
        | Event::Ping
        | Event::Other { .. } => Wish::Nothing,
    }
}

/// How urgent a job is that was queued for `why`.
pub fn priority(kind: JobKind, fresh: bool) -> Priority {
    match (kind, fresh) {
        (JobKind::Sync, true) => Priority::FRESH,
        (JobKind::Sync | JobKind::Verify | JobKind::Wiki, _) => Priority::CHANGED,
        (JobKind::Remove | JobKind::Catalog, _) => Priority::ROUTINE,
        (JobKind::Mark | JobKind::Drill, _) => Priority::UPKEEP,
    }
}

/// After so long without one, a routine check asks GitHub for the metadata and reads both sides in
/// full, though nothing seems to have changed.
pub const DEEP_CHECK: Duration = Duration::from_secs(86_400);

/// Whether something last done at `last` is due again.
pub fn is_due(last: Option<DateTime<Utc>>, every: Duration, now: DateTime<Utc>) -> bool {
    last.is_none_or(|at| (now - at).to_std().is_ok_and(|age| age >= every))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{Account, Subject};
    use crate::domain::ids::{AccountId, GithubId};

    fn starred() -> Event {
        Event::Starred {
            sender: Account { id: AccountId(1), login: "octo".to_owned() },
            repository: Subject { id: GithubId(2), name: "a/b".parse().unwrap() },
            at: None,
        }
    }

    #[test]
    fn only_a_watched_users_star_asks_for_a_mirror() {
        assert_eq!(wish(&starred(), true), Wish::Keep);
        assert_eq!(wish(&starred(), false), Wish::Nothing);
    }

    #[test]
    fn what_was_never_done_is_due() {
        let now = Utc::now();
        assert!(is_due(None, DEEP_CHECK, now));
        assert!(!is_due(Some(now), DEEP_CHECK, now));
        assert!(is_due(Some(now - DEEP_CHECK), DEEP_CHECK, now));
    }
}
