//! OneDev's language for project lists, in the part that clients use:
//! `"Path" is "a/**" and not("Id" is greater than "9") order by "Id" asc`.

use std::cmp::Ordering;

use super::reply::Reply;
use super::state::{Project, State};

/// What a project must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Criterion {
    Text { field: Field, pattern: String },
    Number { order: Ordering, value: i64 },
    Contains(String),
    Label(String),
    ChildrenOf(String),
    ForksOf(String),
    Roots,
    Leafs,
    Fuzzy(String),
    Not(Box<Criterion>),
    All(Vec<Criterion>),
    Any(Vec<Criterion>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Id,
    Name,
    Path,
    Key,
    Description,
    Label,
    Activity,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Quoted(String),
    Fuzzy(String),
    Word(String),
    Open,
    Close,
    Comma,
}

/// A parsed query.
#[derive(Debug, Default)]
pub(crate) struct Query {
    criterion: Option<Criterion>,
    /// Field and whether it descends.
    orders: Vec<(Field, bool)>,
}

fn invalid() -> Reply {
    Reply::text(406, "Invalid query")
}

impl Query {
    /// Reads a query; an empty one is all projects.
    ///
    /// # Errors
    /// 406 for what is no query, 500 for a field that is none.
    pub(crate) fn parse(text: &str) -> Result<Self, Reply> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0 };
        let mut query = Self::default();
        if !parser.is_done() && !parser.is_word("order") {
            query.criterion = Some(parser.any()?);
        }
        if parser.word("order") {
            parser.must("by")?;
            loop {
                let field = parser.field()?;
                let descends = parser.word("desc");
                if !descends {
                    parser.word("asc");
                }
                query.orders.push((field, descends));
                if !parser.take(&Token::Comma) {
                    break;
                }
            }
        }
        if parser.is_done() { Ok(query) } else { Err(invalid()) }
    }

    /// The projects that match, in order; those with the latest activity first if none was given.
    pub(crate) fn run<'a>(&self, state: &'a State) -> Vec<&'a Project> {
        let matches = |it: &&Project| self.criterion.as_ref().is_none_or(|criterion| criterion.covers(state, it));
        let mut found: Vec<_> = state.projects.values().filter(matches).collect();
        found.sort_by(|a, b| {
            let mut by = self.orders.iter().map(|(field, descends)| {
                let order = compare(state, *field, a, b);
                if *descends { order.reverse() } else { order }
            });
            by.find(|it| *it != Ordering::Equal).unwrap_or_else(|| b.activity.cmp(&a.activity))
        });
        found
    }
}

fn compare(state: &State, field: Field, a: &Project, b: &Project) -> Ordering {
    match field {
        Field::Id => a.id.cmp(&b.id),
        Field::Name => a.data.name.cmp(&b.data.name),
        Field::Path => state.path(a.id).cmp(&state.path(b.id)),
        Field::Key => a.data.key.cmp(&b.data.key),
        Field::Description => a.data.description.cmp(&b.data.description),
        Field::Activity => a.activity.cmp(&b.activity),
        Field::Label => Ordering::Equal,
    }
}

impl Criterion {
    fn covers(&self, state: &State, project: &Project) -> bool {
        match self {
            Self::Text { field: Field::Name, pattern } => {
                glob(&pattern.to_lowercase(), &project.data.name.to_lowercase(), false)
            }
            Self::Text { field: Field::Path, pattern } => {
                let path = state.path(project.id);
                let root = pattern.strip_suffix("/**");
                glob(pattern, &path, true) || root.is_some_and(|root| glob(root, &path, true))
            }
            Self::Text { field: Field::Key, pattern } => project.data.key.as_deref() == Some(pattern),
            Self::Text { .. } => false,
            Self::Number { order, value } => project.id.cmp(value) == *order,
            Self::Contains(part) => {
                let description = project.data.description.as_deref().unwrap_or_default().to_lowercase();
                description.contains(&part.to_lowercase())
            }
            Self::Label(name) => state.labels.rows.values().any(|(labelled, spec)| {
                *labelled == project.id && state.label_specs.rows.get(spec).is_some_and(|it| it.name == *name)
            }),
            Self::ChildrenOf(path) => state.at(path).is_some_and(|parent| project.data.parent == Some(parent.id)),
            Self::ForksOf(path) => state.at(path).is_some_and(|from| project.data.forked_from == Some(from.id)),
            Self::Roots => project.data.parent.is_none(),
            Self::Leafs => !state.projects.values().any(|it| it.data.parent == Some(project.id)),
            Self::Fuzzy(part) => state.path(project.id).to_lowercase().contains(&part.to_lowercase()),
            Self::Not(inner) => !inner.covers(state, project),
            Self::All(inner) => inner.iter().all(|it| it.covers(state, project)),
            Self::Any(inner) => inner.iter().any(|it| it.covers(state, project)),
        }
    }
}

