//! A user's stars: the cheap look at the top of the list, and its pages.
//!
//! Pages are followed by GitHub's own links, on the API's host only. An entry that cannot be understood is
//! counted and does not lose the others.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::app::linked;
use super::client::GithubClient;
use super::error::GithubError;
use super::exchange::{Answer, Principal, Terms};
use super::model::AccountBody;
use super::readers::Hint;
use crate::domain::event::Account;
use crate::domain::ids::{AccountId, GithubId};
use crate::domain::repository::RepositoryName;
use crate::domain::stars::{Mark, Star};

/// Gives the time of each star.
pub(super) const WITH_TIMES: &str = "application/vnd.github.star+json";
/// A page of a hundred repositories has some 700 KiB.
pub(super) const LARGEST_PAGE: usize = 8 << 20;

/// Where the next page is; good for requests of the same client only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageLink(pub(super) Url);

impl PageLink {
    /// As text, to be kept; [`GithubClient::page_link`] reads it back.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// A star as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StarEntry {
    /// What, and when.
    pub star: Star,
    /// What the repository is called now; `None` for a name that cannot be.
    pub name: Option<RepositoryName>,
}

/// A page of stars, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StarPage {
    /// The stars.
    pub entries: Vec<StarEntry>,
    /// Entries that could not be understood.
    pub odd: u64,
    /// The page behind it.
    pub next: Option<PageLink>,
    /// The account that the links name: another one than expected has taken the login over.
    pub owner: Option<AccountId>,
}

/// What the top of the list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Starred {
    /// The same as the answer with that `ETag`. Costs nothing of the allowance of a token.
    Unchanged {
        /// How many there are, should GitHub tell even so.
        total: Option<u64>,
    },
    /// Its newest star and how many there are.
    Top {
        /// Both.
        mark: Mark,
        /// The answer's `ETag`.
        etag: Option<String>,
        /// As in [`StarPage`].
        owner: Option<AccountId>,
    },
}

#[derive(Deserialize)]
struct UserBody {
    id: i64,
    login: String,
}

#[derive(Deserialize)]
struct StarBody {
    starred_at: DateTime<Utc>,
    repo: RepoBody,
}

#[derive(Deserialize)]
struct RepoBody {
    id: i64,
    name: String,
    owner: AccountBody,
}

impl GithubClient {
    /// The account that has a login now.
    ///
    /// # Errors
    /// [`GithubError::NoUser`] when nobody has it.
    pub async fn account_named(&self, login: &str) -> Result<Account, GithubError> {
        self.account(self.exchange().url(&["users", login]), login).await
    }

    /// What an account is called now.
    ///
    /// # Errors
    /// [`GithubError::NoUser`] when it is not there any more.
    pub async fn account_of(&self, known: &Account) -> Result<Account, GithubError> {
        self.account(self.exchange().url(&["user", &known.id.to_string()]), &known.login).await
    }

    async fn account(&self, url: Url, login: &str) -> Result<Account, GithubError> {
        let body: UserBody = self.ask(None, login, url, Terms::PLAIN).await?.json()?;
        Ok(Account { id: AccountId(body.id), login: body.login })
    }

    /// Looks at the top of the list of a user's stars: one request for one entry. `etag` is that of the last
    /// answer.
    ///
    /// # Errors
    /// [`GithubError::NoUser`] when nobody has that login; a list that makes no sense is `Malformed`.
    pub async fn newest_star(&self, whose: &Account, etag: Option<&str>) -> Result<Starred, GithubError> {
        let terms = Terms { etag, largest: LARGEST_PAGE, accept: Some(WITH_TIMES), ..Terms::PLAIN };
        let (reader, url) = self.starred(whose, 1).await?;
        let answer = self.ask(reader, &whose.login, url, terms).await?;
        let etag = answer.header("etag").map(str::to_owned);
        if answer.status == 304 {
            return Ok(Starred::Unchanged { total: linked(&answer, "last").as_ref().and_then(page_of) });
        }
        let page = self.page(&answer)?;
        let newest = page.entries.first().map(|it| it.star);
        let total = match linked(&answer, "last") {
            // With one star a page, the last page is the number of stars.
            Some(last) => page_of(&last).ok_or_else(|| GithubError::Malformed("a last page without number".into()))?,
            None => u64::from(newest.is_some()) + page.odd,
        };
        Ok(Starred::Top { mark: Mark { newest, total }, etag, owner: page.owner })
    }

