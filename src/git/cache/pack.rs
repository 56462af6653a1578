//! Packs out of a copy: for OneDev, or as the copy's only one. Everything here blocks.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use git2::{Indexer, ObjectType, PackBuilder, Repository};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Trouble;
use super::copy::{Copy, theirs};
use super::intake::append;
use crate::domain::refs::Oid;
use crate::git::pack::EMPTY;

/// What is handed on at once.
const BLOCK: usize = 64 * 1024;

/// Makes a pack and hands it on in pieces; answers how many objects it holds.
pub(super) fn build(
    copy: &Copy,
    wants: &[Oid],
    haves: &[Oid],
    tell: &mpsc::Sender<Bytes>,
    called_off: &CancellationToken,
) -> Result<u32, Trouble> {
    let stop = || Trouble::Disk(std::io::Error::other("making the pack was called off"));
    let mut builder = filled(copy.repository(), wants, haves)?;
    if builder.object_count() == 0 {
        return tell.blocking_send(Bytes::from_static(EMPTY)).map(|()| 0).map_err(|_| stop());
    }
    let watched = called_off.clone();
    builder.set_progress_callback(move |_, _, _| !watched.is_cancelled())?;
    let mut block = BytesMut::with_capacity(BLOCK);
    let made = builder.foreach(|piece| {
        block.extend_from_slice(piece);
        block.len() < BLOCK || tell.blocking_send(block.split().freeze()).is_ok()
    });
    if called_off.is_cancelled() || tell.is_closed() {
        return Err(stop());
    }
    made?;
    if !block.is_empty() {
        tell.blocking_send(block.freeze()).map_err(|_| stop())?;
    }
    Ok(u32::try_from(builder.object_count()).unwrap_or(u32::MAX))
}

/// Writes a pack of all that `tips` reach into a folder, with its index; answers its name.
pub(super) fn write(copy: &Copy, tips: &[Oid], folder: &Path) -> Result<Option<String>, Trouble> {
    let mut builder = filled(copy.repository(), tips, &[])?;
    if builder.object_count() == 0 {
        return Ok(None);
    }
    let odb = copy.repository().odb()?;
    let mut indexer = Indexer::new(Some(&odb), folder, 0, false)?;
    let mut failed = None;
    let made = builder.foreach(|piece| {
        failed = append(&mut indexer, piece).err();
        failed.is_none()
    });
    if let Some(trouble) = failed {
        return Err(trouble);
    }
    made?;
    Ok(Some(indexer.commit()?))
}

fn filled<'a>(repository: &'a Repository, wants: &[Oid], haves: &[Oid]) -> Result<PackBuilder<'a>, Trouble> {
    let mut builder = repository.packbuilder()?;
    builder.set_threads(1);
    let mut walk = repository.revwalk()?;
    let mut walks = false;
    for want in wants {
        let mut object = repository.find_object(theirs(*want), None)?;
        // A tag may point at a tag.
        while let Some(tag) = object.as_tag() {
            builder.insert_object(tag.id(), None)?;
            let target = tag.target()?;
            object = target;
        }
        match object.kind() {
            Some(ObjectType::Commit) => {
                walk.push(object.id())?;
                walks = true;
            }
            Some(ObjectType::Tree) => builder.insert_tree(object.id())?,
            _ => builder.insert_object(object.id(), None)?,
        }
    }
    for have in haves {
        // What OneDev has and the copy lacks says nothing about what it has in common with it.
        if let Ok(commit) = repository.find_object(theirs(*have), None).and_then(|it| it.peel_to_commit()) {
            walk.hide(commit.id())?;
        }
    }
    if walks {
        builder.insert_walk(&mut walk)?;
    }
    Ok(builder)
}
