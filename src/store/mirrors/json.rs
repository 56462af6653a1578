//! A mirror as the API, the command line and the demo show it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::row::{Failure, Mirror, Project, Proof};
use crate::domain::mirror::{NotLevel, Source, Status};

/// A mirror: starkeep's record of one upstream and its OneDev project.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Mirror)]
pub struct View {
    id: Uuid,
    /// GitHub's numeric id: the identity of the upstream.
    github_id: i64,
    /// Its name at GitHub as last heard.
    #[schema(examples("octocat/hello-world"))]
    repository: String,
    source: Source,
    status: Status,
    onedev: ProjectView,
    default_branch: Option<String>,
    /// The commit of HEAD as last proven.
    head: Option<String>,
    /// Managed refs as last proven.
    ref_count: Option<i64>,
    upstream: UpstreamView,
    last_synced_at: Option<DateTime<Utc>>,
    last_changed_at: Option<DateTime<Utc>>,
    next_sync_at: Option<DateTime<Utc>>,
    proof: Option<ProofView>,
    not_level: Vec<NotLevel>,
    attempts: u32,
    error: Option<TroubleView>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// The OneDev project; everything is null before there is one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Project)]
pub struct ProjectView {
    project_id: Option<i64>,
    /// Full path, root included.
    path: Option<String>,
    url: Option<String>,
}

/// What GitHub last told of the upstream; everything is null before it was asked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Upstream)]
struct UpstreamView {
    private: Option<bool>,
    archived: Option<bool>,
    fork: Option<bool>,
    size_kib: Option<i64>,
    pushed_at: Option<DateTime<Utc>>,
}

/// When both sides were last seen level, and the digest of what stood there.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Proof)]
pub struct ProofView {
    digest: String,
    verified_at: DateTime<Utc>,
}

/// What is wrong, and since when.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trouble)]
pub struct TroubleView {
    /// A stable word; the runbook explains it.
    pub code: String,
    /// For people.
    pub message: String,
    /// Since when it fails for this reason.
    pub since: DateTime<Utc>,
}

impl ProjectView {
    /// A project that may be none yet.
    pub(in crate::store) fn of(it: Option<&Project>) -> Self {
        Self { project_id: it.map(|it| it.id.0), path: it.map(|it| it.path.clone()), url: it.map(|it| it.url.clone()) }
    }
}

impl From<&Proof> for ProofView {
    fn from(it: &Proof) -> Self {
        Self { digest: it.digest.clone(), verified_at: it.verified_at }
    }
}

impl From<&Failure> for TroubleView {
    fn from(it: &Failure) -> Self {
        Self { code: it.code.clone(), message: it.message.clone(), since: it.since }
    }
}

impl From<(String, String, DateTime<Utc>)> for TroubleView {
    fn from((code, message, since): (String, String, DateTime<Utc>)) -> Self {
        Self { code, message, since }
    }
}

impl Mirror {
    /// The mirror as it is shown; times are RFC 3339 in UTC.
    pub fn view(&self) -> View {
        let upstream = self.upstream.as_ref();
        View {
            id: self.id.0,
            github_id: self.github_id.0,
            repository: self.name.to_string(),
            source: self.source,
            status: self.status,
            onedev: ProjectView::of(self.project.as_ref()),
            default_branch: self.default_branch.clone(),
            head: self.head.map(|it| it.to_string()),
            ref_count: self.ref_count,
            upstream: UpstreamView {
                private: upstream.map(|it| it.private),
                archived: upstream.map(|it| it.archived),
                fork: upstream.map(|it| it.fork),
                size_kib: upstream.map(|it| it.size_kib),
                pushed_at: upstream.and_then(|it| it.pushed_at),
            },
            last_synced_at: self.last_synced_at,
            last_changed_at: self.last_changed_at,
            next_sync_at: self.next_sync_at,
            proof: self.proof.as_ref().map(ProofView::from),
            not_level: self.not_level.clone(),
            attempts: self.attempts,
            error: self.error.as_ref().map(TroubleView::from),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    /// The same as one JSON object.
    pub fn to_json(&self) -> Value {
        json!(self.view())
    }
}
