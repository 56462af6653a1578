//! The client: what a repository is, by id or by name, and how to read it by git.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use url::Url;

use super::credentials::{self, Credentials};
use super::error::GithubError;
use super::exchange::{Answer, Exchange, Pass, Principal, Terms};
use super::governors::Governors;
use super::model::RepositoryBody;
use super::readers::Hint;
use crate::config::github::Github;
use crate::domain::ids::GithubId;
use crate::domain::rate::Urgency;
use crate::domain::repository::{Repository, RepositoryName};
use crate::telemetry::metrics::Metrics;

/// What time it is; tests hand in their own.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// A probe's answer is good for so long: `/readyz` is open to everybody and must not be a way to make
/// starkeep knock on GitHub's door at will.
const PROBE_LIFE: TimeDelta = TimeDelta::seconds(15);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// GitHub's REST, as far as starkeep needs it. Cloning shares connections, tokens and limits.
#[derive(Clone)]
pub struct GithubClient {
    pub(super) inner: Arc<Inner>,
    urgency: Urgency,
}

pub(super) struct Inner {
    pub(super) exchange: Exchange,
    pub(super) git: Url,
    pub(super) credentials: Credentials,
    probed: tokio::sync::Mutex<Option<(DateTime<Utc>, Reachability)>>,
}

/// How GitHub answers at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reachability {
    /// It answers, and takes the credential.
    Reachable,
    /// It answers, and the limit is used up for so long.
    RateLimited(Duration),
    /// It answers, and refuses the credential or the App; says why.
    Refused(String),
    /// It does not answer, or not as GitHub would; says why.
    Unreachable(String),
}

impl Reachability {
    /// Whether work can be done now.
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Reachable)
    }
}

impl fmt::Display for Reachability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reachable => f.write_str("reachable"),
            Self::RateLimited(after) => write!(f, "rate limit used up, {} s left", after.as_secs()),
            Self::Refused(text) | Self::Unreachable(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for GithubClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inner, urgency } = self;
        let Inner { exchange, git, credentials, probed: _ } = &**inner;
        f.debug_struct("GithubClient")
            .field("api", &exchange.url(&[]).as_str())
            .field("git", &git.as_str())
            .field("tokens", &credentials.tokens.len())
            .field("app", &credentials.app.is_some())
            .field("urgency", urgency)
            .finish()
    }
}

impl GithubClient {
    /// Prepares a client; nothing is sent.
    ///
    /// # Errors
    /// [`GithubError::Config`] for an address or a key that cannot work.
    pub fn new(config: &Github, metrics: &Metrics) -> Result<Self, GithubError> {
        Self::with_clock(config, metrics, Arc::new(Utc::now))
    }

