//! The client: is OneDev there, which version, and its projects one call at a time.
//!
//! The calls here do what OneDev's do; the rules of mirroring are in `projects`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;
use url::Url;

use super::error::OnedevError;
use super::exchange::{Answer, Call, Exchange};
use super::model::{Project, Version, new_project};
use crate::config::onedev::Onedev;
use crate::domain::ids::ProjectId;
use crate::domain::naming::ProjectPath;
use crate::telemetry::metrics::Metrics;

/// A probe's answer is good for so long: `/readyz` is open to everybody and must not be a way to make
/// starkeep knock on OneDev's door at will.
const PROBE_LIFE: Duration = Duration::from_secs(5);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Projects in one page; who is no admin gets no more than 100.
const PAGE: &str = "100";

/// OneDev's REST, as far as starkeep needs it. Cloning shares connections.
#[derive(Clone)]
pub struct OnedevClient {
    inner: Arc<Inner>,
}

struct Inner {
    exchange: Exchange,
    /// `onedev.ssh_url`.
    ssh: Option<Url>,
    root: ProjectPath,
    reader_role: OnceCell<i64>,
    probed: Mutex<Option<(Instant, Result<Version, OnedevError>)>>,
}

impl fmt::Debug for OnedevClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { exchange, ssh, root, reader_role: _, probed: _ } = &*self.inner;
        f.debug_struct("OnedevClient")
            .field("url", &exchange.url([]).as_str())
            .field("ssh", ssh)
            .field("root", root)
            .finish()
    }
}

