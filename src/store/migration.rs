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
