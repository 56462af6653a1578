//! The catalog for people: Markdown beside the JSON.
//!
//! What people wrote stands as they wrote it. Nothing here tells the present time, or the pages
//! would change with every look.

use serde_json::Value;

/// Longer pages are cut, with a word that the rest stands in the JSON files. Bytes.
const LONGEST_PAGE: usize = 8 << 20;

/// What belongs to one issue or pull request.
#[derive(Debug, Clone, Default)]
pub struct Thread {
    /// The issue, or a pull request's issue side.
    pub issue: Option<Value>,
    /// A pull request's other side.
    pub pull: Option<Value>,
    /// Comments, reviews and comments on lines, in any order.
    pub remarks: Vec<Value>,
}

/// An issue or pull request with everything said in it, the oldest first.
pub fn thread(thread: &mut Thread) -> String {
    let empty = Value::Null;
    let top = thread.issue.as_ref().or(thread.pull.as_ref()).unwrap_or(&empty);
    let mut page = format!("# #{} {}\n\n", number(top, "number"), line(top, "title"));
    page.push_str(&format!("{} by {}, {}", state(top, thread.pull.as_ref()), who(top), text(top, "created_at")));
    for (word, value) in facts(top, thread.pull.as_ref()) {
        page.push_str(&format!("  \n{word}: {value}"));
    }
    page.push_str(&format!("\n\n{}\n", body(top)));
    thread.remarks.sort_by(|a, b| key(a).cmp(&key(b)));
    for remark in &thread.remarks {
        if page.len() > LONGEST_PAGE {
            page.push_str("\n---\n\nThis page is cut here; the rest stands in the JSON files beside it.\n");
            break;
        }
        page.push_str(&said(remark));
    }
    page
}

fn key(remark: &Value) -> (&str, i64) {
    (time(remark), number(remark, "id"))
}

/// A review is submitted, everything else is created.
fn time(remark: &Value) -> &str {
    let submitted = text(remark, "submitted_at");
    if submitted.is_empty() { text(remark, "created_at") } else { submitted }
}

fn said(remark: &Value) -> String {
    let verb = match (text(remark, "state"), text(remark, "path")) {
        ("APPROVED", _) => "approved".to_owned(),
        ("CHANGES_REQUESTED", _) => "asked for changes".to_owned(),
        ("DISMISSED", _) => "reviewed (dismissed)".to_owned(),
        ("", "") => "commented".to_owned(),
        ("", path) => {
            let at = [number(remark, "line"), number(remark, "original_line")].into_iter().find(|it| *it > 0);
            format!(
                "commented on `{}`{}",
                path.replace('`', "'"),
                at.map_or_else(String::new, |it| format!(", line {it}"))
            )
        }
        _ => "reviewed".to_owned(),
    };
    let edited = text(remark, "updated_at");
    let edited = if edited.is_empty() || edited == text(remark, "created_at") {
        String::new()
    } else {
        format!(" (changed {edited})")
    };
    format!("\n---\n\n**{}** {verb}, {}{edited}\n\n{}\n", who(remark), time(remark), body(remark))
}

fn state(top: &Value, pull: Option<&Value>) -> String {
    let merged = pull.is_some_and(|it| !text(it, "merged_at").is_empty())
        || top.get("pull_request").is_some_and(|it| !text(it, "merged_at").is_empty());
    let state = match text(top, "state") {
        "closed" if merged => "merged",
        "" => "open",
        other => other,
    };
    let reason = text(top, "state_reason");
    let reason =
        if reason.is_empty() || state == "open" { String::new() } else { format!(" ({})", reason.replace('_', " ")) };
    let draft = if pull.is_some_and(|it| it.get("draft") == Some(&Value::Bool(true))) { ", draft" } else { "" };
    format!("**{state}**{reason}{draft}, opened")
}

fn facts(top: &Value, pull: Option<&Value>) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let mut add = |word, value: String| {
        if !value.is_empty() {
            facts.push((word, value));
        }
    };
    if let Some(pull) = pull {
        let side = |name: &str| pull.get(name).map_or("", |it| text(it, "label")).to_owned();
        add("branches", format!("`{}` into `{}`", side("head"), side("base")));
        add("merged", text(pull, "merged_at").to_owned());
    }
    add("closed", text(top, "closed_at").to_owned());
    add("labels", names(top, "labels", "name"));
    add("milestone", top.get("milestone").map_or("", |it| text(it, "title")).to_owned());
    add("assigned to", names(top, "assignees", "login"));
    add("at GitHub", text(top, "html_url").to_owned());
    facts
}

/// A release with its assets.
pub fn release(release: &Value) -> String {
    let name = line(release, "name");
    let tag = line(release, "tag_name");
    let title = if name.is_empty() { tag } else { name };
    let mut page = format!("# {title}\n\ntag `{}`", text(release, "tag_name").replace('`', "'"));
    for (field, word) in [("draft", "draft"), ("prerelease", "pre-release")] {
        if release.get(field) == Some(&Value::Bool(true)) {
            page.push_str(&format!(", {word}"));
        }
    }
    let at = text(release, "published_at");
    let author = release.get("author").map_or("", |it| text(it, "login"));
    page.push_str(&format!(", by @{author}, {at}\n\n{}\n", body(release)));
    let assets = release.get("assets").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if !assets.is_empty() {
        page.push_str("\n| asset | bytes | digest |\n| --- | --- | --- |\n");
        for asset in assets {
            let cell = |it: &str| it.replace('|', "\\|");
            let (name, digest) = (cell(&line(asset, "name")), cell(text(asset, "digest")));
            page.push_str(&format!("| {name} | {} | {digest} |\n", number(asset, "size")));
        }
    }
    page
}

