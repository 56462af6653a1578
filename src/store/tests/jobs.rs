//! The life of a job: queued, coalesced, claimed, lost, ended, and tried again.

use crate::domain::ids::{JobId, MirrorId};
use crate::domain::job::{JobKind, JobState, Priority};
use crate::store::jobs::{self, CRASH_LIMIT, Claim, Enqueued, Filter, Job, NewJob, Waits};
use crate::store::{Connection, StoreError, Window, mirrors};

use super::{Bed, LEASE, at, correlation, on_both};

on_both!(
    a_job_is_claimed_when_it_is_due_and_only_once,
    the_most_urgent_goes_first_then_the_oldest,
    one_job_of_a_mirror_runs_at_a_time,
    an_equal_job_that_waits_does_it_for_both,
    what_a_job_was_told_goes_over_to_the_equal_one_that_waits,
    an_event_during_a_run_queues_one_more,
    a_lease_is_kept_by_renewing_it_and_lost_by_not,
    a_worker_that_lost_its_lease_changes_nothing,
    a_job_that_keeps_losing_its_process_makes_room_and_ends_dead,
    an_expired_job_is_overtaken_by_an_equal_one,
    a_process_that_is_known_to_be_gone_loses_its_leases_at_once,
    a_postponed_job_comes_back_with_its_attempts,
    a_postponed_job_hands_its_pause_to_the_one_queued_meanwhile,
    jobs_that_wait_for_a_server_are_left_alone_but_for_one_that_tries,
    what_a_job_waits_for_the_equal_one_waits_for_that_overtakes_it,
    a_person_who_asks_makes_a_job_forget_what_it_waits_for,
    a_dead_job_waits_for_somebody_to_retry_it,
    a_retry_joins_an_equal_job_that_waits,
    only_a_waiting_job_is_called_off,
    lists_counts_and_clocks_tell_the_queue,
    what_ended_long_ago_is_pruned_but_the_dead_stay,
    several_are_claimed_at_once_of_certain_mirrors_too,
    only_the_kinds_asked_for_are_claimed,
);

fn claim(c: &mut Connection, worker: &str, seconds: i64) -> Result<Option<Job>, StoreError> {
    jobs::claim(c, worker, at(seconds), LEASE, &JobKind::ALL)
}

async fn claimed(bed: &Bed, worker: &'static str, seconds: i64) -> Option<Job> {
    bed.write(move |c| claim(c, worker, seconds)).await
}

async fn found(bed: &Bed, id: JobId) -> Job {
    bed.read(move |c| jobs::find(c, id)).await.unwrap()
}

async fn a_job_is_claimed_when_it_is_due_and_only_once(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let Enqueued { id, coalesced } = bed.job(JobKind::Sync, mirror, 10).await;
    assert!(!coalesced);
    assert!(claimed(&bed, "w", 9).await.is_none());
    let job = claimed(&bed, "w", 10).await.unwrap();
    assert_eq!((job.id, job.kind, job.mirror, job.state), (id, JobKind::Sync, Some(mirror), JobState::Running));
    assert_eq!((job.lease_until, job.leased_by.as_deref()), (Some(at(10) + LEASE), Some("w")));
    assert_eq!((job.created_at, job.correlation, job.payload.to_string()), (at(0), correlation(1), "{}".to_owned()));
    assert!(claimed(&bed, "other", 10).await.is_none());
    assert!(bed.write(move |c| jobs::finish(c, id, "w", at(11))).await);
    let done = found(&bed, id).await;
    assert_eq!(
        (done.state, done.finished_at, done.leased_by, done.lease_until),
        (JobState::Done, Some(at(11)), None, None)
    );
    assert!(claimed(&bed, "w", 99).await.is_none());
}

