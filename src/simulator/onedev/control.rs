//! Control of the simulated OneDev: what stands in it, and what somebody's hand changes there.

use std::path::PathBuf;

use super::auth::OWNER;
use super::data::ProjectData;
use super::state::{Grant, LabelSpec, Project, State, Token};
use super::{OneDevSimulator, Phase};
use crate::domain::refs::{Head, Oid, RefMap};
use crate::simulator::SimulatorError;
use crate::simulator::record::lock;
use crate::simulator::repository;

type Result<T> = std::result::Result<T, SimulatorError>;

/// A project as it stands, for assertions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectState {
    /// OneDev's id.
    pub id: i64,
    /// Full path, as it is written.
    pub path: String,
    /// The parent's id.
    pub parent: Option<i64>,
    /// The text under the title.
    pub description: Option<String>,
    /// Whether issues are on.
    pub issue_management: bool,
    /// Whether code is shown.
    pub code_management: bool,
    /// Whether packages are on.
    pub pack_management: bool,
    /// Roles that everybody has.
    pub base_roles: Vec<i64>,
    /// Names of its labels.
    pub labels: Vec<String>,
}

fn state_of(state: &State, project: &Project) -> ProjectState {
    let base = state.base_grants.rows.values().filter(|it| it.project == project.id);
    let labels = state.labels.rows.values().filter(|(labelled, _)| *labelled == project.id);
    ProjectState {
        id: project.id,
        path: state.path(project.id),
        parent: project.data.parent,
        description: project.data.description.clone(),
        issue_management: project.data.issue_management,
        code_management: project.data.code_management,
        pack_management: project.data.pack_management,
        base_roles: base.map(|it| it.role).collect(),
        labels: labels.filter_map(|(_, spec)| state.label_specs.rows.get(spec)).map(|it| it.name.clone()).collect(),
    }
}

impl State {
    /// As [`OneDevSimulator::create_project`].
    pub(crate) fn create(&mut self, path: &str) -> Result<i64> {
        let mut parent = None;
        for name in path.split('/') {
            let there = self.named(parent, name).map(|it| it.id);
            parent = Some(match there {
                Some(id) => id,
                None => {
                    let folder = self.fresh_folder();
                    repository::create(&folder)?;
                    let added = self.add(ProjectData::named(parent, name), &folder);
                    added.map_err(|_| SimulatorError::Exists(path.to_owned()))?
                }
            });
        }
        parent.ok_or_else(|| SimulatorError::Unknown(format!("project `{path}`")))
    }
}

impl OneDevSimulator {
    /// Every project, by id.
    pub fn projects(&self) -> Vec<ProjectState> {
        let state = lock(&self.shared.state);
        state.projects.values().map(|it| state_of(&state, it)).collect()
    }

    /// The project at a full path, compared without case.
    pub fn project(&self, path: &str) -> Option<ProjectState> {
        let state = lock(&self.shared.state);
        state.at(path).map(|it| state_of(&state, it))
    }

    /// Makes a project with every parent that is not there yet; answers its id, also when it was
    /// there.
    ///
    /// # Errors
    /// When the disk refuses or the path is too long.
    pub fn create_project(&self, path: &str) -> Result<i64> {
        lock(&self.shared.state).create(path)
    }

    /// Deletes a project and all below it.
    ///
    /// # Errors
    /// When it is not there.
    pub fn delete_project(&self, path: &str) -> Result<()> {
        let mut state = lock(&self.shared.state);
        let id = state.at(path).map(|it| it.id).ok_or_else(|| SimulatorError::Unknown(format!("project `{path}`")))?;
        state.delete(id);
        Ok(())
    }

    /// Sets a project's description.
    ///
    /// # Errors
    /// When it is not there.
    pub fn set_description(&self, path: &str, description: Option<&str>) -> Result<()> {
        let mut state = lock(&self.shared.state);
        let id = state.at(path).map(|it| it.id).ok_or_else(|| SimulatorError::Unknown(format!("project `{path}`")))?;
        if let Some(project) = state.projects.get_mut(&id) {
            project.data.description = description.map(str::to_owned);
        }
        Ok(())
    }

    /// Somebody's hand gives a project a label, which is made if it is new.
    ///
    /// # Errors
    /// When there is no such project.
    pub fn label(&self, path: &str, name: &str) -> Result<()> {
        let mut state = lock(&self.shared.state);
        let id = state.at(path).map(|it| it.id).ok_or_else(|| SimulatorError::Unknown(format!("project `{path}`")))?;
        let known = state.label_specs.rows.iter().find(|(_, it)| it.name == name).map(|(spec, _)| *spec);
        let spec = known
            .unwrap_or_else(|| state.label_specs.add(LabelSpec { name: name.to_owned(), color: "#0d87e9".to_owned() }));
        state.labels.add((id, spec));
        Ok(())
    }

