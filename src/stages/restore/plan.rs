//! What is to be restored: where every ref of code and wiki stood at a time that was proven, and which commit of
//! the catalog, out of the database alone.

use chrono::{DateTime, Utc};

use crate::domain::kept;
use crate::domain::mirror::NotLevel;
use crate::domain::part::PartId;
use crate::domain::refs::{self, Head, Oid, RefMap, RefName};
use crate::domain::retry::Retry;
use crate::stages::failure::Failure;
use crate::store::catalog::{self, commits};
use crate::store::history::{self, State};
use crate::store::kept as table;
use crate::store::mirrors::{self, Mirror, Proof};
use crate::store::{Connection, Store, StoreError, parts, tips};

/// A state of a mirror that can be restored.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The repository itself.
    pub code: Repository,
    /// Its wiki, if it had one by then.
    pub wiki: Option<Repository>,
    /// What git does not carry, if it was kept by then.
    pub catalog: Option<Catalog>,
    /// What was there and is not known any more, and why.
    pub lost: Vec<(&'static str, String)>,
}

/// A state of one repository.
#[derive(Debug, Clone)]
pub struct Repository {
    /// The project that holds it: its full path.
    pub path: String,
    /// When it was proven.
    pub proven_at: DateTime<Utc>,
    /// Digest of that proof.
    pub digest: String,
    /// Upstream's refs, under their real names.
    pub refs: RefMap,
    /// Kept refs that were there.
    pub kept: RefMap,
    /// Where HEAD pointed.
    pub head: Option<RefName>,
    /// The refs are exactly those of the proof. Not so where OneDev could hold some of them under no name.
    pub exact: bool,
}

impl Repository {
    /// Every ref, kept ones too.
    pub fn all(&self) -> RefMap {
        self.refs.iter().chain(&self.kept).map(|(name, oid)| (name.clone(), *oid)).collect()
    }
}

/// A commit of the catalog, in the project of the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// The ref that holds it.
    pub name: RefName,
    /// The commit.
    pub commit: Oid,
}

