//! A delivery: once, again after a failure, and settled by the jobs it asked for.

use crate::domain::event::{Account, Event};
use crate::domain::ids::{AccountId, JobId};
use crate::domain::job::{JobKind, Priority};
use crate::domain::repository::RepositoryName;
use crate::store::deliveries::{self, Filter, NewDelivery, Outcome, Recorded, State};
use crate::store::jobs::{self, NewJob};
use crate::store::{Connection, StoreError, Window};

use super::{Bed, LEASE, at, correlation, on_both, subject};

on_both!(
    a_second_delivery_changes_nothing,
    of_one_guid_delivered_many_times_at_once_one_is_new,
    a_delivery_is_processed_when_its_last_job_has_ended,
    a_delivery_that_failed_may_come_again,
    a_retried_job_takes_its_delivery_along,
    a_coalesced_job_settles_all_it_carries,
    a_job_that_is_overtaken_hands_its_deliveries_over,
    a_delivery_that_joined_a_job_as_it_ended_is_settled_later,
    nothing_to_do_is_ignored_and_nothing_queued_is_processed,
    deliveries_are_listed_with_their_jobs_and_pruned,
    no_more_deliveries_are_kept_than_asked_for,
);

fn delivery(guid: &str) -> NewDelivery {
    NewDelivery {
        guid: guid.to_owned(),
        event: Event::Starred {
            sender: Account { id: AccountId(5), login: "octocat".into() },
            repository: subject(1),
            at: None,
        },
        action: Some("created".into()),
        sender: Some((AccountId(5), "octocat".into())),
        outcome: Outcome::Accepted,
        correlation: correlation(42),
    }
}

/// Records a delivery and queues a job for it, as the stage that accepts does.
async fn deliver(bed: &Bed, guid: &'static str, kind: JobKind) -> JobId {
    let mirror = bed.mirror(1).await;
    bed.write(move |c| {
        deliveries::record(c, &delivery(guid), at(1))?;
        let mut job = NewJob::of(kind, mirror, Priority::FRESH, correlation(42));
        job.delivery = Some(guid.to_owned());
        Ok(jobs::enqueue(c, &job, at(1))?.id)
    })
    .await
}

async fn state(bed: &Bed, guid: &'static str) -> State {
    bed.read(move |c| deliveries::find(c, guid)).await.unwrap().state
}

fn work(
    c: &mut Connection,
    end: impl FnOnce(&mut Connection, JobId) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let job = jobs::claim(c, "w", at(5), LEASE, &JobKind::ALL)?.unwrap();
    assert!(end(c, job.id)?);
    Ok(())
}

async fn finish_next(bed: &Bed) {
    bed.write(|c| work(c, |c, id| jobs::finish(c, id, "w", at(6)))).await;
}

async fn bury_next(bed: &Bed) {
    bed.write(|c| work(c, |c, id| jobs::bury(c, id, "w", ("x", "y"), at(6)))).await;
}

async fn a_second_delivery_changes_nothing(bed: Bed) {
    let job = deliver(&bed, "g", JobKind::Sync).await;
    let before = bed.read(|c| deliveries::find(c, "g")).await.unwrap();
    assert_eq!((before.state, before.received_at, before.jobs.as_slice()), (State::Accepted, at(1), [job].as_slice()));
    assert_eq!((before.name.as_str(), before.action.as_deref()), ("star", Some("created")));
    assert_eq!(before.sender, Some((AccountId(5), "octocat".to_owned())));
    let (id, name) = before.repository.clone().unwrap();
    assert_eq!((id, name.parse::<RepositoryName>().unwrap()), (subject(1).id, subject(1).name));
    assert_eq!((before.event.clone(), before.correlation), (delivery("g").event, correlation(42)));
    let again = bed.write(|c| deliveries::record(c, &delivery("g"), at(9))).await;
    assert_eq!(again, Recorded::Duplicate(vec![job]));
    assert_eq!(bed.read(|c| deliveries::find(c, "g")).await.unwrap(), before);
    finish_next(&bed).await;
    assert_eq!(bed.write(|c| deliveries::record(c, &delivery("g"), at(9))).await, Recorded::Duplicate(vec![job]));
}

