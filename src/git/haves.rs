//! Which objects to name to upstream: what is missing (wants), and what the target has (haves).
//!
//! Fewer haves give a bigger pack, never a wrong one; with very many upstream spends more time on
//! comparing than it saves.

use std::collections::HashSet;

use crate::domain::refs::{Oid, RefMap};

/// More haves cost upstream more than they save: 13,700 took 2.5 times as long as 256.
pub const MAX_HAVES: usize = 256;

/// The distinct `new` objects that no ref of the target holds: a ref that holds an object proves
/// that the target has all of its history.
pub fn wants<'a>(new: impl IntoIterator<Item = &'a Oid>, target: &RefMap) -> Vec<Oid> {
    let mut known: HashSet<Oid> = target.values().copied().collect();
    known.insert(Oid::ZERO);
    new.into_iter().copied().filter(|oid| known.insert(*oid)).collect()
}

/// At most [`MAX_HAVES`] distinct objects that the target has: old values of the refs that move
/// (likely ancestors of what is wanted), then branches, then tags from the highest name down, then
/// the rest; of each kind first those that upstream shows too, which it surely knows.
pub fn haves<'a>(moving: impl IntoIterator<Item = &'a Oid>, target: &RefMap, upstream: &RefMap) -> Vec<Oid> {
    let shared: HashSet<Oid> = upstream.values().copied().collect();
    let kind = |name: &str, oid: &Oid| {
        let kind = if name.starts_with("refs/heads/") {
            0
        } else if name.starts_with("refs/tags/") {
            1
        } else {
            2
        };
        (kind, !shared.contains(oid))
    };
    let mut ranked: [Vec<Oid>; 6] = Default::default();
    for (name, oid) in target.iter().rev() {
        let (kind, alone) = kind(name.as_str(), oid);
        if let Some(rank) = ranked.get_mut(kind * 2 + usize::from(alone))
            && rank.len() < MAX_HAVES
        {
            rank.push(*oid);
        }
    }
    let mut seen = HashSet::from([Oid::ZERO]);
    let all = moving.into_iter().copied().chain(ranked.into_iter().flatten());
    all.filter(|oid| seen.insert(*oid)).take(MAX_HAVES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::refs::RefName;

    fn oid(number: u16) -> Oid {
        let [high, low] = number.to_be_bytes();
        let mut bytes = [0; 20];
        bytes[0] = high;
        bytes[1] = low;
        bytes[2] = 1;
        Oid::from_bytes(bytes)
    }

    fn refs(entries: &[(&str, u16)]) -> RefMap {
        entries.iter().map(|(name, number)| (RefName::new(name).unwrap(), oid(*number))).collect()
    }

    #[test]
    fn only_what_no_ref_of_the_target_holds_is_wanted_and_only_once() {
        let target = refs(&[("refs/heads/a", 1)]);
        assert_eq!(wants(&[oid(1), oid(2), oid(2), Oid::ZERO], &target), [oid(2)]);
    }

    #[test]
    fn moving_refs_come_first_then_branches_then_tags_and_shared_ones_before_others() {
        let target = refs(&[
            ("refs/heads/a", 1),
            ("refs/heads/b", 2),
            ("refs/pull/1", 9),
            ("refs/tags/v1", 3),
            ("refs/tags/v2", 4),
        ]);
        let upstream = refs(&[("refs/heads/b", 2), ("refs/tags/v1", 3)]);
        assert_eq!(haves(&[oid(7), oid(2)], &target, &upstream), [7, 2, 1, 3, 4, 9].map(oid));
    }

    #[test]
    fn there_are_never_more_than_the_limit() {
        let many: RefMap =
            (0..20_000).map(|it| (RefName::new(&format!("refs/tags/v{it}")).unwrap(), oid(it))).collect();
        assert_eq!(haves(&[], &many, &RefMap::new()).len(), MAX_HAVES);
    }
}
