//! The layers of a configuration, read one after the other and laid flat: `section.key`, value, origin.
//!
//! Data comes from the embedded defaults, the files and the environment; [`super::values`] makes types
//! of it. A layer that cannot be read is a problem and the others are still read, so that all
//! mistakes are told at once.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use ::config::{File, FileFormat, Source as _, Value, ValueKind};

use super::problem::{Origin, Problem, quoted};
use super::secrets::LookedUp;

/// The lowest layer: every key with its default.
pub(crate) const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Variables with this prefix are the highest layer; two underscores part section and key.
const PREFIX: &str = "STARKEEP__";

/// The variable that names the environment's own file.
const ENVIRONMENT: &str = "STARKEEP_ENV";

/// Environments that need no file.
const ENVIRONMENTS: [&str; 3] = ["development", "staging", "production"];

/// Larger files are refused. Bytes.
const MAX_FILE: u64 = 1 << 20;

/// Where a configuration is looked for. Handed in whole, so that a test needs no process of its own.
#[derive(Clone, Default)]
pub struct LoadOptions {
    /// `--config FILE`; it must be there.
    pub file: Option<PathBuf>,
    /// The environment variables.
    pub environment: BTreeMap<String, String>,
    /// The folder in which `config/` and relative paths are looked for.
    pub directory: PathBuf,
    /// What secret stores answered to the references of this configuration, see [`super::Config::asks`].
    pub looked_up: LookedUp,
}

impl LoadOptions {
    /// The options of this process: its environment and its working directory.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let text = |it: std::ffi::OsString| it.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Self { file, environment, directory: PathBuf::from("."), looked_up: LookedUp::new() }
    }
}

// The environment may hold secrets, so only its size is told.
impl std::fmt::Debug for LoadOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, environment, directory, looked_up: _ } = self;
        f.debug_struct("LoadOptions")
            .field("file", file)
            .field("environment", &format_args!("{} variables", environment.len()))
            .field("directory", directory)
            .finish()
    }
}

/// One value of one layer.
#[derive(Clone)]
pub(crate) struct Entry {
    /// `section.key`.
    pub(crate) key: String,
    /// As the layer has it; a list of the environment is still one text.
    pub(crate) value: serde_json::Value,
    /// The layer.
    pub(crate) origin: Origin,
}

/// All entries, the lowest layer first.
pub(crate) fn read(options: &LoadOptions, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut entries = Vec::new();
    lay(DEFAULTS, &Origin::Default, &mut entries, problems);
    read_file(&options.directory, Path::new("config/default.toml"), Need::Optional, &mut entries, problems);
    if let Some(name) = options.environment.get(ENVIRONMENT).filter(|it| !it.is_empty()) {
        read_environment_file(&options.directory, name, &mut entries, problems);
    }
    if let Some(file) = &options.file {
        read_file(&options.directory, file, Need::Named("--config"), &mut entries, problems);
    }
    read_variables(&options.environment, &mut entries);
    entries
}

/// Whether a file has to be there.
#[derive(Clone, Copy)]
enum Need {
    Optional,
    Named(&'static str),
}

fn read_environment_file(directory: &Path, name: &str, entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) {
    let simple = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !simple {
        problems.push(
            Problem::new(
                ENVIRONMENT,
                format!("{} is no name of an environment", quoted(name)),
                "write `development`, `staging`, `production` or another word of letters, digits, `-` and `_`",
            )
            .from(Some(Origin::Variable(ENVIRONMENT.to_owned()))),
        );
        return;
    }
    // A slip (`prod`) would silently leave out a whole layer, so an unusual name needs its file.
    let need = if ENVIRONMENTS.contains(&name) { Need::Optional } else { Need::Named(ENVIRONMENT) };
    read_file(directory, &Path::new("config").join(format!("{name}.toml")), need, entries, problems);
}

fn read_file(directory: &Path, path: &Path, need: Need, entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) {
    let origin = Origin::File(path.to_owned());
    let trouble = |found: String, accepted: &str| {
        let key = match need {
            Need::Optional => path.display().to_string(),
            Need::Named(by) => format!("{by} {}", path.display()),
        };
        Problem::new(&key, found, accepted)
    };
    match text_of(&directory.join(path)) {
        Ok(text) => lay(&text, &origin, entries, problems),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if matches!(need, Need::Named(_)) {
                problems.push(trouble("there is no such file".to_owned(), "name a TOML file that can be read"));
            }
        }
        Err(error) => problems.push(trouble(format!("cannot be read: {error}"), "make it a readable TOML file")),
    }
}

fn text_of(path: &Path) -> std::io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(std::io::Error::other("not a regular file of at most 1 MiB"));
    }
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

fn lay(text: &str, origin: &Origin, entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) {
    match File::from_str(text, FileFormat::Toml).collect() {
        Ok(table) => {
            let mut flat = Vec::new();
            for (key, value) in table {
                flatten(key, value, origin, &mut flat);
            }
            // The crate's map has no order; a stable one makes messages repeatable.
            flat.sort_by(|a: &Entry, b: &Entry| a.key.cmp(&b.key));
            entries.extend(flat);
        }
        Err(error) => {
            problems.push(Problem::new(&origin.to_string(), place_of(&error.to_string()), "write valid TOML"));
        }
    }
}

/// Where the parser stopped. Its own message quotes the line, which may hold a secret.
fn place_of(message: &str) -> String {
    let place = message.lines().next().and_then(|line| line.split_once(" at ")).map(|(_, place)| place);
    let numbers_only = place
        .filter(|it| it.split([' ', ',']).all(|word| word.is_empty() || is_place_word(word.trim_end_matches(':'))));
    match numbers_only {
        Some(place) => format!("is not valid TOML at {}", place.trim_end_matches(':')),
        None => "is not valid TOML".to_owned(),
    }
}

fn is_place_word(word: &str) -> bool {
    matches!(word, "line" | "column") || word.bytes().all(|b| b.is_ascii_digit())
}

fn flatten(key: String, value: Value, origin: &Origin, entries: &mut Vec<Entry>) {
    if let ValueKind::Table(table) = value.kind {
        for (name, inner) in table {
            flatten(format!("{key}.{name}"), inner, origin, entries);
        }
    } else {
        entries.push(Entry { key, value: json(value), origin: origin.clone() });
    }
}

/// The same value in the type that the rest of the code speaks.
fn json(value: Value) -> serde_json::Value {
    match value.kind {
        ValueKind::Nil => serde_json::Value::Null,
        ValueKind::Boolean(it) => it.into(),
        ValueKind::I64(it) => it.into(),
        ValueKind::U64(it) => it.into(),
        ValueKind::Float(it) => it.into(),
        ValueKind::String(it) => it.into(),
        ValueKind::Array(items) => items.into_iter().map(json).collect::<Vec<_>>().into(),
        ValueKind::Table(table) => {
            table.into_iter().map(|(key, value)| (key, json(value))).collect::<serde_json::Map<_, _>>().into()
        }
        // TOML has no 128-bit numbers.
        ValueKind::I128(_) | ValueKind::U128(_) => serde_json::Value::Null,
    }
}

fn read_variables(environment: &BTreeMap<String, String>, entries: &mut Vec<Entry>) {
    for (name, value) in environment {
        if let Some(rest) = name.strip_prefix(PREFIX) {
            entries.push(Entry {
                key: rest.to_ascii_lowercase().replace("__", "."),
                value: value.as_str().into(),
                origin: Origin::Variable(name.clone()),
            });
        }
    }
}
