//! `starkeep backup FILE` and `starkeep restore-state FILE`: the database's content as one file.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::NamedTempFile;

use super::{Given, output};
use crate::app;
use crate::store::Store;
use crate::store::backup::Backup;

/// Writes the file beside its place and moves it there when it is whole.
pub(super) async fn write(given: &Given, path: &Path) -> anyhow::Result<u8> {
    let config = given.quiet_config().await?;
    anyhow::ensure!(!path.exists(), "{} is there already; name a file that is not", path.display());
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = NamedTempFile::with_prefix_in(".starkeep-backup-", folder);
    let file = made.with_context(|| format!("no file can be made in {}", folder.display()))?;
    let store = app::open_store(&config).await?;
    let done = store.back_up(file.reopen()?).await?;
    file.persist_noclobber(path).with_context(|| format!("{} cannot be made", path.display()))?;
    std::fs::File::open(folder)?.sync_all()?;
    tell(given, &done, &format!("{} holds", path.display()))
}

/// Reads a file into an empty database.
pub(super) async fn read(given: &Given, path: PathBuf) -> anyhow::Result<u8> {
    let config = given.quiet_config().await?;
    let store = Store::open(&config.database).await?;
    let done = store.restore_state(&path).await?;
    tell(given, &done, "the database holds")
}

fn tell(given: &Given, done: &Backup, what: &str) -> anyhow::Result<u8> {
    if given.json {
        output::json(done)?;
    } else {
        let Backup { head, tables, rows } = done;
        let of = head.made_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        output::line(&format!("{what} {rows} rows of {tables} tables, as of {of}"));
    }
    Ok(0)
}
