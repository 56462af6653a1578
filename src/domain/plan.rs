//! From both sides' refs to what must be done: a pure decision, printable as a dry run.
//!
//! [`plan`] compares the two sides and says which refs change and which old tips need a kept ref.
//! [`schedule`] puts that into pushes in an order that OneDev survives. Nothing is ever lost: what is
//! not known to be safe to overwrite is kept first.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::kept::{self, KeptRef, Reason};
use super::refs::{Oid, RefMap, RefName, RefPattern};

/// What is known of both sides before anything is written.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    /// Upstream's managed refs.
    pub upstream: &'a RefMap,
    /// Every ref of the project.
    pub target: &'a RefMap,
    /// What starkeep last put, alias refs included.
    pub put: &'a RefMap,
    /// What starkeep was about to put when it was last cut off; `None` was to be deleted.
    pub intents: &'a BTreeMap<RefName, Option<Oid>>,
    /// Refs whose real name OneDev refused: their alias stands in for them.
    pub refused: &'a BTreeSet<RefName>,
}

/// How to treat what is found.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The refs that are mirrored.
    pub patterns: &'a [RefPattern],
    /// Delete foreign refs (their tips are kept) instead of leaving them.
    pub prune_foreign: bool,
    /// Whether the old tip of what upstream overwrote or deleted is kept. What somebody else put in
    /// OneDev is kept in any case: no other copy of it is known.
    pub keep: bool,
}

/// Whether a change loses the old tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// There is no old tip, or nobody wants it kept.
    No,
    /// Only if the new tip is not a descendant of the old one: somebody must ask.
    Unless,
    /// Yes.
    Yes(Reason),
}

/// One ref of the project that is to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The ref upstream.
    pub name: RefName,
    /// The ref in the project: the same one, or its alias.
    pub at: RefName,
    /// Where it stands in the project.
    pub old: Option<Oid>,
    /// Where it is to stand; `None` deletes it.
    pub new: Option<Oid>,
    /// Whether the old tip is lost by that.
    pub keep: Keep,
}

/// What must be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Refs that change.
    pub changes: Vec<Change>,
    /// Tips as put that are to be recorded without a push: what is level already but was not known
    /// as ours (`Some`), and what is gone on both sides (`None`).
    pub record: BTreeMap<RefName, Option<Oid>>,
    /// Managed refs that starkeep never put there and upstream lacks.
    pub foreign: Vec<RefName>,
}

impl Plan {
    /// Nothing is to be pushed: the reading itself is the proof.
    pub fn is_level(&self) -> bool {
        self.changes.is_empty()
    }
}

/// Compares both sides.
pub fn plan(sides: &Sides<'_>, rules: &Rules<'_>) -> Plan {
    let mut out = Plan::default();
    for (name, want) in sides.upstream {
        let Some(at) = place(name, sides.refused) else { continue };
        want_ref(sides, rules, name, &at, *want, &mut out);
    }
    for (at, have) in sides.target {
        if let Some(name) = unwanted(at, sides, rules) {
            unwanted_ref(sides, rules, &name, at, *have, &mut out);
        }
    }
    for at in sides.put.keys().filter(|at| !sides.target.contains_key(*at)) {
        if !is_wanted(at, sides) {
            out.record.insert(at.clone(), None);
        }
    }
    out
}

/// Where an upstream ref stands in the project.
fn place(name: &RefName, refused: &BTreeSet<RefName>) -> Option<RefName> {
    if refused.contains(name) { kept::alias_name(name).ok() } else { Some(name.clone()) }
}

/// What starkeep is known to have put at a ref: an intent that came true counts.
fn ours(sides: &Sides<'_>, at: &RefName) -> Option<Oid> {
    match (sides.intents.get(at), sides.target.get(at)) {
        (Some(Some(intent)), Some(have)) if intent == have => Some(*intent),
        _ => sides.put.get(at).copied(),
    }
}

