//! The state: GitHub's JSON by number or id, without the addresses, which are put in when it is shown.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::simulator::github::json::time;

/// One kind of things, by number or id.
pub(super) type Things = BTreeMap<i64, Map<String, Value>>;

/// All of a repository's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf {
    pub(super) issues: Things,
    pub(super) pulls: Things,
    pub(super) comments: Things,
    pub(super) reviews: Things,
    pub(super) review_comments: Things,
    pub(super) releases: Things,
    pub(super) labels: Things,
    pub(super) milestones: Things,
    /// Fields of the repository itself: topics, homepage, license.
    pub(super) about: Map<String, Value>,
    /// Issues are switched off: 410.
    pub(super) issues_off: bool,
    last_number: i64,
}

impl Shelf {
    /// The next number of an issue or pull request.
    pub(super) fn number(&mut self) -> i64 {
        self.last_number += 1;
        self.last_number
    }

    /// Puts the repository's own fields over what is told of it anyway.
    pub(in crate::simulator::github) fn describe(&self, body: &mut Value) {
        if let Value::Object(body) = body {
            body.extend(self.about.clone());
            let open = self.issues.values().filter(|it| it.get("state") == Some(&json!("open"))).count();
            body.insert("open_issues_count".to_owned(), open.into());
        }
    }
}

/// What most things have.
pub(super) fn thing(id: i64, user: &str, body: &str, at: DateTime<Utc>) -> Map<String, Value> {
    let at = time(at);
    let fields = json!({
        "id": id,
        "user": { "login": user, "id": user.len(), "avatar_url": format!("https://avatars.invalid/{user}?v=4"), "type": "User" },
        "body": body,
        "created_at": at,
        "updated_at": at,
        "author_association": "NONE",
    });
    if let Value::Object(fields) = fields { fields } else { Map::new() }
}

/// Puts fields over those of a thing and moves its time.
pub(super) fn change(thing: &mut Map<String, Value>, fields: Value, at: DateTime<Utc>) {
    if let Value::Object(fields) = fields {
        thing.extend(fields);
    }
    thing.insert("updated_at".to_owned(), time(at).into());
}
