//! Many repositories at once: what they are called, what state they are in, and when something was pushed.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::GithubClient;
use super::error::GithubError;
use super::exchange::{Pass, Principal};
use super::graphql::Graph;
use crate::domain::ids::GithubId;
use crate::domain::repository::RepositoryName;
use crate::domain::sweep::{Outline, Sight};

/// GitHub takes no more ids in one query, which costs one point.
const AT_ONCE: usize = 100;
/// A hundred of which GitHub tells nothing is halved so often; seven times finds one among them.
const MOST_SPLITS: u32 = 12;

const QUERY: &str = "query($ids:[ID!]!){rateLimit{cost remaining resetAt} nodes(ids:$ids){... on Repository{\
    id databaseId nameWithOwner pushedAt isArchived isDisabled visibility defaultBranchRef{name}}}}";

/// A repository that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who it is.
    pub id: GithubId,
    /// Its name in lists.
    pub node_id: String,
    /// What it was called when it was last heard of: says which credential sees it.
    pub name: RepositoryName,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    id: String,
    database_id: Option<i64>,
    name_with_owner: String,
    pushed_at: Option<DateTime<Utc>>,
    #[serde(default)]
    is_archived: bool,
    #[serde(default)]
    is_disabled: bool,
    #[serde(default)]
    visibility: String,
    default_branch_ref: Option<Branch>,
}

#[derive(Deserialize)]
struct Branch {
    name: String,
}

impl GithubClient {
    /// What became of these repositories, in their order: a request for each hundred that one credential sees.
    ///
    /// # Errors
    /// [`GithubError`] when a hundred could not be asked for at all. What GitHub says of one alone is its
    /// [`Sight`].
    pub async fn upstreams(&self, asked: &[Asked]) -> Result<Vec<Sight>, GithubError> {
        let live = || self.inner.credentials.any_live(self.now());
        loop {
            match self.ask_all(asked).await {
                // Set aside by now: another one is asked.
                Err((Principal::Token(_), GithubError::Unauthorized(_))) if live() => {}
                told => return told.map_err(|it| it.1),
            }
        }
    }

    async fn ask_all(&self, asked: &[Asked]) -> Result<Vec<Sight>, (Principal, GithubError)> {
        let nobody = |error| (Principal::Anonymous, error);
        let (mut sights, mut splits) = (vec![Sight::Unanswered; asked.len()], 0);
        for (reader, places) in self.by_reader(asked).await.map_err(nobody)? {
            let pass = self.pass_of(reader).await.map_err(nobody)?;
            let mut waiting: Vec<&[usize]> = places.chunks(AT_ONCE).rev().collect();
            while let Some(places) = waiting.pop() {
                let these: Vec<&Asked> = places.iter().filter_map(|it| asked.get(*it)).collect();
                let told = self.hundred(&pass, &these).await;
                self.note(reader, told.as_ref().err());
                if matches!(told, Err(GithubError::Graphql(_))) && splits < MOST_SPLITS {
                    // One of them may spoil it for all: it is found by halves, and alone it is not answered for.
                    if let [_, _, ..] = places {
                        let (some, others) = places.split_at(places.len() / 2);
                        waiting.extend([others, some]);
                        splits += 1;
                    }
                    continue;
                }
                for (place, sight) in places.iter().zip(told.map_err(|error| (reader, error))?) {
                    if let Some(slot) = sights.get_mut(*place) {
                        *slot = sight;
                    }
                }
            }
        }
        Ok(sights)
    }

    async fn hundred(&self, pass: &Pass, asked: &[&Asked]) -> Result<Vec<Sight>, GithubError> {
        let ids: Vec<&str> = asked.iter().map(|it| it.node_id.as_str()).collect();
        let Graph { data, errors } = self.graphql(pass, QUERY, json!({ "ids": ids })).await?;
        let Some(nodes) = data.get("nodes").and_then(Value::as_array).filter(|it| it.len() == ids.len()) else {
            return Err(GithubError::Malformed("not as many repositories as were asked for".to_owned()));
        };
        let sight = |place: usize, asked: &Asked, node: &Value| {
            let fault = errors.iter().find(|it| it.place_in("nodes") == Some(place));
            match fault {
                Some(fault) if !fault.is("NOT_FOUND") => Sight::Unanswered,
                _ => sight(asked, node),
            }
        };
        Ok(asked.iter().zip(nodes).enumerate().map(|(place, (asked, node))| sight(place, asked, node)).collect())
    }
}

/// What stands in one place of the list. A null without a word is missing; what cannot be read is no answer.
fn sight(asked: &Asked, node: &Value) -> Sight {
    if node.is_null() {
        return Sight::Missing;
    }
    let Ok(node) = Node::deserialize(node) else { return Sight::Unanswered };
    // GitHub may show another name in lists than the one that was asked for; the number is who it is.
    if node.database_id.map_or(node.id != asked.node_id, |it| it != asked.id.0) {
        return Sight::Missing;
    }
    let Ok(name) = node.name_with_owner.parse() else { return Sight::Unanswered };
    Sight::Seen(Outline {
        name,
        private: node.visibility != "PUBLIC",
        archived: node.is_archived,
        disabled: node.is_disabled,
        default_branch: node.default_branch_ref.map(|it| it.name),
        pushed_at: node.pushed_at,
    })
}
