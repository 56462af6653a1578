//! What a project says of its own mirror: the files of the commit at `refs/starkeep/origin`.
//!
//! Everything that cannot be learnt anew from GitHub and OneDev stands here, so that a lost database can be
//! rebuilt from OneDev alone. Written by the `mark` job, read by `adopt` and when a project of unknown origin
//! is in the way of a new mirror.

mod lists;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ids::{AccountId, GithubId, MirrorId};
use super::kept::KeptRef;
use super::mirror::{NotLevel, Source, Status};
use super::part::PartState;
use super::refs::{Oid, RefName, RefPattern};
use super::repository::RepositoryName;

pub use lists::{Lists, MOST_OBJECTS, objects_text, ours, read_objects, read_refs, refs_text};

/// The ref that holds the marker. Its history is the history of the mirror.
pub const REF: &str = "refs/starkeep/origin";
/// The file that holds a [`Marker`], as JSON.
pub const FACTS_FILE: &str = "starkeep.json";
/// The file that says where each ref was put, as lines of `oid name`.
pub const REFS_FILE: &str = "refs";
/// The same for the wiki.
pub const WIKI_REFS_FILE: &str = "wiki-refs";
/// The file that lists LFS objects, as lines of `oid size state`.
pub const OBJECTS_FILE: &str = "lfs";
/// The file for people.
pub const README_FILE: &str = "README.md";
/// The form of the marker that this version writes; a reader refuses later ones.
pub const VERSION: u32 = 1;

/// A mirror as its project tells of it. Fields that a reader does not know are passed over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Marker {
    /// The form; see [`VERSION`].
    pub version: u32,
    /// starkeep's id of the mirror.
    pub mirror: MirrorId,
    /// The upstream.
    pub github: Origin,
    /// Why the mirror exists.
    pub source: Source,
    /// Where it stands.
    pub status: Status,
    /// What it was before somebody paused it.
    pub paused_from: Option<Status>,
    /// Why it stands so, where that is no passing matter.
    pub error: Option<Trouble>,
    /// When it became known.
    pub created_at: DateTime<Utc>,
    /// When it was first proven level.
    pub first_proof_at: Option<DateTime<Utc>>,
    /// When the star was taken back.
    pub unstarred_at: Option<DateTime<Utc>>,
    /// The project was made by starkeep.
    pub made_project: bool,
    /// Which watched accounts star it.
    pub stars: Vec<Star>,
    /// How it is synced, as far as that says what its refs mean.
    pub settings: Settings,
    /// What GitHub last told.
    pub upstream: Option<Described>,
    /// Refs that do not stand in OneDev as they do upstream.
    pub not_level: Vec<NotLevel>,
    /// Old tips that were kept.
    pub kept: Vec<KeptSince>,
    /// The last proof when this was written.
    pub proof: Option<Proved>,
    /// The wiki, if there is a copy of one.
    #[serde(default)]
    pub wiki: Option<MarkedWiki>,
    /// What git does not carry, if it is kept.
    #[serde(default)]
    pub catalog: Option<MarkedCatalog>,
    /// Everything that was mirrored was searched for LFS pointers, so that the list of objects is whole. `None`:
    /// there is no list.
    #[serde(default)]
    pub lfs_searched: Option<bool>,
}

/// A mirror's wiki.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MarkedWiki {
    /// Full path of its project.
    pub path: String,
    /// Where it stands.
    pub state: PartState,
    /// The project was made by starkeep.
    pub made_project: bool,
    /// When it was first proven level.
    pub first_proof_at: Option<DateTime<Utc>>,
    /// Refs that do not stand in OneDev as they do upstream.
    pub not_level: Vec<NotLevel>,
    /// Old tips that were kept.
    pub kept: Vec<KeptSince>,
    /// The last proof when this was written.
    pub proof: Option<Proved>,
}

/// A mirror's catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkedCatalog {
    /// The ref that holds it.
    pub name: RefName,
    /// The commit that stood there.
    pub commit: Oid,
    /// Since when.
    pub at: DateTime<Utc>,
    /// Commits so far.
    pub commits: u64,
    /// When everything was last listed at GitHub; `None`: not all of it was read yet.
    pub swept_at: Option<DateTime<Utc>>,
}

/// Who the upstream is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// GitHub's numeric id: the identity.
    pub id: GithubId,
    /// The GitHub it is at, as `https://github.com`.
    pub instance: String,
    /// The name when this was written.
    pub repository: RepositoryName,
    /// Names it had before, the latest first.
    pub former: Vec<Former>,
}

