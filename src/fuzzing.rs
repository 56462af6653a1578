//! What strangers send, one function for each kind of it: none of them may panic, hang or break its promise.
//!
//! `fuzz/run.sh` feeds them what a coverage-guided search makes up; the tests below feed them the same corpus and
//! changes of it, on every run. In no release is any of this.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use bytes::Bytes;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::config::{Config, LoadOptions};
use crate::domain::naming::{Naming, ProjectPath};
use crate::domain::refs::{Oid, RefName, RefPattern};
use crate::domain::repository::RepositoryName;
use crate::domain::star_lists;
use crate::git;
use crate::git::fuzzed;
use crate::telemetry::metrics::Metrics;
use crate::webhook::{payload, signature};

/// What one kind does with what was sent.
type Target = fn(&[u8]);

/// Each kind by the name of its corpus.
pub const TARGETS: [(&str, Target); 7] = [
    ("signature", signature_header),
    ("payload", webhook_payload),
    ("pkt_line", pkt_line),
    ("advertisement", ref_advertisement),
    ("report", report_status),
    ("configuration", configuration),
    ("names", names),
];

const EVENTS: [&str; 10] = [
    "ping",
    "push",
    "gollum",
    "star",
    "repository",
    "installation",
    "installation_repositories",
    "installation_target",
    "issues",
    "github_app_authorization",
];

thread_local! {
    static RUNTIME: OnceCell<(Runtime, Metrics, TempDir)> = const { OnceCell::new() };
}

/// Works inside a runtime that is made once, as are the metrics and a folder.
fn with<T>(work: impl FnOnce(&Runtime, &Metrics, &TempDir) -> T) -> Option<T> {
    RUNTIME.with(|cell| {
        if cell.get().is_none() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().ok()?;
            let made = (runtime, Metrics::new().ok()?, TempDir::new().ok()?);
            let _ = cell.set(made);
        }
        cell.get().map(|(runtime, metrics, folder)| work(runtime, metrics, folder))
    })
}

fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let at = data.iter().position(|it| *it == b'\n').unwrap_or(data.len());
    let (one, other) = data.split_at(at);
    (one, other.get(1..).unwrap_or_default())
}

/// The first line is `X-Hub-Signature-256`, the rest the body.
pub fn signature_header(data: &[u8]) {
    let (header, body) = halves(data);
    let secrets = [SecretString::from("the secret"), SecretString::from("the one before")];
    let header = String::from_utf8_lossy(header);
    if signature::verify(&secrets, body, &header).is_ok() {
        assert!(header.starts_with("sha256=") && header.len() == 71, "{header} opens");
        assert!(signature::verify(&[SecretString::from("another")], body, &header).is_err());
    }
}

/// The first byte chooses the event, the rest is the body.
pub fn webhook_payload(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let event = EVENTS.get(usize::from(*first) % EVENTS.len()).copied().unwrap_or("star");
    let _ = payload::parse(event, body);
}

/// The first byte says how large the chunks are that the rest comes in. However it is cut, the packets are the same.
pub fn pkt_line(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else { return };
    let whole = fuzzed::packets([Bytes::copy_from_slice(stream)]);
    let size = usize::from(*first).max(1);
    assert_eq!(fuzzed::packets(stream.chunks(size).map(Bytes::copy_from_slice)), whole, "in chunks of {size}");
}

/// What a server says to `info/refs` and to `ls-refs`.
pub fn ref_advertisement(data: &[u8]) {
    with(|runtime, _, _| runtime.block_on(fuzzed::read_lists(data)));
}

/// What a server says to a push.
pub fn report_status(data: &[u8]) {
    with(|runtime, metrics, _| runtime.block_on(fuzzed::read_reports(data, &git::Progress::new(metrics))));
}

/// A file of the configuration. What is loaded can be shown; what is not is told as a problem.
pub fn configuration(data: &[u8]) {
    let loaded = with(|_, _, folder| {
        let file = folder.path().join("fuzzed.toml");
        std::fs::write(&file, data).ok()?;
        let (directory, environment) = (folder.path().to_owned(), BTreeMap::new());
        Some(Config::load(&LoadOptions { file: Some(file), directory, environment, ..LoadOptions::default() }))
    });
    match loaded.flatten() {
        Some(Ok(loaded)) => assert!(!loaded.show().is_empty()),
        Some(Err(problems)) => assert!(!problems.to_string().is_empty()),
        None => {}
    }
}

/// The first line is a template of paths, the rest names: of repositories, refs, patterns of refs, projects.
pub fn names(data: &[u8]) {
    let (template, rest) = halves(data);
    let template = String::from_utf8_lossy(template);
    let naming = Naming::parse(&template, "github");
    for line in String::from_utf8_lossy(rest).lines().take(20) {
        if let Ok(name) = RefName::new(line) {
            assert_eq!(name.as_str(), line);
        }
        let _ = (line.parse::<RefPattern>(), line.parse::<Oid>());
        if let Ok(path) = line.parse::<ProjectPath>() {
            assert_eq!(path.as_str().parse::<ProjectPath>().as_ref(), Ok(&path));
        }
        let Ok(repository) = line.parse::<RepositoryName>() else { continue };
        if let Ok(naming) = &naming {
            let list = star_lists::folder(line, &BTreeMap::new());
            for list in [None, Some(list.as_str())] {
                let path = naming.path(&repository, list);
                assert_eq!(path.as_str().parse::<ProjectPath>().as_ref(), Ok(&path), "{template} of {repository}");
                assert!(path.is_below(naming.root()), "{path:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
        files.sort();
        files.iter().map(|it| std::fs::read(it).unwrap()).collect()
    }

    /// A seed with some bytes changed, cut out, or taken from another seed.
    fn changed() -> impl Strategy<Value = (Index, Vec<(Index, u8, u8)>, Index)> {
        let edits = proptest::collection::vec((any::<Index>(), any::<u8>(), 0_u8..4), 0..6);
        (any::<Index>(), edits, any::<Index>())
    }

    fn apply(seeds: &[Vec<u8>], (seed, edits, other): &(Index, Vec<(Index, u8, u8)>, Index)) -> Vec<u8> {
        let mut data = seed.get(seeds).clone();
        for (place, byte, kind) in edits {
            let at = place.index(data.len() + 1);
            match kind {
                0 if at < data.len() => data[at] = *byte,
                1 if at < data.len() => drop(data.remove(at)),
                2 => data.insert(at, *byte),
                _ => {
                    let other = other.get(seeds);
                    data.truncate(at);
                    data.extend_from_slice(&other[place.index(other.len() + 1)..]);
                }
            }
        }
        data
    }

    #[test]
    fn every_seed_is_taken_and_each_kind_has_some() {
        for (name, target) in TARGETS {
            let seeds = corpus(name);
            assert!(seeds.len() >= 3, "{name}");
            seeds.iter().for_each(|it| target(it));
        }
    }

    macro_rules! survives {
        ($($name:ident = $place:literal),*) => {$(
            #[test]
            fn $name() {
                let (name, target) = TARGETS[$place];
                let seeds = corpus(name);
                proptest!(|(change in changed(), noise in proptest::collection::vec(any::<u8>(), 0..200))| {
                    target(&apply(&seeds, &change));
                    target(&noise);
                });
            }
        )*};
    }
    survives!(
        signatures_survive = 0,
        payloads_survive = 1,
        packets_survive = 2,
        advertisements_survive = 3,
        reports_survive = 4,
        configurations_survive = 5,
        names_survive = 6
    );
}
