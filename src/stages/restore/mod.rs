//! Brings a mirror back out of OneDev: into a folder or onto any git server, as it is or as it was proven at
//! some time. GitHub is not asked.
//!
//! What is wanted is decided by the database alone ([`plan`]): the refs of code and wiki, and a commit of the
//! catalog. Packs go into a [`folder`] or onto a [`remote`]; the LFS objects that their pointer files name
//! ([`lfs`]) come before the refs.

pub mod drill;
pub mod folder;
mod lfs;
pub mod plan;
pub mod remote;
mod workshop;

use std::sync::Arc;

use crate::domain::naming::ProjectPath;
use crate::domain::retry::Retry;
use crate::git::{self, Address, LfsEndpoint, Patience, Side, Upstream};
use crate::onedev::OnedevClient;
use crate::stages::failure::Failure;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

pub use lfs::Objects;
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
    /// How many bytes came out of OneDev.
    pub progress: Arc<git::Progress>,
}

/// What was restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// The repository itself.
    pub code: Moved,
    /// Its wiki, if there was one to be restored and it could be.
    pub wiki: Option<Moved>,
    /// The catalog's commit stands there.
    pub catalog: bool,
    /// LFS objects of code and catalog.
    pub objects: Objects,
    /// What could not be restored at all, `wiki` or `catalog`, and why.
    pub lost: Vec<(&'static str, String)>,
}

/// What was restored of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// Refs of upstream, under their real names.
    pub refs: usize,
    /// Kept refs.
    pub kept: usize,
    /// Bytes of packs out of OneDev.
    pub bytes: u64,
    /// Refs that are not there: the other server refused them, or OneDev lacks their objects.
    pub refused: Vec<(String, String)>,
}

impl Restored {
    /// Everything that was wanted is there.
    pub fn is_whole(&self) -> bool {
        let wiki = self.wiki.as_ref().is_none_or(|it| it.refused.is_empty());
        let objects = self.objects.missing.is_empty() && !self.objects.unsearched;
        self.code.refused.is_empty() && wiki && objects && self.lost.is_empty()
    }
}

/// A project, to be read from.
pub(in crate::stages) fn project(tools: &Tools, path: &str) -> Result<Upstream, Failure> {
    let address = address(tools, path)?;
    Ok(Upstream::of_project(tools.http.clone(), address, tools.metrics.clone(), tools.wire)?)
}

/// A project's LFS, to be read from.
fn depot(tools: &Tools, path: &str) -> Result<LfsEndpoint, Failure> {
    let claims = git::Claims::default();
    let address = address(tools, path)?;
    Ok(LfsEndpoint::new(tools.http.clone(), address, Side::Target, claims, tools.metrics.clone(), tools.wire)?)
}

fn address(tools: &Tools, path: &str) -> Result<Address, Failure> {
    let path: ProjectPath = path.parse().map_err(|error| {
        Failure::new("project_path", format!("the project's path cannot be used: {error}"), Retry::Never)
    })?;
    let authorization = Some(tools.onedev.git_authorization());
    Ok(Address { url: tools.onedev.git_url(&path), authorization, service: "onedev" })
}
