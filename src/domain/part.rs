//! The parts of a mirror: its code, and what GitHub keeps beside it in repositories of its own.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ids::MirrorId;
use super::job::word;

/// A part of a mirror: one repository at GitHub, one project in OneDev.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PartKind)]
pub enum Part {
    /// The repository itself.
    #[default]
    Code,
    /// `owner/name.wiki.git`, in the project `wiki` below the mirror's.
    Wiki,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 2] = [Self::Code, Self::Wiki];

    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Wiki => "wiki",
        }
    }
}

/// One part of one mirror. A mirror's id alone means its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId {
    /// The mirror.
    pub mirror: MirrorId,
    /// Its part.
    pub part: Part,
}

impl PartId {
    /// A mirror's wiki.
    pub fn wiki(mirror: MirrorId) -> Self {
        Self { mirror, part: Part::Wiki }
    }
}

impl From<MirrorId> for PartId {
    fn from(mirror: MirrorId) -> Self {
        Self { mirror, part: Part::Code }
    }
}

/// Where a part other than the code stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// To be looked at for the first time.
    Pending,
    /// Upstream has none, and never had one that was mirrored.
    Absent,
    /// Verified level with upstream.
    Healthy,
    /// All that OneDev accepts is level; the rest is listed.
    Partial,
    /// The last look failed; the reason is beside it.
    Error,
    /// Upstream has none any more; the copy stays.
    Gone,
}

impl PartState {
    /// Every state.
    pub const ALL: [Self; 6] = [Self::Pending, Self::Absent, Self::Healthy, Self::Partial, Self::Error, Self::Gone];

    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Absent => "absent",
            Self::Healthy => "healthy",
            Self::Partial => "partial",
            Self::Error => "error",
            Self::Gone => "gone",
        }
    }
}

word!(Part, "part");
word!(PartState, "state of a part");
