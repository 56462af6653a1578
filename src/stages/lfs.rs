//! LFS objects of one mirror: brought from upstream into the project, with what is known of each in the
//! database. Shared by the stages that move objects; the protocol is `git`'s.
//!
//! An object that OneDev has is believed only if its upload was seen to end here. One that was found
//! there, or whose upload was cut off, is read back and hashed, since a server that was killed leaves a
//! short file under the final name. Nothing is ever written that OneDev did not ask for or that was not
//! found spoilt.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::Utc;
use futures_util::stream::{self, StreamExt as _};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::failure::Failure;
use crate::domain::ids::MirrorId;
use crate::domain::lfs::{self, ObjectState, Pointer};
use crate::git::{
    Answer, Download, LfsEndpoint, Link, MOST_AT_ONCE, ObjectError, Operation, Progress, Source, Standing,
};
use crate::store::Store;
use crate::store::lfs as table;
use crate::store::lfs::LfsObject;

/// Smaller objects are read whole before their upload begins, so that none has to be broken off.
const SMALL: u64 = 256 << 10;

/// The LFS objects of one project.
pub struct Depot {
    /// State.
    pub store: Store,
    /// Whose.
    pub mirror: MirrorId,
    /// Where objects come from; not needed to [`Depot::put`] what comes from elsewhere.
    pub upstream: Option<LfsEndpoint>,
    /// Where they go.
    pub target: LfsEndpoint,
    /// Objects at once, over the whole process.
    pub slots: Arc<Semaphore>,
    /// Told as bytes move.
    pub progress: Arc<Progress>,
}

/// What was brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Brought {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that upstream says it does not have, or does not give.
    pub refused: u64,
}

/// An object and where it is to be written.
type Place = (LfsObject, Link);
/// What became of an object: there, or not with the state that it is in now.
type Fate = (LfsObject, Result<(), (ObjectState, ObjectError)>);

