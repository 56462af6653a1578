//! A mirror that is level and due for a look, without the work of making it.

use chrono::{DateTime, TimeDelta, Utc};
use starkeep::domain::event::Subject;
use starkeep::domain::ids::{GithubId, ProjectId};
use starkeep::domain::mirror::{Source, Status};
use starkeep::domain::repository::{Repository, RepositoryName};
use starkeep::simulator::node_id;
use starkeep::store::mirrors::{self, Project, Proven};
use starkeep::store::{Connection, StoreError};

/// Puts it into the database: as the simulator shows a repository that nobody pushed to, its daily look a day away.
pub fn level(c: &mut Connection, id: GithubId, name: RepositoryName, now: DateTime<Utc>) -> Result<(), StoreError> {
    let mirror = mirrors::ensure(c, &Subject { id, name: name.clone() }, Source::Star, now)?.0.id;
    let project = Project { id: ProjectId(id.0), path: format!("github/{name}"), url: String::new() };
    let repository = Repository {
        id,
        node_id: Some(node_id(id)),
        name,
        private: false,
        archived: false,
        disabled: false,
        fork: false,
        network: id,
        size_kib: 1,
        default_branch: Some("main".to_owned()),
        description: None,
        pushed_at: None,
    };
    mirrors::set_description(c, mirror, &repository, now)?;
    mirrors::set_project(c, mirror, &project, true, now)?;
    let proven = Proven {
        digest: "digest".to_owned(),
        onedev_digest: Some("digest".to_owned()),
        head: None,
        ref_count: 0,
        default_branch: None,
        upstream_head: None,
        not_level: Vec::new(),
        status: Status::Healthy,
        changed: false,
        verified_at: now,
        next_sync_at: Some(now - TimeDelta::minutes(1)),
    };
    mirrors::record_proof(c, mirror, &proven)?;
    mirrors::plan_full(c, mirror, now + TimeDelta::days(1))
}
