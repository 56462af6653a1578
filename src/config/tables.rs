//! A table of a list of tables, while it is read: each key is asked for once, what nobody asked for is unknown.

use serde_json::{Map, Value};

use super::nearest::nearest;
use super::problem::quoted;
use super::values::{Form, Refused, plain, scalar};

/// One table.
pub(crate) struct Table {
    at: String,
    values: Map<String, Value>,
    known: Vec<&'static str>,
    wrong: Vec<(String, Refused)>,
}

impl Table {
    /// `at` is where it stands, as in `sources[1]`.
    pub(crate) fn new(at: String, value: &Value) -> Self {
        let (values, wrong) = match value {
            Value::Object(values) => (values.clone(), Vec::new()),
            value => {
                let found = format!("{} is no table", quoted(&plain(value)));
                let accepted = "write a table, as in `{ user = \"octocat\" }`".to_owned();
                (Map::new(), vec![(at.clone(), Refused { found, accepted })])
            }
        };
        Self { at, values, known: Vec::new(), wrong }
    }

    /// Whether it is a table at all.
    pub(crate) fn is_readable(&self) -> bool {
        self.wrong.is_empty()
    }

    /// A single value, if the key is there.
    pub(crate) fn option<T>(&mut self, key: &'static str, form: Form<T>) -> Option<T> {
        self.known.push(key);
        let value = self.values.remove(key)?;
        self.read(key, scalar(&value).and_then(|text| form(text.trim())))
    }

    /// A list of single values; none without the key.
    pub(crate) fn list<T>(&mut self, key: &'static str, form: Form<T>) -> Vec<T> {
        self.known.push(key);
        let items = match self.values.remove(key) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(value) => {
                let found = format!("{} is no list", quoted(&plain(&value)));
                let accepted = "write a list, as in `[\"one\", \"two\"]`".to_owned();
                self.refuse(Some(key), Refused { found, accepted });
                return Vec::new();
            }
        };
        items.iter().filter_map(|it| self.read(key, scalar(it).and_then(|text| form(text.trim())))).collect()
    }

    fn read<T>(&mut self, key: &str, read: Result<T, Refused>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(refused) => {
                self.refuse(Some(key), refused);
                None
            }
        }
    }

    /// Something is wrong with a key, or with the table as a whole.
    pub(crate) fn refuse(&mut self, key: Option<&str>, refused: Refused) {
        let key = key.map_or_else(|| self.at.clone(), |key| format!("{}.{key}", self.at));
        self.wrong.push((key, refused));
    }

    /// What is wrong with it, unknown keys among that; their values are not shown.
    pub(crate) fn finish(mut self) -> Vec<(String, Refused)> {
        for key in self.values.keys() {
            let accepted = match nearest(key, self.known.iter().copied()) {
                Some(key) => format!("did you mean `{key}`?"),
                None => format!("write {}", self.known.join(", ")),
            };
            let shown = quoted(key).replace('`', "");
            let found = "there is no such key".to_owned();
            self.wrong.push((format!("{}.{shown}", self.at), Refused { found, accepted }));
        }
        self.wrong
    }
}
