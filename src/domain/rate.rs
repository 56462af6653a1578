//! How much of GitHub's allowance may be spent now: one [`Governor`] for each credential.
//!
//! `github` asks before every request and tells what each answer's headers said; `store` keeps what must
//! outlive the process. Times are arguments: this module has no clock and never waits.
//!
//! An hour's allowance goes in three parts. More than a quarter is left: everybody goes at full speed.
//! Beneath that the rest is spread evenly over what remains of the hour, and background work stops. The
//! last twentieth is for fresh stars alone.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::job::word;

/// Requests of one credential at once; GitHub's own bound.
pub const MOST_AT_ONCE: usize = 100;
/// Transfers of one credential at once, which take places of those: the others are left to API calls, so that a transfer
/// that asks the API something never waits for a place that transfers hold.
pub const MOST_TRANSFERS_AT_ONCE: usize = MOST_AT_ONCE / 2;
/// GitHub's advice for a limit that names no time.
const LEAST_PAUSE: Duration = Duration::from_secs(60);
/// Doubling stops here.
const LONGEST_UNNAMED_PAUSE: Duration = Duration::from_secs(960);
/// Primary limits reset within an hour; a longer pause is a broken clock or a broken header.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(3900);
/// Full speed above one of so many parts of the allowance.
const FULL_SPEED: u32 = 4;
/// One of so many parts is kept for fresh stars.
const RESERVE: u32 = 20;
/// Two resets so near each other are of the same hour: GitHub's times are whole seconds, and so are ours
/// once they were corrected by its clock.
const SAME_HOUR: TimeDelta = TimeDelta::seconds(60);

/// What a request counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// REST.
    Core,
    /// GraphQL.
    Graphql,
    /// Git, which has no allowance of its own but obeys pauses.
    Git,
}

impl Resource {
    /// Every resource.
    pub const ALL: [Self; 3] = [Self::Core, Self::Graphql, Self::Git];

    /// The word in the database and the metrics; GitHub's own for the first two.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Graphql => "graphql",
            Self::Git => "git",
        }
    }
}

word!(Resource, "resource");

/// For whose sake a request is made; the later one goes first when little is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Urgency {
    /// Work that may stop for an hour: catalogs.
    Background,
    /// Looks at what is mirrored already, and the pages of a full scan.
    Routine,
    /// A star that has no copy yet, the look for one, or a person who waits.
    Fresh,
    /// Costs nothing of the allowance; only a pause holds it back.
    Free,
}

/// What an answer said of the allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Requests (or GraphQL's points) an hour.
    pub limit: u32,
    /// How many of them are left.
    pub remaining: u32,
    /// When there are as many as `limit` again, by our own clock.
    pub resets_at: DateTime<Utc>,
}

/// What a refusal said about how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `retry-after`: a secondary limit. Everything of this credential pauses, git too.
    Named(Duration),
    /// The hour's allowance of one resource is used up until its reset, if that was told.
    UsedUp(Option<Duration>),
    /// A limit without a time: at least a minute, and longer each time in a row.
    Unnamed,
}

/// Why a request must wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// GitHub asked for a pause.
    Paused,
    /// The rest of the hour's allowance is being spread.
    Paced,
    /// What is left is kept for more urgent requests.
    Reserved,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Paused, Self::Paced, Self::Reserved];

    /// The word in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Paced => "paced",
            Self::Reserved => "reserved",
        }
    }
}

/// A request must wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Not before this has passed.
    pub after: Duration,
    /// Why.
    pub reason: Reason,
}

/// What the database keeps of a governor: one of these for each resource, and one for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Which credential, in a word that does not give it away.
    pub credential: String,
    /// `None` is a pause of all resources.
    pub resource: Option<Resource>,
    /// What GitHub last said.
    pub window: Option<Window>,
    /// Nothing is sent before this.
    pub closed_until: Option<DateTime<Utc>>,
    /// Refusals in a row.
    pub refusals: u32,
}

