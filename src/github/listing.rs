//! The repositories of a list of stars, a page at a time.

use serde_json::Value;
use url::Url;

use super::client::GithubClient;
use super::error::GithubError;
use super::exchange::Terms;
use super::model::RepositoryBody;
use super::stars::{LARGEST_PAGE, PageLink, WITH_TIMES};
use crate::domain::event::Account;
use crate::domain::repository::Repository;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// Its repositories.
    pub repositories: Vec<Repository>,
    /// Entries that could not be understood.
    pub odd: u64,
    /// The page behind it.
    pub next: Option<PageLink>,
}

impl GithubClient {
    /// A page of the repositories that a user starred, the newest star first: the first page, or the one that a
    /// page before leads to.
    ///
    /// # Errors
    /// [`GithubError::NoUser`] when there is no such account.
    pub async fn starred_page(&self, whose: &Account, from: Option<&PageLink>) -> Result<ListPage, GithubError> {
        let (reader, first) = self.starred(whose, 100).await?;
        // A link may be older than this process. `/user/starred` is whoever asks: only for the account's own token.
        let is_own = |link: &Url| link.path() == self.exchange().url(&["user", "starred"]).path();
        let url = match from {
            Some(PageLink(url)) if reader.is_some() || !is_own(url) => url.clone(),
            _ => first,
        };
        let terms = Terms { etag: None, largest: LARGEST_PAGE, accept: Some(WITH_TIMES), ..Terms::PLAIN };
        let answer = self.ask(reader, &whose.login, url, terms).await?;
        let values: Vec<Value> = answer.json()?;
        let all = values.len();
        let repositories: Vec<Repository> = values.into_iter().filter_map(starred).collect();
        let next = self.next_link(&answer)?;
        let odd = u64::try_from(all - repositories.len()).unwrap_or(u64::MAX);
        Ok(ListPage { repositories, odd, next })
    }

    /// A page that was kept as text; `None` if it is none of this GitHub's.
    pub fn page_link(&self, text: &str) -> Option<PageLink> {
        Url::parse(text).ok().filter(|it| self.exchange().is_home(it)).map(PageLink)
    }
}

fn starred(mut value: Value) -> Option<Repository> {
    serde_json::from_value::<RepositoryBody>(value.get_mut("repo")?.take()).ok()?.try_into().ok()
}
