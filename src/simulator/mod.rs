//! A stateful GitHub and a stateful OneDev on loopback, with real git behind both.
//!
//! `starkeep demo` runs the whole service against it, and so do the tests and the benchmarks: the
//! real clients are always the ones under test. Requests come in over HTTP from the adapters
//! (`github`, `onedev`, `git`); state is edited and read by the synchronous control methods.

mod faults;
mod front;
mod garble;
mod git_http;
mod git_server;
mod github;
mod lfs;
mod onedev;
mod options;
mod percent;
mod pkt;
mod process;
mod record;
mod repository;
mod server;
mod slot;
mod ssh;
mod streams;
#[cfg(test)]
mod testing;

use std::io;
use std::sync::Arc;

use tempfile::TempDir;

pub use faults::{Fault, Gate, Hold, On, Trigger};
pub use git_http::{GitCall, Service};
pub use git_server::GitServer;
pub use github::{Block, Delivery, GithubSimulator, Oddity, node_id, sign};
pub use onedev::{OneDevSimulator, Phase, ProjectState};
pub use options::SimulatorOptions;
pub use record::RequestRecord;
pub use ssh::SshDoor;

/// Why the simulation could not be started or edited.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The disk, or the network on loopback.
    #[error("the simulator's disk or network: {0}")]
    Io(#[from] io::Error),
    /// libgit2.
    #[error("the simulator's repository: {0}")]
    Git(#[from] git2::Error),
    /// There is no git binary.
    #[error("the simulation needs git on the path, and it cannot be started ({0}): install git and try again")]
    NoGit(io::Error),
    /// git could not clone what was to be imported.
    #[error("the repository could not be imported: {0}")]
    Clone(String),
    /// Sending a webhook.
    #[error("the webhook could not be delivered: {0}")]
    Delivery(#[from] reqwest::Error),
    /// Something is not there.
    #[error("the simulation knows no {0}")]
    Unknown(String),
    /// A name is taken.
    #[error("the simulation already has {0}")]
    Exists(String),
}

/// Both servers, running until this is dropped.
#[derive(Debug)]
pub struct Simulator {
    github: GithubSimulator,
    onedev: OneDevSimulator,
    // The last field: the servers stop before their folder goes.
    folder: TempDir,
}

impl Simulator {
    /// Starts both servers on free ports of loopback, with a temporary folder behind them.
    ///
    /// # Errors
    /// When no port, thread or folder is to be had.
    pub fn start(options: SimulatorOptions) -> Result<Self, SimulatorError> {
        process::check_git().map_err(SimulatorError::NoGit)?;
        let options = Arc::new(options);
        let folder = TempDir::with_prefix("starkeep-simulator-")?;
        let github = GithubSimulator::start(&options, folder.path())?;
        let onedev = OneDevSimulator::start(&options, folder.path())?;
        Ok(Self { github, onedev, folder })
    }

    /// The simulated GitHub.
    pub fn github(&self) -> &GithubSimulator {
        &self.github
    }

    /// The simulated OneDev.
    pub fn onedev(&self) -> &OneDevSimulator {
        &self.onedev
    }

    /// The folder that holds every repository of both servers.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // Handles may outlive this, the servers must not.
        self.github.slot.stop();
        self.onedev.slot.stop();
    }
}
