//! The whole state as one file, out of a database that goes on being used, and into an empty one.
//!
//! A file is lines of JSON: a head, then for each table its name and its rows, then the count and the SHA-256 of
//! all bytes before that line. Both databases have the same tables, and times are text on both, so a file of one
//! can be read into the other. Rows are one consistent view: that of one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::connection::DefaultLoadingMode;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::backend::Backend;
use super::connection::Connection;
use super::error::StoreError;
use super::{Store, blocking, migration};

/// Of the file's form.
const FORM: u32 = 1;
/// Rows that are inserted at once, and bytes of them.
const BATCH: (usize, usize) = (500, 4 << 20);
/// A line that is longer is no row of ours.
const LONGEST_LINE: u64 = 64 << 20;
/// Rows here mean that somebody has used the database.
const USED: [&str; 3] = ["mirrors", "deliveries", "audit"];

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Of the file's form.
    starkeep_state: u32,
    /// The program that wrote it.
    pub version: String,
    /// `sqlite` or `postgres`.
    pub database: String,
    /// When its view of the data was taken.
    pub made_at: DateTime<Utc>,
    /// The schema: versions of the migrations, in their order.
    migrations: Vec<String>,
}

/// What was written or read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// What the file says of itself.
    #[serde(flatten)]
    pub head: Head,
    /// Tables with at least one row.
    pub tables: usize,
    /// All rows.
    pub rows: u64,
}

#[derive(Serialize, Deserialize)]
struct TableLine {
    table: String,
}

#[derive(Serialize, Deserialize)]
struct EndLine {
    rows: u64,
    sha256: String,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(QueryableByName)]
struct Pair {
    #[diesel(sql_type = Text)]
    one: String,
    #[diesel(sql_type = Text)]
    other: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// A table and its columns with their types.
type Tables = BTreeMap<String, Vec<(String, String)>>;

impl Store {
    /// Writes all there is into `file`, while others read and write.
    ///
    /// # Errors
    /// Those of [`Store::read`]; [`StoreError::Refused`] when the file cannot be written.
    pub async fn back_up(&self, file: File) -> Result<Backup, StoreError> {
        let address = self.inner.address.clone();
        let migrations = blocking(move || migration::applied(&address)).await?;
        let database = if self.is_postgres() { "postgres" } else { "sqlite" }.to_owned();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let head = Head { starkeep_state: FORM, version, database, made_at: Utc::now(), migrations };
        self.read(move |c| write_all(c, head, file)).await
    }

