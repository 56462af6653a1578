//! The files of a marker that are lists: where each ref of code and wiki was put, and the LFS objects.

use super::Unreadable;
use crate::domain::lfs::{LfsOid, ObjectState, Pointer};
use crate::domain::refs::{Oid, RefMap, RefName};

/// What stands beside the facts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    /// Where each ref of the code was put.
    pub put: RefMap,
    /// Where each ref of the wiki was put.
    pub wiki: RefMap,
    /// LFS objects that files of the code name, and where each stands. Beyond [`MOST_OBJECTS`] they are left out.
    pub objects: Vec<(Pointer, ObjectState)>,
}

/// A marker lists so many LFS objects: some megabytes. Of a mirror with more it lists none.
pub const MOST_OBJECTS: usize = 100_000;

/// The text of a list of refs.
pub fn refs_text(put: &RefMap) -> String {
    put.iter().map(|(name, oid)| format!("{oid} {name}\n")).collect()
}

/// Reads a list of refs.
///
/// # Errors
/// [`Unreadable::Refs`] with the first line that is none.
pub fn read_refs(text: &str) -> Result<RefMap, Unreadable> {
    let read = |line: &str| {
        let (oid, name) = line.split_once(' ')?;
        Some((RefName::new(name).ok()?, oid.parse().ok()?))
    };
    text.lines().enumerate().map(|(at, line)| read(line).ok_or(Unreadable::Refs(at + 1))).collect()
}

/// The text of the list of LFS objects.
pub fn objects_text(objects: &[(Pointer, ObjectState)]) -> String {
    objects.iter().map(|(it, state)| format!("{} {} {state}\n", it.oid, it.size)).collect()
}

/// Reads the list of LFS objects.
///
/// # Errors
/// [`Unreadable::Objects`] with the first line that is none.
pub fn read_objects(text: &str) -> Result<Vec<(Pointer, ObjectState)>, Unreadable> {
    let read = |line: &str| {
        let mut words = line.split(' ');
        let oid: LfsOid = words.next()?.parse().ok()?;
        let size: u64 = words.next()?.parse().ok()?;
        let state = words.next()?.parse().ok()?;
        words.next().is_none().then_some((Pointer { oid, size }, state))
    };
    text.lines().enumerate().map(|(at, line)| read(line).ok_or(Unreadable::Objects(at + 1))).collect()
}

/// Which refs of a project starkeep put there, and where, out of its marker's list and what stands there
/// now. A ref that the list does not know is foreign. One that stands elsewhere than the list says was
/// moved since, most likely by starkeep, which writes no marker for a move alone; `strict` takes it for
/// moved by somebody else, which keeps its tip in any case.
pub fn ours(listed: &RefMap, standing: &RefMap, strict: bool) -> RefMap {
    let put = |name: &RefName, then: Oid| {
        let now = *standing.get(name)?;
        Some((name.clone(), if strict { then } else { now }))
    };
    listed.iter().filter_map(|(name, then)| put(name, *then)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_listed_refs_are_ours_and_they_count_as_put_where_they_stand() {
        let name = |it: &str| RefName::new(it).unwrap();
        let oid = |it| Oid::from_bytes([it; 20]);
        let listed: RefMap = [(name("refs/heads/a"), oid(1)), (name("refs/heads/gone"), oid(1))].into();
        let standing: RefMap = [(name("refs/heads/a"), oid(2)), (name("refs/heads/foreign"), oid(3))].into();
        assert_eq!(ours(&listed, &standing, false), [(name("refs/heads/a"), oid(2))].into());
        assert_eq!(ours(&listed, &standing, true), [(name("refs/heads/a"), oid(1))].into());
    }

    proptest! {
        #[test]
        fn refs_read_back_as_they_were_written(names in proptest::collection::btree_map("[a-z0-9é+&=%_-]{1,12}", any::<[u8; 20]>(), 0..40)) {
            let refs: RefMap = names
                .iter()
                .filter_map(|(name, oid)| Some((RefName::of_branch(name).ok()?, Oid::from_bytes(*oid))))
                .collect();
            prop_assert_eq!(read_refs(&refs_text(&refs)), Ok(refs));
        }

        #[test]
        fn objects_read_back_as_they_were_written(all in proptest::collection::vec((any::<[u8; 32]>(), any::<u64>(), 0_usize..4), 0..40)) {
            let all: Vec<_> = all
                .into_iter()
                .map(|(oid, size, state)| (Pointer { oid: LfsOid::from_bytes(oid), size }, ObjectState::ALL[state]))
                .collect();
            prop_assert_eq!(read_objects(&objects_text(&all)), Ok(all));
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in "[ 0-9a-f\\n.]{0,200}") {
            let _ = read_refs(&text);
            let _ = read_objects(&text);
        }
    }
}
