//! Deliveries that are taken once more.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::domain::ids::CorrelationId;

use super::connection::Connection;
use super::deliveries::{Outcome, state_of};
use super::error::StoreError;
use super::page::{Page, Window};
use super::schema::{deliveries, delivery_jobs};
use super::time;

/// Deliveries that arrived in a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// At this time or later.
    pub from: DateTime<Utc>,
    /// Before this time.
    pub to: DateTime<Utc>,
    /// Only of this event.
    pub event: Option<String>,
}

/// Their GUIDs, the first recorded first: what they tell of happened in that order.
///
/// # Errors
/// [`StoreError::Cursor`]; those of the database.
pub fn within(c: &mut Connection, range: &Range, window: &Window) -> Result<Page<String>, StoreError> {
    let mut query = deliveries::table
        .select((deliveries::id, deliveries::guid))
        .filter(deliveries::received_at.ge(time::text(range.from)))
        .filter(deliveries::received_at.lt(time::text(range.to)))
        .into_boxed();
    if let Some(event) = &range.event {
        query = query.filter(deliveries::event.eq(event.clone()));
    }
    if let Some(after) = window.after::<i64>()? {
        query = query.filter(deliveries::id.gt(after));
    }
    let rows: Vec<(i64, String)> = query.order(deliveries::id).limit(window.fetch()).load(&mut c.db)?;
    window.page(rows, |it| it.0, |it| Ok(it.1))
}

/// A delivery is on its way again, as if it had just arrived; its jobs of before do not count for it any more. When
/// it arrived stays.
///
/// # Errors
/// Those of the database.
pub fn reopen(c: &mut Connection, guid: &str, outcome: Outcome, correlation: CorrelationId) -> Result<(), StoreError> {
    let correlation = correlation.to_string();
    diesel::update(deliveries::table.filter(deliveries::guid.eq(guid)))
        .set((
            deliveries::state.eq(state_of(outcome).as_str()),
            deliveries::outcome.eq(outcome.as_str()),
            deliveries::correlation_id.eq(correlation),
        ))
        .execute(&mut c.db)?;
    diesel::delete(delivery_jobs::table.filter(delivery_jobs::guid.eq(guid))).execute(&mut c.db)?;
    Ok(())
}