impl Depot {
    /// Brings every object that is due, group by group, until `until`. What cannot be brought is written
    /// down with its reason and the time of the next try; it is no failure.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn bring_due(&self, until: Instant) -> Result<Brought, Failure> {
        let (mirror, mut brought) = (self.mirror, Brought::default());
        loop {
            let most = u32::try_from(MOST_AT_ONCE).unwrap_or(u32::MAX);
            let mut due = self.store.read(move |c| table::due(c, mirror, Utc::now(), most)).await?;
            // A second size for an id waits for its own turn: one of the two pointers is wrong.
            let mut seen = BTreeSet::new();
            due.retain(|it| seen.insert(it.pointer.oid));
            if due.is_empty() {
                return Ok(brought);
            }
            match tokio::time::timeout_at(until, self.bring(due)).await {
                Ok(some) => {
                    let some = some?;
                    brought.objects += some.objects;
                    brought.bytes += some.bytes;
                    brought.refused += some.refused;
                }
                Err(_) => {
                    tracing::info!(objects = brought.objects, "the time for LFS objects is up; the next sync goes on");
                    return Ok(brought);
                }
            }
        }
    }

    /// Puts one object whose bytes come from elsewhere, as a release's asset, unless it is there. It is
    /// remembered under `origin`; who brought it tries again when it could not be put.
    ///
    /// # Errors
    /// Those of the database. Why the object is not there is the inner result.
    pub async fn put(
        &self,
        object: Pointer,
        origin: &'static str,
        source: impl Future<Output = Result<Download, ObjectError>>,
    ) -> Result<Result<(), ObjectError>, Failure> {
        let mirror = self.mirror;
        let known = self.store.write(move |c| table::ensure(c, mirror, object, origin)).await?;
        let _claims = self.target.claim(&[object]).await;
        let (mut fates, mut places) = (Vec::new(), Vec::new());
        let mut wanted = vec![known.clone()];
        if known.state == ObjectState::Uploading {
            wanted = self.sort_doubtful(wanted, &mut fates, &mut places).await;
        }
        let present = self.sort_wanted(wanted, &mut fates, &mut places).await;
        if known.state == ObjectState::There && !present.is_empty() {
            return Ok(Ok(()));
        }
        self.sort_doubtful(present, &mut fates, &mut places).await;
        if let Some((object, to)) = places.pop() {
            let meant = [object.pointer];
            self.store.write(move |c| table::begin(c, mirror, &meant)).await?;
            fates.push(self.carry_one(object, source, to).await);
        }
        let Some((object, fate)) = fates.pop() else {
            return Ok(Err(ObjectError::Vanished));
        };
        match fate {
            Ok(()) => {
                self.settle(vec![(object, Ok(()))], &mut Brought::default()).await?;
                Ok(Ok(()))
            }
            Err((state, error)) => {
                let error = Arc::new(error);
                let told = ObjectError::Together(Arc::clone(&error));
                self.settle(vec![(object, Err((state, told)))], &mut Brought::default()).await?;
                Ok(Err(ObjectError::Together(error)))
            }
        }
    }

    /// One group.
    async fn bring(&self, due: Vec<LfsObject>) -> Result<Brought, Failure> {
        let pointers: Vec<Pointer> = due.iter().map(|it| it.pointer).collect();
        let _claims = self.target.claim(&pointers).await;
        let (cut_off, mut wanted): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|it| it.state == ObjectState::Uploading);
        let (mut fates, mut places) = (Vec::new(), Vec::new());
        wanted.extend(self.sort_doubtful(cut_off, &mut fates, &mut places).await);
        let present = self.sort_wanted(wanted, &mut fates, &mut places).await;
        // One that vanishes in between has its turn in the next group.
        self.sort_doubtful(present, &mut fates, &mut places).await;
        self.settle(fates, &mut Brought::default()).await?;
        self.carry(places).await
    }

    /// Asks OneDev what it lacks. What it has already, though no upload of ours is known, is doubtful.
    async fn sort_wanted(
        &self,
        wanted: Vec<LfsObject>,
        fates: &mut Vec<Fate>,
        places: &mut Vec<Place>,
    ) -> Vec<LfsObject> {
        let pointers: Vec<Pointer> = wanted.iter().map(|it| it.pointer).collect();
        let answers = match self.target.ask(Operation::Upload, &pointers).await {
            Ok(answers) => answers,
            Err(error) => {
                fates.extend(all_failed(wanted, error));
                return Vec::new();
            }
        };
        let mut doubtful = Vec::new();
        for (object, (_, answer)) in wanted.into_iter().zip(answers) {
            match answer {
                Answer::Link(link) => places.push((object, link)),
                Answer::Present => doubtful.push(object),
                Answer::Refused(error) => fates.push((object, Err((ObjectState::Missing, error)))),
            }
        }
        doubtful
    }

    /// Reads back what may be spoilt; gives what is not there at all.
    async fn sort_doubtful(
        &self,
        doubtful: Vec<LfsObject>,
        fates: &mut Vec<Fate>,
        places: &mut Vec<Place>,
    ) -> Vec<LfsObject> {
        let mut absent = Vec::new();
        let checks = doubtful.into_iter().map(|object| async move {
            let _slot = self.slots.acquire().await;
            let standing = self.target.check(object.pointer).await;
            (object, standing)
        });
        let checked: Vec<_> = stream::iter(checks).buffer_unordered(MOST_AT_ONCE).collect().await;
        for (object, standing) in checked {
            let Pointer { oid, size } = object.pointer;
            match standing {
                Ok(Standing::Good) => fates.push((object, Ok(()))),
                Ok(Standing::Absent) => absent.push(object),
                Ok(Standing::Bad) => places.push((object, self.target.known_address(oid))),
                Ok(Standing::OtherSize(got)) => {
                    let error = ObjectError::WrongSize { side: crate::git::Side::Target, want: size, got };
                    fates.push((object, Err((ObjectState::Missing, error))));
                }
                Err(error) => fates.push((object, Err((ObjectState::Uploading, error)))),
            }
        }
        absent
    }

    /// Asks upstream for what OneDev lacks and carries it over.
    async fn carry(&self, places: Vec<Place>) -> Result<Brought, Failure> {
        let mut brought = Brought::default();
        let Some(upstream) = self.upstream.as_ref().filter(|_| !places.is_empty()) else { return Ok(brought) };
        let pointers: Vec<Pointer> = places.iter().map(|(it, _)| it.pointer).collect();
        let answers = match upstream.ask(Operation::Download, &pointers).await {
            Ok(answers) => answers,
            Err(error) => {
                let fates = all_failed(places.into_iter().map(|(it, _)| it).collect(), error);
                self.settle(fates, &mut brought).await?;
                return Ok(brought);
            }
        };
        let (mut fates, mut ways) = (Vec::new(), Vec::new());
        for ((object, to), (_, answer)) in places.into_iter().zip(answers) {
            match answer {
                Answer::Link(from) => ways.push((object, from, to)),
                Answer::Refused(error) => fates.push((object.clone(), Err((before(&object), error)))),
                Answer::Present => {}
            }
        }
        self.settle(fates, &mut brought).await?;
        let (mirror, meant) = (self.mirror, ways.iter().map(|(it, ..)| it.pointer).collect::<Vec<_>>());
        self.store.write(move |c| table::begin(c, mirror, &meant)).await?;
        let carried = ways.into_iter().map(|(object, from, to)| async move {
            let pointer = object.pointer;
            let source = async { Ok(upstream.open(pointer, Some(from)).await?.counted_by(&self.progress)) };
            self.carry_one(object, source, to).await
        });
        // What has arrived is written down while the others go on: a commit must not hold them up.
        let (tell, mut told) = mpsc::channel(MOST_AT_ONCE);
        let carry = async {
            let mut carried = stream::iter(carried).buffer_unordered(MOST_AT_ONCE);
            while let Some(fate) = carried.next().await {
                let _ = tell.send(fate).await;
            }
            drop(tell);
        };
        let write = async {
            let mut some = Vec::new();
            while told.recv_many(&mut some, MOST_AT_ONCE).await > 0 {
                self.settle(std::mem::take(&mut some), &mut brought).await?;
            }
            Ok::<_, Failure>(())
        };
        let ((), written) = tokio::join!(carry, write);
        written?;
        Ok(brought)
    }

    async fn carry_one(
        &self,
        object: LfsObject,
        source: impl Future<Output = Result<Download, ObjectError>>,
        to: Link,
    ) -> Fate {
        let _slot = self.slots.acquire().await;
        let pointer = object.pointer;
        let source = async {
            let download = source.await?;
            Ok(if pointer.size <= SMALL {
                Source::Whole(download.whole().await?)
            } else {
                Source::Coming(Box::new(download))
            })
        };
        let fate = match source.await {
            // Nothing of it has been written.
            Err(error) => Err((before(&object), error)),
            Ok(source) => {
                let put = self.target.put(pointer, to, source, &self.progress).await;
                put.map_err(|error| (ObjectState::Uploading, error))
            }
        };
        (object, fate)
    }

    /// Writes down what became of objects.
    async fn settle(&self, fates: Vec<Fate>, brought: &mut Brought) -> Result<(), Failure> {
        if fates.is_empty() {
            return Ok(());
        }
        let (mut arrived, mut failed) = (Vec::new(), Vec::new());
        for (object, fate) in fates {
            match fate {
                Ok(()) => {
                    brought.objects += 1;
                    brought.bytes += object.pointer.size;
                    arrived.push(object.pointer);
                }
                Err((state, error)) => {
                    brought.refused += u64::from(error.is_refusal_of_upstream());
                    let pause = lfs::pause(error.retry(), object.attempts + 1, rand::random());
                    tracing::info!(oid = %object.pointer.oid, code = error.code(), "an LFS object is not there: {error}");
                    failed.push((object.pointer, state, error.to_string(), Utc::now() + pause));
                }
            }
        }
        let mirror = self.mirror;
        self.store
            .write(move |c| {
                table::arrived(c, mirror, &arrived)?;
                failed.iter().try_for_each(|(it, state, why, next)| table::failed(c, mirror, *it, *state, why, *next))
            })
            .await?;
        Ok(())
    }

    /// Asks OneDev for every object that should be there; those that are not are wanted again, and told.
    ///
    /// # Errors
    /// Those of the database, and of asking OneDev.
    pub async fn take_stock(&self, write: bool) -> Result<Vec<Pointer>, Failure> {
        let (mirror, mut after, mut lost) = (self.mirror, None, Vec::new());
        loop {
            let most = u32::try_from(MOST_AT_ONCE).unwrap_or(u32::MAX);
            let some = self.store.read(move |c| table::there(c, mirror, after, most)).await?;
            if some.is_empty() {
                break;
            }
            after = some.last().copied();
            let answers = self.target.ask(Operation::Download, &some).await?;
            let gone = answers.into_iter().filter(|(_, it)| matches!(it, Answer::Refused(ObjectError::Missing { .. })));
            lost.extend(gone.map(|(it, _)| it));
        }
        if write && !lost.is_empty() {
            tracing::warn!(objects = lost.len(), "LFS objects are gone from OneDev; they are brought again");
            let gone = lost.clone();
            self.store.write(move |c| table::lost(c, mirror, &gone)).await?;
        }
        Ok(lost)
    }
}

/// The state of an object of which this try has written nothing.
fn before(object: &LfsObject) -> ObjectState {
    if object.state == ObjectState::Uploading { ObjectState::Uploading } else { ObjectState::Missing }
}

/// The same reason for all of them.
fn all_failed(objects: Vec<LfsObject>, error: ObjectError) -> Vec<Fate> {
    let error = Arc::new(error);
    objects.into_iter().map(|it| (it.clone(), Err((before(&it), ObjectError::Together(Arc::clone(&error)))))).collect()
}
