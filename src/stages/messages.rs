//! What the stages are asked, and what they answer.

use actix::Message;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::failure::Failure;
use crate::domain::event::Event;
use crate::domain::ids::{CorrelationId, GithubId, JobId, MirrorId, ProjectId};
use crate::domain::mirror::NotLevel;
use crate::domain::outcome::{Comparison, Synced};
use crate::domain::part::Part;
use crate::domain::rate::Urgency;
use crate::domain::repository::{Repository, RepositoryName};
use crate::store::audit::NewEntry;
use crate::store::mirrors::Mirror;
use crate::store::parts::PartRecord;

/// Goes with every message of one job.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// The job.
    pub job: JobId,
    /// Its mirror.
    pub mirror: MirrorId,
    /// Follows the work through the logs.
    pub correlation: CorrelationId,
    /// How urgent what it asks GitHub is.
    pub urgency: Urgency,
    /// Cancelled when the work is to stop: shutdown, or the lease is lost.
    pub cancel: CancellationToken,
}

impl Ticket {
    /// For work that somebody waits for, without a job in the queue.
    pub fn unqueued(mirror: MirrorId) -> Self {
        let correlation = CorrelationId(uuid::Uuid::now_v7());
        Self { job: JobId(0), mirror, correlation, urgency: Urgency::Fresh, cancel: CancellationToken::new() }
    }
}

/// A delivery whose signature is right, to be made durable together with its jobs.
#[derive(Debug, Message)]
#[rtype(result = "Result<Accepted, Failure>")]
pub struct Accept {
    /// `X-GitHub-Delivery`.
    pub guid: String,
    /// What it means.
    pub event: Event,
    /// Follows the work through the logs.
    pub correlation: CorrelationId,
    /// When GitHub sent it, if it did not come in then and was fetched back.
    pub sent_at: Option<chrono::DateTime<chrono::Utc>>,
}

/// Take a delivery that is on record once more: under the same GUID, with the effects that it would have now.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<Replayed>, Failure>")]
pub struct Replay {
    /// Which.
    pub guid: String,
    /// Only say what it would do.
    pub dry_run: bool,
    /// Who asks, for the audit log.
    pub entry: NewEntry,
    /// Follows the work through the logs.
    pub correlation: CorrelationId,
}

/// What became of a delivery that was taken once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// GitHub's name of the event.
    pub event: String,
    /// What it asks for now, in a word.
    pub wish: &'static str,
    /// The jobs that were queued for it; none of a dry run.
    pub jobs: Vec<JobId>,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// What the sender is told.
    pub reception: Reception,
    /// The jobs that were queued for it.
    pub jobs: Vec<JobId>,
}

/// What the sender of a delivery is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reception {
    /// On disk, and its jobs with it.
    Accepted,
    /// This delivery was taken before.
    Duplicate,
    /// On disk; it asks for nothing.
    Ignored,
}

impl Reception {
    /// The word in the answer and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
        }
    }
}

/// Ask GitHub what a repository is.
#[derive(Debug, Message)]
#[rtype(result = "Result<Repository, Failure>")]
pub enum Describe {
    /// By identity; the name is the one that was last known.
    Mirror(Ticket, crate::domain::ids::GithubId, RepositoryName),
    /// By name, for a repository that has no mirror yet.
    Name(RepositoryName),
}

/// See to the mirror's project.
#[derive(Debug, Message)]
#[rtype(result = "Result<Ensured, Failure>")]
pub struct Ensure {
    /// The job.
    pub ticket: Ticket,
    /// The mirror as it stands in the database.
    pub mirror: Mirror,
    /// What GitHub tells of its upstream.
    pub repository: Repository,
}

/// Look where the project stands that was about to be moved, and write it down.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Failure>")]
pub struct FindAgain {
    /// The mirror as it stands in the database.
    pub mirror: Mirror,
}

/// The project is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensured {
    /// Its id.
    pub id: ProjectId,
    /// Its full path, root included.
    pub path: String,
    /// Made by this very call.
    pub made: bool,
    /// It was somebody's before and may be taken over if it holds nothing that upstream lacks.
    pub adopting: bool,
}

