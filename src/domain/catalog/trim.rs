//! What of GitHub's JSON is not kept: what changes without meaning. Each is dropped for one of three
//! reasons: a counter that follows from other items, an address that GitHub changes or that carries a
//! token, a repository or account repeated inside another item.

use serde_json::{Map, Value};

use super::item::Kind;

/// Of the repository: counters, what git tells better, and what depends on who asks.
const OF_REPOSITORY: [&str; 16] = [
    "stargazers_count",
    "watchers_count",
    "watchers",
    "forks_count",
    "forks",
    "open_issues_count",
    "open_issues",
    "network_count",
    "subscribers_count",
    "size",
    "pushed_at",
    "updated_at",
    "permissions",
    "temp_clone_token",
    "parent",
    "source",
];
/// Of an account: pictures change for all items at once.
const OF_ACCOUNT: [&str; 2] = ["avatar_url", "gravatar_id"];
/// Of a milestone: they follow from the issues.
const OF_MILESTONE: [&str; 3] = ["open_issues", "closed_issues", "updated_at"];
/// Of a pull request: computed in the background, and known only some time after it was asked.
const OF_PULL: [&str; 4] = ["mergeable", "mergeable_state", "rebaseable", "merge_commit_sha"];
/// Deeper JSON is left as it is.
const DEEPEST: usize = 24;

/// Takes out what changes without meaning.
pub(super) fn trim(kind: Kind, value: &mut Value) {
    if let Value::Object(fields) = value {
        match kind {
            Kind::Repository => drop_all(fields, &OF_REPOSITORY),
            Kind::Milestone => drop_all(fields, &OF_MILESTONE),
            // A merged one's merge commit stays as it is; before that it is a try-out of GitHub's.
            Kind::Pull if fields.get("merged_at").is_some_and(|it| !it.is_null()) => drop_all(fields, &OF_PULL[..3]),
            Kind::Pull => drop_all(fields, &OF_PULL),
            _ => {}
        }
    }
    within(value, 0);
}

fn within(value: &mut Value, depth: usize) {
    if depth > DEEPEST {
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|it| within(it, depth + 1)),
        Value::Object(fields) => {
            if fields.contains_key("login") {
                drop_all(fields, &OF_ACCOUNT);
            }
            if fields.contains_key("download_count") && fields.contains_key("browser_download_url") {
                drop_all(fields, &["download_count"]);
            }
            if let Some(Value::Object(milestone)) = fields.get_mut("milestone") {
                drop_all(milestone, &OF_MILESTONE);
            }
            for name in ["repo", "repository"] {
                if let Some(Value::Object(repository)) = fields.get_mut(name) {
                    drop_all(repository, &OF_REPOSITORY);
                }
            }
            fields.values_mut().for_each(|it| within(it, depth + 1));
        }
        _ => {}
    }
}

fn drop_all(fields: &mut Map<String, Value>, names: &[&str]) {
    fields.retain(|name, _| !names.contains(&name.as_str()));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_vote_a_download_or_a_new_picture_is_no_change_of_the_rest() {
        let mut issue = json!({
            "number": 1,
            "user": { "login": "a", "avatar_url": "x" },
            "milestone": { "title": "1.0", "open_issues": 3, "creator": { "login": "b", "gravatar_id": "" } },
            "open_issues": "a field that only looks like it",
        });
        trim(Kind::Issue, &mut issue);
        let want = json!({
            "number": 1,
            "user": { "login": "a" },
            "milestone": { "title": "1.0", "creator": { "login": "b" } },
            "open_issues": "a field that only looks like it",
        });
        assert_eq!(issue, want);
        let mut release = json!({ "assets": [{ "name": "x", "browser_download_url": "u", "download_count": 7 }] });
        trim(Kind::Release, &mut release);
        assert_eq!(release, json!({ "assets": [{ "name": "x", "browser_download_url": "u" }] }));
    }

    #[test]
    fn a_merge_commit_counts_once_it_is_merged() {
        let mut open = json!({ "merge_commit_sha": "a", "merged_at": null, "mergeable": true });
        trim(Kind::Pull, &mut open);
        assert_eq!(open, json!({ "merged_at": null }));
        let mut merged = json!({ "merge_commit_sha": "a", "merged_at": "2024-01-01T00:00:00Z" });
        trim(Kind::Pull, &mut merged);
        assert_eq!(merged["merge_commit_sha"], "a");
    }
}
