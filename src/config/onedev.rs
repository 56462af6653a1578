//! `onedev.*`: address and credential of OneDev, where and how mirrors are laid out.

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::Section;
use super::problem::{Problem, quoted};
use super::rules::{counting, plain_http};
use super::ssh::{SshKeys, host_key, ssh_address};
use super::values::{Values, address, flag, header_problem, number, word, words};
use crate::domain::naming::{InvalidNaming, LONGEST_PATH, Naming};

/// The `onedev` section.
#[derive(Debug, Clone)]
pub struct Onedev {
    /// Base address. Commands that need OneDev say so when it is missing.
    pub url: Option<Url>,
    /// Base of the git addresses, where git goes by SSH instead of by `url`.
    pub ssh_url: Option<Url>,
    /// For `ssh_url`.
    pub ssh: SshKeys,
    /// Access token.
    pub token: Option<SecretString>,
    /// Path of the parent project of all mirrors.
    pub root: String,
    /// Path of a mirror below the root; `{owner}` and `{name}` are replaced.
    pub naming: String,
    /// What to do when a project of that path is not ours.
    pub on_conflict: OnConflict,
    /// What becomes of the project of an upstream that was renamed or transferred.
    pub on_rename: OnRename,
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

/// What becomes of the project of an upstream that was renamed or transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRename {
    /// It goes where the naming rule puts it now.
    #[default]
    Move,
    /// It stays where it is.
    Keep,
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
            ssh_url: None,
            ssh: SshKeys::default(),
            token: None,
            root: "github".to_owned(),
            naming: "{owner}/{name}".to_owned(),
            on_conflict: OnConflict::default(),
            on_rename: OnRename::default(),
            concurrent_pushes: 2,
            visibility: Visibility::default(),
            insecure_http: false,
        }
    }
}

impl Section for Onedev {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self {
            url,
            ssh_url,
            ssh,
            token,
            root,
            naming,
            on_conflict,
            on_rename,
            concurrent_pushes,
            visibility,
            insecure_http,
        } = &mut it;
        values.set_option("onedev.url", url, address);
        values.set_option("onedev.ssh_url", ssh_url, ssh_address);
        values.set_secret("onedev.ssh_key", &mut ssh.key);
        values.set_secret("onedev.ssh_key_passphrase", &mut ssh.passphrase);
        values.set_list("onedev.ssh_host_keys", &mut ssh.host_keys, host_key);
        values.set_secret("onedev.token", token);
        values.set("onedev.root", root, words);
        values.set("onedev.naming", naming, words);
        values.set("onedev.on_conflict", on_conflict, word);
        values.set("onedev.on_rename", on_rename, word);
        values.set("onedev.concurrent_pushes", concurrent_pushes, number);
        values.set("onedev.visibility", visibility, word);
        values.set("onedev.insecure_http", insecure_http, flag);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self {
            url,
            ssh_url,
            ssh,
            token,
            root,
            naming,
            on_conflict: _,
            on_rename: _,
            concurrent_pushes,
            visibility: _,
            insecure_http,
        } = self;
        let mut problems = Vec::new();
        problems.extend(plain_http("onedev.url", url.as_ref(), *insecure_http));
        problems.extend(ssh.problems("onedev", ssh_url.as_ref().map(|it| ("onedev.ssh_url", it))));
        problems.extend(header_problem("onedev.token", token.as_ref()));
        problems.extend(naming_problems(root, naming));
        problems.extend(counting("onedev.concurrent_pushes", *concurrent_pushes as u64, 1, 64));
        problems
    }
}

/// Root and template are judged by the rule that will use them; the template also when the root is
/// wrong, so that both are told at once.
fn naming_problems(root: &str, template: &str) -> Vec<Problem> {
    const ROOT: &str =
        "write names of letters, digits, `-`, `_` and `.`, parted by `/`, as in `github` or `mirrors/github`";
    const TEMPLATE: &str = "write a path whose last part holds `{name}`, as in `{owner}/{name}`";
    let whole = Naming::parse(template, root).err();
    let alone =
        matches!(whole, Some(InvalidNaming::Root(_))).then(|| Naming::parse(template, "github").err()).flatten();
    let told = whole.into_iter().chain(alone).map(|error| match error {
        InvalidNaming::Root(why) => Problem::new("onedev.root", why.to_string(), ROOT),
        InvalidNaming::Template { template, reason } => {
            Problem::new("onedev.naming", format!("{}: {reason}", quoted(&template)), TEMPLATE)
        }
        InvalidNaming::TooLong { longest } => Problem::new(
            "onedev.naming",
            format!("together with `onedev.root` it makes room for paths of {longest} characters"),
            format!("shorten one of them, OneDev takes {LONGEST_PATH}"),
        ),
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(root: &str, template: &str) -> Vec<String> {
        naming_problems(root, template).into_iter().map(|it| it.key).collect()
    }

    #[test]
    fn root_and_template_are_judged_together_and_each_is_told() {
        for (root, template) in
            [("github", "{owner}/{name}"), ("mirrors/github", "gh/{owner}-{name}"), ("_x/a.b-c", "{name}")]
        {
            assert_eq!(naming_problems(root, template), [], "{root} {template}");
        }
        for root in ["", "/", "a/", "/a", "a//b", "..", "a/../b", ".github", "-a", "a b", "\u{e9}", "projects", "~x"] {
            assert_eq!(keys(root, "{owner}/{name}"), ["onedev.root"], "{root}");
        }
        for template in
            ["", "{owner}", "{owner}/{name}/", "{owner}/{title}", "{topic}/{name}", "{owner}/{name", "../{name}"]
        {
            assert_eq!(keys("github", template), ["onedev.naming"], "{template}");
        }
        assert_eq!(keys("..", "{title}"), ["onedev.root", "onedev.naming"]);
        assert_eq!(keys(&"x".repeat(100), "{owner}/{name}"), ["onedev.naming"]);
    }
}
