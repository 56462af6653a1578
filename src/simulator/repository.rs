//! A bare repository on disk, read and edited with libgit2: what the control methods of both servers
//! stand on.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use git2::build::TreeUpdateBuilder;
use git2::{ErrorCode, FileMode, ObjectType, Repository, RepositoryInitOptions, Signature, Time};

use super::SimulatorError;
use crate::domain::refs::{Head, Oid, RefMap, RefName};

/// A bare repository whose HEAD points at the branch `main`.
pub(crate) fn create(folder: &Path) -> Result<(), SimulatorError> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).mkpath(true).external_template(false).initial_head("main");
    Repository::init_opts(folder, &options)?;
    Ok(())
}

/// Every ref below `refs/` that holds an oid and whose name is UTF-8.
pub(crate) fn refs(folder: &Path) -> Result<RefMap, SimulatorError> {
    let repository = Repository::open_bare(folder)?;
    let mut found = RefMap::new();
    for reference in repository.references()? {
        let reference = reference?;
        let name = reference.name().ok().and_then(|it| RefName::new(it).ok());
        if let (Some(name), Some(oid)) = (name, reference.target()) {
            found.insert(name, ours(oid)?);
        }
    }
    Ok(found)
}

/// Where HEAD points.
pub(crate) fn head(folder: &Path) -> Result<Head, SimulatorError> {
    let repository = Repository::open_bare(folder)?;
    let head = repository.find_reference("HEAD")?;
    let Some(target) = head.symbolic_target().ok().flatten().and_then(|it| RefName::new(it).ok()) else {
        return Ok(Head::Unknown);
    };
    let born = repository.refname_to_id(target.as_str()).is_ok();
    Ok(if born { Head::Branch(target) } else { Head::Unborn(target) })
}

/// The name of the branch that HEAD points at, whether it exists or not.
pub(crate) fn head_branch(folder: &Path) -> Result<String, SimulatorError> {
    let head = head(folder)?;
    Ok(head.target().and_then(RefName::branch).unwrap_or("main").to_owned())
}

/// Points HEAD at a branch, which need not exist.
pub(crate) fn set_head(folder: &Path, branch: &str) -> Result<(), SimulatorError> {
    Repository::open_bare(folder)?.reference_symbolic("HEAD", &format!("refs/heads/{branch}"), true, "HEAD")?;
    Ok(())
}

/// Puts a ref where it should stand, whatever it held.
pub(crate) fn set_ref(folder: &Path, name: &str, oid: Oid) -> Result<(), SimulatorError> {
    Repository::open_bare(folder)?.reference(name, theirs(oid)?, true, "set")?;
    Ok(())
}

