//! Looking at a user's stars: when to look, how deep, and what the looks prove.
//!
//! `github` lists stars newest first, `store` remembers what the last look showed. A list that is read in
//! pages changes while it is read: only what is decided here tells whether an absence means anything.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::ids::GithubId;

/// Stars on a page.
pub const PAGE: u64 = 100;
/// The whole list is read so often though nothing seems to have changed.
pub const FULL_SCAN: Duration = Duration::from_secs(86_400);
/// An unchanged top of the list is believed for so long: its `ETag` does not hang on the number of stars, so
/// that a withdrawal further down does not show.
pub const COUNTED: Duration = Duration::from_secs(600);
/// Fewer withdrawals within a day are never too many.
const LEAST_MASS: u64 = 5;
/// All looks together cost at most one of so many requests of the hour's allowance.
const SHARE: u32 = 4;

/// A star: what, and when by GitHub's clock, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Star {
    /// The repository.
    pub repository: GithubId,
    /// When it was starred.
    pub at: DateTime<Utc>,
}

/// What the top of a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mark {
    /// The newest star, if there is any.
    pub newest: Option<Star>,
    /// How many stars GitHub counts; it may count some that it does not list.
    pub total: u64,
}

impl Mark {
    /// Whether a star was there, and further down, when this was seen.
    pub fn is_above(&self, at: DateTime<Utc>) -> bool {
        self.newest.is_some_and(|it| at < it.at)
    }
}

/// How deep to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Nothing changed, save a star that came and went between two looks.
    Nothing,
    /// The stars from the newest down to the newest that is known.
    Newer,
    /// The whole list.
    Everything,
}

/// How deep to look when the top of the list shows `seen`. `known` is what it showed last time, `due` says
/// that the whole list is to be read in any case.
pub fn depth(known: Option<&Mark>, seen: &Mark, due: bool) -> Depth {
    match known {
        None => Depth::Everything,
        Some(_) if due => Depth::Everything,
        Some(known) if known == seen => Depth::Nothing,
        Some(_) => Depth::Newer,
    }
}

/// Whether GitHub's count is what is recorded; if not, stars were withdrawn. `hidden` is by how much the
/// count was higher than what was listed when all of it was last read.
pub fn is_explained(total: u64, recorded: u64, hidden: i64) -> bool {
    i128::from(total) == i128::from(recorded) + i128::from(hidden)
}

/// A walk through the whole list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Walk {
    /// Pages that were read.
    pub pages: u64,
    /// Entries that could not be understood.
    pub odd: u64,
    /// A look in between showed something else than the one before.
    pub disturbed: bool,
}

impl Walk {
    /// Whether what this walk did not meet is really not starred any more. `before` and `after` are what
    /// the top of the list showed when the walk began and when it had ended.
    ///
    /// An entry slips past a walk only if one above it was withdrawn in between: the count is lower then,
    /// or a newer star has made up for it and stands at the top. A page that is missing at the end shows in
    /// the number of pages.
    pub fn proves_absence(&self, before: &Mark, after: &Mark) -> bool {
        let Self { pages, odd, disturbed } = *self;
        !disturbed && odd == 0 && before == after && pages.saturating_mul(PAGE) >= before.total
    }
}

/// Whether so many withdrawals within a day are too many to be believed without a person: a list that was
/// made private reads like one that was emptied. `gone` of `of` stars, or of the mirrors of one owner or user
/// that vanished; `share` in percent, `None` is never.
pub fn is_mass(gone: u64, of: u64, share: Option<u8>) -> bool {
    share.is_some_and(|share| gone >= LEAST_MASS && u128::from(gone) * 100 > u128::from(of) * u128::from(share))
}