/// A name that an upstream had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Former {
    /// The name.
    pub repository: RepositoryName,
    /// When it was last its name.
    pub until: DateTime<Utc>,
}

/// A failure that is a standing fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    /// A short stable word.
    pub code: String,
    /// For people.
    pub message: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// A watched account that stars the upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Star {
    /// GitHub's id of the account.
    pub account: AccountId,
    /// The login under which it is watched.
    pub login: Option<String>,
    /// When starkeep heard of the star.
    pub at: DateTime<Utc>,
}

/// What the refs of the project depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// `sync.refs`: which refs are mirrored.
    pub refs: Vec<RefPattern>,
    /// `sync.foreign_refs` is `prune`.
    pub prune_foreign: bool,
    /// `sync.keep_overwritten`.
    pub keep_overwritten: bool,
}

/// What GitHub last told of the upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Described {
    /// Only collaborators see it.
    pub private: bool,
    /// Read-only.
    pub archived: bool,
    /// Switched off by GitHub.
    pub disabled: bool,
    /// A fork.
    pub fork: bool,
    /// Size in KiB.
    pub size_kib: i64,
    /// The default branch's name.
    pub default_branch: Option<String>,
    /// The line under the title.
    pub description: Option<String>,
    /// When something was last pushed.
    pub pushed_at: Option<DateTime<Utc>>,
}

/// A kept ref and since when it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptSince {
    /// Ref, kept ref, tip and reason.
    #[serde(flatten)]
    pub kept: KeptRef,
    /// Since when.
    pub at: DateTime<Utc>,
}

/// What was proven.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proved {
    /// Digest of the managed refs and HEAD.
    pub digest: String,
    /// When.
    pub verified_at: DateTime<Utc>,
    /// Where HEAD pointed upstream.
    pub head: Option<RefName>,
    /// The default branch as it stood in OneDev.
    pub default_branch: Option<String>,
    /// The commit of HEAD.
    pub tip: Option<Oid>,
    /// Managed refs.
    pub ref_count: i64,
}

/// Why a marker cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON of the form that is known.
    #[error("its {FACTS_FILE} is not one that this version of starkeep understands: {0}")]
    Malformed(String),
    /// A later version of starkeep wrote it.
    #[error("a later version of starkeep wrote it (form {0}, this one knows {VERSION})")]
    Later(u32),
    /// Its list of refs is not one.
    #[error("line {0} of its list of refs is not `oid name`")]
    Refs(usize),
    /// Its list of LFS objects is not one.
    #[error("line {0} of its list of LFS objects is not `oid size state`")]
    Objects(usize),
}

impl Marker {
    /// The text of [`FACTS_FILE`]: indented, each field on its line, so that its history can be read.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads [`FACTS_FILE`].
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Form {
            version: u32,
        }
        let malformed = |error: serde_json::Error| Unreadable::Malformed(error.to_string());
        let Form { version } = serde_json::from_slice(bytes).map_err(malformed)?;
        if version > VERSION {
            return Err(Unreadable::Later(version));
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }

    /// Tells whether two markers say the same, the times of looks that found no change aside.
    pub fn content(&self, lists: &Lists) -> String {
        let mut same = self.clone();
        let wikis = same.wiki.as_mut().and_then(|it| it.proof.as_mut());
        for proof in same.proof.iter_mut().chain(wikis) {
            proof.verified_at = DateTime::UNIX_EPOCH;
        }
        if let Some(swept_at) = same.catalog.as_mut().and_then(|it| it.swept_at.as_mut()) {
            *swept_at = DateTime::UNIX_EPOCH;
        }
        let mut hash = Sha256::new();
        for (name, text) in same.files(lists) {
            hash.update(format!("{name} {}\n", text.len()));
            hash.update(text);
        }
        hex::encode(hash.finalize())
    }

    /// Every file of the commit, by name.
    pub fn files(&self, lists: &Lists) -> Vec<(&'static str, String)> {
        let Lists { put, wiki, objects } = lists;
        let mut files = vec![(FACTS_FILE, self.to_text()), (REFS_FILE, refs_text(put)), (README_FILE, self.readme())];
        if self.wiki.is_some() {
            files.push((WIKI_REFS_FILE, refs_text(wiki)));
        }
        if !objects.is_empty() {
            files.push((OBJECTS_FILE, objects_text(objects)));
        }
        files
    }

