//! Lists in pages: stable while rows come and go, because a page starts after a row, not at a number.

use super::error::StoreError;

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Rows at most; taken as 1 to 200.
    pub limit: u32,
    /// What the page before gave as `next`.
    pub cursor: Option<String>,
}

impl Default for Window {
    fn default() -> Self {
        Self { limit: 50, cursor: None }
    }
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The cursor of the page after it, if there is more.
    pub next: Option<String>,
}

/// Rows in a page at most.
const LARGEST: u32 = 200;

impl Window {
    /// How many rows to ask for: one more than wanted tells whether there are more.
    pub(super) fn fetch(&self) -> i64 {
        i64::from(self.limit.clamp(1, LARGEST)) + 1
    }

    /// The row to start after.
    pub(super) fn after<K: std::str::FromStr>(&self) -> Result<Option<K>, StoreError> {
        self.cursor.as_deref().map(str::parse).transpose().map_err(|_| StoreError::Cursor)
    }

    /// Cuts what was fetched to a page.
    pub(super) fn page<R, T, K: ToString>(
        &self,
        mut rows: Vec<R>,
        key: impl Fn(&R) -> K,
        read: impl FnMut(R) -> Result<T, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let wanted = usize::try_from(self.fetch() - 1).unwrap_or(1);
        let more = rows.len() > wanted;
        rows.truncate(wanted);
        let next = rows.last().filter(|_| more).map(|it| key(it).to_string());
        Ok(Page { items: rows.into_iter().map(read).collect::<Result<_, _>>()?, next })
    }
}
