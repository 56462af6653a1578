//! Source text without what does not count: comments, texts in quotes, tests.

use std::path::{Path, PathBuf};

/// The code with comments, quoted texts and everything under `#[cfg(test)]` blanked. Same length in
/// characters and lines.
pub(crate) fn production(source: &str) -> String {
    let mut code: Vec<char> = quiet(source);
    for (start, end) in tests(&code) {
        blank(&mut code, start, end);
    }
    code.into_iter().collect()
}

/// How many lines of a file are tests.
pub(crate) fn test_lines(source: &str) -> usize {
    let code = quiet(source);
    let lines = |(start, end): (usize, usize)| code[start..end].iter().filter(|c| **c == '\n').count();
    tests(&code).into_iter().map(lines).sum()
}

/// The folders (and, with `.rs` behind, files) of modules that a file declares for tests only.
pub(crate) fn declared_tests(path: &Path, source: &str) -> Vec<PathBuf> {
    let code = quiet(source);
    let stem = path.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
    let folder = match stem {
        "mod" | "lib" | "main" => path.parent().unwrap_or(path).to_owned(),
        _ => path.with_extension(""),
    };
    let name = |(start, end): (usize, usize)| {
        let item: String = code[start..end].iter().collect();
        let (_, declaration) = item.rsplit_once("mod ")?;
        declaration.strip_suffix(';').map(|name| folder.join(name.trim()))
    };
    tests(&code).into_iter().filter_map(name).collect()
}

/// Where the items under `#[cfg(test)]`, or for fuzzing beside it, begin and end.
fn tests(code: &[char]) -> Vec<(usize, usize)> {
    let marks = ["#[cfg(test)]", "#[cfg(any(test, fuzzing))]"].map(|it| it.chars().collect::<Vec<char>>());
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        if let Some(mark) = marks.iter().find(|it| code[at..].starts_with(it)) {
            let end = end_of_item(code, at + mark.len());
            found.push((at, end));
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

/// Behind the `;` or the closing brace of the item that begins at `from`, further attributes included.
fn end_of_item(code: &[char], from: usize) -> usize {
    let mut depth = 0usize;
    for (at, c) in code.iter().enumerate().skip(from) {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *c == '}' {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

fn blank(code: &mut [char], start: usize, end: usize) {
    for c in code.iter_mut().take(end).skip(start).filter(|c| **c != '\n') {
        *c = ' ';
    }
}

/// The characters with comments and quoted texts blanked.
fn quiet(source: &str) -> Vec<char> {
    let mut code: Vec<char> = source.chars().collect();
    let mut at = 0;
    while at < code.len() {
        let end = match (code[at], code.get(at + 1)) {
            ('/', Some('/')) => position(&code, at, '\n'),
            ('/', Some('*')) => end_of_block(&code, at),
            ('"', _) => end_of_text(&code, at),
            ('r', Some('"' | '#')) if !follows_word(&code, at) => end_of_raw(&code, at),
            ('\'', _) => end_of_character(&code, at),
            _ => at,
        };
        if end > at {
            blank(&mut code, at, end);
        }
        at = end.max(at + 1);
    }
    code
}

fn follows_word(code: &[char], at: usize) -> bool {
    // `br"…"` is a raw text too.
    let before = at.checked_sub(1).map(|it| code[it]);
    before.is_some_and(|c| (c.is_alphanumeric() || c == '_') && c != 'b')
}

fn position(code: &[char], from: usize, wanted: char) -> usize {
    code.iter().skip(from).position(|c| *c == wanted).map_or(code.len(), |it| from + it)
}

fn end_of_block(code: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (1, from + 2);
    while at < code.len() && depth > 0 {
        match (code[at], code.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at.min(code.len())
}

fn end_of_text(code: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < code.len() && code[at] != '"' {
        at += if code[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(code.len())
}

/// `from` itself if it is no raw text but, say, `r#type`.
fn end_of_raw(code: &[char], from: usize) -> usize {
    let hashes = code.iter().skip(from + 1).take_while(|c| **c == '#').count();
    if code.get(from + 1 + hashes) != Some(&'"') {
        return from;
    }
    let mut end = vec!['"'];
    end.resize(hashes + 1, '#');
    let start = from + 2 + hashes;
    let length = code[start..].windows(end.len()).position(|it| it == end.as_slice());
    length.map_or(code.len(), |it| start + it + end.len())
}

/// `from` itself if it is a lifetime.
fn end_of_character(code: &[char], from: usize) -> usize {
    match (code.get(from + 1), code.get(from + 2)) {
        (Some('\\'), _) => (position(code, from + 3, '\'') + 1).min(code.len()),
        (Some(_), Some('\'')) => from + 3,
        _ => from,
    }
}

#[test]
fn comments_and_texts_are_blank_and_lines_stay() {
    for (source, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"x("a\"b", 'c', '\'', "d")"#, r#"x(      ,    ,     ,    )"#),
        ("y(r#\"a\"b\"#, r\"c\", br\"d\")", "y(        ,     , b    )"),
        ("fn f<'a>(x: &'a str, r#type: u8) {}", "fn f<'a>(x: &'a str, r#type: u8) {}"),
        ("'\"' + \"'\" + b", "    +     + b"),
    ] {
        assert_eq!(quiet(source).into_iter().collect::<String>(), code, "{source}");
    }
}

#[test]
fn tests_are_blank_and_counted() {
    let source = "a;\n#[cfg(test)]\n#[x(y)]\nmod tests {\n fn f() {}\n}\nb;\n#[cfg(test)]\nuse c;\nd;";
    assert_eq!(production(source).split_whitespace().collect::<String>(), "a;b;d;");
    assert_eq!(production(source).lines().count(), source.lines().count());
    assert_eq!(test_lines(source), 5);
}

#[test]
fn files_of_tests_are_found_beside_their_parent() {
    let ask = |path: &str| declared_tests(Path::new(path), "mod a;\n#[cfg(test)]\nmod tests;\nmod b;");
    assert_eq!(ask("src/config/mod.rs"), [PathBuf::from("src/config/tests")]);
    assert_eq!(ask("src/webhook/payload.rs"), [PathBuf::from("src/webhook/payload/tests")]);
}
