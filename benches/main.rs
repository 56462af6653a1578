//! How fast and how small starkeep is, beside C git in the same run against the same servers.
//!
//! `cargo bench` runs all, `cargo bench -- webhooks start` some. Everything is real but the two ends:
//! the simulated GitHub and OneDev with real git behind them, on loopback. Rounds are interleaved, and
//! what counts are ratios of medians: times alone mean little on a machine that others use. Nothing
//! here fails a run; what misses its target is marked.
//!
//! `STARKEEP_BENCH_ROUNDS=7` sets the rounds, `STARKEEP_BENCH_LONG=1` adds what takes many minutes.

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

#[expect(dead_code, clippy::panic, clippy::unwrap_used, reason = "made for tests, which use all of it")]
#[path = "../tests/support/postgres.rs"]
mod postgres;

#[expect(unreachable_pub, reason = "made for tests")]
#[path = "../tests/support/level.rs"]
mod level;

mod catalog;
mod first_mirror;
mod lfs;
mod load;
mod many_refs;
mod one_commit;
mod start;
mod support;
mod sweep;
mod tables;
mod unchanged;
mod webhooks;

type Bench = fn() -> anyhow::Result<()>;

const BENCHES: [(&str, Bench); 11] = [
    ("start", start::run),
    ("webhooks", webhooks::run),
    ("one_commit", one_commit::run),
    ("unchanged", unchanged::run),
    ("sweep", sweep::run),
    ("tables", tables::run),
    ("load", load::run),
    ("catalog", catalog::run),
    ("many_refs", many_refs::run),
    ("first_mirror", first_mirror::run),
    ("lfs", lfs::run),
];

fn main() -> anyhow::Result<()> {
    // cargo passes `--bench`.
    let chosen: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    if let Some(unknown) = chosen.iter().find(|it| BENCHES.iter().all(|(name, _)| name != it)) {
        let names: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        anyhow::bail!("there is no benchmark `{unknown}`; there are {}", names.join(", "));
    }
    support::machine::print();
    let mut failed = Vec::new();
    for (name, bench) in BENCHES.iter().filter(|(name, _)| chosen.is_empty() || chosen.iter().any(|it| it == name)) {
        println!("\n## {name}\n");
        if let Err(error) = bench() {
            println!("could not be measured: {error:#}");
            failed.push(*name);
        }
    }
    anyhow::ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}
