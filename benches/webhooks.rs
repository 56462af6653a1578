//! Webhooks from many connections at once until each is on disk and answered.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::postgres;
use crate::support::child::{self, Service};
use crate::support::machine::{format_fsync, fsync_times};
use crate::support::peer::{Peer, delivery};
use crate::support::report::{Samples, at_most, line, seconds};
use crate::support::stage::{self, FAN, OWNER, Stage};
use crate::support::{number, rounds};

const AT_ONCE: usize = 32;

pub(crate) fn run() -> anyhow::Result<()> {
    let count = number("STARKEEP_BENCH_DELIVERIES", 2_000);
    let stage = Stage::set()?;
    let github = stage.simulator.github();
    let mut stars = Vec::new();
    let mut others = Vec::new();
    for number in 0..count {
        let id = github.create_repository(OWNER, &format!("starred{number}"))?;
        stars.push(delivery(&github.star(FAN, id)?));
        others.push(delivery(&github.star("somebody-else", id)?));
    }
    line("deliveries", &format!("{count}, {AT_ONCE} at once"));
    measure("SQLite, stars, their mirrors being made", &stars, &stage, sqlite)?;
    measure("SQLite, stars of somebody else", &others, &stage, sqlite)?;
    measure("Postgres, stars, their mirrors being made", &stars, &stage, on_postgres)?;
    measure("Postgres, stars of somebody else", &others, &stage, on_postgres)
}

/// A database's address, and what keeps it.
type Database = Option<(String, Option<postgres::Fresh>)>;

fn sqlite(folder: &Path) -> Database {
    Some((stage::sqlite(folder), None))
}

fn on_postgres(_: &Path) -> Database {
    postgres::fresh().map(|it| (it.url.clone(), Some(it)))
}

fn measure(name: &str, requests: &[Vec<u8>], stage: &Stage, database: fn(&Path) -> Database) -> anyhow::Result<()> {
    let (mut half, mut most, mut speed) = (Samples::default(), Samples::default(), Samples::default());
    let (mut fsync, mut cpu) = (Samples::default(), Samples::default());
    for _ in 0..rounds(3) {
        let folder = child::scratch()?;
        let Some((url, _kept)) = database(folder.path()) else {
            line(name, "not measured: there is none");
            return Ok(());
        };
        let config = stage.config_file(folder.path(), &url, "")?;
        let service = Service::start(&config, folder.path())?;
        fsync = fsync_times(folder.path())?;
        let (began, spent) = (Instant::now(), child::own_cpu(service.id()));
        let times = deliver(&service, requests)?;
        speed.add(requests.len() as f64 / began.elapsed().as_secs_f64());
        cpu.add((child::own_cpu(service.id()) - spent) / requests.len() as f64);
        half.add(times.median());
        most.add(times.quantile(0.99));
    }
    let speed = format!("{:.0}/s, CPU {} each", speed.median(), seconds(cpu.median()));
    line(name, &format!("p50 {}, p99 {}, {speed}; fsync {}", half.seconds(), most.seconds(), format_fsync(&fsync)));
    at_most(&format!("{name}: p99"), most.median(), 0.050, seconds);
    Ok(())
}

fn deliver(service: &Service, requests: &[Vec<u8>]) -> anyhow::Result<Samples> {
    let next = AtomicUsize::new(0);
    let times = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(|| sender(service, requests, &next))).collect();
        workers.into_iter().map(|it| it.join().map_err(|_| anyhow::anyhow!("a sender panicked"))?).collect::<Vec<_>>()
    });
    let mut all = Samples::default();
    for time in times.into_iter().collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten() {
        all.add_time(time);
    }
    Ok(all)
}

/// One connection's deliveries, one after the other.
fn sender(service: &Service, requests: &[Vec<u8>], next: &AtomicUsize) -> anyhow::Result<Vec<Duration>> {
    let mut peer = Peer::meet(&service.address)?;
    let mut times = Vec::new();
    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
        let began = Instant::now();
        let status = peer.ask(request)?.0;
        times.push(began.elapsed());
        anyhow::ensure!(status == 202, "a delivery was answered {status}");
    }
    Ok(times)
}