/// Both sides of a transfer and what was last proven.
#[derive(Debug, Clone)]
pub struct TwoSides {
    /// Upstream's identity.
    pub github_id: GithubId,
    /// The repository that its fork network comes from.
    pub network: GithubId,
    /// Upstream's name, for its git address.
    pub repository: RepositoryName,
    /// The project.
    pub project: ProjectId,
    /// Its full path, root included.
    pub path: String,
    /// Digest as last proven.
    pub proven: Option<String>,
    /// When that was.
    pub proven_at: Option<chrono::DateTime<chrono::Utc>>,
    /// OneDev's default branch as last proven.
    pub default_branch: Option<String>,
    /// Refs that OneDev refused.
    pub not_level: Vec<NotLevel>,
    /// The project is somebody's and is taken over only if it holds nothing that upstream lacks.
    pub adopting: bool,
    /// Which part of the mirror this is.
    pub part: Part,
    /// An admin lets this sync delete and overwrite as much as upstream says.
    pub allow_mass_delete: bool,
    /// An earlier sync was held back for that, and somebody was told.
    pub held: bool,
}

impl TwoSides {
    /// The sides of a mirror whose project stands at a given place.
    pub fn at(mirror: &Mirror, project: ProjectId, path: String) -> Self {
        let network = mirror.upstream.as_ref().and_then(|it| it.network).unwrap_or(mirror.github_id);
        Self {
            github_id: mirror.github_id,
            network,
            repository: mirror.name.clone(),
            project,
            path,
            proven: mirror.proof.as_ref().map(|it| it.digest.clone()),
            proven_at: mirror.proof.as_ref().map(|it| it.verified_at),
            default_branch: mirror.default_branch.clone(),
            not_level: mirror.not_level.clone(),
            adopting: false,
            part: Part::Code,
            allow_mass_delete: false,
            held: mirror.held_since.is_some(),
        }
    }

    /// The sides of a mirror's wiki whose project stands at a given place.
    pub fn of_wiki_at(mirror: &Mirror, wiki: &PartRecord, project: ProjectId, path: String) -> Self {
        Self {
            github_id: mirror.github_id,
            // A wiki is in no fork network, and has no copy on disk.
            network: mirror.github_id,
            repository: mirror.name.clone(),
            project,
            path,
            proven: wiki.proof.as_ref().map(|it| it.digest.clone()),
            proven_at: wiki.proof.as_ref().map(|it| it.verified_at),
            default_branch: wiki.default_branch.clone(),
            not_level: wiki.not_level.clone(),
            adopting: false,
            part: Part::Wiki,
            allow_mass_delete: false,
            held: wiki.held_since.is_some(),
        }
    }

    /// The sides of a mirror's wiki that has a project; `None` while that may stand elsewhere.
    pub fn of_wiki(mirror: &Mirror, wiki: &PartRecord) -> Option<Self> {
        let project = wiki.project.as_ref().filter(|_| !mirror.is_moving())?;
        Some(Self::of_wiki_at(mirror, wiki, project.id, project.path.clone()))
    }

    /// The sides of a mirror that has a project; `None` while that may stand elsewhere.
    pub fn of(mirror: &Mirror) -> Option<Self> {
        let project = mirror.project.as_ref().filter(|_| !mirror.is_moving())?;
        Some(Self::at(mirror, project.id, project.path.clone()))
    }
}

/// How closely a sync looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Upstream alone. A change is an error, `upstream_changed`, that asks for a closer look.
    Quick,
    /// Both sides at once: GitHub said that this very repository changed.
    Changed,
    /// Both sides, the default branch, and once more what OneDev refused.
    Full,
}

/// Bring a project level with its upstream and prove it.
#[derive(Debug, Message)]
#[rtype(result = "Result<Synced, Failure>")]
pub struct Transfer {
    /// The job.
    pub ticket: Ticket,
    /// What is to be levelled.
    pub sides: TwoSides,
    /// How closely to look.
    pub depth: Depth,
}

/// Compare both sides and write nothing.
#[derive(Debug, Message)]
#[rtype(result = "Result<Comparison, Failure>")]
pub struct Compare {
    /// The job.
    pub ticket: Ticket,
    /// What is to be compared.
    pub sides: TwoSides,
}

/// Does upstream have a wiki with anything in it?
#[derive(Debug, Message)]
#[rtype(result = "Result<bool, Failure>")]
pub struct SeekWiki {
    /// The job.
    pub ticket: Ticket,
    /// Whose.
    pub repository: RepositoryName,
}

/// Read both sides' refs as they stand now.
#[derive(Debug, Message)]
#[rtype(result = "Result<BothSides, Failure>")]
pub struct Look {
    /// Whose.
    pub mirror: MirrorId,
    /// What is to be read.
    pub sides: TwoSides,
}

