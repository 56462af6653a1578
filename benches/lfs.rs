//! A repository with many LFS objects is mirrored: starkeep streams them, `git lfs fetch` and
//! `git lfs push` go through a store on disk.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::child::{self, Cost};
use crate::support::report::{Samples, at_least, at_most, line, megabytes, seconds, times};
use crate::support::stage::{self, OWNER, Stage};
use crate::support::{git, long, rounds};

const LIMIT: Duration = Duration::from_secs(1_800);
const NAME: &str = "lfs";

pub(crate) fn run() -> anyhow::Result<()> {
    // 2 GB, or 200 MB in the short form.
    let (objects, size) = if long() { (1_000, 2_000_000) } else { (200, 1_000_000) };
    let stage = Stage::set()?;
    let github = stage.simulator.github();
    let id = github.create_repository(OWNER, NAME)?;
    github.commit(id, "main", ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")?;
    for number in 0..objects {
        github.commit_lfs(id, "main", &format!("{number}.bin"), &content(number, size))?;
    }
    let has_git_lfs = Command::new("git").args(["lfs", "version"]).output().is_ok_and(|it| it.status.success());
    let (mut plain, mut ours) = (Way::default(), Way::default());
    for _ in 0..rounds(3) {
        if has_git_lfs {
            by_git_lfs(&stage, &mut plain)?;
        }
        by_starkeep(&stage, &mut ours)?;
    }
    line("LFS objects", &format!("{objects} of {}", megabytes(size as f64)));
    ours.print("starkeep mirror, refs and LFS");
    at_most("memory", ours.memory.max(), 64e6, megabytes);
    at_most("bytes of objects on disk", ours.disk.max(), 0.0, megabytes);
    if has_git_lfs {
        plain.print("git lfs fetch and git lfs push");
        at_least("speed, starkeep / git lfs", plain.wall.median() / ours.wall.median(), 0.9, times);
        line("CPU, starkeep / git lfs", &times(ours.cpu.median() / plain.cpu.median()));
    } else {
        line("git lfs is not on this machine", "nothing to compare with");
    }
    Ok(())
}

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

fn by_starkeep(stage: &Stage, way: &mut Way) -> anyhow::Result<()> {
    let folder = child::scratch()?;
    let cost = stage::mirror(stage, NAME, folder.path(), "stream_above = \"off\"")?;
    way.add(cost, cost.unnamed);
    stage.clear(&stage::mirrored_path(NAME))
}

fn by_git_lfs(stage: &Stage, way: &mut Way) -> anyhow::Result<()> {
    let folder = child::scratch()?;
    let to = stage.project("plain/lfs")?;
    git::clone_mirror(&stage.upstream_url(NAME), folder.path(), LIMIT)?;
    let copy = folder.path().join("copy.git");
    let fetched = git_lfs(stage, &copy, &["fetch", "-q", "--all", "origin"])?;
    let disk = child::on_disk(&copy.join("lfs"));
    let pushed = git_lfs(stage, &copy, &["push", "--all", &format!("{to}.git")])?;
    way.add(fetched.and(pushed), disk);
    stage.clear("plain/lfs")
}

/// OneDev's links lead to the address of its settings, so git-lfs is told where that is.
fn git_lfs(stage: &Stage, copy: &Path, arguments: &[&str]) -> anyhow::Result<Cost> {
    let arguments: Vec<&str> = arguments.iter().copied().filter(|it| *it != "-q").collect();
    let onedev = format!("url.{}/.insteadOf", stage.simulator.onedev().url().trim_end_matches('/'));
    let header = format!("http.{}.extraHeader", stage.simulator.onedev().url());
    let authorization = format!("Authorization: {}", stage.authorization());
    let settings = [
        (onedev.as_str(), "http://onedev.invalid:6610/"),
        ("lfs.transfer.enablehrefrewrite", "true"),
        ("lfs.locksverify", "false"),
        (header.as_str(), authorization.as_str()),
    ];
    let mut command = child::program("git", copy);
    command.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (at, (key, value)) in settings.iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{at}"), key).env(format!("GIT_CONFIG_VALUE_{at}"), value);
    }
    child::measure(command.arg("lfs").args(arguments), LIMIT)
}

/// Bytes that nothing compresses, others for each object.
fn content(number: u64, size: usize) -> Vec<u8> {
    let mut it = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        it ^= it << 13;
        it ^= it >> 7;
        it ^= it << 17;
        bytes.extend_from_slice(&it.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
