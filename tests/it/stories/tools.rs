//! What many stories begin with, look at and compare.

use std::path::Path;
use std::process::Command;

use chrono::Utc;
use starkeep::domain::ids::{CorrelationId, GithubId};
use starkeep::domain::job::{JobKind, JobState, Priority};
use starkeep::domain::kept::{ALIAS, KEPT, Reason};
use starkeep::domain::mirror::Status;
use starkeep::domain::refs::{Oid, RefMap, RefName};
use starkeep::store::jobs::{self, Job, NewJob};
use starkeep::store::mirrors::Mirror;
use starkeep::store::page::Window;
use starkeep::store::syncs::{self, Sync};
use uuid::Uuid;

use crate::world::{Backend, World};

pub const MAIN: &str = "refs/heads/main";

/// A world for stories that have nothing to do with the database.
pub fn world() -> World {
    World::new(Backend::Sqlite).unwrap()
}

/// A world with one mirror, `octo/hello`, of one commit.
pub async fn mirrored() -> (World, GithubId) {
    let mut world = world();
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.assert_healthy(id).await;
    (world, id)
}

pub fn name(text: &str) -> RefName {
    RefName::new(text).unwrap()
}

impl World {
    /// The routine check of a mirror, and all that follows is done.
    pub async fn check(&self, id: GithubId) -> Mirror {
        let mirror = self.mirror(id).await.id;
        let job = NewJob::of(JobKind::Sync, mirror, Priority::ROUTINE, CorrelationId(Uuid::now_v7()));
        self.store().write(move |c| jobs::enqueue(c, &job, Utc::now())).await.unwrap();
        self.drain().await;
        self.mirror(id).await
    }

    pub fn tip(&self, id: GithubId, name: &str) -> Oid {
        self.github().tip(id, name).unwrap().unwrap_or_else(|| panic!("upstream has no {name}"))
    }

    /// What was kept of a mirror, the oldest first: ref, object, why.
    pub async fn keeps(&self, id: GithubId) -> Vec<(String, Oid, Reason)> {
        let mut kept = self.kept(id).await;
        kept.reverse();
        kept.into_iter().map(|it| (it.name.to_string(), it.oid, it.reason)).collect()
    }

    /// Refs of the project below a prefix.
    pub async fn refs_below(&self, id: GithubId, prefix: &str) -> RefMap {
        self.refs(id).await.into_iter().filter(|(name, _)| name.as_str().starts_with(prefix)).collect()
    }

    /// Exactly this was kept, and every record has its ref, which holds that very object.
    pub async fn assert_keeps(&self, id: GithubId, expected: &[(&str, Oid, Reason)]) {
        let expected: Vec<_> = expected.iter().map(|(name, oid, why)| ((*name).to_owned(), *oid, *why)).collect();
        assert_eq!(self.keeps(id).await, expected);
        let standing = self.refs_below(id, KEPT).await;
        assert_eq!(standing.len(), expected.len(), "{standing:#?}");
        for kept in self.kept(id).await {
            assert_eq!(standing.get(&kept.kept_ref), Some(&kept.oid));
        }
    }

    pub async fn aliases(&self, id: GithubId) -> RefMap {
        self.refs_below(id, ALIAS).await
    }

    /// The default branch of the mirror's project.
    pub async fn head(&self, id: GithubId) -> String {
        let head = self.onedev().head(&self.path(id).await).unwrap();
        head.target().and_then(RefName::branch).unwrap().to_owned()
    }

    /// What a mirror's syncs did, the newest first.
    pub async fn syncs(&self, id: GithubId) -> Vec<Sync> {
        let mirror = self.mirror(id).await.id;
        self.store().read(move |c| syncs::list(c, mirror, &Window::default())).await.unwrap().items
    }

    /// Requests that reached the two servers since the last call, as `(github, onedev)`.
    pub fn requests(&self) -> (Vec<String>, Vec<String>) {
        let lines = |all: Vec<starkeep::simulator::RequestRecord>| all.iter().map(|it| it.line()).collect();
        let seen = (lines(self.github().requests()), lines(self.onedev().requests()));
        self.github().clear_requests();
        self.onedev().clear_requests();
        seen
    }

    /// The only job that waits.
    pub async fn waiting(&self) -> Job {
        let waiting: Vec<Job> = self.jobs().await.into_iter().filter(|it| it.state == JobState::Queued).collect();
        assert_eq!(waiting.len(), 1, "{waiting:#?}");
        waiting.into_iter().next().unwrap()
    }

    /// The sync failed, and why is told by this word.
    pub async fn assert_error(&self, id: GithubId, code: &str) -> String {
        let mirror = self.mirror(id).await;
        let error = mirror.error.unwrap_or_else(|| panic!("there is no error, but {:?}", mirror.status));
        assert_eq!((mirror.status, error.code.as_str()), (Status::Error, code), "{}", error.message);
        error.message
    }

    /// Copies every branch and tag of an upstream into a project, as somebody's own hand would.
    pub fn copy(&self, id: GithubId, path: &str) {
        let (from, to) = (self.github().repo_dir(id).unwrap(), self.onedev().repo_dir(path).unwrap());
        git(&to, &["fetch", "-q", from.to_str().unwrap(), "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]);
    }

    /// Text that no compression makes smaller, of so many bytes.
    pub fn noise(bytes: usize) -> String {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut letter = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"[(state >> 58) as usize])
        };
        (0..bytes).map(|_| letter()).collect()
    }
}

/// Runs git in a repository.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).env("GIT_CONFIG_NOSYSTEM", "1").output();
    let output = output.unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The project's repository is whole: every object that a ref needs is there.
pub fn assert_whole(world: &World, path: &str) {
    let folder = world.onedev().repo_dir(path).unwrap();
    git(&folder, &["fsck", "--connectivity-only", "--no-dangling"]);
}
