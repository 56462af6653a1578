//! A mirror as the API, the command line and the demo show it.

use serde_json::{Value, json};

use super::row::Mirror;

impl Mirror {
    /// The mirror as one JSON object; times are RFC 3339 in UTC.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "github_id": self.github_id,
            "repository": self.name,
            "source": self.source,
            "status": self.status,
            "onedev": {
                "project_id": self.project.as_ref().map(|it| it.id),
                "path": self.project.as_ref().map(|it| it.path.as_str()),
                "url": self.project.as_ref().map(|it| it.url.as_str()),
            },
            "default_branch": self.default_branch,
            "head": self.head,
            "ref_count": self.ref_count,
            "upstream": {
                "private": self.upstream.as_ref().map(|it| it.private),
                "archived": self.upstream.as_ref().map(|it| it.archived),
                "fork": self.upstream.as_ref().map(|it| it.fork),
                "size_kib": self.upstream.as_ref().map(|it| it.size_kib),
                "pushed_at": self.upstream.as_ref().and_then(|it| it.pushed_at),
            },
            "last_synced_at": self.last_synced_at,
            "last_changed_at": self.last_changed_at,
            "next_sync_at": self.next_sync_at,
            "proof": self.proof.as_ref().map(|it| json!({ "digest": it.digest, "verified_at": it.verified_at })),
            "not_level": self.not_level,
            "attempts": self.attempts,
            "error": self.error.as_ref().map(|it| json!({ "code": it.code, "message": it.message, "since": it.since })),
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        })
    }
}
