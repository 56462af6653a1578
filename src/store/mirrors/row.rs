//! What a row of `mirrors` and one of `upstreams` mean together.

use chrono::{DateTime, Utc};
use diesel::{Queryable, Selectable};
use uuid::Uuid;

use crate::domain::event::Subject;
use crate::domain::ids::{GithubId, MirrorId, ProjectId};
use crate::domain::mirror::{NotLevel, Source, Status};
use crate::domain::refs::Oid;
use crate::domain::repository::RepositoryName;
use crate::store::error::StoreError;
use crate::store::schema::{mirrors, upstreams};
use crate::store::time;

/// A mirror as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Our identity of it.
    pub id: MirrorId,
    /// GitHub's identity of it.
    pub github_id: GithubId,
    /// Its name at GitHub as last heard.
    pub name: RepositoryName,
    /// Why it exists.
    pub source: Source,
    /// Where it stands.
    pub status: Status,
    /// What it was before somebody paused it.
    pub paused_from: Option<Status>,
    /// Its OneDev project, once there is one.
    pub project: Option<Project>,
    /// The path at which a project was about to be made: a project without a marker there is ours. With another
    /// one than the project's, the project was about to be moved there.
    pub intended_path: Option<String>,
    /// The project was made by us. While [`Mirror::first_proof_at`] is `None` it may be rolled back.
    pub made_project: bool,
    /// When it was first proven level.
    pub first_proof_at: Option<DateTime<Utc>>,
    /// The default branch as last proven.
    pub default_branch: Option<String>,
    /// The commit of HEAD as last proven.
    pub head: Option<Oid>,
    /// Managed refs as last proven.
    pub ref_count: Option<i64>,
    /// What GitHub last told of it.
    pub upstream: Option<Upstream>,
    /// The last proof.
    pub proof: Option<Proof>,
    /// Digest of the managed refs that stand at OneDev, when they were last seen level.
    pub onedev_digest: Option<String>,
    /// Refs that do not stand in OneDev as they do upstream.
    pub not_level: Vec<NotLevel>,
    /// Counted attempts since the last success.
    pub attempts: u32,
    /// Why the last sync failed.
    pub error: Option<Failure>,
    /// When the star was taken back.
    pub unstarred_at: Option<DateTime<Utc>>,
    /// When the last sync succeeded.
    pub last_synced_at: Option<DateTime<Utc>>,
    /// When a sync last changed something.
    pub last_changed_at: Option<DateTime<Utc>>,
    /// When it is to be looked at again.
    pub next_sync_at: Option<DateTime<Utc>>,
    /// Since when a sync that would take away too much waits for an admin.
    pub held_since: Option<DateTime<Utc>>,
    /// When it became known.
    pub created_at: DateTime<Utc>,
    /// When its row last changed.
    pub updated_at: DateTime<Utc>,
}

impl Mirror {
    /// As it stands when it has just become known.
    pub(super) fn fresh(id: MirrorId, subject: &Subject, source: Source, now: DateTime<Utc>) -> Self {
        Self {
            id,
            github_id: subject.id,
            name: subject.name.clone(),
            source,
            status: Status::Pending,
            paused_from: None,
            project: None,
            intended_path: None,
            made_project: false,
            first_proof_at: None,
            default_branch: None,
            head: None,
            ref_count: None,
            upstream: None,
            proof: None,
            onedev_digest: None,
            not_level: Vec::new(),
            attempts: 0,
            error: None,
            unstarred_at: None,
            last_synced_at: None,
            last_changed_at: None,
            next_sync_at: Some(now),
            held_since: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// The project was about to be moved and nobody saw whether it was: what stands at its path may by now be
    /// somebody else's.
    pub fn is_moving(&self) -> bool {
        match (&self.project, &self.intended_path) {
            (Some(project), Some(intended)) => !project.path.eq_ignore_ascii_case(intended),
            _ => false,
        }
    }
}

/// The OneDev project that holds a mirror. OneDev re-uses ids, so the id is believed only together
/// with the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// OneDev's id.
    pub id: ProjectId,
    /// Full path, root included.
    pub path: String,
    /// Where a browser finds it.
    pub url: String,
}

/// What GitHub last told of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Only collaborators see it.
    pub private: bool,
    /// Read-only.
    pub archived: bool,
    /// Switched off by GitHub.
    pub disabled: bool,
    /// A fork.
    pub fork: bool,
    /// The repository that its fork network comes from; `None` before GitHub was asked for it.
    pub network: Option<GithubId>,
    /// Size in KiB.
    pub size_kib: i64,
    /// The default branch's name; the branch need not exist.
    pub default_branch: Option<String>,
    /// The line under the title.
    pub description: Option<String>,
    /// When something was last pushed.
    pub pushed_at: Option<DateTime<Utc>>,
    /// When GitHub told this.
    pub described_at: DateTime<Utc>,
}

/// That both sides were read and were the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Digest of the managed refs and HEAD.
    pub digest: String,
    /// When.
    pub verified_at: DateTime<Utc>,
}

