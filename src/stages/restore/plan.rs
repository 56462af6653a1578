//! What is to be restored: where every ref stood at a time that was proven, out of the database alone.

use chrono::{DateTime, Utc};

use crate::domain::kept;
use crate::domain::mirror::NotLevel;
use crate::domain::refs::{self, Head, RefMap, RefName};
use crate::domain::retry::Retry;
use crate::stages::failure::Failure;
use crate::store::history::{self, State};
use crate::store::kept as table;
use crate::store::mirrors::{self, Mirror};
use crate::store::{Connection, Store, StoreError, tips};

/// A state that can be restored.
#[derive(Debug, Clone)]
pub struct Wanted {
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
    /// No time was named, so what has no history of its own here is restored too.
    pub latest: bool,
    /// The refs are exactly those of the proof. Not so where OneDev could hold some of them under no name.
    pub exact: bool,
}

impl Wanted {
    /// Every ref, kept ones too.
    pub fn all(&self) -> RefMap {
        self.refs.iter().chain(&self.kept).map(|(name, oid)| (name.clone(), *oid)).collect()
    }
}

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
    let time = at.unwrap_or_else(Utc::now);
    let state = history::state_at(c, mirror.id, time)?;
    if state.is_none() && at.is_some_and(|at| at < proof.verified_at) {
        return Ok(Found::TooEarly(history::first_state(c, mirror.id)?.map(|it| it.at)));
    }
    let put = match &state {
        Some(state) => history::refs_at(c, mirror.id, state)?,
        None => tips::load(c, mirror.id)?.0,
    };
    let refs = real_names(&put, &mirror.not_level);
    let (digest, proven_at, head) = match state {
        Some(State { digest, at, head, .. }) => (digest, at, head),
        // A proof from before states were remembered.
        None => (proof.digest.clone(), proof.verified_at, head_of(mirror)),
    };
    let exact = refs::digest(&refs, &head.clone().map_or(Head::Unknown, Head::Branch)) == digest;
    let kept = table::all(c, mirror.id)?;
    let kept = kept.into_iter().filter(|it| it.created_at <= time).map(|it| (it.kept_ref, it.oid)).collect();
    let path = project.path.clone();
    Ok(Found::Wanted(Box::new(Wanted { path, proven_at, digest, refs, kept, head, latest: at.is_none(), exact })))
}

fn head_of(mirror: &Mirror) -> Option<RefName> {
    mirror.default_branch.as_deref().and_then(|it| RefName::of_branch(it).ok())
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
