//! Whose stars are looked at: when next, by which process, and what the last look showed.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::domain::ids::{AccountId, GithubId};
use crate::domain::stars::{Mark, Star};

use super::connection::Connection;
use super::error::StoreError;
use super::schema::star_polls;
use super::{clipped, time};

/// Changes the row of a look, if it is still this process's; says whether it is.
macro_rules! change {
    ($c:expr, $login:expr, $worker:expr, $($change:expr),+ $(,)?) => {
        diesel::update(
            star_polls::table.find($login.to_ascii_lowercase()).filter(star_polls::leased_by.eq($worker)),
        )
        .set(($($change,)+))
        .execute(&mut $c.db)
        .map(|rows| rows == 1)
        .map_err(StoreError::from)
    };
}

/// A user whose stars are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// As the configuration has it, in lower case.
    pub login: String,
    /// Who that is, once GitHub told, and what the account is called now.
    pub account: Option<(AccountId, String)>,
    /// When the next look is due.
    pub next_at: DateTime<Utc>,
    /// Who looks now, and until when that is believed.
    pub lease: Option<(String, DateTime<Utc>)>,
    /// The `ETag` of the last look.
    pub etag: Option<String>,
    /// When GitHub last told the number of stars.
    pub counted_at: Option<DateTime<Utc>>,
    /// What the last look showed; `None` before the whole list was read once.
    pub known: Option<Mark>,
    /// How many more GitHub counts than it lists.
    pub hidden: i64,
    /// The number of the last walk through the whole list.
    pub scan: i64,
    /// The whole list is to be read at the next look.
    pub wants_scan: bool,
    /// When the whole list was last read without being disturbed.
    pub scanned_at: Option<DateTime<Utc>>,
    /// Stars that were withdrawn within a day, and since when that is counted.
    pub gone: Option<(u64, DateTime<Utc>)>,
    /// Stars that a list lacks and that wait for an admin, since when.
    pub held: Option<(u64, DateTime<Utc>)>,
    /// An admin lets the next walk let go as much as it finds.
    pub allows_mass_gone: bool,
    /// The last good look.
    pub polled_at: Option<DateTime<Utc>>,
    /// Looks in a row that failed.
    pub failures: u32,
    /// Code and text of what is wrong, and since when.
    pub error: Option<(String, String, DateTime<Utc>)>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = star_polls)]
struct Row {
    login: String,
    account_id: Option<i64>,
    name: Option<String>,
    next_at: String,
    leased_by: Option<String>,
    lease_until: Option<String>,
    etag: Option<String>,
    counted_at: Option<String>,
    newest_id: Option<i64>,
    newest_at: Option<String>,
    total: Option<i64>,
    hidden: i64,
    scan: i64,
    wants_scan: bool,
    scanned_at: Option<String>,
    gone: i64,
    gone_since: Option<String>,
    held: i64,
    held_since: Option<String>,
    allow_gone: bool,
    polled_at: Option<String>,
    failures: i32,
    error_code: Option<String>,
    error_message: Option<String>,
    error_since: Option<String>,
}

impl TryFrom<Row> for Poll {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let newest = match (row.newest_id, time::some(row.newest_at.as_deref())?) {
            (Some(id), Some(at)) => Some(Star { repository: GithubId(id), at }),
            _ => None,
        };
        let total = row.total.map(|it| u64::try_from(it).unwrap_or_default());
        let counted = |count: i64, since: Option<String>| -> Result<_, StoreError> {
            Ok(time::some(since.as_deref())?.map(|since| (u64::try_from(count).unwrap_or_default(), since)))
        };
        let name = row.name.unwrap_or_else(|| row.login.clone());
        Ok(Self {
            account: row.account_id.map(|id| (AccountId(id), name)),
            login: row.login,
            next_at: time::read(&row.next_at)?,
            lease: row.leased_by.zip(time::some(row.lease_until.as_deref())?),
            etag: row.etag,
            counted_at: time::some(row.counted_at.as_deref())?,
            known: total.map(|total| Mark { newest, total }),
            hidden: row.hidden,
            scan: row.scan,
            wants_scan: row.wants_scan,
            scanned_at: time::some(row.scanned_at.as_deref())?,
            gone: counted(row.gone, row.gone_since)?,
            held: counted(row.held, row.held_since)?,
            allows_mass_gone: row.allow_gone,
            polled_at: time::some(row.polled_at.as_deref())?,
            failures: u32::try_from(row.failures).unwrap_or_default(),
            error: match (row.error_code, time::some(row.error_since.as_deref())?) {
                (Some(code), Some(since)) => Some((code, row.error_message.unwrap_or_default(), since)),
                _ => None,
            },
        })
    }
}

