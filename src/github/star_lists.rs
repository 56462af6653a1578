//! A user's star lists, which GraphQL alone tells of: read whole or not at all.
//!
//! Lists come twenty at a time with the first hundred repositories of each; what a list has beyond that is read
//! page by page. The counts beside the pages must add up. Where they do not (something changed in between, a page
//! repeated or left out entries, or GitHub counts what it does not show), it is read again, and believed when it
//! reads the same twice.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::GithubClient;
use super::error::GithubError;
use super::exchange::{Pass, Principal};
use super::graphql::Graph;
use super::readers::Hint;
use crate::domain::event::Account;
use crate::domain::ids::{AccountId, GithubId};
use crate::domain::rate::Resource;
use crate::domain::star_lists::StarList;

/// GitHub lets a user have far fewer.
const MOST_LISTS: usize = 200;
/// Requests of one reading: more than a hundred times what most people's lists take.
const MOST_REQUESTS: u32 = 500;
/// Readings until one adds up, or two agree.
const READINGS: u32 = 4;

/// Twenty lists of a hundred entries cost one point.
const LISTS: &str = "query($login:String!,$after:String){user(login:$login){databaseId \
    lists(first:20,after:$after){totalCount pageInfo{hasNextPage endCursor} nodes{id name slug isPrivate \
    items(first:100){totalCount pageInfo{hasNextPage endCursor} nodes{__typename ... on Repository{databaseId}}}}}}}";
const ITEMS: &str = "query($id:ID!,$after:String!){node(id:$id){... on UserList{id \
    items(first:100,after:$after){totalCount pageInfo{hasNextPage endCursor} \
    nodes{__typename ... on Repository{databaseId}}}}}}";

/// A whole reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListsSeen {
    /// In the order of the user's page.
    pub lists: Vec<StarList>,
    /// Read with the user's own token, so that private ones are among them.
    pub as_owner: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    total_count: u64,
    page_info: PageInfo,
    nodes: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserNode {
    database_id: Option<i64>,
    lists: Page<ListNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListNode {
    id: String,
    name: String,
    slug: String,
    is_private: bool,
    items: Page<Option<Item>>,
}

#[derive(Deserialize)]
struct ItemsNode {
    items: Page<Option<Item>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    database_id: Option<i64>,
}

/// Where a walk through pages goes on.
struct Cursor {
    next: Option<String>,
}

/// One reading while it lasts.
struct Reading<'a> {
    client: &'a GithubClient,
    pass: &'a Pass,
    whose: &'a Account,
    requests: u32,
    /// Everything was met once and as often as GitHub counts.
    adds_up: bool,
}

impl GithubClient {
    /// All lists of a user with all that is in them.
    ///
    /// # Errors
    /// [`GithubError`]; `Graphql` also where GitHub told of a part only, `Malformed` where it told something else
    /// each time.
    pub async fn star_lists(&self, whose: &Account) -> Result<ListsSeen, GithubError> {
        let own = self.own_token(whose).await?;
        let readers = match own {
            Some(own) => vec![own],
            None => self.readers(Hint::Owner(""), Resource::Graphql, None).await?,
        };
        let mut told = Err(GithubError::Config("star lists need a credential; set github.token".to_owned()));
        for reader in readers.into_iter().filter(|it| *it != Principal::Anonymous) {
            told = self.lists_as(reader, whose).await;
            self.note(reader, told.as_ref().err());
            // Another credential may do what this one is refused.
            if !matches!(told, Err(GithubError::Unauthorized(_))) {
                break;
            }
        }
        Ok(ListsSeen { lists: told?, as_owner: own.is_some() })
    }

    async fn lists_as(&self, reader: Principal, whose: &Account) -> Result<Vec<StarList>, GithubError> {
        let pass = self.pass_of(reader).await?;
        let mut last = None;
        for _ in 0..READINGS {
            let mut reading = Reading { client: self, pass: &pass, whose, requests: 0, adds_up: true };
            let lists = reading.lists().await?;
            if reading.adds_up || last.as_ref() == Some(&lists) {
                return Ok(lists);
            }
            last = Some(lists);
        }
        Err(GithubError::Malformed("the star lists are others each time they are read".to_owned()))
    }
}

impl Reading<'_> {
    async fn lists(&mut self) -> Result<Vec<StarList>, GithubError> {
        let (mut lists, mut seen, mut total) = (Vec::new(), BTreeSet::new(), None);
        let mut cursor = Cursor { next: None };
        loop {
            let variables = json!({ "login": self.whose.login, "after": cursor.next });
            let UserNode { database_id, lists: page } = self.ask(LISTS, variables, "user").await?;
            if database_id.map(AccountId) != Some(self.whose.id) {
                let login = &self.whose.login;
                return Err(GithubError::Malformed(format!("the lists of `{login}` are those of another account")));
            }
            self.adds_up &= total.is_none_or(|it| it == page.total_count);
            total = Some(page.total_count);
            for node in page.nodes {
                // What a page repeats is taken once, and shows in the count.
                if seen.insert(node.id.clone()) {
                    lists.push(self.list(node).await?);
                } else {
                    self.adds_up = false;
                }
            }
            if lists.len() > MOST_LISTS {
                return Err(GithubError::Malformed(format!("more than {MOST_LISTS} star lists")));
            }
            if !cursor.follow(page.page_info)? {
                break;
            }
        }
        self.adds_up &= u64::try_from(lists.len()).ok() == total;
        Ok(lists)
    }

    async fn list(&mut self, node: ListNode) -> Result<StarList, GithubError> {
        let ListNode { id, name, slug, is_private, items: mut page } = node;
        let (mut items, mut total) = (BTreeSet::new(), page.total_count);
        let mut cursor = Cursor { next: None };
        loop {
            self.adds_up &= total == page.total_count;
            total = page.total_count;
            for item in page.nodes {
                let id = item.and_then(|it| it.database_id).map(GithubId);
                self.adds_up &= id.is_some_and(|it| items.insert(it));
            }
            if !cursor.follow(page.page_info)? {
                break;
            }
            page = self.ask::<ItemsNode>(ITEMS, json!({ "id": id, "after": cursor.next }), "node").await?.items;
        }
        self.adds_up &= u64::try_from(items.len()).is_ok_and(|it| it == total);
        Ok(StarList { id, name, slug, private: is_private, items })
    }

    /// A page; what comes with errors is no page.
    async fn ask<T: for<'de> Deserialize<'de>>(
        &mut self,
        query: &str,
        variables: Value,
        root: &str,
    ) -> Result<T, GithubError> {
        self.requests += 1;
        if self.requests > MOST_REQUESTS {
            return Err(GithubError::Malformed(format!("star lists of more than {MOST_REQUESTS} pages")));
        }
        let Graph { data, errors } = self.client.graphql(self.pass, query, variables).await?;
        if let Some(fault) = errors.first() {
            return Err(GithubError::Graphql(fault.text()));
        }
        let node = data.get(root).filter(|it| !it.is_null());
        let node = node.ok_or_else(|| GithubError::Graphql(format!("no {root}, and no word why")))?;
        T::deserialize(node).map_err(|error| GithubError::Malformed(format!("star lists: {error}")))
    }
}

impl Cursor {
    /// Whether there is another page. One that leads back to itself is none.
    fn follow(&mut self, page: PageInfo) -> Result<bool, GithubError> {
        if !page.has_next_page {
            return Ok(false);
        }
        if page.end_cursor.is_none() || page.end_cursor == self.next {
            return Err(GithubError::Malformed("a page of star lists that leads nowhere".to_owned()));
        }
        self.next = page.end_cursor;
        Ok(true)
    }
}
