//! Keeps `docs/configuration.md` and `config/default.toml` saying the same.

use std::path::Path;

use super::layers::DEFAULTS;

const START: &str = "<!-- keys: written by `STARKEEP_WRITE_DOCS=1 cargo test --lib config::reference` -->\n";
const END: &str = "<!-- end of keys -->\n";

/// One key of the file.
struct Key {
    name: String,
    default: String,
    meaning: String,
}

/// The sections with their keys, in the file's order.
fn sections() -> Vec<(String, Vec<Key>)> {
    // What stands before the first section is in none.
    let mut sections: Vec<(String, Vec<Key>)> = vec![(String::new(), Vec::new())];
    let mut comment = Vec::new();
    for line in DEFAULTS.lines() {
        if let Some(text) = line.strip_prefix("# ") {
            comment.push(text);
        } else if let Some(name) = line.strip_prefix('[') {
            sections.push((name.trim_end_matches(']').to_owned(), Vec::new()));
        } else if let Some((name, value)) = line.split_once(" = ")
            && let Some((_, keys)) = sections.last_mut()
        {
            let default = match name.strip_prefix('#') {
                Some(_) => format!("none; as in `{value}`"),
                None => format!("`{value}`"),
            };
            keys.push(Key { name: name.trim_start_matches('#').to_owned(), default, meaning: comment.join(" ") });
        }
        if !line.starts_with('#') {
            comment.clear();
        }
    }
    sections
}

fn table() -> String {
    let mut text = String::new();
    for (section, keys) in sections() {
        let title = if section.is_empty() { "Outside of sections".to_owned() } else { format!("`{section}`") };
        text.push_str(&format!("\n### {title}\n\n| key | default | what it does |\n| --- | --- | --- |\n"));
        for Key { name, default, meaning } in keys {
            let key = if section.is_empty() { name } else { format!("{section}.{name}") };
            let variable = format!("STARKEEP__{}", key.to_uppercase().replace('.', "__"));
            let cells = [format!("`{key}`<br>`{variable}`"), default, meaning].map(|it| it.replace('|', "\\|"));
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
    }
    text.push('\n');
    text
}

#[test]
fn the_manual_lists_every_key_as_the_defaults_have_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let manual = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = manual.split_once(START).expect("the mark before the keys");
    let (written, after) = rest.split_once(END).expect("the mark behind the keys");
    if std::env::var_os("STARKEEP_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{START}{}{END}{after}", table())).unwrap();
        return;
    }
    assert_eq!(written, table(), "run STARKEEP_WRITE_DOCS=1 cargo test --lib config::reference");
}
