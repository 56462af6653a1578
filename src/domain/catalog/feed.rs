//! GitHub's lists of one repository: which there are, in what order and how far they are read.

use chrono::{DateTime, Utc};

use super::item::Kind;
use crate::domain::job::word;

/// One list of GitHub's REST interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feed {
    /// The repository itself: topics, homepage, licence. A list of one.
    Repository,
    /// Labels.
    Labels,
    /// Milestones.
    Milestones,
    /// Releases with their assets.
    Releases,
    /// Issues, pull requests among them.
    Issues,
    /// What pull requests have beyond an issue.
    Pulls,
    /// Comments on issues and pull requests.
    Comments,
    /// Comments on lines of pull requests.
    ReviewComments,
}

impl Feed {
    /// Every feed, in the order in which one round reads them.
    pub const ALL: [Self; 8] = [
        Self::Repository,
        Self::Labels,
        Self::Milestones,
        Self::Releases,
        Self::Issues,
        Self::Pulls,
        Self::Comments,
        Self::ReviewComments,
    ];

    /// The feeds of which each look takes one in turn, since nothing else tells that they changed.
    pub const IN_TURN: [Self; 6] =
        [Self::Repository, Self::Labels, Self::Milestones, Self::Releases, Self::Pulls, Self::ReviewComments];

    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Repository => "repository",
            Self::Labels => "labels",
            Self::Milestones => "milestones",
            Self::Releases => "releases",
            Self::Issues => "issues",
            Self::Pulls => "pulls",
            Self::Comments => "comments",
            Self::ReviewComments => "review_comments",
        }
    }

    /// What its items are.
    pub fn kind(self) -> Kind {
        match self {
            Self::Repository => Kind::Repository,
            Self::Labels => Kind::Label,
            Self::Milestones => Kind::Milestone,
            Self::Releases => Kind::Release,
            Self::Issues => Kind::Issue,
            Self::Pulls => Kind::Pull,
            Self::Comments => Kind::Comment,
            Self::ReviewComments => Kind::ReviewComment,
        }
    }

    /// Whether a look goes on from the last change that is known.
    pub fn is_by_change(self) -> bool {
        matches!(self.order(), Order::ByTime | Order::LatestFirst)
    }

    /// How GitHub lets it be read.
    pub fn order(self) -> Order {
        match self {
            Self::Issues | Self::Comments | Self::ReviewComments => Order::ByTime,
            Self::Pulls => Order::LatestFirst,
            Self::Repository | Self::Labels | Self::Milestones | Self::Releases => Order::ByPage,
        }
    }
}

word!(Feed, "feed");

/// How a list is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From a time on, the oldest change first. The next page begins at the time of the last item seen,
    /// so that what changes meanwhile is met again further on and nothing is skipped.
    ByTime,
    /// The latest change first, page by page, down to what is known.
    LatestFirst,
    /// All of it, page by page.
    ByPage,
}

/// A feed, and how far it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Which.
    pub feed: Feed,
    /// It is to be read in the round that is open.
    pub wanted: bool,
    /// This visit lists all of it, whatever is known.
    pub sweeping: bool,
    /// Changes up to here are known. GitHub's times are whole seconds.
    pub since: Option<DateTime<Utc>>,
    /// The latest change that this visit met; becomes `since` when it ends. [`Order::LatestFirst`] only.
    pub latest: Option<DateTime<Utc>>,
    /// The page to be read next, from 1.
    pub page: u32,
    /// This visit has read more than one page by number: what it did not show may have slipped from one
    /// page to another.
    pub paged: bool,
    /// The `ETag` of the visit's only page, if it had one only.
    pub etag: Option<String>,
    /// The address that the `ETag` is for.
    pub etag_of: Option<String>,
    /// When a visit last ended.
    pub done_at: Option<DateTime<Utc>>,
    /// What GitHub says against reading it, for people.
    pub problem: Option<String>,
}

/// What a page says about its place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// When its first item changed.
    pub first: Option<DateTime<Utc>>,
    /// When its last item changed.
    pub last: Option<DateTime<Utc>>,
    /// There are more pages.
    pub more: bool,
}

