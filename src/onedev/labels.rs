//! Labels: names that a whole server shares, and which of them a project has.
//!
//! A token that is bound to a project may give labels to it, but neither read nor make the names: 401 for the one,
//! 403 for the other, though the token is good.

use serde::Deserialize;
use serde_json::json;

use super::client::{OnedevClient, set_query};
use super::error::OnedevError;
use super::exchange::Call;
use crate::domain::ids::ProjectId;

/// Names in one page; who is no admin gets no more.
const PAGE: usize = 100;
/// Pages that are read.
const MOST_PAGES: usize = 50;
/// The colour that OneDev's own page proposes.
const COLOR: &str = "#0d87e9";

/// A label's name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LabelSpec {
    /// OneDev's id.
    pub id: i64,
    /// What it says.
    pub name: String,
}

/// That a project has a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectLabel {
    /// OneDev's id of just that.
    pub id: i64,
    /// Which label.
    pub spec_id: i64,
}

impl OnedevClient {
    /// Every label there is; `None` where the token may not read or make them.
    ///
    /// # Errors
    /// [`OnedevError`].
    pub async fn label_specs(&self) -> Result<Option<Vec<LabelSpec>>, OnedevError> {
        let mut all = Vec::new();
        for page in 0..MOST_PAGES {
            let mut url = self.exchange().api(["label-specs"]);
            set_query(&mut url, &[("offset", &(page * PAGE).to_string()), ("count", &PAGE.to_string())]);
            let found: Vec<LabelSpec> = match self.send(Call::get(url)).await {
                Ok(answer) => answer.json()?,
                Err(OnedevError::Forbidden(_) | OnedevError::Unauthorized(_)) => return Ok(None),
                Err(error) => return Err(error),
            };
            let is_last = found.len() < PAGE;
            all.extend(found);
            if is_last {
                break;
            }
        }
        Ok(Some(all))
    }

    /// Makes a label; answers its id, also when somebody was faster. `None` where the token may not.
    ///
    /// # Errors
    /// [`OnedevError`].
    pub async fn create_label(&self, name: &str) -> Result<Option<i64>, OnedevError> {
        let body = json!({ "name": name, "color": COLOR });
        match self.send(Call::post(self.exchange().api(["label-specs"]), body)).await {
            Ok(answer) => answer.json().map(Some),
            Err(OnedevError::Forbidden(_) | OnedevError::Unauthorized(_)) => Ok(None),
            // Two at once, or an answer that was lost: it may be there.
            Err(error @ (OnedevError::Server { .. } | OnedevError::Conflict(_) | OnedevError::Transport(_))) => {
                let there = self.label_specs().await?.unwrap_or_default();
                there.iter().find(|it| it.name == name).map(|it| Some(it.id)).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The labels of a project.
    ///
    /// # Errors
    /// [`OnedevError`].
    pub async fn project_labels(&self, project: ProjectId) -> Result<Vec<ProjectLabel>, OnedevError> {
        let url = self.exchange().api(["projects", &project.to_string(), "labels"]);
        self.send(Call::get(url)).await?.json()
    }

    /// Gives a project a label.
    ///
    /// # Errors
    /// [`OnedevError`].
    pub async fn add_label(&self, project: ProjectId, spec: i64) -> Result<(), OnedevError> {
        let body = json!({ "projectId": project, "specId": spec });
        let Err(error) = self.send(Call::post(self.exchange().api(["project-labels"]), body)).await else {
            return Ok(());
        };
        // It may be there by another hand, or by a call whose answer was lost.
        let is_there = self.project_labels(project).await?.iter().any(|it| it.spec_id == spec);
        if is_there { Ok(()) } else { Err(error) }
    }

    /// Takes a label from a project.
    ///
    /// # Errors
    /// [`OnedevError`].
    pub async fn remove_label(&self, project: ProjectId, label: ProjectLabel) -> Result<(), OnedevError> {
        let url = self.exchange().api(["project-labels", &label.id.to_string()]);
        let Err(error) = self.send(Call::delete(url)).await else { return Ok(()) };
        let is_there = self.project_labels(project).await?.contains(&label);
        if is_there { Err(error) } else { Ok(()) }
    }
}