    /// The same with a clock of one's own, which decides when tokens, lists and limits run out.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_clock(config: &Github, metrics: &Metrics, clock: Clock) -> Result<Self, GithubError> {
        let web = |url: &&Url| url.scheme() != "ssh";
        let git = Some(&config.git_url).filter(web).map(|it| ("github.git_url", it));
        for (key, url) in [("github.api_url", &config.api_url)].into_iter().chain(git) {
            if let Some(problem) = url_problem(url, config.insecure_http) {
                return Err(GithubError::Config(format!("{key}: {problem}")));
            }
        }
        let credentials = Credentials::new(config, metrics)?;
        let governors = Governors::new(credentials.tokens.iter().map(credentials::Personal::secret), metrics.clone());
        let exchange = Exchange::new(config.api_url.clone(), governors, metrics.clone(), clock)?;
        let (git, probed) = (config.git_url.clone(), tokio::sync::Mutex::default());
        let inner = Inner { exchange, git, credentials, probed };
        Ok(Self { inner: Arc::new(inner), urgency: Urgency::Routine })
    }

    /// Takes over tokens and the App's key that were changed where they are kept; the number of tokens, whose they
    /// are and which App it is stay as they were at the start.
    ///
    /// # Errors
    /// [`GithubError::Config`] for a key that cannot sign; the one before stays in use.
    pub fn renew(&self, config: &Github) -> Result<(), GithubError> {
        self.inner.credentials.renew(config)
    }

    /// The same client, whose requests are made for the sake of something else from now on; routine work
    /// without this.
    #[must_use]
    pub fn urged(&self, urgency: Urgency) -> Self {
        Self { inner: Arc::clone(&self.inner), urgency }
    }

    /// A repository by its identity: `GET /repositories/{id}`. Survives renames and transfers.
    ///
    /// # Errors
    /// [`GithubError`]; with an App, `NotFound` only after every installation was asked.
    pub async fn repository(&self, id: GithubId) -> Result<Repository, GithubError> {
        self.repository_of(id, None).await
    }

    /// The same for one that was last seen with this owner, which tells an App whom to ask first and, if
    /// nobody sees it, whether somebody could who is suspended.
    ///
    /// # Errors
    /// As [`Self::repository`], and [`GithubError::Suspended`]; [`GithubError::OwnerGone`] where the
    /// owner's account is not there any more either.
    pub async fn repository_of(&self, id: GithubId, owner: Option<&str>) -> Result<Repository, GithubError> {
        let url = self.inner.exchange.url(&["repositories", &id.to_string()]);
        let found = match (self.read(url, Hint::Id(id, owner)).await, owner) {
            (Err(GithubError::NotFound), Some(owner)) => return Err(self.without_owner(owner).await),
            (found, _) => found?,
        };
        if found.id != id {
            return Err(GithubError::Malformed(format!("asked for repository {id}, it told of {}", found.id)));
        }
        Ok(found)
    }

    /// Why a repository is not to be found. What cannot be told now is left at that. An account is asked for by its
    /// number, as far as this process has heard of it: by its login one that was renamed would look like one that is
    /// gone.
    async fn without_owner(&self, owner: &str) -> GithubError {
        let asked = match self.inner.credentials.owner(owner) {
            Some(known) => self.account_of(&known).await,
            None => self.account_named(owner).await,
        };
        match asked {
            Err(GithubError::NoUser(_)) => GithubError::OwnerGone(owner.to_owned()),
            Ok(_) | Err(_) => GithubError::NotFound,
        }
    }

    /// A repository by its name at present or before: `GET /repos/{owner}/{name}`, following the
    /// redirect of a renamed one on the API's own host. The answer's name may differ, and an old name
    /// may belong to another repository by now: compare ids.
    ///
    /// # Errors
    /// [`GithubError`]; with an App, `NotFound` only after every installation was asked.
    pub async fn repository_named(&self, name: &RepositoryName) -> Result<Repository, GithubError> {
        let url = self.inner.exchange.url(&["repos", name.owner(), name.name()]);
        self.read(url, Hint::Name(name)).await
    }

    /// Whether there is any credential: without one GitHub tells of one repository at a time only.
    pub fn has_credential(&self) -> bool {
        self.inner.credentials.any()
    }

    /// How GitHub answers at present; asked at most every 15 s. Costs none of the limit.
    pub async fn reachable(&self) -> Reachability {
        let mut probed = self.inner.probed.lock().await;
        let now = self.inner.exchange.now();
        if let Some((_, known)) = probed.as_ref().filter(|(at, _)| now - *at < PROBE_LIFE) {
            return known.clone();
        }
        let found = match tokio::time::timeout(PROBE_TIMEOUT, self.probe()).await {
            Ok(Ok(())) => Reachability::Reachable,
            Ok(Err(GithubError::RateLimited { after })) => Reachability::RateLimited(after),
            Ok(Err(error @ (GithubError::Unauthorized(_) | GithubError::App(_) | GithubError::Forbidden(_)))) => {
                Reachability::Refused(error.to_string())
            }
            Ok(Err(error)) => Reachability::Unreachable(error.to_string()),
            Err(_) => Reachability::Unreachable(format!("no answer within {} s", PROBE_TIMEOUT.as_secs())),
        };
        *probed = Some((now, found.clone()));
        found
    }

    async fn probe(&self) -> Result<(), GithubError> {
        let (exchange, all) = (&self.inner.exchange, &self.inner.credentials);
        let asked = async |reader: Principal| {
            let pass = self.pass_of(reader).await?.with(Urgency::Free);
            match exchange.get(exchange.url(&["rate_limit"]), &pass).await {
                // An Enterprise Server without limits has no such address, and says so as GitHub does.
                Ok(_) | Err(GithubError::NotFound) => Ok(()),
                Err(error) => Err(error),
            }
        };
        let mut failure = None;
        for token in 0..all.tokens.len() {
            let done = asked(Principal::Token(token)).await;
            self.note(Principal::Token(token), done.as_ref().err());
            match done {
                Err(error @ GithubError::Unauthorized(_)) => failure = Some(error),
                other => return other,
            }
        }
        match (&all.app, failure) {
            (Some(app), _) if !app.installations(exchange, None).await?.is_empty() => Ok(()),
            (Some(_), _) => Err(GithubError::App("it is installed nowhere; install it on an account".to_owned())),
            (None, Some(failure)) => Err(failure),
            (None, None) => asked(Principal::Anonymous).await,
        }
    }

    async fn read(&self, url: Url, hint: Hint<'_>) -> Result<Repository, GithubError> {
        Ok(self.read_whole(url, hint).await?.0)
    }

    /// A repository, and all that was told of it.
    pub(super) async fn read_whole(&self, url: Url, hint: Hint<'_>) -> Result<(Repository, Answer), GithubError> {
        let (reader, first, answer) = match (self.seek(hint, &url, Terms::PLAIN).await, &self.inner.credentials.app) {
            (Err(GithubError::NotFound), Some(app)) => {
                let blind = match hint.owner() {
                    Some(owner) => app.blind_to(owner).await,
                    None => None,
                };
                return Err(blind.unwrap_or(GithubError::NotFound));
            }
            (sought, _) => sought?,
        };
        let body: RepositoryBody = answer.json()?;
        if let Some(owner) = body.owner() {
            self.inner.credentials.know_owner(owner);
        }
        let found: Repository = body.try_into()?;
        self.inner.credentials.remember(found.id, &found.name, reader, found.private || !first);
        Ok((found, answer))
    }

    /// What time it is.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.inner.exchange.now()
    }

    /// The address of something below a repository, which is named by its identity.
    pub(super) fn below(&self, id: GithubId, path: &[&str]) -> Url {
        let id = id.to_string();
        self.inner.exchange.url(&[&["repositories", id.as_str()], path].concat())
    }

    pub(super) fn exchange(&self) -> &Exchange {
        &self.inner.exchange
    }

    /// The base of GitHub's pages: that of git's addresses, unless these are SSH ones.
    pub fn pages(&self) -> Url {
        let (git, mut api) = (&self.inner.git, self.inner.exchange.url(&[]));
        if git.scheme() != "ssh" {
            return git.clone();
        }
        let host = api.host_str().unwrap_or_default();
        let host = host.strip_prefix("api.").unwrap_or(host).to_owned();
        // A host that was part of a legal address is a legal one.
        let _legal = api.set_host(Some(&host));
        api.set_path("/");
        api
    }

    /// The credential for things below a repository.
    pub(super) async fn pass_below(&self, id: GithubId) -> Result<Pass, GithubError> {
        self.pass_of(self.reader_below(id).await?).await
    }

    /// No credential, for the sake of what this client is used for.
    pub(super) fn anonymous(&self) -> Pass {
        Pass::anonymous().with(self.urgency)
    }

    /// A token, for the sake of what this client is used for.
    pub(super) fn bearer(&self, principal: Principal, token: &SecretString) -> Result<Pass, GithubError> {
        Ok(Pass::bearer(principal, token)?.with(self.urgency))
    }

    /// GET of something below a repository that is known, with the credential that showed it.
    pub(super) async fn get_below(&self, id: GithubId, url: Url, terms: Terms<'_>) -> Result<Answer, GithubError> {
        self.get_as(self.reader_below(id).await?, url, terms).await
    }
}

/// Why an address cannot be used; `None` if it can.
fn url_problem(url: &Url, insecure_http: bool) -> Option<&'static str> {
    let is_loopback = match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => return Some("it names no host"),
    };
    match url.scheme() {
        "https" => {}
        "http" if is_loopback || insecure_http => {}
        "http" => return Some("plain http is for loopback addresses; use https, or set github.insecure_http"),
        _ => return Some("it must be an https address"),
    }
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    (!bare).then_some("it must hold no user, password or query")
}