async fn the_most_urgent_goes_first_then_the_oldest(bed: Bed) {
    let mut ids = Vec::new();
    for (mirror, priority, run_after) in
        [(1, Priority::ROUTINE, 0), (2, Priority::FRESH, 5), (3, Priority::FRESH, 4), (4, Priority::ASKED, 9)]
    {
        let mirror = bed.mirror(mirror).await;
        let mut job = NewJob::of(JobKind::Sync, mirror, priority, correlation(1));
        job.run_after = Some(at(run_after));
        ids.push(bed.write(move |c| jobs::enqueue(c, &job, at(0))).await.id);
    }
    let mut order = Vec::new();
    while let Some(job) = claimed(&bed, "w", 9).await {
        order.push(job.id);
    }
    assert_eq!(order, [ids[3], ids[2], ids[1], ids[0]]);
}

async fn one_job_of_a_mirror_runs_at_a_time(bed: Bed) {
    let (one, two) = (bed.mirror(1).await, bed.mirror(2).await);
    let sync = bed.job(JobKind::Sync, one, 0).await.id;
    let verify = bed.job(JobKind::Verify, one, 0).await.id;
    let other = bed.job(JobKind::Sync, two, 0).await.id;
    assert_eq!(claimed(&bed, "w", 0).await.unwrap().id, sync);
    assert_eq!(claimed(&bed, "w", 0).await.unwrap().id, other);
    assert!(claimed(&bed, "w", 0).await.is_none());
    assert_eq!(bed.read(jobs::next_run_after).await, None, "the clock does not free a mirror");
    bed.write(move |c| jobs::finish(c, sync, "w", at(1))).await;
    assert_eq!(bed.read(jobs::next_run_after).await, Some(at(0)));
    assert_eq!(claimed(&bed, "w", 1).await.unwrap().id, verify);
}

async fn an_equal_job_that_waits_does_it_for_both(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let first = bed.job(JobKind::Sync, mirror, 10).await;
    let mut job = NewJob::of(JobKind::Sync, mirror, Priority::ROUTINE, correlation(2));
    job.run_after = Some(at(5));
    let earlier = job.clone();
    let second = bed.write(move |c| jobs::enqueue(c, &earlier, at(1))).await;
    assert_eq!(second, Enqueued { id: first.id, coalesced: true });
    let joined = found(&bed, first.id).await;
    assert_eq!((joined.priority, joined.run_after, joined.correlation), (Priority::CHANGED, at(5), correlation(1)));
    let urgent = NewJob { priority: Priority::ASKED, run_after: Some(at(50)), ..job };
    bed.write(move |c| jobs::enqueue(c, &urgent, at(2))).await;
    let joined = found(&bed, first.id).await;
    assert_eq!((joined.priority, joined.run_after), (Priority::ASKED, at(5)));
    assert!(!joined.allows_mass_delete());
    let allowing = NewJob { run_after: Some(at(60)), ..urgent_again(mirror) }.allowing_mass_delete(true);
    bed.write(move |c| jobs::enqueue(c, &allowing, at(2))).await;
    bed.job(JobKind::Sync, mirror, 10).await;
    let joined = found(&bed, first.id).await;
    assert_eq!((joined.allows_mass_delete(), joined.run_after), (true, at(5)), "what one of them was told holds");
    let verify = bed.job(JobKind::Verify, mirror, 0).await;
    assert!(!verify.coalesced, "another kind is another job");
}

fn urgent_again(mirror: MirrorId) -> NewJob {
    NewJob::of(JobKind::Sync, mirror, Priority::ROUTINE, correlation(3))
}

async fn what_a_job_was_told_goes_over_to_the_equal_one_that_waits(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let told = urgent_again(mirror).allowing_mass_delete(true);
    let first = bed.write(move |c| jobs::enqueue(c, &told, at(0))).await.id;
    claimed(&bed, "w", 0).await.unwrap();
    let second = bed.job(JobKind::Sync, mirror, 0).await.id;
    assert!(bed.write(move |c| jobs::postpone(c, first, "w", at(2), true, None, at(1))).await);
    assert!(found(&bed, second).await.allows_mass_delete());
    assert_eq!(found(&bed, first).await.state, JobState::Cancelled);
}

