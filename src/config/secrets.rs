//! Secrets: a value itself, or a reference to where it stands.
//!
//! `env:NAME` is an environment variable, `file:PATH` a file (relative to the folder the program was
//! started in). What a reference leads to is taken as it is and never resolved again. No message
//! holds a secret.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use secrecy::SecretString;

use super::values::Refused;

/// Larger secret files are refused. Bytes; a private key has some 3,000.
const MAX_FILE: u64 = 64 * 1024;

/// What `show` prints instead of a secret.
pub(crate) const MASK: &str = "********";

/// Kinds of references that are known by name but not to this version.
const LATER: [&str; 2] = ["vault:", "aws-sm:"];

/// The surroundings that references are looked up in.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// Environment variables.
    pub(crate) environment: &'a BTreeMap<String, String>,
    /// Relative paths start here.
    pub(crate) directory: &'a Path,
}

/// The secret that `text` is or refers to.
pub(crate) fn resolve(text: &str, surroundings: Surroundings<'_>) -> Result<SecretString, Refused> {
    if let Some(name) = text.strip_prefix("env:") {
        return of_variable(name, surroundings.environment);
    }
    if let Some(path) = text.strip_prefix("file:") {
        return of_file(path, surroundings.directory);
    }
    match LATER.iter().find(|kind| text.starts_with(**kind)) {
        Some(kind) => Err(Refused {
            found: format!("a `{kind}` reference, which this version cannot look up"),
            accepted: "give the value itself, `env:NAME` or `file:PATH`".to_owned(),
        }),
        None => Ok(SecretString::from(text)),
    }
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
    let reference = ["file:"].iter().chain(&LATER).any(|kind| text.starts_with(kind));
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
        resolve(text, Surroundings { environment: &environment, directory }).map(|it| it.expose_secret().to_owned())
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
            ("vault:kv/starkeep#token", "`vault:` reference, which this version cannot"),
            ("aws-sm:starkeep#token", "`aws-sm:` reference, which this version cannot"),
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
        assert_eq!(masked("env:GITHUB_TOKEN"), "env:GITHUB_TOKEN");
        assert_eq!(masked("file:/run/secrets/token"), "file:/run/secrets/token");
    }
}