    /// A page of a user's stars, newest first: the first one, or the one that a page before leads to.
    ///
    /// # Errors
    /// As [`Self::newest_star`].
    pub async fn stars(&self, whose: &Account, from: Option<&PageLink>) -> Result<StarPage, GithubError> {
        let (reader, first) = self.starred(whose, 100).await?;
        let url = from.map_or(first, |PageLink(url)| url.clone());
        let terms = Terms { etag: None, largest: LARGEST_PAGE, accept: Some(WITH_TIMES), ..Terms::PLAIN };
        self.page(&self.ask(reader, &whose.login, url, terms).await?)
    }

    /// Who reads the list, and where. A token's own user is shown more of it: private repositories.
    pub(super) async fn starred(&self, whose: &Account, size: u8) -> Result<(Option<Principal>, Url), GithubError> {
        let own = self.own_token(whose).await?;
        let mut url = match own {
            Some(_) => self.exchange().url(&["user", "starred"]),
            None => self.exchange().url(&["users", &whose.login, "starred"]),
        };
        let size = size.to_string();
        url.query_pairs_mut().extend_pairs([("sort", "created"), ("direction", "desc"), ("per_page", size.as_str())]);
        Ok((own, url))
    }

    /// Whether a token is this account's own, so that its list shows private repositories too.
    pub async fn is_own(&self, whose: &Account) -> bool {
        matches!(self.own_token(whose).await, Ok(Some(_)))
    }

    /// The token that is this account's own; one that does not tell is not. A token that cannot be asked fails
    /// the look: read as anybody the list would lack what is private, as if it had been withdrawn.
    pub(super) async fn own_token(&self, whose: &Account) -> Result<Option<Principal>, GithubError> {
        for (place, token) in self.inner.credentials.tokens.iter().enumerate() {
            let reader = Principal::Token(place);
            let whoami = || async {
                let url = self.exchange().url(&["user"]);
                match self.get_as(reader, url, Terms::PLAIN).await {
                    Ok(answer) => Ok(Some(AccountId(answer.json::<UserBody>()?.id))),
                    Err(GithubError::Forbidden(_) | GithubError::NotFound) => Ok(None),
                    Err(error) => Err(error),
                }
            };
            if *token.own.get_or_try_init(whoami).await? == Some(whose.id) {
                return Ok(Some(reader));
            }
        }
        Ok(None)
    }

    /// One request about a user: with the token that was chosen for it, or any.
    pub(super) async fn ask(
        &self,
        reader: Option<Principal>,
        login: &str,
        url: Url,
        terms: Terms<'_>,
    ) -> Result<Answer, GithubError> {
        let answer = match reader {
            Some(reader) => self.get_as(reader, url, terms).await,
            None => self.seek(Hint::Owner(login), &url, terms).await.map(|it| it.2),
        };
        answer.map_err(|error| match error {
            GithubError::NotFound => GithubError::NoUser(login.to_owned()),
            other => other,
        })
    }

    fn page(&self, answer: &Answer) -> Result<StarPage, GithubError> {
        let values: Vec<Value> = answer.json()?;
        let all = values.len();
        let entries: Vec<StarEntry> = values.into_iter().filter_map(entry).collect();
        let odd = u64::try_from(all - entries.len()).unwrap_or(u64::MAX);
        let next = self.next_link(answer)?;
        let owner = next.as_ref().map(|it| &it.0).or(linked(answer, "prev").as_ref()).and_then(owner_of);
        Ok(StarPage { entries, odd, next, owner })
    }

    /// The page behind this one, which must be of this GitHub.
    pub(super) fn next_link(&self, answer: &Answer) -> Result<Option<PageLink>, GithubError> {
        match linked(answer, "next") {
            Some(next) if !self.exchange().is_home(&next) => {
                Err(GithubError::RedirectElsewhere("the next page".to_owned()))
            }
            next => Ok(next.map(PageLink)),
        }
    }
}

fn entry(value: Value) -> Option<StarEntry> {
    let StarBody { starred_at, repo } = serde_json::from_value(value).ok()?;
    let name = RepositoryName::new(&repo.owner.login, &repo.name).ok();
    Some(StarEntry { star: Star { repository: GithubId(repo.id), at: starred_at }, name })
}

/// The number of the page that an address leads to.
fn page_of(url: &Url) -> Option<u64> {
    url.query_pairs().find(|(name, _)| name == "page")?.1.parse().ok()
}

/// The account in `…/user/{id}/starred`.
fn owner_of(url: &Url) -> Option<AccountId> {
    let segments: Vec<&str> = url.path_segments()?.collect();
    match segments.as_slice() {
        [.., "user", id, "starred"] => id.parse().ok().map(AccountId),
        _ => None,
    }
}
