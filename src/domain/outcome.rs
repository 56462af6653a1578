//! What a sync or a comparison found and moved.

use chrono::{DateTime, Utc};

use super::kept;
use super::lfs::LfsOid;
use super::mirror::NotLevel;
use super::plan::Difference;
use super::refs::{Oid, RefName};

/// A sync that ended with a proof.
#[derive(Debug, Clone)]
pub struct Synced {
    /// Digest of upstream's managed refs and HEAD: what both sides were seen to hold.
    pub digest: String,
    /// Both sides were read; otherwise only upstream was, and its digest is the one last proven.
    pub both_read: bool,
    /// Tip of the default branch.
    pub head: Option<Oid>,
    /// The default branch, as it stands in OneDev.
    pub default_branch: Option<String>,
    /// Where HEAD points upstream.
    pub upstream_head: Option<RefName>,
    /// Managed refs upstream.
    pub ref_count: usize,
    /// Refs whose real name does not stand in OneDev as it does upstream.
    pub not_level: Vec<NotLevel>,
    /// When the first LFS object that could not be brought is tried again.
    pub retry_at: Option<DateTime<Utc>>,
    /// What was moved.
    pub stats: Stats,
}

/// What a transfer moved.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Bytes of packs from GitHub.
    pub bytes_in: u64,
    /// Bytes of packs to OneDev.
    pub bytes_out: u64,
    /// Objects in those packs.
    pub objects: u64,
    /// Refs made.
    pub created: usize,
    /// Refs moved.
    pub moved: usize,
    /// Refs deleted.
    pub deleted: usize,
    /// Kept refs made.
    pub kept: usize,
    /// Alias refs made or moved.
    pub aliased: usize,
    /// LFS objects brought.
    pub lfs_objects: u64,
    /// The first [`MOST_CHANGES`] of them, as `+ref oid`, `~ref old new`, `-ref old`.
    pub changes: Vec<String>,
}

/// So many changes are listed in a sync's history; the counts tell all.
pub const MOST_CHANGES: usize = 200;

impl Stats {
    /// Whether anything was written.
    pub fn changed(&self) -> bool {
        self.created + self.moved + self.deleted + self.kept + self.aliased > 0 || self.lfs_objects > 0
    }

    /// Notes LFS objects that were brought.
    pub fn note_lfs(&mut self, objects: u64, bytes: u64) {
        if objects > 0 {
            self.lfs_objects += objects;
            self.bytes_in += bytes;
            self.bytes_out += bytes;
            self.changes.push(format!("lfs {objects} objects of {bytes} bytes"));
        }
    }

    /// Notes one ref that was pushed.
    pub fn note(&mut self, at: &RefName, old: Option<Oid>, new: Option<Oid>) {
        let line = match (old, new) {
            (None, Some(new)) => format!("+{at} {new}"),
            (Some(old), Some(new)) => format!("~{at} {old} {new}"),
            (old, None) => format!("-{at} {}", old.unwrap_or(Oid::ZERO)),
        };
        let alias = kept::aliased(at).is_some();
        match (old, new) {
            (_, Some(_)) if alias => self.aliased += 1,
            (None, Some(_)) => self.created += 1,
            (Some(_), Some(_)) => self.moved += 1,
            (_, None) => self.deleted += 1,
        }
        if self.changes.len() < MOST_CHANGES {
            self.changes.push(line);
        }
    }
}

/// What a comparison found.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Digest of upstream's managed refs and HEAD.
    pub digest: String,
    /// Managed refs upstream.
    pub ref_count: usize,
    /// Where HEAD points upstream.
    pub upstream_head: Option<RefName>,
    /// Tip of the default branch.
    pub head: Option<Oid>,
    /// Refs that stand otherwise in OneDev.
    pub differences: Vec<Difference>,
    /// Refs that are level under an alias only.
    pub not_level: Vec<NotLevel>,
    /// OneDev's default branch where it is not upstream's: (upstream's, OneDev's).
    pub default_branch: Option<(String, Option<String>)>,
    /// LFS objects that OneDev should have and does not.
    pub lost_objects: Vec<LfsOid>,
    /// The catalog's ref, if it does not stand where starkeep put it. That says nothing about the mirror.
    pub catalog: Option<Moved>,
}

/// A ref of starkeep's own that does not stand where it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Which.
    pub name: RefName,
    /// Where it was put.
    pub expected: Oid,
    /// Where it stands; `None`: it is gone.
    pub found: Option<Oid>,
}

impl Comparison {
    /// Whether both sides hold the same.
    pub fn is_level(&self) -> bool {
        self.differences.is_empty() && self.default_branch.is_none() && self.lost_objects.is_empty()
    }
}