fn want_ref(sides: &Sides<'_>, rules: &Rules<'_>, name: &RefName, at: &RefName, want: Oid, out: &mut Plan) {
    let have = sides.target.get(at).copied();
    let put = ours(sides, at);
    if have == Some(want) {
        if sides.put.get(at) != Some(&want) {
            out.record.insert(at.clone(), Some(want));
        }
        return;
    }
    let keep = match (have, put) {
        (None, _) => Keep::No,
        (Some(have), Some(put)) if have == put && !rules.keep => Keep::No,
        (Some(have), Some(put)) if have == put && name.is_tag() => Keep::Yes(Reason::Overwritten),
        (Some(have), Some(put)) if have == put => Keep::Unless,
        (Some(_), Some(_)) => Keep::Yes(Reason::MovedInOnedev),
        (Some(_), None) => Keep::Yes(Reason::Foreign),
    };
    out.changes.push(Change { name: name.clone(), at: at.clone(), old: have, new: Some(want), keep });
}

/// Whether upstream wants something to stand at this ref of the project.
fn is_wanted(at: &RefName, sides: &Sides<'_>) -> bool {
    match kept::aliased(at) {
        Some(name) => sides.refused.contains(&name) && sides.upstream.contains_key(&name),
        None => sides.upstream.contains_key(at) && !sides.refused.contains(at),
    }
}

/// The upstream name of a ref of the project that is managed, or an alias, and that upstream does not want there.
fn unwanted(at: &RefName, sides: &Sides<'_>, rules: &Rules<'_>) -> Option<RefName> {
    let name = match kept::aliased(at) {
        Some(name) => name,
        None if rules.patterns.iter().any(|it| it.covers(at)) => at.clone(),
        None => return None,
    };
    (!is_wanted(at, sides)).then_some(name)
}

fn unwanted_ref(sides: &Sides<'_>, rules: &Rules<'_>, name: &RefName, at: &RefName, have: Oid, out: &mut Plan) {
    let reason = match ours(sides, at) {
        Some(put) if put == have => Reason::Deleted,
        Some(_) => Reason::MovedInOnedev,
        None if rules.prune_foreign => Reason::Foreign,
        None => {
            out.foreign.push(at.clone());
            return;
        }
    };
    // An alias whose real name now holds the same tip loses nothing when it goes.
    let stands_elsewhere = at != name && sides.upstream.get(name) == Some(&have);
    let wanted = rules.keep || reason != Reason::Deleted;
    let keep = if wanted && !stands_elsewhere && at.as_str() != kept::STAND_IN { Keep::Yes(reason) } else { Keep::No };
    out.changes.push(Change { name: name.clone(), at: at.clone(), old: Some(have), new: None, keep });
}

/// What had to be asked before the pushes could be put in order.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Refs whose new tip is a descendant of the old one.
    pub descendants: BTreeSet<RefName>,
    /// Refs about which that was asked; of many a spread sample.
    pub asked: BTreeSet<RefName>,
    /// Tips that are no commits: tags of blobs and trees.
    pub odd: BTreeSet<Oid>,
}

/// Pushes in order. Each of `lone` goes alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Kept refs to make before anything moves.
    pub keeps: Vec<KeptRef>,
    /// Kept refs of tags, in a push of their own before anything moves.
    pub tag_keeps: Vec<KeptRef>,
    /// Kept refs that were needed too, and that an earlier run has made already.
    pub standing: Vec<KeptRef>,
    /// The branch that goes first, alone: it becomes HEAD of a project that has none.
    pub first: Option<Change>,
    /// The rest: tags that go, then nearly all, deletions first, then tags that move. Nobody can tell
    /// any more what an old tag points at, and OneDev's hook, which may trip over it, drops a whole push.
    pub bulk: [Vec<Change>; 3],
    /// What OneDev's hooks may trip over: last, alone.
    pub lone: Vec<Change>,
}

/// Orders the changes. `first` names the branch that must be there before all others, if one must.
/// Kept refs that `target` already holds for the same ref and tip since `since` are not made twice.
pub fn schedule(
    plan: &Plan,
    answers: &Answers,
    first: Option<&RefName>,
    target: &RefMap,
    now: DateTime<Utc>,
    since: Option<DateTime<Utc>>,
) -> Schedule {
    let mut out = Schedule::default();
    let standing = standing_keeps(target, since);
    for change in &plan.changes {
        if let Some(mut keep) = keep_of(change, answers, now) {
            let made = kept::parts(&keep.kept).and_then(|(_, name)| standing.get(&(name, keep.oid)));
            if let Some(made) = made {
                keep.kept = (*made).clone();
                out.standing.push(keep);
            } else if keep.name.is_tag() {
                out.tag_keeps.push(keep);
            } else {
                out.keeps.push(keep);
            }
        }
        let [gone_tags, most, moved_tags] = &mut out.bulk;
        if Some(&change.at) == first && change.new.is_some() {
            out.first = Some(change.clone());
            continue;
        }
        let group = match (change.old, change.new) {
            _ if is_lone(change, &answers.odd) => &mut out.lone,
            (Some(_), None) if change.at.is_tag() => gone_tags,
            (Some(_), Some(_)) if change.at.is_tag() => moved_tags,
            _ => most,
        };
        group.push(change.clone());
    }
    let [_, most, _] = &mut out.bulk;
    most.sort_by_key(|it| it.new.is_some());
    out.lone.sort_by_key(|it| it.new.is_some());
    out
}