/// Count the refs that stand in a project, whatever their names.
#[derive(Debug, Message)]
#[rtype(result = "Result<usize, Failure>")]
pub struct CountRefs {
    /// Whose project.
    pub sides: TwoSides,
}

/// Throw away what the cached engine keeps of mirrors that are no more; answers how many those were.
#[derive(Debug, Message)]
#[rtype(result = "Result<usize, Failure>")]
pub struct TidyCaches;

/// Make a branch of a kept ref in the project: a foreign one from then on, which no sync touches.
#[derive(Debug, Message)]
#[rtype(result = "Result<crate::domain::refs::Oid, Failure>")]
pub struct Revive {
    /// Whose.
    pub mirror: MirrorId,
    /// Its project.
    pub sides: TwoSides,
    /// Which kept ref.
    pub kept: crate::store::kept::Kept,
    /// The branch to make, as a full ref name.
    pub branch: crate::domain::refs::RefName,
}

/// Write what the project says of its mirror, where it says something else.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Failure>")]
pub struct Mark {
    /// The job.
    pub ticket: Ticket,
}

/// Managed refs of both sides.
#[derive(Debug, Clone, Default)]
pub struct BothSides {
    /// Upstream's.
    pub upstream: crate::domain::refs::RefMap,
    /// OneDev's: every ref, starkeep's own ones too.
    pub onedev: crate::domain::refs::RefMap,
}

/// See to the project of a mirror's wiki. The mirror's own must be there.
#[derive(Debug, Message)]
#[rtype(result = "Result<Ensured, Failure>")]
pub struct EnsureWiki {
    /// The mirror as it stands in the database.
    pub mirror: Mirror,
    /// Its wiki as it stands in the database.
    pub wiki: PartRecord,
}

/// Take back the empty project that was made for a wiki whose first sync failed for good.
#[derive(Debug, Message)]
#[rtype(result = "Result<bool, Failure>")]
pub struct RollBackWiki {
    /// The wiki as it stands in the database.
    pub wiki: PartRecord,
}

/// Take back the empty project that was made for a mirror whose first sync failed for good.
#[derive(Debug, Message)]
#[rtype(result = "Result<bool, Failure>")]
pub struct RollBack {
    /// The mirror as it stands in the database.
    pub mirror: Mirror,
}

/// Say in the project's description that upstream has gone; `true` if that was not said there yet.
#[derive(Debug, Message)]
#[rtype(result = "Result<bool, Failure>")]
pub struct TellGone {
    /// The mirror as it stands in the database.
    pub mirror: Mirror,
    /// The line that says so.
    pub line: String,
}

/// Delete the project of an un-starred mirror, and the mirror.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Failure>")]
pub struct Remove {
    /// The mirror as it stands in the database.
    pub mirror: Mirror,
}

/// Read some more of what GitHub holds beside git, and keep it in the project.
#[derive(Debug, Message)]
#[rtype(result = "Result<Cataloged, Failure>")]
pub struct Catalog {
    /// The job.
    pub ticket: Ticket,
    /// The mirror as it stands in the database.
    pub mirror: Mirror,
}

/// What one slice of a catalog's work came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cataloged {
    /// There is more to do, after this pause; `None` when the round has ended.
    pub more: Option<std::time::Duration>,
    /// Pages read.
    pub pages: u32,
    /// Commits made.
    pub commits: u32,
}

/// Write down how a job ended.
#[derive(Debug, Message)]
#[rtype(result = "Result<Ending, Failure>")]
pub struct Record {
    /// The job.
    pub ticket: Ticket,
    /// The job as it was claimed.
    pub job: crate::store::jobs::Job,
    /// The lease holder; nothing is written once the lease is somebody else's.
    pub worker: String,
    /// When the work began.
    pub started_at: chrono::DateTime<chrono::Utc>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a job ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Level and proven.
    Synced(Box<Synced>),
    /// Compared, nothing written.
    Compared(Comparison),
    /// Upstream has no wiki, or none any more.
    Absent,
    /// A slice of the catalog's work is done.
    Cataloged(Cataloged),
    /// There was nothing to do, or nothing is left to write down.
    Nothing,
    /// It failed.
    Failed(Failure),
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Done.
    Done,
    /// It will be tried again.
    Postponed,
    /// Nobody will try it again by himself.
    Dead,
    /// Another process holds it by now.
    Lost,
}
