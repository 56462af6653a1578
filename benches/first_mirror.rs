//! A repository is mirrored for the first time: starkeep's relay, C git's clone and push, and the
//! least that it can take, which is what the two servers need by themselves.

use std::path::Path;
use std::time::Duration;

use crate::support::child::{self, Cost};
use crate::support::data::{HUGE, LARGE, Shape};
use crate::support::report::{Samples, at_most, line, megabytes, seconds, times};
use crate::support::stage::{self, Stage};
use crate::support::{git, long, raw, rounds};

const LIMIT: Duration = Duration::from_secs(1_800);
/// Any pack is fast enough to be streamed.
const STREAMED: &str = "stream_above = \"1KiB\"";
const SPOOLED: &str = "stream_above = \"off\"";
/// No LFS pointers are looked for: git does not look for any either.
const STREAMED_ALONE: &str = "stream_above = \"1KiB\"\nlfs = false";
const SPOOLED_ALONE: &str = "stream_above = \"off\"\nlfs = false";

pub(crate) fn run() -> anyhow::Result<()> {
    measure(LARGE, rounds(3))?;
    if long() {
        println!();
        measure(HUGE, rounds(1))?;
    }
    Ok(())
}

/// One way to do it, round for round.
#[derive(Default)]
struct Way {
    wall: Samples,
    cpu: Samples,
    memory: Samples,
    disk: Samples,
}

impl Way {
    fn add(&mut self, cost: Cost, disk: u64) {
        self.wall.add_time(cost.wall);
        self.cpu.add(cost.cpu);
        self.memory.add(cost.memory as f64);
        self.disk.add(disk as f64);
    }

    fn print(&self, name: &str) {
        let cpu = format!("CPU {}", seconds(self.cpu.median()));
        let (memory, disk) = (megabytes(self.memory.max()), megabytes(self.disk.max()));
        line(name, &format!("{}  {cpu}  memory {memory}  disk {disk}", self.wall.seconds()));
    }
}

fn measure(shape: Shape, rounds: usize) -> anyhow::Result<()> {
    let repository = shape.repository()?;
    let stage = Stage::set()?;
    let id = stage.upstream(shape.name, &repository)?;
    let (mut plain, mut streamed, mut spooled) = (Way::default(), Way::default(), Way::default());
    let (mut streamed_alone, mut spooled_alone) = (Way::default(), Way::default());
    let (mut receive, mut at_once) = (Samples::default(), Samples::default());
    let (mut download, mut pack) = (Samples::default(), 0);
    for _ in 0..rounds {
        by_git(&stage, shape.name, &mut plain)?;
        by_starkeep(&stage, shape.name, STREAMED, &mut streamed)?;
        by_starkeep(&stage, shape.name, STREAMED_ALONE, &mut streamed_alone)?;
        let (time, bytes) = by_hand(&stage, &repository, true)?;
        receive.add_time(time);
        pack = bytes;
        at_once.add_time(by_hand(&stage, &repository, false)?.0);
        by_starkeep(&stage, shape.name, SPOOLED, &mut spooled)?;
        by_starkeep(&stage, shape.name, SPOOLED_ALONE, &mut spooled_alone)?;
        download.add_time(raw::download(&stage.upstream_url(shape.name), &repository)?.0);
    }
    let refs = stage.simulator.github().refs(id)?;
    line("repository", &format!("{}, {} objects, {} refs", megabytes(pack as f64), shape.commits * 5, refs.len()));
    plain.print("git clone --mirror and git push --mirror");
    streamed.print("starkeep mirror, streamed");
    spooled.print("starkeep mirror, spooled");
    streamed_alone.print("starkeep mirror, streamed, sync.lfs = false");
    spooled_alone.print("starkeep mirror, spooled, sync.lfs = false");
    line("receive-pack, fed from a file, the default branch alone first", &receive.seconds());
    line("receive-pack, fed from a file, all refs at once", &at_once.seconds());
    line("the pack alone, thrown away", &download.seconds());
    let git = plain.wall.median();
    at_most("streamed / git", streamed.wall.median() / git, 0.55, times);
    at_most("spooled / git", spooled.wall.median() / git, 0.55, times);
    at_most("streamed / receive-pack", streamed.wall.median() / receive.median(), 1.10, times);
    line("streamed / receive-pack, all refs at once", &times(streamed.wall.median() / at_once.median()));
    let both = receive.median() + download.median();
    at_most("spooled / (download + receive-pack)", spooled.wall.median() / both, 1.10, times);
    let all = [
        ("streamed", &streamed),
        ("spooled", &spooled),
        ("streamed, sync.lfs = false", &streamed_alone),
        ("spooled, sync.lfs = false", &spooled_alone),
    ];
    for (name, way) in all {
        at_most(&format!("CPU of the client, {name} / git"), way.cpu.median() / plain.cpu.median(), 0.05, times);
        at_most(&format!("memory, {name}"), way.memory.max(), 64e6, megabytes);
    }
    at_most("disk, streamed", streamed.disk.max(), 0.0, megabytes);
    at_most("disk, spooled / pack", spooled.disk.max() / pack as f64, 1.001, times);
    Ok(())
}

fn by_git(stage: &Stage, name: &str, way: &mut Way) -> anyhow::Result<()> {
    let folder = child::scratch()?;
    let to = stage.project("plain/first")?;
    let cloned = git::clone_mirror(&stage.upstream_url(name), folder.path(), LIMIT)?;
    let pushed = git::push_mirror(&to, &stage.authorization(), folder.path(), LIMIT)?;
    way.add(cloned.and(pushed), child::on_disk(folder.path()));
    stage.clear("plain/first")
}

fn by_starkeep(stage: &Stage, name: &str, sync: &str, way: &mut Way) -> anyhow::Result<()> {
    let folder = child::scratch()?;
    let cost = stage::mirror(stage, name, folder.path(), sync)?;
    way.add(cost, cost.unnamed);
    stage.clear(&stage::mirrored_path(name))
}

fn by_hand(stage: &Stage, repository: &Path, default_branch_first: bool) -> anyhow::Result<(Duration, u64)> {
    let to = stage.project("plain/fed")?;
    let done = raw::upload(&to, &stage.authorization(), repository, default_branch_first)?;
    stage.clear("plain/fed")?;
    Ok(done)
}
