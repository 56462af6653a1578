//! Tips last put and intents, few and very many.

use crate::domain::refs::{RefMap, RefName};
use crate::store::tips;

use super::{Bed, at, branch, oid, on_both};

on_both!(an_intent_stands_beside_the_tip_until_it_is_settled, fifty_thousand_refs_go_in_one_transaction);

async fn an_intent_stands_beside_the_tip_until_it_is_settled(bed: Bed) {
    let (mirror, other) = (bed.mirror(1).await, bed.mirror(2).await);
    let (main, old, new) = (branch("main"), branch("old"), branch("ünï/\"q'"));
    let all = [main.clone(), old.clone(), new.clone()];
    let (put, intents) = bed
        .write(move |c| {
            let [main, old, new] = &all;
            tips::replace_all(c, mirror, &[(main.clone(), oid(1)), (old.clone(), oid(2))].into())?;
            tips::replace_all(c, other, &[(main.clone(), oid(9))].into())?;
            tips::intend(c, mirror, &[(main.clone(), Some(oid(3))), (old.clone(), None), (new.clone(), Some(oid(4)))])?;
            tips::load(c, mirror)
        })
        .await;
    assert_eq!(put, [(main.clone(), oid(1)), (old.clone(), oid(2))].into());
    assert_eq!(intents, [(main.clone(), Some(oid(3))), (old.clone(), None), (new.clone(), Some(oid(4)))].into());

    let all = [main.clone(), old.clone(), new.clone()];
    let (put, intents) = bed
        .write(move |c| {
            let [main, old, _] = &all;
            tips::settle(c, mirror, &[(main.clone(), Some(oid(3))), (old.clone(), None)], at(1))?;
            tips::settle(c, mirror, &[], at(1))?;
            tips::load(c, mirror)
        })
        .await;
    assert_eq!(put, [(main.clone(), oid(3))].into());
    assert_eq!(intents, [(new.clone(), Some(oid(4)))].into());

    let (put, intents) = bed
        .write({
            let main = main.clone();
            move |c| {
                tips::intend(c, mirror, &[(main.clone(), Some(oid(5)))])?;
                tips::clear_intents(c, mirror)?;
                tips::load(c, mirror)
            }
        })
        .await;
    assert_eq!((put, intents.len()), ([(main.clone(), oid(3))].into(), 0));
    let (theirs, _) = bed.read(move |c| tips::load(c, other)).await;
    assert_eq!(theirs, [(main, oid(9))].into(), "another mirror's tips are its own");
}

async fn fifty_thousand_refs_go_in_one_transaction(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let many: Vec<(RefName, _)> = (0..50_000)
        .map(|it| (branch(&format!("topic/{it:05}")), Some(oid(u8::try_from(it % 250).unwrap() + 1))))
        .collect();
    let want: RefMap = many.iter().map(|(name, it)| (name.clone(), it.unwrap())).collect();
    let gone: Vec<_> = many.iter().map(|(name, _)| (name.clone(), None)).collect();
    let given = many.clone();
    bed.write(move |c| tips::intend(c, mirror, &given)).await;
    let (put, intents) = bed.read(move |c| tips::load(c, mirror)).await;
    assert_eq!((put.len(), intents.len()), (0, 50_000));
    bed.write(move |c| tips::settle(c, mirror, &many, at(1))).await;
    let (put, intents) = bed.read(move |c| tips::load(c, mirror)).await;
    assert_eq!((put == want, intents.len()), (true, 0));
    bed.write(move |c| tips::settle(c, mirror, &gone, at(1))).await;
    assert_eq!(bed.read(move |c| tips::load(c, mirror)).await, Default::default());
}
