//! Where things stand in the catalog's tree.
//!
//! ```text
//! README.md  repository.json  labels.json
//! milestones/000001.json
//! releases/v1.0-1234/{release.json, release.md, assets/…}
//! issues/000100-000199/000123/{issue.json, issue.md, comments/456.json}
//! pulls/000100-000199/000124/{issue.json, pull.json, pull.md, comments/, reviews/, review-comments/}
//! ```
//! A hundred threads share a folder, so that one change writes no huge folder anew.

use super::item::Kind;

/// Threads of one folder.
const SHARD: i64 = 100;
/// Characters of a tag in a release's folder.
const LONGEST_TAG: usize = 60;

/// The folder of folders that a thread stands in, and its own name there.
pub fn thread(number: i64, is_pull: bool) -> (String, String) {
    let first = number - number.rem_euclid(SHARD);
    let top = if is_pull { "pulls" } else { "issues" };
    (format!("{top}/{first:06}-{:06}", first + SHARD - 1), format!("{number:06}"))
}

/// A release's folder below `releases`: its tag for people, its id for certainty.
pub fn release(id: i64, tag: &str) -> String {
    let tag: String = tag
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .take(LONGEST_TAG)
        .collect();
    // A folder may not begin with a dot: `.git` is no name for a folder.
    format!("{}{}", tag.replace(|c: char| c == '.' && tag.starts_with('.'), "_"), release_mark(id))
}

/// How the folder of a release ends, whatever its tag is.
pub fn release_mark(id: i64) -> String {
    format!("-{id}")
}

/// A milestone's file below `milestones`.
pub fn milestone(number: i64) -> String {
    format!("{number:06}.json")
}

/// An item's place within its thread: a folder or none, and a file.
pub fn in_thread(kind: Kind, id: i64) -> (Option<&'static str>, String) {
    match kind {
        Kind::Issue => (None, "issue.json".to_owned()),
        Kind::Pull => (None, "pull.json".to_owned()),
        Kind::Review => (Some("reviews"), format!("{id}.json")),
        Kind::ReviewComment => (Some("review-comments"), format!("{id}.json")),
        _ => (Some("comments"), format!("{id}.json")),
    }
}

/// A path's folder and name; the root's folder is the empty text.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn threads_stand_in_folders_of_a_hundred() {
        let at = |number, is_pull| {
            let (folder, name) = thread(number, is_pull);
            format!("{folder}/{name}")
        };
        assert_eq!(at(7, false), "issues/000000-000099/000007");
        assert_eq!(at(123, true), "pulls/000100-000199/000123");
        assert_eq!(at(1_234_567, false), "issues/1234500-1234599/1234567");
    }

    proptest! {
        #[test]
        fn a_releases_folder_is_a_legal_name_whatever_its_tag(tag in any::<String>(), id in 1_i64..) {
            let name = release(id, &tag);
            prop_assert!(!name.contains('/') && !name.starts_with('.') && name.len() < 100);
            prop_assert!(name.ends_with(&release_mark(id)));
        }
    }
}