async fn an_event_during_a_run_queues_one_more(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let first = bed.job(JobKind::Sync, mirror, 0).await;
    claimed(&bed, "w", 0).await.unwrap();
    let second = bed.job(JobKind::Sync, mirror, 0).await;
    assert!(!second.coalesced && second.id != first.id);
    assert!(bed.job(JobKind::Sync, mirror, 0).await.coalesced);
    assert!(claimed(&bed, "w", 0).await.is_none());
    bed.write(move |c| jobs::finish(c, first.id, "w", at(1))).await;
    assert_eq!(claimed(&bed, "w", 1).await.unwrap().id, second.id);
}

async fn a_lease_is_kept_by_renewing_it_and_lost_by_not(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let id = bed.job(JobKind::Sync, mirror, 0).await.id;
    claimed(&bed, "w", 0).await.unwrap();
    assert!(bed.write(move |c| jobs::renew(c, id, "w", at(20), at(5))).await);
    assert!(!bed.write(move |c| jobs::renew(c, id, "somebody", at(90), at(5))).await);
    assert_eq!(bed.write(|c| jobs::free_expired(c, at(20))).await, 0);
    assert_eq!(bed.write(|c| jobs::free_expired(c, at(21))).await, 1);
    let free = found(&bed, id).await;
    assert_eq!((free.state, free.crashes, free.attempts, free.run_after), (JobState::Queued, 1, 0, at(21)));
    assert_eq!((free.leased_by.as_deref(), free.lease_until), (None, None));
    assert_eq!(claimed(&bed, "other", 21).await.unwrap().id, id);
}

async fn a_worker_that_lost_its_lease_changes_nothing(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let id = bed.job(JobKind::Sync, mirror, 0).await.id;
    claimed(&bed, "slow", 0).await.unwrap();
    bed.write(|c| jobs::free_expired(c, at(100))).await;
    claimed(&bed, "fast", 100).await.unwrap();
    let before = found(&bed, id).await;
    bed.write(move |c| {
        assert!(!jobs::renew(c, id, "slow", at(200), at(101))?);
        assert!(!jobs::finish(c, id, "slow", at(101))?);
        assert!(!jobs::postpone(c, id, "slow", at(102), true, None, at(101))?);
        assert!(!jobs::bury(c, id, "slow", ("x", "y"), at(101))?);
        Ok(())
    })
    .await;
    assert_eq!(found(&bed, id).await, before);
    assert!(bed.write(move |c| jobs::finish(c, id, "fast", at(103))).await);
    assert!(!bed.write(move |c| jobs::finish(c, id, "fast", at(104))).await, "only once");
}

async fn a_job_that_keeps_losing_its_process_makes_room_and_ends_dead(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let id = bed.job(JobKind::Sync, mirror, 0).await.id;
    let mut clock = 0;
    let mut pauses = Vec::new();
    for _ in 1..CRASH_LIMIT {
        clock += 1000;
        assert!(claimed(&bed, "w", clock).await.is_some());
        bed.write(move |c| jobs::free_expired(c, at(clock + 100))).await;
        pauses.push((found(&bed, id).await.run_after - at(clock + 100)).num_seconds());
    }
    assert_eq!(pauses, [0, 0, 0, 1, 2, 4, 8, 16, 32]);
    clock += 1000;
    claimed(&bed, "w", clock).await.unwrap();
    bed.write(move |c| jobs::free_expired(c, at(clock + 100))).await;
    let dead = found(&bed, id).await;
    assert_eq!((dead.state, dead.error.unwrap().0.as_str()), (JobState::Dead, "crashed"));
}

