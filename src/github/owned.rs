//! The repositories that an account has or an installation covers, a page at a time.

use serde_json::Value;
use url::Url;

use super::app::LIST_REST;
use super::client::GithubClient;
use super::error::GithubError;
use super::exchange::{Principal, Terms};
use super::model::RepositoryBody;
use super::readers::Hint;
use super::stars::{LARGEST_PAGE, PageLink};
use crate::domain::event::Account;
use crate::domain::repository::RepositoryName;
use crate::domain::sources::Listed;

/// Which list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnedList {
    /// What a user owns: what is public, and all of it where one of the tokens is his.
    User(Account),
    /// What an organization owns, as far as the credential is shown it.
    Organization(String),
    /// What the App's installation on this account covers.
    Installation(String),
}

/// A page of such a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedPage {
    /// Its repositories.
    pub entries: Vec<Listed>,
    /// Entries that could not be understood.
    pub odd: u64,
    /// The page behind it.
    pub next: Option<PageLink>,
}

/// Where a list begins, who reads it, and whose it is.
struct Start {
    reader: Option<Principal>,
    login: String,
    first: Url,
}

impl GithubClient {
    /// A page, the oldest repository first: the first page, or the one that a page before leads to.
    ///
    /// # Errors
    /// [`GithubError::NoUser`] when there is no such account, [`GithubError::App`] when there is no such
    /// installation.
    pub async fn owned_page(&self, list: &OwnedList, from: Option<&PageLink>) -> Result<OwnedPage, GithubError> {
        let Start { reader, login, first } = self.start_of(list).await?;
        // A link may be older than this process. `/user/repos` is whoever asks: only for the account's own token.
        let is_own = |link: &Url| link.path() == self.exchange().url(&["user", "repos"]).path();
        let url = match from {
            Some(PageLink(url)) if reader.is_some() || !is_own(url) => url.clone(),
            _ => first,
        };
        let terms = Terms { etag: None, largest: LARGEST_PAGE, ..Terms::PLAIN };
        let answer = self.ask(reader, &login, url, terms).await?;
        let mut body: Value = answer.json()?;
        let values = match list {
            OwnedList::Installation(_) => body.get_mut("repositories").map(Value::take).unwrap_or_default(),
            OwnedList::User(_) | OwnedList::Organization(_) => body,
        };
        let Value::Array(values) = values else {
            return Err(GithubError::Malformed("a list of repositories is none".to_owned()));
        };
        let all = values.len();
        let entries: Vec<Listed> = values.into_iter().filter_map(listed).collect();
        let next = self.next_link(&answer)?;
        let odd = u64::try_from(all - entries.len()).unwrap_or(u64::MAX);
        Ok(OwnedPage { entries, odd, next })
    }

    async fn start_of(&self, list: &OwnedList) -> Result<Start, GithubError> {
        let sorted = [("sort", "created"), ("direction", "asc")];
        let (reader, login, path, query): (_, _, &[&str], &[(&str, &str)]) = match list {
            OwnedList::User(whose) => match self.own_token(whose).await? {
                Some(own) => {
                    let query = &[("affiliation", "owner"), ("sort", "created"), ("direction", "asc")];
                    (Some(own), &whose.login, &["user", "repos"], query)
                }
                None => (None, &whose.login, &["users", &whose.login, "repos"], &sorted),
            },
            OwnedList::Organization(login) => (None, login, &["orgs", login, "repos"], &sorted),
            OwnedList::Installation(login) => {
                (Some(self.installed_on(login).await?), login, &["installation", "repositories"], &[])
            }
        };
        let mut first = self.exchange().url(path);
        first.query_pairs_mut().extend_pairs(query).append_pair("per_page", "100");
        Ok(Start { reader, login: login.clone(), first })
    }

    /// The App's installation on an account.
    async fn installed_on(&self, login: &str) -> Result<Principal, GithubError> {
        let app = self.app().ok_or_else(|| {
            GithubError::Config(format!("the source `installation = \"{login}\"` needs an App: set github.app_id"))
        })?;
        let all = app.installations(self.exchange(), Some(LIST_REST)).await?;
        let its = all.iter().find(|it| it.is_of(login)).map(|it| Principal::Installation(it.id.0));
        its.ok_or_else(|| GithubError::App(format!("it is not installed on `{login}`, or suspended there")))
    }

    /// As [`Self::repository_named`], with what lists tell.
    ///
    /// # Errors
    /// As [`Self::repository_named`].
    pub async fn listed_named(&self, name: &RepositoryName) -> Result<Listed, GithubError> {
        let url = self.exchange().url(&["repos", name.owner(), name.name()]);
        let (repository, answer) = self.read_whole(url, Hint::Name(name)).await?;
        let (topics, language) = traits(&answer.json()?);
        Ok(Listed { repository, topics, language })
    }
}

fn listed(value: Value) -> Option<Listed> {
    let (topics, language) = traits(&value);
    let repository = serde_json::from_value::<RepositoryBody>(value).ok()?.try_into().ok()?;
    Some(Listed { repository, topics, language })
}

/// Topics and language; what is odd is none.
fn traits(value: &Value) -> (Vec<String>, Option<String>) {
    let topics = value.get("topics").and_then(Value::as_array).into_iter().flatten();
    let language = value.get("language").and_then(Value::as_str).map(str::to_owned);
    (topics.filter_map(|it| it.as_str().map(str::to_owned)).collect(), language)
}
