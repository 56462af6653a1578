//! The lists and things below a repository, with GitHub's pages and `Link` headers.

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use super::shelf::{Shelf, Things};
use crate::simulator::github::rest::Answer;
use crate::simulator::github::state::Repo;

/// What is asked for below a repository. `base` is where the client found this server.
pub(in crate::simulator::github) fn answer(repo: &Repo, full: &str, below: &[&str], query: &str, base: &str) -> Answer {
    let (shelf, view) = (&repo.shelf, View { id: repo.id.0, full, base });
    let query = Query::read(query);
    if shelf.issues_off && matches!(below, ["issues", ..]) {
        return Answer::error(StatusCode::GONE, "Issues has been disabled in this repository.");
    }
    match below {
        ["issues"] => view.page(below, &query, &shelf.issues, Shape::Issue),
        ["issues", "comments"] => view.page(below, &query, &shelf.comments, Shape::Comment),
        ["issues", "comments", id] => view.one(&shelf.comments, id, Shape::Comment),
        ["issues", number, "comments"] => view.page(below, &query, &within(&shelf.comments, number), Shape::Comment),
        ["issues", number] if !has(&shelf.issues, number) => gone(shelf, number),
        ["issues", number] => view.one(&shelf.issues, number, Shape::Issue),
        ["pulls"] => view.page(below, &query, &shelf.pulls, Shape::Pull),
        ["pulls", "comments"] => view.page(below, &query, &shelf.review_comments, Shape::ReviewComment),
        ["pulls", number, "reviews"] if has(&shelf.pulls, number) => {
            view.page(below, &query, &within(&shelf.reviews, number), Shape::ReviewComment)
        }
        ["releases"] => view.page(below, &query, &shelf.releases, Shape::Release),
        ["releases", id] => view.one(&shelf.releases, id, Shape::Release),
        ["labels"] => view.page(below, &query, &shelf.labels, Shape::Plain),
        ["milestones"] => view.page(below, &query, &shelf.milestones, Shape::Milestone),
        _ => Answer::not_found(),
    }
}

fn has(things: &Things, id: &str) -> bool {
    id.parse().is_ok_and(|id| things.contains_key(&id))
}

/// An issue that was is gone; one that never was is not found.
fn gone(shelf: &Shelf, number: &str) -> Answer {
    let last = shelf.issues.keys().last().copied().unwrap_or_default();
    if number.parse::<i64>().is_ok_and(|it| (1..last).contains(&it)) {
        return Answer::error(StatusCode::GONE, "This issue was deleted");
    }
    Answer::not_found()
}

fn within(things: &Things, thread: &str) -> Things {
    let thread: Value = thread.parse::<i64>().map_or(Value::Null, Value::from);
    things.iter().filter(|(_, it)| it.get("thread") == Some(&thread)).map(|(id, it)| (*id, it.clone())).collect()
}

/// The parameters that lists take.
struct Query {
    page: usize,
    size: usize,
    since: Option<String>,
    by_update: bool,
    descending: Option<bool>,
    state: String,
    /// As it came, without the page.
    rest: String,
}

impl Query {
    fn read(text: &str) -> Self {
        let value = |name: &str| {
            let found = text.split('&').find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
            found.map(|it| it.replace("%3A", ":"))
        };
        let number = |name: &str, default: usize, most: usize| {
            value(name).and_then(|it| it.parse().ok()).unwrap_or(default).clamp(1, most)
        };
        let rest: Vec<&str> = text.split('&').filter(|it| !it.is_empty() && !it.starts_with("page=")).collect();
        Self {
            page: number("page", 1, usize::MAX),
            size: number("per_page", 30, 100),
            since: value("since"),
            by_update: value("sort").as_deref() == Some("updated"),
            descending: value("direction").map(|it| it == "desc"),
            state: value("state").unwrap_or_else(|| "open".to_owned()),
            rest: rest.join("&"),
        }
    }
}