/// What the front page counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Issues, pull requests left out.
    pub issues: u64,
    /// Pull requests.
    pub pulls: u64,
    /// Comments and reviews of every kind.
    pub remarks: u64,
    /// Releases.
    pub releases: u64,
    /// Labels.
    pub labels: u64,
    /// Milestones.
    pub milestones: u64,
}

/// The front page.
pub fn front(repository: &Value, counts: &Counts, stars: &[(i64, String)]) -> String {
    let mut page = format!("# {}\n\n{}\n\n", line(repository, "full_name"), line(repository, "description"));
    let licence = repository.get("license").map_or("", |it| text(it, "spdx_id"));
    let topics = repository.get("topics").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let topics: Vec<&str> = topics.iter().filter_map(Value::as_str).collect();
    for (word, value) in [
        ("at GitHub", text(repository, "html_url")),
        ("homepage", text(repository, "homepage")),
        ("licence", licence),
        ("topics", &topics.join(", ")),
        ("created", text(repository, "created_at")),
    ] {
        if !value.is_empty() {
            page.push_str(&format!("- {word}: {value}\n"));
        }
    }
    for (account, at) in stars {
        page.push_str(&format!("- starred by account {account}: {at}\n"));
    }
    let Counts { issues, pulls, remarks, releases, labels, milestones } = counts;
    page.push_str(&format!(
        "\n| what | how many | where |\n| --- | --- | --- |\n| issues | {issues} | `issues/` |\n\
         | pull requests | {pulls} | `pulls/` |\n| comments and reviews | {remarks} | beside them |\n\
         | releases | {releases} | `releases/` |\n| labels | {labels} | `labels.json` |\n\
         | milestones | {milestones} | `milestones/` |\n\n\
         Written by starkeep. The JSON files hold GitHub's own fields; earlier states stand in the history of this ref.\n"
    ));
    page
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A text on one line.
fn line(value: &Value, field: &str) -> String {
    text(value, field).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn number(value: &Value, field: &str) -> i64 {
    value.get(field).and_then(Value::as_i64).unwrap_or_default()
}

fn body(value: &Value) -> String {
    text(value, "body").replace("\r\n", "\n").trim_end().to_owned()
}

/// An account that was deleted is GitHub's `ghost`.
fn who(value: &Value) -> String {
    let login = value.get("user").map_or("", |it| text(it, "login"));
    format!("@{}", if login.is_empty() { "ghost" } else { login })
}

fn names(value: &Value, list: &str, field: &str) -> String {
    let items = value.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    items.iter().map(|it| line(it, field)).filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_thread_reads_from_its_beginning() {
        let mut it = Thread {
            issue: Some(json!({ "number": 5, "title": "It\nfails", "state": "closed", "state_reason": "not_planned",
                "user": { "login": "a" }, "created_at": "2024-01-01T00:00:00Z", "body": "why?\r\n",
                "labels": [{ "name": "bug" }, { "name": "ui" }] })),
            pull: None,
            remarks: vec![
                json!({ "id": 2, "user": null, "created_at": "2024-01-03T00:00:00Z", "updated_at": "2024-01-04T00:00:00Z", "body": "later" }),
                json!({ "id": 1, "user": { "login": "b" }, "created_at": "2024-01-02T00:00:00Z", "updated_at": "2024-01-02T00:00:00Z", "body": "first" }),
            ],
        };
        assert_eq!(
            thread(&mut it),
            "# #5 It fails\n\n**closed** (not planned), opened by @a, 2024-01-01T00:00:00Z  \nlabels: bug, ui\n\nwhy?\n\
             \n---\n\n**@b** commented, 2024-01-02T00:00:00Z\n\nfirst\n\
             \n---\n\n**@ghost** commented, 2024-01-03T00:00:00Z (changed 2024-01-04T00:00:00Z)\n\nlater\n"
        );
    }

    #[test]
    fn a_pull_request_tells_its_branches_and_its_reviews() {
        let mut it = Thread {
            issue: Some(json!({ "number": 6, "title": "Mend", "state": "closed", "user": { "login": "a" } })),
            pull: Some(
                json!({ "merged_at": "2024-02-01T00:00:00Z", "head": { "label": "a:fix" }, "base": { "label": "o:main" } }),
            ),
            remarks: vec![
                json!({ "id": 1, "state": "APPROVED", "user": { "login": "r" }, "submitted_at": "2024-01-09T00:00:00Z", "body": "" }),
            ],
        };
        let page = thread(&mut it);
        assert!(page.contains("**merged**") && page.contains("`a:fix` into `o:main`"), "{page}");
        assert!(page.contains("**@r** approved, 2024-01-09T00:00:00Z"), "{page}");
    }

    #[test]
    fn nothing_at_all_is_still_a_page() {
        assert!(thread(&mut Thread::default()).starts_with("# #0 "));
        assert!(release(&Value::Null).starts_with("# \n"));
        assert!(front(&Value::Null, &Counts::default(), &[]).contains("| issues | 0 |"));
    }
}
