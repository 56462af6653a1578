//! `/~api/repositories/{project}`: default branch, branches, tags, commits, files, directories.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use git2::{ErrorCode, ObjectType, Repository};
use serde_json::{Value, json};

use super::auth::Access;
use super::data::{Reader, object};
use super::projects::project;
use super::reply::Reply;
use super::rest::{Call, unknown};
use super::{Shared, commits, hooks};
use crate::simulator::record::lock;

pub(crate) fn answer(shared: &Shared, call: &Call, rest: &[&str]) -> Result<Reply, Reply> {
    let (id, rest) = rest.split_first().ok_or_else(unknown)?;
    let wanted = if call.method == "GET" { Access::Read } else { Access::Write };
    let folder = {
        let state = lock(&shared.state);
        project(&state, call, id, wanted)?.folder.clone()
    };
    let repository = Repository::open_bare(&folder)?;
    let (kind, below) = rest.split_first().ok_or_else(unknown)?;
    let tail = below.join("/");
    match (call.method.as_str(), *kind, tail.as_str()) {
        ("GET", "default-branch", "") => Ok(match hooks::default_branch(&repository) {
            Some(branch) => Reply::bare(&branch),
            None => Reply::nothing(),
        }),
        ("POST", "default-branch", "") => set_default_branch(&repository, call),
        ("GET", "branches" | "tags", "") => list(&repository, kind),
        ("POST", "branches" | "tags", "") => create(&repository, call, kind),
        (_, "branches" | "tags", name) => one(&repository, call, kind, name),
        ("GET", "commits", "") => commits::query(&repository, call),
        ("GET", "commits", hash) => commits::one(&repository, call, hash),
        ("GET", "files", path) => file(&repository, path),
        ("GET", "directories", path) => directory(&repository, path),
        _ => Err(unknown()),
    }
}

/// The body is a JSON string; anything else is a 500.
fn set_default_branch(repository: &Repository, call: &Call) -> Result<Reply, Reply> {
    let branch: String = serde_json::from_slice(&call.body)
        .map_err(|error| Reply::server_error(&format!("com.fasterxml.jackson.core.JsonParseException: {error}")))?;
    if repository.find_reference(&format!("refs/heads/{branch}")).is_err() {
        return Err(Reply::server_error(&format!("Branch not exist: {branch}")));
    }
    repository.reference_symbolic("HEAD", &format!("refs/heads/{branch}"), true, "default branch")?;
    Ok(Reply::done())
}

/// `refs/heads/` or `refs/tags/`, and the word for one of them.
fn space(kind: &str) -> (&'static str, &'static str) {
    if kind == "tags" { ("refs/tags/", "Tag") } else { ("refs/heads/", "Branch") }
}

fn list(repository: &Repository, kind: &str) -> Result<Reply, Reply> {
    let (prefix, _) = space(kind);
    let mut names = Vec::new();
    for reference in repository.references_glob(&format!("{prefix}*"))? {
        names.extend(reference?.name().ok().and_then(|it| it.strip_prefix(prefix)).map(str::to_owned));
    }
    Ok(Reply::json(&json!(names)))
}

fn one(repository: &Repository, call: &Call, kind: &str, name: &str) -> Result<Reply, Reply> {
    if call.raw.to_ascii_lowercase().contains("%2b") {
        // The path's escapes are undone twice.
        return Err(Reply::server_error("Server Error"));
    }
    let (prefix, word) = space(kind);
    let missing = || Reply::text(404, &format!("{word} not found: {name}"));
    let mut reference = repository.find_reference(&format!("{prefix}{name}")).map_err(|_| missing())?;
    match call.method.as_str() {
        "GET" => {
            let commit = reference.peel(ObjectType::Commit)?;
            Ok(Reply::json(&json!({ "refName": format!("{prefix}{name}"), "commitHash": commit.id().to_string() })))
        }
        "DELETE" => {
            reference.delete()?;
            Ok(Reply::done())
        }
        _ => Err(Reply::text(405, "HTTP 405 Method Not Allowed")),
    }
}

