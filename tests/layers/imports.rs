//! Which modules of its own crate a file names.

use std::path::Path as FilePath;

/// A module's path from the crate's root.
pub(crate) type Path = Vec<String>;

/// The module that a file below `src` holds: `git/relay.rs` is `git::relay`, `git/mod.rs` is `git`.
pub(crate) fn module_of(file: &FilePath) -> Path {
    let mut parts: Path = file.with_extension("").iter().map(|it| it.to_string_lossy().into_owned()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Every path that begins at the crate's root, with `crate`, `starkeep`, `self` and `super`
/// resolved; groups in braces are taken apart.
pub(crate) fn imports(module: &[String], code: &str) -> Vec<Path> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let fresh = at == 0 || !matches!(tokens[at - 1], "::" | "$");
        let root = match tokens[at] {
            "crate" | "starkeep" => Some(Vec::new()),
            "super" => module.split_last().map(|(_, parent)| parent.to_vec()),
            "self" => Some(module.to_vec()),
            _ => None,
        };
        match root {
            Some(root) if fresh && tokens.get(at + 1) == Some(&"::") => {
                at = tree(&tokens, at + 2, root, &mut found);
            }
            _ => at += 1,
        }
    }
    found
}

/// Reads `a::b::{c, d::e}` from `at` on and returns where it ends.
fn tree(tokens: &[&str], mut at: usize, mut path: Path, found: &mut Vec<Path>) -> usize {
    while let Some(token) = tokens.get(at) {
        match *token {
            "super" => {
                path.pop();
            }
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|it| *it != "}") {
                    let next = tree(tokens, at, path.clone(), found);
                    at = next.max(at + 1);
                    while tokens.get(at).is_some_and(|it| !matches!(*it, "," | "}")) {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at) == Some(&","));
                }
                return at + 1;
            }
            word if word.starts_with(|c: char| c.is_alphabetic() || c == '_') => path.push(word.to_owned()),
            _ => break,
        }
        at += 1;
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    found.push(path);
    at
}

/// Words, `::` and single signs.
fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            c if c.is_alphanumeric() || c == '_' => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            }
            ':' if rest.starts_with("::") => 2,
            c => c.len_utf8(),
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    found
}

#[test]
fn a_file_holds_a_module() {
    let ask = |file: &str| module_of(FilePath::new(file)).join("::");
    assert_eq!(ask("git/relay.rs"), "git::relay");
    assert_eq!(ask("git/mod.rs"), "git");
    assert_eq!(ask("app.rs"), "app");
    assert_eq!(ask("main.rs"), "");
}

#[test]
fn paths_are_resolved_to_the_root() {
    let ask = |code: &str| {
        let module = ["git".to_owned(), "relay".to_owned()];
        imports(&module, code).iter().map(|it| it.join("::")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ask("use crate::domain::refs::Oid;"), "domain::refs::Oid");
    assert_eq!(
        ask("use crate::{config, domain::{refs::{Oid, RefMap}, job}};"),
        "config domain::refs::Oid domain::refs::RefMap domain::job"
    );
    assert_eq!(
        ask("use super::wire; fn f(x: self::Inner) { super::super::store::open() }"),
        "git::wire git::relay::Inner store::open"
    );
    assert_eq!(ask("use crate::domain::*; pub(crate) fn g() {}"), "domain");
    assert_eq!(ask("let x = self.y; other::crate_x::z(); $crate::m!()"), "");
    assert_eq!(ask("starkeep::cli::main()"), "cli::main");
    assert_eq!(ask("use crate::{self as root, git::{self, x as y}, store};"), "self git::self git::x store");
}
