//! Times as both databases hold them: RFC 3339 in UTC with six decimals, always 27 characters, so
//! that the order of the texts is the order of the times and nothing is lost on the way back.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::connection::Connection;
use super::error::StoreError;

const FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";

/// A time as text, cut to microseconds.
pub(super) fn text(time: DateTime<Utc>) -> String {
    time.format(FORMAT).to_string()
}

/// A time that need not be there.
pub(super) fn some_text(time: Option<DateTime<Utc>>) -> Option<String> {
    time.map(text)
}

/// A stored time.
pub(super) fn read(text: &str) -> Result<DateTime<Utc>, StoreError> {
    match NaiveDateTime::parse_from_str(text, FORMAT) {
        Ok(time) => Ok(time.and_utc()),
        Err(e) => Err(StoreError::Corrupt(format!("`{}` is no time: {e}", text.escape_debug()))),
    }
}

/// A stored time that need not be there.
pub(super) fn some(text: Option<&str>) -> Result<Option<DateTime<Utc>>, StoreError> {
    text.map(read).transpose()
}

#[derive(QueryableByName)]
struct Told {
    #[diesel(sql_type = Text)]
    at: String,
}

/// What a Postgres server's clock says.
pub(super) fn of_server(c: &mut Connection) -> Result<DateTime<Utc>, StoreError> {
    let sql = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS at";
    let told: Told = diesel::sql_query(sql).get_result(&mut c.db)?;
    read(&told.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_cut_to_microseconds_and_its_text_sorts_as_it_does() {
        let at = |micros| DateTime::from_timestamp_micros(micros).unwrap();
        let mut all = [0, 999_999, 1_000_000, 1_700_000_000_123_456, 1_700_000_000_123_457, 4_000_000_000_000_000];
        for micros in all {
            assert_eq!(read(&text(at(micros))).unwrap(), at(micros));
            assert_eq!(text(at(micros)).len(), 27);
        }
        all.sort_by_key(|it| text(at(*it)));
        assert!(all.is_sorted());
        let fine = DateTime::from_timestamp(5, 1_999).unwrap();
        assert_eq!(read(&text(fine)).unwrap(), DateTime::from_timestamp(5, 1_000).unwrap());
        assert!(read("2024-01-01").is_err());
    }
}
