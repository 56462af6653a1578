//! Proven states of the refs: remembered from the first proof on, given back as they were, pruned.

use crate::domain::part::PartId;
use crate::domain::refs::RefMap;
use crate::store::mirrors::{self, Proven};
use crate::store::{history, parts, tips};

use super::{Bed, at, branch, oid, on_both};

on_both!(
    every_proven_state_is_given_back_as_it_was,
    old_states_go_but_what_stood_at_the_limit_stays,
    a_wikis_states_are_its_own
);

fn proven(digest: &str, seconds: i64) -> Proven {
    Proven {
        digest: digest.to_owned(),
        onedev_digest: None,
        head: None,
        ref_count: 1,
        default_branch: None,
        upstream_head: Some(branch("main")),
        not_level: Vec::new(),
        status: crate::domain::mirror::Status::Healthy,
        changed: true,
        verified_at: at(seconds),
        next_sync_at: None,
    }
}

async fn step(bed: &Bed, mirror: crate::domain::ids::MirrorId, refs: Vec<(&'static str, Option<u8>)>, seconds: i64) {
    bed.write(move |c| {
        let refs: Vec<_> = refs.iter().map(|(name, it)| (branch(name), it.map(oid))).collect();
        tips::settle(c, mirror, &refs, at(seconds))?;
        mirrors::record_proof(c, mirror, &proven(&seconds.to_string(), seconds))
    })
    .await;
}

async fn every_proven_state_is_given_back_as_it_was(bed: Bed) {
    let mirror = bed.mirror(1).await;
    step(&bed, mirror, vec![("main", Some(1)), ("old", Some(2))], 10).await;
    step(&bed, mirror, vec![("main", Some(3)), ("old", None), ("new", Some(4))], 20).await;
    step(&bed, mirror, vec![("main", Some(1))], 30).await;
    // Under way, and not proven yet.
    bed.write(move |c| tips::settle(c, mirror, &[(branch("new"), None)], at(35))).await;
    let expected: [(i64, RefMap); 3] = [
        (10, [(branch("main"), oid(1)), (branch("old"), oid(2))].into()),
        (25, [(branch("main"), oid(3)), (branch("new"), oid(4))].into()),
        (99, [(branch("main"), oid(1)), (branch("new"), oid(4))].into()),
    ];
    for (seconds, refs) in expected {
        let found = bed
            .read(move |c| {
                let state = history::state_at(c, mirror, at(seconds))?.unwrap();
                history::refs_at(c, mirror, &state)
            })
            .await;
        assert_eq!(found, refs, "at {seconds}");
    }
    assert_eq!(bed.read(move |c| history::state_at(c, mirror, at(9))).await, None);
    assert_eq!(bed.read(move |c| history::first_state(c, mirror)).await.unwrap().at, at(10));
}

async fn a_wikis_states_are_its_own(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let wiki = PartId::wiki(mirror);
    step(&bed, mirror, vec![("main", Some(1))], 10).await;
    bed.write(move |c| parts::begin(c, wiki, at(11))).await;
    for (tip, seconds) in [(7, 20), (8, 30)] {
        bed.write(move |c| {
            tips::settle(c, wiki, &[(branch("master"), Some(oid(tip)))], at(seconds))?;
            parts::record_proof(c, wiki, &proven(&seconds.to_string(), seconds))
        })
        .await;
    }
    let state = |of: PartId, seconds| {
        bed.read(move |c| match history::state_at(c, of, at(seconds))? {
            Some(state) => history::refs_at(c, of, &state).map(Some),
            None => Ok(None),
        })
    };
    assert_eq!(state(wiki, 15).await, None);
    assert_eq!(state(wiki, 25).await, Some([(branch("master"), oid(7))].into()));
    assert_eq!(state(wiki, 35).await, Some([(branch("master"), oid(8))].into()));
    assert_eq!(state(mirror.into(), 35).await, Some([(branch("main"), oid(1))].into()));
    // Both have one from before; of each the last stays.
    assert_eq!(bed.write(|c| history::prune(c, at(40))).await, 1);
    assert_eq!(state(wiki, 35).await, Some([(branch("master"), oid(8))].into()));
    assert_eq!(state(mirror.into(), 35).await, Some([(branch("main"), oid(1))].into()));
}

async fn old_states_go_but_what_stood_at_the_limit_stays(bed: Bed) {
    let mirror = bed.mirror(1).await;
    for (n, seconds) in [(1, 10), (2, 20), (3, 30)] {
        step(&bed, mirror, vec![("main", Some(n))], seconds).await;
    }
    assert_eq!(bed.write(|c| history::prune(c, at(5))).await, 0);
    assert_eq!(bed.write(|c| history::prune(c, at(25))).await, 1);
    assert_eq!(bed.write(|c| history::prune(c, at(25))).await, 0);
    let first = bed.read(move |c| history::first_state(c, mirror)).await.unwrap();
    assert_eq!(first.at, at(20));
    let refs = bed.read(move |c| history::refs_at(c, mirror, &first)).await;
    assert_eq!(refs, [(branch("main"), oid(2))].into());
}
