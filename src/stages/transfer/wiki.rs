//! What is different about a wiki: its address, and that it may not be there although the repository is.

use super::round::Tools;
use crate::domain::part::Part;
use crate::domain::repository::RepositoryName;
use crate::domain::retry::Retry;
use crate::git::{Address, Upstream, WireError};
use crate::github::GitPlace;
use crate::stages::failure::Failure;

/// The code of the failure that says that upstream has no such wiki.
pub const ABSENT: &str = "wiki_absent";

/// The upstream side of a transfer.
pub(super) struct Source {
    /// Where it is read.
    pub(super) upstream: Upstream,
    /// It is read without a credential.
    pub(super) anonymous: bool,
    /// The right to read it now.
    pub(super) place: GitPlace,
}

/// Waits until a repository may be read.
pub(super) async fn upstream(tools: &Tools, repository: &RepositoryName, part: Part) -> Result<Source, Failure> {
    let place = tools.github.git_place(repository).await?;
    let authorization = tools.github.git_authorization(repository).await?;
    let anonymous = authorization.is_none();
    let address = Address { url: address(tools, repository, part), authorization, service: "github" };
    let upstream = Upstream::new(tools.connections.clone(), address, tools.metrics.clone(), tools.wire)?;
    Ok(Source { upstream, anonymous, place })
}

/// Where a part of a repository is read.
pub(super) fn address(tools: &Tools, repository: &RepositoryName, part: Part) -> url::Url {
    match part {
        Part::Code => tools.github.git_url(repository),
        Part::Wiki => tools.github.wiki_url(repository),
    }
}

/// Whether upstream's wiki is there and holds anything: GitHub says `has_wiki` of repositories without one.
pub(super) async fn is_there(tools: &Tools, repository: &RepositoryName) -> Result<bool, Failure> {
    let Source { upstream, anonymous, place: _place } = upstream(tools, repository, Part::Wiki).await?;
    match upstream.ls_refs(&["refs/"]).await {
        Ok(list) => Ok(!list.refs.is_empty()),
        Err(error) => match told(error, Part::Wiki, anonymous) {
            failure if failure.code == ABSENT => Ok(false),
            failure => Err(failure),
        },
    }
}

/// A wiki that is not there is answered 404, and 401 to whoever shows no credential.
pub(super) fn told(error: WireError, part: Part, anonymous: bool) -> Failure {
    let failure = Failure::from(error);
    let absent = failure.code == "upstream_not_found" || (anonymous && failure.code == "upstream_unauthorized");
    if part == Part::Wiki && absent {
        return Failure::new(ABSENT, "upstream has no wiki", Retry::Never);
    }
    failure
}
