//! Where a restore into a folder is made before it is put in its place: a hidden folder beside that place, of
//! which there is one, so that a run that was killed is gone on with by the next.
//!
//! LFS objects that are whole are used again, everything else is made anew. A run that ends, well or not, leaves
//! nothing here.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::domain::retry::Retry;
use crate::stages::failure::Failure;

/// The folder of LFS objects, which outlives a run that was killed.
const LFS: &str = "lfs";

/// The folder, held by one run.
#[derive(Debug)]
pub(super) struct Workshop {
    folder: PathBuf,
    _lock: File,
}

impl Workshop {
    /// Opens the one that belongs to `place`, and throws away what a killed run left, LFS objects aside. `other`
    /// is a place that is delivered to as well.
    pub(super) fn open(place: &Path, other: &Path) -> Result<Self, Failure> {
        let parent = place.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let folder = parent.join(format!(".starkeep-restore-{name}"));
        std::fs::create_dir_all(&folder).map_err(|error| failed("cannot be made", &folder, &error))?;
        let lock = lock(&folder)?;
        let it = Self { folder, _lock: lock };
        it.put_back(place)?;
        it.put_back(other)?;
        it.clear()?;
        Ok(it)
    }

    /// A folder in it that is not there yet.
    pub(super) fn room(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where LFS objects gather.
    pub(super) fn lfs(&self) -> PathBuf {
        self.folder.join(LFS)
    }

    /// Puts what was made in its place; what was there goes with this folder.
    pub(super) fn deliver(&self, made: &Path, place: &Path) -> Result<(), Failure> {
        self.take_aside(place)?;
        std::fs::rename(made, place).map_err(|error| failed("cannot be put in its place", place, &error))
    }

    /// Takes what stands at a place away, if anything does.
    pub(super) fn take_aside(&self, place: &Path) -> Result<(), Failure> {
        if !place.exists() {
            return Ok(());
        }
        let aside = self.aside(place);
        std::fs::rename(place, aside).map_err(|error| failed("cannot be replaced", place, &error))
    }

    fn aside(&self, place: &Path) -> PathBuf {
        self.folder.join(format!("before-{}", place.file_name().unwrap_or_default().to_string_lossy()))
    }

    /// A run that was killed between taking the old one away and putting the new one there.
    fn put_back(&self, place: &Path) -> Result<(), Failure> {
        let aside = self.aside(place);
        if place.exists() || !aside.exists() {
            return Ok(());
        }
        std::fs::rename(aside, place).map_err(|error| failed("cannot be put back", place, &error))
    }

    fn clear(&self) -> Result<(), Failure> {
        let wrong = |error: std::io::Error| failed("cannot be cleared", &self.folder, &error);
        for entry in std::fs::read_dir(&self.folder).map_err(wrong)? {
            let path = entry.map_err(wrong)?.path();
            if path.is_dir() && !path.ends_with(LFS) {
                std::fs::remove_dir_all(&path).map_err(wrong)?;
            }
        }
        Ok(())
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), "it could not be removed: {error}");
        }
    }
}

fn lock(folder: &Path) -> Result<File, Failure> {
    let wrong = |error: std::io::Error| failed("cannot be written", folder, &error);
    let file = File::options().create(true).append(true).open(folder.join("lock")).map_err(wrong)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let why = format!("another restore works in {}; wait for its end", folder.display());
            Err(Failure::new("restore_folder", why, Retry::Never))
        }
        Err(TryLockError::Error(error)) => Err(wrong(error)),
    }
}

/// A folder that cannot be used.
pub(super) fn failed(what: &str, folder: &Path, error: &std::io::Error) -> Failure {
    Failure::new("restore_folder", format!("{} {what}: {error}", folder.display()), Retry::Never)
}