    /// Checks a file to its end, then reads it into this database, which must be empty: all of it or nothing.
    /// An older file is read into the schema that it was made with, which is then brought up to date.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for a file that is damaged or not whole, [`StoreError::Schema`] for one of a newer
    /// version, [`StoreError::Conflict`] for a database that is in use; else as [`Store::write`].
    pub async fn restore_state(&self, path: &Path) -> Result<Backup, StoreError> {
        let _lock = self.serve_lock()?;
        let checked = {
            let path = path.to_owned();
            blocking(move || check(&path)).await?
        };
        let last = checked.head.migrations.clone();
        let address = self.inner.address.clone();
        blocking(move || migration::run_to(&address, &last)).await?;
        let source: Arc<PathBuf> = Arc::new(path.to_owned());
        self.write(move |c| read_all(c, &source)).await?;
        self.migrate().await?;
        Ok(checked)
    }
}

fn write_all(c: &mut Connection, head: Head, file: File) -> Result<Backup, StoreError> {
    let mut out = Hashed { to: BufWriter::new(file), hash: Sha256::new() };
    out.line(&head)?;
    unhurried(c)?;
    let tables = tables(c)?;
    let (mut filled, mut rows) = (0, 0);
    for table in in_order(c, &tables)? {
        let columns = tables.get(&table).map(Vec::as_slice).unwrap_or_default();
        let before = rows;
        each_row(c, &table, columns, |line| {
            if rows == before {
                out.line(&TableLine { table: table.clone() })?;
            }
            rows += 1;
            out.raw(line)
        })?;
        filled += usize::from(rows > before);
    }
    let sha256 = hex::encode(out.hash.clone().finalize());
    out.line(&EndLine { rows, sha256 })?;
    let file = out.to.into_inner().map_err(|error| unwritten(error.error()))?;
    file.sync_all().map_err(|error| unwritten(&error))?;
    Ok(Backup { head, tables: filled, rows })
}

/// One JSON object a row; bytes as `\x…`, as Postgres writes them.
fn each_row(
    c: &mut Connection,
    table: &str,
    columns: &[(String, String)],
    mut take: impl FnMut(&str) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    match &mut c.db {
        Backend::Postgres(c) => {
            let query = diesel::sql_query(format!("SELECT row_to_json(t)::text AS line FROM \"{table}\" t"));
            for row in query.load_iter::<Row, PgRowByRowLoadingMode>(c)? {
                take(&row?.line)?;
            }
        }
        Backend::Sqlite(c) => {
            let value = |(name, kind): &(String, String)| match kind.as_str() {
                "BLOB" => format!("'{name}', '\\x' || lower(hex(\"{name}\"))"),
                _ => format!("'{name}', \"{name}\""),
            };
            let values: Vec<String> = columns.iter().map(value).collect();
            let query = format!("SELECT json_object({}) AS line FROM \"{table}\"", values.join(", "));
            for row in diesel::sql_query(query).load_iter::<Row, DefaultLoadingMode>(c)? {
                take(&row?.line)?;
            }
        }
    }
    Ok(())
}

/// Reads a file to its end without using it.
fn check(path: &Path) -> Result<Backup, StoreError> {
    let mut lines = Lines::open(path)?;
    let head = lines.head()?;
    let (mut hash, mut rows, mut tables) = (Sha256::new(), 0, 0);
    hash.update(lines.bytes());
    while lines.next()? {
        if let Some(end) = lines.end() {
            if end.rows != rows || end.sha256 != hex::encode(hash.finalize()) {
                return Err(lines.damaged("its checksum does not fit what it holds"));
            }
            if lines.next()? {
                return Err(lines.damaged("something follows its end"));
            }
            return Ok(Backup { head, tables, rows });
        }
        hash.update(lines.bytes());
        match lines.table() {
            Some(_) => tables += 1,
            None => rows += 1,
        }
    }
    Err(lines.damaged("its end is missing"))
}

fn read_all(c: &mut Connection, path: &Path) -> Result<(), StoreError> {
    unhurried(c)?;
    let tables = tables(c)?;
    for table in USED {
        if count(c, table)? > 0 {
            let why = "there is state in this database already; give an empty one, whose file or schema is new";
            return Err(StoreError::Conflict(why.to_owned()));
        }
    }
    // What migrations put there comes out of the file too.
    for table in in_order(c, &tables)?.iter().rev().filter(|it| !USED.contains(&it.as_str())) {
        execute(c, &format!("DELETE FROM \"{table}\""))?;
    }
    let mut lines = Lines::open(path)?;
    lines.head()?;
    let (mut table, mut batch, mut bytes) = (String::new(), Vec::new(), 0);
    while lines.next()? {
        let next = lines.table();
        let is_end = lines.end().is_some();
        if next.is_some() || is_end || batch.len() >= BATCH.0 || bytes >= BATCH.1 {
            insert(c, &tables, &table, &std::mem::take(&mut batch))?;
            bytes = 0;
        }
        match next {
            _ if is_end => break,
            Some(it) if !tables.contains_key(&it) => {
                return Err(lines.damaged(&format!("this database has no table `{it}`")));
            }
            Some(it) => table = it,
            None => {
                bytes += lines.text().len();
                batch.push(lines.text().to_owned());
            }
        }
    }
    count_on(c, &tables)
}

fn insert(c: &mut Connection, tables: &Tables, table: &str, rows: &[String]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows = format!("[{}]", rows.join(","));
    let columns = tables.get(table).map(Vec::as_slice).unwrap_or_default();
    let names: Vec<String> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let names = names.join(", ");
    let query = if c.is_postgres() {
        format!(
            "INSERT INTO \"{table}\" ({names}) SELECT {names} FROM json_populate_recordset(NULL::\"{table}\", $1::json)"
        )
    } else {
        let value = |(name, kind): &(String, String)| match kind.as_str() {
            "BLOB" => format!("unhex(substr(json_extract(value, '$.{name}'), 3))"),
            _ => format!("json_extract(value, '$.{name}')"),
        };
        let values: Vec<String> = columns.iter().map(value).collect();
        format!("INSERT INTO \"{table}\" ({names}) SELECT {} FROM json_each($1)", values.join(", "))
    };
    diesel::sql_query(query).bind::<Text, _>(rows).execute(&mut c.db)?;
    Ok(())
}

/// Postgres counts its ids by itself, whatever rows say.
fn count_on(c: &mut Connection, tables: &Tables) -> Result<(), StoreError> {
    if !c.is_postgres() {
        return Ok(());
    }
    for table in tables
        .iter()
        .filter(|(_, columns)| columns.iter().any(|(name, kind)| name == "id" && kind == "bigint"))
        .map(|it| it.0)
    {
        let query = format!(
            "SELECT coalesce(setval(pg_get_serial_sequence('\"{table}\"', 'id'), (SELECT max(id) FROM \"{table}\")), 0) \
             AS count WHERE pg_get_serial_sequence('\"{table}\"', 'id') IS NOT NULL"
        );
        let _moved: Vec<Count> = diesel::sql_query(query).load(&mut c.db)?;
    }
    Ok(())
}

/// No bound on one statement: a table may be long. SQLite checks what rows refer to at the end.
fn unhurried(c: &mut Connection) -> Result<(), StoreError> {
    let postgres = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
    let all: Vec<&str> =
        if c.is_postgres() { postgres.split(';').collect() } else { vec!["PRAGMA defer_foreign_keys = ON"] };
    all.into_iter().try_for_each(|it| execute(c, it))
}

fn execute(c: &mut Connection, query: &str) -> Result<(), StoreError> {
    diesel::sql_query(query).execute(&mut c.db)?;
    Ok(())
}

fn count(c: &mut Connection, table: &str) -> Result<i64, StoreError> {
    let counted: Count =
        diesel::sql_query(format!("SELECT count(*) AS count FROM \"{table}\"")).get_result(&mut c.db)?;
    Ok(counted.count)
}

fn tables(c: &mut Connection) -> Result<Tables, StoreError> {
    let query = if c.is_postgres() {
        "SELECT table_name::text AS one, column_name::text || ' ' || data_type AS other \
         FROM information_schema.columns WHERE table_schema = current_schema() \
         AND table_name NOT LIKE '\\_\\_%' ORDER BY table_name, ordinal_position"
    } else {
        "SELECT m.name AS one, f.name || ' ' || f.type AS other FROM sqlite_schema m, pragma_table_info(m.name) f \
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\' \
         ORDER BY m.name, f.cid"
    };
    let columns: Vec<Pair> = diesel::sql_query(query).load(&mut c.db)?;
    let mut tables = Tables::new();
    for Pair { one, other } in columns {
        let (name, kind) = other.split_once(' ').unwrap_or((&other, ""));
        tables.entry(one).or_default().push((name.to_owned(), kind.to_owned()));
    }
    Ok(tables)
}

/// Tables that others refer to before those others.
fn in_order(c: &mut Connection, tables: &Tables) -> Result<Vec<String>, StoreError> {
    let query = if c.is_postgres() {
        "SELECT conrelid::regclass::text AS one, confrelid::regclass::text AS other FROM pg_constraint \
         WHERE contype = 'f' AND connamespace = current_schema()::regnamespace"
    } else {
        "SELECT m.name AS one, f.\"table\" AS other FROM sqlite_schema m, pragma_foreign_key_list(m.name) f \
         WHERE m.type = 'table'"
    };
    let mut refers: BTreeSet<(String, String)> = BTreeSet::new();
    for Pair { one, other } in diesel::sql_query(query).load::<Pair>(&mut c.db)? {
        if one != other {
            refers.insert((one, other));
        }
    }
    let (mut ordered, mut left): (Vec<String>, BTreeSet<&String>) = (Vec::new(), tables.keys().collect());
    while !left.is_empty() {
        let free = |it: &&String| !refers.iter().any(|(one, other)| one == *it && left.contains(other));
        // A circle cannot be ordered; there is none.
        let next: Vec<&String> = left.iter().copied().filter(free).collect();
        let next = if next.is_empty() { left.iter().copied().collect() } else { next };
        for it in next {
            left.remove(it);
            ordered.push(it.clone());
        }
    }
    Ok(ordered)
}

/// Writes lines, and knows what was written.
struct Hashed<W: Write> {
    to: BufWriter<W>,
    hash: Sha256,
}

impl<W: Write> Hashed<W> {
    fn line(&mut self, it: &impl Serialize) -> Result<(), StoreError> {
        let text = serde_json::to_string(it).map_err(|error| StoreError::Refused(error.to_string()))?;
        self.raw(&text)
    }

