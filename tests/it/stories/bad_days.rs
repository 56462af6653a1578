//! A server is away for long with much to do, and comes back: nobody storms it, neither then nor meanwhile.

use std::time::Duration;

use chrono::{DateTime, Utc};
use starkeep::domain::ids::CorrelationId;
use starkeep::domain::job::{JobKind, JobState, Priority};
use starkeep::simulator::{Fault, Hold, On, Trigger};
use starkeep::store::jobs::{self, Job, NewJob};
use starkeep::store::page::Window;
use uuid::Uuid;

use crate::world::{Backend, FAN, World, on_both};

const MIRRORS: usize = 500;
/// Requests to a server that is away before it is taken for that, those that were under way, and some that try it
/// while all are told: a number that does not hang on how many wait.
const MOST_TRIES: u64 = 20;

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

    fn is_away(&self, server: &str) -> bool {
        self.app().metrics.server_away.with_label_values(&[server]).get() == 1
    }

    /// Waits until something holds.
    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let wait = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(180), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    /// Waits until every job that is not done was told what it waits for, and none runs.
    async fn all_know_what_they_wait_for(&self) {
        let knows = |it: &Job| it.state != JobState::Running && (it.state != JobState::Queued || it.error.is_some());
        self.until("all know what they wait for", async || self.all_jobs().await.iter().all(knows)).await;
    }

    /// Waits until nothing is queued or runs.
    async fn all_done(&self) {
        let open = |it: &Job| matches!(it.state, JobState::Queued | JobState::Running);
        self.until("all is done", async || !self.all_jobs().await.iter().any(open)).await;
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

    world.all_know_what_they_wait_for().await;
    let waiting: Vec<Job> = world.all_jobs().await.into_iter().filter(|it| it.state == JobState::Queued).collect();
    assert_eq!(waiting.len(), MIRRORS);
    assert!(waiting.iter().all(|it| it.attempts == 0), "waiting for GitHub is no attempt");
    let asked = world.requests_that_failed();
    assert!(asked <= MOST_TRIES, "{asked} requests for {MIRRORS} jobs");
    assert!(world.is_away("github_api"));
    assert!(crowd(&waiting, 5) < MIRRORS / 2, "{} of them come back within 5 s", crowd(&waiting, 5));

    // However often it is time for all of them, one tries.
    let mirrors: Vec<_> = waiting.iter().filter_map(|it| it.mirror).collect();
    let due = move |c: &mut starkeep::store::Connection| {
        mirrors.iter().try_for_each(|mirror| {
            let job = NewJob::of(JobKind::Sync, *mirror, Priority::IMPORTED, CorrelationId(Uuid::now_v7()));
            jobs::enqueue(c, &job, Utc::now()).map(drop)
        })
    };
    for _ in 0..3 {
        world.store().write(due.clone()).await.unwrap();
        let before = world.requests_that_failed();
        world.app().metrics.outages.hurry();
        world.until("somebody tries", async || world.requests_that_failed() > before).await;
        assert_eq!(world.requests_that_failed(), before + 1);
    }

    // GitHub is back with little left of the hour, and everything is due at once.
    world.github().set_rate_limit(1000, 200, reset);
    world.github().come_back().unwrap();
    world.github().clear_requests();
    world.store().write(due).await.unwrap();
    world.app().metrics.outages.hurry();
    world.until("GitHub is back", async || !world.is_away("github_api")).await;
    let waiting = world.all_wait(|| Utc::now() + chrono::TimeDelta::seconds(1)).await;
    let requests = world.github().requests().iter().filter(|it| it.path.starts_with("/repositories/")).count();
    assert!((1..=20).contains(&requests), "{requests} requests, {} jobs wait", waiting.len());
    assert!(waiting.len() > MIRRORS - 30);
    assert!(!world.is_away("github_api"));
    assert!(crowd(&waiting, 60) < MIRRORS / 10, "{} of them come within a minute", crowd(&waiting, 60));
    world.stop().await;
}
}

on_both! {
async fn while_a_git_server_or_onedev_is_away_one_tries_and_then_all_go_on(world: World) {
    let mut world = world;
    let ids: Vec<_> = (0..30).map(|n| world.repository("octo", &format!("r{n}"))).collect();
    for id in &ids {
        world.star(*id).await;
    }
    for server in ["github_git", "onedev"] {
        let (git, onedev) = (world.github().requests().len(), world.onedev().requests().len());
        let service = if server == "onedev" { "onedev" } else { "github" };
        let counted = |world: &World| {
            let count = |code: &str| world.app().metrics.upstream_requests.with_label_values(&[service, code]).get();
            // One of a gateway, and none.
            count("503") + count("none") + count("error")
        };
        match server {
            "onedev" => world.onedev().go_down(),
            _ => world.github().fail(Trigger::next(On::Any).path(".git/").always(), Fault::answer(503, "down")),
        }
        let before = counted(&world);
        for id in &ids {
            world.github().commit(*id, "main", "FILE", server).unwrap();
            world.accepted(&world.github().push(*id, "refs/heads/main", None, None).unwrap()).await;
        }
        world.all_know_what_they_wait_for().await;
        let asked = counted(&world) - before;
        assert!(asked <= MOST_TRIES, "{server}: {asked} requests for {} jobs", ids.len());
        assert!(world.is_away(server), "{server}");
        let waiting: Vec<Job> = world.all_jobs().await.into_iter().filter(|it| it.state == JobState::Queued).collect();
        assert_eq!(waiting.len(), ids.len(), "{server}");
        // Those who found it out before it was known lost one each.
        let attempts: u64 = waiting.iter().map(|it| u64::from(it.attempts)).sum();
        assert!(attempts <= MOST_TRIES / 2, "{server}: waiting is no attempt: {waiting:#?}");

        match server {
            "onedev" => world.onedev().come_back().unwrap(),
            _ => world.github().clear_faults(),
        }
        world.app().metrics.outages.hurry();
        world.all_done().await;
        for id in &ids {
            world.assert_healthy(*id).await;
        }
        assert!(!world.is_away(server), "{server}");
        let seen = (world.github().requests().len() - git, world.onedev().requests().len() - onedev);
        println!("{server}: {asked} requests found nobody, {seen:?} in all");
    }
    world.end().await;
}
}

#[actix::test]
async fn a_repository_that_fails_alone_keeps_no_other_waiting() {
    let mut world = World::new(Backend::Sqlite).unwrap();
    let broken = world.repository("octo", "broken");
    let others: Vec<_> = (0..5).map(|n| world.repository("octo", &format!("r{n}"))).collect();
    world.github().fail(Trigger::next(On::Any).path("/broken.git/").always(), Fault::answer(503, "down"));
    world.github().fail(Trigger::next(On::Rest).path("/repositories/").nth(3), Fault::answer(502, "oops"));
    world.star(broken).await;
    for id in others {
        world.sync(broken).await;
        world.star(id).await;
        world.assert_healthy(id).await;
        assert!(!world.is_away("github_git") && !world.is_away("github_api"));
    }
    world.assert_error(broken, "upstream_not_ready").await;
    world.github().clear_faults();
    world.sync(broken).await;
    world.assert_healthy(broken).await;
    world.end().await;
}