/// Every user that was ever looked at, by login.
///
/// # Errors
/// Those of the database.
pub fn list(c: &mut Connection) -> Result<Vec<Poll>, StoreError> {
    let rows: Vec<Row> = star_polls::table.order(star_polls::login).select(Row::as_select()).load(&mut c.db)?;
    rows.into_iter().map(Poll::try_from).collect()
}

/// One user by the login of the configuration.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, login: &str) -> Result<Option<Poll>, StoreError> {
    let row: Option<Row> =
        star_polls::table.find(login.to_ascii_lowercase()).select(Row::as_select()).first(&mut c.db).optional()?;
    row.map(Poll::try_from).transpose()
}

/// Puts a login on the list, due at once, if it is not there.
///
/// # Errors
/// Those of the database.
pub fn ensure(c: &mut Connection, login: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::sql_query("INSERT INTO star_polls (login, next_at) VALUES ($1, $2) ON CONFLICT (login) DO NOTHING")
        .bind::<Text, _>(login.to_ascii_lowercase())
        .bind::<Text, _>(time::text(now))
        .execute(&mut c.db)?;
    Ok(())
}

/// Makes a look due at once. Says whether the login is on the list.
///
/// # Errors
/// Those of the database.
pub fn hasten(c: &mut Connection, login: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let row = star_polls::table.find(login.to_ascii_lowercase());
    Ok(diesel::update(row).set(star_polls::next_at.eq(time::text(now))).execute(&mut c.db)? == 1)
}

