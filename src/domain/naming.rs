//! Where a mirror goes in OneDev: from GitHub's `owner/name` to the path of a project.
//!
//! OneDev's REST creates a project of any name, but its pages and its git addresses reach only some
//! of them: a segment is `\w[\w-.]*` in ASCII and none of OneDev's reserved words. What GitHub allows
//! beyond that is escaped. Both sides ignore case, so everything here does: two names give the same
//! path exactly when GitHub takes them for the same name.
//!
//! The escape, in full: a segment that, after its leading underscores, starts with `-` or `.` or is a
//! reserved word gets one more `_` in front; one that, before its trailing underscores, ends in `.git`
//! or `-gh<digits>` gets one more `_` at the end. Underscores that were there stay, hence nothing
//! collides: `.github` is `_.github`, and `_.github` is `__.github`. OneDev strips `.git` off a git
//! address, and looks a project of the unstripped name up first: `tool.git` would take the place of
//! `tool`. And `-gh<id>` is ours, for the second choice of a path.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids::GithubId;
use super::repository::RepositoryName;

/// A whole project path has at most so many characters; OneDev answers more with a bare 500.
pub const LONGEST_PATH: usize = 255;

/// Longest owner and name, as [`RepositoryName`] accepts them.
const LONGEST_OWNER: usize = 39;
const LONGEST_NAME: usize = 100;
/// What `{list}` is for a repository in no list; no list's own folder.
pub const UNLISTED: &str = "unlisted";
/// Longest folder of a list, as `star_lists::folder` gives them.
pub(super) const LONGEST_LIST: usize = 40;
/// One `_` in front and one behind.
const LONGEST_ESCAPE: usize = 2;
/// `-gh` and the digits of the greatest id.
const LONGEST_SUFFIX: usize = 3 + 19;

/// The project of a mirror's wiki, below the mirror's own.
const WIKI: &str = "wiki";

/// Words that OneDev keeps for its own pages and site assets. It compares them with case; here case is
/// ignored, since paths are found without it.
const RESERVED: [&str; 11] = [
    "robots.txt",
    "sitemap.xml",
    "sitemap.txt",
    "favicon.ico",
    "favicon.png",
    "logo.png",
    "logo-dark.png",
    "wicket",
    "projects",
    "avatars",
    "prefetch.json",
];

/// OneDev reads a git address that starts with this word in a way of its own.
const FAKED_OWNER: &str = "faked-owner-of-onedev-project";

/// The path of a project in OneDev, root included: legal segments, at most [`LONGEST_PATH`]
/// characters. Compared without case, as OneDev does.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectPath(String);

/// Why a text is no path of a project that starkeep would use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no project path: {reason}")]
pub struct InvalidProjectPath {
    text: String,
    reason: String,
}

impl ProjectPath {
    /// The segments, the outermost project first. There is at least one.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The path of the project that this one lies in; `None` for one that lies in no other.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// The project's own name: the last segment.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// The path as OneDev writes it, `github/octocat/hello-world`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the wiki of the mirror at this path goes.
    ///
    /// # Errors
    /// [`InvalidProjectPath`] where that would be too long; the naming rule leaves room for it.
    pub fn wiki(&self) -> Result<Self, InvalidProjectPath> {
        format!("{self}/{WIKI}").parse()
    }

    /// The second choice for it, `wiki-gh<id>`.
    ///
    /// # Errors
    /// [`InvalidProjectPath`] where that would be too long.
    pub fn suffixed_wiki(&self, id: GithubId) -> Result<Self, InvalidProjectPath> {
        format!("{self}/{WIKI}-gh{id}").parse()
    }

    /// Whether this project lies in `ancestor`, at any depth. A path is not below itself.
    pub fn is_below(&self, ancestor: &Self) -> bool {
        match (self.0.get(..ancestor.0.len()), self.0.get(ancestor.0.len()..)) {
            (Some(head), Some(tail)) => head.eq_ignore_ascii_case(&ancestor.0) && tail.starts_with('/'),
            _ => false,
        }
    }

    /// Whether OneDev means this project by `text`.
    pub fn is(&self, text: &str) -> bool {
        self.0.eq_ignore_ascii_case(text)
    }
}

