//! Control: people open, edit, comment, review, release and delete.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::shelf::{Shelf, Things, change, thing};
use crate::domain::ids::GithubId;
use crate::simulator::SimulatorError;
use crate::simulator::github::GithubSimulator;
use crate::simulator::github::json::time;
use crate::simulator::github::state::State;
use crate::simulator::record::lock;

type Result<T> = std::result::Result<T, SimulatorError>;

fn of(things: &mut Things, id: i64) -> Result<&mut serde_json::Map<String, Value>> {
    things.get_mut(&id).ok_or_else(|| SimulatorError::Unknown(format!("number or id {id}")))
}

fn removed(things: &mut Things, id: i64) -> Result<()> {
    things.remove(&id).map(drop).ok_or_else(|| SimulatorError::Unknown(format!("number or id {id}")))
}

impl GithubSimulator {
    fn shelf<T>(&self, id: GithubId, work: impl FnOnce(&mut State, &mut Shelf) -> Result<T>) -> Result<T> {
        let mut state = lock(&self.shared.state);
        let mut shelf = std::mem::take(&mut state.repo_mut(id)?.shelf);
        let done = work(&mut state, &mut shelf);
        state.repo_mut(id)?.shelf = shelf;
        done
    }

    /// Opens an issue; gives its number.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn open_issue(&self, id: GithubId, title: &str, body: &str) -> Result<i64> {
        self.shelf(id, |state, shelf| {
            let number = shelf.number();
            let mut issue = thing(1_000_000 + number, "reporter", body, state.tick());
            let more = json!({ "number": number, "title": title, "state": "open", "state_reason": null, "labels": [],
                "assignees": [], "milestone": null, "comments": 0, "locked": false, "closed_at": null });
            issue.extend(more.as_object().cloned().unwrap_or_default());
            shelf.issues.insert(number, issue);
            Ok(number)
        })
    }

    /// Changes fields of an issue, or of a pull request's issue side.
    ///
    /// # Errors
    /// When there is no such issue.
    pub fn edit_issue(&self, id: GithubId, number: i64, fields: Value) -> Result<()> {
        self.shelf(id, |state, shelf| {
            let now = state.tick();
            if let Some(pull) = shelf.pulls.get_mut(&number) {
                change(pull, fields.clone(), now);
            }
            change(of(&mut shelf.issues, number)?, fields, now);
            Ok(())
        })
    }

    /// Deletes an issue with its comments, as an owner may.
    ///
    /// # Errors
    /// When there is no such issue.
    pub fn delete_issue(&self, id: GithubId, number: i64) -> Result<()> {
        self.shelf(id, |_, shelf| {
            removed(&mut shelf.issues, number)?;
            shelf.comments.retain(|_, it| it.get("thread") != Some(&json!(number)));
            Ok(())
        })
    }

    /// Comments on an issue or pull request, which counts as its change; gives the comment's id.
    ///
    /// # Errors
    /// When there is no such issue.
    pub fn comment(&self, id: GithubId, number: i64, body: &str) -> Result<i64> {
        self.shelf(id, |state, shelf| {
            let now = state.tick();
            let comment = state.fresh_id();
            change(of(&mut shelf.issues, number)?, json!({}), now);
            let mut it = thing(comment, "commenter", body, now);
            it.insert("thread".to_owned(), number.into());
            shelf.comments.insert(comment, it);
            Ok(comment)
        })
    }

    /// Edits a comment. That is no change of its issue.
    ///
    /// # Errors
    /// When there is no such comment.
    pub fn edit_comment(&self, id: GithubId, comment: i64, body: &str) -> Result<()> {
        self.shelf(id, |state, shelf| {
            let now = state.tick();
            change(of(&mut shelf.comments, comment)?, json!({ "body": body }), now);
            Ok(())
        })
    }

    /// Deletes a comment. Nothing else tells of it.
    ///
    /// # Errors
    /// When there is no such comment.
    pub fn delete_comment(&self, id: GithubId, comment: i64) -> Result<()> {
        self.shelf(id, |_, shelf| removed(&mut shelf.comments, comment))
    }

    /// Opens a pull request; gives its number.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn open_pull(&self, id: GithubId, title: &str, body: &str) -> Result<i64> {
        let number = self.open_issue(id, title, body)?;
        self.shelf(id, |_, shelf| {
            let issue = of(&mut shelf.issues, number)?;
            issue.insert("pull_request".to_owned(), json!({ "merged_at": null }));
            let mut pull = issue.clone();
            pull.remove("pull_request");
            let repo = json!({ "id": id.0, "full_name": "a/fork", "stargazers_count": 3, "pushed_at": "2024-01-01T00:00:00Z" });
            let more = json!({ "draft": false, "merged_at": null, "merge_commit_sha": "0000000000000000000000000000000000000001",
                "head": { "label": "fork:topic", "ref": "topic", "repo": repo }, "base": { "label": "octo:main", "ref": "main", "repo": repo } });
            pull.extend(more.as_object().cloned().unwrap_or_default());
            shelf.pulls.insert(number, pull);
            Ok(number)
        })
    }

    /// Reviews a pull request; `state` is `APPROVED`, `CHANGES_REQUESTED` or `COMMENTED`.
    ///
    /// # Errors
    /// When there is no such pull request.
    pub fn review(&self, id: GithubId, number: i64, verdict: &str, body: &str) -> Result<i64> {
        let review = self.shelf(id, |state, shelf| {
            let now = state.tick();
            let review = state.fresh_id();
            let mut it = thing(review, "reviewer", body, now);
            it.remove("created_at");
            it.remove("updated_at");
            let more = json!({ "state": verdict, "submitted_at": time(now), "thread": number });
            it.extend(more.as_object().cloned().unwrap_or_default());
            shelf.reviews.insert(review, it);
            Ok(review)
        })?;
        self.edit_issue(id, number, json!({}))?;
        Ok(review)
    }

    /// Changes the text of a review. Only its pull request's change tells of it.
    ///
    /// # Errors
    /// When there is no such review.
    pub fn edit_review(&self, id: GithubId, number: i64, review: i64, body: &str) -> Result<()> {
        self.shelf(id, |_, shelf| {
            of(&mut shelf.reviews, review)?.insert("body".to_owned(), body.into());
            Ok(())
        })?;
        self.edit_issue(id, number, json!({}))
    }

    /// Comments on a line of a pull request.
    ///
    /// # Errors
    /// When there is no such pull request.
    pub fn review_comment(&self, id: GithubId, number: i64, path: &str, body: &str) -> Result<i64> {
        let comment = self.shelf(id, |state, shelf| {
            let now = state.tick();
            let comment = state.fresh_id();
            let mut it = thing(comment, "reviewer", body, now);
            let more = json!({ "path": path, "line": 7, "thread": number });
            it.extend(more.as_object().cloned().unwrap_or_default());
            shelf.review_comments.insert(comment, it);
            Ok(comment)
        })?;
        self.edit_issue(id, number, json!({}))?;
        Ok(comment)
    }

    /// Publishes a release of a tag; gives its id.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn release(&self, id: GithubId, tag: &str, body: &str) -> Result<i64> {
        self.shelf(id, |state, shelf| {
            let now = state.tick();
            let release = state.fresh_id();
            let mut it = thing(release, "releaser", body, now);
            let author = it.remove("user");
            let more = json!({ "tag_name": tag, "name": format!("Release {tag}"), "draft": false, "prerelease": false,
                "author": author, "published_at": time(now), "assets": [] });
            it.extend(more.as_object().cloned().unwrap_or_default());
            shelf.releases.insert(release, it);
            Ok(release)
        })
    }

    /// Changes fields of a release.
    ///
    /// # Errors
    /// When there is no such release.
    pub fn edit_release(&self, id: GithubId, release: i64, fields: Value) -> Result<()> {
        self.shelf(id, |state, shelf| {
            let now = state.tick();
            change(of(&mut shelf.releases, release)?, fields, now);
            Ok(())
        })
    }

    /// Deletes a release.
    ///
    /// # Errors
    /// When there is no such release.
    pub fn delete_release(&self, id: GithubId, release: i64) -> Result<()> {
        self.shelf(id, |_, shelf| removed(&mut shelf.releases, release))
    }

    /// Makes a label.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn label(&self, id: GithubId, name: &str) -> Result<i64> {
        self.shelf(id, |state, shelf| {
            let label = state.fresh_id();
            let fields = json!({ "id": label, "name": name, "color": "d73a4a", "default": false, "description": null });
            shelf.labels.insert(label, fields.as_object().cloned().unwrap_or_default());
            Ok(label)
        })
    }

    /// Changes fields of a label.
    ///
    /// # Errors
    /// When there is no such label.
    pub fn edit_label(&self, id: GithubId, label: i64, fields: &Value) -> Result<()> {
        self.shelf(id, |_, shelf| {
            of(&mut shelf.labels, label)?.extend(fields.as_object().cloned().unwrap_or_default());
            Ok(())
        })
    }

    /// Deletes a label.
    ///
    /// # Errors
    /// When there is no such label.
    pub fn delete_label(&self, id: GithubId, label: i64) -> Result<()> {
        self.shelf(id, |_, shelf| removed(&mut shelf.labels, label))
    }

    /// Changes fields of a milestone.
    ///
    /// # Errors
    /// When there is no such milestone.
    pub fn edit_milestone(&self, id: GithubId, number: i64, fields: Value) -> Result<()> {
        self.shelf(id, |state, shelf| {
            let now = state.tick();
            change(of(&mut shelf.milestones, number)?, fields, now);
            Ok(())
        })
    }

    /// Deletes a milestone.
    ///
    /// # Errors
    /// When there is no such milestone.
    pub fn delete_milestone(&self, id: GithubId, number: i64) -> Result<()> {
        self.shelf(id, |_, shelf| removed(&mut shelf.milestones, number))
    }

    /// Makes a milestone; gives its number.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn milestone(&self, id: GithubId, title: &str) -> Result<i64> {
        self.shelf(id, |state, shelf| {
            let number = i64::try_from(shelf.milestones.len()).unwrap_or_default() + 1;
            let mut it = thing(state.fresh_id(), "planner", "", state.tick());
            let more =
                json!({ "number": number, "title": title, "state": "open", "open_issues": 0, "closed_issues": 0 });
            it.extend(more.as_object().cloned().unwrap_or_default());
            shelf.milestones.insert(number, it);
            Ok(number)
        })
    }

    /// Puts fields over those that GitHub tells of the repository: `topics`, `homepage`, `license`.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn set_about(&self, id: GithubId, fields: &Value) -> Result<()> {
        self.shelf(id, |_, shelf| {
            shelf.about.extend(fields.as_object().cloned().unwrap_or_default());
            Ok(())
        })
    }

    /// Switches issues off, or on again.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn switch_issues(&self, id: GithubId, on: bool) -> Result<()> {
        self.shelf(id, |_, shelf| {
            shelf.issues_off = !on;
            Ok(())
        })
    }

    /// Fills a repository with so many issues, comments spread over them, and releases.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn fill(&self, id: GithubId, issues: u32, comments: u32, releases: u32) -> Result<()> {
        let mut numbers = Vec::new();
        for at in 1..=issues {
            numbers.push(self.open_issue(id, &format!("Issue {at}"), &"What happens, and what should. ".repeat(10))?);
        }
        for (at, number) in numbers.iter().cycle().take(comments as usize).enumerate() {
            self.comment(id, *number, &format!("Remark {at}. {}", "It is so here too. ".repeat(8)))?;
        }
        for at in 1..=releases {
            self.release(id, &format!("v1.{at}"), "What is new.")?;
        }
        Ok(())
    }

    /// Hangs a file on a release; gives its id. GitHub tells the digest of newer files only.
    ///
    /// # Errors
    /// When there is no such release.
    pub fn asset(&self, id: GithubId, release: i64, name: &str, content: &[u8], with_digest: bool) -> Result<i64> {
        let asset = self.shelf(id, |state, shelf| {
            let asset = state.fresh_id();
            let sum = hex::encode(Sha256::digest(content));
            let it = json!({ "id": asset, "name": name, "state": "uploaded", "size": content.len(), "download_count": asset,
                "content_type": "application/octet-stream", "digest": with_digest.then(|| format!("sha256:{sum}")),
                "browser_download_url": format!("https://github.invalid/download/{name}") });
            if let Some(Value::Array(assets)) = of(&mut shelf.releases, release)?.get_mut("assets") {
                assets.push(it);
            }
            Ok(asset)
        })?;
        lock(&self.shared.state).files.insert(format!("asset-{asset}"), content.to_vec());
        self.edit_release(id, release, json!({}))?;
        Ok(asset)
    }

    /// Keeps a file that somebody attached to a text; gives the address to be written there.
    pub fn attach(&self, name: &str, content: &[u8]) -> String {
        lock(&self.shared.state).files.insert(name.to_owned(), content.to_vec());
        format!("{}/user-attachments/assets/{name}", self.git_url())
    }
}
