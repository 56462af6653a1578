//! The house rules that a compiler does not know: who may import whom, how long a file may be.
//!
//! Reads `src` as text; no rule depends on the library's own code. A rule that stands in the way is
//! changed here and in `docs/architecture.md`, with the reason, never worked around.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic; that is how it tells")]

mod layers {
    pub(crate) mod imports;
    pub(crate) mod text;
}

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use layers::imports::{Path as ModulePath, imports, module_of};
use layers::text::{declared_tests, production};

/// Each top-level module and what it may import, from the lowest layer to the highest.
const MAY_IMPORT: [(&str, &[&str]); 17] = [
    ("domain", &[]),
    ("outbound", &[]),
    ("config", &["domain"]),
    ("telemetry", &["domain", "config"]),
    ("webhook", &["domain"]),
    ("github", &["domain", "config", "telemetry", "outbound"]),
    ("onedev", &["domain", "config", "telemetry", "outbound"]),
    ("git", &["domain", "config", "telemetry", "outbound"]),
    ("store", &["domain", "config", "telemetry"]),
    ("secret_stores", &["config", "outbound"]),
    ("notify", &["domain", "config", "telemetry", "outbound"]),
    ("stages", &["domain", "config", "telemetry", "webhook", "github", "onedev", "git", "store"]),
    ("orchestrator", &["domain", "telemetry", "stages", "store"]),
    ("http", &["domain", "config", "telemetry", "webhook", "stages", "orchestrator", "store"]),
    ("simulator", &["domain"]),
    (
        "app",
        &[
            "domain",
            "config",
            "telemetry",
            "outbound",
            "webhook",
            "github",
            "onedev",
            "git",
            "store",
            "notify",
            "stages",
            "orchestrator",
            "http",
            "secret_stores",
            "simulator",
        ],
    ),
    ("cli", &["app", "config", "telemetry", "domain", "store", "simulator"]),
];

/// Stages know their messages, never each other.
const STAGES: [&str; 8] = ["accept", "catalog", "describe", "ensure", "listing", "stars", "transfer", "record"];

/// Words that only the named modules may use.
const ONLY_IN: [(&str, &[&str]); 3] =
    [("diesel", &["store"]), ("git2", &["git", "simulator"]), ("lettre", &["notify"])];

/// Words that would make the domain impure: I/O, clocks, chance, frameworks.
const NOT_IN_DOMAIN: [&str; 13] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "tokio",
    "actix",
    "reqwest",
    "tracing",
    "rand",
    "Utc::now",
    "Instant",
    "SystemTime",
];

/// No file is longer, its tests not counted. 95 of 100 should have at most 400 lines.
const MAX_LINES: usize = 600;

/// One file of production code.
struct Source {
    path: PathBuf,
    module: ModulePath,
    whole: String,
    /// Comments, texts and tests blanked.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let tests: BTreeSet<PathBuf> = files.iter().flat_map(|it| declared_tests(it, &read(it))).collect();
    let is_test = |it: &PathBuf| tests.iter().any(|test| it.starts_with(test) || *it == test.with_extension("rs"));
    files.retain(|it| !is_test(it));
    let source = |path: PathBuf| {
        let whole = read(&path);
        let module = module_of(path.strip_prefix(&root).unwrap());
        Source { code: production(&whole), whole, module, path }
    };
    files.into_iter().map(source).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// What is wrong with one file's imports.
fn forbidden_imports(module: &[String], code: &str) -> Vec<String> {
    let Some(top) = module.first() else { return Vec::new() };
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| name == top) else {
        return vec![format!("`{top}` is not in the table of layers")];
    };
    let mut wrong = BTreeSet::new();
    for import in imports(module, code) {
        let Some(other) = import.first() else { continue };
        let known = MAY_IMPORT.iter().any(|(name, _)| name == other);
        if known && other != top && !allowed.contains(&other.as_str()) {
            wrong.insert(format!("`{top}` may not import `{other}`"));
        }
        if let (Some(from), Some(to)) = (stage(module), stage(&import))
            && from != to
        {
            wrong.insert(format!("stage `{from}` may not import stage `{to}`"));
        }
    }
    wrong.into_iter().collect()
}

fn stage(module: &[String]) -> Option<&str> {
    match module {
        [top, name, ..] if top == "stages" => STAGES.into_iter().find(|it| it == name),
        _ => None,
    }
}

