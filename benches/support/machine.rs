//! What the numbers were measured on.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::report::{Samples, line, seconds};

/// Everything that is made for the benchmarks: on the same disk as the build.
pub(crate) fn folder() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    target.parent().unwrap_or(target).join("bench-data")
}

pub(crate) fn print() {
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|it| it.strip_prefix("model name")?.split_once(": ")).map(|it| it.1);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let git = std::process::Command::new("git").arg("--version").output().map(|it| it.stdout).unwrap_or_default();
    line("machine", &format!("{} cores, {}", cores, model.unwrap_or("unknown")));
    line("load of the last 1, 5, 15 minutes", &load.split(' ').take(3).collect::<Vec<_>>().join(" "));
    line("git", String::from_utf8_lossy(&git).trim());
    match fsync_times(&folder()) {
        Ok(times) => line("4 KiB and an fsync", &format_fsync(&times)),
        Err(error) => line("4 KiB and an fsync", &error.to_string()),
    }
}

/// How an fsync is told beside what rests on it.
pub(crate) fn format_fsync(times: &Samples) -> String {
    format!("median {}, p99 {}", seconds(times.median()), seconds(times.quantile(0.99)))
}

/// How long it takes until a page is on the disk of this folder.
pub(crate) fn fsync_times(folder: &Path) -> std::io::Result<Samples> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&[1; 64 * 4096])?;
    let mut times = Samples::default();
    for round in 0..200_u64 {
        let began = Instant::now();
        file.write_all_at(&[u8::try_from(round % 251).unwrap_or(0); 4096], round % 64 * 4096)?;
        file.sync_data()?;
        times.add_time(began.elapsed());
    }
    Ok(times)
}
