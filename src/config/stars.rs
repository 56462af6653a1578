//! `stars.*`: whose stars are kept, and what a taken-back star means.

use std::time::Duration;

use serde::Deserialize;

use super::problem::Problem;
use super::rules::lasting;
use super::values::{Refused, Values, word};
use super::{Section, duration};

/// The `stars` section.
#[derive(Debug, Clone)]
pub struct Stars {
    /// How often each user's stars are looked at; `None` leaves it to webhooks alone.
    pub poll_interval: Option<Duration>,
    /// How often each user's star lists are read; `None` is never.
    pub lists_interval: Option<Duration>,
    /// Logins, compared without case until the numeric id behind each is known.
    pub users: Vec<String>,
    /// What an un-starred mirror becomes.
    pub unstar: Unstar,
    /// The grace period before `unstar = "delete"` deletes.
    pub delete_after: Duration,
}

/// What an un-starred mirror becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unstar {
    /// The copy stays and is synced no more.
    #[default]
    Archive,
    /// Archived now, project deleted after the grace period.
    Delete,
    /// Nothing changes.
    Ignore,
}

impl Default for Stars {
    fn default() -> Self {
        Self {
            poll_interval: Some(Duration::from_secs(60)),
            lists_interval: Some(Duration::from_secs(900)),
            users: Vec::new(),
            unstar: Unstar::default(),
            delete_after: Duration::from_secs(30 * 86_400),
        }
    }
}

impl Stars {
    /// How often star lists are read: with the stars, which somebody must look at, and with a credential only.
    pub fn lists(&self, has_credential: bool) -> Option<Duration> {
        self.lists_interval.filter(|_| has_credential && self.poll_interval.is_some() && !self.users.is_empty())
    }
}

impl Section for Stars {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self { poll_interval, lists_interval, users, unstar, delete_after } = &mut it;
        values.set("stars.poll_interval", poll_interval, duration::or_off);
        values.set("stars.lists_interval", lists_interval, duration::or_off);
        values.set_list("stars.users", users, login);
        values.set("stars.unstar", unstar, word);
        values.set("stars.delete_after", delete_after, duration::parse);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self { poll_interval, lists_interval, users: _, unstar: _, delete_after } = self;
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        let poll = poll_interval.and_then(|it| lasting("stars.poll_interval", it, second, day));
        let lists = lists_interval.and_then(|it| lasting("stars.lists_interval", it, second, day));
        let delete = lasting("stars.delete_after", *delete_after, second, 36_500 * day);
        poll.into_iter().chain(lists).chain(delete).collect()
    }
}

fn login(text: &str) -> Result<String, Refused> {
    let fits =
        (1..=39).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    match fits {
        true => Ok(text.to_owned()),
        false => {
            Err(Refused::of(text, "write logins of GitHub users, as in `octocat`: at most 39 letters, digits and `-`"))
        }
    }
}