async fn an_expired_job_is_overtaken_by_an_equal_one(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let lost = bed.job(JobKind::Sync, mirror, 0).await.id;
    claimed(&bed, "w", 0).await.unwrap();
    let next = bed.job(JobKind::Sync, mirror, 0).await.id;
    assert_eq!(bed.write(|c| jobs::free_expired(c, at(100))).await, 1);
    let lost = found(&bed, lost).await;
    assert_eq!((lost.state, lost.error.unwrap().0.as_str()), (JobState::Cancelled, "overtaken"));
    assert_eq!(found(&bed, next).await.crashes, 1);
    assert_eq!(claimed(&bed, "w", 100).await.unwrap().id, next);
}

async fn a_process_that_is_known_to_be_gone_loses_its_leases_at_once(bed: Bed) {
    let (one, two) = (bed.mirror(1).await, bed.mirror(2).await);
    let serve = bed.job(JobKind::Sync, one, 0).await.id;
    claimed(&bed, "serve-1/3", 0).await.unwrap();
    let cli = bed.job(JobKind::Sync, two, 0).await.id;
    claimed(&bed, "cli-9", 0).await.unwrap();
    assert_eq!(bed.write(|c| jobs::free_held_by(c, "serve-", at(1))).await, 1);
    assert_eq!(found(&bed, serve).await.state, JobState::Queued);
    assert_eq!(found(&bed, cli).await.state, JobState::Running);
}

async fn a_postponed_job_comes_back_with_its_attempts(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let id = bed.job(JobKind::Sync, mirror, 0).await.id;
    claimed(&bed, "w", 0).await.unwrap();
    assert!(bed.write(move |c| jobs::postpone(c, id, "w", at(30), true, Some(("boom", "text")), at(1))).await);
    let waits = found(&bed, id).await;
    assert_eq!((waits.state, waits.attempts, waits.run_after), (JobState::Queued, 1, at(30)));
    assert_eq!(waits.error, Some(("boom".to_owned(), "text".to_owned())));
    assert!(claimed(&bed, "w", 29).await.is_none());
    assert_eq!(bed.read(jobs::next_run_after).await, Some(at(30)));
    claimed(&bed, "w", 30).await.unwrap();
    bed.write(move |c| jobs::postpone(c, id, "w", at(40), false, None, at(31))).await;
    assert_eq!(found(&bed, id).await.attempts, 1, "waiting that was asked for is no attempt");
}

/// Claims all there is of jobs that wait in some way.
async fn claimed_of(bed: &Bed, waits: Waits<'static>, seconds: i64) -> Vec<JobId> {
    let claim = move |c: &mut Connection| {
        let wanted = Claim { worker: "w", now: at(seconds), lease: LEASE, kinds: &JobKind::ALL, only: None, waits };
        jobs::claim_some(c, &wanted, 9)
    };
    bed.write(claim).await.into_iter().map(|it| it.id).collect()
}

async fn waiting(bed: &Bed, mirror: i64, code: &'static str, run_after: i64) -> JobId {
    let mirror = bed.mirror(mirror).await;
    let id = bed.job(JobKind::Sync, mirror, 0).await.id;
    assert_eq!(claimed(bed, "w", 0).await.unwrap().id, id);
    bed.write(move |c| jobs::postpone(c, id, "w", at(run_after), false, Some((code, "text")), at(0))).await;
    id
}

