//! Packs of objects that starkeep makes itself: written as they come, in memory while they are small
//! and in an unnamed file beyond, so that memory stays flat however many objects there are.
//!
//! Objects come from the catalog; the pack goes into [`super::target`]. Nothing is deltified: git
//! does that at the other end when it packs anew.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::path::PathBuf;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest as _, Sha1};

use super::error::WireError;
use super::feed::Feed;
use super::file::Blob;
use super::pack::HEADER;
use crate::domain::catalog::objects::{ObjectKind, oid};
use crate::domain::refs::Oid;

/// Larger packs go to a file. Bytes.
const IN_MEMORY: usize = 1 << 20;
/// What is hashed at once.
const BLOCK: usize = 64 * 1024;

/// A pack that is being written. All of its work blocks.
#[derive(Debug)]
pub struct Packer {
    sink: Sink,
    folder: PathBuf,
    seen: HashSet<Oid>,
}

#[derive(Debug)]
enum Sink {
    Memory(Vec<u8>),
    File(BufWriter<File>),
}

/// A pack that is whole.
#[derive(Debug)]
pub struct MadePack {
    content: Content,
    objects: usize,
    bytes: u64,
}

#[derive(Debug)]
enum Content {
    Memory(Bytes),
    File(Blob),
}

impl Packer {
    /// An empty pack. A large one goes to an unnamed file in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        // The head is written when the number of objects is known.
        Self { sink: Sink::Memory(vec![0; HEADER]), folder, seen: HashSet::new() }
    }

    /// Adds an object, once; gives its name.
    ///
    /// # Errors
    /// [`WireError::Spool`] when the file cannot be written.
    pub fn add(&mut self, kind: ObjectKind, content: &[u8]) -> Result<Oid, WireError> {
        let name = oid(kind, content);
        if self.seen.insert(name) {
            self.write(kind, content).map_err(|source| WireError::Spool { folder: self.folder.clone(), source })?;
        }
        Ok(name)
    }

    /// How many objects it holds.
    pub fn objects(&self) -> usize {
        self.seen.len()
    }

    fn write(&mut self, kind: ObjectKind, content: &[u8]) -> std::io::Result<()> {
        if let Sink::Memory(bytes) = &self.sink
            && bytes.len() > IN_MEMORY
        {
            let mut file = BufWriter::with_capacity(BLOCK, tempfile::tempfile_in(&self.folder)?);
            file.write_all(bytes)?;
            self.sink = Sink::File(file);
        }
        match &mut self.sink {
            Sink::Memory(bytes) => deflate(&head(kind, content.len()), content, bytes),
            Sink::File(file) => deflate(&head(kind, content.len()), content, file),
        }
    }

    /// Ends the pack.
    ///
    /// # Errors
    /// [`WireError::Spool`] when the file cannot be written or read again.
    pub fn finish(self) -> Result<MadePack, WireError> {
        let folder = self.folder.clone();
        self.ended().map_err(|source| WireError::Spool { folder, source })
    }

    fn ended(self) -> std::io::Result<MadePack> {
        let objects = self.seen.len();
        let count = u32::try_from(objects).map_err(std::io::Error::other)?;
        let mut start = b"PACK\0\0\0\x02".to_vec();
        start.extend_from_slice(&count.to_be_bytes());
        match self.sink {
            Sink::Memory(bytes) => {
                start.extend(bytes.into_iter().skip(HEADER));
                let trailer = Sha1::digest(&start);
                start.extend_from_slice(&trailer);
                let bytes = start.len() as u64;
                Ok(MadePack { content: Content::Memory(start.into()), objects, bytes })
            }
            Sink::File(file) => {
                let mut file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&start)?;
                file.seek(SeekFrom::Start(0))?;
                let trailer = hash(&mut file)?;
                file.write_all(&trailer)?;
                let bytes = file.stream_position()?;
                Ok(MadePack { content: Content::File(Blob::new(file, self.folder)), objects, bytes })
            }
        }
    }
}

