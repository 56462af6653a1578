//! `sources`: what is kept besides stars.

use std::time::Duration;

use super::problem::Problem;
use super::rules::{counting, lasting};
use super::tables::Table;
use super::values::{Refused, Values, flag, parsed, word, words};
use super::{Section, duration, size};
use crate::domain::listing::What;
use crate::domain::repository::RepositoryName;
use crate::domain::sources::{Declaration, Filter, Of};

/// The list.
const KEY: &str = "sources";
/// Sources at most: each costs requests at every walk.
const MOST: u64 = 100;
/// Names in one source at most.
const MOST_NAMES: usize = 500;
/// Longer patterns are refused. Bytes.
const LONGEST_PATTERN: usize = 150;

/// The keys `sources` and `sources_interval`.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Lists of repositories, and which of each.
    pub all: Vec<Declaration>,
    /// How long after a walk through a list the next one begins.
    pub interval: Duration,
}

impl Default for Sources {
    fn default() -> Self {
        Self { all: Vec::new(), interval: Duration::from_secs(3600) }
    }
}

impl Section for Sources {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self { all, interval } = &mut it;
        values.set_tables(KEY, all, declaration);
        values.set("sources_interval", interval, duration::parse);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self { all, interval } = self;
        let minute = Duration::from_secs(60);
        let mut problems: Vec<Problem> =
            lasting("sources_interval", *interval, minute, 30 * 1440 * minute).into_iter().collect();
        problems.extend(counting(KEY, u64::try_from(all.len()).unwrap_or(u64::MAX), 0, MOST));
        for (place, it) in all.iter().enumerate() {
            if let Some(other) = all.iter().take(place).position(|other| other == it) {
                let found = format!("`sources[{}]` and `sources[{}]` are the same", other + 1, place + 1);
                problems.push(Problem::new(KEY, found, "write each source once"));
            }
        }
        problems
    }
}

fn declaration(table: &mut Table) -> Option<Declaration> {
    let user = table.option("user", login).map(Of::User);
    let organization = table.option("organization", login).map(Of::Organization);
    let installation = table.option("installation", login).map(Of::Installation);
    let names = table.list("names", name);
    if names.len() > MOST_NAMES {
        let found = format!("has {} names", names.len());
        table.refuse(Some("names"), Refused { found, accepted: format!("write at most {MOST_NAMES} into one source") });
    }
    let names = (!names.is_empty()).then_some(Of::Names(names));
    let filter = filter(table);
    let mut given: Vec<Of> = [user, organization, installation, names].into_iter().flatten().collect();
    let of = given.pop();
    if (of.is_none() || !given.is_empty()) && table.is_readable() {
        let found = if of.is_none() { "it says not what to list" } else { "it lists more than one thing" };
        let accepted = "write one of `user`, `organization`, `installation` (a login each) and `names` (a list)";
        table.refuse(None, Refused { found: found.to_owned(), accepted: accepted.to_owned() });
    }
    of.map(|of| Declaration { of, filter })
}

fn filter(table: &mut Table) -> Filter {
    let all = Filter::default();
    let filter = Filter {
        include: table.list("include", pattern),
        exclude: table.list("exclude", pattern),
        forks: table.option("forks", flag).unwrap_or(all.forks),
        archived: table.option("archived", flag).unwrap_or(all.archived),
        visibility: table.option("visibility", word),
        topics: table.list("topics", words),
        languages: table.list("languages", words),
        min_bytes: table.option("min_bytes", size::parse).unwrap_or(all.min_bytes),
        max_bytes: table.option("max_bytes", size::parse),
    };
    if filter.max_bytes.is_some_and(|most| most < filter.min_bytes) {
        let accepted = "write a size that is not less than `min_bytes`".to_owned();
        table.refuse(Some("max_bytes"), Refused { found: "nothing could pass".to_owned(), accepted });
    }
    filter
}

fn login(text: &str) -> Result<String, Refused> {
    match What::is_login(text) {
        true => Ok(text.to_owned()),
        false => Err(Refused::of(text, "write a login of GitHub, as in `octocat`: at most 39 letters, digits and `-`")),
    }
}

fn name(text: &str) -> Result<RepositoryName, Refused> {
    parsed(text, "write OWNER/NAME, as in `octocat/hello-world`")
}

