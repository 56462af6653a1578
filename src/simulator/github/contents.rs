//! Single files of the default branch, as GitHub's contents endpoint shows them.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use git2::Repository;
use serde_json::{Value, json};

use super::rest::Answer;

/// GitHub breaks the encoded text into lines of this length.
const LINE: usize = 60;

/// A file, or 404 for what is none.
pub(crate) fn answer(repository: &Path, path: &[&str]) -> Answer {
    file(repository, &path.join("/")).map_or_else(|_| Answer::not_found(), Answer::ok)
}

fn file(repository: &Path, path: &str) -> Result<Value, git2::Error> {
    let repository = Repository::open_bare(repository)?;
    let tree = repository.head()?.peel_to_tree()?;
    let blob = tree.get_path(Path::new(path))?.to_object(&repository)?.peel_to_blob()?;
    let mut encoded = STANDARD.encode(blob.content());
    for at in (LINE..=encoded.len()).step_by(LINE + 1) {
        encoded.insert(at, '\n');
    }
    Ok(json!({
        "type": "file",
        "name": path.rsplit('/').next(),
        "path": path,
        "sha": blob.id().to_string(),
        "size": blob.size(),
        "encoding": "base64",
        "content": encoded,
    }))
}
