//! One look: who it is, what the top of the list shows, and how deep to go.

use std::time::Duration;

use chrono::Utc;
use tokio::time::Instant;
use uuid::Uuid;

use super::lists::When;
use super::{Found, LookAtStars, Looked, Tools};
use crate::domain::event::Account;
use crate::domain::ids::CorrelationId;
use crate::domain::job::Priority;
use crate::domain::policy;
use crate::domain::rate::Urgency;
use crate::domain::retry::Retry;
use crate::domain::stars::{self, COUNTED, Depth, FULL_SCAN, Mark};
use crate::github::{GithubClient, GithubError, PageLink, StarPage, Starred};
use crate::stages::failure::Failure;
use crate::store::polls::{self, Poll};
use crate::store::watched;

/// Tries of one page that fails in a way that may pass.
const PAGE_TRIES: u32 = 3;
/// Pages of one walk: far more than anybody has.
pub(super) const MOST_PAGES: u64 = 5_000;

/// A look at one user's stars while it lasts.
pub(super) struct Look<'a> {
    pub(super) tools: &'a Tools,
    pub(super) poll: Poll,
    pub(super) worker: String,
    pub(super) who: Account,
    pub(super) correlation: CorrelationId,
    /// When the top of the list was last asked for.
    pub(super) glanced: Instant,
    /// How often that is done, in the middle of a long walk too.
    pub(super) every: Duration,
    pub(super) new: u64,
    pub(super) withdrawn: u64,
}

pub(super) async fn look(tools: &Tools, message: LookAtStars) -> Result<Looked, Failure> {
    let LookAtStars { poll, worker, cancel: _ } = message;
    let who = identify(tools, &poll, &worker).await?;
    let mut look = Look {
        tools,
        poll,
        worker,
        who,
        correlation: CorrelationId(Uuid::now_v7()),
        glanced: Instant::now(),
        every: every(tools),
        new: 0,
        withdrawn: 0,
    };
    look.lists(When::Before).await?;
    let found = look.work().await?;
    look.lists(When::Behind).await?;
    let Look { new, withdrawn, .. } = look;
    if new + withdrawn > 0 {
        tracing::info!(user = look.who.login, new, withdrawn, "stars changed");
    }
    Ok(Looked { found, new, withdrawn, next_in: every(tools) })
}

/// How often one user's stars are looked at.
fn every(tools: &Tools) -> Duration {
    let configured = tools.stars.poll_interval.unwrap_or(FULL_SCAN);
    stars::interval(configured, tools.stars.users.len(), tools.github.hourly_allowance())
}

/// Who the login is: asked once, believed by id from then on.
async fn identify(tools: &Tools, poll: &Poll, worker: &str) -> Result<Account, Failure> {
    if let Some((id, name)) = &poll.account {
        return Ok(Account { id: *id, login: name.clone() });
    }
    let login = poll.login.clone();
    let github = tools.github.urged(Urgency::Fresh);
    let known = tools.store.read(move |c| watched::id_of(c, &login)).await?;
    let account = match known {
        // A webhook has told: whoever has the login now need not be the one who was meant.
        Some(id) => github.account_of(&Account { id, login: poll.login.clone() }).await?,
        None => github.account_named(&poll.login).await?,
    };
    let (login, worker, its) = (poll.login.clone(), worker.to_owned(), account.clone());
    tools
        .store
        .write(move |c| {
            watched::remember(c, &login, its.id)?;
            polls::set_account(c, &login, &worker, its.id, &its.login)
        })
        .await?;
    Ok(account)
}

