//! One item of the catalog: what it is, which it is, and its JSON in a form that only changes when
//! the item does.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::objects::{ObjectKind, oid};
use super::trim::trim;
use crate::domain::job::word;
use crate::domain::refs::Oid;

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The repository itself.
    Repository,
    /// A label.
    Label,
    /// A milestone.
    Milestone,
    /// A release with its assets.
    Release,
    /// An issue, or the issue side of a pull request.
    Issue,
    /// The other side of a pull request.
    Pull,
    /// A comment on either.
    Comment,
    /// A review of a pull request.
    Review,
    /// A comment on lines of a pull request.
    ReviewComment,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Repository,
        Self::Label,
        Self::Milestone,
        Self::Release,
        Self::Issue,
        Self::Pull,
        Self::Comment,
        Self::Review,
        Self::ReviewComment,
    ];

    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Repository => "repository",
            Self::Label => "label",
            Self::Milestone => "milestone",
            Self::Release => "release",
            Self::Issue => "issue",
            Self::Pull => "pull",
            Self::Comment => "comment",
            Self::Review => "review",
            Self::ReviewComment => "review_comment",
        }
    }
}

word!(Kind, "kind of item");

/// What is written anew as a whole when one item of it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// `repository.json`.
    Repository,
    /// `labels.json`.
    Labels,
    /// One milestone, by number.
    Milestone(i64),
    /// One release, by id.
    Release(i64),
    /// One issue or pull request with all that belongs to it, by number.
    Thread(i64),
}

impl Unit {
    /// The word and the number that it is remembered by.
    pub fn parts(self) -> (&'static str, i64) {
        match self {
            Self::Repository => ("repository", 0),
            Self::Labels => ("labels", 0),
            Self::Milestone(number) => ("milestone", number),
            Self::Release(id) => ("release", id),
            Self::Thread(number) => ("thread", number),
        }
    }

    /// The unit behind a word and a number.
    pub fn of(word: &str, number: i64) -> Option<Self> {
        Some(match word {
            "repository" => Self::Repository,
            "labels" => Self::Labels,
            "milestone" => Self::Milestone(number),
            "release" => Self::Release(number),
            "thread" => Self::Thread(number),
            _ => return None,
        })
    }

    /// The kinds of items that it is made of.
    pub fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Repository => &[Kind::Repository],
            Self::Labels => &[Kind::Label],
            Self::Milestone(_) => &[Kind::Milestone],
            Self::Release(_) => &[Kind::Release],
            Self::Thread(_) => &[Kind::Issue, Kind::Pull, Kind::Comment, Kind::Review, Kind::ReviewComment],
        }
    }
}

/// An item as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Which it is among its kind: GitHub's id, or its number for what has one.
    pub id: i64,
    /// The issue or pull request that it belongs to, the milestone's number, the release's id; else 0.
    pub number: i64,
    /// Its JSON: sorted keys, two spaces, a final newline.
    pub text: String,
    /// The name of that text as git's object.
    pub oid: Oid,
    /// When it last changed, as GitHub tells.
    pub changed_at: Option<DateTime<Utc>>,
    /// It is the issue side of a pull request.
    pub is_pull: bool,
}

/// Why JSON is no item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {kind}: {field} is missing or of a wrong form")]
pub struct NoItem {
    /// What it should have been.
    pub kind: Kind,
    /// What it lacks.
    pub field: &'static str,
}

