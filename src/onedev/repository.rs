//! What REST tells of a project's git repository: default branch, branches, tags, commits. None of
//! these calls takes one of the few places that OneDev has for packs.

use base64::Engine as _;
use url::Url;

use super::client::{OnedevClient, set_query};
use super::error::{Missing, OnedevError};
use super::exchange::{Answer, Call};
use super::model::{FileBody, RefBody};
use crate::domain::ids::{GithubId, ProjectId};
use crate::domain::marker::{self, Marker};
use crate::domain::refs::Oid;

/// How an old commit lies to a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    /// The old one is an ancestor of the new one, or is the new one.
    Ancestor,
    /// It is not: moving a ref from old to new loses something.
    NotAncestor,
    /// OneDev lacks at least one of the two.
    Missing,
}

impl OnedevClient {
    /// The branch that HEAD points at; `None` while that branch does not exist.
    ///
    /// # Errors
    /// [`OnedevError`].
    pub async fn default_branch(&self, project: ProjectId) -> Result<Option<String>, OnedevError> {
        let answer = self.send(Call::get(self.repository_url(project, &["default-branch"]))).await?;
        if answer.status == 204 {
            return Ok(None);
        }
        let text = answer.text()?;
        // A bare text in spite of its JSON label; quoted is understood as well.
        let name = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
        Ok(Some(name).filter(|it| !it.is_empty()))
    }

    /// Points HEAD at a branch that exists.
    ///
    /// # Errors
    /// [`OnedevError`]; `NotFound` where there is no such branch.
    pub async fn set_default_branch(&self, project: ProjectId, branch: &str) -> Result<(), OnedevError> {
        // A JSON string: unquoted text is answered 500.
        let call = Call::post(self.repository_url(project, &["default-branch"]), branch.into());
        match self.send(call).await {
            Err(OnedevError::Server { text, .. }) if text.starts_with("Branch not exist") => {
                Err(OnedevError::NotFound { what: Missing::Object, text })
            }
            other => other.map(|_| ()),
        }
    }

    /// Whether OneDev has this commit, reachable or not.
    ///
    /// # Errors
    /// [`OnedevError`].
    pub async fn commit_exists(&self, project: ProjectId, commit: Oid) -> Result<bool, OnedevError> {
        let url = self.repository_url(project, &["commits", &commit.to_string()]);
        Ok(object(self.send(Call::get(url)).await)?.is_some())
    }

    /// Whether `old` is an ancestor of `new`. Right for amended, skewed and unreachable commits, in
    /// 0.01 to 0.3 s.
    ///
    /// # Errors
    /// [`OnedevError`].
    pub async fn ancestry(&self, project: ProjectId, old: Oid, new: Oid) -> Result<Ancestry, OnedevError> {
        let mut url = self.repository_url(project, &["commits"]);
        // With a `field` in it this is answered 500.
        set_query(&mut url, &[("query", &format!("until commit({old}) since commit({new})")), ("count", "1")]);
        let Some(answer) = object(self.send(Call::get(url)).await)? else { return Ok(Ancestry::Missing) };
        let beyond: Vec<serde_json::Value> = answer.json()?;
        Ok(if beyond.is_empty() { Ancestry::Ancestor } else { Ancestry::NotAncestor })
    }

    /// The names of all branches.
    ///
    /// # Errors
    /// [`OnedevError`]; `Malformed` for more than 1 MiB of names.
    pub async fn branches(&self, project: ProjectId) -> Result<Vec<String>, OnedevError> {
        self.send(Call::get(self.repository_url(project, &["branches"]))).await?.json()
    }

    /// The commit of a branch; `None` if there is no such branch.
    ///
    /// # Errors
    /// [`OnedevError`].
    pub async fn branch(&self, project: ProjectId, name: &str) -> Result<Option<Oid>, OnedevError> {
        let Some(answer) = object(self.send(Call::get(self.branch_url(project, name))).await)? else {
            return Ok(None);
        };
        let body: RefBody = answer.json()?;
        let oid = body.commit_hash.parse().map_err(|_| OnedevError::Malformed("a branch without a commit".into()))?;
        Ok(Some(oid))
    }

