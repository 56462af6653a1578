//! What the simulated OneDev knows: projects and their paths, tokens, authorizations, labels,
//! settings.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, TimeZone as _, Utc};
use serde_json::Value;

use super::data::ProjectData;
use super::settings;
use crate::simulator::SimulatorError;

/// Simulated time starts here and moves a second with each change.
const EPOCH: i64 = 1_767_225_600;

/// A path that is longer is a bare 500.
const LONGEST_PATH: usize = 255;

/// A project; its refs stand in its folder.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    pub(crate) id: i64,
    pub(crate) data: ProjectData,
    pub(crate) create_date: String,
    /// Grows with each project that something happens to; the list shows the newest first.
    pub(crate) activity: i64,
    pub(crate) setting: Value,
    pub(crate) folder: PathBuf,
}

/// A role on a project, for everybody (`base`), for a user, or for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) project: i64,
    pub(crate) role: i64,
    /// The user or token; 0 for a base authorization.
    pub(crate) holder: i64,
}

/// An access token.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) name: String,
    pub(crate) value: String,
    /// Acts as `admin`; else only as far as it was authorized.
    pub(crate) owner_permissions: bool,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, value: _, owner_permissions } = self;
        f.debug_struct("Token")
            .field("name", name)
            .field("owner_permissions", owner_permissions)
            .finish_non_exhaustive()
    }
}

/// A kind of label.
#[derive(Debug, Clone)]
pub(crate) struct LabelSpec {
    pub(crate) name: String,
    pub(crate) color: String,
}

/// A table whose ids count from 1 and are not used twice.
#[derive(Debug, Clone)]
pub(crate) struct Table<T> {
    pub(crate) rows: BTreeMap<i64, T>,
    last: i64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), last: 0 }
    }
}

impl<T> Table<T> {
    pub(crate) fn add(&mut self, row: T) -> i64 {
        self.last += 1;
        self.rows.insert(self.last, row);
        self.last
    }
}

#[derive(Debug)]
pub(crate) struct State {
    root: PathBuf,
    pub(crate) projects: BTreeMap<i64, Project>,
    /// Full paths in lower case.
    paths: HashMap<String, i64>,
    last_id: i64,
    folders: i64,
    clock: i64,
    pub(crate) tokens: Table<Token>,
    pub(crate) token_grants: Table<Grant>,
    pub(crate) base_grants: Table<Grant>,
    pub(crate) user_grants: Table<Grant>,
    pub(crate) label_specs: Table<LabelSpec>,
    /// Project and label spec.
    pub(crate) labels: Table<(i64, i64)>,
    pub(crate) security: Value,
}

/// Why a project is not made or moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Collision {
    /// The database's unique index says so.
    Index,
    /// The path is too long for its column.
    Path,
}

