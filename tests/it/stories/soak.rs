//! Everything at once for a while: webhooks, stars and un-stars, pushes, calls of the API, errors of GitHub and OneDev,
//! processes that are killed, a database that is restarted and crashes. In the end every mirror is level and verified,
//! memory is flat and the audit chain whole.
//!
//! `STARKEEP_SOAK=30m` says how long, `STARKEEP_TEST_SEED` repeats a run.

mod caller;
mod fleet;
mod upstreams;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::Utc;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use starkeep::domain::mirror::Status;
use starkeep::simulator::{Fault, On, SimulatorOptions, Trigger};
use starkeep::store::deliveries::{self, State};
use starkeep::store::jobs;

use self::fleet::Fleet;
use self::upstreams::Upstreams;
use super::commands::{json, run};
use crate::own_postgres::Own;
use crate::world::{Backend, FAN, World};

/// One thing happens so often.
const PACE: Duration = Duration::from_millis(100);
/// One of the processes that may die does so every so many steps.
const KILL_EVERY: u64 = 100;
/// The database is away for a moment every so many steps.
const RESTART_EVERY: u64 = 150;
/// GitHub or OneDev cannot be reached every so many steps, and for how many.
const OUTAGE_EVERY: u64 = 270;
const OUTAGE: u64 = 10;

#[actix::test]
async fn everything_at_once_ends_with_every_mirror_verified_and_memory_flat() {
    let Some(database) = Own::start() else { return };
    let length = std::env::var("STARKEEP_SOAK").map_or(Duration::from_secs(30), |it| length_of(&it));
    let seed = std::env::var("STARKEEP_TEST_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}, {length:?}");
    let mut soak = Soak::begin(database, seed, length).await;
    let begun = Instant::now();
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while begun.elapsed() < length {
        pace.tick().await;
        soak.step().await;
    }
    soak.end().await;
}

/// `90s` or `30m`.
fn length_of(text: &str) -> Duration {
    let minutes = text.strip_suffix('m').and_then(|it| it.parse().ok()).map(|it: u64| it * 60);
    let seconds = minutes.or_else(|| text.strip_suffix('s')?.parse().ok());
    Duration::from_secs(seconds.expect("STARKEEP_SOAK is a number with `m` or `s`"))
}

struct Soak {
    world: World,
    database: Option<Own>,
    random: StdRng,
    fleet: Fleet,
    upstreams: Upstreams,
    /// Whether it has gone on for long enough for what only comes with time.
    long: bool,
    steps: u64,
    happened: BTreeMap<&'static str, u64>,
    calls: caller::Calls,
}

impl Soak {
    async fn begin(database: Own, seed: u64, length: Duration) -> Self {
        let options = SimulatorOptions { onedev_slots: 8, ..SimulatorOptions::default() };
        let mut world = World::with(Backend::Sqlite, &options).unwrap();
        world.config.database.url = database.url.clone().into();
        let token = world.github().token().to_owned();
        world.github().give_token(&token, FAN);
        world.github().set_rate_limit(10_000_000, 10_000_000, Utc::now().timestamp() + 86_400);
        world.config.github.token = Some(token.into());
        let config = &mut world.config;
        config.stars.poll_interval = Some(Duration::from_secs(5));
        config.sync.interval = Duration::from_secs(20);
        config.sync.lease = Duration::from_secs(3);
        config.retry.max_attempts = 30;
        (config.retry.base, config.retry.cap) = (Duration::from_millis(100), Duration::from_secs(2));
        world.attach().await;
        let fleet = Fleet::start(&world);
        let long = length > Duration::from_secs(300);
        let upstreams = Upstreams::new(if long { 200 } else { 40 });
        let calls = caller::start(fleet.steady_web());
        let random = StdRng::seed_from_u64(seed);
        Self {
            world,
            database: Some(database),
            random,
            fleet,
            upstreams,
            long,
            steps: 0,
            happened: BTreeMap::new(),
            calls,
        }
    }