impl Visit {
    /// A feed that was never read.
    pub fn new(feed: Feed) -> Self {
        Self {
            feed,
            wanted: false,
            sweeping: false,
            since: None,
            latest: None,
            page: 1,
            paged: false,
            etag: None,
            etag_of: None,
            done_at: None,
            problem: None,
        }
    }

    /// Begins a visit; a sweep begins at the beginning of time.
    pub fn begin(&mut self, sweeping: bool) {
        let sweeping = sweeping || self.done_at.is_none();
        self.wanted = true;
        self.sweeping = sweeping;
        self.latest = None;
        self.page = 1;
        self.paged = false;
        if sweeping && self.feed.order() == Order::ByTime {
            self.since = None;
        }
        if sweeping {
            (self.etag, self.etag_of) = (None, None);
        }
    }

    /// The query of the page to be read next.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = match self.feed {
            Feed::Repository => return Vec::new(),
            Feed::Issues | Feed::Milestones => vec![("state", "all".to_owned())],
            Feed::Pulls => {
                vec![("state", "all".to_owned()), ("sort", "updated".to_owned()), ("direction", "desc".to_owned())]
            }
            Feed::Labels | Feed::Releases | Feed::Comments | Feed::ReviewComments => Vec::new(),
        };
        if self.feed.order() == Order::ByTime {
            query.push(("sort", "updated".to_owned()));
            query.push(("direction", "asc".to_owned()));
            if let Some(since) = self.since {
                query.push(("since", since.format("%Y-%m-%dT%H:%M:%SZ").to_string()));
            }
        }
        query.push(("per_page", "100".to_owned()));
        if self.page > 1 {
            query.push(("page", self.page.to_string()));
        }
        query
    }

    /// Moves on behind a page that was read and stored. True when the visit has ended with it.
    pub fn turn(&mut self, leaf: Leaf) -> bool {
        match self.feed.order() {
            Order::ByTime => self.turn_by_time(leaf),
            Order::LatestFirst => {
                self.latest = self.latest.max(leaf.first);
                let known = !self.sweeping && leaf.last.is_some_and(|last| self.since.is_some_and(|it| last < it));
                self.turn_by_number(leaf.more && !known)
            }
            Order::ByPage => self.turn_by_number(leaf.more),
        }
    }

    fn turn_by_time(&mut self, leaf: Leaf) -> bool {
        match leaf.last {
            Some(last) if self.since.is_none_or(|since| last > since) => {
                self.since = Some(last);
                self.page = 1;
            }
            // A whole page of one second: only the number leads on.
            _ => {
                self.page += 1;
                self.paged |= leaf.more;
            }
        }
        !leaf.more
    }

    fn turn_by_number(&mut self, more: bool) -> bool {
        if more {
            self.page += 1;
            self.paged = true;
        }
        !more
    }

    /// Ends the visit.
    pub fn end(&mut self, now: DateTime<Utc>) {
        if self.feed.order() == Order::LatestFirst {
            self.since = self.since.max(self.latest);
        }
        self.wanted = false;
        self.sweeping = false;
        self.latest = None;
        self.page = 1;
        self.paged = false;
        self.done_at = Some(now);
    }

    /// Whether a visit that ends now has shown everything there is, so that what it did not show is gone.
    pub fn is_complete(&self) -> bool {
        match self.feed.order() {
            Order::ByTime => self.sweeping,
            // A pull request goes only with its issue.
            Order::LatestFirst => false,
            Order::ByPage => true,
        }
    }
}

/// The feeds that a look reads: the two that change most, what an event asked for, and one in turn.
pub fn wanted(visits: &[Visit]) -> Vec<Feed> {
    let never = visits.iter().filter(|it| it.done_at.is_none() || it.wanted).map(|it| it.feed);
    let mut feeds: Vec<Feed> = never.chain([Feed::Issues, Feed::Comments]).collect();
    let turn = visits.iter().filter(|it| Feed::IN_TURN.contains(&it.feed)).min_by_key(|it| (it.done_at, it.feed));
    feeds.extend(turn.map(|it| it.feed));
    feeds.sort();
    feeds.dedup();
    feeds
}

/// A list that an event asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Which.
    pub feed: Feed,
    /// Something went, which only the whole list shows.
    pub whole: bool,
}

