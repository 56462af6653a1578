//! `onedev.*`: address and credential of OneDev, where and how mirrors are laid out.

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::Section;
use super::problem::{Problem, quoted};
use super::rules::{counting, plain_http};
use super::values::{Values, address, flag, header_problem, number, word, words};

/// The `onedev` section.
#[derive(Debug, Clone)]
pub struct Onedev {
    /// Base address. Commands that need OneDev say so when it is missing.
    pub url: Option<Url>,
    /// Access token.
    pub token: Option<SecretString>,
    /// Path of the parent project of all mirrors.
    pub root: String,
    /// Path of a mirror below the root; `{owner}` and `{name}` are replaced.
    pub naming: String,
    /// What to do when a project of that path is not ours.
    pub on_conflict: OnConflict,
    /// Pushes at once, over all mirrors of this process.
    pub concurrent_pushes: usize,
    /// Who may see a mirror.
    pub visibility: Visibility,
    /// Accept plain http beyond loopback.
    pub insecure_http: bool,
}

/// What to do when a project of the wanted path is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// Take `name-gh<id>` instead.
    #[default]
    Suffix,
    /// Take it over, only if it is empty or holds nothing that upstream lacks.
    Adopt,
    /// Stop with an error.
    Fail,
}

/// Who may see a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Only those whom OneDev's administrator authorizes; no default role is set.
    #[default]
    Private,
    /// Whatever the parent project gives.
    Inherit,
    /// A public upstream gets OneDev's `Code Reader` as default role.
    Upstream,
}

impl Default for Onedev {
    fn default() -> Self {
        Self {
            url: None,
            token: None,
            root: "github".to_owned(),
            naming: "{owner}/{name}".to_owned(),
            on_conflict: OnConflict::default(),
            concurrent_pushes: 2,
            visibility: Visibility::default(),
            insecure_http: false,
        }
    }
}

impl Section for Onedev {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self { url, token, root, naming, on_conflict, concurrent_pushes, visibility, insecure_http } = &mut it;
        values.set_option("onedev.url", url, address);
        values.set_secret("onedev.token", token);
        values.set("onedev.root", root, words);
        values.set("onedev.naming", naming, words);
        values.set("onedev.on_conflict", on_conflict, word);
        values.set("onedev.concurrent_pushes", concurrent_pushes, number);
        values.set("onedev.visibility", visibility, word);
        values.set("onedev.insecure_http", insecure_http, flag);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self { url, token, root, naming, on_conflict: _, concurrent_pushes, visibility: _, insecure_http } = self;
        let mut problems = Vec::new();
        problems.extend(plain_http("onedev.url", url.as_ref(), *insecure_http));
        problems.extend(header_problem("onedev.token", token.as_ref()));
        problems.extend(root_problem(root));
        problems.extend(naming_problem(naming));
        problems.extend(counting("onedev.concurrent_pushes", *concurrent_pushes as u64, 1, 64));
        problems
    }
}

/// Each part of the root is a name as OneDev's pages accept it: OneDev's REST would take anything,
/// and git could then not reach it.
fn root_problem(root: &str) -> Option<Problem> {
    let fits = root.len() <= 100 && root.split('/').all(is_project_name);
    (!fits).then(|| {
        Problem::new(
            "onedev.root",
            format!("{} is no path of a project", quoted(root)),
            "write names of letters, digits, `-`, `_` and `.`, parted by `/` and not beginning with `-` or `.`, \
             at most 100 characters in all, as in `github` or `mirrors/github`",
        )
    })
}

fn is_project_name(name: &str) -> bool {
    const RESERVED: [&str; 11] = [
        "robots.txt",
        "sitemap.xml",
        "sitemap.txt",
        "favicon.ico",
        "favicon.png",
        "logo.png",
        "logo-dark.png",
        "wicket",
        "projects",
        "avatars",
        "prefetch.json",
    ];
    let first = name.bytes().next();
    first.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !RESERVED.contains(&name)
}

/// The words in braces that a path may hold.
const PLACEHOLDERS: [&str; 2] = ["{owner}", "{name}"];

fn naming_problem(naming: &str) -> Option<Problem> {
    // With every placeholder replaced by a harmless letter the rest must be a legal path.
    let sample = PLACEHOLDERS.iter().fold(naming.to_owned(), |text, word| text.replace(word, "x"));
    let fits = naming.len() <= 100
        && PLACEHOLDERS.iter().all(|word| naming.matches(word).count() == 1)
        && sample.split('/').all(is_project_name);
    (!fits).then(|| {
        Problem::new(
            "onedev.naming",
            format!("{} is no rule for paths", quoted(naming)),
            "write a path that holds `{owner}` and `{name}` once each, and else only letters, digits, `-`, `_`, `.` \
             and `/`, as in `{owner}/{name}`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_a_path_that_git_can_reach() {
        for fine in ["github", "mirrors/github", "_x/a.b-c"] {
            assert_eq!(root_problem(fine), None, "{fine}");
        }
        for wrong in ["", "/", "a/", "/a", "a//b", "..", "a/../b", ".github", "-a", "a b", "é", "projects", "~x"] {
            assert!(root_problem(wrong).is_some(), "{wrong}");
        }
        assert!(root_problem(&"x".repeat(101)).is_some());
    }

    #[test]
    fn a_naming_rule_tells_two_repositories_apart() {
        for fine in ["{owner}/{name}", "{owner}-{name}", "gh/{owner}/{name}", "{name}/by/{owner}"] {
            assert_eq!(naming_problem(fine), None, "{fine}");
        }
        for wrong in [
            "",
            "{name}",
            "{owner}",
            "{owner}/{name}/",
            "{owner}/{title}",
            "{owner}/{name}{name}",
            "{list}/{name}",
            "{owner}/{name",
            "../{owner}/{name}",
            "{owner} {name}",
        ] {
            assert!(naming_problem(wrong).is_some(), "{wrong}");
        }
    }
}
