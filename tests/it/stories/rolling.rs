//! An update while the service goes on: the new version has changed the database, the old one still runs.

use super::commands::run;
use crate::world::{Backend, World};

/// What a newer version may have done: a column more in every table, a table more, and its own migration recorded.
const EXPANDED: &str = "
    DO $$ DECLARE t text; BEGIN
        FOR t IN SELECT table_name FROM information_schema.tables
                 WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name NOT LIKE '\\_\\_diesel%'
        LOOP EXECUTE format('ALTER TABLE %I ADD COLUMN of_a_newer_version TEXT NOT NULL DEFAULT ''new''', t); END LOOP;
    END $$;
    CREATE TABLE of_a_newer_version (id BIGINT PRIMARY KEY);
    INSERT INTO __diesel_schema_migrations (version) VALUES ('9999');
";

#[actix::test]
async fn an_old_process_goes_on_while_a_newer_one_has_changed_the_database() {
    let Some(mut world) = World::new(Backend::Postgres) else { return };
    world.config.sync.metadata = true;
    world.config.sync.wiki = true;
    world.attach().await;
    let (first, second) = (world.repository("octo", "first"), world.repository("octo", "second"));
    let old = [world.process_as("web"), world.process_as("worker")];
    world.star_by(&old[0], first).await;

    world.run_sql(EXPANDED);
    for round in 0..3 {
        world.github().commit(first, "main", "more", &round.to_string()).unwrap();
        world.github().force_branch(first, "side").ok();
        old[0].take(&world.github().push(first, "refs/heads/main", None, None).unwrap()).await;
        world.star_by(&old[0], second).await;
        world.assert_healthy(first).await;
    }
    let errors = |line: &String| line.contains("database_") || line.contains("\"ERROR\"");
    for process in &old {
        let log: Vec<_> = process.log().into_iter().filter(errors).collect();
        assert!(log.is_empty(), "{log:#?}");
    }

    // One that starts now cannot know what the newer version means by its rows, and says so.
    for command in [&["serve"][..], &["migrate"]] {
        let (code, _, said) = run(&world, command);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("9999") && said.contains("newer starkeep"), "{said}");
    }
    for process in old {
        assert!(process.terminate().success());
    }
}
