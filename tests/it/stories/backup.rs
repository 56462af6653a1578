//! The database as a file: written while the service goes on, read into an empty one of either kind.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::commands::{json, run};
use crate::world::{Backend, World, on_both};

impl World {
    /// Five mirrors, with issues and releases of one of them.
    async fn inhabited(&mut self) {
        self.config.sync.metadata = true;
        self.start().await;
        self.populated().await;
        let talk = self.repository("octo", "talk");
        self.github().open_issue(talk, "An issue", "with \\ \" 'ä' \u{1f980}\n").unwrap();
        self.star(talk).await;
        self.drain().await;
    }

    fn backed_up(&self, file: &str) -> PathBuf {
        let (code, out, err) = run(self, &["backup", file]);
        assert_eq!((code, out.contains("rows of")), (Some(0), true), "{out}{err}");
        self.folder.path().join(file)
    }

    fn told(&self) -> String {
        let (code, out, err) = run(self, &["status", "--json"]);
        assert_eq!(code, Some(0), "{err}");
        out
    }
}

/// Tables with their rows, in an order of their own.
fn rows(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let (mut table, mut all) = (String::new(), Vec::new());
    for line in text.lines().skip(1) {
        match line.strip_prefix("{\"table\":") {
            Some(name) => name.clone_into(&mut table),
            None if line.starts_with("{\"rows\":") => {}
            None => all.push(format!("{table} {}", normal(line))),
        }
    }
    all.sort();
    all
}

/// Fields in their order; SQLite has numbers for what is true and false.
fn normal(row: &str) -> String {
    let mut row = json(row);
    for value in row.as_object_mut().unwrap().values_mut() {
        if let Some(it) = value.as_bool() {
            *value = i64::from(it).into();
        }
    }
    row.to_string()
}