    /// The text of [`README_FILE`].
    pub fn readme(&self) -> String {
        let Origin { id, instance, repository, .. } = &self.github;
        format!(
            "# {repository}\n\n\
             This project is a mirror of {instance}/{repository} (GitHub's id {id}), kept by starkeep.\n\n\
             - `{FACTS_FILE}`: what starkeep knows of the mirror; `starkeep adopt` rebuilds a lost database from it\n\
             - `{REFS_FILE}`, `{WIKI_REFS_FILE}`: where starkeep put each ref of repository and wiki\n\
             - `{OBJECTS_FILE}`: the LFS objects that files name\n\n\
             Old tips stand below `refs/starkeep/kept/`, refs whose names OneDev refuses below\n\
             `refs/starkeep/alias/`. Do not move or delete what is below `refs/starkeep/`.\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marker() -> Marker {
        let at = DateTime::UNIX_EPOCH;
        Marker {
            version: VERSION,
            mirror: MirrorId(uuid::Uuid::nil()),
            github: Origin {
                id: GithubId(7),
                instance: "https://github.com".to_owned(),
                repository: "octo/hello".parse().unwrap(),
                former: vec![Former { repository: "octo/hi".parse().unwrap(), until: at }],
            },
            source: Source::Star,
            status: Status::Healthy,
            paused_from: None,
            error: None,
            created_at: at,
            first_proof_at: Some(at),
            unstarred_at: None,
            made_project: true,
            stars: vec![Star { account: AccountId(3), login: Some("fan".to_owned()), at }],
            settings: Settings {
                refs: vec!["refs/heads/*".parse().unwrap()],
                prune_foreign: false,
                keep_overwritten: true,
            },
            upstream: None,
            not_level: Vec::new(),
            kept: Vec::new(),
            proof: Some(Proved {
                digest: "d".to_owned(),
                verified_at: at,
                head: Some(RefName::new("refs/heads/main").unwrap()),
                default_branch: Some("main".to_owned()),
                tip: Some(Oid::ZERO),
                ref_count: 1,
            }),
            wiki: None,
            catalog: Some(MarkedCatalog {
                name: RefName::new("refs/starkeep/meta").unwrap(),
                commit: Oid::ZERO,
                at,
                commits: 1,
                swept_at: Some(at),
            }),
            lfs_searched: Some(true),
        }
    }

    #[test]
    fn a_marker_from_before_wikis_were_told_is_read() {
        let mut text: serde_json::Value = serde_json::from_str(&marker().to_text()).unwrap();
        for field in ["wiki", "catalog", "lfs_searched"] {
            text.as_object_mut().unwrap().remove(field);
        }
        let read = Marker::read(text.to_string().as_bytes()).unwrap();
        assert_eq!((read.wiki, read.catalog, read.lfs_searched), (None, None, None));
    }

    #[test]
    fn a_marker_reads_back_as_it_was_written() {
        assert_eq!(Marker::read(marker().to_text().as_bytes()), Ok(marker()));
        assert!(marker().readme().contains("octo/hello"));
    }

    #[test]
    fn the_time_of_a_proof_alone_makes_no_other_marker_but_everything_else_does() {
        let (one, refs) = (marker(), Lists::default());
        let mut other = one.clone();
        other.proof.as_mut().unwrap().verified_at = Utc::now();
        other.catalog.as_mut().unwrap().swept_at = Some(Utc::now());
        assert_eq!(one.content(&refs), other.content(&refs));
        other.status = Status::Archived;
        assert_ne!(one.content(&refs), other.content(&refs));
        let moved = Lists { put: [(RefName::new("refs/heads/main").unwrap(), Oid::ZERO)].into(), ..Lists::default() };
        assert_ne!(one.content(&refs), one.content(&moved));
    }

    #[test]
    fn a_later_form_is_refused_and_an_unknown_field_is_not() {
        let mut text: serde_json::Value = serde_json::from_str(&marker().to_text()).unwrap();
        text["something_new"] = true.into();
        assert_eq!(Marker::read(text.to_string().as_bytes()), Ok(marker()));
        text["version"] = 2.into();
        assert_eq!(Marker::read(text.to_string().as_bytes()), Err(Unreadable::Later(2)));
        assert!(matches!(Marker::read(b"{}"), Err(Unreadable::Malformed(_))));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,200}") {
            let _ = Marker::read(text.as_bytes());
        }
    }
}
