//! Star lists of the simulated GitHub: what their owner does to them, and what GraphQL tells of them.
//!
//! Private lists are told to their owner's token alone. A repository that a token does not see is not among the
//! entries, and is counted. Taking a star back takes the repository out of its owner's lists.

use serde_json::{Value, json};

use super::state::State;
use super::{GithubSimulator, json as ids};
use crate::domain::ids::{AccountId, GithubId};
use crate::simulator::SimulatorError;
use crate::simulator::record::lock;

type Result<T> = std::result::Result<T, SimulatorError>;

/// What cursors begin with.
const CURSOR: &str = "cursor:";

/// What is wrong with an answer about lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// The last entry of each list stands there twice.
    Repeats,
    /// The last entry of each list is missing.
    Skips,
    /// The entries of the last list are null, and an error says so.
    Partial,
}

/// A list.
#[derive(Debug, Clone)]
pub(crate) struct List {
    id: String,
    owner: AccountId,
    name: String,
    private: bool,
    items: Vec<GithubId>,
}

/// All lists, in the order of their owners' pages.
#[derive(Debug, Default)]
pub(crate) struct ListsState {
    lists: Vec<List>,
    /// How many answers from now on are odd, and how.
    odd: Option<(Oddity, u32)>,
}

impl ListsState {
    pub(crate) fn unstarred(&mut self, owner: AccountId, id: GithubId) {
        self.lists.iter_mut().filter(|it| it.owner == owner).for_each(|it| it.items.retain(|item| *item != id));
    }

    fn list(&mut self, id: &str) -> Result<&mut List> {
        let found = self.lists.iter_mut().find(|it| it.id == id);
        found.ok_or_else(|| SimulatorError::Unknown(format!("list {id}")))
    }
}

impl GithubSimulator {
    /// A user makes a list; answers its id.
    pub fn create_list(&self, login: &str, name: &str, private: bool) -> String {
        let mut state = lock(&self.shared.state);
        let (owner, number) = (state.ensure_account(login), state.fresh_id());
        let id = ids::node_id("UL", number);
        state.star_lists.lists.push(List { id: id.clone(), owner, name: name.to_owned(), private, items: Vec::new() });
        id
    }

    /// Another name for it.
    ///
    /// # Errors
    /// When there is no such list.
    pub fn rename_list(&self, id: &str, name: &str) -> Result<()> {
        name.clone_into(&mut lock(&self.shared.state).star_lists.list(id)?.name);
        Ok(())
    }

    /// Shows it to its owner alone, or to everybody.
    ///
    /// # Errors
    /// When there is no such list.
    pub fn set_list_private(&self, id: &str, private: bool) -> Result<()> {
        lock(&self.shared.state).star_lists.list(id)?.private = private;
        Ok(())
    }

    /// The list goes; the stars stay.
    pub fn delete_list(&self, id: &str) {
        lock(&self.shared.state).star_lists.lists.retain(|it| it.id != id);
    }

    /// Puts a repository into a list.
    ///
    /// # Errors
    /// When there is no such list.
    pub fn put_in_list(&self, id: &str, repository: GithubId) -> Result<()> {
        let mut state = lock(&self.shared.state);
        let list = state.star_lists.list(id)?;
        list.items.retain(|it| *it != repository);
        list.items.push(repository);
        Ok(())
    }

    /// Takes a repository out of a list.
    ///
    /// # Errors
    /// When there is no such list.
    pub fn take_from_list(&self, id: &str, repository: GithubId) -> Result<()> {
        lock(&self.shared.state).star_lists.list(id)?.items.retain(|it| *it != repository);
        Ok(())
    }

    /// So many answers about lists are odd.
    pub fn garble_lists(&self, oddity: Oddity, answers: u32) {
        lock(&self.shared.state).star_lists.odd = Some((oddity, answers));
    }
}

/// Whether a question is about lists, and the answer.
/// What an Enterprise Server says, which has no lists; `None` where it is asked for something else.
pub(super) fn unknown(question: &Value) -> Option<Value> {
    let query = question.get("query")?.as_str()?;
    query.contains("lists(").then(|| {
        let extensions = json!({ "code": "undefinedField", "typeName": "User", "fieldName": "lists" });
        let message = "Field 'lists' doesn't exist on type 'User'";
        json!({ "errors": [{ "path": ["query", "user", "lists"], "extensions": extensions, "message": message }] })
    })
}

pub(super) fn answer(state: &mut State, token: &str, question: &Value) -> Option<Value> {
    let query = question.get("query")?.as_str()?;
    let text = |name: &str| question.pointer(&format!("/variables/{name}")).and_then(Value::as_str);
    if !query.contains("items(first:") {
        return None;
    }
    let odd = state.star_lists.odd.take().filter(|(_, answers)| *answers > 0);
    state.star_lists.odd = odd.map(|(oddity, answers)| (oddity, answers - 1));
    let sight = Sight { state, viewer: state.owners.get(token).copied(), token, odd: odd.map(|it| it.0) };
    let after = text("after");
    Some(if query.contains("lists(first:") {
        sight.lists(text("login").unwrap_or_default(), query, after)
    } else {
        sight.items_of(text("id").unwrap_or_default(), query, after)
    })
}