/// How long after one look the next one comes. `users` share the allowance of requests an hour, as far as
/// that is known: without a credential it is 60, and a look every minute would use up all of it.
pub fn interval(configured: Duration, users: usize, allowance: Option<u32>) -> Duration {
    let Some(allowance) = allowance else { return configured };
    let looks = (allowance / SHARE).max(1);
    let users = u32::try_from(users).unwrap_or(u32::MAX).max(1);
    configured.max(Duration::from_secs(3600).saturating_mul(users) / looks)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_750_000_000 + seconds, 0).unwrap()
    }

    fn mark(newest: i64, total: u64) -> Mark {
        Mark { newest: Some(Star { repository: GithubId(newest), at: at(newest) }), total }
    }

    #[test]
    fn the_depth_follows_from_the_top_of_the_list() {
        assert_eq!(depth(None, &Mark::default(), false), Depth::Everything);
        assert_eq!(depth(Some(&mark(5, 9)), &mark(5, 9), false), Depth::Nothing);
        assert_eq!(depth(Some(&mark(5, 9)), &mark(5, 9), true), Depth::Everything);
        assert_eq!(depth(Some(&mark(5, 9)), &mark(6, 10), false), Depth::Newer);
        assert_eq!(depth(Some(&mark(5, 9)), &mark(5, 8), false), Depth::Newer);
    }

    #[test]
    fn a_count_is_explained_by_what_is_recorded_and_hidden() {
        assert!(is_explained(10, 10, 0) && is_explained(10, 8, 2) && is_explained(10, 11, -1));
        assert!(!is_explained(9, 10, 0) && !is_explained(10, 8, 1));
    }

    #[test]
    fn a_walk_that_was_cut_short_or_disturbed_proves_nothing() {
        let (top, whole) = (mark(5, 250), Walk { pages: 3, odd: 0, disturbed: false });
        assert!(whole.proves_absence(&top, &top));
        assert!(!Walk { pages: 2, ..whole }.proves_absence(&top, &top));
        assert!(!Walk { odd: 1, ..whole }.proves_absence(&top, &top));
        assert!(!Walk { disturbed: true, ..whole }.proves_absence(&top, &top));
        assert!(!whole.proves_absence(&top, &mark(6, 250)));
        assert!(!whole.proves_absence(&top, &mark(5, 249)));
    }

    #[test]
    fn a_few_withdrawals_are_believed_and_many_are_not() {
        assert!(!is_mass(4, 4, Some(5)), "fewer than five");
        assert!(is_mass(5, 5, Some(5)) && is_mass(5, 99, Some(5)) && is_mass(6, 100, Some(5)));
        assert!(!is_mass(5, 100, Some(5)) && !is_mass(500, 10_000, Some(5)) && is_mass(501, 10_000, Some(5)));
        assert!(!is_mass(10_000, 10_000, None));
    }

    #[test]
    fn looks_take_no_more_than_a_quarter_of_the_allowance() {
        let minute = Duration::from_secs(60);
        assert_eq!(interval(minute, 1, None), minute);
        assert_eq!(interval(minute, 3, Some(5000)), minute);
        assert_eq!(interval(minute, 1, Some(60)), 4 * minute);
        assert_eq!(interval(minute, 2, Some(60)), 8 * minute);
        assert_eq!(interval(Duration::from_secs(1), 1, Some(5000)).as_millis(), 2880);
        assert_eq!(interval(minute, 0, Some(0)), Duration::from_secs(3600));
    }

    /// What happens to a list between two pages.
    #[derive(Debug, Clone)]
    enum Change {
        Star,
        Unstar(prop::sample::Index),
        Again(prop::sample::Index),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            Just(Change::Star),
            any::<prop::sample::Index>().prop_map(Change::Unstar),
            any::<prop::sample::Index>().prop_map(Change::Again),
        ]
    }

    /// The list of a simulated user: newest first.
    struct List(Vec<(i64, i64)>, i64);

    impl List {
        fn change(&mut self, change: &Change) {
            self.1 += 1;
            match change {
                Change::Star => self.0.insert(0, (self.1, self.1)),
                Change::Unstar(which) if !self.0.is_empty() => drop(self.0.remove(which.index(self.0.len()))),
                Change::Again(which) if !self.0.is_empty() => {
                    let (id, _) = self.0.remove(which.index(self.0.len()));
                    self.0.insert(0, (id, self.1));
                }
                Change::Unstar(_) | Change::Again(_) => {}
            }
        }

        fn top(&self) -> Mark {
            let newest = self.0.first().map(|(id, time)| Star { repository: GithubId(*id), at: at(*time) });
            Mark { newest, total: self.0.len() as u64 }
        }
    }

    proptest! {
        /// Whatever happens between two pages: a walk that proves absence has met every star that still stands.
        #[test]
        fn absence_is_proven_only_when_it_is_true(
            size in 0_usize..350,
            between in prop::collection::vec(prop::collection::vec(change(), 0..3), 0..5),
        ) {
            let mut list = List((0..size as i64).rev().map(|it| (it, it)).collect(), size as i64);
            let (before, mut met, mut walk) = (list.top(), BTreeSet::new(), Walk::default());
            let mut between = between.into_iter();
            loop {
                let start = usize::try_from(walk.pages).unwrap() * 100;
                let page: Vec<i64> = list.0.iter().skip(start).take(100).map(|(id, _)| *id).collect();
                let more = list.0.len() > start + 100;
                met.extend(page);
                walk.pages += 1;
                between.next().unwrap_or_default().iter().for_each(|it| list.change(it));
                if !more {
                    break;
                }
            }
            if walk.proves_absence(&before, &list.top()) {
                let missed: Vec<_> = list.0.iter().filter(|(id, _)| !met.contains(id)).collect();
                prop_assert!(missed.is_empty(), "{missed:?}");
            }
        }
    }
}