/// `*` stands for any text, in a path only for one without a slash; `**` for any text.
fn glob(pattern: &str, text: &str, is_path: bool) -> bool {
    let Some(star) = pattern.find('*') else { return pattern == text };
    let (before, rest) = pattern.split_at(star);
    let Some(text) = text.strip_prefix(before) else { return false };
    let (rest, any) = match rest.strip_prefix("**") {
        Some(rest) => (rest, true),
        None => (rest.get(1..).unwrap_or_default(), !is_path),
    };
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.take_while(|end| any || !text.get(..*end).is_some_and(|it| it.contains('/')))
        .any(|end| glob(rest, text.get(end..).unwrap_or_default(), is_path))
}

fn tokens(text: &str) -> Result<Vec<Token>, Reply> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let token = match first {
            '"' | '~' => {
                let (inner, after) = quoted(rest.get(1..).unwrap_or_default(), first)?;
                rest = after;
                if first == '"' { Token::Quoted(inner) } else { Token::Fuzzy(inner) }
            }
            '(' | ')' | ',' => {
                rest = rest.get(1..).unwrap_or_default();
                match first {
                    '(' => Token::Open,
                    ')' => Token::Close,
                    _ => Token::Comma,
                }
            }
            _ => {
                let end = rest.find(|it: char| it.is_whitespace() || "\"(),~".contains(it)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                rest = after;
                Token::Word(word.to_owned())
            }
        };
        found.push(token);
        rest = rest.trim_start();
    }
    Ok(found)
}