/// What one token is shown.
struct Sight<'a> {
    state: &'a State,
    viewer: Option<AccountId>,
    token: &'a str,
    odd: Option<Oddity>,
}

impl Sight<'_> {
    fn lists(&self, login: &str, query: &str, after: Option<&str>) -> Value {
        let Some(owner) = self.state.account(login) else {
            let message = format!("Could not resolve to a User with the login of '{login}'.");
            let error = json!({ "type": "NOT_FOUND", "path": ["user"], "message": message });
            return json!({ "data": { "user": null }, "errors": [error] });
        };
        let shown = self.state.star_lists.lists.iter().filter(|it| it.owner == owner && self.shows(it));
        let shown: Vec<&List> = shown.collect();
        let most = first_of(query, "lists(first:").min(self.state.largest_page);
        let (page, info) = page(&shown, most, after);
        let mut nodes: Vec<Value> = page.iter().map(|it| self.node(it, query)).collect();
        let mut errors = Vec::new();
        if let (Some(Oddity::Partial), Some(last)) = (self.odd, nodes.len().checked_sub(1)) {
            if let Some(items) = nodes.last_mut().and_then(|it| it.get_mut("items")) {
                *items = Value::Null;
            }
            let path = json!(["user", "lists", "nodes", last, "items"]);
            errors.push(json!({ "type": "SERVICE_UNAVAILABLE", "path": path, "message": "Something went wrong." }));
        }
        let lists = json!({ "totalCount": shown.len(), "pageInfo": info, "nodes": nodes });
        let data = json!({ "user": { "databaseId": owner.0, "lists": lists } });
        if errors.is_empty() { json!({ "data": data }) } else { json!({ "data": data, "errors": errors }) }
    }

    fn items_of(&self, id: &str, query: &str, after: Option<&str>) -> Value {
        let Some(list) = self.state.star_lists.lists.iter().find(|it| it.id == id && self.shows(it)) else {
            let message = format!("Could not resolve to a node with the global id of '{id}'");
            let error = json!({ "type": "NOT_FOUND", "path": ["node"], "message": message });
            return json!({ "data": { "node": null }, "errors": [error] });
        };
        json!({ "data": { "node": { "id": list.id, "items": self.items(list, query, after) } } })
    }

    fn node(&self, list: &List, query: &str) -> Value {
        let slug: String = list
            .name
            .to_lowercase()
            .chars()
            .map(|it| if it.is_alphanumeric() || matches!(it, '-' | '_') { it } else { '-' })
            .collect();
        json!({
            "id": list.id,
            "name": list.name,
            "slug": slug,
            "isPrivate": list.private,
            "items": self.items(list, query, None),
        })
    }

    fn items(&self, list: &List, query: &str, after: Option<&str>) -> Value {
        let most = first_of(query, "items(first:").min(self.state.largest_page);
        let (page, info) = page(&list.items, most, after);
        let seen = page.iter().filter_map(|id| self.state.repo(*id).ok()).filter(|it| self.state.sees(self.token, it));
        let mut nodes: Vec<Value> =
            seen.map(|it| json!({ "__typename": "Repository", "databaseId": it.id.0 })).collect();
        match self.odd {
            Some(Oddity::Repeats) => nodes.extend(nodes.last().cloned()),
            Some(Oddity::Skips) => drop(nodes.pop()),
            Some(Oddity::Partial) | None => {}
        }
        json!({ "totalCount": list.items.len(), "pageInfo": info, "nodes": nodes })
    }

    fn shows(&self, list: &List) -> bool {
        !list.private || self.viewer == Some(list.owner)
    }
}

/// The number behind a word of the question.
fn first_of(query: &str, word: &str) -> usize {
    let digits = query.split_once(word).map_or("", |it| it.1);
    digits.split(|it: char| !it.is_ascii_digit()).next().and_then(|it| it.parse().ok()).unwrap_or(100)
}

fn page<'a, T>(all: &'a [T], most: usize, after: Option<&str>) -> (&'a [T], Value) {
    let from = after.and_then(|it| it.strip_prefix(CURSOR)?.parse().ok()).unwrap_or(0).min(all.len());
    let to = (from + most).min(all.len());
    let cursor = (to > from).then(|| format!("{CURSOR}{to}"));
    let info = json!({ "hasNextPage": to < all.len(), "endCursor": cursor });
    (all.get(from..to).unwrap_or_default(), info)
}
