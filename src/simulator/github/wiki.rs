//! Wikis of the simulated GitHub: repositories of their own, which come to be with their first page.

use std::path::PathBuf;

use serde_json::json;

use super::GithubSimulator;
use super::webhooks::Delivery;
use crate::domain::ids::GithubId;
use crate::domain::refs::{Head, Oid, RefMap};
use crate::simulator::SimulatorError;
use crate::simulator::record::lock;
use crate::simulator::repository;

type Result<T> = std::result::Result<T, SimulatorError>;

/// The branch that GitHub's pages show.
const BRANCH: &str = "master";

impl GithubSimulator {
    /// Somebody writes a page; the first one makes the wiki.
    ///
    /// # Errors
    /// When there is no such repository or libgit2 refuses.
    pub fn write_page(&self, id: GithubId, page: &str, content: &str) -> Result<Oid> {
        let folder = self.wiki_dir(id)?;
        if !folder.is_dir() {
            repository::create(&folder)?;
            repository::set_head(&folder, BRANCH)?;
        }
        let name = format!("refs/heads/{BRANCH}");
        let tip: Vec<Oid> = repository::tip(&folder, &name)?.into_iter().collect();
        let at = lock(&self.shared.state).tick().timestamp();
        let oid = repository::commit(&folder, &tip, &format!("{page}.md"), content, at)?;
        repository::set_ref(&folder, &name, oid)?;
        Ok(oid)
    }

    /// Somebody deletes a page.
    ///
    /// # Errors
    /// When there is no wiki, or no such page in it.
    pub fn delete_page(&self, id: GithubId, page: &str) -> Result<Oid> {
        let folder = self.wiki_dir(id)?;
        let name = format!("refs/heads/{BRANCH}");
        let tip = repository::tip(&folder, &name)?.ok_or_else(|| SimulatorError::Unknown(name.clone()))?;
        let at = lock(&self.shared.state).tick().timestamp();
        let oid = repository::commit_without(&folder, tip, &format!("{page}.md"), at)?;
        repository::set_ref(&folder, &name, oid)?;
        Ok(oid)
    }

    /// The wiki goes, as when its owner switches it off.
    ///
    /// # Errors
    /// When there is none.
    pub fn delete_wiki(&self, id: GithubId) -> Result<()> {
        Ok(std::fs::remove_dir_all(self.wiki_dir(id)?)?)
    }

    /// Puts a ref of the wiki on an object that it has.
    ///
    /// # Errors
    /// When there is no wiki or no such object.
    pub fn set_wiki_ref(&self, id: GithubId, name: &str, oid: Oid) -> Result<()> {
        repository::set_ref(&self.wiki_dir(id)?, name, oid)
    }

    /// Every ref of the wiki.
    ///
    /// # Errors
    /// When there is none.
    pub fn wiki_refs(&self, id: GithubId) -> Result<RefMap> {
        repository::refs(&self.wiki_dir(id)?)
    }

    /// Where the wiki's HEAD points.
    ///
    /// # Errors
    /// When there is none.
    pub fn wiki_head(&self, id: GithubId) -> Result<Head> {
        repository::head(&self.wiki_dir(id)?)
    }

    /// The wiki's bare repository on disk, whether it is there or not.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn wiki_dir(&self, id: GithubId) -> Result<PathBuf> {
        let state = lock(&self.shared.state);
        state.repo(id)?;
        Ok(state.wiki_folder(id))
    }

    /// `gollum`: a page was made or edited.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn gollum(&self, id: GithubId, page: &str) -> Result<Delivery> {
        let full = self.full_name(id)?;
        let sender = full.split('/').next().unwrap_or("octocat").to_owned();
        let page = json!({
            "page_name": page,
            "title": page,
            "summary": null,
            "action": "edited",
            "sha": Oid::ZERO.to_string(),
            "html_url": format!("{}/{full}/wiki/{page}", self.api_url()),
        });
        self.delivery("gollum", &sender, Some(id), json!({ "pages": [page] }))
    }
}
