//! Every migration runs up with rows of the ones before it in place, down to nothing, and up again,
//! on both databases; both then hold the same tables, columns and indexes.

#[cfg(test)]
#[path = "support/postgres.rs"]
mod postgres;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use diesel::connection::{LoadConnection, SimpleConnection};
    use diesel::migration::MigrationConnection;
    use diesel::prelude::*;
    use diesel::sql_types::{BigInt, Text};
    use diesel::{PgConnection, SqliteConnection};
    use diesel_migrations::{FileBasedMigrations, MigrationHarness};
    use secrecy::SecretString;
    use starkeep::config::database::Database;
    use starkeep::store::Store;

    use super::postgres;

    /// A row for each table that a migration makes, in words that both databases understand. A new
    /// migration adds its own; the test fails for a table without a row.
    const SAMPLES: &[(&str, &str)] = &[
        (
            "0001_mirrors",
            "INSERT INTO mirrors (id, github_id, owner, name, named_at, source, status, created_at, updated_at) \
                 VALUES ('m', 1, 'octo', 'hello', 't', 'star', 'pending', 't', 't');
             INSERT INTO upstreams (mirror_id, private, archived, disabled, fork, size_kib, described_at) \
                 VALUES ('m', FALSE, FALSE, FALSE, TRUE, 5, 't');
             INSERT INTO mirror_names (mirror_id, owner, name, seen_at) VALUES ('m', 'octo', 'old', 't');
             INSERT INTO tips (mirror_id, ref, put) VALUES ('m', 'refs/heads/main', 'oid');
             INSERT INTO kept (mirror_id, ref, kept_ref, oid, reason, created_at) \
                 VALUES ('m', 'refs/heads/main', 'refs/starkeep/kept/1', 'oid', 'overwritten', 't');",
        ),
        (
            "0002_jobs",
            "INSERT INTO deliveries (guid, event, outcome, state, received_at, body, correlation_id) \
                 VALUES ('g', 'star', 'accepted', 'accepted', 't', '{}', 'c');
             INSERT INTO jobs (kind, mirror_id, state, priority, run_after, payload, correlation_id, created_at, \
                 updated_at) VALUES ('sync', 'm', 'queued', 0, 't', '{}', 'c', 't', 't');
             INSERT INTO delivery_jobs (guid, job_id) SELECT 'g', id FROM jobs;
             INSERT INTO syncs (mirror_id, correlation_id, started_at, outcome, engine) \
                 VALUES ('m', 'c', 't', 'running', 'relay');",
        ),
        (
            "0003_records",
            "INSERT INTO audit (at, actor, action, subject, outcome) VALUES ('t', 'admin', 'test', 'it', 'ok');
             INSERT INTO watched (login, account_id) VALUES ('octocat', 5);
             INSERT INTO settings (name, value) VALUES ('a', '1');",
        ),
        ("0004_stars", "INSERT INTO stars (mirror_id, account_id, starred_at) VALUES ('m', 5, 't');"),
        (
            "0005_lfs",
            "INSERT INTO lfs_objects (mirror_id, oid, size, state) VALUES ('m', 'oid', 5, 'there');
             INSERT INTO lfs_garbage (mirror_id, blob, reason) VALUES ('m', 'blob', 'no oid');
             INSERT INTO lfs_scans (mirror_id, whole) VALUES ('m', TRUE);",
        ),
        (
            "0006_catalog",
            "INSERT INTO catalogs (mirror_id, tip) VALUES ('m', 'oid');
             INSERT INTO catalog_feeds (mirror_id, feed, wanted, sweeping, page, paged) \
                 VALUES ('m', 'issues', TRUE, FALSE, 3, FALSE);
             INSERT INTO catalog_items (mirror_id, kind, id, number, oid, generation, body) \
                 VALUES ('m', 'issue', 7, 7, 'oid', 1, '');
             INSERT INTO catalog_assets (mirror_id, kind, id, key, number, name, url, is_there) \
                 VALUES ('m', 'release', 9, '1', 9, 'a.zip', '', FALSE);
             INSERT INTO catalog_todo (mirror_id, what, number) VALUES ('m', 'thread', 7);
             INSERT INTO catalog_entries (mirror_id, folder, name, is_tree, oid) VALUES ('m', 'issues', 'x', TRUE, 'oid');",
        ),
        (
            "0007_wiki",
            "INSERT INTO parts (mirror_id, part, state, updated_at) VALUES ('m', 'wiki', 'healthy', 't');
             INSERT INTO tips (mirror_id, part, ref, put) VALUES ('m', 'wiki', 'refs/heads/main', 'oid');
             INSERT INTO kept (mirror_id, part, ref, kept_ref, oid, reason, created_at) \
                 VALUES ('m', 'wiki', 'refs/heads/main', 'refs/starkeep/kept/1', 'oid', 'overwritten', 't');
             INSERT INTO syncs (mirror_id, part, correlation_id, started_at, outcome, engine) \
                 VALUES ('m', 'wiki', 'c', 't', 'changed', 'relay');
             INSERT INTO jobs (kind, mirror_id, state, priority, run_after, payload, correlation_id, created_at, \
                 updated_at) VALUES ('wiki', 'm', 'queued', 0, 't', '{}', 'c', 't', 't');",
        ),
        (
            "0008_marker",
            "INSERT INTO markers (mirror_id, marker, facts, written_at) VALUES ('m', 'oid', 'digest', 't');
             INSERT INTO ref_changes (mirror_id, ref, new, at) VALUES ('m', 'refs/heads/main', 'oid', 't');
             INSERT INTO states (mirror_id, at, digest, last_change) VALUES ('m', 't', 'digest', 1);
             INSERT INTO drills (mirror_id, at, outcome, refs, objects, bytes, millis) \
                 VALUES ('m', 't', 'ok', 1, 3, 200, 5);",
        ),
        ("0009_transports", "UPDATE upstreams SET network_id = 8;"),
        (
            "0010_restore",
            "INSERT INTO catalog_commits (mirror_id, at, oid) VALUES ('m', 't', 'oid');
             INSERT INTO ref_changes (mirror_id, part, ref, new, at) VALUES ('m', 'wiki', 'refs/heads/main', 'oid', 't');
             INSERT INTO states (mirror_id, part, at, digest, last_change) VALUES ('m', 'wiki', 't', 'digest', 2);
             UPDATE drills SET lfs_objects = 2, lfs_bytes = 7, lfs_unread = 1;",
        ),
        (
            "0011_lfs_reach",
            "UPDATE lfs_objects SET reachable = FALSE;
             UPDATE lfs_scans SET doubted = FALSE, searched_at = 't', \
                 elsewhere = 'at another server lfs.example.org';",
        ),
        (
            "0012_polling",
            "INSERT INTO star_polls (login, account_id, next_at, total) VALUES ('octocat', 5, 't', 1);
             INSERT INTO starred (account_id, github_id, starred_at, added_at, scan) VALUES (5, 1, 't', 't', 1);
             INSERT INTO rate_limits (credential, resource, quota, updated_at) VALUES ('token', 'core', 5000, 't');",
        ),
        (
            "0013_lists",
            "INSERT INTO list_readings (account_id, next_at) VALUES (5, 't');
             INSERT INTO star_lists (account_id, list_id, place, name, slug, private, folder) \
                 VALUES (5, 'UL_1', 0, 'Tools', 'tools', FALSE, 'Tools');
             INSERT INTO star_listed (account_id, list_id, github_id) VALUES (5, 'UL_1', 1);
             INSERT INTO list_news (github_id) VALUES (1);
             INSERT INTO list_labels (mirror_id, name, spec_id, project_id, ours, is_there) \
                 VALUES ('m', 'Tools', 3, 9, TRUE, TRUE);",
        ),
        (
            "0014_listings",
            "INSERT INTO listings (id, wanted, correlation_id, created_at) VALUES ('b', '{}', 'c', 't');
             INSERT INTO listed (listing, github_id, owner, name, size_kib, finding) \
                 VALUES ('b', 1, 'octo', 'hello', 5, 'new');",
        ),
        (
            "0015_sweep",
            "INSERT INTO lookouts (mirror_id, node_id) VALUES ('m', 'R_1');
             INSERT INTO sweeps (name, next_at) VALUES ('upstreams', 't');",
        ),
        (
            "0016_vanished",
            "INSERT INTO vanished (mirror_id, at, state, whose) VALUES ('m', 't', 'held', 'octo');",
        ),
        (
            "0017_app",
            "INSERT INTO installations (id, account_id, login, selection, permissions, updated_at) \
                 VALUES (77, 5, 'octocat', 'all', '{}', 't');
             INSERT INTO recoveries (app_id, next_at, looked_to) VALUES (4242, 't', 't');
             INSERT INTO missed_deliveries (guid, delivery_id, event, delivered_at) VALUES ('g', 9, 'star', 't');",
        ),
        (
            "0018_api_keys",
            "INSERT INTO api_keys (id, name, prefix, hash, scopes, created_by, created_at) \
                 VALUES ('k', 'ci', 'sk_abcdefgh', 'argon2id', 'mirrors:read', 'admin', 't');",
        ),
        ("0019_audit_chain", "UPDATE audit SET seq = 1, hash = 'hash';"),
        (
            "0020_sources",
            "INSERT INTO listings (id, wanted, declared, correlation_id, created_at) VALUES ('s', '{}', TRUE, 'c', 't');",
        ),
        (
            "0021_notices",
            "INSERT INTO notified (subject, condition) VALUES ('m', 'failed');
             INSERT INTO notices (id, channel, body, created_at, next_at) VALUES ('n', 'webhook', '{}', 't', 't');",
        ),
        (
            "0022_idempotency",
            "INSERT INTO keyed_calls (id, digest, holder, held_until, created_at) VALUES ('i', 'd', 'h', 't', 't');",
        ),
        ("0023_events", "INSERT INTO events (at, mirror_id, stage, bytes) VALUES ('t', 'm', 'transfer', 5);"),
        (
            "0024_sessions",
            "INSERT INTO sessions (id, actor, scopes, created_at, expires_at) VALUES ('s', 'admin', 'admin', 't', 't');
             INSERT INTO invitations (id, expires_at) VALUES ('i', 't');",
        ),
    ];

    const SQLITE_COLUMNS: &str = "SELECT t.name || '.' || c.name || CASE c.\"notnull\" WHEN 1 THEN '' ELSE '?' END AS text \
        FROM sqlite_master AS t JOIN pragma_table_info(t.name) AS c \
        WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE '\\_\\_%' ESCAPE '\\'";
    const POSTGRES_COLUMNS: &str = "SELECT table_name || '.' || column_name || \
        CASE is_nullable WHEN 'NO' THEN '' ELSE '?' END AS text \
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%'";
    const SQLITE_INDEXES: &str =
        "SELECT name AS text FROM sqlite_master WHERE type = 'index' AND name NOT LIKE 'sqlite%'";
    const POSTGRES_INDEXES: &str = "SELECT indexname::text AS text FROM pg_indexes WHERE schemaname = 'public' \
        AND indexname NOT LIKE '%\\_pkey' AND indexname NOT LIKE '%\\_key'";

    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text)]
        text: String,
    }

    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        rows: i64,
    }

    fn migrations(database: &str) -> FileBasedMigrations {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
        FileBasedMigrations::from_path(folder).unwrap()
    }

    fn lines<C>(c: &mut C, sql: &str) -> BTreeSet<String>
    where
        C: LoadConnection,
        diesel::query_builder::SqlQuery: for<'q> diesel::query_dsl::LoadQuery<'q, C, Line>,
    {
        diesel::sql_query(sql).load::<Line>(c).unwrap().into_iter().map(|it| it.text).collect()
    }

    /// Up step by step with rows in place, down step by step, up again.
    fn walk<C, DB>(c: &mut C, database: &str, columns: &str)
    where
        DB: diesel::backend::Backend,
        C: MigrationHarness<DB> + SimpleConnection + MigrationConnection + LoadConnection<Backend = DB>,
        FileBasedMigrations: diesel::migration::MigrationSource<DB>,
        diesel::query_builder::SqlQuery: for<'q> diesel::query_dsl::LoadQuery<'q, C, Line>,
        diesel::query_builder::SqlQuery: for<'q> diesel::query_dsl::LoadQuery<'q, C, Count>,
    {
        let names = diesel::migration::MigrationSource::<DB>::migrations(&migrations(database)).unwrap();
        let mut names: Vec<String> = names.iter().map(|it| it.name().to_string()).collect();
        names.sort();
        assert_eq!(
            names,
            SAMPLES.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            "each migration has its sample rows"
        );
        for round in 0..2 {
            for (name, rows) in SAMPLES {
                c.run_next_migration(migrations(database)).unwrap();
                c.batch_execute(rows).unwrap_or_else(|e| panic!("{database} {name}: {e}"));
            }
            let all = lines(c, columns);
            let tables: BTreeSet<&str> = all.iter().filter_map(|it| it.split('.').next()).collect();
            for table in tables {
                let count: Count = diesel::sql_query(format!("SELECT COUNT(*) AS rows FROM {table}"))
                    .load::<Count>(c)
                    .unwrap()
                    .remove(0);
                assert!(count.rows > 0, "{database}: no sample row in {table}, round {round}");
            }
            for (name, _) in SAMPLES.iter().rev() {
                c.revert_last_migration(migrations(database)).unwrap_or_else(|e| panic!("{database} {name}: {e}"));
            }
            assert_eq!(lines(c, columns), BTreeSet::new(), "{database}: something is left, round {round}");
        }
        c.run_pending_migrations(migrations(database)).unwrap();
    }

    fn sqlite() -> SqliteConnection {
        let mut c = SqliteConnection::establish(":memory:").unwrap();
        c.batch_execute("PRAGMA foreign_keys = ON").unwrap();
        c
    }

    #[test]
    fn each_migration_goes_up_and_down_over_rows_on_sqlite() {
        walk(&mut sqlite(), "sqlite", SQLITE_COLUMNS);
    }

    #[test]
    fn each_migration_goes_up_and_down_over_rows_on_postgres() {
        let Some(fresh) = postgres::fresh() else { return };
        walk(&mut PgConnection::establish(&fresh.url).unwrap(), "postgres", POSTGRES_COLUMNS);
    }

    #[test]
    fn both_databases_hold_the_same() {
        let Some(fresh) = postgres::fresh() else { return };
        let (mut left, mut right) = (sqlite(), PgConnection::establish(&fresh.url).unwrap());
        left.run_pending_migrations(migrations("sqlite")).unwrap();
        right.run_pending_migrations(migrations("postgres")).unwrap();
        assert_eq!(lines(&mut left, SQLITE_COLUMNS), lines(&mut right, POSTGRES_COLUMNS));
        assert_eq!(lines(&mut left, SQLITE_INDEXES), lines(&mut right, POSTGRES_INDEXES));
    }

    /// Migrations from before the first version that could be updated while another runs.
    const PAST: [&str; 2] = ["0007_wiki", "0010_restore"];

    /// What a statement takes away from a process that was started before it, if it does: a name that its statements
    /// hold, an index that its `ON CONFLICT` needs, a column that its `INSERT` does not know.
    fn taken_away(statement: &str) -> Option<&'static str> {
        let words: Vec<String> = statement.split_whitespace().map(str::to_ascii_uppercase).collect();
        let has = |sought: &[&str]| words.windows(sought.len()).any(|it| it.iter().zip(sought).all(|(a, b)| a == b));
        let adds = has(&["ADD", "COLUMN"]) && has(&["NOT", "NULL"]) && !has(&["DEFAULT"]);
        let taken = [
            (has(&["DROP", "TABLE"]) || has(&["DROP", "COLUMN"]), "a table or column goes"),
            (has(&["DROP", "CONSTRAINT"]) || has(&["DROP", "INDEX"]), "a constraint or index goes"),
            (has(&["RENAME"]), "something is renamed"),
            (has(&["TYPE"]) || has(&["SET", "NOT", "NULL"]), "a column changes"),
            (adds, "a column must be given"),
        ];
        taken.into_iter().find_map(|(is, what)| is.then_some(what))
    }

    /// Versions run side by side while one replaces the other: see "Updating" in `docs/operations.md`.
    #[test]
    fn a_migration_takes_nothing_away_from_the_version_before_it() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
        for (name, _) in SAMPLES {
            let sql = std::fs::read_to_string(folder.join(name).join("up.sql")).unwrap();
            let sql: String =
                sql.lines().map(|it| it.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
            let taken: Vec<_> = sql.split(';').filter_map(|it| Some((it.trim().to_owned(), taken_away(it)?))).collect();
            assert_eq!(!taken.is_empty(), PAST.contains(name), "{name}: {taken:#?}");
        }
        assert_eq!(taken_away("ALTER TABLE jobs ADD COLUMN x TEXT NOT NULL"), Some("a column must be given"));
        assert_eq!(taken_away("ALTER TABLE jobs ADD COLUMN x TEXT NOT NULL DEFAULT ''"), None);
    }

    async fn store(url: &str) -> Store {
        Store::open(&Database { url: SecretString::from(url.to_owned()), migrate: true }).await.unwrap()
    }

    /// Several processes start at once on an empty database; a later, newer one leaves a migration
    /// behind that this version does not know.
    async fn race_and_refuse(url: &str, newer: impl FnOnce()) {
        let mut stores = Vec::new();
        for _ in 0..4 {
            stores.push(store(url).await);
        }
        assert_eq!(stores[0].pending_migrations().await.unwrap().len(), SAMPLES.len());
        let all = futures_util::future::join_all(stores.iter().map(Store::migrate)).await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        assert!(stores[0].pending_migrations().await.unwrap().is_empty());
        stores[0].check().await.unwrap();
        newer();
        let error = stores[0].migrate().await.unwrap_err();
        assert_eq!(error.code(), "database_schema");
        assert!(error.to_string().contains("newer"), "{error}");
    }

    const NEWER: &str = "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')";

    #[tokio::test(flavor = "multi_thread")]
    async fn processes_that_start_at_once_migrate_once_on_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("starkeep.db");
        let newer = || SqliteConnection::establish(path.to_str().unwrap()).unwrap().batch_execute(NEWER).unwrap();
        race_and_refuse(&format!("sqlite://{}", path.display()), newer).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn processes_that_start_at_once_migrate_once_on_postgres() {
        let Some(fresh) = tokio::task::spawn_blocking(postgres::fresh).await.unwrap() else { return };
        race_and_refuse(&fresh.url, || fresh.run(NEWER)).await;
    }
}
