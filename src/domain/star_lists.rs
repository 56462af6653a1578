//! Star lists: the folders that a user sorts stars into, and what they mean for a mirror's place.
//!
//! A repository may be in several lists of several users. It lies under the first: that of the user who stands
//! first in `stars.users`, and of his lists the one that stands first on his page. The others are labels.

use std::collections::{BTreeMap, BTreeSet};

use super::ids::{AccountId, GithubId};
use super::naming::{LONGEST_LIST, UNLISTED};

/// A folder is cut to so many characters before a number comes behind it.
const LONGEST_STEM: usize = 32;
/// What stands for a name without any character that a path can have.
const NAMELESS: &str = "list";
/// A label has at most so many characters; a list's name at GitHub has 32.
const LONGEST_LABEL: usize = 100;

/// A list as GitHub shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StarList {
    /// GitHub's own name for it, which a renamed list keeps.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The end of its page's address.
    pub slug: String,
    /// Shown to its owner alone.
    pub private: bool,
    /// The repositories in it, each once.
    pub items: BTreeSet<GithubId>,
}

/// That a repository is in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Whose list.
    pub account: AccountId,
    /// Its place on the user's page, from 0.
    pub place: i32,
    /// What its owner calls it.
    pub name: String,
    /// The end of its page's address.
    pub slug: String,
    /// Shown to its owner alone.
    pub private: bool,
    /// What stands for it in the path of a project.
    pub folder: String,
}

/// Where lists put a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shelf {
    /// The folder of the first list; `None` for a repository in no list.
    pub folder: Option<String>,
    /// Labels that the other lists ask for, each once.
    pub labels: BTreeSet<String>,
}

/// Two names that are the same to a reader: lists of that name share one folder, whosever they are.
pub fn key(name: &str) -> String {
    name.trim().to_lowercase()
}

/// What stands for a list in the path of a project: its name's letters, digits, `_`, `-` and `.`, and a `-` for
/// whatever else is between them. `taken` has the folders in use by the [`key`]s of their names: another name never
/// gets the same folder, in whatever case, and the same name always does.
pub fn folder(name: &str, taken: &BTreeMap<String, String>) -> String {
    if let Some(known) = taken.get(&key(name)) {
        return known.clone();
    }
    let stem = stem(name);
    let is_free = |folder: &String| {
        let in_use = |it: &str| it.eq_ignore_ascii_case(folder);
        !in_use(UNLISTED) && !taken.values().any(|it| in_use(it))
    };
    let numbered = (2..=taken.len() + 3).map(|n| format!("{stem}-{n}"));
    let found = std::iter::once(stem.clone()).chain(numbered).find(is_free);
    found.unwrap_or(stem)
}

fn stem(name: &str) -> String {
    let mut stem = String::new();
    for c in name.trim().chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') {
            stem.push(c);
        } else if !stem.ends_with('-') {
            stem.push('-');
        }
    }
    let cut: String = stem.trim_matches('-').chars().take(LONGEST_STEM.min(LONGEST_LIST)).collect();
    let cut = cut.trim_end_matches('-');
    if cut.is_empty() { NAMELESS.to_owned() } else { cut.to_owned() }
}

/// A list's name as a label: without control characters, not longer than is sensible.
pub fn label(name: &str) -> String {
    name.trim().chars().filter(|it| !it.is_control()).take(LONGEST_LABEL).collect()
}

/// Where a repository's lists put its mirror; lists of accounts that are not among `users` do not count.
pub fn shelve(users: &[AccountId], lists: &[Membership]) -> Shelf {
    let rank = |it: &&Membership| users.iter().position(|user| *user == it.account).map(|user| (user, it.place));
    let mut counting: Vec<&Membership> = lists.iter().filter(|it| rank(it).is_some()).collect();
    counting.sort_by_key(rank);
    let Some(first) = counting.first() else { return Shelf::default() };
    let others = counting.iter().filter(|it| it.folder != first.folder).map(|it| label(&it.name));
    Shelf { folder: Some(first.folder.clone()), labels: others.filter(|it| !it.is_empty()).collect() }
}