async fn of_one_guid_delivered_many_times_at_once_one_is_new(bed: Bed) {
    let other = bed.another().await;
    let all = (0..16).map(|it| {
        let store = if it % 2 == 0 { bed.store.clone() } else { other.clone() };
        tokio::spawn(async move { store.write(|c| deliveries::record(c, &delivery("g"), at(1))).await.unwrap() })
    });
    let all = futures_util::future::join_all(all).await;
    assert_eq!(all.into_iter().filter(|it| *it.as_ref().unwrap() == Recorded::New).count(), 1);
}

async fn a_delivery_is_processed_when_its_last_job_has_ended(bed: Bed) {
    deliver(&bed, "g", JobKind::Sync).await;
    deliver(&bed, "g", JobKind::Verify).await;
    finish_next(&bed).await;
    assert_eq!(state(&bed, "g").await, State::Accepted);
    finish_next(&bed).await;
    assert_eq!(state(&bed, "g").await, State::Processed);
}

async fn a_delivery_that_failed_may_come_again(bed: Bed) {
    deliver(&bed, "g", JobKind::Sync).await;
    deliver(&bed, "g", JobKind::Verify).await;
    bury_next(&bed).await;
    assert_eq!(state(&bed, "g").await, State::Failed, "one dead job is enough");
    let again = NewDelivery { correlation: correlation(43), ..delivery("g") };
    assert_eq!(bed.write(move |c| deliveries::record(c, &again, at(9))).await, Recorded::Again);
    let found = bed.read(|c| deliveries::find(c, "g")).await.unwrap();
    assert_eq!((found.state, found.received_at, found.jobs), (State::Accepted, at(9), vec![]));
    assert_eq!(found.correlation, correlation(43));
    let second = deliver(&bed, "g", JobKind::Sync).await;
    assert_eq!(bed.read(|c| deliveries::jobs_of(c, "g")).await, [second]);
    finish_next(&bed).await;
    finish_next(&bed).await;
    assert_eq!(state(&bed, "g").await, State::Processed, "the dead job of the first time does not count any more");
}

async fn a_retried_job_takes_its_delivery_along(bed: Bed) {
    let job = deliver(&bed, "g", JobKind::Sync).await;
    bury_next(&bed).await;
    bed.write(move |c| jobs::retry(c, job, at(7))).await.unwrap();
    assert_eq!(state(&bed, "g").await, State::Accepted);
    bed.write(|c| {
        let job = jobs::claim(c, "w", at(7), LEASE, &JobKind::ALL)?.unwrap();
        jobs::finish(c, job.id, "w", at(8))
    })
    .await;
    assert_eq!(state(&bed, "g").await, State::Processed);
}

async fn a_coalesced_job_settles_all_it_carries(bed: Bed) {
    let first = deliver(&bed, "one", JobKind::Sync).await;
    assert_eq!(deliver(&bed, "two", JobKind::Sync).await, first);
    finish_next(&bed).await;
    assert_eq!((state(&bed, "one").await, state(&bed, "two").await), (State::Processed, State::Processed));
}

async fn a_job_that_is_overtaken_hands_its_deliveries_over(bed: Bed) {
    let first = deliver(&bed, "one", JobKind::Sync).await;
    bed.write(|c| jobs::claim(c, "w", at(5), LEASE, &JobKind::ALL)).await.unwrap();
    let second = deliver(&bed, "two", JobKind::Sync).await;
    assert_ne!(first, second);
    bed.write(move |c| jobs::postpone(c, first, "w", at(5), true, Some(("x", "y")), at(5))).await;
    assert_eq!(state(&bed, "one").await, State::Accepted);
    assert_eq!(bed.read(|c| deliveries::jobs_of(c, "one")).await, [second]);
    finish_next(&bed).await;
    assert_eq!((state(&bed, "one").await, state(&bed, "two").await), (State::Processed, State::Processed));
}

