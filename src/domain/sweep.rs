//! When an upstream is looked at next, by whom, and what GitHub's short answer about it means.
//!
//! A look is cheap where GitHub is asked about a hundred repositories at once (a sweep), and dearer where git
//! reads the refs of one. `stages::sweep` and `stages::record` ask here when the next one is due; times are
//! arguments.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::ids::MirrorId;
use super::repository::RepositoryName;

/// An upstream that has been quiet for so long is looked at at the base interval.
const USUAL: Duration = Duration::from_secs(86_400);
/// A sweep may doubt what is known of a mirror once in so long; until then git looks at it.
pub const DOUBTED_FOR: TimeDelta = TimeDelta::days(1);

/// How often upstreams are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// One that last changed a day ago.
    pub base: Duration,
    /// No upstream more often than this.
    pub least: Duration,
    /// No upstream more rarely than this.
    pub most: Duration,
    /// By git, whatever sweeps say.
    pub full: Duration,
}

/// What is known of how busy an upstream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// Since when it is mirrored.
    pub known_since: DateTime<Utc>,
    /// When something was last pushed to it, or seen to have changed.
    pub last: Option<DateTime<Utc>>,
}

impl Pace {
    /// How long after one look the next one comes: in proportion to the time that the upstream has been
    /// quiet, within the bounds. Of the time before it was mirrored no more than a day counts, since nobody
    /// watched.
    pub fn interval(&self, activity: &Activity, now: DateTime<Utc>) -> Duration {
        let since = |it: DateTime<Utc>| (now - it).to_std().unwrap_or_default();
        let watched = since(activity.known_since).max(USUAL);
        let quiet = activity.last.map_or(USUAL, since).min(watched);
        let share = quiet.as_secs_f64() / USUAL.as_secs_f64();
        let wanted = Duration::try_from_secs_f64(self.base.as_secs_f64() * share).unwrap_or(self.most);
        wanted.clamp(self.least.min(self.most), self.most)
    }

    /// A sweep takes along what is due so soon, so that it asks for whole hundreds. Far less than any interval.
    pub fn ahead(&self) -> TimeDelta {
        TimeDelta::from_std(self.least / 2).unwrap_or(TimeDelta::zero())
    }

    /// When the next look is due, and when it is git's turn. `draw` is from 0 to 1: the interval is a tenth
    /// more or less, so that what came together does not stay together.
    pub fn next(&self, id: MirrorId, activity: &Activity, draw: f64, now: DateTime<Utc>) -> Next {
        self.next_from(id, activity, draw, now, now)
    }

    /// The same after a look by git, which stands for a look of its own that would follow at once.
    pub fn next_after_git(&self, id: MirrorId, activity: &Activity, draw: f64, now: DateTime<Utc>) -> Next {
        self.next_from(id, activity, draw, now, later(now, self.least.min(self.full) / 2))
    }

    fn next_from(&self, id: MirrorId, activity: &Activity, draw: f64, now: DateTime<Utc>, from: DateTime<Utc>) -> Next {
        let interval = self.interval(activity, now).mul_f64(0.9 + 0.2 * draw.clamp(0.0, 1.0));
        let full = full_look(id, self.full, from);
        Next { at: later(now, interval).min(full), full }
    }
}

/// The next looks at a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// Any look.
    pub at: DateTime<Utc>,
    /// One by git. Not before [`Next::at`].
    pub full: DateTime<Utc>,
}

