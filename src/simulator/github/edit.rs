//! Control of the simulated GitHub: repositories made, pushed to, renamed, blocked and deleted, as
//! their owners would. Commits are made with libgit2 and simulated time, so oids repeat from run to
//! run.

use std::path::{Path, PathBuf};

use git2::{ObjectType, Repository};

use super::state::{Block, Repo};
use super::{GithubSimulator, State};
use crate::domain::ids::{AccountId, GithubId};
use crate::domain::refs::{Head, Oid, RefMap};
use crate::simulator::SimulatorError;
use crate::simulator::record::lock;
use crate::simulator::repository::{self, ours, theirs};

type Result<T> = std::result::Result<T, SimulatorError>;

impl GithubSimulator {
    /// The id of a login's account, made if it is new.
    pub fn account(&self, login: &str) -> AccountId {
        lock(&self.shared.state).ensure_account(login)
    }

    /// Another login for the same account.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn rename_account(&self, id: AccountId, login: &str) -> Result<()> {
        let mut state = lock(&self.shared.state);
        let account = state.accounts.get_mut(&id).ok_or_else(|| SimulatorError::Unknown(format!("account {id}")))?;
        login.clone_into(account);
        Ok(())
    }

    /// A user stars so many repositories `star-0`, `star-1`, … of one owner, which have no git behind them.
    pub fn star_many(&self, login: &str, owner: &str, count: usize) {
        let mut state = lock(&self.shared.state);
        let user = state.ensure_account(login);
        for n in 0..count {
            let id = state.add_bare(owner, &format!("star-{n}"));
            let now = state.tick();
            state.stars.entry(user).or_default().push((id, now));
        }
    }

    /// A repository that only the API knows: nothing was ever pushed to it, and no git is behind it.
    pub fn add_unborn(&self, owner: &str, name: &str) -> GithubId {
        lock(&self.shared.state).add_bare(owner, name)
    }

    /// The account is gone, its stars with it; its repositories stay.
    pub fn delete_account(&self, id: AccountId) {
        let mut state = lock(&self.shared.state);
        state.accounts.remove(&id);
        state.stars.remove(&id);
    }

    /// A new, empty, public repository whose default branch is the unborn `main`. The owner is made
    /// if it is new.
    ///
    /// # Errors
    /// When the name is taken or the disk refuses.
    pub fn create_repository(&self, owner: &str, name: &str) -> Result<GithubId> {
        lock(&self.shared.state).add(owner, name)
    }

    /// The repository that holds a name now.
    pub fn find(&self, owner: &str, name: &str) -> Option<GithubId> {
        lock(&self.shared.state).current(owner, name).map(|it| it.id)
    }

    /// `owner/name` as it is now.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn full_name(&self, id: GithubId) -> Result<String> {
        let state = lock(&self.shared.state);
        Ok(state.full_name(state.repo(id)?))
    }

    /// Commits a file on a branch, which is made if it is new.
    ///
    /// # Errors
    /// When there is no such repository or libgit2 refuses.
    pub fn commit(&self, id: GithubId, branch: &str, path: &str, content: &str) -> Result<Oid> {
        let name = format!("refs/heads/{branch}");
        let tip = repository::tip(&self.repo_dir(id)?, &name)?;
        let oid = self.commit_on(id, &tip.into_iter().collect::<Vec<_>>(), path, content)?;
        self.set_ref(id, &name, oid)?;
        Ok(oid)
    }

    /// Commits that a file goes from a branch.
    ///
    /// # Errors
    /// When there is no such branch or file.
    pub fn remove_file(&self, id: GithubId, branch: &str, path: &str) -> Result<Oid> {
        let name = format!("refs/heads/{branch}");
        let folder = self.repo_dir(id)?;
        let tip = repository::tip(&folder, &name)?.ok_or_else(|| SimulatorError::Unknown(name.clone()))?;
        let at = lock(&self.shared.state).tick().timestamp();
        let oid = repository::commit_without(&folder, tip, path, at)?;
        self.set_ref(id, &name, oid)?;
        Ok(oid)
    }

    /// Makes a commit on given parents (none: a root) that no ref holds yet. The first parent's
    /// files are its own, with one changed.
    ///
    /// # Errors
    /// When a parent is missing or libgit2 refuses.
    pub fn commit_on(&self, id: GithubId, parents: &[Oid], path: &str, content: &str) -> Result<Oid> {
        let at = lock(&self.shared.state).tick().timestamp();
        repository::commit(&self.repo_dir(id)?, parents, path, content, at)
    }

    /// Puts a branch on a new root commit, unrelated to what it held: a force-push.
    ///
    /// # Errors
    /// When there is no such repository or libgit2 refuses.
    pub fn force_branch(&self, id: GithubId, branch: &str) -> Result<Oid> {
        let oid = self.commit_on(id, &[], "FORCED", &format!("forced {branch}\n"))?;
        self.set_ref(id, &format!("refs/heads/{branch}"), oid)?;
        Ok(oid)
    }

    /// An annotated tag `refs/tags/<name>` of any object; answers the tag object's oid.
    ///
    /// # Errors
    /// When the target is missing or libgit2 refuses.
    pub fn annotated_tag(&self, id: GithubId, name: &str, target: Oid) -> Result<Oid> {
        let at = lock(&self.shared.state).tick().timestamp();
        let on_disk = Repository::open_bare(self.repo_dir(id)?)?;
        let target = on_disk.find_object(theirs(target)?, None)?;
        let who = repository::signature(at)?;
        let oid = ours(on_disk.tag_annotation_create(name, &target, &who, &format!("Tag {name}\n"))?)?;
        self.set_ref(id, &format!("refs/tags/{name}"), oid)?;
        Ok(oid)
    }

    /// A lightweight tag of a blob.
    ///
    /// # Errors
    /// When libgit2 refuses.
    pub fn tag_of_blob(&self, id: GithubId, name: &str, content: &str) -> Result<Oid> {
        let oid = ours(Repository::open_bare(self.repo_dir(id)?)?.blob(content.as_bytes())?)?;
        self.set_ref(id, &format!("refs/tags/{name}"), oid)?;
        Ok(oid)
    }

    /// A lightweight tag of a commit's tree.
    ///
    /// # Errors
    /// When the commit is missing or libgit2 refuses.
    pub fn tag_of_tree(&self, id: GithubId, name: &str, commit: Oid) -> Result<Oid> {
        let repository = Repository::open_bare(self.repo_dir(id)?)?;
        let tree = repository.find_object(theirs(commit)?, None)?.peel(ObjectType::Tree)?;
        let oid = ours(tree.id())?;
        self.set_ref(id, &format!("refs/tags/{name}"), oid)?;
        Ok(oid)
    }

    /// Puts a ref on an object, whatever it held; counts as a push.
    ///
    /// # Errors
    /// When the object is missing or libgit2 refuses.
    pub fn set_ref(&self, id: GithubId, name: &str, oid: Oid) -> Result<()> {
        repository::set_ref(&self.repo_dir(id)?, name, oid)?;
        self.pushed(id)
    }

    /// Puts many refs at once; tens of thousands take a moment.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn set_refs(&self, id: GithubId, refs: &RefMap) -> Result<()> {
        repository::set_refs(&self.repo_dir(id)?, refs)?;
        self.pushed(id)
    }

    /// Takes a ref away.
    ///
    /// # Errors
    /// When there is no such repository or libgit2 refuses.
    pub fn delete_ref(&self, id: GithubId, name: &str) -> Result<()> {
        repository::delete_ref(&self.repo_dir(id)?, name)?;
        self.pushed(id)
    }

    /// Points HEAD at a branch, which need not exist.
    ///
    /// # Errors
    /// When there is no such repository or the name is no branch's.
    pub fn set_default_branch(&self, id: GithubId, branch: &str) -> Result<()> {
        repository::set_head(&self.repo_dir(id)?, branch)
    }

    /// Replaces all of a repository by a copy of one on this disk.
    ///
    /// # Errors
    /// When git cannot clone it.
    pub fn import(&self, id: GithubId, from: &Path) -> Result<()> {
        repository::import(&self.repo_dir(id)?, from)?;
        self.pushed(id)
    }

    fn pushed(&self, id: GithubId) -> Result<()> {
        let mut state = lock(&self.shared.state);
        let now = state.tick();
        let repo = state.repo_mut(id)?;
        repo.pushed_at = Some(now);
        repo.updated_at = now;
        Ok(())
    }

    fn change(&self, id: GithubId, change: impl FnOnce(&mut Repo)) -> Result<()> {
        let mut state = lock(&self.shared.state);
        let now = state.tick();
        let repo = state.repo_mut(id)?;
        change(repo);
        repo.updated_at = now;
        Ok(())
    }

    /// Gives a repository another name; the old one leads to it.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn rename(&self, id: GithubId, name: &str) -> Result<()> {
        let mut state = lock(&self.shared.state);
        let owner = state.repo(id)?.owner;
        state.move_to(id, owner, name)
    }

    /// Gives a repository another owner, made if it is new; the old name leads to it.
    ///
    /// # Errors
    /// When the owner has one of that name.
    pub fn transfer(&self, id: GithubId, owner: &str) -> Result<()> {
        let mut state = lock(&self.shared.state);
        let owner = state.ensure_account(owner);
        let name = state.repo(id)?.name.clone();
        state.move_to(id, owner, &name)
    }

    /// Hides it from the public, or shows it.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn set_private(&self, id: GithubId, private: bool) -> Result<()> {
        self.change(id, |it| it.private = private)
    }

    /// Makes it read-only, or writable again.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn set_archived(&self, id: GithubId, archived: bool) -> Result<()> {
        self.change(id, |it| it.archived = archived)
    }

    /// Switches it off.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn set_disabled(&self, id: GithubId, disabled: bool) -> Result<()> {
        self.change(id, |it| it.disabled = disabled)
    }

    /// Calls it a fork.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn set_fork(&self, id: GithubId, fork: bool) -> Result<()> {
        self.change(id, |it| it.fork = fork)
    }

    /// Makes a fork with all of a repository's refs; it shares the objects, as GitHub's forks do.
    ///
    /// # Errors
    /// When there is no such repository, the name is taken or the disk refuses.
    pub fn fork(&self, of: GithubId, owner: &str, name: &str) -> Result<GithubId> {
        let id = self.create_repository(owner, name)?;
        let (from, to) = (self.repo_dir(of)?, self.repo_dir(id)?);
        let objects = from.join("objects").display().to_string();
        std::fs::write(to.join("objects/info/alternates"), format!("{objects}\n"))?;
        for (name, oid) in self.refs(of)? {
            self.set_ref(id, name.as_str(), oid)?;
        }
        let source = lock(&self.shared.state).repo(of)?.source.unwrap_or(of);
        self.change(id, |it| (it.fork, it.source) = (true, Some(source)))?;
        Ok(id)
    }

    /// The line under the title.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn set_description(&self, id: GithubId, description: Option<&str>) -> Result<()> {
        self.change(id, |it| it.description = description.map(str::to_owned))
    }

    /// What most of it is written in, and its topics.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn set_traits(&self, id: GithubId, language: Option<&str>, topics: &[&str]) -> Result<()> {
        self.change(id, |it| {
            it.language = language.map(str::to_owned);
            it.topics = topics.iter().map(|it| (*it).to_owned()).collect();
        })
    }

    /// Makes an account an organization's, made if it is new.
    pub fn make_organization(&self, login: &str) {
        let mut state = lock(&self.shared.state);
        let id = state.ensure_account(login);
        state.organizations.insert(id);
    }

    /// The size that GitHub tells, in KiB; nothing to do with the size on disk.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn set_size(&self, id: GithubId, kib: i64) -> Result<()> {
        self.change(id, |it| it.size_kib = kib)
    }

    /// Takes it down: 451, `dmca`.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn block_451(&self, id: GithubId) -> Result<()> {
        self.change(id, |it| it.block = Some(Block::Dmca))
    }

    /// Blocks it for a breach of the terms: 403, `tos`.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn block_tos(&self, id: GithubId) -> Result<()> {
        self.change(id, |it| it.block = Some(Block::Tos))
    }

    /// Shows a blocked repository again.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn unblock(&self, id: GithubId) -> Result<()> {
        self.change(id, |it| it.block = None)
    }

    /// Deletes it for good; the name is free again.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn delete(&self, id: GithubId) -> Result<()> {
        lock(&self.shared.state).remove(id)
    }

    /// Every ref, `refs/pull/*` and whatever else is there included.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn refs(&self, id: GithubId) -> Result<RefMap> {
        repository::refs(&self.repo_dir(id)?)
    }

    /// One ref's oid, if it is there.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn tip(&self, id: GithubId, name: &str) -> Result<Option<Oid>> {
        repository::tip(&self.repo_dir(id)?, name)
    }

    /// Where HEAD points.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn head(&self, id: GithubId) -> Result<Head> {
        repository::head(&self.repo_dir(id)?)
    }

    /// The bare repository on disk, for git itself.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn repo_dir(&self, id: GithubId) -> Result<PathBuf> {
        let state: std::sync::MutexGuard<'_, State> = lock(&self.shared.state);
        state.folder(id).map(Path::to_path_buf)
    }
}