    /// A token that is Project Owner of one project, which must be there, and nothing else: the
    /// right credential for a mirror. Answers its value.
    ///
    /// # Errors
    /// When there is no such project.
    pub fn scoped_token(&self, path: &str) -> Result<String> {
        let mut state = lock(&self.shared.state);
        let project =
            state.at(path).map(|it| it.id).ok_or_else(|| SimulatorError::Unknown(format!("project `{path}`")))?;
        let number = state.tokens.rows.len() + 1;
        let value = format!("simulatedScoped{number:025}");
        let token = Token { name: format!("scoped {number}"), value: value.clone(), owner_permissions: false };
        let holder = state.tokens.add(token);
        state.token_grants.add(Grant { project, role: OWNER, holder });
        Ok(value)
    }

    /// Makes a token worthless.
    pub fn revoke_token(&self, value: &str) {
        lock(&self.shared.state).tokens.rows.retain(|_, it| it.value != value);
    }

    /// Gives a token another value, as when its holder makes a new one in its place; the old value is worthless.
    pub fn change_token(&self, value: &str, next: &str) {
        let mut state = lock(&self.shared.state);
        for token in state.tokens.rows.values_mut().filter(|it| it.value == value) {
            next.clone_into(&mut token.value);
        }
    }

    /// The bare repository of a project on disk, for git itself.
    ///
    /// # Errors
    /// When there is no such project.
    pub fn repo_dir(&self, path: &str) -> Result<PathBuf> {
        let state = lock(&self.shared.state);
        let project = state.at(path).ok_or_else(|| SimulatorError::Unknown(format!("project `{path}`")))?;
        Ok(project.folder.clone())
    }

    /// Every ref of a project, whatever its namespace.
    ///
    /// # Errors
    /// When there is no such project.
    pub fn refs(&self, path: &str) -> Result<RefMap> {
        repository::refs(&self.repo_dir(path)?)
    }

    /// Where a project's HEAD points.
    ///
    /// # Errors
    /// When there is no such project.
    pub fn head(&self, path: &str) -> Result<Head> {
        repository::head(&self.repo_dir(path)?)
    }

    /// Somebody's hand puts a ref on an object that the project has.
    ///
    /// # Errors
    /// When the object is missing or libgit2 refuses.
    pub fn set_ref(&self, path: &str, name: &str, oid: Oid) -> Result<()> {
        repository::set_ref(&self.repo_dir(path)?, name, oid)
    }

    /// Somebody's hand takes a ref away.
    ///
    /// # Errors
    /// When there is no such project or libgit2 refuses.
    pub fn delete_ref(&self, path: &str, name: &str) -> Result<()> {
        repository::delete_ref(&self.repo_dir(path)?, name)
    }

    /// Somebody's hand commits a file on a branch; answers the commit.
    ///
    /// # Errors
    /// When there is no such project or libgit2 refuses.
    pub fn commit(&self, path: &str, branch: &str, file: &str, content: &str) -> Result<Oid> {
        let folder = self.repo_dir(path)?;
        let at = lock(&self.shared.state).tick().timestamp();
        let name = format!("refs/heads/{branch}");
        let tip = repository::tip(&folder, &name)?;
        let oid = repository::commit(&folder, &tip.into_iter().collect::<Vec<_>>(), file, content, at)?;
        repository::set_ref(&folder, &name, oid)?;
        Ok(oid)
    }

    /// Whether a project's repository holds an object, reachable or not.
    ///
    /// # Errors
    /// When there is no such project.
    pub fn has_object(&self, path: &str, oid: Oid) -> Result<bool> {
        repository::has_object(&self.repo_dir(path)?, oid)
    }

    /// Switches anonymous access on or off for the whole server.
    pub fn set_anonymous_access(&self, on: bool) {
        if let Some(security) = lock(&self.shared.state).security.as_object_mut() {
            security.insert("enableAnonymousAccess".to_owned(), on.into());
        }
    }

    /// How far the server has come up; takes effect with the next request.
    pub fn set_phase(&self, phase: Phase) {
        *lock(&self.shared.phase) = phase;
    }

    /// What a restart does to the data: the folders of deleted projects go, and their ids are given
    /// again. The address stays up all the while; see [`Self::go_down`] and [`Self::set_phase`].
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn restart(&self) -> Result<()> {
        lock(&self.shared.state).restart()
    }
}