/// A word as a path or an identifier, not as a part of a longer one.
fn uses(code: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        !part(before.chars().next_back()) && !part(after.chars().next())
    })
}

fn forbidden_words(module: &[String], code: &str) -> Vec<String> {
    let Some(top) = module.first().map(String::as_str) else { return Vec::new() };
    let strangers = ONLY_IN.iter().filter(|(_, rooms)| !rooms.contains(&top)).map(|(word, _)| *word);
    let impure = NOT_IN_DOMAIN.into_iter().filter(|_| top == "domain");
    strangers
        .chain(impure)
        .filter(|word| uses(code, word))
        .map(|word| format!("`{top}` may not use `{word}`"))
        .collect()
}

/// A way from a module back to itself.
fn cycle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let mut left = edges.clone();
    // Whoever imports nobody that is left is no part of a cycle.
    while let Some(free) = left.iter().find(|(_, to)| to.iter().all(|it| !left.contains_key(it))).map(|it| it.0.clone())
    {
        left.remove(&free);
    }
    let names: Vec<_> = left.into_keys().collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

fn problems_of_all(rule: impl Fn(&Source) -> Vec<String>) {
    let all: Vec<String> = sources()
        .iter()
        .flat_map(|it| {
            rule(it).into_iter().map(|problem| format!("{}: {problem}", it.path.display())).collect::<Vec<_>>()
        })
        .collect();
    report(&all);
}

#[test]
fn every_module_imports_only_what_lies_below_it() {
    problems_of_all(|it| forbidden_imports(&it.module, &it.code));
}

#[test]
fn the_domain_is_pure_and_each_library_has_its_room() {
    problems_of_all(|it| forbidden_words(&it.module, &it.code));
}

#[test]
fn no_top_level_modules_import_each_other_in_a_circle() {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let Some(top) = source.module.first() else { continue };
        let to = imports(&source.module, &source.code).into_iter().filter_map(|it| it.into_iter().next());
        edges.entry(top.clone()).or_default().extend(to.filter(|it| it != top));
    }
    assert_eq!(cycle(&edges), None);
}

#[test]
fn no_file_is_too_long_and_each_says_what_it_is_for() {
    problems_of_all(|it| {
        let lines = it.code.lines().count() - layers::text::test_lines(&it.whole);
        let long = (lines > MAX_LINES).then(|| format!("{lines} lines, at most {MAX_LINES}"));
        let silent = (!it.whole.starts_with("//!")).then(|| "does not begin with `//!`".to_owned());
        long.into_iter().chain(silent).collect()
    });
}

#[test]
fn the_table_itself_has_no_circle() {
    let edges = |table: &[(&str, &[&str])]| {
        table.iter().map(|(name, to)| ((*name).to_owned(), to.iter().map(|it| (*it).to_owned()).collect())).collect()
    };
    assert_eq!(cycle(&edges(&MAY_IMPORT)), None);
    assert_eq!(cycle(&edges(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"]), ("d", &[])])), Some("a, b, c".to_owned()));
}

#[test]
fn the_rules_catch_what_they_are_for() {
    let ask = |module: &[&str], code: &str| {
        let module: Vec<String> = module.iter().map(|it| (*it).to_owned()).collect();
        let code = production(code);
        [forbidden_imports(&module, &code), forbidden_words(&module, &code)].concat().join("; ")
    };
    assert_eq!(ask(&["git", "relay"], "use crate::domain::refs::Oid; use super::wire;"), "");
    assert_eq!(ask(&["git"], "use crate::{config, store::mirrors};"), "`git` may not import `store`");
    assert_eq!(ask(&["git"], "fn f() { super::github::client() }"), "`git` may not import `github`");
    assert_eq!(ask(&["git"], "// crate::store\n/* crate::http */ const A: &str = \"crate::app\";"), "");
    assert_eq!(ask(&["git"], "#[cfg(test)]\nmod tests { use crate::store::x; }"), "");
    assert_eq!(
        ask(&["stages", "accept"], "use super::record::R; use super::messages::M;"),
        "stage `accept` may not import stage `record`"
    );
    assert_eq!(ask(&["cellar"], ""), "`cellar` is not in the table of layers");
    assert_eq!(ask(&["http"], "use diesel::prelude::*;"), "`http` may not use `diesel`");
    assert_eq!(ask(&["domain", "job"], "let now = Utc::now();"), "`domain` may not use `Utc::now`");
    assert_eq!(ask(&["domain", "job"], "let random = brand; // rand"), "");
}
