//! The spool's unnamed files: written and read in blocks on the blocking threads, one block ahead.

use std::fs::File;
use std::io::{IoSlice, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::error::WireError;

/// What is written or read at once.
const BLOCK: usize = 256 * 1024;

/// A file without a name: it vanishes with its last handle, whatever happens to the process.
#[derive(Debug)]
pub(crate) struct Blob {
    file: Arc<File>,
    folder: PathBuf,
}

/// Writes a [`Blob`]. At most one block is under way and one is gathered.
#[derive(Debug)]
pub(crate) struct FileWriter {
    blob: Blob,
    gathered: Vec<Bytes>,
    size: usize,
    under_way: Option<JoinHandle<std::io::Result<()>>>,
}

impl FileWriter {
    /// # Errors
    /// [`WireError::Spool`] naming the folder.
    pub(crate) async fn create(folder: &Path) -> Result<Self, WireError> {
        let place = folder.to_owned();
        let made = flat(tokio::task::spawn_blocking(move || tempfile::tempfile_in(place)).await);
        let file = Arc::new(made.map_err(|source| WireError::Spool { folder: folder.to_owned(), source })?);
        let blob = Blob { file, folder: folder.to_owned() };
        Ok(Self { blob, gathered: Vec::new(), size: 0, under_way: None })
    }

    /// Appends one piece, sooner or later.
    pub(crate) async fn push(&mut self, piece: Bytes) -> Result<(), WireError> {
        self.size += piece.len();
        self.gathered.push(piece);
        if self.size < BLOCK {
            return Ok(());
        }
        self.size = 0;
        let pieces = std::mem::take(&mut self.gathered);
        self.write(pieces).await
    }

    /// Starts writing pieces as soon as those before are written.
    pub(crate) async fn write(&mut self, pieces: Vec<Bytes>) -> Result<(), WireError> {
        self.settle().await?;
        let file = Arc::clone(&self.blob.file);
        self.under_way = Some(tokio::task::spawn_blocking(move || write_all(&file, &pieces)));
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), WireError> {
        match self.under_way.take() {
            None => Ok(()),
            Some(under_way) => flat(under_way.await).map_err(|it| self.blob.error(it)),
        }
    }

    /// Writes what is left.
    pub(crate) async fn finish(mut self) -> Result<Blob, WireError> {
        let pieces = std::mem::take(&mut self.gathered);
        self.write(pieces).await?;
        self.settle().await?;
        Ok(self.blob)
    }
}

impl Blob {
    /// What was written into a file without a name.
    pub(crate) fn new(file: File, folder: PathBuf) -> Self {
        Self { file: Arc::new(file), folder }
    }

    fn error(&self, source: std::io::Error) -> WireError {
        WireError::Spool { folder: self.folder.clone(), source }
    }
}

/// Reads a [`Blob`] from its beginning, one block ahead.
#[derive(Debug)]
pub(crate) struct FileReader {
    blob: Blob,
    offset: u64,
    ahead: Option<JoinHandle<std::io::Result<Bytes>>>,
}

impl FileReader {
    pub(crate) fn new(blob: Blob) -> Self {
        Self { blob, offset: 0, ahead: None }
    }

    /// The same file from its beginning. Only one of them may be read at a time.
    pub(crate) fn again(&self) -> Self {
        Self::new(Blob { file: Arc::clone(&self.blob.file), folder: self.blob.folder.clone() })
    }

    /// The next block; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, WireError> {
        let ahead = self.ahead.take().unwrap_or_else(|| self.begin());
        let block = flat(ahead.await).map_err(|it| self.blob.error(it))?;
        if block.is_empty() {
            return Ok(None);
        }
        self.offset += block.len() as u64;
        self.ahead = Some(self.begin());
        Ok(Some(block))
    }

    fn begin(&self) -> JoinHandle<std::io::Result<Bytes>> {
        let (file, offset) = (Arc::clone(&self.blob.file), self.offset);
        tokio::task::spawn_blocking(move || read_block(&file, offset))
    }
}

fn read_block(mut file: &File, offset: u64) -> std::io::Result<Bytes> {
    file.seek(SeekFrom::Start(offset))?;
    let mut block = Vec::with_capacity(BLOCK);
    file.take(BLOCK as u64).read_to_end(&mut block)?;
    Ok(block.into())
}

fn write_all(mut file: &File, pieces: &[Bytes]) -> std::io::Result<()> {
    // The system takes at most 1,024 pieces at once.
    for some in pieces.chunks(512) {
        let mut slices: Vec<IoSlice<'_>> = some.iter().map(|it| IoSlice::new(it)).collect();
        let mut left = slices.as_mut_slice();
        while !left.is_empty() {
            match file.write_vectored(left)? {
                0 => return Err(std::io::ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut left, written),
            }
        }
    }
    Ok(())
}

/// A task that panicked is an error as any other.
fn flat<T>(joined: Result<std::io::Result<T>, tokio::task::JoinError>) -> std::io::Result<T> {
    joined.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_written_is_read_and_the_folder_shows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = FileWriter::create(folder.path()).await.unwrap();
        let mut want = Vec::new();
        for size in [0, 1, 70_000, 300_000, 5, 900_000] {
            let piece = vec![u8::try_from(size % 251).unwrap(); size];
            want.extend_from_slice(&piece);
            writer.push(piece.into()).await.unwrap();
        }
        let blob = writer.finish().await.unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut reader = FileReader::new(blob);
        let mut have = Vec::new();
        while let Some(block) = reader.next().await.unwrap() {
            assert!(block.len() <= BLOCK);
            have.extend_from_slice(&block);
        }
        assert!(have == want);
    }

    #[tokio::test]
    async fn a_folder_that_is_missing_is_named() {
        let error = FileWriter::create(Path::new("/no/such/folder")).await.unwrap_err();
        assert!(error.to_string().contains("/no/such/folder does not exist"), "{error}");
    }
}