impl MadePack {
    /// How many objects it holds.
    pub fn objects(&self) -> usize {
        self.objects
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn feed(self) -> Feed {
        match self.content {
            Content::Memory(bytes) => Feed::whole(bytes),
            Content::File(blob) => Feed::file(blob),
        }
    }
}

/// Kind and size in front of an object: four bits of the size, then seven in each further byte.
fn head(kind: ObjectKind, size: usize) -> Vec<u8> {
    let code: u8 = match kind {
        ObjectKind::Commit => 1,
        ObjectKind::Tree => 2,
        ObjectKind::Blob => 3,
    };
    let low = |size: usize, mask: usize| u8::try_from(size & mask).unwrap_or_default();
    let mut byte = (code << 4) | low(size, 0x0f);
    let mut rest = size >> 4;
    let mut out = Vec::with_capacity(6);
    while rest > 0 {
        out.push(byte | 0x80);
        byte = low(rest, 0x7f);
        rest >>= 7;
    }
    out.push(byte);
    out
}

fn deflate(head: &[u8], content: &[u8], mut sink: &mut impl Write) -> std::io::Result<()> {
    sink.write_all(head)?;
    let mut zlib = ZlibEncoder::new(&mut sink, Compression::default());
    zlib.write_all(content)?;
    zlib.finish()?;
    Ok(())
}

fn hash(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut hash = Sha1::new();
    let mut block = vec![0; BLOCK];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(hash.finalize().to_vec());
        }
        hash.update(block.get(..read).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::catalog::objects::{Entry, commit, tree};

    async fn whole(pack: MadePack) -> Vec<u8> {
        match pack.content {
            Content::Memory(bytes) => bytes.to_vec(),
            Content::File(blob) => {
                let mut reader = super::super::file::FileReader::new(blob);
                let mut all = Vec::new();
                while let Some(block) = reader.next().await.unwrap() {
                    all.extend_from_slice(&block);
                }
                all
            }
        }
    }

    /// Gives the pack to libgit2, which checks every byte of it.
    fn index(bytes: &[u8], folder: &std::path::Path) -> git2::Repository {
        let repository = git2::Repository::init_bare(folder).unwrap();
        let mut indexer =
            git2::Indexer::new(Some(&repository.odb().unwrap()), &folder.join("objects/pack"), 0o644, false).unwrap();
        indexer.write_all(bytes).unwrap();
        indexer.commit().unwrap();
        repository
    }

    #[tokio::test]
    async fn what_was_packed_is_what_git_reads() {
        for size in [10, 3_000_000] {
            let folder = tempfile::tempdir().unwrap();
            let mut packer = Packer::new(folder.path().to_owned());
            let text: Vec<u8> =
                (0..size).map(|it: u32| (it.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
            let blob = packer.add(ObjectKind::Blob, &text).unwrap();
            let other = packer.add(ObjectKind::Blob, b"").unwrap();
            assert_eq!(packer.add(ObjectKind::Blob, &text).unwrap(), blob);
            let entries = [("b".to_owned(), Entry::file(blob)), ("a".to_owned(), Entry::file(other))];
            let root = packer.add(ObjectKind::Tree, &tree(&entries)).unwrap();
            let at = chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap();
            let tip = packer.add(ObjectKind::Commit, &commit(root, None, at, "catalog: Begins")).unwrap();
            let pack = packer.finish().unwrap();
            assert_eq!(pack.objects(), 4);
            let bytes = whole(pack).await;
            let repository = index(&bytes, &folder.path().join("it"));
            let commit = repository.find_commit(git2::Oid::from_str(&tip.to_string()).unwrap()).unwrap();
            let found = commit.tree().unwrap();
            assert_eq!(found.get_name("b").unwrap().id().to_string(), blob.to_string());
            assert_eq!(repository.find_blob(found.get_name("b").unwrap().id()).unwrap().content(), text);
            repository.reference("refs/heads/main", commit.id(), false, "").unwrap();
            let mut fsck = std::process::Command::new("git");
            let fsck = fsck.arg("-C").arg(repository.path()).args(["fsck", "--strict"]).status().unwrap();
            assert!(fsck.success());
        }
    }

    proptest! {
        #[test]
        fn a_tree_of_any_names_is_the_one_that_git_would_write(
            names in proptest::collection::btree_map("[a-zA-Z0-9._-]{1,6}", any::<bool>(), 0..12)
        ) {
            let names: Vec<_> = names.into_iter().filter(|(it, _)| it != "." && it != "..").collect();
            let folder = tempfile::tempdir().unwrap();
            let repository = git2::Repository::init_bare(folder.path()).unwrap();
            let empty = repository.treebuilder(None).unwrap().write().unwrap();
            let blob = repository.blob(b"x").unwrap();
            let mut builder = repository.treebuilder(None).unwrap();
            let mut entries = Vec::new();
            for (name, is_tree) in names {
                let (id, mode) = if is_tree { (empty, 0o040_000) } else { (blob, 0o100_644) };
                if builder.insert(&name, id, mode).is_ok() {
                    entries.push((name, Entry { is_tree, oid: id.to_string().parse().unwrap() }));
                }
            }
            entries.reverse();
            let ours = oid(ObjectKind::Tree, &tree(&entries));
            prop_assert_eq!(ours.to_string(), builder.write().unwrap().to_string());
        }
    }
}
