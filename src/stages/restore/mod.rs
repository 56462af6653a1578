//! Brings a mirror back out of OneDev: into a folder or onto any git server, as it is or as it was proven at
//! some time. GitHub is not asked.
//!
//! What is wanted is decided by the database alone ([`plan`]). Each kind of content is a part of its own:
//! refs and kept refs here, into a [`folder`] or onto a [`remote`].

pub mod drill;
pub mod folder;
pub mod plan;
pub mod remote;

use crate::domain::naming::ProjectPath;
use crate::domain::refs::RefMap;
use crate::domain::retry::Retry;
use crate::git::{self, Address, Patience, Upstream};
use crate::onedev::OnedevClient;
use crate::stages::failure::Failure;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

pub use plan::Wanted;

/// What restoring works with.
#[derive(Clone)]
pub struct Tools {
    /// State.
    pub store: Store,
    /// Where the projects are.
    pub onedev: OnedevClient,
    /// Connections of the git wire client.
    pub http: reqwest::Client,
    /// How long a silent server is waited for.
    pub wire: Patience,
    /// Holds packs on their way to another server.
    pub spool: git::Spool,
    /// What is counted.
    pub metrics: Metrics,
}

/// What was restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Refs of upstream, under their real names.
    pub refs: usize,
    /// Kept refs.
    pub kept: usize,
    /// Bytes of packs out of OneDev.
    pub bytes: u64,
    /// Refs that the other server refused, with its reason.
    pub refused: Vec<(String, String)>,
}

/// A project, to be read from.
pub(in crate::stages) fn project(tools: &Tools, path: &str) -> Result<Upstream, Failure> {
    let path: ProjectPath = path.parse().map_err(|error| {
        Failure::new("project_path", format!("the project's path cannot be used: {error}"), Retry::Never)
    })?;
    let address = Address {
        url: tools.onedev.git_url(&path),
        authorization: Some(tools.onedev.git_authorization()),
        service: "onedev",
    };
    Ok(Upstream::of_project(tools.http.clone(), address, tools.metrics.clone(), tools.wire)?)
}

/// Where releases, issues and the like are kept, unless `sync.metadata_ref` names a branch, which is upstream's
/// then as any other.
const META: &str = "refs/starkeep/meta";

/// Every ref that is to be restored. What git does not carry is a history of its own: it goes along whole
/// where the latest state is wanted. Reading the list also tells which protocol the project speaks.
async fn everything(project: &Upstream, wanted: &Wanted) -> Result<RefMap, Failure> {
    let mut all = wanted.all();
    let list = project.ls_refs(&[META]).await?;
    if wanted.latest {
        all.extend(list.refs.into_iter().filter(|(name, _)| name.as_str() == META));
    }
    Ok(all)
}
