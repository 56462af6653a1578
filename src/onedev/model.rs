//! OneDev's JSON. A project keeps every field that starkeep does not know, since an update replaces
//! the whole of it: what is left out falls back to its default, `parentId` to the root.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::ids::ProjectId;
use crate::domain::naming::ProjectPath;

/// A project as `GET /~api/projects/{id}` tells it; posted back, it changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// Identity, until the server restarts after a deletion: ids are used again.
    pub id: ProjectId,
    /// The project it lies in. Must be in the answer: posted back without it, the project would move to
    /// the top.
    #[serde(deserialize_with = "present")]
    pub parent_id: Option<ProjectId>,
    /// The last segment of its path, as OneDev has it.
    pub name: String,
    /// Whole path, root included. Not necessarily one that starkeep would choose.
    pub path: String,
    /// Plain text, at most 15,000 UTF-16 units.
    pub description: Option<String>,
    /// Whether it has issues. Off for mirrors: "fixed #1" in a commit would change OneDev's issue 1.
    pub issue_management: bool,
    /// Everything else, kept as it came.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Project {
    /// Whether this is the project of that path.
    pub fn is_at(&self, path: &ProjectPath) -> bool {
        path.is(&self.path)
    }
}

/// Makes a field that may be null one that may not be absent.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<ProjectId>, D::Error> {
    Option::deserialize(deserializer)
}

/// The body that creates a project. The two empty objects are mandatory.
pub(super) fn new_project(parent: Option<ProjectId>, name: &str, description: Option<&str>) -> Value {
    serde_json::json!({
        "parentId": parent,
        "name": name,
        "description": description,
        "codeManagement": true,
        "packManagement": false,
        "issueManagement": false,
        "timeTracking": false,
        "gitPackConfig": {},
        "codeAnalysisSetting": {},
    })
}

/// An entry of `…/base-authorizations`: a role that everybody who logs in has on the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BaseAuthorization {
    pub(super) id: i64,
    pub(super) role_id: i64,
}

/// An entry of `/roles`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Role {
    pub(super) id: i64,
    pub(super) name: String,
}

/// A branch or tag.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefBody {
    pub(super) commit_hash: String,
}

/// A file at a commit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileBody {
    pub(super) base64_content: String,
    #[serde(default)]
    pub(super) is_partial: bool,
}

/// A version of OneDev.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    numbers: [u32; 3],
    text: String,
}

impl Version {
    /// Look-ups by path and the shape of a project's JSON are as starkeep needs them from here on.
    const OLDEST: [u32; 3] = [12, 0, 10];

    /// Reads `16.5.6`; whatever follows the third number is kept as text only.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_matches('"');
        let mut parts = text.splitn(3, '.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).map_or(part, |end| part.get(..end).unwrap_or(part));
            digits.parse::<u32>().ok()
        });
        let numbers = [parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?];
        Some(Self { numbers, text: text.chars().take(40).collect() })
    }

    /// Whether starkeep's calls exist in it.
    pub fn is_supported(&self) -> bool {
        self.numbers >= Self::OLDEST
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