impl State {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            projects: BTreeMap::new(),
            paths: HashMap::new(),
            last_id: 0,
            folders: 0,
            clock: 0,
            tokens: Table::default(),
            token_grants: Table::default(),
            base_grants: Table::default(),
            user_grants: Table::default(),
            label_specs: Table::default(),
            labels: Table::default(),
            security: settings::security(),
        }
    }

    /// The next second of simulated time.
    pub(crate) fn tick(&mut self) -> DateTime<Utc> {
        self.clock += 1;
        Utc.timestamp_opt(EPOCH + self.clock, 0).single().unwrap_or_default()
    }

    /// A folder that no project has or had.
    pub(crate) fn fresh_folder(&mut self) -> PathBuf {
        self.folders += 1;
        self.root.join(format!("{}.git", self.folders))
    }

    /// The project at a full path, compared without case.
    pub(crate) fn at(&self, path: &str) -> Option<&Project> {
        self.paths.get(&path.to_lowercase()).and_then(|id| self.projects.get(id))
    }

    /// The full path of a project.
    pub(crate) fn path(&self, id: i64) -> String {
        let names: Vec<_> = self.lineage(id).map(|it| it.data.name.as_str()).collect();
        names.into_iter().rev().collect::<Vec<_>>().join("/")
    }

    /// A project and its ancestors, from the inside out.
    pub(crate) fn lineage(&self, id: i64) -> impl Iterator<Item = &Project> {
        std::iter::successors(self.projects.get(&id), |it| it.data.parent.and_then(|parent| self.projects.get(&parent)))
    }

    /// A project and everything below it.
    pub(crate) fn family(&self, id: i64) -> Vec<i64> {
        let inside = |it: &&i64| self.lineage(**it).any(|project| project.id == id);
        self.projects.keys().filter(inside).copied().collect()
    }

    /// The sibling that already has a name, compared without case.
    pub(crate) fn named(&self, parent: Option<i64>, name: &str) -> Option<&Project> {
        let path = parent.map_or_else(|| name.to_owned(), |parent| format!("{}/{name}", self.path(parent)));
        self.at(&path).filter(|it| it.data.parent == parent)
    }

    fn collision(&self, id: Option<i64>, data: &ProjectData) -> Option<Collision> {
        let path = data.parent.map_or(0, |parent| self.path(parent).chars().count() + 1) + data.name.chars().count();
        let others = || self.projects.values().filter(|it| Some(it.id) != id);
        if path > LONGEST_PATH {
            Some(Collision::Path)
        } else if self.named(data.parent, &data.name).is_some_and(|it| Some(it.id) != id)
            || data.key.is_some() && others().any(|it| it.data.key == data.key)
        {
            Some(Collision::Index)
        } else {
            None
        }
    }

    /// Adds a project whose folder is ready. A collision uses up an id, as a failed insert does.
    pub(crate) fn add(&mut self, data: ProjectData, folder: &Path) -> Result<i64, Collision> {
        self.last_id += 1;
        if let Some(collision) = self.collision(None, &data) {
            return Err(collision);
        }
        let now = self.tick();
        let project = Project {
            id: self.last_id,
            data,
            create_date: now.to_rfc3339_opts(SecondsFormat::Millis, false),
            activity: self.clock,
            setting: settings::project(),
            folder: folder.to_path_buf(),
        };
        self.projects.insert(project.id, project);
        self.paths.insert(self.path(self.last_id).to_lowercase(), self.last_id);
        self.user_grants.add(Grant { project: self.last_id, role: 1, holder: 1 });
        Ok(self.last_id)
    }

    /// Replaces a project's data; a new name or parent moves everything below it.
    pub(crate) fn update(&mut self, id: i64, data: ProjectData) -> Result<(), Collision> {
        if let Some(collision) = self.collision(Some(id), &data) {
            return Err(collision);
        }
        if let Some(project) = self.projects.get_mut(&id) {
            project.data = data;
            self.index();
        }
        Ok(())
    }

    /// Deletes a project and everything below it. The folders stay until [`Self::restart`].
    pub(crate) fn delete(&mut self, id: i64) {
        for id in self.family(id) {
            self.projects.remove(&id);
            for grants in [&mut self.token_grants, &mut self.base_grants, &mut self.user_grants] {
                grants.rows.retain(|_, it| it.project != id);
            }
            self.labels.rows.retain(|_, (project, _)| *project != id);
        }
        self.index();
    }

    fn index(&mut self) {
        self.paths = self.projects.keys().map(|id| (self.path(*id).to_lowercase(), *id)).collect();
    }

    /// Something happened to a project.
    pub(crate) fn touch(&mut self, id: i64) {
        self.tick();
        if let Some(project) = self.projects.get_mut(&id) {
            project.activity = self.clock;
        }
    }

    /// What a restart does: folders of deleted projects go, and ids above the highest are given
    /// again.
    pub(crate) fn restart(&mut self) -> Result<(), SimulatorError> {
        self.last_id = self.projects.keys().next_back().copied().unwrap_or(0);
        for entry in std::fs::read_dir(&self.root).into_iter().flatten() {
            let folder = entry?.path();
            if !self.projects.values().any(|it| it.folder == folder) {
                std::fs::remove_dir_all(folder)?;
            }
        }
        Ok(())
    }
}