/// Which addresses a thing carries, and how its list is sorted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Issue,
    Pull,
    Comment,
    ReviewComment,
    Release,
    Milestone,
    Plain,
}

struct View<'a> {
    id: i64,
    full: &'a str,
    base: &'a str,
}

impl View<'_> {
    fn one(&self, things: &Things, id: &str, shape: Shape) -> Answer {
        let found = id.parse().ok().and_then(|id| things.get_key_value(&id));
        found.map_or_else(Answer::not_found, |(id, it)| Answer::ok(self.shown(*id, it, shape)))
    }

    fn page(&self, below: &[&str], query: &Query, things: &Things, shape: Shape) -> Answer {
        let has_state = matches!(shape, Shape::Issue | Shape::Pull | Shape::Milestone);
        let text =
            |it: &Map<String, Value>, field: &str| it.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        // `since` is known to issues and comments only.
        let since =
            query.since.as_ref().filter(|_| matches!(shape, Shape::Issue | Shape::Comment | Shape::ReviewComment));
        let mut some: Vec<_> = things
            .iter()
            .filter(|(_, it)| !has_state || query.state == "all" || text(it, "state") == query.state)
            .filter(|(_, it)| since.is_none_or(|since| text(it, "updated_at") >= *since))
            .collect();
        let field = if query.by_update { "updated_at" } else { "created_at" };
        if shape != Shape::Plain && !below.contains(&"reviews") {
            some.sort_by_key(|(id, it)| (text(it, field), **id));
        }
        // Without a word issues, pull requests and releases come latest first.
        let latest_first = matches!(shape, Shape::Issue | Shape::Pull | Shape::Release);
        if query.descending.unwrap_or(latest_first) {
            some.reverse();
        }
        let last = some.len().div_ceil(query.size).max(1);
        let items: Vec<Value> = some
            .into_iter()
            .skip((query.page - 1).saturating_mul(query.size))
            .take(query.size)
            .map(|(id, it)| self.shown(*id, it, shape))
            .collect();
        Answer { link: self.link(below, query, last), ..Answer::ok(Value::Array(items)) }
    }

    fn link(&self, below: &[&str], query: &Query, last: usize) -> Option<String> {
        let to = |page: usize, rel: &str| {
            let (base, id, rest) = (self.base, self.id, &query.rest);
            format!("<{base}/repositories/{id}/{}?{rest}&page={page}>; rel=\"{rel}\"", below.join("/"))
        };
        let mut links = Vec::new();
        if query.page > 1 {
            links.extend([to(query.page - 1, "prev"), to(1, "first")]);
        }
        if query.page < last {
            links.extend([to(query.page + 1, "next"), to(last, "last")]);
        }
        (!links.is_empty()).then(|| links.join(", "))
    }

    fn shown(&self, id: i64, thing: &Map<String, Value>, shape: Shape) -> Value {
        let mut it = thing.clone();
        let thread = it.remove("thread").and_then(|it| it.as_i64()).unwrap_or_default();
        let at = format!("{}/repos/{}", self.base, self.full);
        let page = format!("{}/{}", self.base, self.full);
        let addresses = match shape {
            Shape::Issue => json!({ "url": format!("{at}/issues/{id}"), "html_url": format!("{page}/issues/{id}") }),
            Shape::Pull => {
                json!({ "url": format!("{at}/pulls/{id}"), "html_url": format!("{page}/pull/{id}"), "mergeable": null })
            }
            Shape::Comment => {
                json!({ "url": format!("{at}/issues/comments/{id}"), "issue_url": format!("{at}/issues/{thread}") })
            }
            Shape::ReviewComment => json!({ "pull_request_url": format!("{at}/pulls/{thread}") }),
            Shape::Release => {
                json!({ "url": format!("{at}/releases/{id}"), "html_url": format!("{page}/releases/{id}") })
            }
            Shape::Milestone | Shape::Plain => json!({}),
        };
        it.extend(addresses.as_object().cloned().unwrap_or_default());
        Value::Object(it)
    }
}