    /// Makes a branch on a commit that OneDev has: the one way to store a branch whose name its push
    /// hooks trip over (`a+b`).
    ///
    /// # Errors
    /// [`OnedevError`]: `NotFound` for an unknown commit, `Rejected` where the branch exists, `Server` for
    /// a bad name.
    pub async fn create_branch(&self, project: ProjectId, name: &str, commit: Oid) -> Result<(), OnedevError> {
        let body = serde_json::json!({ "branchName": name, "revision": commit.to_string() });
        self.send(Call::post(self.repository_url(project, &["branches"]), body)).await.map(|_| ())
    }

    /// Deletes a branch; `false` if it was not there.
    ///
    /// # Errors
    /// [`OnedevError`].
    pub async fn delete_branch(&self, project: ProjectId, name: &str) -> Result<bool, OnedevError> {
        Ok(object(self.send(Call::delete(self.branch_url(project, name))).await)?.is_some())
    }

    /// A file at a commit, a full ref or a branch; `None` if there is none, or OneDev gives it in part only.
    ///
    /// # Errors
    /// [`OnedevError`]; `Malformed` for more than 1 MiB.
    pub async fn file(&self, project: ProjectId, revision: &str, path: &str) -> Result<Option<Vec<u8>>, OnedevError> {
        let rest: Vec<&str> = std::iter::once("files").chain(revision.split('/')).chain(path.split('/')).collect();
        let answer = match object(self.send(Call::get(self.repository_url(project, &rest))).await) {
            Ok(Some(answer)) => answer,
            // How it refuses a revision that is not there is not known of every version.
            Ok(None) | Err(OnedevError::Rejected { .. } | OnedevError::Server { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let body: FileBody = answer.json()?;
        if body.is_partial {
            return Ok(None);
        }
        let bytes = base64::engine::general_purpose::STANDARD.decode(body.base64_content);
        bytes.map(Some).map_err(|_| OnedevError::Malformed("a file that is not in base64".to_owned()))
    }

    /// The upstream whose mirror a project says it is; `None` if it says nothing that is understood.
    ///
    /// # Errors
    /// [`OnedevError`].
    pub async fn marked_as(&self, project: ProjectId) -> Result<Option<GithubId>, OnedevError> {
        let file = match self.file(project, marker::REF, marker::FACTS_FILE).await {
            // Too long to be told by REST.
            Err(OnedevError::Malformed(_)) => None,
            other => other?,
        };
        Ok(file.and_then(|it| Marker::read(&it).ok()).map(|it| it.github.id))
    }

    /// Whether REST sees no ref in the project: no default branch, no branches, no tags. Other refs are
    /// invisible to REST, so who is about to write must look at the refs by git as well.
    ///
    /// # Errors
    /// [`OnedevError`].
    pub async fn looks_empty(&self, project: ProjectId) -> Result<bool, OnedevError> {
        if self.default_branch(project).await?.is_some() {
            return Ok(false);
        }
        for kind in ["branches", "tags"] {
            let answer = self.send(Call::get(self.repository_url(project, &[kind]))).await?;
            if !answer.json::<Vec<serde_json::Value>>()?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn repository_url(&self, project: ProjectId, rest: &[&str]) -> Url {
        let id = project.to_string();
        self.exchange().api(["repositories", id.as_str()].into_iter().chain(rest.iter().copied()))
    }

    /// A name stands raw in the path: `+` as `+`, slashes as slashes (`%2B` is answered 500).
    fn branch_url(&self, project: ProjectId, name: &str) -> Url {
        self.repository_url(project, &std::iter::once("branches").chain(name.split('/')).collect::<Vec<_>>())
    }
}

/// "No such commit, no such branch" as `None`. A missing project stays an error: it tells nothing
/// about commits.
fn object(answer: Result<Answer, OnedevError>) -> Result<Option<Answer>, OnedevError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(OnedevError::NotFound { what: Missing::Object, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
