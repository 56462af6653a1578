//! Databases whose tables are filled without the service.

use std::path::Path;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection, SqliteConnection};
use secrecy::SecretString;
use starkeep::config::database::Database;
use starkeep::store::Store;

use crate::postgres;

type Run = dyn Fn(&str) -> anyhow::Result<()>;

/// A database, and how rows come into it without the service.
pub(crate) struct Bed {
    pub(crate) url: String,
    run: Box<Run>,
    /// Numbers from 1 to `$N` as `n`, and one of them as twelve digits.
    numbers: &'static str,
    digits: &'static str,
}

/// A SQLite file in a folder.
pub(crate) fn sqlite(folder: &Path) -> Bed {
    let path = folder.join(format!("{}.db", uuid::Uuid::new_v4()));
    let url = format!("sqlite://{}", path.display());
    let run = move |sql: &str| {
        let mut c = SqliteConnection::establish(&path.to_string_lossy())?;
        Ok(c.batch_execute(&format!("PRAGMA busy_timeout = 60000; {sql}"))?)
    };
    Bed {
        url,
        run: Box::new(run),
        numbers: "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < $N) SELECT n FROM s) AS s",
        digits: "printf('%012d', n)",
    }
}

/// A Postgres database; none where there is no Postgres.
pub(crate) fn postgres() -> Option<Bed> {
    let fresh = postgres::fresh()?;
    let url = fresh.url.clone();
    let run = move |sql: &str| Ok(PgConnection::establish(&fresh.url)?.batch_execute(sql)?);
    Some(Bed { url, run: Box::new(run), numbers: "generate_series(1, $N) AS s(n)", digits: "lpad(n::text, 12, '0')" })
}

impl Bed {
    pub(crate) async fn store(&self) -> anyhow::Result<Store> {
        let store = Store::open(&Database { url: SecretString::from(self.url.clone()), migrate: true }).await?;
        store.migrate().await?;
        Ok(store)
    }

    /// Fills a table with so many rows: `INSERT INTO table columns SELECT values`.
    fn fill(&self, into: &str, values: &str, count: usize) -> anyhow::Result<()> {
        let numbers = self.numbers.replace("$N", &count.to_string());
        let values = values.replace("$ID", &format!("'00000000-0000-7000-8000-' || {}", self.digits));
        let at = "'2026-01-01T00:00:00.000000Z'";
        (self.run)(&format!("INSERT INTO {into} SELECT {} FROM {numbers}", values.replace("$AT", at)))
    }

    /// Mirrors: each with a job that is due, or paused, so that nobody works on them.
    pub(crate) fn mirrors(&self, count: usize, jobs: bool) -> anyhow::Result<()> {
        let status = if jobs { "pending" } else { "paused" };
        self.fill(
            "mirrors (id, github_id, owner, name, named_at, source, status, created_at, updated_at)",
            &format!("$ID, n, 'octo', 'repository-' || n, $AT, 'star', '{status}', $AT, $AT"),
            count,
        )?;
        self.fill(
            "upstreams (mirror_id, private, archived, disabled, fork, size_kib, described_at)",
            "$ID, FALSE, FALSE, FALSE, FALSE, 1, $AT",
            count,
        )?;
        if !jobs {
            return Ok(());
        }
        self.fill(
            "jobs (kind, mirror_id, state, priority, run_after, payload, correlation_id, created_at, updated_at)",
            "'sync', $ID, 'queued', 10, $AT, '{}', $ID, $AT, $AT",
            count,
        )
    }

    /// Entries of the audit log, chained as far as their form goes.
    pub(crate) fn entries(&self, count: usize) -> anyhow::Result<()> {
        let columns = "audit (at, actor, action, subject, outcome, seq, hash)";
        self.fill(columns, "$AT, 'admin', 'mirror.sync', $ID, 'ok', n, $ID", count)?;
        (self.run)(&format!("UPDATE audit_ends SET seq = {count} WHERE name = 'head'"))
    }
}
