//! A mirror as JSON. Every field is always there; what is not known is null.

use serde::Serialize;
use serde_json::{Value, json};

use super::{some_time, time};
use crate::domain::mirror::NotLevel;
use crate::store::mirrors::Mirror;

/// A mirror as the API shows it.
#[derive(Serialize)]
pub(super) struct MirrorView {
    id: String,
    github_id: i64,
    repository: String,
    source: &'static str,
    status: &'static str,
    onedev: Value,
    default_branch: Option<String>,
    head: Option<String>,
    ref_count: Option<i64>,
    upstream: Value,
    last_synced_at: Option<String>,
    last_changed_at: Option<String>,
    next_sync_at: Option<String>,
    proof: Option<Value>,
    not_level: Vec<NotLevel>,
    attempts: u32,
    error: Option<Value>,
    created_at: String,
    updated_at: String,
}

impl From<Mirror> for MirrorView {
    fn from(it: Mirror) -> Self {
        let project = it.project.as_ref();
        let upstream = it.upstream.as_ref();
        Self {
            id: it.id.to_string(),
            github_id: it.github_id.0,
            repository: it.name.to_string(),
            source: it.source.as_str(),
            status: it.status.as_str(),
            onedev: json!({
                "project_id": project.map(|it| it.id),
                "path": project.map(|it| &it.path),
                "url": project.map(|it| &it.url),
            }),
            default_branch: it.default_branch,
            head: it.head.map(|it| it.to_string()),
            ref_count: it.ref_count,
            upstream: json!({
                "private": upstream.map(|it| it.private),
                "archived": upstream.map(|it| it.archived),
                "fork": upstream.map(|it| it.fork),
                "size_kib": upstream.map(|it| it.size_kib),
                "pushed_at": some_time(upstream.and_then(|it| it.pushed_at)),
            }),
            last_synced_at: some_time(it.last_synced_at),
            last_changed_at: some_time(it.last_changed_at),
            // What is not synced has no next time, whatever its row still says.
            next_sync_at: some_time(it.next_sync_at.filter(|_| it.status.is_synced())),
            proof: it.proof.map(|it| json!({ "digest": it.digest, "verified_at": time(it.verified_at) })),
            not_level: it.not_level,
            attempts: it.attempts,
            error: it.error.map(|it| json!({ "code": it.code, "message": it.message, "since": time(it.since) })),
            created_at: time(it.created_at),
            updated_at: time(it.updated_at),
        }
    }
}
