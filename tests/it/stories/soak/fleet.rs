//! The processes: two that live to the end, whose memory is watched, and three that die now and then.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use starkeep::simulator::Delivery;

use crate::process::Process;
use crate::world::World;

/// A delivery is repeated so often before the story fails: through a restart of the database and of every process.
const TRIES: usize = 600;
/// What memory may grow by from the first third to the last. Bytes.
const SLACK: u64 = 16 << 20;

pub(super) struct Fleet {
    steady: [(Process, Vec<u64>); 2],
    mortal: [(&'static str, Option<Process>); 3],
}

impl Fleet {
    pub(super) fn start(world: &World) -> Self {
        let steady = ["web", "worker"].map(|role| (world.process_as(role), Vec::new()));
        Self { steady, mortal: ["web", "worker", "all"].map(|role| (role, Some(world.process_as(role)))) }
    }

    /// The address of the one that is always there.
    pub(super) fn steady_web(&self) -> String {
        self.steady[0].0.address.clone()
    }

    /// The one that was killed last comes back, and another dies.
    pub(super) fn kill_one(&mut self, world: &World, random: &mut StdRng) {
        self.fill(world);
        if let Some(process) = self.mortal[random.random_range(0..3)].1.take() {
            process.kill();
        }
    }

    pub(super) fn fill(&mut self, world: &World) {
        for (role, process) in &mut self.mortal {
            process.get_or_insert_with(|| world.process_as(role));
        }
    }

    /// Tells one that takes deliveries, and the other if it does not take it, until it is taken.
    pub(super) async fn deliver(&self, delivery: &Delivery) {
        let mortal = self.mortal.iter().filter(|(role, _)| *role != "worker").filter_map(|(_, it)| it.as_ref());
        let doors: Vec<String> = mortal.chain([&self.steady[0].0]).map(Process::webhooks).collect();
        let mut last = None;
        for n in 0..TRIES {
            match delivery.deliver(&doors[n % doors.len()]).await {
                Ok((202, _)) => return,
                other => last = Some(other),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nobody takes a delivery: {last:?}");
    }

    pub(super) fn weigh(&mut self) {
        for (process, weights) in &mut self.steady {
            weights.push(process.memory());
        }
    }

    /// Whether the memory of those that lived is flat, from the first third to the last.
    pub(super) fn memory(&self, long: bool) -> bool {
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        let mean = |it: &[u64]| it.iter().sum::<u64>() / (it.len() as u64).max(1);
        self.steady.iter().zip(["web", "worker"]).fold(true, |flat, ((process, weights), role)| {
            let third = weights.len() / 3;
            let (first, last) = (mean(&weights[..third]), mean(&weights[weights.len() - third..]));
            println!("{role}: {} at first, {} at last, peak {}", mib(first), mib(last), mib(process.peak_memory()));
            // In a short run the caches are still being filled.
            let bound = if long { first + first / 4 + SLACK } else { 2 * first + SLACK };
            flat && last <= bound
        })
    }

    pub(super) fn end(self) {
        let mortal = self.mortal.into_iter().filter_map(|(_, it)| it);
        for process in self.steady.into_iter().map(|(it, _)| it).chain(mortal) {
            assert!(process.terminate().success());
        }
    }
}
