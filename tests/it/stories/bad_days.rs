//! GitHub is away for long with much to do, and comes back: nobody storms it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use starkeep::domain::ids::CorrelationId;
use starkeep::domain::job::{JobKind, JobState, Priority};
use starkeep::simulator::{Hold, On, Trigger};
use starkeep::store::jobs::{self, Job, NewJob};
use starkeep::store::page::Window;
use uuid::Uuid;

use crate::world::{FAN, World, on_both};

const MIRRORS: usize = 500;

impl World {
    async fn all_jobs(&self) -> Vec<Job> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let window = Window { limit: 200, cursor };
            let page = self.store().read(move |c| jobs::list(c, &jobs::Filter::default(), &window)).await.unwrap();
            all.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return all;
            }
        }
    }

    /// Waits until no job is running or due before `at`; gives those that wait.
    async fn all_wait(&self, at: impl Fn() -> DateTime<Utc>) -> Vec<Job> {
        let wait = async {
            loop {
                let jobs = self.all_jobs().await;
                let early = |it: &Job| it.state == JobState::Queued && it.run_after < at();
                if !jobs.iter().any(|it| it.state == JobState::Running || early(it)) {
                    return jobs.into_iter().filter(|it| it.state == JobState::Queued).collect();
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(180), wait).await.expect("all of them wait")
    }

    fn requests_that_failed(&self) -> u64 {
        self.app().metrics.upstream_requests.with_label_values(&["github", "none"]).get()
    }
}

/// The most of these times that lie within so many seconds.
fn crowd(jobs: &[Job], seconds: i64) -> usize {
    let mut times: Vec<_> = jobs.iter().map(|it| it.run_after.timestamp()).collect();
    times.sort_unstable();
    (0..times.len())
        .map(|n| times.iter().filter(|it| (times[n]..times[n] + seconds).contains(*it)).count())
        .max()
        .unwrap()
}

on_both! {
async fn github_is_away_with_500_syncs_waiting_and_comes_back_to_no_storm(world: World) {
    let mut world = world.polling();
    let reset = Utc::now().timestamp() + 3600;
    world.github().set_rate_limit(1000, 1000, reset);
    world.github().star_many(FAN, "octo", MIRRORS);
    // Nothing is synced before GitHub goes away.
    let gate = world.github().hold(Trigger::next(On::Rest).path("/repositories/").always(), Hold::Arrival);
    let since = Utc::now();
    world.start().await;
    world.polled(since).await;
    world.github().go_down();
    gate.release();
    world.github().clear_faults();

    let waiting = world.all_wait(|| Utc::now() + chrono::TimeDelta::seconds(1)).await;
    assert_eq!(waiting.len(), MIRRORS);
    assert!(waiting.iter().all(|it| it.attempts == 0), "waiting for GitHub is no attempt");
    let asked = world.requests_that_failed();
    assert!(asked <= 2 * MIRRORS as u64, "{asked} requests for {MIRRORS} jobs");
    assert!(crowd(&waiting, 5) < MIRRORS / 2, "{} of them come back within 5 s", crowd(&waiting, 5));

    // GitHub is back with little left of the hour, and everything is due at once.
    world.github().set_rate_limit(1000, 200, reset);
    world.github().come_back().unwrap();
    world.github().clear_requests();
    let mirrors: Vec<_> = waiting.iter().filter_map(|it| it.mirror).collect();
    let due = move |c: &mut starkeep::store::Connection| {
        mirrors.iter().try_for_each(|mirror| {
            let job = NewJob::of(JobKind::Sync, *mirror, Priority::IMPORTED, CorrelationId(Uuid::now_v7()));
            jobs::enqueue(c, &job, Utc::now()).map(drop)
        })
    };
    world.store().write(due).await.unwrap();
    let waiting = world.all_wait(|| Utc::now() + chrono::TimeDelta::seconds(1)).await;
    let requests = world.github().requests().iter().filter(|it| it.path.starts_with("/repositories/")).count();
    assert!((1..=20).contains(&requests), "{requests} requests, {} jobs wait", waiting.len());
    assert!(waiting.len() > MIRRORS - 30);
    assert!(crowd(&waiting, 60) < MIRRORS / 10, "{} of them come within a minute", crowd(&waiting, 60));
    world.stop().await;
}
}