/// A branch stands on exactly the commit; a tag always gets a tag object of its own.
fn create(repository: &Repository, call: &Call, kind: &str) -> Result<Reply, Reply> {
    let (prefix, word) = space(kind);
    let fields = object(&call.body)?;
    let reader = Reader(&fields);
    let field = if kind == "tags" { "tagName" } else { "branchName" };
    let required = |name: &str| {
        reader.text(name)?.ok_or_else(|| Reply::bean(&format!("create{word}.arg1.{name}: must not be empty")))
    };
    let (name, revision) = (required(field)?, required("revision")?);
    let full = format!("{prefix}{name}");
    if repository.find_reference(&full).is_ok() {
        return Err(Reply::text(406, &format!("{word} '{name}' already exists")));
    }
    let missing = || Reply::text(404, &format!("Unable to find commit: {revision}"));
    let commit = resolve(repository, &revision).and_then(|it| it.peel(ObjectType::Commit).ok()).ok_or_else(missing)?;
    if kind == "tags" {
        let who = git2::Signature::new("admin", "admin@example.org", &git2::Time::new(1_767_225_600, 0))?;
        let message = reader.text("tagMessage")?.unwrap_or_default();
        repository.tag(&name, &commit, &who, &message, false)?;
    } else {
        repository.reference(&full, commit.id(), false, "created")?;
    }
    Ok(Reply::done())
}

/// An object by hash, full ref, branch or tag.
pub(super) fn resolve<'r>(repository: &'r Repository, revision: &str) -> Option<git2::Object<'r>> {
    if revision.len() == 40
        && let Ok(oid) = git2::Oid::from_str(revision)
    {
        return repository.find_object(oid, None).ok();
    }
    ["", "refs/heads/", "refs/tags/"].iter().filter(|it| !it.is_empty() || revision.starts_with("refs/")).find_map(
        |prefix| {
            let oid = repository.refname_to_id(&format!("{prefix}{revision}")).ok()?;
            repository.find_object(oid, None).ok()
        },
    )
}

/// Splits `revision/path`, where either half may hold slashes: the shortest that is a revision wins.
fn revision_and_path<'r>(repository: &'r Repository, text: &str) -> Result<(git2::Tree<'r>, String), Reply> {
    let segments: Vec<&str> = text.split('/').collect();
    for end in 1..=segments.len() {
        let (revision, path) = segments.split_at(end);
        if let Some(object) = resolve(repository, &revision.join("/")) {
            return Ok((object.peel_to_tree()?, path.join("/")));
        }
    }
    Err(Reply::text(404, &format!("Unable to find revision: {text}")))
}

fn entry<'r>(repository: &'r Repository, tree: &git2::Tree<'r>, path: &str) -> Result<git2::Object<'r>, Reply> {
    match tree.get_path(path.as_ref()) {
        Ok(entry) => Ok(entry.to_object(repository)?),
        Err(error) if error.code() == ErrorCode::NotFound => {
            Err(Reply::text(404, &format!("Unable to find blob path '{path}'")))
        }
        Err(error) => Err(error.into()),
    }
}

fn file(repository: &Repository, text: &str) -> Result<Reply, Reply> {
    let (tree, path) = revision_and_path(repository, text)?;
    let object = entry(repository, &tree, &path)?;
    let Some(blob) = object.as_blob() else {
        return Err(Reply::text(406, &format!("Specified path is not a file: {path}")));
    };
    Ok(Reply::json(&json!({
        "path": path,
        "sha": blob.id().to_string(),
        "base64Content": STANDARD.encode(blob.content()),
        "size": blob.size(),
        "isPartial": false,
    })))
}

fn directory(repository: &Repository, text: &str) -> Result<Reply, Reply> {
    let (tree, path) = revision_and_path(repository, text)?;
    let tree = if path.is_empty() {
        tree
    } else {
        let object = entry(repository, &tree, &path)?;
        object.into_tree().map_err(|_| Reply::text(406, &format!("Specified path is not a directory: {path}")))?
    };
    let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
    let children: Vec<Value> = tree
        .iter()
        .map(|it| {
            let name = String::from_utf8_lossy(it.name_bytes()).into_owned();
            json!({ "path": format!("{prefix}{name}"), "isFile": it.kind() == Some(ObjectType::Blob) })
        })
        .collect();
    Ok(Reply::json(&Value::Array(children)))
}
