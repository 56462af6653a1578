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

use super::item::{Kind, Unit};

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

/// What a file of the tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// One item, and the thread that it belongs to, where there is one.
    Item(Kind, Option<i64>),
    /// All labels.
    Labels,
    /// A pointer to a file that hangs on something.
    File(Unit),
}

/// Reads a path; `None` for pages and whatever else has no place in the catalog's state.
pub fn place(path: &str) -> Option<Place> {
    let segments: Vec<&str> = path.split('/').collect();
    let item = |kind, thread: &str| Some(Place::Item(kind, Some(thread.parse().ok()?)));
    match segments.as_slice() {
        ["repository.json"] => Some(Place::Item(Kind::Repository, None)),
        ["labels.json"] => Some(Place::Labels),
        ["milestones", file] => is_json(file).then_some(Place::Item(Kind::Milestone, None)),
        ["releases", _, "release.json"] => Some(Place::Item(Kind::Release, None)),
        ["releases", folder, "assets", _] => Some(Place::File(Unit::Release(folder.rsplit_once('-')?.1.parse().ok()?))),
        ["issues" | "pulls", _, thread, "issue.json"] => item(Kind::Issue, thread),
        ["pulls", _, thread, "pull.json"] => item(Kind::Pull, thread),
        ["issues" | "pulls", _, thread, "attachments", _] => Some(Place::File(Unit::Thread(thread.parse().ok()?))),
        ["issues" | "pulls", _, thread, folder, file] if is_json(file) => match *folder {
            "comments" => item(Kind::Comment, thread),
            "reviews" => item(Kind::Review, thread),
            "review-comments" => item(Kind::ReviewComment, thread),
            _ => None,
        },
        _ => None,
    }
}

fn is_json(file: &str) -> bool {
    file.ends_with(".json")
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

    #[test]
    fn a_path_tells_what_stands_there() {
        let (folder, name) = thread(123, true);
        let at = |kind, id| {
            let (below, file) = in_thread(kind, id);
            let below = below.map_or_else(String::new, |it| format!("{it}/"));
            place(&format!("{folder}/{name}/{below}{file}"))
        };
        for kind in [Kind::Issue, Kind::Pull, Kind::Comment, Kind::Review, Kind::ReviewComment] {
            assert_eq!(at(kind, 7), Some(Place::Item(kind, Some(123))));
        }
        let release = format!("releases/{}", release(9, "v-1"));
        assert_eq!(place(&format!("{release}/release.json")), Some(Place::Item(Kind::Release, None)));
        assert_eq!(place(&format!("{release}/assets/a.zip")), Some(Place::File(Unit::Release(9))));
        assert_eq!(place(&format!("{folder}/{name}/attachments/x")), Some(Place::File(Unit::Thread(123))));
        assert_eq!(place(&format!("milestones/{}", milestone(3))), Some(Place::Item(Kind::Milestone, None)));
        for other in ["README.md", ".gitattributes", &format!("{folder}/{name}/pull.md"), "issues/a/b/c/d/e", ""] {
            assert_eq!(place(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_survived(path in "(issues|pulls|releases|/|[0-9a-z.-]){0,12}") {
            let _ = place(&path);
        }

        #[test]
        fn a_releases_folder_is_a_legal_name_whatever_its_tag(tag in any::<String>(), id in 1_i64..) {
            let name = release(id, &tag);
            prop_assert!(!name.contains('/') && !name.starts_with('.') && name.len() < 100);
            prop_assert!(name.ends_with(&release_mark(id)));
        }
    }
}
