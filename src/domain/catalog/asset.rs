//! Files that hang on items: a release's assets, and what people attached to their texts.
//!
//! They go into OneDev as LFS objects; in the tree stand pointers to them.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::item::Kind;
use crate::domain::lfs::LfsOid;

/// Files of one item that are looked at; a text with more is no text.
const MOST: usize = 200;
/// Characters of a name.
const LONGEST_NAME: usize = 120;

/// A file that hangs on an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// What it hangs on.
    pub kind: Kind,
    /// Which of these.
    pub id: i64,
    /// The thread's number or the release's id.
    pub number: i64,
    /// Which among the item's: GitHub's id of an asset, or a hash of an attachment's address.
    pub key: String,
    /// Its name in the tree.
    pub name: String,
    /// Where it is: empty for an asset, which is asked for by its id.
    pub url: String,
    /// Its size in bytes, where GitHub tells it.
    pub size: Option<u64>,
    /// Its SHA-256, where GitHub tells it.
    pub digest: Option<LfsOid>,
}

/// A release's assets that are whole.
pub fn of_release(release: &Value) -> Vec<Asset> {
    let id = release.get("id").and_then(Value::as_i64).unwrap_or_default();
    let assets = release.get("assets").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let read = |asset: &Value| {
        let text = |field: &str| asset.get(field).and_then(Value::as_str);
        // Others are still being uploaded, or never were.
        if text("state").is_some_and(|it| it != "uploaded") {
            return None;
        }
        let key = asset.get("id").and_then(Value::as_i64).filter(|it| *it > 0)?.to_string();
        let digest = text("digest").and_then(|it| it.strip_prefix("sha256:")).and_then(|it| it.parse().ok());
        let name = file_name(text("name")?, &key);
        let size = asset.get("size").and_then(Value::as_u64);
        Some(Asset { kind: Kind::Release, id, number: id, key, name, url: String::new(), size, digest })
    };
    assets.iter().filter_map(read).take(MOST).collect()
}

/// Attachments that a text names and that GitHub serves. `git` is the base of GitHub's pages.
pub fn in_text(kind: Kind, id: i64, number: i64, text: &str, git: &Url) -> Vec<Asset> {
    let mut found: Vec<Asset> = Vec::new();
    for (at, _) in text.match_indices("http") {
        let rest = text.get(at..).unwrap_or_default();
        let end =
            rest.find(|c: char| c.is_whitespace() || matches!(c, ')' | ']' | '>' | '<' | '"' | '\'' | '`' | '\\'));
        // What ends a sentence is no part of an address in it.
        let address = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let address = address.trim_end_matches(['.', ',', ';', ':', '!', '?']);
        let Some(url) = Url::parse(address).ok().filter(|it| is_attachment(it, git)) else { continue };
        let key: String = hex::encode(Sha256::digest(url.as_str().as_bytes())).chars().take(16).collect();
        if found.len() < MOST && found.iter().all(|it| it.key != key) {
            let last = url.path_segments().and_then(|mut it| it.next_back()).unwrap_or_default();
            let name = format!("{key}-{}", legal(last));
            found.push(Asset { kind, id, number, key, name, url: url.into(), size: None, digest: None });
        }
    }
    found
}

/// Whether GitHub keeps attachments at this address.
pub fn is_attachment(url: &Url, git: &Url) -> bool {
    if !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    if url.scheme() == "https" && url.host_str() == Some("user-images.githubusercontent.com") {
        return true;
    }
    let segments: Vec<&str> = url.path_segments().map(Iterator::collect).unwrap_or_default();
    let known = match segments.as_slice() {
        ["user-attachments", "assets" | "files", _, ..] => true,
        [_, _, "assets" | "files", number, _] => number.bytes().all(|b| b.is_ascii_digit()),
        _ => false,
    };
    known && url.origin() == git.origin()
}

/// A name that is legal in a tree. One that had to be changed carries the key, so that no two are the same.
fn file_name(name: &str, key: &str) -> String {
    let cut = legal(name);
    if cut == name && !name.starts_with('.') && !name.is_empty() { cut } else { format!("{key}-{cut}") }
}

fn legal(name: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    name.chars().map(|c| if legal(c) { c } else { '_' }).take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn git() -> Url {
        Url::parse("https://github.com").unwrap()
    }

    #[test]
    fn assets_that_are_whole_are_found_with_their_digests() {
        let sum = LfsOid::of(b"x").to_string();
        let release = json!({ "id": 7, "assets": [
            { "id": 1, "name": "a.zip", "state": "uploaded", "size": 1, "digest": format!("sha256:{sum}") },
            { "id": 2, "name": "../b", "size": 5, "digest": null },
            { "id": 3, "name": "c", "state": "starter" },
        ] });
        let found = of_release(&release);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].digest), ("a.zip", Some(LfsOid::of(b"x"))));
        assert_eq!((found[1].name.as_str(), found[1].digest), ("2-.._b", None));
    }

    #[test]
    fn only_what_github_keeps_is_an_attachment() {
        let text = "![a](https://github.com/user-attachments/assets/0a1b) https://evil.example/user-attachments/assets/1 \
            <img src=\"https://user-images.githubusercontent.com/1/2.png\"> https://github.com/o/r/files/12/log.txt, \
            https://github.com/o/r/issues/1 https://user:pw@github.com/user-attachments/assets/2 \
            https://github.com/user-attachments/assets/0a1b";
        let found: Vec<String> = in_text(Kind::Issue, 1, 1, text, &git()).into_iter().map(|it| it.url).collect();
        assert_eq!(
            found,
            [
                "https://github.com/user-attachments/assets/0a1b",
                "https://user-images.githubusercontent.com/1/2.png",
                "https://github.com/o/r/files/12/log.txt",
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_survived_and_every_name_is_legal(text in "(http|https://github.com/user-attachments/files/|.){0,40}") {
            for it in in_text(Kind::Comment, 1, 1, &text, &git()) {
                prop_assert!(!it.name.starts_with('.') && !it.name.contains('/') && it.name.len() < 160);
            }
        }
    }
}