/// What a new reading makes of what is known. Private lists are shown to their owner alone: a reading by somebody
/// else says nothing of them, and those that are known stay, behind the others.
pub fn merged(known: &[StarList], read: &[StarList], as_owner: bool) -> Vec<StarList> {
    if as_owner {
        return read.to_vec();
    }
    let seen: BTreeSet<&str> = read.iter().map(|it| it.id.as_str()).collect();
    let kept = known.iter().filter(|it| it.private && !seen.contains(it.id.as_str()));
    read.iter().chain(kept).cloned().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::naming::Naming;

    /// Gives each name its folder, as a reading does, one after the other.
    fn folders(names: &[&str]) -> Vec<String> {
        let mut taken = BTreeMap::new();
        names
            .iter()
            .map(|name| {
                let folder = folder(name, &taken);
                taken.insert(key(name), folder.clone());
                folder
            })
            .collect()
    }

    #[test]
    fn what_a_path_can_have_stays_and_the_rest_is_a_dash() {
        assert_eq!(
            folders(&["Rust", "Machine Learning", "a/b", "🚀 My stack", "..", "c++", "front-end"]),
            ["Rust", "Machine-Learning", "a-b", "My-stack", "..", "c", "front-end"]
        );
    }

    #[test]
    fn names_that_become_the_same_are_numbered_and_keep_their_number() {
        assert_eq!(folders(&["a b", "a/b", "A B", "a-b", "a/b"]), ["a-b", "a-b-2", "a-b", "a-b-3", "a-b-2"]);
        assert_eq!(folders(&["🚀", "✨", "日本", "🚀"]), ["list", "list-2", "list-3", "list"]);
        assert_eq!(folders(&["Unlisted", "unlisted"]), ["Unlisted-2", "Unlisted-2"]);
    }

    #[test]
    fn the_path_is_legal_whatever_a_list_is_called() {
        let naming = Naming::parse("{list}/{owner}/{name}", "github").unwrap();
        let name = "octo/hello".parse().unwrap();
        let path = |list: Option<&str>| naming.path(&name, list).to_string();
        assert_eq!(path(None), "github/unlisted/octo/hello");
        assert_eq!(path(Some("projects")), "github/_projects/octo/hello");
        assert_eq!(path(Some("..")), "github/_../octo/hello");
        assert!(naming.uses_list());
    }

    fn membership(account: i64, place: i32, name: &str) -> Membership {
        let folder = folder(name, &BTreeMap::new());
        let (name, slug) = (name.to_owned(), String::new());
        Membership { account: AccountId(account), place, name, slug, private: false, folder }
    }

    #[test]
    fn the_first_list_of_the_first_user_is_the_place_and_the_others_are_labels() {
        let lists =
            [membership(2, 0, "Go"), membership(1, 4, "Tools"), membership(1, 3, "Rust"), membership(9, 0, "x")];
        let shelf = shelve(&[AccountId(1), AccountId(2)], &lists);
        assert_eq!(shelf.folder.as_deref(), Some("Rust"));
        assert_eq!(shelf.labels.into_iter().collect::<Vec<_>>(), ["Go", "Tools"]);
        assert_eq!(shelve(&[AccountId(2), AccountId(1)], &lists).folder.as_deref(), Some("Go"));
        assert_eq!(shelve(&[AccountId(7)], &lists), Shelf::default());
    }

    #[test]
    fn a_list_of_the_same_name_is_no_label() {
        let shelf = shelve(&[AccountId(1), AccountId(2)], &[membership(1, 0, "Rust"), membership(2, 0, "Rust")]);
        assert_eq!((shelf.folder.as_deref(), shelf.labels.len()), (Some("Rust"), 0));
    }

    #[test]
    fn who_is_not_the_owner_says_nothing_of_private_lists() {
        let list = |id: &str, private| StarList {
            id: id.to_owned(),
            name: id.to_owned(),
            slug: id.to_owned(),
            private,
            items: BTreeSet::new(),
        };
        let known = vec![list("a", false), list("b", true), list("c", true)];
        let read = vec![list("d", false), list("c", false)];
        assert_eq!(merged(&known, &read, true), read);
        assert_eq!(merged(&known, &read, false), [list("d", false), list("c", false), list("b", true)]);
    }

    proptest! {
        #[test]
        fn folders_are_legal_and_no_two_names_share_one(names in proptest::collection::vec(".{0,40}|[ab-]{1,3}|[ -~]{1,6}", 1..40)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let naming = Naming::parse("{list}/{owner}/{name}", "github").unwrap();
            let repository = "octo/hello".parse().unwrap();
            let folders = folders(&names);
            for (a, one) in names.iter().zip(&folders) {
                prop_assert!(one.len() <= LONGEST_LIST, "{one}");
                let path = naming.path(&repository, Some(one));
                prop_assert!(path.as_str().parse::<crate::domain::naming::ProjectPath>().is_ok(), "{path}");
                prop_assert!(path != naming.path(&repository, None));
                for (b, other) in names.iter().zip(&folders) {
                    let same = path == naming.path(&repository, Some(other));
                    prop_assert_eq!(same, key(a) == key(b), "{} {} {} {}", a, one, b, other);
                }
            }
        }
    }
}