/// One resource of a credential.
#[derive(Debug, Clone, Default)]
struct Room {
    window: Option<Window>,
    closed_until: Option<DateTime<Utc>>,
    /// Requests that were sent and not answered.
    out: u32,
    /// When the next request may go while the rest is spread.
    ready_at: Option<DateTime<Utc>>,
    /// The last place in the row that somebody was told.
    promised: Option<DateTime<Utc>>,
}

/// Decides when the requests of one credential may be sent.
#[derive(Debug, Clone, Default)]
pub struct Governor {
    core: Room,
    graphql: Room,
    git: Room,
    closed_until: Option<DateTime<Utc>>,
    refusals: u32,
}

impl Governor {
    /// May a request be sent now? A yes counts it as sent; [`Self::answered`] takes that back.
    ///
    /// # Errors
    /// [`Held`] with the time to wait. Who waits because of the pace is told a place in a row, so that a
    /// crowd does not come back at once; a place is no promise.
    pub fn ask(&mut self, resource: Resource, urgency: Urgency, now: DateTime<Utc>) -> Result<(), Held> {
        if let Some(after) = self.closed_for(resource, now) {
            return Err(Held { after, reason: Reason::Paused });
        }
        let room = self.room(resource);
        if urgency != Urgency::Free {
            room.spend(urgency, now)?;
        }
        room.out = room.out.saturating_add(1);
        Ok(())
    }

    /// An answer has come, or will not come any more.
    pub fn answered(&mut self, resource: Resource) {
        let room = self.room(resource);
        room.out = room.out.saturating_sub(1);
    }

    /// Takes over what an answer's headers said. Older news than what is known is no news.
    pub fn told(&mut self, resource: Resource, window: Window) {
        let room = self.room(resource);
        if room.window.is_none_or(|it| window.resets_at > it.resets_at - SAME_HOUR) {
            room.window = Some(window);
        }
    }

    /// A request went through: the next limit without a time is waited out from the start again. A pause
    /// that somebody else was told meanwhile stands.
    pub fn went_through(&mut self, now: DateTime<Utc>) {
        if left(self.closed_until, now).is_none() {
            (self.closed_until, self.refusals) = (None, 0);
        }
    }

    /// A request was refused for a limit: gives the pause.
    pub fn limited(&mut self, resource: Resource, limit: Limit, now: DateTime<Utc>) -> Duration {
        let doublings = self.refusals.min(4);
        let unnamed = LEAST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_UNNAMED_PAUSE);
        let pause = match limit {
            Limit::Named(pause) | Limit::UsedUp(Some(pause)) => pause.min(LONGEST_PAUSE),
            Limit::UsedUp(None) | Limit::Unnamed => unnamed,
        };
        self.refusals = self.refusals.saturating_add(1);
        let until = TimeDelta::from_std(pause).ok().and_then(|it| now.checked_add_signed(it));
        let door = match limit {
            Limit::UsedUp(_) => &mut self.room(resource).closed_until,
            Limit::Named(_) | Limit::Unnamed => &mut self.closed_until,
        };
        *door = (*door).max(until);
        pause
    }

    /// What is left of a pause; `None` when there is none.
    pub fn closed_for(&self, resource: Resource, now: DateTime<Utc>) -> Option<Duration> {
        left(self.closed_until.max(self.room_of(resource).closed_until), now)
    }

    /// The allowance as far as it is known and of this hour.
    pub fn window(&self, resource: Resource, now: DateTime<Utc>) -> Option<Window> {
        self.room_of(resource).window.filter(|it| it.resets_at > now)
    }

    /// What is worth keeping, for the database.
    pub fn standings(&self, credential: &str) -> Vec<Standing> {
        let blank = Standing {
            credential: credential.to_owned(),
            resource: None,
            window: None,
            closed_until: self.closed_until,
            refusals: self.refusals,
        };
        let rooms = Resource::ALL.into_iter().filter_map(|resource| {
            let Room { window, closed_until, .. } = *self.room_of(resource);
            (window.is_some() || closed_until.is_some()).then(|| Standing {
                resource: Some(resource),
                window,
                closed_until,
                refusals: 0,
                ..blank.clone()
            })
        });
        std::iter::once(blank.clone()).chain(rooms).collect()
    }

    /// Takes over what another process, or the one before, has learned; what is known better stays, and what
    /// is over is nothing.
    pub fn recall(&mut self, standing: &Standing, now: DateTime<Utc>) {
        let Standing { credential: _, resource, window, closed_until, refusals } = standing;
        let closed_until = closed_until.filter(|it| *it > now);
        let Some(resource) = resource else {
            if closed_until > self.closed_until {
                (self.closed_until, self.refusals) = (closed_until, self.refusals.max(*refusals));
            }
            return;
        };
        let room = self.room(*resource);
        room.closed_until = room.closed_until.max(closed_until);
        if let Some(theirs) = window.filter(|it| it.resets_at > now) {
            let worse = |ours: Window| {
                let later = theirs.resets_at > ours.resets_at + SAME_HOUR;
                let same = theirs.resets_at > ours.resets_at - SAME_HOUR;
                later || (same && theirs.remaining < ours.remaining)
            };
            if room.window.is_none_or(worse) {
                room.window = Some(theirs);
            }
        }
    }

    fn room(&mut self, resource: Resource) -> &mut Room {
        match resource {
            Resource::Core => &mut self.core,
            Resource::Graphql => &mut self.graphql,
            Resource::Git => &mut self.git,
        }
    }

    fn room_of(&self, resource: Resource) -> &Room {
        match resource {
            Resource::Core => &self.core,
            Resource::Graphql => &self.graphql,
            Resource::Git => &self.git,
        }
    }
}

