//! Programs run as processes of their own, and what they cost: time, processor, memory, disk.
//!
//! A shell starts the program and then writes down the processor time of all it waited for, since
//! nothing else tells that without unsafe code. Memory is looked up while the program runs.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Runs the rest of its arguments; then its own line of `/proc`, children included, goes to `$BENCH_STAT`.
const SCRIPT: &str = r#""$@"; code=$?; cat /proc/$$/stat >"$BENCH_STAT"; exit $code"#;
/// Linux counts processor time so for programs, whatever its own clock does.
const TICKS_A_SECOND: f64 = 100.0;
/// How often memory is looked up.
const LOOK: Duration = Duration::from_millis(10);

/// What a run cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// Processor seconds, of children too.
    pub(crate) cpu: f64,
    /// The most that the processes of one moment ever had in memory together. Bytes.
    pub(crate) memory: u64,
    /// The most that unnamed files below the run's folder held. Bytes.
    pub(crate) unnamed: u64,
    /// It was stopped, since it took too long.
    pub(crate) cut_off: bool,
}

impl Cost {
    /// One after the other.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            wall: self.wall + other.wall,
            cpu: self.cpu + other.cpu,
            memory: self.memory.max(other.memory),
            unnamed: self.unnamed.max(other.unnamed),
            cut_off: self.cut_off || other.cut_off,
        }
    }
}

/// Where a program is: by its address it is started without a fork, which would copy the tables of
/// this process's memory and cost more than many a program.
pub(crate) fn place(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|it| it.join(name)).find(|it| it.is_file()).unwrap_or_else(|| name.into())
}

/// A program with an environment of its own, to be measured.
pub(crate) fn program(name: impl AsRef<OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(place("sh"));
    command.args(["-c", SCRIPT, "sh"]).arg(name).current_dir(folder);
    plain(&mut command);
    command
}

/// Nothing of this process's environment but the path.
pub(crate) fn plain(command: &mut Command) {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
    command.env("HOME", "/nonexistent").env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
}

/// Runs what [`program`] made, at most for `limit`.
///
/// # Errors
/// When it cannot be started, or fails, with what it said last.
pub(crate) fn measure(command: &mut Command, limit: Duration) -> anyhow::Result<Cost> {
    let folder = command.get_current_dir().map_or_else(std::env::temp_dir, Path::to_path_buf);
    let said = tempfile::NamedTempFile::new()?;
    let stat = tempfile::NamedTempFile::new()?;
    command.env("BENCH_STAT", stat.path()).process_group(0);
    command.stdout(Stdio::null()).stderr(said.reopen()?);
    let began = Instant::now();
    let mut child = command.spawn().context("sh cannot be started")?;
    let mut cost = Cost::default();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        cost.memory = cost.memory.max(below(child.id()).iter().map(|it| peak_memory(*it)).sum());
        cost.unnamed = cost.unnamed.max(below(child.id()).iter().map(|it| unnamed_files(*it, &folder)).sum());
        if began.elapsed() > limit {
            end_group(&mut child)?;
            break None;
        }
        std::thread::sleep(LOOK);
    };
    cost.wall = began.elapsed();
    cost.cut_off = status.is_none();
    cost.cpu = children_cpu(&std::fs::read_to_string(stat.path())?).unwrap_or(f64::NAN);
    if let Some(status) = status.filter(|it| !it.success()) {
        let said = std::fs::read_to_string(said.path()).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        anyhow::bail!("{:?} ended with {status}: {}", command.get_args().nth(3), last.join(" | "));
    }
    Ok(cost)
}

fn end_group(child: &mut Child) -> anyhow::Result<()> {
    Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status()?;
    child.wait()?;
    Ok(())
}

/// The processes below one, itself left out.
fn below(process: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut open = vec![process];
    while let Some(next) = open.pop() {
        let children = std::fs::read_to_string(format!("/proc/{next}/task/{next}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|it| it.parse::<u32>().ok());
        let before = found.len();
        found.extend(children);
        open.extend(found.iter().skip(before));
    }
    found
}

/// The most a process ever had in memory. Bytes.
pub(crate) fn peak_memory(process: u32) -> u64 {
    status_line(process, "VmHWM:")
}

/// What a process has in memory now: all of it, and the part that is not a file's. Bytes.
pub(crate) fn memory(process: u32) -> (u64, u64) {
    (status_line(process, "VmRSS:"), status_line(process, "RssAnon:"))
}

fn status_line(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|it| it.strip_prefix(name));
    line.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Bytes in the open files below a folder that have no name.
fn unnamed_files(process: u32, folder: &Path) -> u64 {
    let Ok(open) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return 0 };
    let unnamed = open.flatten().filter(|it| {
        let name = std::fs::read_link(it.path()).unwrap_or_default();
        name.starts_with(folder) && name.to_string_lossy().ends_with(" (deleted)")
    });
    unnamed.filter_map(|it| Some(std::fs::metadata(it.path()).ok()?.len())).sum()
}

/// Processor seconds of a process itself. Its name may hold anything but a closing bracket at the end.
pub(crate) fn own_cpu(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    cpu(&stat, 11).unwrap_or(f64::NAN)
}

fn children_cpu(stat: &str) -> Option<f64> {
    cpu(stat, 13)
}

/// Two neighbours of the fields behind the name.
fn cpu(stat: &str, first: usize) -> Option<f64> {
    let fields = stat.rsplit_once(") ")?.1;
    let mut fields = fields.split(' ').skip(first);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / TICKS_A_SECOND)
}

/// Bytes on disk of all files below a folder.
pub(crate) fn on_disk(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|it| match it.metadata() {
            Ok(about) if about.is_dir() => on_disk(&it.path()),
            Ok(about) => about.len(),
            Err(_) => 0,
        })
        .sum()
}

/// A running `starkeep serve`; dropping it kills it.
pub(crate) struct Service {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub(crate) address: String,
    /// The moment before exec.
    pub(crate) began: Instant,
}

impl Service {
    /// Starts it and waits until it says where it serves.
    ///
    /// # Errors
    /// When it ends instead, with what it said.
    pub(crate) fn start(config: &Path, folder: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_starkeep"));
        plain(&mut command);
        command.arg("--config").arg(config).arg("serve").current_dir(folder);
        let began = Instant::now();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("no stderr")?).lines();
        let mut said = String::new();
        while let Some(Ok(line)) = lines.next() {
            let parsed: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = parsed.get("address").and_then(serde_json::Value::as_str) {
                let address = address.to_owned();
                // Its log is read on, or it would stand still.
                std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
                return Ok(Self { child, address, began });
            }
            said = line;
        }
        child.wait()?;
        anyhow::bail!("starkeep serve did not start: {said}")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder of its own on the disk of the build.
pub(crate) fn scratch() -> anyhow::Result<tempfile::TempDir> {
    let base: PathBuf = super::machine::folder();
    std::fs::create_dir_all(&base)?;
    Ok(tempfile::TempDir::with_prefix_in("run-", base)?)
}
