//! What was read goes into the database: a page, or a batch of withdrawals, in one transaction, and only
//! while the lease is ours.

use chrono::{DateTime, Utc};

use super::look::Look;
use crate::config::stars::Stars;
use crate::domain::event::{Account, Subject};
use crate::domain::ids::{CorrelationId, GithubId};
use crate::domain::job::{JobKind, Priority};
use crate::github::StarEntry;
use crate::stages::failure::Failure;
use crate::stages::starring::{self, Stargazer};
use crate::store::jobs::NewJob;
use crate::store::starred::Met;
use crate::store::{Connection, StoreError, jobs, mirrors, polls, starred};

/// Withdrawals in one transaction.
const BATCH: u32 = 100;

/// What a walk did not meet, and why.
#[derive(Debug, Default)]
pub(super) struct Missed {
    /// The user took the star back.
    pub(super) withdrawn: Vec<GithubId>,
    /// The list would not show it, starred or not: what became of the repository its mirror will find out.
    pub(super) unlisted: Vec<GithubId>,
}

/// What belongs to every transaction of a look.
#[derive(Clone)]
struct Desk {
    login: String,
    worker: String,
    who: Account,
    correlation: CorrelationId,
    rules: Stars,
    scan: i64,
}

impl Look<'_> {
    /// Takes over a page's stars; what is new becomes a mirror with a job of that priority.
    pub(super) async fn take(&mut self, stars: Vec<StarEntry>, scan: i64, priority: Priority) -> Result<(), Failure> {
        if stars.is_empty() {
            return Ok(());
        }
        let desk = self.desk(scan);
        let taken = self.tools.store.write(move |c| desk.take(c, &stars, priority, Utc::now())).await?;
        self.held(taken.is_some())?;
        self.new += taken.unwrap_or_default();
        Ok(())
    }

    /// The next batch of what a walk did not meet, though nothing says that it is gone.
    pub(super) async fn missed(&self, scan: i64) -> Result<Vec<GithubId>, Failure> {
        let account = self.who.id;
        Ok(self.tools.store.read(move |c| starred::missed(c, account, scan, BATCH)).await?)
    }

    /// Lets go of what was taken back; what the list does not show for other reasons is looked at.
    pub(super) async fn settle(&self, missed: Missed, scan: i64) -> Result<(), Failure> {
        let desk = self.desk(scan);
        let settled = self.tools.store.write(move |c| desk.settle(c, &missed, Utc::now())).await?;
        self.held(settled)
    }

    /// How many stars of the user are on record.
    pub(super) async fn recorded(&self) -> Result<u64, Failure> {
        let account = self.who.id;
        Ok(self.tools.store.read(move |c| starred::count(c, account)).await?)
    }

    fn desk(&self, scan: i64) -> Desk {
        Desk {
            login: self.poll.login.clone(),
            worker: self.worker.clone(),
            who: self.who.clone(),
            correlation: self.correlation,
            rules: self.tools.stars.clone(),
            scan,
        }
    }
}

impl Desk {
    fn stargazer(&self) -> Stargazer<'_> {
        Stargazer { account: &self.who, correlation: self.correlation, delivery: None }
    }

    /// How many were new; `None` when the lease is somebody else's.
    fn take(
        &self,
        c: &mut Connection,
        stars: &[StarEntry],
        priority: Priority,
        now: DateTime<Utc>,
    ) -> Result<Option<u64>, StoreError> {
        if !polls::is_held(c, &self.login, &self.worker)? {
            return Ok(None);
        }
        let mut new = 0;
        for StarEntry { star, name } in stars {
            if starred::note(c, self.who.id, *star, self.scan, now)? == Met::Known {
                continue;
            }
            // It is known as starred from now on, and cannot be mirrored.
            let Some(name) = name else {
                tracing::warn!(github_id = star.repository.0, "a starred repository's name is not understood");
                continue;
            };
            new += 1;
            let subject = Subject { id: star.repository, name: name.clone() };
            let kept = starring::keep(c, &self.stargazer(), &subject, star.at, now)?;
            if kept.is_fresh() || kept.woken {
                let job = NewJob::of(JobKind::Sync, kept.mirror.id, priority, self.correlation);
                jobs::enqueue(c, &job, now)?;
            }
        }
        Ok(Some(new))
    }

    /// `false` when the lease is somebody else's.
    fn settle(&self, c: &mut Connection, missed: &Missed, now: DateTime<Utc>) -> Result<bool, StoreError> {
        if !polls::is_held(c, &self.login, &self.worker)? {
            return Ok(false);
        }
        let Missed { withdrawn, unlisted } = missed;
        for repository in withdrawn {
            starring::let_go(c, &self.stargazer(), &self.rules, *repository, now, now)?;
        }
        for repository in unlisted {
            starred::overlook(c, self.who.id, *repository, self.scan, now)?;
            let mirror = mirrors::by_github_id(c, *repository)?;
            if let Some(mirror) = mirror.filter(|it| it.status.is_synced()) {
                jobs::enqueue(c, &NewJob::of(JobKind::Sync, mirror.id, Priority::ROUTINE, self.correlation), now)?;
            }
        }
        Ok(true)
    }
}