on_both! {
async fn a_lost_database_comes_back_as_it_was_when_it_was_backed_up(world: World) {
    let mut world = world;
    world.inhabited().await;
    let (before, file) = (world.told(), world.backed_up("state"));
    // What happens afterwards is not in it, and is found again by looking.
    let later = world.repository("octo", "later");
    world.star(later).await;
    world.lose_database().await;
    let (code, out, err) = run(&world, &["restore-state", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(world.told(), before);
    assert_eq!(rows(&world.backed_up("again")), rows(&file));
    world.start().await;
    world.chained().await;
    world.star(later).await;
    world.assert_healthy(later).await;
    world.end().await;
}
}

#[actix::test]
async fn what_sqlite_held_goes_into_postgres_and_back() {
    let mut world = World::new(Backend::Sqlite).unwrap();
    let Some(mut other) = World::new(Backend::Postgres) else { return };
    world.inhabited().await;
    let file = world.backed_up("state");
    let (code, out, err) = run(&other, &["restore-state", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(other.told(), world.told());
    let back = other.backed_up("state");
    assert_eq!(rows(&back), rows(&file));
    world.lose_database().await;
    assert_eq!(run(&world, &["restore-state", back.to_str().unwrap()]).0, Some(0));
    assert_eq!(world.told(), other.told());
    assert_eq!(rows(&world.backed_up("again")), rows(&file));
    // New rows get ids of their own.
    other.config.onedev = world.config.onedev.clone();
    other.config.github = world.config.github.clone();
    assert_eq!(run(&other, &["mirror", "octo/plain"]).0, Some(0));
    world.attach().await;
    world.end().await;
}

on_both! {
async fn a_file_that_is_damaged_or_foreign_and_a_database_in_use_are_refused_and_nothing_is_changed(world: World) {
    let mut world = world;
    world.inhabited().await;
    let file = world.backed_up("state");
    let (code, _, err) = run(&world, &["backup", "state"]);
    assert_eq!((code, err.contains("is there already")), (Some(1), true), "{err}");
    world.stop().await;
    let (code, _, err) = run(&world, &["restore-state", "state"]);
    assert_eq!((code, err.contains("give an empty one")), (Some(1), true), "{err}");
    world.lose_database().await;
    let whole = std::fs::read_to_string(&file).unwrap();
    let half: String = whole.lines().take(9).map(|it| format!("{it}\n")).collect();
    let spoilt = whole.replacen("octo", "otto", 1);
    let newer = whole.replacen("\"0001\"", "\"9999\"", 1);
    let form = whole.replacen("\"starkeep_state\":1", "\"starkeep_state\":2", 1);
    let tail = format!("{whole}more\n");
    for (text, word) in [
        (half, "its end is missing"),
        (spoilt, "checksum"),
        (newer, "checksum"),
        (form, "use the version of starkeep that wrote it"),
        (tail, "something follows its end"),
        ("{}\n".to_owned(), "no file that `starkeep backup` wrote"),
        (String::new(), "no file that `starkeep backup` wrote"),
        (whole[..whole.len() - 9].to_owned(), "cut off"),
    ] {
        std::fs::write(world.folder.path().join("bad"), text).unwrap();
        let (code, _, err) = run(&world, &["restore-state", "bad"]);
        assert_eq!((code, err.contains(word)), (Some(1), true), "{word}: {err}");
    }
    let (code, _, err) = run(&world, &["restore-state", "none"]);
    assert_eq!((code, err.contains("none")), (Some(1), true), "{err}");
    assert_eq!(run(&world, &["restore-state", "state"]).0, Some(0));
    world.attach().await;
    world.end().await;
}
}

/// The file with another head, and a checksum that fits.
fn with_migrations(text: &str, change: impl FnOnce(&mut Vec<Value>)) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut head = json(&lines[0]);
    change(head["migrations"].as_array_mut().unwrap());
    lines[0] = head.to_string();
    let mut end = json(&lines.pop().unwrap());
    let whole: String = lines.iter().map(|it| format!("{it}\n")).collect();
    end["sha256"] = hex::encode(Sha256::digest(&whole)).into();
    format!("{whole}{{\"rows\":{},\"sha256\":{}}}\n", end["rows"], end["sha256"])
}

on_both! {
async fn a_file_of_a_newer_version_is_refused_and_one_of_an_older_brought_up_to_date(world: World) {
    let mut world = world;
    assert_eq!(run(&world, &["migrate"]).0, Some(0));
    let whole = std::fs::read_to_string(world.backed_up("state")).unwrap();
    let restore = |world: &World, text: &str| {
        std::fs::write(world.folder.path().join("other"), text).unwrap();
        run(world, &["restore-state", "other"])
    };
    let older = with_migrations(&whole, |all| drop(all.pop()));
    let (code, _, err) = restore(&world, &older);
    assert_eq!((code, err.contains("the backup is older than this database")), (Some(1), true), "{err}");
    world.lose_database().await;
    let (code, _, err) = restore(&world, &with_migrations(&whole, |all| all.push("9999".into())));
    assert_eq!((code, err.contains("a newer starkeep made it")), (Some(1), true), "{err}");
    let (code, _, err) = restore(&world, &older);
    assert_eq!(code, Some(0), "{err}");
    let (_, out, _) = run(&world, &["migrate"]);
    assert_eq!(out.trim(), "the database is up to date");
    world.attach().await;
    world.end().await;
}
}

#[actix::test]
async fn a_backup_that_cannot_be_written_leaves_nothing_behind() {
    let world = World::new(Backend::Sqlite).unwrap();
    let (code, _, err) = run(&world, &["backup", "no/such/folder"]);
    assert_eq!((code, err.contains("no/such")), (Some(1), true), "{err}");
    assert_eq!(run(&world, &["migrate"]).0, Some(0));
    let left = std::fs::read_dir(world.folder.path()).unwrap();
    let left: Vec<_> =
        left.filter(|it| it.as_ref().unwrap().file_name().to_string_lossy().contains("backup")).collect();
    assert!(left.is_empty(), "{left:?}");
}
