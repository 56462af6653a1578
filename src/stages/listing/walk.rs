//! One walk: page after page, each committed with the place where it goes on.

use chrono::Utc;

use super::Tools;
use crate::domain::event::Account;
use crate::domain::listing::{self, Walk, What};
use crate::domain::rate::Urgency;
use crate::domain::repository::{Repository, RepositoryName};
use crate::domain::retry::Retry;
use crate::domain::sources::Filter;
use crate::github::{GithubClient, GithubError, ListPage, OwnedList, OwnedPage, PageLink, Starred};
use crate::stages::failure::Failure;
use crate::store::listings::{self, Listing};

/// Tries of one page that fails in a way that may pass; the walk goes on later after that.
const PAGE_TRIES: u32 = 3;
/// Pages of one walk: far more than anybody has.
pub(super) const MOST_PAGES: u64 = 5_000;
/// Names that make a page.
const NAMES: usize = 20;
/// A list of stars that changes while it is read is read so often.
const MOST_ROUNDS: u32 = 3;

/// A walk while it lasts.
pub(super) struct Walker<'a> {
    pub(super) tools: &'a Tools,
    pub(super) listing: Listing,
    pub(super) worker: String,
}

pub(super) async fn walk(tools: &Tools, listing: Listing, worker: String) -> Result<(), Failure> {
    let mut walker = Walker { tools, listing, worker };
    match walker.listing.wanted.clone() {
        What::Names { names } => walker.names(&names, &Filter::default()).await?,
        What::Declared { declaration } => {
            walker.declared(&declaration).await?;
            return walker.begin_anew().await;
        }
        What::Stars { user } => {
            let whose = walker.identify(&user).await?;
            walker.stars(&whose).await?;
            while !walker.is_settled(&whose).await? {
                walker.stars(&whose).await?;
            }
        }
    }
    let (id, worker) = (walker.listing.id.clone(), walker.worker.clone());
    walker.held(tools.store.write(move |c| listings::end(c, &id, &worker, Utc::now())).await?)
}

impl Walker<'_> {
    /// Reads what is left of a list of stars.
    async fn stars(&mut self, whose: &Account) -> Result<(), Failure> {
        for _ in 0..MOST_PAGES {
            let mut walk = self.listing.walk.clone();
            if walk.pages > 0 && walk.next.is_none() {
                return Ok(());
            }
            let from = walk.next.as_deref().and_then(|it| self.tools.github.page_link(it));
            let page = self.tried(|| self.starred_page(whose, from.as_ref())).await?;
            walk.odd += page.odd;
            walk.pages += 1;
            walk.allowance = listing::allowance(&self.tools.github.standings());
            walk.next = page.next.map(|it| it.as_str().to_owned());
            self.take(page.repositories, walk).await?;
        }
        Ok(())
    }

    async fn starred_page(&self, whose: &Account, from: Option<&PageLink>) -> Result<ListPage, GithubError> {
        self.github().starred_page(whose, from).await
    }

    pub(super) async fn owned_page(&self, of: &OwnedList, from: Option<&PageLink>) -> Result<OwnedPage, GithubError> {
        self.github().owned_page(of, from).await
    }

    /// A page, tried again when it fails in a way that may pass.
    pub(super) async fn tried<T, F>(&self, ask: impl Fn() -> F) -> Result<T, GithubError>
    where
        F: Future<Output = Result<T, GithubError>>,
    {
        let mut tries = 1;
        loop {
            let error = match ask().await {
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

    /// Asks for each name that is left by itself. One that nobody has is remembered and stops nothing.
    pub(super) async fn names(&mut self, names: &[RepositoryName], filter: &Filter) -> Result<(), Failure> {
        loop {
            let mut walk = self.listing.walk.clone();
            let begin = usize::try_from(walk.pages).unwrap_or(usize::MAX).saturating_mul(NAMES);
            let some: Vec<&RepositoryName> = names.iter().skip(begin).take(NAMES).collect();
            if some.is_empty() {
                return Ok(());
            }
            walk.total = u64::try_from(names.len()).ok();
            walk.pages += 1;
            let found = self.described(some, filter, &mut walk).await?;
            walk.allowance = listing::allowance(&self.tools.github.standings());
            self.take(found, walk).await?;
        }
    }

    async fn described(
        &self,
        names: Vec<&RepositoryName>,
        filter: &Filter,
        walk: &mut Walk,
    ) -> Result<Vec<Repository>, Failure> {
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            match self.github().listed_named(name).await {
                Ok(it) if filter.passes(&it) => found.push(it.repository),
                Ok(_) => {}
                Err(error) if error.is_gone() => walk.missing.push(name.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    /// Whose the list is, and what stands at its top: asked once a walk.
    async fn identify(&mut self, login: &str) -> Result<Account, Failure> {
        if let Some((id, login)) = self.listing.walk.account.clone() {
            return Ok(Account { id, login });
        }
        let whose = self.github().account_named(login).await?;
        let (total, top) = self.top(&whose).await?;
        self.remember(Walk { account: Some((whose.id, whose.login.clone())), total, top, ..Walk::default() }).await?;
        Ok(whose)
    }

    /// How many stars there are, and when the newest was given.
    async fn top(&self, whose: &Account) -> Result<(Option<u64>, Option<i64>), Failure> {
        Ok(match self.github().newest_star(whose, None).await? {
            Starred::Top { mark, .. } => (Some(mark.total), mark.newest.map(|it| it.at.timestamp())),
            Starred::Unchanged { total } => (total, self.listing.walk.top),
        })
    }

    /// Whether what was read is all of it. A star that was taken back meanwhile may have moved another one to a
    /// page that was read already: the list is read again then.
    async fn is_settled(&mut self, whose: &Account) -> Result<bool, Failure> {
        let walk = &self.listing.walk;
        let (total, top) = self.top(whose).await?;
        if (total, top) == (walk.total, walk.top) || walk.rounds + 1 >= MOST_ROUNDS {
            return Ok(true);
        }
        let rounds = walk.rounds + 1;
        self.remember(Walk { account: walk.account.clone(), total, top, rounds, ..Walk::default() }).await?;
        Ok(false)
    }

    /// The whole source was read; its next walk begins at the beginning.
    async fn begin_anew(&self) -> Result<(), Failure> {
        let (id, worker) = (self.listing.id.clone(), self.worker.clone());
        let ended = move |c: &mut _| {
            listings::rewind(c, &id, &worker)?;
            listings::end(c, &id, &worker, Utc::now())
        };
        self.held(self.tools.store.write(ended).await?)
    }

    /// Where the walk goes on from now.
    pub(super) async fn remember(&mut self, walk: Walk) -> Result<(), Failure> {
        let (id, worker, kept) = (self.listing.id.clone(), self.worker.clone(), walk.clone());
        self.held(self.tools.store.write(move |c| listings::set_walk(c, &id, &worker, &kept)).await?)?;
        self.listing.walk = walk;
        Ok(())
    }

    /// What a step that was not done means: the lease is somebody else's.
    pub(super) fn held(&self, done: bool) -> Result<(), Failure> {
        if done { Ok(()) } else { Err(Failure::called_off()) }
    }

    /// As one of many: whatever is fresh goes first.
    pub(super) fn github(&self) -> GithubClient {
        self.tools.github.urged(Urgency::Routine)
    }
}
