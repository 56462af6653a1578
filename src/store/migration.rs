//! The schema: the migrations of `migrations/`, compiled in, run one by one each in a transaction.

use std::time::Duration;

use diesel::migration::{Migration, MigrationSource, Result as Migrating};
use diesel::{RunQueryDsl as _, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::address::Address;
use super::backend::Backend;
use super::connection::{Connection, Use};
use super::error::StoreError;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Of the advisory lock under which processes that share a Postgres migrate one after the other:
/// `starkeep` in ASCII.
const LOCK: i64 = 0x7374_6172_6b65_6570;

/// How often a migration that failed is looked at again, in case another process was at it.
const TRIES: u32 = 10;
/// The pause before that.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs what is missing; gives its names.
pub(super) fn run(address: &Address) -> Result<Vec<String>, StoreError> {
    let mut c = Connection::open(address, Use::Migrating)?;
    let done = match &mut c.db {
        Backend::Sqlite(c) => missing(c, SQLITE).and_then(|before| run_sqlite(c).map(|()| before)),
        Backend::Postgres(c) => {
            // Released with the connection.
            diesel::sql_query("SELECT pg_advisory_lock($1)").bind::<diesel::sql_types::BigInt, _>(LOCK).execute(c)?;
            missing(c, POSTGRES).and_then(|before| c.run_pending_migrations(POSTGRES).map(|_| before))
        }
    };
    done.map_err(|e| failed(&*e))
}

/// SQLite has no lock that spans several transactions. Of two processes that migrate at once one meets
/// tables that the other just made; it looks again, and finds in the end that nothing is left to do.
fn run_sqlite(c: &mut SqliteConnection) -> Migrating<()> {
    let mut tries = 0;
    loop {
        let Err(error) = c.run_pending_migrations(SQLITE) else { return Ok(()) };
        if missing(c, SQLITE)?.is_empty() {
            return Ok(());
        }
        tries += 1;
        if tries == TRIES {
            return Err(error);
        }
        std::thread::sleep(PAUSE);
    }
}

/// The versions of the migrations that were run, in their order.
pub(super) fn applied(address: &Address) -> Result<Vec<String>, StoreError> {
    let mut c = Connection::open(address, Use::Migrating)?;
    let versions = match &mut c.db {
        Backend::Sqlite(c) => c.applied_migrations(),
        Backend::Postgres(c) => c.applied_migrations(),
    };
    let mut versions: Vec<String> = versions.map_err(|e| failed(&*e))?.iter().map(ToString::to_string).collect();
    versions.sort();
    Ok(versions)
}

/// Runs exactly these migrations, by their versions, on a database that has no others.
pub(super) fn run_to(address: &Address, versions: &[String]) -> Result<(), StoreError> {
    let newer =
        |it: &str| format!("the backup needs migration {it}, which is not known here: a newer starkeep made it");
    let mut c = Connection::open(address, Use::Migrating)?;
    let done = match &mut c.db {
        Backend::Sqlite(c) => only(c, &SQLITE, versions),
        Backend::Postgres(c) => {
            diesel::sql_query("SELECT pg_advisory_lock($1)").bind::<diesel::sql_types::BigInt, _>(LOCK).execute(c)?;
            only(c, &POSTGRES, versions)
        }
    };
    match done.map_err(|e| failed(&*e))? {
        Ran::All => Ok(()),
        Ran::Unknown(version) => Err(StoreError::Schema(newer(&version))),
        Ran::Beyond(version) => Err(StoreError::Conflict(format!(
            "the backup is older than this database, which has migration {version}; give an empty one, whose file or \
             schema is new"
        ))),
    }
}

/// How far it went.
enum Ran {
    All,
    Unknown(String),
    Beyond(String),
}

fn only<DB, H>(c: &mut H, known: &EmbeddedMigrations, versions: &[String]) -> Migrating<Ran>
where
    DB: diesel::backend::Backend,
    H: MigrationHarness<DB>,
    EmbeddedMigrations: MigrationSource<DB>,
{
    let all: Vec<Box<dyn Migration<DB>>> = known.migrations()?;
    let is = |it: &dyn Migration<DB>, version: &str| it.name().version().to_string() == version;
    if let Some(unknown) = versions.iter().find(|version| !all.iter().any(|it| is(it.as_ref(), version))) {
        return Ok(Ran::Unknown(unknown.clone()));
    }
    let applied: Vec<String> = c.applied_migrations()?.iter().map(ToString::to_string).collect();
    if let Some(beyond) = applied.iter().find(|it| !versions.contains(it)) {
        return Ok(Ran::Beyond(beyond.clone()));
    }
    for version in versions.iter().filter(|it| !applied.contains(it)) {
        for migration in all.iter().filter(|it| is(it.as_ref(), version)) {
            c.run_migration(migration.as_ref())?;
        }
    }
    Ok(Ran::All)
}

/// What is missing.
pub(super) fn pending(address: &Address) -> Result<Vec<String>, StoreError> {
    let mut c = Connection::open(address, Use::Migrating)?;
    let names = match &mut c.db {
        Backend::Sqlite(c) => missing(c, SQLITE),
        Backend::Postgres(c) => missing(c, POSTGRES),
    };
    names.map_err(|e| failed(&*e))
}

fn missing<DB, H>(c: &mut H, known: EmbeddedMigrations) -> Migrating<Vec<String>>
where
    DB: diesel::backend::Backend,
    H: MigrationHarness<DB>,
    EmbeddedMigrations: MigrationSource<DB>,
{
    let all: Vec<Box<dyn Migration<DB>>> = known.migrations()?;
    for version in c.applied_migrations()? {
        if !all.iter().any(|it| it.name().version() == version) {
            return Err(format!("migration {version} is not known here: a newer starkeep made this database").into());
        }
    }
    Ok(c.pending_migrations(known)?.iter().map(|it| it.name().to_string()).collect())
}

fn failed(error: &(dyn std::error::Error + Send + Sync)) -> StoreError {
    StoreError::Schema(format!("the schema was not brought up to date: {error}"))
}
