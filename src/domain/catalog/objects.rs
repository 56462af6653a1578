//! Git objects as bytes: their names, and how trees and commits are written down. For markers too.

use chrono::{DateTime, Utc};
use sha1::{Digest as _, Sha1};

use crate::domain::refs::Oid;

/// The three kinds that a catalog is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// A commit.
    Commit,
    /// A folder.
    Tree,
    /// A file.
    Blob,
}

impl ObjectKind {
    /// Git's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
        }
    }
}

/// The name of an object with this content.
pub fn oid(kind: ObjectKind, content: &[u8]) -> Oid {
    let mut hash = Sha1::new();
    hash.update(format!("{} {}\0", kind.as_str(), content.len()).as_bytes());
    hash.update(content);
    Oid::from_bytes(hash.finalize().into())
}

/// What stands under a name in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// A folder; otherwise a file.
    pub is_tree: bool,
    /// Which object.
    pub oid: Oid,
}

impl Entry {
    /// A file.
    pub fn file(oid: Oid) -> Self {
        Self { is_tree: false, oid }
    }

    /// A folder.
    pub fn folder(oid: Oid) -> Self {
        Self { is_tree: true, oid }
    }
}

/// A folder as git writes it. Names are sorted as git wants them: a folder's as if it ended in `/`.
pub fn tree(entries: &[(String, Entry)]) -> Vec<u8> {
    let key = |(name, entry): &(String, Entry)| {
        let mut key = name.clone().into_bytes();
        key.extend(entry.is_tree.then_some(b'/'));
        key
    };
    let mut sorted: Vec<&(String, Entry)> = entries.iter().collect();
    sorted.sort_by_key(|it| key(it));
    let mut out = Vec::with_capacity(entries.len() * 40);
    for (name, entry) in sorted {
        out.extend_from_slice(if entry.is_tree { b"40000 " } else { b"100644 " });
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend_from_slice(entry.oid.as_bytes());
    }
    out
}

/// A commit by starkeep as git writes it.
pub fn commit(tree: Oid, parent: Option<Oid>, at: DateTime<Utc>, message: &str) -> Vec<u8> {
    let parent = parent.map_or_else(String::new, |it| format!("parent {it}\n"));
    let who = format!("starkeep <starkeep@localhost> {} +0000", at.timestamp());
    format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\n{message}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_the_names_that_git_gives_them() {
        assert_eq!(oid(ObjectKind::Blob, b"hello\n").to_string(), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(oid(ObjectKind::Tree, &tree(&[])).to_string(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
    }

    #[test]
    fn a_folder_is_sorted_as_if_it_ended_in_a_slash() {
        let blob = oid(ObjectKind::Blob, b"");
        let names = |entries: &[(&str, bool)]| {
            let entries: Vec<_> = entries
                .iter()
                .map(|(name, is_tree)| ((*name).to_owned(), Entry { is_tree: *is_tree, oid: blob }))
                .collect();
            tree(&entries)
        };
        let written = String::from_utf8_lossy(&names(&[("a", true), ("a.b", false), ("a0", false)])).into_owned();
        assert!(written.find("a.b").unwrap() < written.find("40000 a").unwrap());
        assert!(written.find("40000 a").unwrap() < written.find("a0").unwrap());
    }
}
