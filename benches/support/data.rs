//! Repositories to be mirrored: made once with `git fast-import`, the same on every machine.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::{child, machine};

/// How a repository is to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Commits; each changes one file three folders deep, which makes five objects.
    pub(crate) commits: usize,
    /// Bytes of each file before compression.
    pub(crate) blob: usize,
    /// Whether the bytes are such that nothing compresses them.
    pub(crate) incompressible: bool,
    pub(crate) branches: usize,
    pub(crate) tags: usize,
}

/// 100 MB and 300,000 objects with 368 refs.
pub(crate) const LARGE: Shape =
    Shape { name: "large", commits: 60_000, blob: 1_700, incompressible: false, branches: 60, tags: 308 };

/// Some 3 MB and 15,000 objects with 368 refs.
pub(crate) const MEDIUM: Shape = Shape { name: "medium", commits: 3_000, blob: 800, ..LARGE };

/// 1 GB that nothing compresses.
pub(crate) const HUGE: Shape =
    Shape { name: "huge", commits: 1_000, blob: 1 << 20, incompressible: true, branches: 10, tags: 10 };

/// A few hundred objects.
pub(crate) const SMALL: Shape =
    Shape { name: "small", commits: 200, blob: 300, incompressible: false, branches: 1, tags: 0 };

impl Shape {
    /// The bare repository, made if it is not there.
    ///
    /// # Errors
    /// When git fails.
    pub(crate) fn repository(&self) -> anyhow::Result<PathBuf> {
        let folder = machine::folder();
        std::fs::create_dir_all(&folder)?;
        let done = folder.join(format!("{}-{}-{}-{}.git", self.name, self.commits, self.blob, self.tags));
        if done.join("HEAD").is_file() {
            return Ok(done);
        }
        let making = tempfile::TempDir::with_prefix_in("making-", &folder)?;
        run(making.path(), &["init", "-q", "--bare", "-b", "main", "."])?;
        self.import(making.path())?;
        // As a server has it: one pack, with a bitmap to count by.
        run(making.path(), &["repack", "-q", "-a", "-d", "-b"])?;
        run(making.path(), &["pack-refs", "--all"])?;
        std::fs::rename(making.keep(), &done)?;
        Ok(done)
    }

    fn import(&self, folder: &Path) -> anyhow::Result<()> {
        let mut command = Command::new("git");
        child::plain(&mut command);
        command.args(["fast-import", "--quiet"]).current_dir(folder).stdin(Stdio::piped());
        let mut importer = command.spawn()?;
        let mut out = BufWriter::with_capacity(1 << 20, importer.stdin.take().context("no stdin")?);
        self.write(&mut out)?;
        out.flush()?;
        drop(out);
        anyhow::ensure!(importer.wait()?.success(), "git fast-import failed");
        Ok(())
    }

    fn write(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        for number in 1..=self.commits {
            let place = noise.next();
            let (a, b, c) = (place % 16, place / 16 % 16, place / 256 % 32);
            let when = 1_600_000_000 + number;
            writeln!(out, "commit refs/heads/main\nmark :{number}")?;
            writeln!(out, "committer Bench <bench@example.org> {when} +0000")?;
            let message = format!("Change {number} of {}\n", self.commits);
            write!(out, "data {}\n{message}", message.len())?;
            if number > 1 {
                writeln!(out, "from :{}", number - 1)?;
            }
            writeln!(out, "M 100644 inline folder{a}/folder{b}/file{c}\ndata {}", self.blob)?;
            out.write_all(&noise.bytes(self.blob, self.incompressible))?;
            writeln!(out)?;
        }
        for number in 1..self.branches {
            let from = self.commits * number / self.branches;
            writeln!(out, "reset refs/heads/topic/{number}\nfrom :{}\n", from.max(1))?;
        }
        for number in 0..self.tags {
            let from = 1 + (self.commits - 1) * number / self.tags.max(1);
            writeln!(
                out,
                "tag v{number}\nfrom :{from}\ntagger Bench <bench@example.org> 1700000000 +0000\ndata 4\ntag\n"
            )?;
        }
        Ok(())
    }
}

/// git in a folder, for what is not measured.
///
/// # Errors
/// When it fails, with what it said.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("git");
    child::plain(&mut command);
    let output = command.args(arguments).current_dir(folder).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "git {arguments:?}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Numbers without a pattern, the same every time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((it ^ (it >> 31)) >> 1).unwrap_or(0)
    }

    fn bytes(&mut self, length: usize, incompressible: bool) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        if !incompressible {
            // Letters, digits and a line's end now and then: three quarters remain.
            for byte in &mut bytes {
                *byte = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ \n"
                    .get(usize::from(*byte % 64))
                    .copied()
                    .unwrap_or(b' ');
            }
        }
        bytes
    }
}