/// A wiki, or why it is lost.
type MaybeWiki = (Option<Repository>, Vec<(&'static str, String)>);

const UNREMEMBERED: &str = "no proven state of it at that time is remembered";

/// What was found in the database.
enum Found {
    Forgotten,
    NoProject,
    NeverProven,
    TooEarly(Option<DateTime<Utc>>),
    Wanted(Box<Wanted>),
}

/// The state that was last proven, or last proven at a time.
///
/// # Errors
/// `restore_nothing` for a mirror without a proof, `restore_too_early` with the first time that is remembered.
pub async fn wanted(store: &Store, mirror: &Mirror, at: Option<DateTime<Utc>>) -> Result<Wanted, Failure> {
    let (id, name) = (mirror.id, mirror.name.clone());
    let refused = |code, why: String| Err(Failure::new(code, why, Retry::Never));
    let found = store
        .read(move |c| match mirrors::find(c, id)? {
            Some(mirror) => find(c, &mirror, at),
            None => Ok(Found::Forgotten),
        })
        .await?;
    match found {
        Found::Wanted(wanted) => Ok(*wanted),
        Found::Forgotten => refused("restore_nothing", format!("{name} is not a mirror any more")),
        Found::NoProject => refused("restore_nothing", format!("{name} has no project in OneDev")),
        Found::NeverProven => {
            refused("restore_nothing", format!("{name} was never proven level; nothing can be restored"))
        }
        Found::TooEarly(first) => {
            let first = first
                .map_or_else(String::new, |it| format!("; the first that is remembered is of {}", it.to_rfc3339()));
            refused("restore_too_early", format!("no proven state of {name} at that time is remembered{first}"))
        }
    }
}

fn find(c: &mut Connection, mirror: &Mirror, at: Option<DateTime<Utc>>) -> Result<Found, StoreError> {
    let Some(project) = &mirror.project else { return Ok(Found::NoProject) };
    let Some(proof) = &mirror.proof else { return Ok(Found::NeverProven) };
    let head = mirror.default_branch.as_deref();
    let known = Known { of: mirror.id.into(), path: &project.path, proof, head, not_level: &mirror.not_level };
    let Some(code) = known.state(c, at)? else {
        return Ok(Found::TooEarly(history::first_state(c, mirror.id)?.map(|it| it.at)));
    };
    let (wiki, lost) = wiki(c, mirror, at)?;
    let catalog = catalog(c, mirror, at)?.filter(|it| !code.refs.contains_key(&it.name));
    Ok(Found::Wanted(Box::new(Wanted { code, wiki, catalog, lost })))
}

/// A wiki that had not been proven by then was not there; one that had and of which that state is not remembered
/// is lost.
fn wiki(c: &mut Connection, mirror: &Mirror, at: Option<DateTime<Utc>>) -> Result<MaybeWiki, StoreError> {
    let (of, none) = (PartId::wiki(mirror.id), (None, Vec::new()));
    let Some(part) = parts::find(c, of)? else { return Ok(none) };
    let (Some(project), Some(proof)) = (&part.project, &part.proof) else { return Ok(none) };
    let head = part.default_branch.as_deref();
    let wiki = Known { of, path: &project.path, proof, head, not_level: &part.not_level }.state(c, at)?;
    let was_there = part.first_proof_at.zip(at).is_some_and(|(first, at)| first <= at);
    let lost = (wiki.is_none() && was_there).then(|| ("wiki", UNREMEMBERED.to_owned()));
    Ok((wiki, lost.into_iter().collect()))
}

fn catalog(c: &mut Connection, mirror: &Mirror, at: Option<DateTime<Utc>>) -> Result<Option<Catalog>, StoreError> {
    let Some(known) = catalog::find(c, mirror.id)? else { return Ok(None) };
    let commit = match at {
        Some(at) => commits::at(c, mirror.id, at)?,
        None => known.tip,
    };
    Ok(known.ref_name.zip(commit).map(|(name, commit)| Catalog { name, commit }))
}

/// A part that was proven, as it is now.
struct Known<'a> {
    of: PartId,
    path: &'a str,
    proof: &'a Proof,
    head: Option<&'a str>,
    not_level: &'a [NotLevel],
}

impl Known<'_> {
    /// `None`: nothing was proven by then, as far as that is remembered.
    fn state(&self, c: &mut Connection, at: Option<DateTime<Utc>>) -> Result<Option<Repository>, StoreError> {
        let time = at.unwrap_or_else(Utc::now);
        let state = history::state_at(c, self.of, time)?;
        if state.is_none() && at.is_some_and(|at| at < self.proof.verified_at) {
            return Ok(None);
        }
        let put = match &state {
            Some(state) => history::refs_at(c, self.of, state)?,
            None => tips::load(c, self.of)?.0,
        };
        let refs = real_names(&put, self.not_level);
        let (digest, proven_at, head) = match state {
            Some(State { digest, at, head, .. }) => (digest, at, head),
            // A proof from before states were remembered.
            None => (
                self.proof.digest.clone(),
                self.proof.verified_at,
                self.head.and_then(|it| RefName::of_branch(it).ok()),
            ),
        };
        let exact = refs::digest(&refs, &head.clone().map_or(Head::Unknown, Head::Branch)) == digest;
        let kept = table::all(c, self.of)?;
        let kept = kept.into_iter().filter(|it| it.created_at <= time).map(|it| (it.kept_ref, it.oid)).collect();
        Ok(Some(Repository { path: self.path.to_owned(), proven_at, digest, refs, kept, head, exact }))
    }
}

/// Refs that stand under an alias get their own names back.
fn real_names(put: &RefMap, not_level: &[NotLevel]) -> RefMap {
    let real = |at: &RefName| match kept::aliased(at) {
        Some(name) => name,
        // A name that had to be hashed is known only as long as it is listed.
        None => {
            let listed = not_level.iter().find(|it| it.alias.as_ref() == Some(at));
            listed.and_then(|it| it.name.reference()).unwrap_or_else(|| at.clone())
        }
    };
    let own = |at: &RefName| at.as_str() == kept::STAND_IN;
    put.iter().filter(|(at, _)| !own(at)).map(|(at, oid)| (real(at), *oid)).collect()
}
