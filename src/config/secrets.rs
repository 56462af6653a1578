//! Secrets: a value itself, or a reference to where it stands.
//!
//! `env:NAME` is an environment variable, `file:PATH` a file (relative to the folder the program was
//! started in), `vault:MOUNT/PATH#FIELD` a field of a secret in Vault or OpenBao (KV version 2),
//! `aws-sm:NAME#FIELD` one in AWS Secrets Manager. What a reference leads to is taken as it is and never
//! resolved again. No message holds a secret.
//!
//! Nothing here touches the network: [`super::Config::asks`] tells which stores a configuration refers to,
//! somebody asks them, and the answers are handed in as [`LookedUp`].

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read as _;
use std::path::Path;

use secrecy::SecretString;

use super::LoadOptions;
use super::values::Refused;

/// Larger secret files are refused. Bytes; a private key has some 3,000.
const MAX_FILE: u64 = 64 * 1024;

/// What `show` prints instead of a secret.
pub(crate) const MASK: &str = "********";

/// Where in a secret store a secret stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// `vault:MOUNT/PATH#FIELD`.
    Vault {
        /// The engine's mount: the first part of the path.
        mount: String,
        /// The secret's path below the mount.
        path: String,
        /// The field of the secret.
        field: String,
    },
    /// `aws-sm:NAME#FIELD`.
    AwsSecret {
        /// The secret's name or ARN.
        name: String,
        /// The field of its JSON object.
        field: String,
    },
}

impl Reference {
    /// `None` for what is no reference to a store at all.
    fn parse(text: &str) -> Option<Result<Self, Refused>> {
        let (kind, rest) = text.split_once(':').filter(|(kind, _)| matches!(*kind, "vault" | "aws-sm"))?;
        // Somebody may have put the secret itself there, so the text is not shown.
        let refused = |accepted: &str| Refused {
            found: format!("{} `{kind}:` reference of another form", if kind == "vault" { "a" } else { "an" }),
            accepted: accepted.to_owned(),
        };
        let whole = |it: &str| !it.is_empty() && !it.contains(|c: char| c.is_control() || c.is_whitespace());
        let parted = rest.rsplit_once('#').filter(|(place, field)| whole(place) && whole(field));
        Some(match (kind, parted) {
            ("vault", Some((place, field))) => match place.split_once('/') {
                Some((mount, path)) if is_path(mount) && is_path(path) => {
                    Ok(Self::Vault { mount: mount.to_owned(), path: path.to_owned(), field: field.to_owned() })
                }
                _ => Err(refused("write `vault:MOUNT/PATH#FIELD`, as in `vault:kv/starkeep/github#token`")),
            },
            ("vault", None) => Err(refused("write `vault:MOUNT/PATH#FIELD`, as in `vault:kv/starkeep/github#token`")),
            (_, Some((name, field))) => Ok(Self::AwsSecret { name: name.to_owned(), field: field.to_owned() }),
            (_, None) => Err(refused("write `aws-sm:NAME#FIELD`, as in `aws-sm:starkeep/github#token`")),
        })
    }
}

/// Parts that lead downwards only.
fn is_path(text: &str) -> bool {
    text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault { mount, path, field } => write!(f, "vault:{mount}/{path}#{field}"),
            Self::AwsSecret { name, field } => write!(f, "aws-sm:{name}#{field}"),
        }
    }
}

/// What secret stores answered: the secret, or what is wrong and the mend.
pub type LookedUp = BTreeMap<Reference, Result<SecretString, (String, String)>>;

/// The surroundings that references are looked up in.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// Environment variables.
    pub(crate) environment: &'a BTreeMap<String, String>,
    /// Relative paths start here.
    pub(crate) directory: &'a Path,
    /// The answers of secret stores.
    pub(crate) looked_up: &'a LookedUp,
    /// The references to stores that were met.
    pub(crate) met: &'a RefCell<BTreeSet<Reference>>,
}

impl<'a> Surroundings<'a> {
    /// Those of a configuration that is being read.
    pub(crate) fn of(options: &'a LoadOptions, met: &'a RefCell<BTreeSet<Reference>>) -> Self {
        let LoadOptions { file: _, environment, directory, looked_up } = options;
        Self { environment, directory, looked_up, met }
    }
}

/// The secret that `text` is or refers to.
pub(crate) fn resolve(text: &str, surroundings: Surroundings<'_>) -> Result<SecretString, Refused> {
    if let Some(name) = text.strip_prefix("env:") {
        return of_variable(name, surroundings.environment);
    }
    if let Some(path) = text.strip_prefix("file:") {
        return of_file(path, surroundings.directory);
    }
    match Reference::parse(text) {
        Some(reference) => of_store(reference?, surroundings),
        None => Ok(SecretString::from(text)),
    }
}

fn of_store(reference: Reference, surroundings: Surroundings<'_>) -> Result<SecretString, Refused> {
    let answer = surroundings.looked_up.get(&reference).cloned().unwrap_or_else(|| {
        Err(("was not looked up".to_owned(), "give the value itself, `env:NAME` or `file:PATH` here".to_owned()))
    });
    let answer = answer.map_err(|(found, accepted)| Refused { found: format!("`{reference}` {found}"), accepted });
    surroundings.met.borrow_mut().insert(reference);
    answer
}

fn of_variable(name: &str, environment: &BTreeMap<String, String>) -> Result<SecretString, Refused> {
    // Somebody may have put the secret itself behind `env:`, so only what looks like a variable is shown.
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    let shown = if plain { format!("`env:{name}`") } else { "an `env:` reference".to_owned() };
    let refused = |found: String| Refused {
        found,
        accepted: "set that variable in the environment of the process, or refer to another one".to_owned(),
    };
    match environment.get(name) {
        None => Err(refused(format!("{shown} names a variable that is not set"))),
        Some(value) if value.is_empty() => Err(refused(format!("{shown} names a variable that is empty"))),
        Some(value) => Ok(SecretString::from(value.as_str())),
    }
}

