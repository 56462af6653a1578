//! Many at once: on one file or one server, nothing happens twice and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use crate::domain::ids::{JobId, MirrorId};
use crate::domain::job::{JobKind, JobState, Priority};
use crate::domain::mirror::Source;
use crate::store::jobs::{self, Filter, NewJob};
use crate::store::{Store, StoreError, Window, mirrors};

use super::{Bed, LEASE, at, correlation, on_both, subject};

on_both!(
    two_hundred_jobs_are_each_done_exactly_once_by_eight_workers_of_two_processes,
    two_kinds_of_work_for_one_mirror_never_run_at_once,
    of_many_equal_jobs_queued_at_once_one_waits,
    an_expired_lease_is_freed_once_however_many_look,
    a_claim_and_an_equal_job_that_comes_meanwhile_leave_no_job_behind,
);

/// Later than any pause of these tests.
const LATE: i64 = 1000;

async fn two_hundred_jobs_are_each_done_exactly_once_by_eight_workers_of_two_processes(bed: Bed) {
    let mirrors: Vec<MirrorId> = bed
        .write(|c| (0..200).map(|it| Ok(mirrors::ensure(c, &subject(it), Source::Star, at(0))?.0.id)).collect())
        .await;
    bed.write(move |c| {
        for mirror in &mirrors {
            jobs::enqueue(c, &NewJob::of(JobKind::Sync, *mirror, Priority::FRESH, correlation(1)), at(0))?;
        }
        Ok(())
    })
    .await;
    let other = bed.another().await;
    let workers = (0..8).map(|it| {
        let store = if it % 2 == 0 { bed.store.clone() } else { other.clone() };
        tokio::spawn(work_until_idle(store, format!("worker-{it}")))
    });
    let done: Vec<JobId> = join_all(workers).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(done.len(), 200);
    assert_eq!(done.iter().collect::<BTreeSet<_>>().len(), 200);
    assert_eq!(bed.read(jobs::counts).await, [((JobKind::Sync, JobState::Done), 200)].into());
}

async fn work_until_idle(store: Store, worker: String) -> Vec<JobId> {
    let mut done = Vec::new();
    loop {
        let me = worker.clone();
        let claimed = store.write(move |c| jobs::claim(c, &me, at(LATE), LEASE, &JobKind::ALL)).await.unwrap();
        let Some(job) = claimed else { return done };
        let me = worker.clone();
        assert!(store.write(move |c| jobs::finish(c, job.id, &me, at(2))).await.unwrap());
        done.push(job.id);
    }
}

async fn two_kinds_of_work_for_one_mirror_never_run_at_once(bed: Bed) {
    let other = bed.another().await;
    for it in 0..20 {
        let mirror = bed.mirror(it).await;
        bed.job(JobKind::Sync, mirror, 0).await;
        bed.job(JobKind::Verify, mirror, 0).await;
    }
    let claims = (0..40).map(|it| {
        let store = if it % 2 == 0 { bed.store.clone() } else { other.clone() };
        tokio::spawn(async move {
            store.write(move |c| jobs::claim(c, &format!("w{it}"), at(1), LEASE, &JobKind::ALL)).await.unwrap()
        })
    });
    let claimed: Vec<_> = join_all(claims).await.into_iter().filter_map(Result::unwrap).collect();
    let mirrors: BTreeSet<_> = claimed.iter().map(|it| it.mirror).collect();
    assert_eq!((claimed.len(), mirrors.len()), (20, 20));
}

async fn of_many_equal_jobs_queued_at_once_one_waits(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let other = bed.another().await;
    let queued = (0..32_u8).map(|it| {
        let store = if it % 2 == 0 { bed.store.clone() } else { other.clone() };
        tokio::spawn(async move {
            let job = NewJob::of(JobKind::Sync, mirror, Priority(i16::from(it)), correlation(it.into()));
            store.write(move |c| jobs::enqueue(c, &job, at(0))).await.unwrap()
        })
    });
    let queued: Vec<_> = join_all(queued).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(queued.iter().filter(|it| !it.coalesced).count(), 1);
    assert!(queued.iter().all(|it| it.id == queued[0].id));
    let id = queued[0].id;
    assert_eq!(bed.read(move |c| jobs::find(c, id)).await.unwrap().priority, Priority(31));
}

async fn an_expired_lease_is_freed_once_however_many_look(bed: Bed) {
    let other = bed.another().await;
    for it in 0..10 {
        let mirror = bed.mirror(it).await;
        bed.job(JobKind::Sync, mirror, 0).await;
        bed.write(|c| jobs::claim(c, "gone", at(0), LEASE, &JobKind::ALL)).await.unwrap();
    }
    let freed = (0..8).map(|it| {
        let store = if it % 2 == 0 { bed.store.clone() } else { other.clone() };
        tokio::spawn(async move { store.write(|c| jobs::free_expired(c, at(100))).await.unwrap() })
    });
    assert_eq!(join_all(freed).await.into_iter().map(Result::unwrap).sum::<usize>(), 10);
    let all = bed.read(|c| jobs::list(c, &Filter::default(), &Window::default())).await.items;
    assert!(all.iter().all(|it| it.state == JobState::Queued && it.crashes == 1));
}

/// Events, claims, failures and ends of one mirror, all at once and over and over: afterwards every
/// job has ended and at no time two ran.
async fn a_claim_and_an_equal_job_that_comes_meanwhile_leave_no_job_behind(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let other = bed.another().await;
    let busy = (0..6).map(|it| {
        let store = if it % 2 == 0 { bed.store.clone() } else { other.clone() };
        tokio::spawn(async move {
            for round in 0..15 {
                churn(&store, mirror, &format!("w{it}"), round).await.unwrap();
            }
        })
    });
    join_all(busy).await.into_iter().for_each(Result::unwrap);
    work_until_idle(bed.store.clone(), "last".to_owned()).await;
    let counts: BTreeMap<_, _> = bed.read(jobs::counts).await;
    assert!(counts.keys().all(|(_, state)| !matches!(state, JobState::Queued | JobState::Running)), "{counts:?}");
}

async fn churn(store: &Store, mirror: MirrorId, worker: &str, round: u32) -> Result<(), StoreError> {
    let job = NewJob::of(JobKind::Sync, mirror, Priority::CHANGED, correlation(1));
    store.write(move |c| jobs::enqueue(c, &job, at(0))).await?;
    let me = worker.to_owned();
    let Some(job) = store.write(move |c| jobs::claim(c, &me, at(LATE), LEASE, &JobKind::ALL)).await? else {
        return Ok(());
    };
    let running = Filter { state: Some(JobState::Running), mirror: Some(mirror), kind: None };
    let running = store.read(move |c| jobs::list(c, &running, &Window::default())).await?.items;
    assert_eq!(running.len(), 1);
    let me = worker.to_owned();
    let held = store
        .write(move |c| match round % 3 {
            0 => jobs::finish(c, job.id, &me, at(2)),
            1 => jobs::postpone(c, job.id, &me, at(0), true, Some(("boom", "text")), at(2)),
            _ => Ok(jobs::free_held_by(c, &me, at(2))? == 1),
        })
        .await?;
    assert!(held);
    Ok(())
}
