//! `/~api/repositories/{project}/commits`: the query that tells whether one commit is an ancestor of
//! another, and single commits.

use git2::{ObjectType, Oid, Repository, Sort};
use serde_json::{Value, json};

use super::reply::Reply;
use super::repositories::resolve;
use super::rest::Call;

/// More at once are refused.
const MOST: usize = 10_000;

/// Where a walk begins and where it stops.
#[derive(Debug, Default)]
struct Range {
    include: Vec<Oid>,
    exclude: Vec<Oid>,
}

pub(super) fn query(repository: &Repository, call: &Call) -> Result<Reply, Reply> {
    call.check_query(&["count"], &["query", "field"])?;
    let count = call.number("count")?;
    if count > MOST {
        return Err(Reply::text(406, &format!("Count should not be greater than {MOST}")));
    }
    let text = call.query.get("query").map_or("", String::as_str);
    if !text.is_empty() && call.query.contains_key("field") {
        return Err(Reply::server_error("Server Error"));
    }
    let range = parse(repository, text)?;
    let mut walk = repository.revwalk()?;
    walk.set_sorting(Sort::TIME)?;
    if range.include.is_empty() {
        // An unborn default branch has no commits.
        if walk.push_head().is_err() {
            return Ok(Reply::json(&json!([])));
        }
    }
    for oid in &range.include {
        walk.push(*oid)?;
    }
    for oid in &range.exclude {
        walk.hide(*oid)?;
    }
    let mut found = Vec::new();
    for oid in walk.take(count) {
        found.push(show(repository, oid?, call)?);
    }
    Ok(Reply::json(&Value::Array(found)))
}

pub(super) fn one(repository: &Repository, call: &Call, hash: &str) -> Result<Reply, Reply> {
    call.check_query(&[], &["field"])?;
    let oid = commit(repository, hash)?;
    Ok(Reply::json(&show(repository, oid, call)?))
}

fn show(repository: &Repository, oid: Oid, call: &Call) -> Result<Value, Reply> {
    let commit = repository.find_commit(oid)?;
    let wanted = |field: &str| call.query.get("field").is_some_and(|it| it == field);
    let subject = commit.summary().ok().flatten().filter(|_| wanted("SUBJECT"));
    Ok(json!({
        "hash": oid.to_string(),
        "subject": subject,
        "body": null,
        "commitDate": null,
        "committer": null,
        "author": null,
        "parentHashes": wanted("PARENTS").then(|| commit.parent_ids().map(|it| it.to_string()).collect::<Vec<_>>()),
        "fileChanges": null,
    }))
}

fn commit(repository: &Repository, revision: &str) -> Result<Oid, Reply> {
    let found = resolve(repository, revision).and_then(|it| it.peel(ObjectType::Commit).ok());
    found.map(|it| it.id()).ok_or_else(|| Reply::text(404, "Commit not found"))
}

/// Reads `until commit(X) since branch(Y) …`; a revision without either word is walked from.
fn parse(repository: &Repository, text: &str) -> Result<Range, Reply> {
    let invalid = || Reply::text(406, "Error parsing query");
    let mut range = Range::default();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let mut since = false;
        for (word, excludes) in [("until ", false), ("since ", true)] {
            if let Some(after) = rest.strip_prefix(word) {
                (rest, since) = (after.trim_start(), excludes);
                break;
            }
        }
        let (oid, after) = if let Some(after) = rest.strip_prefix("default-branch") {
            let head = repository.head().ok().and_then(|it| it.target()).ok_or_else(invalid)?;
            (head, after)
        } else {
            let (kind, after) = rest.split_once('(').ok_or_else(invalid)?;
            let (name, after) = after.split_once(')').ok_or_else(invalid)?;
            let full = match kind {
                "commit" => name.to_owned(),
                "branch" => format!("refs/heads/{name}"),
                "tag" => format!("refs/tags/{name}"),
                _ => return Err(invalid()),
            };
            (commit(repository, &full)?, after)
        };
        if since {
            range.exclude.push(oid);
        } else {
            range.include.push(oid);
        }
        rest = after.trim_start();
    }
    Ok(range)
}
