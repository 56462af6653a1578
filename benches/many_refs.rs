//! Fifty thousand refs, mirrored for the first time.

use std::time::Duration;

use starkeep::domain::refs::{RefMap, RefName};

use crate::support::data::SMALL;
use crate::support::report::{Samples, at_most, line, megabytes, seconds};
use crate::support::stage::{self, Stage};
use crate::support::{child, data, git, long, number, rounds};

/// After this C git's push is stopped.
const PATIENCE: usize = 40;
/// In the long form.
const LONG_PATIENCE: usize = 900;

pub(crate) fn run() -> anyhow::Result<()> {
    let count = number("STARKEEP_BENCH_REFS", 50_000);
    let repository = SMALL.repository()?;
    let stage = Stage::set()?;
    let id = stage.upstream("many", &repository)?;
    let commits = data::run(&repository, &["rev-list", "main"])?;
    let commits = commits.lines().map(str::parse).collect::<Result<Vec<_>, _>>()?;
    let mut refs = RefMap::new();
    for (number, oid) in (0..count).zip(commits.iter().cycle()) {
        let kind = if number % 5 == 0 { "heads/topic" } else { "tags/v" };
        refs.insert(RefName::new(&format!("refs/{kind}/{number}"))?, *oid);
    }
    stage.simulator.github().set_refs(id, &refs)?;
    line("refs", &(count + 1).to_string());

    let (mut wall, mut cpu, mut memory) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..rounds(3) {
        let folder = child::scratch()?;
        let cost = stage::mirror(&stage, "many", folder.path(), "stream_above = \"20MiB\"")?;
        wall.add_time(cost.wall);
        cpu.add(cost.cpu);
        memory.add(cost.memory as f64);
        let there = stage.mirrored_refs("many")?.len();
        anyhow::ensure!(there == count + 1, "{there} refs arrived");
        stage.clear(&stage::mirrored_path("many"))?;
    }
    line("starkeep mirror", &format!("{}  CPU {}", wall.seconds(), seconds(cpu.median())));
    at_most("time", wall.median(), 10.0, seconds);
    at_most("memory", memory.max(), 64e6, megabytes);

    let patience = if long() { LONG_PATIENCE } else { PATIENCE };
    let patience = Duration::from_secs(number("STARKEEP_BENCH_PATIENCE", patience) as u64);
    let folder = child::scratch()?;
    let cloned = git::clone_mirror(&stage.upstream_url("many"), folder.path(), patience)?;
    let pushed = git::push_mirror(&stage.project("plain/many")?, &stage.authorization(), folder.path(), patience)?;
    let sign = if pushed.cut_off { "> " } else { "" };
    line("git clone --mirror", &seconds(cloned.wall.as_secs_f64()));
    line("git push --mirror", &format!("{sign}{}", seconds(pushed.wall.as_secs_f64())));
    Ok(())
}