async fn jobs_that_wait_for_a_server_are_left_alone_but_for_one_that_tries(bed: Bed) {
    let one = waiting(&bed, 1, "onedev_unreachable", 60).await;
    let two = waiting(&bed, 2, "onedev_unreachable", 50).await;
    let other = waiting(&bed, 3, "boom", 10).await;
    let mirror = bed.mirror(4).await;
    let fresh = bed.job(JobKind::Sync, mirror, 0).await.id;
    let codes: &[&str] = &["onedev_unreachable", "onedev_booting"];
    assert_eq!(claimed_of(&bed, Waits::ForNoneOf(codes), 90).await, [fresh, other], "due as they are");
    let one_of = move |c: &mut Connection| {
        let waits = Waits::ForOneOf(codes);
        jobs::claim_one(c, &Claim { worker: "w", now: at(1), lease: LEASE, kinds: &JobKind::ALL, only: None, waits })
    };
    assert_eq!(bed.write(one_of).await.unwrap().id, two, "though it is not due");
    assert_eq!(claimed_of(&bed, Waits::ForOneOf(&[]), 90).await, []);

    let waiting = async |late| bed.read(move |c| jobs::waiting_for(c, codes, late)).await;
    assert_eq!(waiting(None).await, [one], "the other one is on its way");
    assert_eq!(waiting(Some((at(0), at(60)))).await, [one]);
    assert_eq!(waiting(Some((at(1), at(60)))).await, [], "none since then");
    assert_eq!(waiting(Some((at(0), at(61)))).await, [], "none so late");
    assert_eq!(bed.write(move |c| jobs::put_off(c, codes, at(200), at(60))).await, 1);
    assert_eq!(found(&bed, one).await.run_after, at(200));
    assert_eq!(bed.write(move |c| jobs::put_off(c, codes, at(300), at(60))).await, 0, "it is not due now");
    bed.write(move |c| jobs::reschedule(c, &[(one, at(3)), (two, at(4))])).await;
    assert_eq!((found(&bed, one).await.run_after, found(&bed, two).await.run_after), (at(3), at(50)));
    assert_eq!(claimed_of(&bed, Waits::ForNoneOf(&[]), 3).await, [one]);
}

async fn what_a_job_waits_for_the_equal_one_waits_for_that_overtakes_it(bed: Bed) {
    for (mirror, priority, waits) in [(1, Priority::ROUTINE, true), (2, Priority::ASKED, false)] {
        let mirror = bed.mirror(mirror).await;
        let first = bed.job(JobKind::Sync, mirror, 0).await.id;
        assert_eq!(claimed(&bed, "w", 0).await.unwrap().id, first);
        let next = NewJob::of(JobKind::Sync, mirror, priority, correlation(1));
        let next = bed.write(move |c| jobs::enqueue(c, &next, at(0))).await.id;
        let error = Some(("onedev_unreachable", "text"));
        bed.write(move |c| jobs::postpone(c, first, "w", at(60), false, error, at(1))).await;
        let next = found(&bed, next).await;
        assert_eq!((next.run_after, next.error.is_some()), (at(60), waits));
        let called = bed.read(|c| jobs::waiting_for(c, &["onedev_unreachable"], None)).await;
        assert_eq!(called.contains(&next.id), waits, "a person has a try of his own");
    }
}

async fn a_person_who_asks_makes_a_job_forget_what_it_waits_for(bed: Bed) {
    let id = waiting(&bed, 1, "onedev_unreachable", 60).await;
    let mirror = found(&bed, id).await.mirror.unwrap();
    let codes: &[&str] = &["onedev_unreachable"];
    bed.job(JobKind::Sync, mirror, 0).await;
    assert_eq!(claimed_of(&bed, Waits::ForNoneOf(codes), 90).await, [], "an event is no reason to try");
    for _ in 0..2 {
        let asked = NewJob::of(JobKind::Sync, mirror, Priority::ASKED, correlation(1));
        bed.write(move |c| jobs::enqueue(c, &asked, at(1))).await;
        assert_eq!(claimed_of(&bed, Waits::ForNoneOf(codes), 90).await, [id]);
        assert_eq!(found(&bed, id).await.error, None);
        let error = Some(("onedev_unreachable", "text"));
        bed.write(move |c| jobs::postpone(c, id, "w", at(0), false, error, at(2))).await;
        assert_eq!(claimed_of(&bed, Waits::ForNoneOf(codes), 90).await, [], "it was tried once");
    }
}

async fn a_postponed_job_hands_its_pause_to_the_one_queued_meanwhile(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let id = bed.job(JobKind::Sync, mirror, 0).await.id;
    claimed(&bed, "w", 0).await.unwrap();
    let next = bed.job(JobKind::Sync, mirror, 0).await.id;
    assert!(bed.write(move |c| jobs::postpone(c, id, "w", at(30), true, Some(("boom", "text")), at(1))).await);
    let waits = found(&bed, next).await;
    assert_eq!((waits.attempts, waits.run_after, waits.state), (1, at(30), JobState::Queued));
    assert_eq!(found(&bed, id).await.state, JobState::Cancelled);
}