    async fn step(&mut self) {
        self.steps += 1;
        let n = self.steps;
        if n.is_multiple_of(KILL_EVERY) {
            self.fleet.kill_one(&self.world, &mut self.random);
            self.count("kill -9");
        }
        if n.is_multiple_of(RESTART_EVERY) {
            self.restart_database().await;
        }
        match n % OUTAGE_EVERY {
            0 => {
                self.count("outage");
                if self.random.random_bool(0.5) { self.world.github().go_down() } else { self.world.onedev().go_down() }
            }
            OUTAGE => self.come_back(),
            _ => {}
        }
        if n.is_multiple_of(20) {
            self.fleet.weigh();
        }
        match self.random.random_range(0..10) {
            0..7 => {
                let (what, delivery) = self.upstreams.change(&self.world, &mut self.random);
                self.count(what);
                self.fleet.deliver(&delivery).await;
                self.upstreams.accepted.push(delivery.guid);
            }
            7..9 => self.fault(),
            // Whatever was planned and never met anything.
            _ => {
                self.world.github().clear_faults();
                self.world.onedev().clear_faults();
            }
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    fn come_back(&self) {
        self.world.github().come_back().unwrap();
        self.world.onedev().come_back().unwrap();
    }

    async fn restart_database(&mut self) {
        let crash = self.random.random_bool(0.5);
        self.count(if crash { "database crash" } else { "database restart" });
        let Some(mut database) = self.database.take() else { return };
        let again = tokio::task::spawn_blocking(move || {
            if crash {
                database.crash();
            } else {
                database.restart();
            }
            database
        });
        self.database = Some(again.await.unwrap());
    }

    /// Some of the next requests fail.
    fn fault(&mut self) {
        self.count("planned fault");
        let random = &mut self.random;
        let any = Trigger::next(On::Any).nth(random.random_range(1..10)).times(random.random_range(1..4));
        let after = random.random_range(0..300);
        match random.random_range(0..10) {
            0 => self.world.github().fail(any, Fault::answer(500, "")),
            1 => self.world.github().fail(any, Fault::answer(502, "<html>Bad Gateway</html>")),
            2 => self.world.github().fail(any, Fault::too_many_requests(1)),
            3 => self.world.github().fail(any, Fault::CutResponse { after }),
            4 => self.world.github().fail(Trigger::next(On::FETCH).body("want "), Fault::GarbagePack),
            5 => self.world.onedev().fail(any, Fault::answer(503, "Server not ready")),
            6 => self.world.onedev().fail(any, Fault::answer(500, "")),
            7 => self.world.onedev().fail(any, Fault::CutResponse { after }),
            8 => self.world.onedev().fail(Trigger::next(On::PUSH), Fault::CutRequest { after }),
            _ => self.world.onedev().fail(Trigger::next(On::PUSH), Fault::LoseReport),
        }
    }

    async fn end(mut self) {
        self.come_back();
        self.world.github().clear_faults();
        self.world.onedev().clear_faults();
        self.fleet.fill(&self.world);
        self.settle().await;
        let calls = self.calls.stop().await;
        println!("{} steps: {:?}\ncalls of the API: {calls:?}", self.steps, self.happened);
        println!("most pushes into one project at once: {}", self.world.onedev().most_pushes_at_once());
        assert!(calls.keys().all(|status| *status < 500 || *status == 503), "{calls:?}");
        self.judge().await;
        let flat = self.fleet.memory(self.long);
        assert!(flat, "memory grows");
        self.fleet.end();
    }

    /// Waits until all that was told of is done.
    async fn settle(&self) {
        let starred: Vec<_> = self.upstreams.starred().collect();
        for _ in 0..200 {
            self.world.drain().await;
            let mut wrong = 0;
            for id in &starred {
                wrong += usize::from(self.world.mirror(*id).await.status != Status::Healthy);
            }
            if wrong == 0 {
                return;
            }
            // The next look heals what was given up meanwhile.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn judge(&self) {
        let world = &self.world;
        for guid in self.upstreams.accepted.clone() {
            let found =
                world.store().read(move |c| deliveries::find(c, &guid)).await.unwrap().expect("it was recorded");
            let asked = found.jobs.clone();
            let jobs =
                world.store().read(move |c| asked.iter().map(|it| jobs::find(c, *it)).collect::<Result<Vec<_>, _>>());
            assert_eq!(found.state, State::Processed, "{}: {:#?}", found.guid, jobs.await);
        }
        let mut names = vec!["verify".to_owned(), "--json".to_owned()];
        for id in self.upstreams.starred() {
            world.assert_healthy(id).await;
            names.push(world.github().full_name(id).unwrap());
        }
        for id in self.upstreams.let_go() {
            assert_eq!(world.mirror(id).await.status, Status::Archived);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (code, out, said) = run(world, &names);
        assert_eq!(code, Some(0), "{said}{out}");
        let compared = json(&out);
        let compared = compared.as_array().unwrap();
        assert!(compared.iter().all(|it| it["level"] == true), "{out}");
        println!("{} mirrors are verified, {} archived", compared.len(), self.upstreams.let_go().count());
        let (code, out, said) = run(world, &["audit", "verify"]);
        assert_eq!(code, Some(0), "{said}{out}");
        println!("{}", out.trim());
    }
}