/// Takes a ref away; one that is not there is as well.
pub(crate) fn delete_ref(folder: &Path, name: &str) -> Result<(), SimulatorError> {
    match Repository::open_bare(folder)?.find_reference(name) {
        Ok(mut reference) => Ok(reference.delete()?),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Puts many refs at once, packed: tens of thousands in a moment. Names may not collide as folder
/// and file.
pub(crate) fn set_refs(folder: &Path, wanted: &RefMap) -> Result<(), SimulatorError> {
    let mut all = refs(folder)?;
    all.extend(wanted.iter().map(|(name, oid)| (name.clone(), *oid)));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let mut text = String::from("# pack-refs with: sorted \n");
    for (name, oid) in &all {
        text.push_str(&format!("{oid} {name}\n"));
    }
    file.write_all(text.as_bytes())?;
    file.persist(folder.join("packed-refs")).map_err(|error| error.error)?;
    for name in wanted.keys() {
        match std::fs::remove_file(folder.join(name.as_str())) {
            Err(error) if !matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Err(error.into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether `oid` is a commit or a tag that leads to one.
pub(crate) fn leads_to_commit(repository: &Repository, oid: &str) -> bool {
    git2::Oid::from_str(oid)
        .and_then(|oid| repository.find_object(oid, None))
        .and_then(|object| object.peel(ObjectType::Commit))
        .is_ok()
}

/// A copy of a repository, hard-linked where the disk allows it, with every ref and HEAD.
pub(crate) fn import(folder: &Path, from: &Path) -> Result<(), SimulatorError> {
    let git = super::process::Git::new(&[]);
    let aside = PathBuf::from(format!("{}.old", folder.display()));
    std::fs::rename(folder, &aside)?;
    let mut command = git.command(&["clone", "-q", "--mirror"], from).into_std();
    let output =
        command.arg(folder).stdin(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).output()?;
    if !output.status.success() {
        std::fs::rename(&aside, folder)?;
        return Err(SimulatorError::Clone(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    std::fs::remove_dir_all(&aside)?;
    Ok(())
}

/// A ref's oid, if it is there.
pub(crate) fn tip(folder: &Path, name: &str) -> Result<Option<Oid>, SimulatorError> {
    match Repository::open_bare(folder)?.refname_to_id(name) {
        Ok(oid) => ours(oid).map(Some),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether an object is there, reachable or not.
pub(crate) fn has_object(folder: &Path, oid: Oid) -> Result<bool, SimulatorError> {
    Ok(Repository::open_bare(folder)?.odb()?.exists(theirs(oid)?))
}

/// Makes a commit on parents (none: a root) at a time in Unix seconds, that no ref holds yet. Its
/// files are the first parent's, with one changed.
pub(crate) fn commit(
    folder: &Path,
    parents: &[Oid],
    path: &str,
    content: &str,
    at: i64,
) -> Result<Oid, SimulatorError> {
    let repository = Repository::open_bare(folder)?;
    let mut found = Vec::new();
    for parent in parents {
        found.push(repository.find_commit(theirs(*parent)?)?);
    }
    let base = match found.first() {
        Some(parent) => parent.tree()?,
        None => repository.find_tree(repository.treebuilder(None)?.write()?)?,
    };
    let blob = repository.blob(content.as_bytes())?;
    let tree = TreeUpdateBuilder::new().upsert(path, blob, FileMode::Blob).create_updated(&repository, &base)?;
    let tree = repository.find_tree(tree)?;
    let parents: Vec<_> = found.iter().collect();
    let who = signature(at)?;
    ours(repository.commit(None, &who, &who, &format!("Change {path}\n"), &tree, &parents)?)
}

/// Makes a commit that takes one file away, that no ref holds yet.
pub(crate) fn commit_without(folder: &Path, parent: Oid, path: &str, at: i64) -> Result<Oid, SimulatorError> {
    let repository = Repository::open_bare(folder)?;
    let parent = repository.find_commit(theirs(parent)?)?;
    let base = parent.tree()?;
    base.get_path(Path::new(path))?;
    let tree = repository.find_tree(TreeUpdateBuilder::new().remove(path).create_updated(&repository, &base)?)?;
    let who = signature(at)?;
    ours(repository.commit(None, &who, &who, &format!("Delete {path}\n"), &tree, &[&parent])?)
}

/// Who makes every commit and tag of the simulation.
pub(crate) fn signature(at: i64) -> Result<Signature<'static>, SimulatorError> {
    Ok(Signature::new("Simulated", "simulated@example.org", &Time::new(at, 0))?)
}

/// libgit2's oid as ours.
pub(crate) fn ours(oid: git2::Oid) -> Result<Oid, SimulatorError> {
    let bytes = oid.as_bytes().try_into().map_err(|_| git2::Error::from_str("not a SHA-1 object id"))?;
    Ok(Oid::from_bytes(bytes))
}

/// Our oid as libgit2's.
pub(crate) fn theirs(oid: Oid) -> Result<git2::Oid, SimulatorError> {
    Ok(git2::Oid::from_str(&oid.to_string())?)
}
