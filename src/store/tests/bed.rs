//! Where a test's store lives: a fresh file or a fresh Postgres database, gone afterwards.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use tempfile::TempDir;
use uuid::Uuid;

use crate::config::database::Database;
use crate::domain::event::Subject;
use crate::domain::ids::{CorrelationId, GithubId, MirrorId};
use crate::domain::job::{JobKind, Priority};
use crate::domain::mirror::Source;
use crate::domain::refs::{Oid, RefName};
use crate::store::jobs::{self, NewJob};
use crate::store::{Connection, Store, StoreError, mirrors};

use super::postgres;

/// A store with the schema in place.
#[derive(Clone)]
pub(super) struct Bed {
    pub(super) store: Store,
    pub(super) url: String,
    pub(super) place: Arc<Place>,
}

/// What must outlive the store.
pub(super) enum Place {
    Folder { _its: TempDir },
    Server(postgres::Fresh),
}

impl Bed {
    pub(super) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("starkeep.db").display());
        Self::on(url, Place::Folder { _its: folder }).await
    }

    pub(super) async fn postgres() -> Option<Self> {
        let fresh = tokio::task::spawn_blocking(postgres::fresh).await.unwrap()?;
        Some(Self::on(fresh.url.clone(), Place::Server(fresh)).await)
    }

    async fn on(url: String, place: Place) -> Self {
        let bed = Self { store: open(&url).await, url, place: Arc::new(place) };
        bed.store.migrate().await.unwrap();
        bed
    }

    /// A second store on the same database, as another process would have it.
    pub(super) async fn another(&self) -> Store {
        open(&self.url).await
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.write(work).await.unwrap()
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.read(work).await.unwrap()
    }

    /// A mirror of that GitHub id, named `octo/r<id>`.
    pub(super) async fn mirror(&self, id: i64) -> MirrorId {
        self.write(move |c| Ok(mirrors::ensure(c, &subject(id), Source::Star, at(0))?.0.id)).await
    }

    /// A queued job, due at `run_after` seconds.
    pub(super) async fn job(&self, kind: JobKind, mirror: MirrorId, run_after: i64) -> jobs::Enqueued {
        self.write(move |c| {
            let mut job = NewJob::of(kind, mirror, Priority::CHANGED, correlation(1));
            job.run_after = Some(at(run_after));
            jobs::enqueue(c, &job, at(0))
        })
        .await
    }
}

pub(super) async fn open(url: &str) -> Store {
    Store::open(&database(url)).await.unwrap()
}

pub(super) fn database(url: &str) -> Database {
    Database { url: SecretString::from(url.to_owned()), migrate: true }
}

/// So many seconds after the tests' noon.
pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000 + seconds, 123_456_000).unwrap()
}

pub(super) const LEASE: TimeDelta = TimeDelta::seconds(15);

pub(super) fn correlation(number: u128) -> CorrelationId {
    CorrelationId(Uuid::from_u128(number))
}

pub(super) fn subject(id: i64) -> Subject {
    Subject { id: GithubId(id), name: format!("octo/r{id}").parse().unwrap() }
}

pub(super) fn oid(byte: u8) -> Oid {
    Oid::from_bytes([byte; 20])
}

pub(super) fn branch(name: &str) -> RefName {
    RefName::of_branch(name).unwrap()
}

/// Makes each story a test on SQLite and one on Postgres.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name(super::Bed::sqlite().await).await;
                }
            )+
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    if let Some(bed) = super::Bed::postgres().await {
                        super::$name(bed).await;
                    }
                }
            )+
        }
    };
}
pub(super) use on_both;
