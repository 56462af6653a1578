//! The process is killed at random moments of a sync, and started again.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use starkeep::domain::ids::GithubId;
use starkeep::domain::refs::Oid;
use starkeep::simulator::{Gate, Hold, On, Trigger};
use starkeep::store::deliveries::{self, State};

use crate::world::{Backend, FAN, World};

#[actix::test]
async fn fifty_kills_on_sqlite_lose_nothing() {
    kills(World::new(Backend::Sqlite).unwrap(), 50).await;
}

#[actix::test]
async fn ten_kills_on_postgres_lose_nothing() {
    if let Some(world) = World::new(Backend::Postgres) {
        kills(world, 10).await;
    }
}

/// `STARKEEP_TEST_SEED` repeats a run, `STARKEEP_TEST_KILLS` makes it longer.
async fn kills(world: World, kills: u32) {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    let seed = number("STARKEEP_TEST_SEED").unwrap_or_else(rand::random);
    let kills = number("STARKEEP_TEST_KILLS").and_then(|it| u32::try_from(it).ok()).unwrap_or(kills);
    println!("seed {seed}, {kills} kills");
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = world;
    world.config.sync.lease = Duration::from_secs(1);
    world.attach().await;
    let id = world.repository("octo", "hello");
    let mut history = History { id, guids: Vec::new(), proven: Vec::new() };
    for round in 0..kills {
        let process = world.process();
        let gate = plan(&mut random, &world);
        history.happen(&mut random, &world, round).await;
        history.tell(&world, &process.webhooks(), round).await;
        tokio::select! {
            () = gate.reached() => {}
            () = world.drain() => {}
        }
        process.kill();
        drop(gate);
        world.github().clear_faults();
        world.onedev().clear_faults();
        let process = world.process();
        world.drain().await;
        world.assert_healthy(id).await;
        history.check(&world, seed).await;
        process.kill();
    }
    println!("{} tips were proven, none is lost", history.proven.len());
}

/// A request of the next sync, at either side, is held at some point of its way.
fn plan(random: &mut StdRng, world: &World) -> Gate {
    let hold = match random.random_range(0..4) {
        0 => Hold::Arrival,
        1 => Hold::RequestBytes(random.random_range(1..400)),
        2 => Hold::ResponseBytes(random.random_range(1..400)),
        _ => Hold::Answer,
    };
    if random.random_bool(0.7) {
        world.onedev().hold(Trigger::next(On::Any).nth(random.random_range(1..8)), hold)
    } else {
        world.github().hold(Trigger::next(On::Any).nth(random.random_range(1..5)), hold)
    }
}

/// What happened upstream, and what must never be lost.
struct History {
    id: GithubId,
    /// Deliveries that were answered 202.
    guids: Vec<String>,
    /// Tips of branches that OneDev once held.
    proven: Vec<Oid>,
}

impl History {
    async fn happen(&self, random: &mut StdRng, world: &World, round: u32) {
        let github = world.github();
        match random.random_range(0..5) {
            0 => drop(github.force_branch(self.id, "main").unwrap()),
            1 => drop(github.commit(self.id, &format!("side-{}", round % 5), "file", &round.to_string()).unwrap()),
            2 if github.tip(self.id, "refs/heads/side-1").unwrap().is_some() => {
                github.delete_ref(self.id, "refs/heads/side-1").unwrap();
            }
            3 => {
                let tip = github.tip(self.id, "refs/heads/main").unwrap().unwrap();
                github.annotated_tag(self.id, &format!("v{round}"), tip).unwrap();
            }
            _ => drop(github.commit(self.id, "main", "file", &round.to_string()).unwrap()),
        }
    }

    async fn tell(&mut self, world: &World, webhooks: &str, round: u32) {
        let delivery = if round == 0 {
            world.github().star(FAN, self.id).unwrap()
        } else {
            world.github().push(self.id, "refs/heads/main", None, None).unwrap()
        };
        let (code, answer) = delivery.deliver(webhooks).await.unwrap();
        assert_eq!(code, 202, "{answer}");
        self.guids.push(delivery.guid.clone());
    }

    /// No delivery is open, there is one project, and every tip that OneDev once held can be reached.
    async fn check(&mut self, world: &World, seed: u64) {
        for guid in self.guids.clone() {
            let found =
                world.store().read(move |c| deliveries::find(c, &guid)).await.unwrap().expect("it was recorded");
            assert_eq!(found.state, State::Processed, "seed {seed}");
        }
        let projects = world.onedev().projects();
        assert_eq!(projects.len(), 3, "seed {seed}: {projects:#?}");
        let refs = world.refs(self.id).await;
        let git = git2::Repository::open_bare(world.onedev().repo_dir(&world.path(self.id).await).unwrap()).unwrap();
        let native = |oid: &Oid| git2::Oid::from_str(&oid.to_string()).unwrap();
        for tip in &self.proven {
            let held =
                refs.values().any(|it| it == tip || git.graph_descendant_of(native(it), native(tip)).unwrap_or(false));
            assert!(held, "seed {seed}: {tip} is lost");
        }
        let tips = refs.iter().filter(|(name, _)| name.branch().is_some()).map(|(_, oid)| *oid);
        let new: Vec<Oid> = tips.filter(|it| !self.proven.contains(it)).collect();
        self.proven.extend(new);
    }
}