/// Kept refs by what their names tell of the ref, and tip.
type Standing<'a> = BTreeMap<(&'a str, Oid), &'a RefName>;

fn standing_keeps(target: &RefMap, since: Option<DateTime<Utc>>) -> Standing<'_> {
    // Their names tell whole seconds.
    let since = since.map(|it| it.timestamp());
    target
        .iter()
        .filter_map(|(kept, oid)| kept::parts(kept).map(|(at, name)| (kept, at, name, *oid)))
        .filter(|(_, at, ..)| since.is_none_or(|since| at.timestamp() >= since))
        .map(|(kept, _, name, oid)| ((name, oid), kept))
        .collect()
}

fn keep_of(change: &Change, answers: &Answers, now: DateTime<Utc>) -> Option<KeptRef> {
    let oid = change.old?;
    let reason = match change.keep {
        Keep::No => return None,
        Keep::Unless if answers.descendants.contains(&change.at) => return None,
        Keep::Unless => Reason::Overwritten,
        Keep::Yes(reason) => reason,
    };
    let kept = kept::kept_name(&change.name, oid, now).ok()?;
    Some(KeptRef { name: change.name.clone(), kept, oid, reason })
}

/// Whether OneDev's hooks may trip over a change, so that it must not share a push.
fn is_lone(change: &Change, odd: &BTreeSet<Oid>) -> bool {
    is_troublesome(&change.at)
        || change.new.is_some_and(|oid| odd.contains(&oid))
        || change.old.is_some_and(|oid| change.new.is_none() && odd.contains(&oid))
}

/// Names that OneDev's hooks mis-read: they pass the list of refs on as an un-escaped form.
pub fn is_troublesome(name: &RefName) -> bool {
    name.as_str().contains(['+', '&', '=', '%'])
}

/// One ref that does not stand as it should.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The ref upstream.
    #[serde(rename = "ref")]
    pub name: RefName,
    /// Where upstream has it.
    pub upstream: Option<Oid>,
    /// Where the project has it, or its alias.
    pub onedev: Option<Oid>,
}