fn pattern(text: &str) -> Result<String, Refused> {
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b'*' | b'?');
    let fits = (1..=LONGEST_PATTERN).contains(&text.len()) && text.bytes().all(letter) && text.matches('/').count() < 2;
    let accepted = "write a pattern for a name or for OWNER/NAME, as in `*-docs` or `octo/*`, with `*` for any text \
                    and `?` for one character";
    if fits { Ok(text.to_owned()) } else { Err(Refused::of(text, accepted)) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{Config, LoadOptions, Loaded, Problems};
    use crate::domain::sources::Visibility;

    fn from_file(text: &str) -> Result<Loaded, Problems> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.toml"), text).unwrap();
        let (directory, file) = (folder.path().to_owned(), Some("a.toml".into()));
        Config::load(&LoadOptions { directory, file, ..LoadOptions::default() })
    }

    fn from_variable(text: &str) -> Result<Loaded, Problems> {
        let folder = tempfile::tempdir().unwrap();
        let environment = BTreeMap::from([("STARKEEP__SOURCES".to_owned(), text.to_owned())]);
        Config::load(&LoadOptions { directory: folder.path().to_owned(), environment, ..LoadOptions::default() })
    }

    #[test]
    fn tables_of_a_file_and_json_of_the_environment_mean_the_same() {
        let file = from_file(
            "sources_interval = '10m'\n[[sources]]\nuser = 'octocat'\nforks = false\nmax_bytes = '1GiB'\n\
             visibility = 'private'\ninclude = ['a*', 'octocat/b?']\n[[sources]]\nnames = ['octo/hello']",
        )
        .unwrap();
        let variable = from_variable(
            r#"[{"user": "octocat", "forks": "false", "max_bytes": 1073741824, "visibility": "private",
                 "include": ["a*", "octocat/b?"]}, {"names": ["octo/hello"]}]"#,
        )
        .unwrap();
        assert_eq!(file.config.sources.all, variable.config.sources.all);
        assert_eq!(file.config.sources.interval, Duration::from_secs(600));
        let [user, names] = file.config.sources.all.as_slice() else { panic!("two are written") };
        assert_eq!((&user.of, user.filter.forks), (&Of::User("octocat".to_owned()), false));
        assert_eq!((user.filter.visibility, user.filter.max_bytes), (Some(Visibility::Private), Some(1 << 30)));
        assert_eq!(names.filter, Filter::default());
        let shown = file.show().iter().find(|it| it.key == "sources").unwrap();
        assert_eq!(shown.value[1]["names"][0], "octo/hello");
        assert!(from_variable("").unwrap().config.sources.all.is_empty());
    }

    #[test]
    fn every_mistake_is_told_with_its_place_and_origin() {
        let text = "[[sources]]\nuser = 'o c'\n[[sources]]\nuser = 'a'\nnames = ['x/y']\n[[sources]]\nfork = true\n\
                    [[sources]]\norganization = 'a'\nforks = 3\nvisibility = 'secret'\ninclude = ['a b']\n\
                    min_bytes = '2KiB'\nmax_bytes = '1KiB'\ntopics = 'cli'";
        let told = from_file(text).unwrap_err().to_string();
        for part in [
            "sources[1].user (file a.toml): `o c` is not accepted; write a login",
            "sources[2] (file a.toml): it lists more than one thing; write one of `user`",
            "sources[3] (file a.toml): it says not what to list",
            "sources[3].fork (file a.toml): there is no such key; did you mean `forks`?",
            "sources[4].forks (file a.toml): `3` is not accepted; write `true` or `false`",
            "sources[4].visibility (file a.toml): `secret` is not accepted; write `public` or `private`",
            "sources[4].include (file a.toml): `a b` is not accepted; write a pattern",
            "sources[4].max_bytes (file a.toml): nothing could pass",
            "sources[4].topics (file a.toml): `cli` is no list",
        ] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
        for (text, part) in [
            ("sources = 3", "sources (file a.toml): is no list of tables; write tables, each as `[[sources]]`"),
            ("sources = ['x']", "sources[1] (file a.toml): `x` is no table"),
            ("[sources]\nuser = 'x'", "sources.user (file a.toml): there is no such key"),
            ("[[sources]]\nuser = 'x'\n[[sources]]\nuser = 'x'", "`sources[1]` and `sources[2]` are the same"),
            ("sources_interval = '1s'", "sources_interval (file a.toml): `1s` is out of bounds"),
        ] {
            let told = from_file(text).unwrap_err().to_string();
            assert!(told.contains(part), "{part} is not in {told}");
        }
        let told = from_variable("octocat").unwrap_err().to_string();
        assert!(told.contains("sources (environment variable STARKEEP__SOURCES): is no list of tables"), "{told}");
        assert!(!told.contains("octocat"), "a secret may have been written there: {told}");
    }
}
