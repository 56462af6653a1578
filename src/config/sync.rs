//! `sync.*`: how refs and packs are moved.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::domain::refs::RefPattern;

/// The `sync` section.
#[derive(Debug, Clone)]
pub struct Sync {
    /// Jobs at once in this process.
    pub workers: usize,
    /// How long a claim lasts without a heartbeat; renewed every third of it.
    pub lease: Duration,
    /// How often an unchanged mirror is looked at.
    pub interval: Duration,
    /// The refs that are mirrored.
    pub refs: Vec<RefPattern>,
    /// Bytes of packs held in memory, over the whole process.
    pub spool_memory: u64,
    /// Where larger packs are spooled, in unnamed files. The system's temporary folder by default.
    pub spool_dir: Option<PathBuf>,
    /// Bytes a second from which a pack that outgrew the memory is streamed straight through; `None` is off.
    pub stream_above: Option<u64>,
    /// What happens to refs in OneDev that starkeep never put there and upstream lacks.
    pub foreign_refs: ForeignRefs,
    /// A sync is given up after this.
    pub timeout: Duration,
    /// A sync in which no byte moved for so long is given up.
    pub stall_timeout: Duration,
    /// Keep the old tip of what upstream overwrote or deleted.
    pub keep_overwritten: bool,
    /// Larger upstreams are paused. Bytes.
    pub max_bytes: Option<u64>,
}

/// What happens to foreign refs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForeignRefs {
    /// They stay.
    #[default]
    Keep,
    /// They go; their tips are kept.
    Prune,
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            workers: 4,
            lease: Duration::from_secs(15),
            interval: Duration::from_secs(3600),
            refs: ["refs/heads/*", "refs/tags/*", "refs/notes/*"].iter().filter_map(|it| it.parse().ok()).collect(),
            spool_memory: 16 << 20,
            spool_dir: None,
            stream_above: Some(20 << 20),
            foreign_refs: ForeignRefs::default(),
            timeout: Duration::from_secs(1800),
            stall_timeout: Duration::from_secs(60),
            keep_overwritten: true,
            max_bytes: None,
        }
    }
}