impl Room {
    /// Whether one more request fits into the hour.
    fn spend(&mut self, urgency: Urgency, now: DateTime<Utc>) -> Result<(), Held> {
        let Some(window) = self.window.filter(|it| it.resets_at > now) else {
            // A new hour, or nothing was said yet.
            (self.window, self.ready_at, self.promised) = (None, None, None);
            return Ok(());
        };
        let remaining = window.remaining.saturating_sub(self.out);
        let reset = (window.resets_at - now).to_std().unwrap_or_default();
        // One second more: GitHub's times are whole seconds, rounded down.
        let next_hour = Held { after: (reset + Duration::from_secs(1)).min(LONGEST_PAUSE), reason: Reason::Reserved };
        let ample = remaining > window.limit / FULL_SPEED;
        match urgency {
            Urgency::Free => Ok(()),
            Urgency::Fresh if remaining > 0 => Ok(()),
            Urgency::Routine | Urgency::Background if ample => Ok(()),
            Urgency::Routine => match remaining.saturating_sub(reserve(window.limit)) {
                0 => Err(next_hour),
                usable => self.pace(reset.min(LONGEST_PAUSE) / usable, next_hour.after, now),
            },
            Urgency::Fresh | Urgency::Background => Err(next_hour),
        }
    }

    /// One request every `step`; who comes too early is told a place in the row, none behind `longest`.
    fn pace(&mut self, step: Duration, longest: Duration, now: DateTime<Utc>) -> Result<(), Held> {
        let ready = self.ready_at.filter(|it| *it > now);
        let Some(ready) = ready else {
            self.ready_at = Some(now + step);
            return Ok(());
        };
        let place = self.promised.map_or(ready, |it| (it + step).max(ready));
        let after = (place - now).to_std().unwrap_or_default().min(longest);
        self.promised = Some(now + after);
        Err(Held { after, reason: Reason::Paced })
    }
}

/// What is kept for fresh stars.
pub fn reserve(limit: u32) -> u32 {
    limit / RESERVE
}

fn left(until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<Duration> {
    let left = (until? - now).to_std().ok()?;
    (!left.is_zero()).then_some(left)
}

#[cfg(test)]
#[path = "rate_tests.rs"]
mod tests;