async fn a_dead_job_waits_for_somebody_to_retry_it(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let id = bed.job(JobKind::Sync, mirror, 0).await.id;
    claimed(&bed, "w", 0).await.unwrap();
    assert!(bed.write(move |c| jobs::bury(c, id, "w", ("refused", "for good"), at(1))).await);
    let dead = found(&bed, id).await;
    assert_eq!((dead.state, dead.attempts, dead.finished_at), (JobState::Dead, 1, Some(at(1))));
    assert!(claimed(&bed, "w", 1000).await.is_none());
    let again = bed.write(move |c| jobs::retry(c, id, at(5))).await;
    assert_eq!(again, Some(Enqueued { id, coalesced: false }));
    assert_eq!(bed.write(move |c| jobs::retry(c, id, at(6))).await, None, "it waits already");
    let job = claimed(&bed, "w", 5).await.unwrap();
    assert_eq!((job.attempts, job.error, job.finished_at, job.priority), (0, None, None, Priority::ASKED));
    assert_eq!(bed.write(move |c| jobs::retry(c, JobId(id.0 + 99), at(6))).await, None);
}

async fn a_retry_joins_an_equal_job_that_waits(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let id = bed.job(JobKind::Sync, mirror, 0).await.id;
    claimed(&bed, "w", 0).await.unwrap();
    bed.write(move |c| jobs::bury(c, id, "w", ("refused", "for good"), at(1))).await;
    let waits = bed.job(JobKind::Sync, mirror, 500).await.id;
    let again = bed.write(move |c| jobs::retry(c, id, at(5))).await;
    assert_eq!(again, Some(Enqueued { id: waits, coalesced: true }));
    assert_eq!(claimed(&bed, "w", 5).await.unwrap().id, waits);
    assert_eq!(found(&bed, id).await.state, JobState::Dead);
}

async fn only_a_waiting_job_is_called_off(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let id = bed.job(JobKind::Sync, mirror, 0).await.id;
    let off = bed.write(move |c| jobs::cancel(c, id, at(1))).await.unwrap();
    assert_eq!((off.state, off.finished_at), (JobState::Cancelled, Some(at(1))));
    assert!(claimed(&bed, "w", 1).await.is_none());
    let runs = bed.job(JobKind::Sync, mirror, 0).await.id;
    claimed(&bed, "w", 1).await.unwrap();
    assert_eq!(bed.write(move |c| jobs::cancel(c, runs, at(2))).await.unwrap().state, JobState::Running);
    assert!(bed.write(|c| jobs::cancel(c, JobId(999), at(2))).await.is_none());
}

async fn lists_counts_and_clocks_tell_the_queue(bed: Bed) {
    let (one, two) = (bed.mirror(1).await, bed.mirror(2).await);
    let a = bed.job(JobKind::Sync, one, 3).await.id;
    let b = bed.job(JobKind::Verify, one, 2).await.id;
    let d = bed.job(JobKind::Sync, two, 9).await.id;
    let counts = bed.read(jobs::counts).await;
    let want = [((JobKind::Sync, JobState::Queued), 2), ((JobKind::Verify, JobState::Queued), 1)];
    assert_eq!(counts, want.into());
    let oldest = bed.read(|c| jobs::oldest_due(c, at(5))).await;
    assert_eq!(oldest, [(JobKind::Sync, at(3)), (JobKind::Verify, at(2))].into());
    assert_eq!(bed.read(jobs::next_run_after).await, Some(at(2)));
    let list = |filter: Filter, cursor: Option<String>, limit| {
        let bed = bed.clone();
        async move { bed.read(move |c| jobs::list(c, &filter, &Window { limit, cursor })).await }
    };
    let first = list(Filter::default(), None, 2).await;
    assert_eq!(first.items.iter().map(|it| it.id).collect::<Vec<_>>(), [d, b]);
    let second = list(Filter::default(), first.next, 2).await;
    assert_eq!((second.items[0].id, second.next), (a, None));
    let its = Filter { mirror: Some(one), kind: Some(JobKind::Sync), state: Some(JobState::Queued) };
    assert_eq!(list(its, None, 10).await.items.len(), 1);
}

