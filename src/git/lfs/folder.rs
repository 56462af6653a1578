//! A folder of LFS objects as git-lfs keeps it beside a bare repository: `lfs/objects/aa/bb/<oid>`.
//!
//! Objects come from [`super::download`]. Each is written under another name and gets its own when size and
//! hash were right, so what stands under its name is whole.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::download::Download;
use super::error::ObjectError;
use crate::domain::lfs::{LfsOid, Pointer};
use crate::git::error::WireError;

/// What is hashed at once.
const BLOCK: usize = 256 * 1024;
/// What is gathered before it is written.
const GATHERED: usize = 1 << 20;

/// The LFS objects of one repository on disk.
#[derive(Debug, Clone)]
pub struct ObjectFolder {
    lfs: PathBuf,
}

impl ObjectFolder {
    /// `lfs` is the folder of that name in a bare repository. Nothing is made before the first object.
    pub fn new(lfs: PathBuf) -> Self {
        Self { lfs }
    }

    /// Where an object stands.
    pub fn place(&self, oid: LfsOid) -> PathBuf {
        let name = oid.to_string();
        let part = |range| name.get(range).unwrap_or_default();
        self.lfs.join("objects").join(part(0..2)).join(part(2..4)).join(&name)
    }

    /// Whether an object stands here: read and hashed. One that is spoilt is taken away.
    ///
    /// # Errors
    /// [`WireError::Spool`] when the folder cannot be read.
    pub async fn has(&self, object: Pointer) -> Result<bool, WireError> {
        let place = self.place(object.oid);
        self.blocking(move || {
            let right = is_right(&place, object)?;
            if !right && place.is_file() {
                std::fs::remove_file(&place)?;
            }
            Ok(right)
        })
        .await
    }

    /// Takes an object over that stands in another folder, without a second copy where the disk allows that.
    /// Says whether it stood there.
    ///
    /// # Errors
    /// [`WireError::Spool`] when a folder cannot be read or written.
    pub async fn take_from(&self, other: &Self, object: Pointer) -> Result<bool, WireError> {
        let (from, to) = (other.place(object.oid), self.place(object.oid));
        self.blocking(move || {
            if !is_right(&from, object)? {
                return Ok(false);
            }
            to.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            if std::fs::hard_link(&from, &to).is_err() {
                std::fs::copy(&from, &to)?;
            }
            Ok(true)
        })
        .await
    }

    /// Writes an object as it comes.
    ///
    /// # Errors
    /// Those of the download; [`WireError::Spool`] when it cannot be written. Nothing is left of it then.
    pub async fn take(&self, mut download: Download) -> Result<(), ObjectError> {
        let place = self.place(download.pointer().oid);
        let (scratch, folder) = (self.lfs.join("tmp"), place.parent().map(Path::to_owned));
        let mut file = self
            .blocking(move || {
                folder.map_or(Ok(()), std::fs::create_dir_all)?;
                std::fs::create_dir_all(&scratch)?;
                NamedTempFile::new_in(&scratch)
            })
            .await?;
        let mut ended = false;
        while !ended {
            let (mut gathered, mut size) = (Vec::<Bytes>::new(), 0);
            while size < GATHERED && !ended {
                match download.next().await? {
                    Some(piece) => {
                        size += piece.len();
                        gathered.push(piece);
                    }
                    None => ended = true,
                }
            }
            file = self
                .blocking(move || {
                    gathered.iter().try_for_each(|it| file.write_all(it))?;
                    Ok(file)
                })
                .await?;
        }
        self.blocking(move || file.persist(&place).map(drop).map_err(|it| it.error)).await?;
        Ok(())
    }

    /// Takes away what runs that were cut off have left.
    ///
    /// # Errors
    /// [`WireError::Spool`] when the folder cannot be written.
    pub async fn tidy(&self) -> Result<(), WireError> {
        let scratch = self.lfs.join("tmp");
        self.blocking(move || match std::fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, WireError> {
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        done.map_err(|source| WireError::Spool { folder: self.lfs.clone(), source })
    }
}

fn is_right(place: &Path, object: Pointer) -> std::io::Result<bool> {
    let mut file = match File::open(place) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() != object.size {
        return Ok(false);
    }
    let (mut hash, mut block) = (Sha256::new(), vec![0; BLOCK]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(LfsOid::from_bytes(hash.finalize().into()) == object.oid),
            read => hash.update(block.get(..read).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_is_whole_counts_and_what_is_spoilt_goes() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, two) = (ObjectFolder::new(one.path().join("lfs")), ObjectFolder::new(two.path().join("lfs")));
        let (good, spoilt) = (Pointer::of(b"good"), Pointer::of(b"spoilt"));
        assert!(!one.has(good).await.unwrap());
        for (pointer, content) in [(good, "good"), (spoilt, "spoilT")] {
            let place = one.place(pointer.oid);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, content).unwrap();
        }
        assert!(one.place(good.oid).ends_with(format!("objects/{}/{}/{}", "77", "0e", good.oid)), "{:?}", good.oid);
        assert!(one.has(good).await.unwrap());
        assert!(two.take_from(&one, good).await.unwrap());
        assert!(!two.take_from(&one, spoilt).await.unwrap());
        assert!(two.has(good).await.unwrap() && !one.has(spoilt).await.unwrap());
        assert!(!one.place(spoilt.oid).exists());
        two.tidy().await.unwrap();
    }
}