fn of_file(path: &str, directory: &Path) -> Result<SecretString, Refused> {
    let full = directory.join(path);
    let refused = |what: &str| Refused {
        found: format!("`file:{path}` {what}"),
        accepted: format!("make {} a readable text file that holds only the secret", full.display()),
    };
    // A pipe or a device could block the start for good.
    match std::fs::metadata(&full) {
        Err(error) => return Err(refused(&format!("cannot be read: {error}"))),
        Ok(found) if !found.is_file() => return Err(refused("is not a regular file")),
        Ok(found) if found.len() > MAX_FILE => return Err(refused("is larger than 64 KiB")),
        Ok(_) => {}
    }
    let mut text = String::new();
    let file = std::fs::File::open(&full).map_err(|error| refused(&format!("cannot be read: {error}")))?;
    file.take(MAX_FILE).read_to_string(&mut text).map_err(|error| refused(&format!("cannot be read: {error}")))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() { Err(refused("is empty")) } else { Ok(SecretString::from(text)) }
}

/// What may be printed in place of a secret's text: a reference as it stands, anything else masked.
pub(crate) fn masked(text: &str) -> String {
    let reference = text.starts_with("file:") || matches!(Reference::parse(text), Some(Ok(_)));
    let variable = text.strip_prefix("env:").is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    });
    if reference || variable { text.to_owned() } else { MASK.to_owned() }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn ask(text: &str, environment: &[(&str, &str)], directory: &Path) -> Result<String, Refused> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let kv = |field: &str| Reference::Vault { mount: "kv".into(), path: "a/b".into(), field: field.into() };
        let looked_up = LookedUp::from([
            (kv("token"), Ok(SecretString::from("from-vault"))),
            (kv("none"), Err(("has no such field".into(), "write it".into()))),
        ]);
        let surroundings =
            Surroundings { environment: &environment, directory, looked_up: &looked_up, met: &RefCell::default() };
        resolve(text, surroundings).map(|it| it.expose_secret().to_owned())
    }

    #[test]
    fn a_secret_is_itself_or_stands_where_its_reference_says() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "from-file\r\n").unwrap();
        assert_eq!(ask("plain:text", &[], folder.path()).unwrap(), "plain:text");
        assert_eq!(ask("env:A_1", &[("A_1", "from-env")], folder.path()).unwrap(), "from-env");
        assert_eq!(ask("file:token", &[], folder.path()).unwrap(), "from-file");
        let absolute = format!("file:{}", folder.path().join("token").display());
        assert_eq!(ask(&absolute, &[], Path::new("/")).unwrap(), "from-file");
        assert_eq!(ask("env:A", &[("A", "env:B"), ("B", "x")], folder.path()).unwrap(), "env:B");
        assert_eq!(ask("vault:kv/a/b#token", &[], folder.path()).unwrap(), "from-vault");
    }

    #[test]
    fn a_reference_that_leads_nowhere_is_told_with_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        std::fs::write(folder.path().join("large"), vec![b'x'; 70_000]).unwrap();
        std::fs::write(folder.path().join("binary"), [0xff, 0xfe]).unwrap();
        for (text, told) in [
            ("env:MISSING", "`env:MISSING` names a variable that is not set"),
            ("env:EMPTY", "is empty"),
            ("file:missing", "`file:missing` cannot be read"),
            ("file:empty", "is empty"),
            ("file:large", "larger than 64 KiB"),
            ("file:binary", "cannot be read"),
            ("file:.", "not a regular file"),
            ("vault:kv/a/b#none", "`vault:kv/a/b#none` has no such field"),
            ("vault:kv/starkeep#token", "`vault:kv/starkeep#token` was not looked up"),
            ("aws-sm:starkeep#token", "`aws-sm:starkeep#token` was not looked up"),
            ("vault:kv#token", "a `vault:` reference of another form"),
            ("vault:kv/../sys#token", "a `vault:` reference of another form"),
            ("vault:kv/a", "a `vault:` reference of another form"),
            ("vault:kv/a#", "a `vault:` reference of another form"),
            ("aws-sm:a b#c", "an `aws-sm:` reference of another form"),
            ("aws-sm:#c", "an `aws-sm:` reference of another form"),
        ] {
            let refused = ask(text, &[("EMPTY", "")], folder.path()).unwrap_err();
            assert!(refused.found.contains(told), "{text}: {}", refused.found);
        }
    }

    #[test]
    fn a_secret_that_slipped_behind_a_reference_word_is_not_shown() {
        let refused = ask("env:ghp_abcDEF", &[], Path::new("/")).unwrap_err();
        assert!(!format!("{refused:?}").contains("ghp_"));
        assert_eq!(masked("env:ghp_abcDEF"), MASK);
        assert_eq!(masked("ghp_abcDEF"), MASK);
        assert_eq!(masked("vault:hvs.secret"), MASK);
        assert_eq!(masked("aws-sm:secret"), MASK);
        assert_eq!(masked("vault:kv/a#b"), "vault:kv/a#b");
        assert_eq!(
            masked("aws-sm:arn:aws:secretsmanager:eu-west-1:1:secret:a#b"),
            "aws-sm:arn:aws:secretsmanager:eu-west-1:1:secret:a#b"
        );
        assert_eq!(masked("env:GITHUB_TOKEN"), "env:GITHUB_TOKEN");
        assert_eq!(masked("file:/run/secrets/token"), "file:/run/secrets/token");
    }
}