impl FromStr for ProjectPath {
    type Err = InvalidProjectPath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason: String| InvalidProjectPath { text: clip(text), reason };
        if let Some((segment, why)) = text.split('/').find_map(|it| illegal(it).map(|why| (it, why))) {
            return Err(invalid(format!("the segment `{}` {why}", clip(segment))));
        }
        if text.split('/').next().is_some_and(|it| it.eq_ignore_ascii_case(FAKED_OWNER)) {
            return Err(invalid("OneDev reads git addresses of that first segment differently".to_owned()));
        }
        if text.len() > LONGEST_PATH {
            return Err(invalid(format!("it has {} characters, OneDev takes {LONGEST_PATH}", text.len())));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ProjectPath {
    type Error = InvalidProjectPath;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ProjectPath> for String {
    fn from(path: ProjectPath) -> Self {
        path.0
    }
}

impl fmt::Display for ProjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ProjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for ProjectPath {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl Eq for ProjectPath {}

/// Why a segment cannot stand in a path; `None` if it can.
fn illegal(segment: &str) -> Option<&'static str> {
    if segment.is_empty() {
        return Some("is empty");
    }
    if segment == "." || segment == ".." {
        return Some("leads elsewhere");
    }
    if !segment.bytes().all(is_segment_byte) || opens_badly(segment) {
        return Some("must be ASCII letters, digits, `_`, `-` or `.`, the first a letter, a digit or `_`");
    }
    if is_reserved(segment) {
        return Some("is a word that OneDev keeps for itself");
    }
    if is_git_suffixed(segment) {
        return Some("ends in `.git`, which OneDev strips off git addresses");
    }
    None
}

fn is_segment_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn opens_badly(segment: &str) -> bool {
    segment.starts_with(['-', '.'])
}

fn is_reserved(segment: &str) -> bool {
    RESERVED.iter().any(|word| word.eq_ignore_ascii_case(segment))
}

fn is_git_suffixed(segment: &str) -> bool {
    segment.to_ascii_lowercase().ends_with(".git")
}

/// Whether it looks like a second choice of ours, `name-gh<digits>`.
fn is_id_suffixed(segment: &str) -> bool {
    let front = segment.trim_end_matches(|c: char| c.is_ascii_digit());
    front.len() < segment.len() && front.to_ascii_lowercase().ends_with("-gh")
}

/// A legal segment for any non-empty text of segment bytes; see the head of this file for the rule.
fn escape(segment: &str) -> String {
    let stem = segment.trim_end_matches('_');
    let tail = if is_git_suffixed(stem) || is_id_suffixed(stem) { "_" } else { "" };
    let closed = format!("{segment}{tail}");
    let core = closed.trim_start_matches('_');
    let head = if opens_badly(core) || is_reserved(core) { "_" } else { "" };
    format!("{head}{closed}")
}

/// The naming rule: `onedev.root` and `onedev.naming`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    root: ProjectPath,
    segments: Vec<Vec<Part>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Owner,
    Name,
    List,
}

/// Why a naming template or root cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNaming {
    /// The root is no path.
    #[error("onedev.root: {0}")]
    Root(#[from] InvalidProjectPath),
    /// The template is not understood.
    #[error("onedev.naming: `{template}`: {reason}; write for example `{{owner}}/{{name}}`")]
    Template {
        /// The template, clipped.
        template: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Some repository's path would be longer than OneDev takes.
    #[error(
        "onedev.root and onedev.naming: a path could have {longest} characters, OneDev takes {LONGEST_PATH}; \
         shorten the root or the template"
    )]
    TooLong {
        /// Length of the longest path that the two could give.
        longest: usize,
    },
}

impl Naming {
    /// Checks a template such as `{owner}/{name}` and the root that mirrors lie below.
    ///
    /// Two repositories share no path as long as owner and name stand in segments of their own. With
    /// `{name}` alone, or both in one segment, they may: then the conflict policy decides.
    ///
    /// # Errors
    /// [`InvalidNaming`]: unknown placeholder, no `{name}` in the last segment, an illegal, empty, `.` or
    /// `..` segment, or room for a path of more than [`LONGEST_PATH`] characters.
    pub fn parse(template: &str, root: &str) -> Result<Self, InvalidNaming> {
        let root: ProjectPath = root.parse()?;
        let invalid = |reason: String| InvalidNaming::Template { template: clip(template), reason };
        let segments = template.split('/').map(segment_parts).collect::<Result<Vec<_>, _>>().map_err(invalid)?;
        if !segments.last().is_some_and(|parts| parts.contains(&Part::Name)) {
            return Err(invalid("the last segment must hold `{name}`".to_owned()));
        }
        let naming = Self { root, segments };
        let longest = naming.longest();
        if longest > LONGEST_PATH {
            return Err(InvalidNaming::TooLong { longest });
        }
        Ok(naming)
    }

