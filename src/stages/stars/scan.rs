//! A walk through the whole list. It may take hours where GitHub's allowance is small, so new stars are
//! looked for in between.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::Found;
use super::look::{Look, MOST_PAGES};
use super::take::Missed;
use crate::config::stars::Unstar;
use crate::domain::ids::GithubId;
use crate::domain::job::Priority;
use crate::domain::policy;
use crate::domain::rate::Urgency;
use crate::domain::retry::Retry;
use crate::domain::stars::{self, Mark, Walk};
use crate::github::{GithubError, PageLink, StarPage};
use crate::stages::failure::Failure;
use crate::store::{polls, starred};

/// Pauses of one page for GitHub's limits: more than a day.
const MOST_PAUSES: u32 = 60;

impl Look<'_> {
    /// Reads the whole list, whose top showed `before` just now.
    pub(super) async fn scan(&mut self, before: Mark) -> Result<Found, Failure> {
        let scan = self.poll.scan + 1;
        let (login, worker) = (self.poll.login.clone(), self.worker.clone());
        let begun = self.tools.store.write(move |c| polls::begin_scan(c, &login, &worker, scan)).await?;
        self.held(begun)?;
        let (mut walk, mut top) = (Walk::default(), before.clone());
        self.walk(scan, &mut walk, &mut top).await?;
        let etag = self.look_between(scan, &mut walk, &mut top).await?;
        if walk.proves_absence(&before, &top) {
            self.withdraw(scan).await?;
            self.end_scan(&top).await?;
            self.remember(&top, etag).await?;
            return Ok(Found::Everything);
        }
        if walk.disturbed {
            tracing::info!(user = self.who.login, "the list of stars changed while it was read; it is read again");
        } else {
            let Walk { pages, odd, .. } = walk;
            tracing::warn!(
                user = self.who.login,
                pages,
                odd,
                total = top.total,
                "the list of stars has gaps: nothing is let go"
            );
            self.end_scan(&top).await?;
        }
        self.remember(&top, etag).await?;
        Ok(Found::Disturbed)
    }

    async fn walk(&mut self, scan: i64, walk: &mut Walk, top: &mut Mark) -> Result<(), Failure> {
        let mut from = None;
        while walk.pages < MOST_PAGES {
            let page = self.page_in_time(from.as_ref(), scan, walk, top).await?;
            walk.pages += 1;
            walk.odd += page.odd;
            self.take(page.entries, scan, Priority::IMPORTED).await?;
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
            if self.glanced.elapsed() >= self.every {
                self.look_between(scan, walk, top).await?;
            }
        }
        Ok(())
    }

    /// A page, waited for as long as GitHub's limits ask for, with looks for new stars meanwhile.
    async fn page_in_time(
        &mut self,
        from: Option<&PageLink>,
        scan: i64,
        walk: &mut Walk,
        top: &mut Mark,
    ) -> Result<StarPage, Failure> {
        for _ in 0..MOST_PAUSES {
            match self.page(Urgency::Routine, from).await {
                Err(GithubError::RateLimited { after }) => self.pause(after, scan, walk, top).await?,
                page => return Ok(page?),
            }
        }
        Err(GithubError::RateLimited { after: self.every }.into())
    }

    async fn pause(&mut self, after: Duration, scan: i64, walk: &mut Walk, top: &mut Mark) -> Result<(), Failure> {
        let end = Instant::now() + after;
        loop {
            tokio::time::sleep_until(end.min(self.glanced + self.every)).await;
            if Instant::now() >= end {
                return Ok(());
            }
            match self.look_between(scan, walk, top).await {
                // What is wrong for the moment shows at the page itself.
                Err(failure) if failure.retry == Retry::Never => return Err(failure),
                _ => {}
            }
        }
    }

    /// Looks whether anything has changed meanwhile, and takes what is new. Gives the look's `ETag`.
    async fn look_between(&mut self, scan: i64, walk: &mut Walk, top: &mut Mark) -> Result<Option<String>, Failure> {
        let Some((seen, etag)) = self.glance(None).await? else { return Ok(None) };
        if seen != *top {
            walk.disturbed = true;
            self.newer(top, scan).await?;
            *top = seen;
        }
        Ok(etag)
    }

    /// Lets go what the walk did not meet. Too many at once wait for an admin.
    async fn withdraw(&mut self, scan: i64) -> Result<(), Failure> {
        let account = self.who.id;
        let missed = self.tools.store.read(move |c| starred::count_missed(c, account, scan)).await?;
        let (before, since) = self.gone_today();
        let all = self.recorded().await?.saturating_add(before);
        let share = self.tools.policy.mass_gone.filter(|_| self.tools.stars.unstar != Unstar::Ignore);
        if !self.poll.allows_mass_gone && stars::is_mass(missed.saturating_add(before), all, share) {
            return self.hold(missed, all).await;
        }
        loop {
            let batch = self.missed(scan).await?;
            if batch.is_empty() {
                break;
            }
            let missed = self.tell_apart(batch).await?;
            self.withdrawn += u64::try_from(missed.withdrawn.len()).unwrap_or_default();
            self.settle(missed, scan).await?;
        }
        let (login, worker, gone) = (self.poll.login.clone(), self.worker.clone(), before + self.withdrawn);
        let count = move |c: &mut _| polls::count_gone(c, &login, &worker, gone, since);
        self.held(self.tools.store.write(count).await?)
    }

    /// A repository that was deleted, taken down or hidden is in nobody's list, and a private one for certain in
    /// its user's own alone. Nobody took those stars back, and no copy must be let go for that, so GitHub is asked
    /// for each that is missing.
    async fn tell_apart(&self, missing: Vec<GithubId>) -> Result<Missed, Failure> {
        let mut missed = Missed::default();
        for id in missing {
            let github = self.github(Urgency::Routine);
            let would_be_listed = match github.repository(id).await {
                Ok(it) => !it.disabled && (!it.private || github.is_own(&self.who).await),
                Err(error) if error.is_gone() => false,
                Err(error) => return Err(error.into()),
            };
            if would_be_listed { missed.withdrawn.push(id) } else { missed.unlisted.push(id) }
        }
        Ok(missed)
    }

    /// What was withdrawn within a day so far, and since when that is counted.
    fn gone_today(&self) -> (u64, DateTime<Utc>) {
        let now = Utc::now();
        self.poll.gone.filter(|(_, since)| !policy::is_due(Some(*since), stars::FULL_SCAN, now)).unwrap_or((0, now))
    }

    /// Waits for an admin's word; said once.
    async fn hold(&self, missed: u64, all: u64) -> Result<(), Failure> {
        let (login, worker) = (self.poll.login.clone(), self.worker.clone());
        let is_news = self.tools.store.write(move |c| polls::hold(c, &login, &worker, missed, Utc::now())).await?;
        if is_news {
            tracing::warn!(
                user = self.who.login,
                missed,
                all,
                "so many stars are gone at once that none is let go: see policy.mass_gone in the manual"
            );
        }
        Ok(())
    }

    async fn end_scan(&mut self, top: &Mark) -> Result<(), Failure> {
        let recorded = self.recorded().await?;
        let hidden = i64::try_from(i128::from(top.total) - i128::from(recorded)).unwrap_or_default();
        let (login, worker) = (self.poll.login.clone(), self.worker.clone());
        let end = move |c: &mut _| polls::end_scan(c, &login, &worker, hidden, Utc::now());
        self.held(self.tools.store.write(end).await?)
    }
}