async fn what_ended_long_ago_is_pruned_but_the_dead_stay(bed: Bed) {
    let mut ids = Vec::new();
    for it in 1..=3 {
        let mirror = bed.mirror(it).await;
        ids.push(bed.job(JobKind::Sync, mirror, 0).await.id);
        claimed(&bed, "w", 0).await.unwrap();
    }
    let (done, dead, late) = (ids[0], ids[1], ids[2]);
    bed.write(move |c| {
        jobs::finish(c, done, "w", at(1))?;
        jobs::bury(c, dead, "w", ("x", "y"), at(1))?;
        jobs::finish(c, late, "w", at(50))
    })
    .await;
    assert_eq!(bed.write(|c| jobs::prune(c, at(50))).await, 1);
    let left = bed.read(|c| jobs::list(c, &Filter::default(), &Window::default())).await;
    assert_eq!(left.items.iter().map(|it| it.id).collect::<Vec<_>>(), [late, dead]);
}

async fn several_are_claimed_at_once_of_certain_mirrors_too(bed: Bed) {
    let mut all = Vec::new();
    for it in 1..=4 {
        all.push(bed.mirror(it).await);
        bed.job(JobKind::Sync, all[all.len() - 1], 0).await;
    }
    bed.job(JobKind::Verify, all[0], 0).await;
    let claim = |most, only: Option<Vec<MirrorId>>| {
        let bed = bed.clone();
        async move {
            let claimed = bed.write(move |c| jobs::claim_many(c, "w", at(0), LEASE, most, only.as_deref())).await;
            claimed.into_iter().filter_map(|it| it.mirror).collect::<Vec<_>>()
        }
    };
    assert!(bed.read(|c| jobs::is_busy(c, at(0))).await);
    assert_eq!(claim(9, Some(vec![])).await, []);
    assert_eq!(claim(9, Some(vec![all[2]])).await, [all[2]]);
    assert_eq!(claim(2, None).await, [all[0], all[1]]);
    assert_eq!(claim(9, None).await, [all[3]], "the other job of the first waits for its end");
    let first = all[0];
    assert!(bed.read(move |c| jobs::is_first_try_open(c, &[first])).await);
    assert_eq!(bed.write(move |c| jobs::cancel_queued(c, first, JobKind::Verify, at(1))).await, 1);
    bed.write(|c| jobs::free_held_by(c, "w", at(1))).await;
    assert!(!bed.read(|c| jobs::is_busy(c, at(0))).await, "none is due before its process was lost");
    assert!(bed.read(|c| jobs::is_busy(c, at(1))).await);
    bed.write(move |c| mirrors::delete(c, first)).await;
    assert!(!bed.read(move |c| jobs::is_first_try_open(c, &[first])).await);
}

async fn only_the_kinds_asked_for_are_claimed(bed: Bed) {
    let mirror = bed.mirror(1).await;
    bed.job(JobKind::Verify, mirror, 0).await;
    assert!(bed.write(|c| jobs::claim(c, "w", at(0), LEASE, &[JobKind::Sync])).await.is_none());
    assert!(bed.write(|c| jobs::claim(c, "w", at(0), LEASE, &[])).await.is_none());
    assert!(bed.write(|c| jobs::claim(c, "w", at(0), LEASE, &[JobKind::Sync, JobKind::Verify])).await.is_some());
    bed.write(move |c| mirrors::delete(c, mirror)).await;
    assert!(bed.read(jobs::counts).await.is_empty());
}
