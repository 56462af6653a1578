//! The configuration: one struct a section, loaded in layers, all problems reported at once.
//!
//! ```text
//! default.toml (built in) ─▶ config/default.toml ─▶ config/$STARKEEP_ENV.toml ─▶ --config FILE ─▶ STARKEEP__SECTION__KEY
//!      └──────────────────────────── layers: flat keys, each with its origin ──────────────────────────┘
//!                                          ▼
//!                  values: types, secret references ─▶ sections: problems() ─▶ Config
//! ```
//!
//! Later layers win. Whoever needs a setting takes its section struct by reference.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

pub mod admin;
pub mod audit;
pub mod database;
pub mod deliveries;
pub mod drill;
pub mod duration;
pub mod github;
pub mod jwt;
mod layers;
pub mod log;
mod nearest;
pub mod notify;
pub mod onedev;
pub mod policy;
mod problem;
pub mod retry;
mod rules;
pub mod secret_stores;
mod secrets;
pub mod server;
pub mod size;
pub mod sources;
pub mod ssh;
pub mod stars;
pub mod sync;
mod tables;
pub mod traces;
mod values;

pub use layers::LoadOptions;
pub use problem::{Origin, Problem, Problems};
pub(crate) use rules::is_loopback;
pub use secrets::{LookedUp, Reference};
pub use values::Shown;

use values::Values;

use crate::domain::bounds::Bounds;

/// The whole configuration, valid by construction once loaded.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Listening, limits of incoming requests.
    pub server: server::Server,
    /// Where state is kept.
    pub database: database::Database,
    /// GitHub: addresses and credentials.
    pub github: github::Github,
    /// Whose stars, and what a taken-back star means.
    pub stars: stars::Stars,
    /// What is kept besides stars.
    pub sources: sources::Sources,
    /// OneDev: address, credential, where and how mirrors are laid out.
    pub onedev: onedev::Onedev,
    /// How refs and packs are moved.
    pub sync: sync::Sync,
    /// What waits for an admin.
    pub policy: policy::Policy,
    /// Backing off.
    pub retry: retry::Retry,
    /// The admin API.
    pub admin: admin::Admin,
    /// How long the audit log is kept.
    pub audit: audit::Audit,
    /// How long received webhooks are kept.
    pub deliveries: deliveries::Deliveries,
    /// Restoring mirrors on trial.
    pub drill: drill::Drill,
    /// Where secrets are looked up.
    pub secrets: secret_stores::SecretStores,
    /// Who is told what became of mirrors.
    pub notify: notify::Notify,
    /// Traces.
    pub traces: traces::Traces,
    /// Logging.
    pub log: log::Log,
}

/// What every section can do: read its keys, and say what is wrong with them.
///
/// Both take the struct apart by name, so that a new field does not compile until somebody decided
/// how it is read and what is valid.
trait Section {
    /// The section as the layers have it; what cannot be read keeps its default and becomes a problem.
    fn read(values: &mut Values<'_>) -> Self;

    /// Values that were read well but are out of bounds or do not go together.
    fn problems(&self) -> Vec<Problem>;
}

/// A configuration together with where its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    shown: Vec<Shown>,
}

impl Loaded {
    /// Every key in order, with its value (secrets masked) and the layer that had the last word.
    pub fn show(&self) -> &[Shown] {
        &self.shown
    }
}

impl Config {
    /// How much is kept at most.
    pub fn bounds(&self) -> Bounds {
        Bounds { each: self.sync.max_bytes, total: self.policy.max_total_bytes }
    }

    /// Reads all layers. Touches no network and changes nothing.
    ///
    /// # Errors
    /// Everything that is wrong, at once: files, unknown keys, forms, bounds, secret references.
    pub fn load(options: &LoadOptions) -> Result<Loaded, Problems> {
        let mut problems = Vec::new();
        let entries = layers::read(options, &mut problems);
        let met = RefCell::default();
        let mut values = Values::new(&entries, secrets::Surroundings::of(options, &met));
        let config = Self::read(&mut values);
        let (unread, shown) = values.finish();
        let found = config.problems(&unread, &shown);
        problems.extend(unread);
        problems.extend(found);
        if problems.is_empty() { Ok(Loaded { config, shown }) } else { Err(Problems(problems)) }
    }

    /// Which secrets in stores it refers to, and how those stores are asked; `None` where it refers to none. What
    /// is wrong with the configuration is told by [`Self::load`].
    pub fn asks(options: &LoadOptions) -> Option<(secret_stores::SecretStores, BTreeSet<Reference>)> {
        let entries = layers::read(options, &mut Vec::new());
        let met = RefCell::default();
        let config = Self::read(&mut Values::new(&entries, secrets::Surroundings::of(options, &met)));
        let met = met.into_inner();
        (!met.is_empty()).then_some((config.secrets, met))
    }

    fn read(values: &mut Values<'_>) -> Self {
        Self {
            server: Section::read(values),
            database: Section::read(values),
            github: Section::read(values),
            stars: Section::read(values),
            sources: Section::read(values),
            onedev: Section::read(values),
            sync: Section::read(values),
            policy: Section::read(values),
            retry: Section::read(values),
            admin: Section::read(values),
            audit: Section::read(values),
            deliveries: Section::read(values),
            drill: Section::read(values),
            secrets: Section::read(values),
            notify: Section::read(values),
            traces: Section::read(values),
            log: Section::read(values),
        }
    }

    /// The sections' own problems with their origins, without those of keys that could not even be read.
    fn problems(&self, unread: &[Problem], shown: &[Shown]) -> Vec<Problem> {
        let Self {
            server,
            database,
            github,
            stars,
            sources,
            onedev,
            sync,
            policy,
            retry,
            admin,
            audit,
            deliveries,
            drill,
            secrets,
            notify,
            traces,
            log,
        } = self;
        let sections: [&dyn SectionProblems; 17] = [
            server, database, github, stars, sources, onedev, sync, policy, retry, admin, audit, deliveries, drill,
            secrets, notify, traces, log,
        ];
        let origins: BTreeMap<&str, &Origin> =
            shown.iter().filter_map(|it| Some((it.key.as_str(), it.origin.as_ref()?))).collect();
        sections
            .iter()
            .flat_map(|it| it.problems())
            .filter(|it| !unread.iter().any(|other| other.key == it.key))
            .map(|it| {
                let origin = origins.get(it.key.as_str()).map(|it| (*it).clone());
                it.from(origin)
            })
            .collect()
    }
}

/// [`Section`] without its constructor, so that all sections fit one list.
trait SectionProblems {
    fn problems(&self) -> Vec<Problem>;
}

impl<T: Section> SectionProblems for T {
    fn problems(&self) -> Vec<Problem> {
        Section::problems(self)
    }
}

/// The secret that a reference outside the configuration leads to, as one given to a command. A secret itself is
/// refused: it would stand in the list of processes.
///
/// # Errors
/// What is wrong and what is accepted, without the secret.
pub fn secret(reference: &str, options: &LoadOptions) -> Result<secrecy::SecretString, String> {
    if !["env:", "file:"].iter().any(|kind| reference.starts_with(kind)) {
        return Err("a secret does not belong on the command line; write env:NAME or file:PATH".to_owned());
    }
    secrets::resolve(reference, secrets::Surroundings::of(options, &RefCell::default()))
        .map_err(|it| format!("{}; {}", it.found, it.accepted))
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