/// The text up to the closing mark, backslashes undone, and what stands behind it.
fn quoted(text: &str, mark: char) -> Result<(String, &str), Reply> {
    let mut inner = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        if char == mark {
            return Ok((inner, text.get(at + 1..).unwrap_or_default()));
        }
        let literal = if char == '\\' { chars.next().map(|(_, it)| it) } else { Some(char) };
        inner.push(literal.ok_or_else(invalid)?);
    }
    Err(invalid())
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn is_done(&self) -> bool {
        self.peek().is_none()
    }

    fn is_word(&self, word: &str) -> bool {
        self.peek() == Some(&Token::Word(word.to_owned()))
    }

    fn take(&mut self, token: &Token) -> bool {
        let there = self.peek() == Some(token);
        self.at += usize::from(there);
        there
    }

    fn word(&mut self, word: &str) -> bool {
        self.take(&Token::Word(word.to_owned()))
    }

    fn must(&mut self, word: &str) -> Result<(), Reply> {
        if self.word(word) { Ok(()) } else { Err(invalid()) }
    }

    fn text(&mut self) -> Result<String, Reply> {
        match self.peek().cloned() {
            Some(Token::Quoted(text)) => {
                self.at += 1;
                Ok(text)
            }
            _ => Err(invalid()),
        }
    }

    fn field(&mut self) -> Result<Field, Reply> {
        let name = self.text()?;
        Ok(match name.as_str() {
            "Id" => Field::Id,
            "Name" => Field::Name,
            "Path" => Field::Path,
            "Key" => Field::Key,
            "Description" => Field::Description,
            "Label" => Field::Label,
            "Last Activity Date" => Field::Activity,
            _ => return Err(Reply::server_error(&format!("Field not found: {name}"))),
        })
    }

    fn any(&mut self) -> Result<Criterion, Reply> {
        let mut parts = vec![self.all()?];
        while self.word("or") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Criterion::Any))
    }

    fn all(&mut self) -> Result<Criterion, Reply> {
        let mut parts = vec![self.one()?];
        while self.word("and") {
            parts.push(self.one()?);
        }
        Ok(one_or(parts, Criterion::All))
    }

    fn one(&mut self) -> Result<Criterion, Reply> {
        let negated = self.word("not");
        if self.take(&Token::Open) {
            let inner = self.any()?;
            return match (self.take(&Token::Close), negated) {
                (false, _) => Err(invalid()),
                (true, true) => Ok(Criterion::Not(Box::new(inner))),
                (true, false) => Ok(inner),
            };
        }
        if negated {
            return Err(invalid());
        }
        if let Some(Token::Fuzzy(text)) = self.peek().cloned() {
            self.at += 1;
            return Ok(Criterion::Fuzzy(text));
        }
        for (word, made) in [("roots", Criterion::Roots), ("leafs", Criterion::Leafs)] {
            if self.word(word) {
                return Ok(made);
            }
        }
        for (word, make) in [("children", Criterion::ChildrenOf as fn(String) -> _), ("forks", Criterion::ForksOf)] {
            if self.word(word) {
                self.must("of")?;
                return self.text().map(make);
            }
        }
        self.compared()
    }

    fn compared(&mut self) -> Result<Criterion, Reply> {
        let field = self.field()?;
        if field == Field::Description && self.word("contains") {
            return self.text().map(Criterion::Contains);
        }
        self.must("is")?;
        if self.word("not") {
            return Ok(Criterion::Not(Box::new(self.value(field, Ordering::Equal)?)));
        }
        let order = match (self.word("greater"), self.word("less")) {
            (true, _) => Ordering::Greater,
            (_, true) => Ordering::Less,
            _ => Ordering::Equal,
        };
        if order != Ordering::Equal {
            self.must("than")?;
        }
        self.value(field, order)
    }

    fn value(&mut self, field: Field, order: Ordering) -> Result<Criterion, Reply> {
        let text = self.text()?;
        match field {
            Field::Id => text.parse().map(|value| Criterion::Number { order, value }).map_err(|_| invalid()),
            _ if order != Ordering::Equal => Err(invalid()),
            Field::Label => Ok(Criterion::Label(text)),
            Field::Name | Field::Path | Field::Key => Ok(Criterion::Text { field, pattern: text }),
            Field::Description | Field::Activity => Err(invalid()),
        }
    }
}

/// The only part, or all of them.
fn one_or(mut parts: Vec<Criterion>, many: fn(Vec<Criterion>) -> Criterion) -> Criterion {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            many(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::onedev::data::ProjectData;

    fn state() -> State {
        let mut state = State::new("/nonexistent".into());
        for (parent, name) in [(None, "github"), (Some(1), "octo"), (Some(2), "Hello"), (None, "other")] {
            state.add(ProjectData::named(parent, name), "/nonexistent".as_ref()).unwrap();
        }
        state
    }

    fn found(query: &str) -> Result<Vec<i64>, u16> {
        let state = state();
        let query = Query::parse(query).map_err(|reply| reply.status)?;
        Ok(query.run(&state).into_iter().map(|it| it.id).collect())
    }

    #[test]
    fn projects_are_found_by_path_name_parent_and_id() {
        assert_eq!(found(""), Ok(vec![4, 3, 2, 1]));
        assert_eq!(found("\"Path\" is \"github/octo/Hello\""), Ok(vec![3]));
        assert_eq!(found("\"Path\" is \"github/**\" order by \"Id\" asc"), Ok(vec![1, 2, 3]));
        assert_eq!(found("\"Path\" is \"github/*\""), Ok(vec![2]));
        assert_eq!(found("\"Name\" is \"HELLO\""), Ok(vec![3]));
        assert_eq!(found("children of \"GitHub\""), Ok(vec![2]));
        assert_eq!(found("\"Id\" is greater than \"2\" order by \"Id\" asc"), Ok(vec![3, 4]));
        assert_eq!(found("not(roots) or \"Id\" is \"4\" order by \"Id\" desc"), Ok(vec![4, 3, 2]));
        assert_eq!(found("order by \"Path\" asc"), Ok(vec![1, 2, 3, 4]));
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for query in ["garbage", "descendants of \"github\"", "\"Name\" is", "\"Name\" is \"x", "roots roots"] {
            assert_eq!(found(query), Err(406), "{query}");
        }
        assert_eq!(found("\"Colour\" is \"x\""), Err(500));
    }
}
