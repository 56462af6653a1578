//! The brake on mass deletion: how much a plan would take away, and whether that is too much to be
//! done without an admin.
//!
//! Nothing is lost either way, since every old tip goes to a kept ref first. But an upstream that was
//! wiped by mistake, or taken over, should not leave an empty-looking project before somebody looked.

use super::kept;
use super::plan::{Answers, Change, Plan, Sides};
use super::refs::RefName;

/// So many refs may always go, whatever their share.
pub const ALWAYS_ALLOWED: usize = 10;

/// What a plan would take away of what stands in the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Managed refs that would be deleted.
    pub deleted: usize,
    /// Managed refs that would move to something that is not a descendant.
    pub forced: usize,
    /// Managed refs that stand in the project by our doing, or in its way.
    pub of: usize,
}

impl Loss {
    /// The most that the plan can take away, before anybody asked which moves go forward.
    pub fn at_most(plan: &Plan, sides: &Sides<'_>) -> Self {
        Self::of(plan, sides, &Answers::default())
    }

    /// What the plan takes away. Moves that nobody was asked about are taken to be forced in the share
    /// of those that somebody was: upstream is asked about a spread sample only.
    pub fn of(plan: &Plan, sides: &Sides<'_>, answers: &Answers) -> Self {
        let changes = || plan.changes.iter().filter(|it| it.at.as_str() != kept::STAND_IN);
        let deleted = changes().filter(|it| is_loss(it, sides)).count();
        let tags = changes().filter(|it| is_move(it) && it.name.is_tag()).count();
        let branches = || changes().filter(|it| is_move(it) && !it.name.is_tag());
        let asked: Vec<&RefName> = branches().map(|it| &it.at).filter(|it| answers.asked.contains(*it)).collect();
        let forced = asked.iter().filter(|it| !answers.descendants.contains(**it)).count();
        let unasked = branches().count() - asked.len();
        let ours = sides.put.keys().filter(|it| sides.target.contains_key(*it)).count();
        let foreign = changes().filter(|it| it.old.is_some() && !sides.put.contains_key(&it.at)).count();
        Self { deleted, forced: tags + forced + share_of(unasked, forced, asked.len()), of: ours + foreign }
    }

    /// How many refs go.
    pub fn total(&self) -> usize {
        self.deleted + self.forced
    }

    /// Whether that is more than `percent` of a hundred, and more than [`ALWAYS_ALLOWED`].
    pub fn exceeds(&self, percent: u8) -> bool {
        self.total() > ALWAYS_ALLOWED && self.total() as u128 * 100 > self.of as u128 * u128::from(percent)
    }
}

/// A branch that upstream must be asked about: does it go forward?
pub fn is_doubtful(change: &Change) -> bool {
    is_move(change) && !change.name.is_tag()
}

fn is_move(change: &Change) -> bool {
    change.old.is_some() && change.new.is_some()
}

/// An alias whose real name now holds the same tip loses nothing when it goes.
fn is_loss(change: &Change, sides: &Sides<'_>) -> bool {
    let stands_elsewhere = change.at != change.name && sides.upstream.get(&change.name).copied() == change.old;
    change.old.is_some() && change.new.is_none() && !stands_elsewhere
}

/// `part / whole` of `number`, to the nearest; all of it where nobody knows.
fn share_of(number: usize, part: usize, whole: usize) -> usize {
    if whole == 0 { number } else { (number * part * 2 + whole) / (whole * 2) }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::domain::plan::{self, Rules};
    use crate::domain::refs::{Oid, RefMap, RefPattern};

    fn oid(n: u8) -> Oid {
        Oid::from_bytes([n; 20])
    }

    fn refs(kind: &str, numbers: std::ops::Range<usize>, at: u8) -> RefMap {
        numbers.map(|n| (RefName::new(&format!("refs/{kind}/r{n}")).unwrap(), oid(at))).collect()
    }

    fn loss(upstream: &RefMap, ours: &RefMap, answers: &Answers) -> (Loss, Loss) {
        let patterns: Vec<RefPattern> = ["refs/heads/*", "refs/tags/*"].iter().map(|it| it.parse().unwrap()).collect();
        let (intents, refused) = (BTreeMap::new(), BTreeSet::new());
        let sides = Sides { upstream, target: ours, put: ours, intents: &intents, refused: &refused };
        let plan = plan::plan(&sides, &Rules { patterns: &patterns, prune_foreign: false, keep: true });
        (Loss::of(&plan, &sides, answers), Loss::at_most(&plan, &sides))
    }

    #[test]
    fn more_than_half_and_more_than_ten_is_too_much() {
        let ours = refs("heads", 0..40, 1);
        let deleted = |left| loss(&refs("heads", 0..left, 1), &ours, &Answers::default()).0;
        assert_eq!(deleted(19), Loss { deleted: 21, forced: 0, of: 40 });
        assert!(deleted(19).exceeds(50) && !deleted(20).exceeds(50));
        let few = refs("heads", 0..10, 1);
        assert!(!loss(&RefMap::new(), &few, &Answers::default()).0.exceeds(50), "ten may always go");
        let eleven = refs("heads", 0..11, 1);
        assert!(loss(&RefMap::new(), &eleven, &Answers::default()).0.exceeds(50));
        assert!(!loss(&RefMap::new(), &eleven, &Answers::default()).0.exceeds(100), "all is not more than all");
    }

    #[test]
    fn tags_that_move_are_lost_and_branches_only_if_they_do_not_go_forward() {
        let (ours, theirs) = (refs("tags", 0..20, 1), refs("tags", 0..20, 2));
        assert_eq!(loss(&theirs, &ours, &Answers::default()).0.forced, 20);
        let (ours, theirs) = (refs("heads", 0..20, 1), refs("heads", 0..20, 2));
        let asked: BTreeSet<RefName> = ours.keys().cloned().collect();
        let forward = Answers { descendants: asked.clone(), asked: asked.clone(), ..Answers::default() };
        let (all_forward, at_most) = loss(&theirs, &ours, &forward);
        assert_eq!((all_forward.forced, at_most.forced), (0, 20));
        let forced = Answers { asked, ..Answers::default() };
        assert_eq!(loss(&theirs, &ours, &forced).0.forced, 20);
    }

    #[test]
    fn what_nobody_asked_about_is_judged_by_what_somebody_did() {
        let (ours, theirs) = (refs("heads", 0..100, 1), refs("heads", 0..100, 2));
        let asked: BTreeSet<RefName> = ours.keys().take(10).cloned().collect();
        let half = Answers { descendants: asked.iter().take(5).cloned().collect(), asked, ..Answers::default() };
        assert_eq!(loss(&theirs, &ours, &half).0.forced, 50);
    }

    #[test]
    fn new_refs_take_nothing_away() {
        let (none, _) = loss(&refs("heads", 0..100, 1), &refs("heads", 0..1, 1), &Answers::default());
        assert_eq!(none.total(), 0);
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_loss_larger_than_it_can_be(deleted in 0usize..30, moved in 0usize..30, asked in 0usize..30) {
            let ours = refs("heads", 0..deleted + moved, 1);
            let theirs = refs("heads", 0..moved, 2);
            let asked: BTreeSet<RefName> = theirs.keys().take(asked).cloned().collect();
            let answers = Answers { descendants: asked.iter().step_by(2).cloned().collect(), asked, ..Answers::default() };
            let (loss, at_most) = loss(&theirs, &ours, &answers);
            prop_assert!(loss.total() <= at_most.total());
            prop_assert!(loss.total() <= loss.of);
        }
    }
}