impl Item {
    /// From GitHub's JSON. `thread` is the pull request that was asked for, where the JSON need not name it.
    ///
    /// # Errors
    /// [`NoItem`] when what identifies it is missing.
    pub fn new(kind: Kind, mut value: Value, thread: Option<i64>) -> Result<Self, NoItem> {
        let missing = |field| NoItem { kind, field };
        let number = |name: &'static str| value.get(name).and_then(Value::as_i64).filter(|it| *it > 0);
        let (id, number) = match kind {
            Kind::Repository => (0, 0),
            Kind::Issue | Kind::Pull | Kind::Milestone => {
                let number = number("number").ok_or_else(|| missing("number"))?;
                (number, number)
            }
            Kind::Label => (number("id").ok_or_else(|| missing("id"))?, 0),
            Kind::Release => {
                let id = number("id").ok_or_else(|| missing("id"))?;
                (id, id)
            }
            Kind::Comment | Kind::Review | Kind::ReviewComment => {
                let id = number("id").ok_or_else(|| missing("id"))?;
                let field = if kind == Kind::Comment { "issue_url" } else { "pull_request_url" };
                let thread = thread.or_else(|| last_number(&value, field));
                (id, thread.ok_or_else(|| missing(field))?)
            }
        };
        let changed_at = changed_at(&value);
        let is_pull = kind == Kind::Issue && value.get("pull_request").is_some_and(|it| !it.is_null());
        trim(kind, &mut value);
        let text = stable(&mut value);
        let oid = oid(ObjectKind::Blob, text.as_bytes());
        Ok(Self { kind, id, number, text, oid, changed_at, is_pull })
    }

    /// What must be written anew when it changed.
    pub fn unit(&self) -> Unit {
        match self.kind {
            Kind::Repository => Unit::Repository,
            Kind::Label => Unit::Labels,
            Kind::Milestone => Unit::Milestone(self.number),
            Kind::Release => Unit::Release(self.number),
            Kind::Issue | Kind::Pull | Kind::Comment | Kind::Review | Kind::ReviewComment => Unit::Thread(self.number),
        }
    }
}

/// When GitHub says that an item changed.
pub fn changed_at(value: &Value) -> Option<DateTime<Utc>> {
    value.get("updated_at")?.as_str()?.parse().ok()
}

fn last_number(value: &Value, field: &str) -> Option<i64> {
    value.get(field)?.as_str()?.rsplit('/').next()?.parse().ok().filter(|it| *it > 0)
}

/// Sorted keys, two spaces, a final newline.
pub(super) fn stable(value: &mut Value) -> String {
    value.sort_all_objects();
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_knows_where_it_belongs() {
        let comment = json!({ "id": 7, "issue_url": "https://api.github.com/repos/a/b/issues/12", "body": "x" });
        let comment = Item::new(Kind::Comment, comment, None).unwrap();
        assert_eq!((comment.id, comment.unit()), (7, Unit::Thread(12)));
        let review = Item::new(Kind::Review, json!({ "id": 3 }), Some(9)).unwrap();
        assert_eq!(review.unit(), Unit::Thread(9));
        assert_eq!(Item::new(Kind::Issue, json!({ "number": "1" }), None).unwrap_err().field, "number");
        assert_eq!(Item::new(Kind::Comment, json!([1]), None).unwrap_err().field, "id");
    }

    #[test]
    fn the_order_of_keys_is_no_change() {
        let one = Item::new(Kind::Label, serde_json::from_str(r#"{"id":1,"b":{"y":1,"x":2}}"#).unwrap(), None).unwrap();
        let two = Item::new(Kind::Label, serde_json::from_str(r#"{"b":{"x":2,"y":1},"id":1}"#).unwrap(), None).unwrap();
        assert_eq!(one, two);
        assert_eq!(one.text, "{\n  \"b\": {\n    \"x\": 2,\n    \"y\": 1\n  },\n  \"id\": 1\n}\n");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z/0-9]{0,9}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("(id|number|login|milestone|repo|[a-z]{1,4})", inner, 0..5)
                    .prop_map(|it| Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_makes_it_panic_and_what_was_kept_is_kept_again(value in any_json(), kind in 0_usize..9) {
            let kind = Kind::ALL[kind];
            if let Ok(item) = Item::new(kind, value, None) {
                let again: Value = serde_json::from_str(&item.text).unwrap();
                prop_assert_eq!(&Item::new(kind, again, Some(item.number).filter(|it| *it > 0)).unwrap().text, &item.text);
            }
        }
    }
}