impl Look<'_> {
    async fn work(&mut self) -> Result<Found, Failure> {
        let due = self.poll.wants_scan || policy::is_due(self.poll.scanned_at, FULL_SCAN, Utc::now());
        let known = self.poll.known.clone();
        let counted = !policy::is_due(self.poll.counted_at, COUNTED.saturating_sub(self.every), Utc::now());
        let etag = self.poll.etag.clone().filter(|_| !due && counted && known.is_some());
        let Some((seen, etag)) = self.glance(etag.as_deref()).await? else { return Ok(Found::Unchanged) };
        match (stars::depth(known.as_ref(), &seen, due), known) {
            (Depth::Nothing, _) => {
                self.remember(&seen, etag).await?;
                Ok(Found::Unchanged)
            }
            (Depth::Everything, None) => self.scan(seen).await,
            (Depth::Everything, Some(known)) => {
                // What is new does not wait for the rest of a long list.
                self.newer(&known, 0).await?;
                self.scan(seen).await
            }
            (Depth::Newer, known) => {
                self.newer(&known.unwrap_or_default(), 0).await?;
                if self.is_explained(&seen).await? {
                    self.remember(&seen, etag).await?;
                    return Ok(Found::Newer);
                }
                self.scan(seen).await
            }
        }
    }

    /// The top of the list, if it is another one than that of `etag`.
    pub(super) async fn glance(&mut self, etag: Option<&str>) -> Result<Option<(Mark, Option<String>)>, Failure> {
        self.glanced = Instant::now();
        for again in [false, true] {
            let other = match self.github(Urgency::Fresh).newest_star(&self.who, etag).await {
                Ok(Starred::Unchanged { total: None }) => return Ok(None),
                // The count has changed though the top has not: all of it is asked for.
                Ok(Starred::Unchanged { total: Some(total) }) => {
                    let same = self.poll.known.as_ref().is_some_and(|it| it.total == total);
                    return if same { Ok(None) } else { Box::pin(self.glance(None)).await };
                }
                Ok(Starred::Top { mark, etag, owner }) => match owner {
                    Some(owner) if owner != self.who.id => stranger(&self.who),
                    _ => return Ok(Some((mark, etag))),
                },
                Err(error @ GithubError::NoUser(_)) => error,
                Err(error) => return Err(error.into()),
            };
            if again || !self.is_renamed().await? {
                return Err(other.into());
            }
        }
        Err(stranger(&self.who).into())
    }

    /// Asks what the account is called now; says whether that is another name.
    async fn is_renamed(&mut self) -> Result<bool, Failure> {
        let now = self.github(Urgency::Fresh).account_of(&self.who).await?;
        if now.login == self.who.login {
            return Ok(false);
        }
        tracing::info!(from = self.who.login, to = now.login, "a watched user has another login now");
        let (login, worker, its) = (self.poll.login.clone(), self.worker.clone(), now.clone());
        self.tools.store.write(move |c| polls::set_account(c, &login, &worker, its.id, &its.login)).await?;
        self.who = now;
        Ok(true)
    }

    /// Reads the list down to what was at its top when it looked like `known`.
    pub(super) async fn newer(&mut self, known: &Mark, scan: i64) -> Result<(), Failure> {
        let mut from = None;
        for _ in 0..MOST_PAGES {
            let page = self.page(Urgency::Fresh, from.as_ref()).await?;
            let all = page.entries.len();
            let above: Vec<_> = page.entries.into_iter().filter(|it| !known.is_above(it.star.at)).collect();
            // Older ones on the page: the end of what is new.
            let ended = above.len() < all;
            self.take(above, scan, Priority::FRESH).await?;
            match page.next {
                Some(next) if !ended => from = Some(next),
                _ => break,
            }
        }
        Ok(())
    }

    /// A page, tried again when it fails in a way that may pass.
    pub(super) async fn page(&self, urgency: Urgency, from: Option<&PageLink>) -> Result<StarPage, GithubError> {
        let mut tries = 1;
        loop {
            let error = match self.github(urgency).stars(&self.who, from).await {
                Ok(page) if page.owner.is_some_and(|it| it != self.who.id) => return Err(stranger(&self.who)),
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            if error.retry() != Retry::Backoff || tries >= PAGE_TRIES {
                return Err(error);
            }
            tokio::time::sleep(self.tools.rule.pause(tries, rand::random()).unwrap_or_default()).await;
            tries += 1;
        }
    }

    /// Whether what is on record is what GitHub counts.
    async fn is_explained(&self, seen: &Mark) -> Result<bool, Failure> {
        let recorded = self.recorded().await?;
        Ok(stars::is_explained(seen.total, recorded, self.poll.hidden))
    }

    /// Everything above what was known is dealt with: this is what is known now.
    pub(super) async fn remember(&self, seen: &Mark, etag: Option<String>) -> Result<(), Failure> {
        let (login, worker, seen) = (self.poll.login.clone(), self.worker.clone(), seen.clone());
        let set = move |c: &mut _| polls::set_known(c, &login, &worker, &seen, etag.as_deref(), Utc::now());
        self.held(self.tools.store.write(set).await?)
    }

    /// What a step that was not done means: the lease is somebody else's.
    pub(super) fn held(&self, done: bool) -> Result<(), Failure> {
        if done { Ok(()) } else { Err(Failure::called_off()) }
    }

    pub(super) fn github(&self, urgency: Urgency) -> GithubClient {
        self.tools.github.urged(urgency)
    }
}

/// The list that was read belongs to somebody else.
fn stranger(who: &Account) -> GithubError {
    GithubError::Malformed(format!("the stars of `{}` are those of another account", who.login))
}
