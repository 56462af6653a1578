//! Several processes on one Postgres, killed and started again at moments that a seed decides.
//!
//! `STARKEEP_TEST_SEED` repeats a run, `STARKEEP_TEST_MIRRORS` and `STARKEEP_TEST_KILLS` make it longer.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use starkeep::domain::ids::GithubId;
use starkeep::simulator::{Gate, Hold, On, SimulatorOptions, Trigger};
use starkeep::store::deliveries::{self, State};
use starkeep::store::page::Window;
use starkeep::store::syncs;

use super::commands::{json, run};
use crate::process::Process;
use crate::world::{Backend, FAN, World};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|it| it.parse().ok())
}

/// A place in the fleet: who stands there may be killed, and another takes the place.
struct Place {
    role: &'static str,
    process: Option<Process>,
    /// Jobs that its processes brought to their end.
    worked: usize,
    /// Leases of dead ones that its processes found.
    took_over: usize,
}

impl Place {
    fn new(world: &World, role: &'static str) -> Self {
        Self { role, process: Some(world.process_as(role)), worked: 0, took_over: 0 }
    }

    fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            self.note(&process);
            process.kill();
        }
    }

    fn note(&mut self, process: &Process) {
        let log = process.log();
        let count = |text| log.iter().filter(|line| line.contains(text)).count();
        self.worked += count("proven level");
        self.took_over += count("leases had run out");
    }

    fn end(mut self) -> (&'static str, usize, usize) {
        let process = self.process.take().unwrap();
        self.note(&process);
        assert!(process.terminate().success());
        (self.role, self.worked, self.took_over)
    }

    fn fill(&mut self, world: &World) {
        if self.process.is_none() {
            self.process = Some(world.process_as(self.role));
        }
    }
}

#[actix::test]
async fn processes_that_are_killed_share_the_mirrors_and_lose_none() {
    // More pushes at once than one, or the simulator itself would keep them apart.
    let options = SimulatorOptions { onedev_slots: 8, ..SimulatorOptions::default() };
    let Some(mut world) = World::with(Backend::Postgres, &options) else { return };
    let size = |name, usual: u64| usize::try_from(number(name).unwrap_or(usual)).unwrap();
    let (mirrors, kills) = (size("STARKEEP_TEST_MIRRORS", 150), size("STARKEEP_TEST_KILLS", 6));
    let seed = number("STARKEEP_TEST_SEED").unwrap_or_else(rand::random);
    println!("seed {seed}, {mirrors} mirrors, {kills} kills");
    let mut random = StdRng::seed_from_u64(seed);
    world.config.sync.lease = Duration::from_secs(3);
    world.attach().await;
    let ids: Vec<GithubId> = (0..mirrors).map(|n| world.repository("octo", &format!("repository-{n}"))).collect();

    let mut fleet = vec![Place::new(&world, "web"), Place::new(&world, "worker"), Place::new(&world, "worker")];
    let mut guids = Vec::new();
    for (round, some) in ids.chunks(mirrors.div_ceil(kills)).enumerate() {
        fleet.iter_mut().for_each(|it| it.fill(&world));
        if round == kills / 2 {
            // One more comes late, and does everything.
            fleet.push(Place::new(&world, "all"));
        }
        let gate = moment(&mut random, &world);
        for id in some {
            guids.push(tell(&world, &mut fleet[0], *id).await);
        }
        tokio::select! {
            () = gate.reached() => {}
            () = world.drain() => {}
        }
        // The one that takes deliveries dies now and then, the others mostly.
        let victim = if random.random_bool(0.2) { 0 } else { random.random_range(1..fleet.len()) };
        fleet[victim].kill();
        drop(gate);
        world.github().clear_faults();
        world.onedev().clear_faults();
    }
    fleet.iter_mut().for_each(|it| it.fill(&world));
    world.drain_for(Duration::from_secs(300)).await;

    judge(&world, &ids, &guids, seed).await;
    let shares: Vec<_> = fleet.into_iter().map(Place::end).collect();
    println!("role, jobs done, times that leases of the dead were found: {shares:?}");
    assert_eq!(shares[0].1, 0, "one that only takes deliveries worked");
    for (role, worked, _) in &shares[1..3] {
        assert!(*worked > mirrors / 10, "seed {seed}: a {role} did {worked} of {mirrors}: {shares:?}");
    }
}

/// Some request of the work that follows, at some point of its way.
fn moment(random: &mut StdRng, world: &World) -> Gate {
    let hold = match random.random_range(0..3) {
        0 => Hold::Arrival,
        1 => Hold::RequestBytes(random.random_range(1..400)),
        _ => Hold::Answer,
    };
    let nth = random.random_range(1..60);
    if random.random_bool(0.7) {
        world.onedev().hold(Trigger::next(On::Any).nth(nth), hold)
    } else {
        world.github().hold(Trigger::next(On::Any).nth(nth), hold)
    }
}

/// A star is told of until it is taken.
async fn tell(world: &World, web: &mut Place, id: GithubId) -> String {
    let star = world.github().star(FAN, id).unwrap();
    web.fill(world);
    let (code, answer) = star.deliver(&web.process.as_ref().unwrap().webhooks()).await.unwrap();
    assert_eq!(code, 202, "{answer}");
    star.guid
}

async fn judge(world: &World, ids: &[GithubId], guids: &[String], seed: u64) {
    for guid in guids {
        let guid = guid.clone();
        let found = world.store().read(move |c| deliveries::find(c, &guid)).await.unwrap().expect("it was recorded");
        assert_eq!(found.state, State::Processed, "seed {seed}");
    }
    for id in ids {
        world.assert_healthy(*id).await;
        alone(world, *id, seed).await;
    }
    let projects: BTreeSet<_> = world.onedev().projects().into_iter().map(|it| it.path).collect();
    // The root and the owner's.
    assert_eq!(projects.len(), ids.len() + 2, "seed {seed}: {projects:#?}");
    assert_eq!(world.onedev().most_pushes_at_once(), 1, "seed {seed}: two pushed into one project at once");
    let (code, out, said) = run(world, &["verify", "--json"]);
    assert_eq!(code, Some(0), "seed {seed}: {said}");
    let compared = json(&out);
    let compared = compared.as_array().unwrap();
    assert!(compared.len() == ids.len() && compared.iter().all(|it| it["level"] == true), "seed {seed}: {out}");
    let (code, _, said) = run(world, &["audit", "verify"]);
    assert_eq!(code, Some(0), "seed {seed}: {said}");
}

/// No run of a mirror began before the one before it was over.
async fn alone(world: &World, id: GithubId, seed: u64) {
    let mirror = world.mirror(id).await.id;
    let window = Window { limit: 200, cursor: None };
    let mut runs = world.store().read(move |c| syncs::list(c, mirror, &window)).await.unwrap().items;
    runs.sort_by_key(|it| it.id.0);
    let mut over: DateTime<Utc> = DateTime::UNIX_EPOCH;
    for it in &runs {
        assert!(it.started_at >= over, "seed {seed}: two runs at once: {runs:#?}");
        over = it.finished_at.unwrap_or(it.started_at);
    }
}
