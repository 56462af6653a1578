//! Statements that are kept prepared.
//!
//! Diesel prepares raw SQL, every `UPDATE` and most `INSERT`s anew each time they run: another round
//! to Postgres, and another plan in both databases. Where the text is the same each time that is
//! waste. Kept are at most as many as there are distinct texts, so a text that is put together from
//! data must not come here.

use diesel::QueryResult;
use diesel::RunQueryDsl;
use diesel::backend::Backend;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};

/// A statement whose text is the same each time.
pub(super) struct Prepared<Q>(Q);

/// Makes any statement a kept one.
pub(super) trait Prepare: Sized {
    /// Keeps it prepared, by its text.
    fn prepared(self) -> Prepared<Self> {
        Prepared(self)
    }
}

impl<Q: QueryId> Prepare for Q {}

impl<Q, DB> QueryFragment<DB> for Prepared<Q>
where
    Q: QueryFragment<DB>,
    DB: Backend,
{
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q> QueryId for Prepared<Q> {
    type QueryId = ();
    /// So that it is found by its text.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Prepared<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C> RunQueryDsl<C> for Prepared<Q> {}
