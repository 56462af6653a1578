//! Objects of our own: a commit with a few files, made in memory, as a pack that can be pushed.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use git2::{Buf, ObjectType, Odb, Repository};

use super::error::WireError;
use crate::domain::refs::Oid;

/// A commit and the pack that holds it, its tree and its files.
#[derive(Debug, Clone)]
pub struct Minted {
    /// The commit.
    pub commit: Oid,
    /// It and all that it needs, its parents aside.
    pub pack: Bytes,
}

/// What a commit is to hold.
#[derive(Debug, Clone, Copy)]
pub struct NewCommit<'a> {
    /// Names in the topmost folder, and contents.
    pub files: &'a [(&'a str, &'a [u8])],
    /// The commit before; it need not be here.
    pub parent: Option<Oid>,
    /// What it says.
    pub message: &'a str,
    /// When.
    pub at: DateTime<Utc>,
}

/// Makes a commit. Blocks: it compresses, so call it off the runtime's threads.
///
/// # Errors
/// [`WireError::BadRequest`] when libgit2 refuses, as for a name that is none.
pub fn mint(commit: &NewCommit<'_>) -> Result<Minted, WireError> {
    let bad = |error: &git2::Error| WireError::BadRequest { detail: format!("a commit of our own: {error}") };
    in_memory(commit).map_err(|error| bad(&error))
}

fn in_memory(commit: &NewCommit<'_>) -> Result<Minted, git2::Error> {
    let repository = Repository::from_odb(Odb::new()?)?;
    let odb = repository.odb()?;
    let memory = odb.add_new_mempack_backend(1)?;
    let mut entries = Vec::with_capacity(commit.files.len());
    for (name, content) in commit.files {
        entries.push((*name, odb.write(ObjectType::Blob, content)?));
    }
    let tree = odb.write(ObjectType::Tree, &tree(&mut entries))?;
    // Written as bytes, since libgit2 makes commits only on parents that it can see.
    let commit = odb.write(ObjectType::Commit, text(commit, tree).as_bytes())?;
    let mut pack = Buf::new();
    memory.dump(&repository, &mut pack)?;
    Ok(Minted { commit: oid(commit), pack: Bytes::copy_from_slice(&pack) })
}

/// A tree of plain files, in git's order.
fn tree(entries: &mut [(&str, git2::Oid)]) -> Vec<u8> {
    entries.sort_unstable();
    let mut out = Vec::new();
    for (name, oid) in entries {
        out.extend_from_slice(format!("100644 {name}\0").as_bytes());
        out.extend_from_slice(oid.as_bytes());
    }
    out
}

fn text(commit: &NewCommit<'_>, tree: git2::Oid) -> String {
    let parent = commit.parent.map(|it| format!("parent {it}\n")).unwrap_or_default();
    let who = format!("starkeep <starkeep@localhost> {} +0000", commit.at.timestamp());
    format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\n{}\n", commit.message)
}

/// libgit2's object id as ours.
pub(crate) fn oid(oid: git2::Oid) -> Oid {
    oid.as_bytes().first_chunk().map_or(Oid::ZERO, |it| Oid::from_bytes(*it))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn minted(parent: Option<Oid>) -> Minted {
        let files: &[(&str, &[u8])] = &[("refs", b"x\n"), ("README.md", b"# hello\n")];
        mint(&NewCommit { files, parent, message: "octo/hello", at: DateTime::UNIX_EPOCH }).unwrap()
    }

    #[test]
    fn a_commit_is_a_pack_that_git_takes_and_the_same_one_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(folder.path()).unwrap();
        let first = minted(None);
        assert_eq!(first.commit, minted(None).commit);
        let second = minted(Some(first.commit));
        for it in [&first, &second] {
            let odb = repository.odb().unwrap();
            let mut writer = odb.packwriter().unwrap();
            writer.write_all(&it.pack).unwrap();
            writer.commit().unwrap();
        }
        let tip = repository.find_commit(git2::Oid::from_str(&second.commit.to_string()).unwrap()).unwrap();
        assert_eq!(oid(tip.parent_id(0).unwrap()), first.commit);
        let file = tip.tree().unwrap().get_path("README.md".as_ref()).unwrap().to_object(&repository).unwrap();
        assert_eq!(file.as_blob().unwrap().content(), b"# hello\n");
        let set = format!("refs/heads/main\0{}", second.commit);
        let (name, value) = set.split_once('\0').unwrap();
        repository.reference(name, git2::Oid::from_str(value).unwrap(), false, "").unwrap();
        let fsck = std::process::Command::new("git").arg("-C").arg(folder.path()).args(["fsck", "--strict"]).status();
        assert!(fsck.unwrap().success());
    }
}