fn bearer(token: &SecretString) -> Result<HeaderValue, OnedevError> {
    let unfit = |_| OnedevError::Config("onedev.token holds characters that no header can carry".to_owned());
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(unfit)?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

impl OnedevClient {
    /// Prepares a client; nothing is sent.
    ///
    /// # Errors
    /// [`OnedevError::Config`] where address, token or root are missing or cannot work, with the mend.
    pub fn new(config: &Onedev, metrics: &Metrics) -> Result<Self, OnedevError> {
        let wrong = |text: String| OnedevError::Config(text);
        let url = config.url.clone().ok_or_else(|| {
            wrong("onedev.url is not set; give OneDev's address, as in https://onedev.example.com".to_owned())
        })?;
        if let Some(problem) = url_problem(&url, config.insecure_http) {
            return Err(wrong(format!("onedev.url: {problem}")));
        }
        let token = config.token.clone().ok_or_else(|| {
            wrong(format!(
                "onedev.token is not set; make an access token with the role Project Owner on the project `{}`",
                config.root
            ))
        })?;
        let root = config.root.parse().map_err(|error| wrong(format!("onedev.root: {error}")))?;
        let exchange = Exchange::new(url, bearer(&token)?, metrics.clone())?;
        let (ssh, reader_role, probed) = (config.ssh_url.clone(), OnceCell::new(), Mutex::default());
        let inner = Inner { exchange, ssh, root, reader_role, probed };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The project that all mirrors lie below.
    pub fn root(&self) -> &ProjectPath {
        &self.inner.root
    }

    /// The address that git pushes to: by `onedev.ssh_url` if there is one, else [`Self::git_url`].
    pub fn push_url(&self, path: &ProjectPath) -> Url {
        let Some(mut url) = self.inner.ssh.clone() else { return self.git_url(path) };
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.segments());
        }
        url.set_path(&format!("{}.git", url.path()));
        url
    }

    /// The address under which git and LFS go by HTTP: `…/path.git`. Holds no credential.
    pub fn git_url(&self, path: &ProjectPath) -> Url {
        let mut url = self.inner.exchange.url(path.segments());
        url.set_path(&format!("{}.git", url.path()));
        url
    }

    /// The address of a project's page, for people.
    pub fn page_url(&self, path: &ProjectPath) -> Url {
        self.inner.exchange.url(path.segments())
    }

    /// The value of the `Authorization` header for git and LFS. To be sent to OneDev's host only.
    pub fn git_authorization(&self) -> SecretString {
        // Made of a text, see `bearer`.
        SecretString::from(self.inner.exchange.authorization().to_str().unwrap_or_default().to_owned())
    }

    /// Takes over a token that was changed where it is kept.
    ///
    /// # Errors
    /// [`OnedevError::Config`] for one that no header can carry; the one before stays in use.
    pub fn renew(&self, config: &Onedev) -> Result<(), OnedevError> {
        if let Some(token) = &config.token {
            self.inner.exchange.authorize(bearer(token)?);
        }
        Ok(())
    }

    /// Whether OneDev takes requests now; asks nothing that needs a credential.
    ///
    /// # Errors
    /// [`OnedevError::Booting`] or [`OnedevError::Unreachable`] while it does not.
    pub async fn ready(&self) -> Result<(), OnedevError> {
        let probe = Call::get(self.inner.exchange.url(["readyz"])).anonymous();
        let answer = self.inner.exchange.ask(probe).await?;
        match answer.status {
            200 if answer.text().is_ok_and(|it| it.eq_ignore_ascii_case("ok")) => Ok(()),
            502..=504 => Err(OnedevError::Booting(format!("its probe answers {}", answer.status))),
            // Before 16.5.1 there is no such probe; the version call tells as much.
            _ => self.version().await.map(|_| ()),
        }
    }

    /// The server's version. Needs the token unless OneDev lets everybody in.
    ///
    /// # Errors
    /// [`OnedevError`].
    pub async fn version(&self) -> Result<Version, OnedevError> {
        let answer = self.send(Call::get(self.inner.exchange.api(["version", "server"]))).await?;
        let text = answer.text()?;
        Version::parse(text).ok_or_else(|| OnedevError::Malformed("a version without numbers".to_owned()))
    }

    /// Ready, token accepted and version known: what must hold before anything is read out of a 404.
    ///
    /// # Errors
    /// [`OnedevError`]; [`OnedevError::TooOld`] below 12.0.10.
    pub async fn check(&self) -> Result<Version, OnedevError> {
        self.ready().await?;
        let version = self.version().await?;
        if version.is_supported() { Ok(version) } else { Err(OnedevError::TooOld(version.to_string())) }
    }

    /// [`Self::check`] within 5 s, asked at most every 5 s: for `/readyz`, and before a run of calls.
    ///
    /// # Errors
    /// As [`Self::check`]; [`OnedevError::Unreachable`] when it takes too long.
    pub async fn probe(&self) -> Result<Version, OnedevError> {
        let mut probed = self.inner.probed.lock().await;
        if let Some((_, known)) = probed.as_ref().filter(|(at, _)| at.elapsed() < PROBE_LIFE) {
            return known.clone();
        }
        let late = || OnedevError::Unreachable(format!("no answer within {} s", PROBE_TIMEOUT.as_secs()));
        let found = tokio::time::timeout(PROBE_TIMEOUT, self.check()).await.unwrap_or_else(|_| Err(late()));
        *probed = Some((Instant::now(), found.clone()));
        found
    }

    /// The id of the project of a path, ignoring case; `None` if there is none that the token sees.
    ///
    /// # Errors
    /// [`OnedevError`]; a server that is starting is never `None`.
    pub async fn project_id(&self, path: &ProjectPath) -> Result<Option<ProjectId>, OnedevError> {
        let url = self.inner.exchange.api(["projects", "ids"].into_iter().chain(path.segments()));
        absent_as_none(self.send(Call::get(url)).await)?.map(|it| it.json()).transpose()
    }

    /// A project by its id; `None` if there is none.
    ///
    /// # Errors
    /// [`OnedevError`]; [`OnedevError::Forbidden`] for one that is outside what the token may see.
    pub async fn project(&self, id: ProjectId) -> Result<Option<Project>, OnedevError> {
        let found = absent_as_none(self.send(Call::get(self.project_url(id))).await)?;
        let project: Option<Project> = found.map(|it| it.json()).transpose()?;
        match project {
            Some(project) if project.id != id => {
                Err(OnedevError::Malformed(format!("asked for project {id}, it told of {}", project.id)))
            }
            other => Ok(other),
        }
    }

    /// The project of a path; `None` if there is none.
    ///
    /// # Errors
    /// As [`Self::project`].
    pub async fn project_at(&self, path: &ProjectPath) -> Result<Option<Project>, OnedevError> {
        let Some(id) = self.project_id(path).await? else { return Ok(None) };
        // Between the two calls it may have been moved, or deleted and its id given to another.
        Ok(self.project(id).await?.filter(|it| it.is_at(path)))
    }

    /// Every project below the root, in the order of their ids. Asked for in pages by id, since OneDev's
    /// own order changes while one reads.
    ///
    /// # Errors
    /// [`OnedevError`].
    pub async fn projects_below_root(&self) -> Result<Vec<Project>, OnedevError> {
        let (root, mut last, mut all) = (self.root().to_string(), 0, Vec::new());
        loop {
            let page = self.page_below(&root, last).await?;
            let Some(end) = page.last().map(|it| it.id.0).filter(|it| *it > last) else { return Ok(all) };
            last = end;
            // The root itself is among them.
            all.extend(page.into_iter().filter(|it| !self.root().is(&it.path)));
        }
    }

    async fn page_below(&self, root: &str, last: i64) -> Result<Vec<Project>, OnedevError> {
        let query = format!("\"Path\" is \"{root}/**\" and \"Id\" is greater than \"{last}\" order by \"Id\" asc");
        let mut url = self.inner.exchange.api(["projects"]);
        set_query(&mut url, &[("query", &query), ("offset", "0"), ("count", PAGE)]);
        self.send(Call::get(url)).await?.json()
    }

    /// Creates exactly one project, parents are not made. Issues and packages are off.
    ///
    /// # Errors
    /// [`OnedevError`]: `Conflict` where the name is taken, `Server` where several created it at once.
    /// After either, and after `Transport`, look the path up again: it may be there.
    pub async fn create_project(
        &self,
        parent: Option<ProjectId>,
        name: &str,
        description: Option<&str>,
    ) -> Result<ProjectId, OnedevError> {
        let call = Call::post(self.inner.exchange.api(["projects"]), new_project(parent, name, description));
        self.send(call).await?.json()
    }

    /// Replaces a project's fields by these. Take them from a fresh [`Self::project`]: the last writer
    /// wins, and `name` and `parent_id` rename and move.
    ///
    /// # Errors
    /// [`OnedevError`]; [`OnedevError::Guarded`] for the root, an ancestor of it, or a project that does
    /// not lie below the root.
    pub async fn update_project(&self, project: &Project) -> Result<(), OnedevError> {
        let path = self.guarded(&project.path)?;
        if project.parent_id.is_none() {
            return Err(OnedevError::Guarded(format!("the update would move {path} to the top")));
        }
        let body = serde_json::to_value(project).map_err(|error| OnedevError::Malformed(error.to_string()))?;
        tracing::debug!(project = %project.id, %path, "updating the OneDev project");
        self.send(Call::post(self.project_url(project.id), body)).await.map(|_| ())
    }

    /// Deletes a project, its refs and all. Only one that stands at `expected`, lies below the root and
    /// has no children: OneDev would delete those too, and would let the token delete its own root.
    /// `false` if it was not there any more.
    ///
    /// # Errors
    /// [`OnedevError`]; [`OnedevError::Guarded`] where a guard said no.
    pub async fn delete_project(&self, id: ProjectId, expected: &ProjectPath) -> Result<bool, OnedevError> {
        self.guarded(expected.as_str())?;
        let Some(project) = self.project(id).await? else { return Ok(false) };
        if !project.is_at(expected) {
            return Err(OnedevError::Guarded(format!("project {id} does not stand at {expected} any more")));
        }
        if self.has_children(expected).await? {
            return Err(OnedevError::Guarded(format!(
                "other projects lie below {expected}; move or delete them first"
            )));
        }
        tracing::info!(project = %id, path = %expected, "deleting the OneDev project");
        Ok(absent_as_none(self.send(Call::delete(self.project_url(id))).await)?.is_some())
    }

    /// Whether projects lie directly in the one of this path.
    pub(super) async fn has_children(&self, path: &ProjectPath) -> Result<bool, OnedevError> {
        let mut url = self.inner.exchange.api(["projects"]);
        set_query(&mut url, &[("query", &format!("children of \"{path}\"")), ("offset", "0"), ("count", "1")]);
        let found: Vec<serde_json::Value> = self.send(Call::get(url)).await?.json()?;
        Ok(!found.is_empty())
    }

    /// The path, if it is one that starkeep may change: legal and below the root.
    pub(super) fn guarded(&self, path: &str) -> Result<ProjectPath, OnedevError> {
        let root = self.root();
        match path.parse::<ProjectPath>() {
            Ok(path) if path.is_below(root) => Ok(path),
            Ok(path) => Err(OnedevError::Guarded(format!("{path} does not lie below {root}"))),
            Err(error) => Err(OnedevError::Guarded(error.to_string())),
        }
    }

    pub(super) fn exchange(&self) -> &Exchange {
        &self.inner.exchange
    }

    pub(super) fn reader_role(&self) -> &OnceCell<i64> {
        &self.inner.reader_role
    }

    pub(super) async fn send(&self, call: Call) -> Result<Answer, OnedevError> {
        self.inner.exchange.send(call).await
    }

    fn project_url(&self, id: ProjectId) -> Url {
        self.inner.exchange.api(["projects", &id.to_string()])
    }
}

/// "No such project" is an answer, not an error, for whoever looks one up.
fn absent_as_none(answer: Result<Answer, OnedevError>) -> Result<Option<Answer>, OnedevError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_missing_project() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sets a query with spaces as `%20`, the form that was seen to work.
pub(super) fn set_query(url: &mut Url, pairs: &[(&str, &str)]) {
    let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    url.set_query(Some(&query.replace('+', "%20")));
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
        "http" => return Some("plain http is for loopback addresses; use https, or set onedev.insecure_http"),
        _ => return Some("it must be an https address"),
    }
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    (!bare).then_some("it must hold no user, password or query")
}
