//! A busy administrator: pages of a list of 100,000 mirrors over the API, 500 requests a second with keys, and the
//! largest webhooks at once. On both databases.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::support::bed::{self, Bed};
use crate::support::child::{self, Service};
use crate::support::number;
use crate::support::peer::{self, Peer};
use crate::support::report::{Samples, at_most, line, megabytes, seconds, times};
use crate::support::stage::{OWNER, Stage};

const ADMIN: &str = "the-admin-token-of-the-benchmarks";
/// Keys that the requests share.
const KEYS: usize = 20;
/// Connections that ask.
const PEERS: usize = 32;
/// Requests a second.
const RATE: usize = 500;
/// Webhooks at once, and the size of each. Bytes.
const BODIES: usize = 16;
const BODY: usize = 20_000_000;

pub(crate) fn run() -> anyhow::Result<()> {
    let mirrors = number("STARKEEP_BENCH_MIRRORS", 100_000);
    line("mirrors", &mirrors.to_string());
    let stage = Stage::set()?;
    measure("SQLite", &stage, mirrors, |folder| Some(bed::sqlite(folder)))?;
    measure("Postgres", &stage, mirrors, |_| bed::postgres())
}

fn measure(
    name: &str,
    stage: &Stage,
    mirrors: usize,
    make: impl Fn(&std::path::Path) -> Option<Bed>,
) -> anyhow::Result<()> {
    let folder = child::scratch()?;
    let Some(bed) = make(folder.path()) else {
        line(name, "not measured: there is none");
        return Ok(());
    };
    let opened = actix::System::new().block_on(bed.store())?;
    drop(opened);
    bed.mirrors(mirrors, false)?;
    let config = stage.config_file(folder.path(), &bed.url, "")?;
    let service = Service::start(&config, folder.path())?;
    pages(name, &service)?;
    requests(name, &service)?;
    bodies(name, stage, &service)
}

/// Walks the whole list.
fn pages(name: &str, service: &Service) -> anyhow::Result<()> {
    let mut peer = Peer::meet(&service.address)?;
    let (mut measured, mut cursor) = (Vec::new(), String::new());
    loop {
        let request = peer::get(&format!("/api/v1/mirrors?limit=200{cursor}"), ADMIN);
        let began = Instant::now();
        let (status, body) = peer.ask(&request)?;
        measured.push(began.elapsed());
        anyhow::ensure!(status == 200, "a page was answered {status}");
        let page: Value = serde_json::from_slice(&body)?;
        let Some(next) = page.pointer("/next_cursor").and_then(Value::as_str) else { break };
        cursor = format!("&cursor={next}");
    }
    let some = measured.len().div_ceil(10);
    let (first, last) = (of(measured.iter().take(some)), of(measured.iter().rev().take(some)));
    let all = of(measured.iter());
    at_most(&format!("{name}: page of 200 mirrors over the API, median"), all.median(), 0.020, seconds);
    at_most(&format!("{name}: p99 of {} pages", measured.len()), all.quantile(0.99), 0.020, seconds);
    line(&format!("{name}: the last tenth against the first"), &times(last.median() / first.median()));
    Ok(())
}

fn of<'a>(measured: impl Iterator<Item = &'a Duration>) -> Samples {
    let mut samples = Samples::default();
    measured.for_each(|it| samples.add_time(*it));
    samples
}

/// Requests with keys at a steady rate, beside requests that need no key at the same rate.
fn requests(name: &str, service: &Service) -> anyhow::Result<()> {
    let mut peer = Peer::meet(&service.address)?;
    let mut keys = Vec::new();
    for number in 0..KEYS {
        let wanted = json!({ "name": format!("key {number}"), "scopes": ["mirrors:read"] });
        let (status, body) = peer.ask(&peer::post("/api/v1/api-keys/", ADMIN, &wanted))?;
        anyhow::ensure!(status == 201, "a key was answered {status}");
        let key: Value = serde_json::from_slice(&body)?;
        keys.push(key.get("full_key").and_then(Value::as_str).context("there is no key")?.to_owned());
    }
    let (_, body) = peer.ask(&peer::get("/api/v1/mirrors?limit=200", ADMIN))?;
    let page: Value = serde_json::from_slice(&body)?;
    let ids: Vec<&str> = page
        .pointer("/items")
        .and_then(Value::as_array)
        .context("there is no page")?
        .iter()
        .filter_map(|it| it.get("id")?.as_str())
        .collect();
    // One in ten is a page, the others are single mirrors.
    let asked = keys.iter().cycle().zip(ids.iter().cycle()).enumerate().map(|(number, (key, id))| match number % 10 {
        0 => peer::get("/api/v1/mirrors?limit=50", key),
        _ => peer::get(&format!("/api/v1/mirrors/{id}"), key),
    });
    let mut first = Samples::default();
    for key in &keys {
        let began = Instant::now();
        let (status, _) = peer.ask(&peer::get("/api/v1/mirrors?limit=1", key))?;
        first.add_time(began.elapsed());
        anyhow::ensure!(status == 200, "a new key was answered {status}");
    }
    line(&format!("{name}: the first use of a key, which runs Argon2"), &first.seconds());
    let count = RATE * number("STARKEEP_BENCH_SECONDS", 45);
    let asked: Vec<Vec<u8>> = asked.take(1_000).collect();
    let spent = child::own_cpu(service.id());
    let plain = steadily(service, &[peer::get("/healthz", "none")], count.div_ceil(5))?;
    let (between, began) = (child::own_cpu(service.id()), Instant::now());
    let measured = steadily(service, &asked, count)?;
    let (after, took) = (child::own_cpu(service.id()), began.elapsed());
    let what = format!("{name}: {count} requests with {KEYS} keys, {:.0}/s, p99", count as f64 / took.as_secs_f64());
    at_most(&what, measured.quantile(0.99), 0.050, seconds);
    let each = (after - between) / count as f64;
    line(
        &format!("{name}: p50, the slowest, CPU each"),
        &format!("{}, {}, {}", seconds(measured.median()), seconds(measured.max()), seconds(each)),
    );
    let ratio = each / ((between - spent) / count.div_ceil(5) as f64);
    line(
        &format!("{name}: /healthz p50, p99; CPU with a key against it"),
        &format!("{}, {}; {}", seconds(plain.median()), seconds(plain.quantile(0.99)), times(ratio)),
    );
    Ok(())
}

