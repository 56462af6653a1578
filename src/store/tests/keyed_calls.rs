//! Calls under an `Idempotency-Key`, as their rows have them.

use chrono::TimeDelta;

use super::{Bed, at, on_both};
use crate::store::keyed_calls::{self, Answer, Call, Claimed};

on_both!(a_call_is_run_once_and_answered_as_before, of_many_at_once_one_is_run);

const PATIENCE: TimeDelta = TimeDelta::seconds(10);
const LIFETIME: TimeDelta = TimeDelta::seconds(100);

fn call(digest: &str, holder: &str) -> Call {
    Call { id: "id".to_owned(), digest: digest.to_owned(), holder: holder.to_owned() }
}

async fn claim(bed: &Bed, digest: &str, holder: &str, second: i64) -> Claimed {
    let call = call(digest, holder);
    bed.write(move |c| keyed_calls::claim(c, &call, (PATIENCE, LIFETIME), at(second))).await
}

async fn a_call_is_run_once_and_answered_as_before(bed: Bed) {
    let answer = Answer {
        status: 201,
        content_type: Some("application/json".to_owned()),
        location: None,
        body: Some("{}".to_owned()),
    };
    assert_eq!(claim(&bed, "d", "one", 0).await, Claimed::Run);
    assert_eq!(claim(&bed, "d", "two", 9).await, Claimed::UnderWay(at(10)));
    assert_eq!(claim(&bed, "e", "two", 9).await, Claimed::Reused);
    // The process of the first died; it comes back, and has lost its claim.
    assert_eq!(claim(&bed, "d", "two", 10).await, Claimed::Run);
    let other = Answer { status: 500, ..answer.clone() };
    bed.write(move |c| keyed_calls::settle(c, &call("d", "one"), &other)).await;
    bed.write(|c| keyed_calls::drop(c, &call("d", "one"))).await;
    assert_eq!(claim(&bed, "d", "three", 11).await, Claimed::UnderWay(at(20)));
    let settled = answer.clone();
    bed.write(move |c| keyed_calls::settle(c, &call("d", "two"), &settled)).await;
    assert_eq!(claim(&bed, "d", "three", 50).await, Claimed::Answered(answer));
    assert_eq!(claim(&bed, "e", "three", 50).await, Claimed::Reused);
    // After its time it counts as never made, whether it was pruned or not.
    assert_eq!(claim(&bed, "e", "three", 110).await, Claimed::Run);
    bed.write(|c| keyed_calls::drop(c, &call("e", "three"))).await;
    assert_eq!(claim(&bed, "f", "four", 111).await, Claimed::Run);
    assert_eq!(bed.write(|c| keyed_calls::prune(c, at(111))).await, 0);
    assert_eq!(bed.write(|c| keyed_calls::prune(c, at(112))).await, 1);
    assert_eq!(claim(&bed, "g", "five", 112).await, Claimed::Run);
}

async fn of_many_at_once_one_is_run(bed: Bed) {
    let other = Bed { store: bed.another().await, ..bed.clone() };
    let holders: Vec<String> = (0..8).map(|it| it.to_string()).collect();
    let all = holders.iter().enumerate().map(|(n, it)| claim(if n % 2 == 0 { &bed } else { &other }, "d", it, 0));
    let all = futures_util::future::join_all(all).await;
    assert_eq!(all.iter().filter(|it| **it == Claimed::Run).count(), 1, "{all:?}");
    assert_eq!(all.iter().filter(|it| **it == Claimed::UnderWay(at(10))).count(), 7, "{all:?}");
}