async fn a_delivery_that_joined_a_job_as_it_ended_is_settled_later(bed: Bed) {
    let job = deliver(&bed, "one", JobKind::Sync).await;
    finish_next(&bed).await;
    bed.write(move |c| {
        deliveries::record(c, &delivery("two"), at(1))?;
        deliveries::link(c, "two", job)
    })
    .await;
    deliver(&bed, "three", JobKind::Sync).await;
    assert_eq!(bed.write(deliveries::settle_open).await, 1);
    assert_eq!((state(&bed, "two").await, state(&bed, "three").await), (State::Processed, State::Accepted));
}

async fn nothing_to_do_is_ignored_and_nothing_queued_is_processed(bed: Bed) {
    let ping = NewDelivery {
        event: Event::Other { name: "issues".into(), action: Some("opened".into()) },
        outcome: Outcome::Ignored,
        sender: None,
        action: None,
        ..delivery("g")
    };
    bed.write(move |c| {
        deliveries::record(c, &ping, at(1))?;
        deliveries::settle(c, "g")?;
        deliveries::record(c, &delivery("h"), at(1))?;
        deliveries::settle(c, "h")
    })
    .await;
    assert_eq!((state(&bed, "g").await, state(&bed, "h").await), (State::Ignored, State::Processed));
    assert_eq!(bed.read(|c| deliveries::find(c, "g")).await.unwrap().repository, None);
    assert!(bed.read(|c| deliveries::find(c, "none")).await.is_none());
}

async fn deliveries_are_listed_with_their_jobs_and_pruned(bed: Bed) {
    let job = deliver(&bed, "a", JobKind::Sync).await;
    bed.write(|c| deliveries::record(c, &delivery("b"), at(50))).await;
    bed.write(|c| deliveries::record(c, &NewDelivery { outcome: Outcome::Ignored, ..delivery("c") }, at(2))).await;
    let all = bed.read(|c| deliveries::list(c, &Filter::default(), &Window { limit: 2, cursor: None })).await;
    assert_eq!(all.items.iter().map(|it| it.guid.as_str()).collect::<Vec<_>>(), ["c", "b"]);
    let rest = bed.read(|c| deliveries::list(c, &Filter::default(), &Window { limit: 2, cursor: all.next })).await;
    assert_eq!((rest.items[0].guid.as_str(), rest.items[0].jobs.as_slice(), rest.next), ("a", [job].as_slice(), None));
    let accepted = Filter { state: Some(State::Accepted), event: Some("star".into()) };
    assert_eq!(bed.read(move |c| deliveries::list(c, &accepted, &Window::default())).await.items.len(), 2);
    assert_eq!(bed.write(|c| deliveries::prune(c, at(99))).await, 1, "what is on its way stays");
    finish_next(&bed).await;
    assert_eq!(bed.write(|c| deliveries::prune(c, at(50))).await, 1);
}

async fn no_more_deliveries_are_kept_than_asked_for(bed: Bed) {
    deliver(&bed, "on its way", JobKind::Sync).await;
    for guid in ["b", "c", "d", "e"] {
        bed.write(move |c| deliveries::record(c, &NewDelivery { outcome: Outcome::Ignored, ..delivery(guid) }, at(1)))
            .await;
    }
    assert_eq!(bed.write(|c| deliveries::prune_beyond(c, 5)).await, 0);
    assert_eq!(bed.write(|c| deliveries::prune_beyond(c, 2)).await, 2);
    let kept = bed.read(|c| deliveries::list(c, &Filter::default(), &Window::default())).await;
    let guids: Vec<_> = kept.items.iter().map(|it| it.guid.as_str()).collect();
    assert_eq!(guids, ["e", "d", "on its way"], "the oldest go, but none that is on its way");
}
