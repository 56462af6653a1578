//! How to read a repository by git: its addresses, the credential, and the pauses that git is told.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::client::GithubClient;
use super::error::GithubError;
use super::exchange::Principal;
use super::governors::GitPlace;
use super::readers::Hint;
use crate::domain::rate::{Limit, Resource};
use crate::domain::repository::RepositoryName;

impl GithubClient {
    /// The address that git reads from: `…/owner/name.git`, by https or ssh. Holds no credential.
    pub fn git_url(&self, name: &RepositoryName) -> Url {
        let mut url = self.inner.git.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(name.owner()).push(&format!("{}.git", name.name()));
        }
        url
    }

    /// The address of the wiki's repository, which need not be there: `…/owner/name.wiki.git`.
    pub fn wiki_url(&self, name: &RepositoryName) -> Url {
        let mut url = self.inner.git.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(name.owner()).push(&format!("{}.wiki.git", name.name()));
        }
        url
    }

    /// Which GitHub this is: the address that all its repositories lie below, without a slash at its end.
    pub fn instance(&self) -> String {
        // Whichever way git goes, it is the same GitHub.
        self.lfs_url(self.inner.git.clone()).as_str().trim_end_matches('/').to_owned()
    }

    /// The value of the `Authorization` header for reading `name` by git over HTTPS, or `None` without
    /// a credential or by SSH, which has keys. To be sent to the host of [`Self::git_url`] only. Good for at
    /// least five minutes (one, while GitHub mints no new token).
    ///
    /// # Errors
    /// [`GithubError`] when an App's token cannot be had; `RateLimited` while GitHub's git wants a pause.
    pub async fn git_authorization(&self, name: &RepositoryName) -> Result<Option<SecretString>, GithubError> {
        let exchange = &self.inner.exchange;
        exchange.governors().pause_left(self.reader_of(name).await?, Resource::Git, exchange.now())?;
        if self.inner.git.scheme() == "ssh" { Ok(None) } else { self.lfs_authorization(name).await }
    }

    /// Waits for the right to read `name` by git, one of the hundred that GitHub lets a credential have at once. To be
    /// held while it is read; who holds it may ask the API, which has places of its own.
    ///
    /// # Errors
    /// [`GithubError`] when the App's installations cannot be read.
    pub async fn git_place(&self, name: &RepositoryName) -> Result<GitPlace, GithubError> {
        Ok(self.exchange().governors().seat(self.reader_of(name).await?).await)
    }

    /// To be told when git was refused for its pace: nothing more is read by git with this credential before
    /// `after` has passed. REST goes on, which has limits of its own.
    ///
    /// # Errors
    /// [`GithubError`] when the App's installations cannot be read.
    pub async fn git_limited(&self, name: &RepositoryName, after: Duration) -> Result<(), GithubError> {
        let exchange = &self.inner.exchange;
        let limit = Limit::UsedUp(Some(after));
        let reader = match self.inner.credentials.git_reader(name) {
            Some(reader) if self.inner.git.scheme() != "ssh" => reader,
            _ => self.reader_of(name).await?,
        };
        exchange.governors().limited(reader, Resource::Git, limit, exchange.now());
        Ok(())
    }

    /// Whose limits reading `name` by git counts against.
    async fn reader_of(&self, name: &RepositoryName) -> Result<Principal, GithubError> {
        if self.inner.git.scheme() == "ssh" { Ok(Principal::Key) } else { self.principal_of(name).await }
    }

    /// Who reads `name` by HTTPS.
    async fn principal_of(&self, name: &RepositoryName) -> Result<Principal, GithubError> {
        let readers = self.readers(Hint::Name(name), Resource::Git, None).await?;
        Ok(readers.first().copied().unwrap_or(Principal::Anonymous))
    }

    /// Where LFS is asked: the address that git came to in the end or, when that is an SSH one, the same
    /// server by HTTPS.
    pub fn lfs_url(&self, git: Url) -> Url {
        if git.scheme() != "ssh" {
            return git;
        }
        let host = git.host_str().unwrap_or_default();
        let text = format!("https://{}{}", host.strip_prefix("ssh.").unwrap_or(host), git.path());
        text.parse().unwrap_or(git)
    }

    /// As [`Self::git_authorization`], for LFS, which goes by HTTPS whichever way git goes.
    ///
    /// # Errors
    /// As [`Self::git_authorization`].
    pub async fn lfs_authorization(&self, name: &RepositoryName) -> Result<Option<SecretString>, GithubError> {
        let all = &self.inner.credentials;
        let reader = self.principal_of(name).await?;
        all.reads_by_git(name, reader);
        match (reader, &all.app) {
            (Principal::Token(token), _) => Ok(all.tokens.get(token).map(|it| basic(&it.secret()))),
            (Principal::Installation(installation), Some(app)) => {
                let token = app.token(&self.inner.exchange, installation).await?;
                Ok(Some(basic(&token.secret)))
            }
            _ => Ok(None),
        }
    }

    /// To be told when git was refused with 401 although it sent [`Self::git_authorization`]: an installation's
    /// next token is a new one, and a token of the configuration is set aside.
    pub fn git_authorization_refused(&self, name: &RepositoryName) {
        let all = &self.inner.credentials;
        match (all.git_reader(name), &all.app) {
            (Some(Principal::Token(token)), _) => all.set_aside(token, self.now()),
            (Some(Principal::Installation(installation)), Some(app)) => app.forget_any(installation),
            _ => {}
        }
    }
}

fn basic(token: &SecretString) -> SecretString {
    let pair = STANDARD.encode(format!("x-access-token:{}", token.expose_secret()));
    SecretString::from(format!("Basic {pair}"))
}