/// Every managed ref that does not stand in the project as it does upstream. Foreign refs are no
/// difference: starkeep never put them there.
pub fn differences(sides: &Sides<'_>, rules: &Rules<'_>) -> Vec<Difference> {
    let without_prune = Rules { prune_foreign: false, ..*rules };
    plan(sides, &without_prune)
        .changes
        .into_iter()
        .map(|it| Difference { upstream: it.new, onedev: it.old, name: it.name })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> RefName {
        RefName::new(text).unwrap()
    }

    fn oid(n: u8) -> Oid {
        Oid::from_bytes([n; 20])
    }

    fn map(refs: &[(&str, u8)]) -> RefMap {
        refs.iter().map(|(it, n)| (name(it), oid(*n))).collect()
    }

    fn patterns() -> Vec<RefPattern> {
        crate::config::sync::Sync::default().refs
    }

    struct World {
        upstream: RefMap,
        target: RefMap,
        put: RefMap,
        intents: BTreeMap<RefName, Option<Oid>>,
        refused: BTreeSet<RefName>,
    }

    impl World {
        fn new(upstream: &[(&str, u8)], target: &[(&str, u8)], put: &[(&str, u8)]) -> Self {
            Self {
                upstream: map(upstream),
                target: map(target),
                put: map(put),
                intents: BTreeMap::new(),
                refused: BTreeSet::new(),
            }
        }

        fn sides(&self) -> Sides<'_> {
            Sides {
                upstream: &self.upstream,
                target: &self.target,
                put: &self.put,
                intents: &self.intents,
                refused: &self.refused,
            }
        }

        fn plan(&self, prune_foreign: bool) -> Plan {
            plan(&self.sides(), &Rules { patterns: &patterns(), prune_foreign, keep: true })
        }

        fn one(&self) -> Change {
            let mut changes = self.plan(false).changes;
            assert_eq!(changes.len(), 1, "{changes:?}");
            changes.remove(0)
        }
    }

    const MAIN: &str = "refs/heads/main";

    #[test]
    fn what_is_level_needs_no_push_but_is_recorded_as_ours() {
        let plan = World::new(&[(MAIN, 1)], &[(MAIN, 1)], &[]).plan(false);
        assert!(plan.is_level());
        assert_eq!(plan.record, [(name(MAIN), Some(oid(1)))].into());
    }

    #[test]
    fn a_branch_that_moved_upstream_is_kept_unless_it_went_forward() {
        assert_eq!(World::new(&[(MAIN, 2)], &[(MAIN, 1)], &[(MAIN, 1)]).one().keep, Keep::Unless);
    }

    #[test]
    fn a_tag_that_moved_is_always_kept() {
        let tag = "refs/tags/v1";
        let change = World::new(&[(tag, 2)], &[(tag, 1)], &[(tag, 1)]).one();
        assert_eq!(change.keep, Keep::Yes(Reason::Overwritten));
    }

    #[test]
    fn a_ref_that_somebody_moved_in_onedev_is_kept_and_put_back() {
        let change = World::new(&[(MAIN, 1)], &[(MAIN, 9)], &[(MAIN, 1)]).one();
        assert_eq!((change.new, change.keep), (Some(oid(1)), Keep::Yes(Reason::MovedInOnedev)));
    }

    #[test]
    fn a_foreign_ref_stays_unless_upstream_needs_its_name_or_pruning_is_on() {
        let alone = World::new(&[], &[(MAIN, 9)], &[]);
        assert_eq!(alone.plan(false).foreign, [name(MAIN)]);
        assert!(alone.plan(false).is_level());
        assert_eq!(alone.plan(true).changes[0].keep, Keep::Yes(Reason::Foreign));
        let needed = World::new(&[(MAIN, 1)], &[(MAIN, 9)], &[]).one();
        assert_eq!(needed.keep, Keep::Yes(Reason::Foreign));
    }

    #[test]
    fn what_we_were_about_to_put_when_we_were_cut_off_is_ours() {
        let mut world = World::new(&[(MAIN, 3)], &[(MAIN, 2)], &[(MAIN, 1)]);
        world.intents.insert(name(MAIN), Some(oid(2)));
        assert_eq!(world.one().keep, Keep::Unless);
    }

    #[test]
    fn reserved_and_unmanaged_refs_are_never_touched() {
        let target =
            [("refs/pulls/1/head", 1), ("refs/onedev/tod", 2), ("refs/starkeep/kept/x", 3), ("refs/changes/1", 4)];
        let plan = World::new(&[], &target, &target).plan(true);
        assert!(plan.is_level() && plan.foreign.is_empty());
    }

    #[test]
    fn a_refused_ref_lives_under_its_alias_and_the_alias_goes_when_upstream_drops_it() {
        let (tag, alias) = ("refs/tags/v1+b", "refs/starkeep/alias/tags/v1_2bb");
        let mut world = World::new(&[(tag, 1)], &[], &[]);
        world.refused.insert(name(tag));
        assert_eq!(world.one().at, name(alias));
        let mut dropped = World::new(&[], &[(alias, 1)], &[(alias, 1)]);
        dropped.refused.insert(name(tag));
        assert_eq!(dropped.one().keep, Keep::Yes(Reason::Deleted));
        let accepted = World::new(&[(tag, 1)], &[(tag, 1), (alias, 1)], &[(tag, 1), (alias, 1)]);
        assert_eq!((accepted.one().at, accepted.one().keep), (name(alias), Keep::No));
    }

    #[test]
    fn deletions_come_before_creations_and_troublesome_names_last_and_alone() {
        let world = World::new(
            &[("refs/heads/a/b", 1), ("refs/heads/main", 1), ("refs/tags/x+y", 1), ("refs/tags/blob", 7)],
            &[("refs/heads/a", 2)],
            &[("refs/heads/a", 2)],
        );
        let answers = Answers { odd: [oid(7)].into(), ..Answers::default() };
        let out = schedule(&world.plan(false), &answers, Some(&name(MAIN)), &world.target, Utc::now(), None);
        assert_eq!(out.first.map(|it| it.at), Some(name(MAIN)));
        let [gone_tags, most, moved_tags] = &out.bulk;
        assert_eq!(most.iter().map(|it| it.at.as_str()).collect::<Vec<_>>(), ["refs/heads/a", "refs/heads/a/b"]);
        assert!(gone_tags.is_empty() && moved_tags.is_empty());
        assert_eq!(out.lone.len(), 2);
        assert_eq!(out.keeps.len(), 1);
    }

    #[test]
    fn a_tip_kept_since_the_last_proof_is_not_kept_twice() {
        let at = Utc::now();
        let mut world = World::new(&[], &[(MAIN, 1)], &[(MAIN, 1)]);
        let kept = kept::kept_name(&name(MAIN), oid(1), at).unwrap();
        world.target.insert(kept, oid(1));
        let again = |since| {
            let out = schedule(&world.plan(false), &Answers::default(), None, &world.target, at, since);
            (out.keeps.len(), out.standing.len())
        };
        assert_eq!(again(Some(at - chrono::Duration::seconds(5))), (0, 1));
        assert_eq!(again(Some(at)), (0, 1));
        assert_eq!(again(Some(at + chrono::Duration::seconds(5))), (1, 0));
    }

    #[test]
    fn what_somebody_put_in_onedev_is_kept_even_if_overwritten_tips_are_not() {
        let world = World::new(
            &[("refs/heads/moved", 2), ("refs/heads/hand", 1), ("refs/heads/theirs", 3)],
            &[("refs/heads/moved", 1), ("refs/heads/hand", 9), ("refs/heads/theirs", 8), ("refs/tags/gone", 1)],
            &[("refs/heads/moved", 1), ("refs/heads/hand", 1), ("refs/tags/gone", 1)],
        );
        let plan = plan(&world.sides(), &Rules { patterns: &patterns(), prune_foreign: false, keep: false });
        let keeps: Vec<_> = plan.changes.iter().map(|it| (it.at.as_str(), it.keep)).collect();
        let expected = [
            ("refs/heads/hand", Keep::Yes(Reason::MovedInOnedev)),
            ("refs/heads/moved", Keep::No),
            ("refs/heads/theirs", Keep::Yes(Reason::Foreign)),
            ("refs/tags/gone", Keep::No),
        ];
        assert_eq!(keeps, expected);
    }

    fn refs() -> impl Strategy<Value = RefMap> {
        let names = ["refs/heads/a", "refs/heads/b", "refs/heads/c+d", "refs/tags/t", "refs/tags/u%", "refs/notes/n"];
        proptest::collection::btree_map(
            proptest::sample::select(names.to_vec()).prop_map(name),
            (1u8..5).prop_map(oid),
            0..6,
        )
    }

    proptest! {
        #[test]
        fn after_the_plan_both_sides_are_level_and_no_tip_is_lost(
            upstream in refs(), target in refs(), put in refs(), refuse in any::<bool>(), prune in any::<bool>(),
        ) {
            let refused = if refuse { upstream.keys().filter(|it| is_troublesome(it)).cloned().collect() } else { BTreeSet::new() };
            let mut world = World { upstream, target, put, intents: BTreeMap::new(), refused };
            let before = world.target.clone();
            let plan = world.plan(prune);
            let schedule = schedule(&plan, &Answers::default(), None, &world.target, Utc::now(), None);
            for keep in schedule.keeps.iter().chain(&schedule.tag_keeps) {
                world.target.insert(keep.kept.clone(), keep.oid);
            }
            for change in &plan.changes {
                prop_assert_eq!(change.old, before.get(&change.at).copied());
                match change.new {
                    Some(new) => { world.target.insert(change.at.clone(), new); world.put.insert(change.at.clone(), new); }
                    None => { world.target.remove(&change.at); world.put.remove(&change.at); }
                }
            }
            let again = world.plan(prune);
            prop_assert!(again.is_level(), "{:?}", again.changes);
            for (at, oid) in &before {
                let alive = world.target.iter().any(|(_, it)| it == oid);
                prop_assert!(alive, "{} {} is lost", at, oid);
            }
        }
    }
}