/// The next moment at which git looks at a mirror in any case: each has its own place in the interval, which
/// hangs on its id alone, so that all of them are spread evenly and a restart moves none.
pub fn full_look(id: MirrorId, every: Duration, now: DateTime<Utc>) -> DateTime<Utc> {
    let every = i128::try_from(every.as_millis()).unwrap_or(i128::MAX).clamp(1, i128::from(i64::MAX));
    // The last four bytes of an id are random whichever way it was made.
    let place = every * i128::from(id.0.as_u128() as u32) / (i128::from(u32::MAX) + 1);
    let passed = (i128::from(now.timestamp_millis()) - place).rem_euclid(every);
    let left = TimeDelta::try_milliseconds(i64::try_from(every - passed).unwrap_or(i64::MAX));
    left.and_then(|it| now.checked_add_signed(it)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn later(now: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by).ok().and_then(|it| now.checked_add_signed(it)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// What GitHub tells of a repository in a list, and what is on record of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// What it is called.
    pub name: RepositoryName,
    /// Only its collaborators see it.
    pub private: bool,
    /// Read-only.
    pub archived: bool,
    /// Switched off by GitHub.
    pub disabled: bool,
    /// The default branch, if there is one.
    pub default_branch: Option<String>,
    /// When something was last pushed.
    pub pushed_at: Option<DateTime<Utc>>,
}

/// What GitHub says of one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// It is there.
    Seen(Outline),
    /// It is not shown to us: gone, or not ours to see.
    Missing,
    /// GitHub could not say.
    Unanswered,
}

/// What a look without git came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nothing suspicious, which is no proof of anything.
    Quiet,
    /// Something was pushed, or cannot be told: git is to look.
    Moved,
    /// It is not what it was, or not there: GitHub is to be asked about it, and both sides to be read.
    Changed,
}

