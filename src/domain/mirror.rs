//! A mirror: why it exists, where it stands, and what is not level.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::job::word;
use super::lfs::LfsOid;
use super::refs::{Oid, RefName};

/// Why a mirror exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MirrorSource)]
pub enum Source {
    /// A watched user starred it.
    Star,
    /// A batch call named it.
    Batch,
    /// Somebody asked for it by name.
    Manual,
    /// A user, an organization or an installation of the configuration's sources has it.
    Owned,
    /// The configuration's sources name it.
    Declared,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 5] = [Self::Star, Self::Batch, Self::Manual, Self::Owned, Self::Declared];

    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Star => "star",
            Self::Batch => "batch",
            Self::Manual => "manual",
            Self::Owned => "owned",
            Self::Declared => "declared",
        }
    }
}

/// Where a mirror stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MirrorStatus)]
pub enum Status {
    /// Known, never synced.
    Pending,
    /// Between the first write and the proof.
    Syncing,
    /// Verified level with upstream.
    Healthy,
    /// All that OneDev accepts is level; the rest is listed.
    Partial,
    /// The last sync failed; the reason is beside it.
    Error,
    /// Stopped by an admin or by a bound; nothing is synced.
    Paused,
    /// Un-starred; the copy stays, nothing is synced.
    Archived,
    /// Upstream vanished; the copy stays.
    Gone,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Syncing,
        Self::Healthy,
        Self::Partial,
        Self::Error,
        Self::Paused,
        Self::Archived,
        Self::Gone,
    ];

    /// The word in the database, the API and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Syncing => "syncing",
            Self::Healthy => "healthy",
            Self::Partial => "partial",
            Self::Error => "error",
            Self::Paused => "paused",
            Self::Archived => "archived",
            Self::Gone => "gone",
        }
    }

    /// Whether a routine check or an event may start a sync.
    pub fn is_synced(self) -> bool {
        match self {
            Self::Pending | Self::Syncing | Self::Healthy | Self::Partial | Self::Error | Self::Gone => true,
            Self::Paused | Self::Archived => false,
        }
    }
}

word!(Source, "source");
word!(Status, "status");

/// A thing that is not level: a ref by its name, an LFS object as `lfs:` and its id, an unreadable LFS
/// pointer as `lfs-pointer:` and git's id of the file. No ref's name has a colon, so none is taken for another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Item(String);

const OBJECT: &str = "lfs:";
const POINTER: &str = "lfs-pointer:";

impl Item {
    /// An LFS object.
    pub fn object(oid: LfsOid) -> Self {
        Self(format!("{OBJECT}{oid}"))
    }

    /// A pointer file that cannot be read.
    pub fn pointer(blob: Oid) -> Self {
        Self(format!("{POINTER}{blob}"))
    }

    /// That not everything was searched for LFS pointers.
    pub fn unsearched() -> Self {
        Self(format!("{OBJECT}unsearched"))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ref, if it is one.
    pub fn reference(&self) -> Option<RefName> {
        RefName::new(&self.0).ok()
    }

    /// Whether it is a pointer file that cannot be read.
    pub fn is_spoilt_pointer(&self) -> bool {
        self.0.starts_with(POINTER)
    }

    /// Whether it is about LFS.
    pub fn is_lfs(&self) -> bool {
        self.0.starts_with(OBJECT) || self.0.starts_with(POINTER)
    }
}

impl From<RefName> for Item {
    fn from(name: RefName) -> Self {
        Self(name.to_string())
    }
}

impl PartialEq<RefName> for Item {
    fn eq(&self, name: &RefName) -> bool {
        self.0 == name.as_str()
    }
}

impl std::fmt::Display for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What does not stand in OneDev as it does upstream, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotLevel {
    /// The ref upstream, or what else it is.
    #[serde(rename = "ref")]
    #[schema(value_type = String)]
    pub name: Item,
    /// What OneDev said, or the rule that kept it back.
    pub reason: String,
    /// The alias ref that holds its tip, if one could be made.
    #[schema(value_type = Option<String>)]
    pub alias: Option<RefName>,
}