    fn raw(&mut self, line: &str) -> Result<(), StoreError> {
        self.hash.update(line);
        self.hash.update("\n");
        let written = self.to.write_all(line.as_bytes()).and_then(|()| self.to.write_all(b"\n"));
        written.map_err(|error| unwritten(&error))
    }
}

/// Reads a file line by line.
struct Lines {
    from: BufReader<File>,
    shown: String,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, StoreError> {
        let shown = path.display().to_string();
        let file = File::open(path).map_err(|error| StoreError::Refused(format!("{shown}: {error}")))?;
        Ok(Self { from: BufReader::new(file), shown, line: Vec::new(), number: 0 })
    }

    /// The next line; `false` at the end.
    fn next(&mut self) -> Result<bool, StoreError> {
        self.line.clear();
        self.number += 1;
        let read = self.from.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut self.line);
        match read {
            Ok(0) => Ok(false),
            Ok(_) if self.line.ends_with(b"\n") && std::str::from_utf8(&self.line).is_ok() => Ok(true),
            Ok(_) => Err(self.damaged("the line is cut off, too long or no text")),
            Err(error) => Err(StoreError::Refused(format!("{}: {error}", self.shown))),
        }
    }

    fn head(&mut self) -> Result<Head, StoreError> {
        let head = if self.next()? { serde_json::from_slice::<Head>(&self.line).ok() } else { None };
        match head {
            None => Err(self.damaged("it is no file that `starkeep backup` wrote")),
            Some(head) if head.starkeep_state != FORM => {
                let why = format!("{} has the form {}, which is not known here", self.shown, head.starkeep_state);
                Err(StoreError::Schema(format!("{why}: use the version of starkeep that wrote it, {}", head.version)))
            }
            Some(head) => Ok(head),
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.line
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.line).unwrap_or_default().trim_end()
    }

    /// A row always has more than this one field, or another.
    fn table(&self) -> Option<String> {
        self.line
            .starts_with(b"{\"table\":")
            .then(|| serde_json::from_slice::<TableLine>(&self.line).ok())?
            .map(|it| it.table)
    }

    fn end(&self) -> Option<EndLine> {
        self.line.starts_with(b"{\"rows\":").then(|| serde_json::from_slice(&self.line).ok())?
    }

    fn damaged(&self, why: &str) -> StoreError {
        StoreError::Corrupt(format!("{}, line {}: {why}", self.shown, self.number))
    }
}

fn unwritten(error: &std::io::Error) -> StoreError {
    StoreError::Refused(format!("the backup cannot be written: {error}"))
}