/// The lists that an event tells of, by GitHub's names.
pub fn told_by(event: &str, action: &str) -> Vec<Wish> {
    let whole = matches!(action, "deleted" | "transferred");
    let feeds: &[Feed] = match event {
        "issues" => &[Feed::Issues],
        "issue_comment" => &[Feed::Comments],
        "pull_request" | "pull_request_review" => &[Feed::Pulls],
        "pull_request_review_comment" => &[Feed::ReviewComments],
        "release" => &[Feed::Releases],
        "label" => &[Feed::Labels],
        "milestone" => &[Feed::Milestones],
        _ => &[],
    };
    feeds.iter().map(|feed| Wish { feed: *feed, whole }).collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        Utc.timestamp_opt(1_700_000_000 + second, 0).unwrap()
    }

    /// Reads a list by time while it changes under the reader; gives every item that was shown.
    fn walk(mut list: Vec<(i64, i64)>, size: usize, touched: &[usize]) -> Vec<i64> {
        let (mut visit, mut seen, mut clock) = (Visit::new(Feed::Issues), Vec::new(), 10_000);
        visit.begin(true);
        for step in 0.. {
            assert!(step < 1_000, "it ends");
            list.sort_by_key(|(_, time)| *time);
            let from = visit.since;
            let shown: Vec<_> = list.iter().filter(|it| from.is_none_or(|from| at(it.1) >= from)).collect();
            let skip = (visit.page as usize - 1) * size;
            let page: Vec<_> = shown.iter().skip(skip).take(size).collect();
            seen.extend(page.iter().map(|it| it.0));
            let leaf = Leaf {
                first: page.first().map(|it| at(it.1)),
                last: page.last().map(|it| at(it.1)),
                more: shown.len() > skip + size,
            };
            if visit.turn(leaf) {
                return seen;
            }
            if let Some(index) = touched.get(step)
                && !list.is_empty()
            {
                clock += 1;
                let index = index % list.len();
                list[index].1 = clock;
            }
        }
        seen
    }

    proptest! {
        #[test]
        fn a_list_that_changes_while_it_is_read_by_time_shows_every_item(
            times in proptest::collection::vec(0_i64..9, 0..40),
            // A page of one second alone is not a page by time: what moves behind it may be missed until the sweep.
            size in 2_usize..8,
            touched in proptest::collection::vec(0_usize..40, 0..60),
        ) {
            // Of one second there may be more than a page; then only what does not move is sure to be shown.
            let list: Vec<(i64, i64)> = times.iter().enumerate().map(|(i, t)| (i as i64, *t * 10 + i as i64 % 10)).collect();
            let seen = walk(list.clone(), size, &touched);
            let distinct = list.iter().map(|it| it.1).collect::<std::collections::BTreeSet<_>>().len() == list.len();
            if distinct || touched.is_empty() {
                for (id, _) in &list {
                    prop_assert!(seen.contains(id), "{id} was skipped");
                }
            }
        }
    }

    #[test]
    fn pull_requests_are_read_down_to_what_is_known() {
        let mut visit = Visit { since: Some(at(5)), done_at: Some(at(6)), ..Visit::new(Feed::Pulls) };
        visit.begin(false);
        assert!(
            !visit.turn(Leaf { first: Some(at(9)), last: Some(at(5)), more: true }),
            "another one of that second may follow"
        );
        assert!(visit.turn(Leaf { first: Some(at(5)), last: Some(at(4)), more: true }));
        visit.end(at(10));
        assert_eq!(visit.since, Some(at(9)));
    }

    #[test]
    fn each_look_takes_three_feeds_and_every_feed_has_its_turn() {
        let mut visits: Vec<Visit> = Feed::ALL.into_iter().map(Visit::new).collect();
        assert_eq!(wanted(&visits), Feed::ALL);
        for it in &mut visits {
            it.end(at(0));
        }
        let mut taken = std::collections::BTreeSet::new();
        for look in 1..=6 {
            let feeds = wanted(&visits);
            assert_eq!(feeds.len(), 3, "{feeds:?}");
            for it in visits.iter_mut().filter(|it| feeds.contains(&it.feed)) {
                it.end(at(look));
            }
            taken.extend(feeds);
        }
        assert_eq!(taken, Feed::ALL.into());
    }
}
