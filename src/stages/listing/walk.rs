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
/// Names in one message.
const MOST_NAMED: usize = 20;
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
        What::Names { names } => {
            walker.names(&names, &Filter::default()).await?;
            if let Some(failure) = walker.names_again(&Filter::default()).await? {
                return Err(failure);
            }
        }
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

    /// Asks for each name that is left by itself. One that nobody has, or that GitHub does not tell of for a reason
    /// of its own, is remembered and stops nothing.
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
            let (found, _) = self.described(some, filter, &mut walk).await?;
            walk.allowance = listing::allowance(&self.tools.github.standings());
            self.take(found, walk).await?;
        }
    }

    /// Asks once more for the names that GitHub would not tell of, and for none else. Gives the failure of those that
    /// it does not tell of now either, which are asked for when the walk goes on.
    pub(super) async fn names_again(&mut self, filter: &Filter) -> Result<Option<Failure>, Failure> {
        let mut waiting: Vec<RepositoryName> =
            self.listing.walk.doubtful.iter().filter_map(|it| it.parse().ok()).collect();
        let (mut still, mut why): (Vec<String>, Option<GithubError>) = (Vec::new(), None);
        while !waiting.is_empty() {
            let rest = waiting.split_off(waiting.len().min(NAMES));
            let mut walk = Walk { doubtful: Vec::new(), ..self.listing.walk.clone() };
            let (found, error) = self.described(waiting.iter().collect(), filter, &mut walk).await?;
            still.append(&mut walk.doubtful);
            why = why.or(error);
            walk.doubtful = still.iter().cloned().chain(rest.iter().map(ToString::to_string)).collect();
            // Where nothing came of it nothing is new, so that failures in a row stay in a row.
            if !found.is_empty() || walk != self.listing.walk {
                self.take(found, walk).await?;
            }
            waiting = rest;
        }
        Ok(why.map(|error| {
            let named = still.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
            let more = if still.len() > MOST_NAMED { " and others" } else { "" };
            Failure::new(error.code(), format!("{named}{more}: {error}; all other names are taken"), error.retry())
        }))
    }

    /// What these names stand for, and the first failure that is one name's own.
    async fn described(
        &self,
        names: Vec<&RepositoryName>,
        filter: &Filter,
        walk: &mut Walk,
    ) -> Result<(Vec<Repository>, Option<GithubError>), Failure> {
        let (mut found, mut first, mut told) = (Vec::with_capacity(names.len()), None, false);
        for name in names {
            let error = match self.github().listed_named(name).await {
                Ok(it) if filter.passes(&it) => {
                    found.push(it.repository);
                    told = true;
                    continue;
                }
                Ok(_) => {
                    told = true;
                    continue;
                }
                Err(error) => error,
            };
            if error.is_gone() {
                walk.missing.push(name.to_string());
            } else if self.tools.github.is_about_one(&error) {
                walk.doubtful.push(name.to_string());
                first = first.or(Some(error));
            } else {
                return Err(error.into());
            }
        }
        match first {
            // Nobody was told of: then it is GitHub that fails, not a name.
            Some(error @ GithubError::Server { .. }) if !told && walk.doubtful.len() > 1 => Err(error.into()),
            first => Ok((found, first)),
        }
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