/// Asks at a steady rate over all connections. A time counts from the moment the request was due, so that nobody who
/// had to wait for the request before is left out.
fn steadily(service: &Service, requests: &[Vec<u8>], count: usize) -> anyhow::Result<Samples> {
    let began = Instant::now();
    let ask = |mine: usize| -> anyhow::Result<Vec<Duration>> {
        let mut peer = Peer::meet(&service.address)?;
        let mut measured = Vec::new();
        for number in (mine..count).step_by(PEERS) {
            let due = began + Duration::from_secs_f64(number as f64 / RATE as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let request = requests.get(number % requests.len()).context("nothing is asked")?;
            let (status, _) = peer.ask(request)?;
            measured.push(due.elapsed());
            anyhow::ensure!(status == 200, "a request was answered {status}");
        }
        Ok(measured)
    };
    let measured = std::thread::scope(|scope| {
        let ask = &ask;
        let peers: Vec<_> = (0..PEERS).map(|mine| scope.spawn(move || ask(mine))).collect();
        peers.into_iter().map(|it| it.join().map_err(|_| anyhow::anyhow!("a peer panicked"))?).collect::<Vec<_>>()
    });
    let measured = measured.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    Ok(of(measured.iter().flatten()))
}

/// The largest webhooks at once, and what others see meanwhile.
fn bodies(name: &str, stage: &Stage, service: &Service) -> anyhow::Result<()> {
    let github = stage.simulator.github();
    let repository = github.create_repository(OWNER, &format!("large-{name}"))?;
    let tip = "1".repeat(40);
    let fields = json!({ "ref": "refs/heads/main", "before": tip, "after": tip, "padding": "x".repeat(BODY) });
    let mut requests = Vec::new();
    for _ in 0..BODIES {
        requests.push(peer::delivery(&github.delivery("push", OWNER, Some(repository), fields.clone())?));
    }
    let (before, _) = child::memory(service.id());
    let done = std::sync::atomic::AtomicUsize::new(0);
    let (statuses, others) = std::thread::scope(|scope| {
        let senders: Vec<_> = requests
            .iter()
            .map(|request| {
                let done = &done;
                scope.spawn(move || {
                    let status = Peer::meet(&service.address).and_then(|mut it| Ok(it.ask(request)?.0));
                    done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    status
                })
            })
            .collect();
        let mut others = Samples::default();
        let mut peer = Peer::meet(&service.address)?;
        while done.load(std::sync::atomic::Ordering::Relaxed) < BODIES || others.quantile(0.0).is_nan() {
            let began = Instant::now();
            let (status, _) = peer.ask(&peer::get("/api/v1/mirrors?limit=1", ADMIN))?;
            others.add_time(began.elapsed());
            anyhow::ensure!(status == 200, "another was answered {status}");
        }
        let statuses: Vec<_> =
            senders.into_iter().map(|it| it.join().map_err(|_| anyhow::anyhow!("a sender panicked"))?).collect();
        anyhow::Ok((statuses, others))
    })?;
    let taken = statuses.iter().filter(|it| matches!(it, Ok(202))).count();
    let told = statuses.iter().filter(|it| matches!(it, Ok(503))).count();
    line(&format!("{name}: {BODIES} webhooks of 20 MB at once"), &format!("{taken} taken, {told} told to come again"));
    at_most(&format!("{name}: memory at most"), child::peak_memory(service.id()) as f64, 256e6, megabytes);
    let (after, _) = child::memory(service.id());
    line(
        &format!("{name}: memory before and after"),
        &format!("{}, {}", megabytes(before as f64), megabytes(after as f64)),
    );
    at_most(&format!("{name}: what others wait meanwhile, p99"), others.quantile(0.99), 0.050, seconds);
    Ok(())
}
