//! Which tags point at something other than a commit? OneDev's hook trips over those, so they are
//! pushed last and alone.
//!
//! A list of refs does not tell the kinds of objects. Upstream is asked for a pack of just the tags
//! and tip commits: tag objects say what they point at, and of the plain tags as many must be
//! commits as the pack has further commits. If some are not, halves are asked for until they are
//! known by name.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::error::WireError;
use super::fetch::FetchOptions;
use super::listing::Advertisement;
use super::upstream::Upstream;
use super::walker::{Contents, Kind, Walker};
use crate::domain::refs::{Oid, RefName};
use crate::domain::retry::Retry;

/// The most objects of one question.
const MAX_WANTS: usize = 20_000;
/// The most bytes of one answer.
const MAX_ANSWER: u64 = 64 << 20;
/// The most questions of one census.
const MAX_QUESTIONS: usize = 48;

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Tags that end at a blob or a tree.
    pub not_commits: BTreeSet<RefName>,
    /// Tags about which upstream would not tell, or not with a bounded number of questions.
    pub unknown: BTreeSet<RefName>,
}

/// An object at the end of a tag, and the object that stands in the tag's ref.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    end: Oid,
    want: Oid,
}

/// Tells which of `tags` do not end at a commit. Tags that end where a branch stands need no
/// question, so in many repositories none is asked; else it is two small requests as a rule.
///
/// # Errors
/// Those of the transport that may pass. A server that cannot or will not answer makes tags `unknown`.
pub async fn non_commit_tags<'a>(
    upstream: &Upstream,
    list: &Advertisement,
    tags: impl IntoIterator<Item = &'a RefName>,
) -> Result<Census, WireError> {
    let mut names: HashMap<Oid, Vec<&RefName>> = HashMap::new();
    let mut doubts = Vec::new();
    let tips: HashSet<Oid> =
        list.refs.iter().filter(|(name, _)| name.branch().is_some()).map(|(_, oid)| *oid).collect();
    for name in tags {
        let Some(want) = list.refs.get(name).copied() else { continue };
        let end = list.peeled.get(name).copied().unwrap_or(want);
        if tips.contains(&end) {
            continue;
        }
        let same = names.entry(end).or_default();
        if same.is_empty() {
            doubts.push(Doubt { end, want });
        }
        same.push(name);
    }
    let verdicts = settle(upstream, &doubts).await?;
    let mut census = Census::default();
    for doubt in &doubts {
        let list = match verdicts.get(&doubt.end) {
            Some(true) => continue,
            Some(false) => &mut census.not_commits,
            None => &mut census.unknown,
        };
        list.extend(names.get(&doubt.end).into_iter().flatten().map(|it| (*it).clone()));
    }
    Ok(census)
}

/// Whether each object is a commit, as far as upstream tells.
async fn settle(upstream: &Upstream, doubts: &[Doubt]) -> Result<HashMap<Oid, bool>, WireError> {
    let mut verdicts = HashMap::new();
    if doubts.is_empty() || !upstream.can_filter().await? {
        return Ok(verdicts);
    }
    let mut questions = 0;
    for group in doubts.chunks(MAX_WANTS) {
        let Some(contents) = ask(upstream, group, &mut questions).await? else { continue };
        for (oid, kind) in &contents.tagged {
            if *kind != Kind::Tag {
                verdicts.insert(*oid, *kind == Kind::Commit);
            }
        }
        let told = group.iter().filter(|it| verdicts.get(&it.end) == Some(&true)).count();
        let open: Vec<Doubt> = group.iter().filter(|it| !verdicts.contains_key(&it.end)).copied().collect();
        halve(upstream, open, contents.commits.saturating_sub(told), &mut questions, &mut verdicts).await?;
    }
    Ok(verdicts)
}

/// Finds out which of `open` are the `commits` commits among them.
async fn halve(
    upstream: &Upstream,
    open: Vec<Doubt>,
    commits: usize,
    questions: &mut usize,
    verdicts: &mut HashMap<Oid, bool>,
) -> Result<(), WireError> {
    let mut work = vec![(open, commits)];
    while let Some((mut group, commits)) = work.pop() {
        if commits > group.len() {
            continue;
        }
        if commits == 0 || commits == group.len() {
            verdicts.extend(group.iter().map(|it| (it.end, commits != 0)));
            continue;
        }
        let half = group.split_off(group.len() / 2);
        let Some(contents) = ask(upstream, &half, questions).await? else { continue };
        work.push((group, commits.saturating_sub(contents.commits)));
        work.push((half, contents.commits));
    }
    Ok(())
}

/// One question; `None` when upstream will not answer it, or the questions are used up.
async fn ask(upstream: &Upstream, group: &[Doubt], questions: &mut usize) -> Result<Option<Contents>, WireError> {
    *questions += 1;
    if *questions > MAX_QUESTIONS {
        return Ok(None);
    }
    let wants: Vec<Oid> = group.iter().map(|it| it.want).collect();
    match answer(upstream, &wants).await {
        Ok(contents) => Ok(contents),
        Err(error) if may_pass(&error) => Err(error),
        Err(error) => {
            tracing::debug!(%error, "upstream does not tell what its tags point at");
            Ok(None)
        }
    }
}

async fn answer(upstream: &Upstream, wants: &[Oid]) -> Result<Option<Contents>, WireError> {
    let options = FetchOptions { thin: false, tips_only: true, without_trees: true, ..FetchOptions::default() };
    let mut pack = upstream.fetch(wants, &[], options).await?;
    let mut walker = Walker::default();
    while let Some(piece) = pack.next().await? {
        if pack.bytes() > MAX_ANSWER {
            return Ok(None);
        }
        if let Err(error) = walker.feed(&piece) {
            tracing::debug!(%error, "a pack of tags could not be read");
            return Ok(None);
        }
    }
    Ok(walker.finish().ok())
}

/// Whether it is worth ending the sync over this, since the same will happen to the transfer.
fn may_pass(error: &WireError) -> bool {
    matches!(
        error,
        WireError::Transport { .. } | WireError::Away { .. } | WireError::NoAnswer { .. } | WireError::Stalled { .. }
    ) || matches!(error.retry(), Retry::After(_))
}
