//! LFS objects of a restore: out of OneDev into a folder, or onto another server's LFS, streamed and hashed on
//! the way. What cannot be brought is named; it is no failure.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};

use crate::domain::lfs::Pointer;
use crate::domain::retry::Retry;
use crate::git::{
    Answer, LfsEndpoint, Link, MOST_AT_ONCE, ObjectError, ObjectFolder, Operation, Progress, Source, WireError,
};
use crate::stages::failure::Failure;

/// Objects on their way at once.
const AT_ONCE: usize = 8;
/// Tries of one object, where what went wrong may pass.
const TRIES: usize = 3;

/// A server that knows no address for LFS.
const NO_LFS: &str = "the other server has no LFS for this repository: switch it on there";

/// What became of the LFS objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objects {
    /// Those that are there now.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that are not, and why.
    pub missing: Vec<(Pointer, String)>,
    /// Not every object could be searched for pointers, so some may be missing here that nobody names.
    pub unsearched: bool,
}

impl Objects {
    /// One more.
    fn note(&mut self, object: Pointer, fate: Result<(), String>) {
        match fate {
            Ok(()) => {
                self.objects += 1;
                self.bytes += object.size;
            }
            Err(why) => self.missing.push((object, why)),
        }
    }

    pub(super) fn absorb(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.missing.extend(other.missing);
        self.unsearched |= other.unsearched;
    }
}

/// Why an object is not there: something about it, or something that ends the whole restore.
enum Trouble {
    Object(String),
    Fatal(Failure),
}

impl From<ObjectError> for Trouble {
    fn from(error: ObjectError) -> Self {
        match error {
            // A disk that is full is so for all of them.
            ObjectError::Wire(error @ WireError::Spool { .. }) => Self::Fatal(error.into()),
            other => Self::Object(other.to_string()),
        }
    }
}

/// Brings objects out of `from` into a folder. What stands there already, or in `before`, is read and hashed
/// and not fetched again.
///
/// # Errors
/// When the folder cannot be written.
pub(super) async fn into_folder(
    from: &LfsEndpoint,
    pointers: &BTreeSet<Pointer>,
    to: &ObjectFolder,
    before: &ObjectFolder,
    progress: &Progress,
) -> Result<Objects, Failure> {
    let (mut done, mut wanted) = (Objects::default(), Vec::new());
    for object in pointers {
        if to.has(*object).await? || to.take_from(before, *object).await? {
            done.note(*object, Ok(()));
        } else {
            wanted.push(*object);
        }
    }
    let carry = |object: Pointer, link| async move {
        let mut link = Some(link);
        tried(|| {
            let link = link.take();
            async move { to.take(from.open(object, link).await?).await }
        })
        .await?;
        progress.received(usize::try_from(object.size).unwrap_or(usize::MAX));
        Ok(())
    };
    done.absorb(each(from, wanted, carry).await?);
    to.tidy().await?;
    Ok(done)
}

/// Brings objects out of `from` onto another server, as far as it lacks them.
///
/// # Errors
/// None in practice.
pub(super) async fn onto_server(
    from: &LfsEndpoint,
    pointers: &BTreeSet<Pointer>,
    to: &LfsEndpoint,
    progress: &Arc<Progress>,
) -> Result<Objects, Failure> {
    let mut done = Objects::default();
    let all: Vec<Pointer> = pointers.iter().copied().collect();
    for (index, some) in all.chunks(MOST_AT_ONCE).enumerate() {
        let answers = match to.ask(Operation::Upload, some).await {
            Ok(answers) => answers,
            Err(error) => {
                let none = matches!(error, ObjectError::Missing { .. });
                let why = if none { NO_LFS.to_owned() } else { error.to_string() };
                let rest = all.iter().skip(index * MOST_AT_ONCE);
                rest.for_each(|it| done.note(*it, Err(why.clone())));
                break;
            }
        };
        let (mut wanted, mut places) = (Vec::new(), std::collections::BTreeMap::new());
        for (object, answer) in answers {
            match answer {
                Answer::Present => done.note(object, Ok(())),
                Answer::Refused(error) => done.note(object, Err(error.to_string())),
                Answer::Link(link) => {
                    wanted.push(object);
                    places.insert(object, link);
                }
            }
        }
        let places = &places;
        let carry = |object: Pointer, link| async move {
            let Some(place) = places.get(&object).cloned() else { return Ok(()) };
            let source = Source::Coming(Box::new(from.open(object, Some(link)).await?));
            to.put(object, place, source, progress).await.map_err(Trouble::from)
        };
        done.absorb(each(from, wanted, carry).await?);
    }
    Ok(done)
}

/// Asks `from` for objects, a hundred at once, and carries those that it has, some at once.
async fn each<F: Future<Output = Result<(), Trouble>>>(
    from: &LfsEndpoint,
    wanted: Vec<Pointer>,
    carry: impl Fn(Pointer, Link) -> F,
) -> Result<Objects, Failure> {
    let mut done = Objects::default();
    for (index, some) in wanted.chunks(MOST_AT_ONCE).enumerate() {
        let answers = match from.ask(Operation::Download, some).await {
            Ok(answers) => answers,
            // Whoever cannot be asked now is not asked a thousand times more.
            Err(error) => {
                let why = error.to_string();
                let rest = wanted.iter().skip(index * MOST_AT_ONCE);
                rest.for_each(|it| done.note(*it, Err(why.clone())));
                break;
            }
        };
        let mut ways = Vec::new();
        for (object, answer) in answers {
            match answer {
                Answer::Link(link) => ways.push((object, link)),
                Answer::Refused(error) => done.note(object, Err(error.to_string())),
                Answer::Present => {}
            }
        }
        let carried = ways.into_iter().map(|(object, link)| {
            let carried = carry(object, link);
            async move { (object, carried.await) }
        });
        let mut carried = stream::iter(carried).buffer_unordered(AT_ONCE);
        while let Some((object, fate)) = carried.next().await {
            match fate {
                Ok(()) => done.note(object, Ok(())),
                Err(Trouble::Object(why)) => done.note(object, Err(why)),
                Err(Trouble::Fatal(failure)) => return Err(failure),
            }
        }
    }
    Ok(done)
}

/// Some tries, where what went wrong may pass at once.
async fn tried<F: Future<Output = Result<(), ObjectError>>>(mut one: impl FnMut() -> F) -> Result<(), Trouble> {
    let mut left = TRIES;
    loop {
        left -= 1;
        match one().await {
            Err(error) if left > 0 && error.retry() == Retry::Backoff && error.code() != "spool_failed" => {}
            other => return other.map_err(Trouble::from),
        }
    }
}
