//! The files of one unit: its JSON, its page for people, and the folder around them. Blocks.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::catalog::markdown::{self, Thread};
use crate::domain::catalog::objects::{Entry, ObjectKind, tree};
use crate::domain::catalog::{Kind, Unit, layout};
use crate::domain::lfs::Pointer;
use crate::git::{Packer, WireError};
use crate::store::catalog::entries::Change;
use crate::store::catalog::items::Stored;

/// Packs what a unit is made of and says where it stands, and what stands there no more. `releases` are
/// the folders that stand below `releases/` so far.
pub(super) fn write(
    packer: &mut Packer,
    unit: Unit,
    items: &[Stored],
    files: &[(String, Pointer)],
    releases: &[String],
) -> Result<Vec<Change>, WireError> {
    match unit {
        Unit::Repository => file(packer, "", "repository.json", items),
        Unit::Milestone(number) => file(packer, "milestones", &layout::milestone(number), items),
        Unit::Labels => labels(packer, items),
        Unit::Release(id) => release(packer, id, items, files, releases),
        Unit::Thread(number) => thread(packer, number, items, files),
    }
}

/// One item that is one file.
fn file(packer: &mut Packer, folder: &str, name: &str, items: &[Stored]) -> Result<Vec<Change>, WireError> {
    let entry = items.first().map(|it| blob(packer, it)).transpose()?;
    Ok(vec![(folder.to_owned(), name.to_owned(), entry)])
}

/// An item's file; what stands in OneDev already is not sent again.
fn blob(packer: &mut Packer, item: &Stored) -> Result<Entry, WireError> {
    if !item.is_published {
        packer.add(ObjectKind::Blob, item.text.as_bytes())?;
    }
    Ok(Entry::file(item.oid))
}

/// All labels in one file: there are few, and they are of use together only.
fn labels(packer: &mut Packer, items: &[Stored]) -> Result<Vec<Change>, WireError> {
    let place = |entry| vec![(String::new(), "labels.json".to_owned(), entry)];
    if items.is_empty() {
        return Ok(place(None));
    }
    let mut all: Vec<Value> = items.iter().map(parsed).collect();
    all.sort_by_key(|it| it.get("name").and_then(Value::as_str).unwrap_or_default().to_owned());
    let mut text = serde_json::to_string_pretty(&all).unwrap_or_default();
    text.push('\n');
    Ok(place(Some(Entry::file(packer.add(ObjectKind::Blob, text.as_bytes())?))))
}

fn release(
    packer: &mut Packer,
    id: i64,
    items: &[Stored],
    files: &[(String, Pointer)],
    standing: &[String],
) -> Result<Vec<Change>, WireError> {
    let top = || "releases".to_owned();
    // Its tag may have been another one before.
    let mark = layout::release_mark(id);
    let mut changes: Vec<Change> =
        standing.iter().filter(|it| it.ends_with(&mark)).map(|it| (top(), it.clone(), None)).collect();
    let Some(item) = items.first() else { return Ok(changes) };
    let value = parsed(item);
    let page = packer.add(ObjectKind::Blob, markdown::release(&value).as_bytes())?;
    let mut entries =
        vec![("release.json".to_owned(), blob(packer, item)?), ("release.md".to_owned(), Entry::file(page))];
    entries.extend(pointers(packer, "assets", files)?);
    let folder = packer.add(ObjectKind::Tree, &tree(&entries))?;
    let name = layout::release(id, value.get("tag_name").and_then(Value::as_str).unwrap_or_default());
    changes.retain(|(_, it, _)| *it != name);
    changes.push((top(), name, Some(Entry::folder(folder))));
    Ok(changes)
}

fn thread(
    packer: &mut Packer,
    number: i64,
    items: &[Stored],
    files: &[(String, Pointer)],
) -> Result<Vec<Change>, WireError> {
    let mut its = Thread::default();
    let mut folders: BTreeMap<&str, Vec<(String, Entry)>> = BTreeMap::new();
    let mut top = Vec::new();
    for item in items {
        let entry = blob(packer, item)?;
        match layout::in_thread(item.kind, item.id) {
            (Some(folder), name) => folders.entry(folder).or_default().push((name, entry)),
            (None, name) => top.push((name, entry)),
        }
        match item.kind {
            Kind::Issue => its.issue = Some(parsed(item)),
            Kind::Pull => its.pull = Some(parsed(item)),
            _ => its.remarks.push(parsed(item)),
        }
    }
    let is_pull = its.pull.is_some()
        || its.issue.as_ref().is_some_and(|it| it.get("pull_request").is_some_and(|it| !it.is_null()));
    let (folder, name) = layout::thread(number, is_pull);
    let (other, _) = layout::thread(number, !is_pull);
    // An issue may become a pull request.
    let mut changes = vec![(other, name.clone(), None)];
    // Remarks may be met before what they belong to; that brings them along.
    if top.is_empty() {
        changes.push((folder, name, None));
        return Ok(changes);
    }
    let page = packer.add(ObjectKind::Blob, markdown::thread(&mut its).as_bytes())?;
    top.push((if is_pull { "pull.md" } else { "issue.md" }.to_owned(), Entry::file(page)));
    for (folder, entries) in folders {
        top.push((folder.to_owned(), Entry::folder(packer.add(ObjectKind::Tree, &tree(&entries))?)));
    }
    top.extend(pointers(packer, "attachments", files)?);
    let whole = packer.add(ObjectKind::Tree, &tree(&top))?;
    changes.push((folder, name, Some(Entry::folder(whole))));
    Ok(changes)
}

/// A folder of pointers to LFS objects, if there are any.
fn pointers(
    packer: &mut Packer,
    folder: &str,
    files: &[(String, Pointer)],
) -> Result<Option<(String, Entry)>, WireError> {
    if files.is_empty() {
        return Ok(None);
    }
    let mut entries = Vec::with_capacity(files.len());
    for (name, pointer) in files {
        entries.push((name.clone(), Entry::file(packer.add(ObjectKind::Blob, &pointer.to_bytes())?)));
    }
    Ok(Some((folder.to_owned(), Entry::folder(packer.add(ObjectKind::Tree, &tree(&entries))?))))
}

/// What git-lfs needs to know to show the files instead of their pointers.
pub(super) const ATTRIBUTES: &[u8] = b"releases/*/assets/* filter=lfs diff=lfs merge=lfs -text\n\
      issues/*/*/attachments/* filter=lfs diff=lfs merge=lfs -text\n\
      pulls/*/*/attachments/* filter=lfs diff=lfs merge=lfs -text\n";

/// Texts of ours are JSON; a damaged one shows as nothing on the page and as it is in its file.
pub(super) fn parsed(item: &Stored) -> Value {
    serde_json::from_str(&item.text).unwrap_or_default()
}