/// What an answer means beside what is known.
pub fn finding(known: &Outline, sight: &Sight) -> Finding {
    let seen = match sight {
        Sight::Seen(seen) => seen,
        Sight::Missing => return Finding::Changed,
        Sight::Unanswered => return Finding::Moved,
    };
    let flags = |it: &Outline| (it.private, it.archived, it.disabled);
    // A repository without commits has a default branch in one interface of GitHub and none in the other.
    let branch = seen.default_branch.is_some() && seen.default_branch != known.default_branch;
    if known.name.to_string() != seen.name.to_string() || flags(known) != flags(seen) || branch {
        Finding::Changed
    } else if known.pushed_at != seen.pushed_at {
        Finding::Moved
    } else {
        Finding::Quiet
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn pace() -> Pace {
        Pace { base: HOUR, least: HOUR / 4, most: HOUR * 4, full: HOUR * 24 }
    }

    fn now() -> DateTime<Utc> {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn interval(known_for: Duration, quiet: Option<Duration>) -> Duration {
        let activity = Activity { known_since: now() - known_for, last: quiet.map(|it| now() - it) };
        pace().interval(&activity, now())
    }

    #[test]
    fn what_changed_lately_is_looked_at_more_often_and_what_is_quiet_more_rarely() {
        let year = HOUR * 24 * 365;
        assert_eq!(interval(year, Some(Duration::ZERO)), HOUR / 4);
        assert_eq!(interval(year, Some(HOUR * 12)), HOUR / 2);
        assert_eq!(interval(year, Some(HOUR * 24)), HOUR);
        assert_eq!(interval(year, Some(HOUR * 48)), HOUR * 2);
        assert_eq!(interval(year, Some(year)), HOUR * 4);
        assert_eq!(interval(year, None), HOUR, "nothing is known of it");
    }

    #[test]
    fn what_was_quiet_before_it_was_mirrored_is_looked_at_as_usual_for_a_day() {
        let year = HOUR * 24 * 365;
        assert_eq!(interval(Duration::ZERO, Some(year)), HOUR);
        assert_eq!(interval(HOUR * 72, Some(year)), HOUR * 3);
        assert_eq!(interval(Duration::ZERO, Some(HOUR)), HOUR / 4, "but what is busy is busy");
    }

    #[test]
    fn full_looks_are_spread_evenly_over_the_day() {
        let mut hours = [0_u32; 24];
        for n in 0..24_000_u32 {
            // Ids as they are made: the time in front, random bits behind.
            let id = MirrorId(Uuid::from_u128(
                0x0193_0000_0000_7000_8000_0000_0000_0000 | u128::from(n.wrapping_mul(2_654_435_761)),
            ));
            let at = full_look(id, HOUR * 24, now());
            let hour = usize::try_from((at - now()).num_hours().clamp(0, 23)).unwrap();
            hours[hour] += 1;
        }
        assert!(hours.iter().all(|it| (900..=1_100).contains(it)), "{hours:?}");
    }

    #[test]
    fn no_look_of_its_own_follows_at_once_on_one_by_git() {
        let activity = Activity { known_since: now(), last: None };
        for n in 0..2_000_u32 {
            let id = MirrorId(Uuid::from_u128(u128::from(n.wrapping_mul(2_654_435_761))));
            let next = pace().next_after_git(id, &activity, 0.5, now());
            assert!(next.at >= now() + pace().ahead().min(TimeDelta::hours(12)) && next.full >= next.at);
            assert!(next.full <= now() + TimeDelta::hours(24) + pace().ahead());
        }
    }

    fn outline() -> Outline {
        Outline {
            name: "octo/hello".parse().unwrap(),
            private: false,
            archived: false,
            disabled: false,
            default_branch: Some("main".to_owned()),
            pushed_at: Some(now()),
        }
    }

    #[test]
    fn only_what_is_as_it_was_is_quiet() {
        let find = |seen: Outline| finding(&outline(), &Sight::Seen(seen));
        assert_eq!(find(outline()), Finding::Quiet);
        assert_eq!(find(Outline { pushed_at: Some(now() + HOUR), ..outline() }), Finding::Moved);
        assert_eq!(find(Outline { pushed_at: None, ..outline() }), Finding::Moved);
        assert_eq!(find(Outline { name: "octo/Hello".parse().unwrap(), ..outline() }), Finding::Changed);
        assert_eq!(find(Outline { private: true, ..outline() }), Finding::Changed);
        assert_eq!(find(Outline { archived: true, ..outline() }), Finding::Changed);
        assert_eq!(find(Outline { disabled: true, ..outline() }), Finding::Changed);
        assert_eq!(find(Outline { default_branch: Some("trunk".to_owned()), ..outline() }), Finding::Changed);
        assert_eq!(find(Outline { default_branch: None, ..outline() }), Finding::Quiet, "an empty repository");
        assert_eq!(finding(&outline(), &Sight::Missing), Finding::Changed);
        assert_eq!(finding(&outline(), &Sight::Unanswered), Finding::Moved);
    }

    proptest! {
        #[test]
        fn an_interval_is_within_its_bounds_and_grows_with_the_quiet(
            known in 0_u64..400_000_000, a in 0_u64..400_000_000, b in 0_u64..400_000_000,
            base in 1_u64..1_000_000, least in 1_u64..1_000_000, most in 1_u64..1_000_000,
        ) {
            let second = Duration::from_secs(1);
            let pace = Pace { base: second * base as u32, least: second * least.min(most) as u32, most: second * most as u32, full: HOUR };
            let at = |quiet: u64| {
                let last = Some(now() - TimeDelta::seconds(quiet as i64));
                pace.interval(&Activity { known_since: now() - TimeDelta::seconds(known as i64), last }, now())
            };
            prop_assert!(at(a) >= pace.least && at(a) <= pace.most);
            prop_assert!(at(a.min(b)) <= at(a.max(b)));
        }

        #[test]
        fn a_full_look_comes_once_in_its_interval(id: u128, seconds in 1_u64..10_000_000, ago in 0_i64..10_000_000) {
            let (id, every) = (MirrorId(Uuid::from_u128(id)), Duration::from_secs(seconds));
            let then = now() - TimeDelta::seconds(ago);
            let first = full_look(id, every, then);
            prop_assert!(first > then && first - then <= TimeDelta::from_std(every).unwrap());
            let second = full_look(id, every, first);
            prop_assert_eq!(second - first, TimeDelta::from_std(every).unwrap());
            let next = pace().next(id, &Activity { known_since: then, last: None }, 0.5, then);
            prop_assert!(next.at <= next.full && next.at > then);
        }
    }
}