    /// The project that all mirrors lie below.
    pub fn root(&self) -> &ProjectPath {
        &self.root
    }

    /// Whether paths tell of star lists.
    pub fn uses_list(&self) -> bool {
        self.segments.iter().any(|parts| parts.contains(&Part::List))
    }

    /// The path of a repository's project; `list` is the folder of its star list, `None` for one in no list.
    pub fn path(&self, repository: &RepositoryName, list: Option<&str>) -> ProjectPath {
        self.filled(repository, list, "")
    }

    /// The second choice, `name-gh<id>`, for when another project stands at [`Self::path`]. No other
    /// repository's first or second choice is the same.
    pub fn suffixed(&self, repository: &RepositoryName, list: Option<&str>, id: GithubId) -> ProjectPath {
        self.filled(repository, list, &format!("-gh{id}"))
    }

    fn filled(&self, repository: &RepositoryName, list: Option<&str>, suffix: &str) -> ProjectPath {
        let below = self.segments.iter().map(|parts| {
            let text: String = parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => text.as_str(),
                    Part::Owner => repository.owner(),
                    Part::Name => repository.name(),
                    Part::List => list.unwrap_or(UNLISTED),
                })
                .collect();
            escape(&text)
        });
        let path = below.fold(self.root.as_str().to_owned(), |path, segment| path + "/" + &segment);
        ProjectPath(path + suffix)
    }

    fn longest(&self) -> usize {
        let segment = |parts: &Vec<Part>| -> usize {
            let parts = parts.iter().map(|part| match part {
                Part::Text(text) => text.len(),
                Part::Owner => LONGEST_OWNER,
                Part::Name => LONGEST_NAME,
                Part::List => LONGEST_LIST,
            });
            1 + parts.sum::<usize>() + LONGEST_ESCAPE
        };
        self.root.as_str().len() + self.segments.iter().map(segment).sum::<usize>() + LONGEST_SUFFIX + WIKI.len() + 1
    }
}

/// Splits one segment of a template into text and placeholders.
fn segment_parts(segment: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = segment;
    while let Some((text, after)) = rest.split_once('{') {
        push_text(&mut parts, text);
        let (placeholder, after) = after.split_once('}').ok_or("a `{` is not closed")?;
        parts.push(match placeholder {
            "owner" => Part::Owner,
            "name" => Part::Name,
            "list" => Part::List,
            other => {
                let known = "`{owner}`, `{name}` and `{list}` are";
                return Err(format!("`{{{}}}` is no placeholder, {known}", clip(other)));
            }
        });
        rest = after;
    }
    push_text(&mut parts, rest);
    checked(parts)
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

/// A segment of text alone must be legal as it stands: it is written by hand, so it is not escaped.
fn checked(parts: Vec<Part>) -> Result<Vec<Part>, String> {
    match parts.as_slice() {
        [] => return Err("a segment is empty".to_owned()),
        [Part::Text(text)] => {
            if let Some(why) = illegal(text) {
                return Err(format!("the segment `{}` {why}", clip(text)));
            }
        }
        _ => {}
    }
    let odd = parts.iter().any(|part| matches!(part, Part::Text(text) if !text.bytes().all(is_segment_byte)));
    if odd {
        Err("only ASCII letters, digits, `_`, `-` and `.` may stand around placeholders".to_owned())
    } else {
        Ok(parts)
    }
}

fn clip(text: &str) -> String {
    text.chars().take(160).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
#[path = "naming_tests.rs"]
mod tests;