/// Why a sync failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A short stable word.
    pub code: String,
    /// For people.
    pub message: String,
    /// Since when it fails for this reason.
    pub since: DateTime<Utc>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = mirrors)]
pub(super) struct MirrorRow {
    pub(super) id: String,
    github_id: i64,
    owner: String,
    name: String,
    source: String,
    status: String,
    paused_from: Option<String>,
    project_id: Option<i64>,
    project_path: Option<String>,
    project_url: Option<String>,
    intended_path: Option<String>,
    made_project: bool,
    first_proof_at: Option<String>,
    default_branch: Option<String>,
    head: Option<String>,
    ref_count: Option<i64>,
    proof_digest: Option<String>,
    verified_at: Option<String>,
    onedev_digest: Option<String>,
    not_level: String,
    attempts: i32,
    error_code: Option<String>,
    error_message: Option<String>,
    error_since: Option<String>,
    unstarred_at: Option<String>,
    last_synced_at: Option<String>,
    last_changed_at: Option<String>,
    next_sync_at: Option<String>,
    held_since: Option<String>,
    created_at: String,
    updated_at: String,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = upstreams)]
pub(super) struct UpstreamRow {
    private: bool,
    archived: bool,
    disabled: bool,
    fork: bool,
    size_kib: i64,
    default_branch: Option<String>,
    description: Option<String>,
    pushed_at: Option<String>,
    described_at: String,
    network_id: Option<i64>,
}

impl TryFrom<(MirrorRow, Option<UpstreamRow>)> for Mirror {
    type Error = StoreError;

    fn try_from((row, upstream): (MirrorRow, Option<UpstreamRow>)) -> Result<Self, StoreError> {
        let project = row.project();
        let proof = row.proof()?;
        let error = row.failure()?;
        Ok(Self {
            id: mirror_id(&row.id)?,
            github_id: GithubId(row.github_id),
            name: RepositoryName::new(&row.owner, &row.name).map_err(|e| StoreError::Corrupt(e.to_string()))?,
            source: row.source.parse()?,
            status: row.status.parse()?,
            paused_from: row.paused_from.map(|it| it.parse()).transpose()?,
            project,
            intended_path: row.intended_path,
            made_project: row.made_project,
            first_proof_at: time::some(row.first_proof_at.as_deref())?,
            default_branch: row.default_branch,
            head: row.head.map(|it| oid(&it)).transpose()?,
            ref_count: row.ref_count,
            upstream: upstream.map(Upstream::try_from).transpose()?,
            proof,
            onedev_digest: row.onedev_digest,
            not_level: serde_json::from_str(&row.not_level).map_err(|e| StoreError::Corrupt(e.to_string()))?,
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
            error,
            unstarred_at: time::some(row.unstarred_at.as_deref())?,
            last_synced_at: time::some(row.last_synced_at.as_deref())?,
            last_changed_at: time::some(row.last_changed_at.as_deref())?,
            next_sync_at: time::some(row.next_sync_at.as_deref())?,
            held_since: time::some(row.held_since.as_deref())?,
            created_at: time::read(&row.created_at)?,
            updated_at: time::read(&row.updated_at)?,
        })
    }
}

impl MirrorRow {
    fn project(&self) -> Option<Project> {
        let (id, path, url) = (self.project_id?, self.project_path.clone()?, self.project_url.clone()?);
        Some(Project { id: ProjectId(id), path, url })
    }

    fn proof(&self) -> Result<Option<Proof>, StoreError> {
        let (Some(digest), Some(at)) = (&self.proof_digest, &self.verified_at) else { return Ok(None) };
        Ok(Some(Proof { digest: digest.clone(), verified_at: time::read(at)? }))
    }

    fn failure(&self) -> Result<Option<Failure>, StoreError> {
        let (Some(code), Some(since)) = (&self.error_code, &self.error_since) else { return Ok(None) };
        let message = self.error_message.clone().unwrap_or_default();
        Ok(Some(Failure { code: code.clone(), message, since: time::read(since)? }))
    }
}

impl Mirror {
    /// Un-starred, and not starred again.
    pub fn is_let_go(&self) -> bool {
        self.status == Status::Archived && self.unstarred_at.is_some()
    }
}

impl TryFrom<UpstreamRow> for Upstream {
    type Error = StoreError;

    fn try_from(row: UpstreamRow) -> Result<Self, StoreError> {
        Ok(Self {
            private: row.private,
            archived: row.archived,
            disabled: row.disabled,
            fork: row.fork,
            network: row.network_id.map(GithubId),
            size_kib: row.size_kib,
            default_branch: row.default_branch,
            description: row.description,
            pushed_at: time::some(row.pushed_at.as_deref())?,
            described_at: time::read(&row.described_at)?,
        })
    }
}

/// A stored mirror id.
pub(in crate::store) fn mirror_id(text: &str) -> Result<MirrorId, StoreError> {
    Uuid::parse_str(text).map(MirrorId).map_err(|e| StoreError::Corrupt(e.to_string()))
}

/// A stored object id.
pub(in crate::store) fn oid(text: &str) -> Result<Oid, StoreError> {
    text.parse().map_err(|e| StoreError::Corrupt(format!("{e}")))
}