/// Takes a look that is due for one process; `None` when somebody else has it or it is not due.
///
/// # Errors
/// Those of the database.
pub fn claim(
    c: &mut Connection,
    login: &str,
    worker: &str,
    lease: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Option<Poll>, StoreError> {
    let free = star_polls::lease_until.is_null().or(star_polls::lease_until.lt(time::text(now)));
    let row = star_polls::table.find(login.to_ascii_lowercase()).filter(star_polls::next_at.le(time::text(now)));
    let claimed = diesel::update(row.filter(free))
        .set((star_polls::leased_by.eq(Some(worker)), star_polls::lease_until.eq(Some(time::text(now + lease)))))
        .execute(&mut c.db)?;
    if claimed == 1 { find(c, login) } else { Ok(None) }
}

/// Prolongs the lease; `false` when somebody else has it by now.
///
/// # Errors
/// Those of the database.
pub fn renew(c: &mut Connection, login: &str, worker: &str, until: DateTime<Utc>) -> Result<bool, StoreError> {
    change!(c, login, worker, star_polls::lease_until.eq(Some(time::text(until))))
}

/// Gives the lease back; the look is due again at `next_at`. `false` when somebody else has it by now.
///
/// # Errors
/// Those of the database.
pub fn release(c: &mut Connection, login: &str, worker: &str, next_at: DateTime<Utc>) -> Result<bool, StoreError> {
    change!(
        c,
        login,
        worker,
        star_polls::next_at.eq(time::text(next_at)),
        star_polls::leased_by.eq(None::<String>),
        star_polls::lease_until.eq(None::<String>),
    )
}

/// Gives every lease back whose holder's name starts with `prefix`: its process is known to be gone.
///
/// # Errors
/// Those of the database.
pub fn free_held_by(c: &mut Connection, prefix: &str) -> Result<(), StoreError> {
    let held = star_polls::table.filter(star_polls::leased_by.like(format!("{prefix}%")));
    let free = (star_polls::leased_by.eq(None::<String>), star_polls::lease_until.eq(None::<String>));
    diesel::update(held).set(free).execute(&mut c.db)?;
    Ok(())
}

/// Remembers whom the login leads to, and what the account is called now.
///
/// # Errors
/// Those of the database.
pub fn set_account(
    c: &mut Connection,
    login: &str,
    worker: &str,
    account: AccountId,
    name: &str,
) -> Result<bool, StoreError> {
    change!(c, login, worker, star_polls::account_id.eq(Some(account.0)), star_polls::name.eq(Some(name)))
}

/// Begins a walk through the whole list under a new number.
///
/// # Errors
/// Those of the database.
pub fn begin_scan(c: &mut Connection, login: &str, worker: &str, scan: i64) -> Result<bool, StoreError> {
    change!(c, login, worker, star_polls::scan.eq(scan), star_polls::wants_scan.eq(true))
}

/// A walk came to its end undisturbed.
///
/// # Errors
/// Those of the database.
pub fn end_scan(
    c: &mut Connection,
    login: &str,
    worker: &str,
    hidden: i64,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    change!(
        c,
        login,
        worker,
        star_polls::scanned_at.eq(Some(time::text(now))),
        star_polls::wants_scan.eq(false),
        star_polls::hidden.eq(hidden),
    )
}

/// Counts what was withdrawn within a day that began at `since`. An admin's word is used up.
///
/// # Errors
/// Those of the database.
pub fn count_gone(
    c: &mut Connection,
    login: &str,
    worker: &str,
    gone: u64,
    since: DateTime<Utc>,
) -> Result<bool, StoreError> {
    change!(
        c,
        login,
        worker,
        star_polls::gone.eq(i64::try_from(gone).unwrap_or(i64::MAX)),
        star_polls::gone_since.eq(Some(time::text(since))),
        star_polls::held.eq(0),
        star_polls::held_since.eq(None::<String>),
        star_polls::allow_gone.eq(false),
    )
}

/// So many stars are not let go before an admin says so. Says whether that is news.
///
/// # Errors
/// Those of the database.
pub fn hold(c: &mut Connection, login: &str, worker: &str, held: u64, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let Some(before) = find(c, login)? else { return Ok(false) };
    let since = before.held.map_or(now, |it| it.1);
    let changed = change!(
        c,
        login,
        worker,
        star_polls::held.eq(i64::try_from(held).unwrap_or(i64::MAX)),
        star_polls::held_since.eq(Some(time::text(since))),
    )?;
    Ok(changed && before.held.is_none())
}

/// An admin lets the next walk let go as much as it finds; it is due at once. Says whether the login is on
/// the list.
///
/// # Errors
/// Those of the database.
pub fn allow_mass_gone(c: &mut Connection, login: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let row = star_polls::table.find(login.to_ascii_lowercase());
    let changes =
        (star_polls::allow_gone.eq(true), star_polls::wants_scan.eq(true), star_polls::next_at.eq(time::text(now)));
    Ok(diesel::update(row).set(changes).execute(&mut c.db)? == 1)
}

/// Remembers what the top of the list showed, once everything above the last known has been dealt with.
///
/// # Errors
/// Those of the database.
pub fn set_known(
    c: &mut Connection,
    login: &str,
    worker: &str,
    known: &Mark,
    etag: Option<&str>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    change!(
        c,
        login,
        worker,
        star_polls::newest_id.eq(known.newest.map(|it| it.repository.0)),
        star_polls::newest_at.eq(time::some_text(known.newest.map(|it| it.at))),
        star_polls::total.eq(Some(i64::try_from(known.total).unwrap_or(i64::MAX))),
        star_polls::etag.eq(etag),
        star_polls::counted_at.eq(Some(time::text(now))),
    )
}

/// A look went well.
///
/// # Errors
/// Those of the database.
pub fn succeeded(c: &mut Connection, login: &str, worker: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    change!(
        c,
        login,
        worker,
        star_polls::polled_at.eq(Some(time::text(now))),
        star_polls::failures.eq(0),
        star_polls::error_code.eq(None::<String>),
        star_polls::error_message.eq(None::<String>),
        star_polls::error_since.eq(None::<String>),
    )
}

/// A look failed; `since` stays while the reason does. Says whether the reason is a new one.
///
/// # Errors
/// Those of the database.
pub fn failed(
    c: &mut Connection,
    login: &str,
    worker: &str,
    error: (&str, &str),
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let Some(before) = find(c, login)? else { return Ok(false) };
    let (code, message) = error;
    let known = before.error.as_ref().filter(|it| it.0 == code).map(|it| it.2);
    let failures = i32::try_from(before.failures.saturating_add(1)).unwrap_or(i32::MAX);
    let changed = change!(
        c,
        login,
        worker,
        star_polls::failures.eq(failures),
        star_polls::error_code.eq(Some(code)),
        star_polls::error_message.eq(Some(clipped(message))),
        star_polls::error_since.eq(Some(time::text(known.unwrap_or(now)))),
    )?;
    Ok(changed && known.is_none())
}

/// Whether the lease is still this process's.
///
/// # Errors
/// Those of the database.
pub fn is_held(c: &mut Connection, login: &str, worker: &str) -> Result<bool, StoreError> {
    let its = star_polls::table.find(login.to_ascii_lowercase()).filter(star_polls::leased_by.eq(worker));
    Ok(diesel::select(diesel::dsl::exists(its)).get_result(&mut c.db)?)
}
