//! Star lists: when each user's were read, what is in them, and the labels they gave to projects in OneDev.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::domain::ids::{AccountId, GithubId, MirrorId, ProjectId};
use crate::domain::star_lists::{self as rules, Membership, StarList};

use super::connection::Connection;
use super::error::StoreError;
use super::prepared::Prepare as _;
use super::schema::{list_labels, list_news, list_readings, star_listed, star_lists};
use super::{clipped, settings, time};

/// The setting that whoever gives out folders writes to, so that one does so at a time.
const FOLDERS: &str = "list_folders";

/// How the reading of a user's lists stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Whose.
    pub account: AccountId,
    /// The last whole reading.
    pub read_at: Option<DateTime<Utc>>,
    /// When the next one is due.
    pub next_at: DateTime<Utc>,
    /// Readings in a row that failed.
    pub failures: u32,
    /// Code and text of what is wrong, and since when.
    pub error: Option<(String, String, DateTime<Utc>)>,
}

/// A label that a list gave to a mirror's project.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = list_labels)]
pub struct Label {
    /// Its name in OneDev.
    pub name: String,
    /// OneDev's id of the label.
    pub spec_id: i64,
    /// The project that has it.
    pub project_id: i64,
    /// It was not there before.
    pub ours: bool,
    /// False while it is about to be put there.
    pub is_there: bool,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = list_readings)]
struct ReadingRow {
    account_id: i64,
    read_at: Option<String>,
    next_at: String,
    failures: i32,
    error_code: Option<String>,
    error_message: Option<String>,
    error_since: Option<String>,
}

impl TryFrom<ReadingRow> for Reading {
    type Error = StoreError;

    fn try_from(row: ReadingRow) -> Result<Self, StoreError> {
        let since = time::some(row.error_since.as_deref())?;
        Ok(Self {
            account: AccountId(row.account_id),
            read_at: time::some(row.read_at.as_deref())?,
            next_at: time::read(&row.next_at)?,
            failures: u32::try_from(row.failures).unwrap_or_default(),
            error: row.error_code.zip(since).map(|(code, at)| (code, row.error_message.unwrap_or_default(), at)),
        })
    }
}

#[derive(Queryable, Selectable, Insertable, Clone)]
#[diesel(table_name = star_lists)]
struct ListRow {
    account_id: i64,
    list_id: String,
    place: i32,
    name: String,
    slug: String,
    private: bool,
    folder: String,
}

/// How the reading of every user's lists stands.
///
/// # Errors
/// Those of the database.
pub fn readings(c: &mut Connection) -> Result<Vec<Reading>, StoreError> {
    let rows: Vec<ReadingRow> =
        list_readings::table.order(list_readings::account_id).select(ReadingRow::as_select()).load(&mut c.db)?;
    rows.into_iter().map(Reading::try_from).collect()
}

/// The same for one user; `None` before anybody tried.
///
/// # Errors
/// Those of the database.
pub fn reading(c: &mut Connection, account: AccountId) -> Result<Option<Reading>, StoreError> {
    let row: Option<ReadingRow> =
        list_readings::table.find(account.0).select(ReadingRow::as_select()).first(&mut c.db).optional()?;
    row.map(Reading::try_from).transpose()
}

/// Makes the next reading due at once.
///
/// # Errors
/// Those of the database.
pub fn hasten(c: &mut Connection, account: AccountId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let row = list_readings::table.find(account.0);
    diesel::update(row).set(list_readings::next_at.eq(time::text(now))).execute(&mut c.db)?;
    Ok(())
}

/// Writes down that a reading failed. Says whether that is news.
///
/// # Errors
/// Those of the database.
pub fn failed(
    c: &mut Connection,
    account: AccountId,
    (code, message): (&str, &str),
    next_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    ensure(c, account, now)?;
    let known = reading(c, account)?;
    let (failures, error) = known.map_or((0, None), |it| (it.failures, it.error));
    let since = error.as_ref().filter(|it| it.0 == code).map(|it| it.2);
    diesel::update(list_readings::table.find(account.0))
        .set((
            list_readings::next_at.eq(time::text(next_at)),
            list_readings::failures.eq(i32::try_from(failures.saturating_add(1)).unwrap_or(i32::MAX)),
            list_readings::error_code.eq(Some(code)),
            list_readings::error_message.eq(Some(clipped(message))),
            list_readings::error_since.eq(Some(time::text(since.unwrap_or(now)))),
        ))
        .execute(&mut c.db)?;
    Ok(since.is_none())
}

/// Waits, as GitHub asked for; what was wrong before still is.
///
/// # Errors
/// Those of the database.
pub fn postpone(
    c: &mut Connection,
    account: AccountId,
    next_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    ensure(c, account, now)?;
    let row = list_readings::table.find(account.0);
    diesel::update(row).set(list_readings::next_at.eq(time::text(next_at))).execute(&mut c.db)?;
    Ok(())
}

fn ensure(c: &mut Connection, account: AccountId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let sql = "INSERT INTO list_readings (account_id, next_at) VALUES ($1, $2) ON CONFLICT (account_id) DO NOTHING";
    diesel::sql_query(sql).bind::<BigInt, _>(account.0).bind::<Text, _>(time::text(now)).execute(&mut c.db)?;
    Ok(())
}

/// The lists of a user, as they were last read, in their order.
///
/// # Errors
/// Those of the database.
pub fn of_account(c: &mut Connection, account: AccountId) -> Result<Vec<StarList>, StoreError> {
    let rows = rows_of(c, account)?;
    let items: Vec<(String, i64)> = star_listed::table
        .filter(star_listed::account_id.eq(account.0))
        .select((star_listed::list_id, star_listed::github_id))
        .load(&mut c.db)?;
    let mut by_list: BTreeMap<String, BTreeSet<GithubId>> = BTreeMap::new();
    for (list, id) in items {
        by_list.entry(list).or_default().insert(GithubId(id));
    }
    let list = |row: ListRow| StarList {
        items: by_list.remove(&row.list_id).unwrap_or_default(),
        id: row.list_id,
        name: row.name,
        slug: row.slug,
        private: row.private,
    };
    Ok(rows.into_iter().map(list).collect())
}

fn rows_of(c: &mut Connection, account: AccountId) -> Result<Vec<ListRow>, StoreError> {
    let rows = star_lists::table.filter(star_lists::account_id.eq(account.0)).order(star_lists::place);
    Ok(rows.select(ListRow::as_select()).load(&mut c.db)?)
}

/// Takes a whole reading over. Repositories whose lists are others than before, or lie elsewhere, go onto the list
/// of news; says how many those are.
///
/// # Errors
/// Those of the database.
pub fn take(
    c: &mut Connection,
    account: AccountId,
    read: &[StarList],
    as_owner: bool,
    next_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<usize, StoreError> {
    let known = of_account(c, account)?;
    let next = rules::merged(&known, read, as_owner);
    let changed = if next == known { BTreeSet::new() } else { replace(c, account, &known, &next)? };
    for id in &changed {
        diesel::sql_query("INSERT INTO list_news (github_id) VALUES ($1) ON CONFLICT (github_id) DO NOTHING")
            .bind::<BigInt, _>(id.0)
            .prepared()
            .execute(&mut c.db)?;
    }
    ensure(c, account, now)?;
    diesel::update(list_readings::table.find(account.0))
        .set((
            list_readings::read_at.eq(Some(time::text(now))),
            list_readings::next_at.eq(time::text(next_at)),
            list_readings::failures.eq(0),
            list_readings::error_code.eq(None::<String>),
            list_readings::error_message.eq(None::<String>),
            list_readings::error_since.eq(None::<String>),
        ))
        .execute(&mut c.db)?;
    Ok(changed.len())
}

/// What a list means to what is in it.
type Meaning = (i32, String, String);

fn meanings(rows: &[ListRow], lists: &[StarList]) -> BTreeMap<GithubId, Vec<Meaning>> {
    let mut all: BTreeMap<GithubId, Vec<Meaning>> = BTreeMap::new();
    for (row, list) in rows.iter().zip(lists) {
        for id in &list.items {
            all.entry(*id).or_default().push((row.place, row.folder.clone(), row.name.clone()));
        }
    }
    all
}

fn replace(
    c: &mut Connection,
    account: AccountId,
    known: &[StarList],
    next: &[StarList],
) -> Result<BTreeSet<GithubId>, StoreError> {
    // Two users' readings at once would give a name two folders: the second waits for the first.
    settings::set(c, FOLDERS, "")?;
    let before = rows_of(c, account)?;
    let rows = placed(c, account, &before, next)?;
    let (was, is) = (meanings(&before, known), meanings(&rows, next));
    diesel::delete(star_listed::table.filter(star_listed::account_id.eq(account.0))).execute(&mut c.db)?;
    diesel::delete(star_lists::table.filter(star_lists::account_id.eq(account.0))).execute(&mut c.db)?;
    for (row, list) in rows.into_iter().zip(next) {
        diesel::insert_into(star_lists::table).values(row).execute(&mut c.db)?;
        for id in &list.items {
            diesel::sql_query("INSERT INTO star_listed (account_id, list_id, github_id) VALUES ($1, $2, $3)")
                .bind::<BigInt, _>(account.0)
                .bind::<Text, _>(list.id.clone())
                .bind::<BigInt, _>(id.0)
                .prepared()
                .execute(&mut c.db)?;
        }
    }
    let ids = was.keys().chain(is.keys());
    Ok(ids.filter(|id| was.get(id) != is.get(id)).copied().collect())
}

/// Gives every list its place and its folder; a name that is in use keeps the folder it has.
fn placed(
    c: &mut Connection,
    account: AccountId,
    before: &[ListRow],
    next: &[StarList],
) -> Result<Vec<ListRow>, StoreError> {
    let others: Vec<(String, String)> = star_lists::table
        .filter(star_lists::account_id.ne(account.0))
        .order((star_lists::account_id, star_lists::place))
        .select((star_lists::name, star_lists::folder))
        .load(&mut c.db)?;
    let names: BTreeSet<String> = next.iter().map(|it| rules::key(&it.name)).collect();
    let mine = before.iter().map(|it| (it.name.clone(), it.folder.clone()));
    let mine = mine.filter(|(name, _)| names.contains(&rules::key(name)));
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for (name, folder) in others.into_iter().chain(mine) {
        taken.entry(rules::key(&name)).or_insert(folder);
    }
    let row = |(place, list): (usize, &StarList)| {
        let folder = rules::folder(&list.name, &taken);
        taken.insert(rules::key(&list.name), folder.clone());
        ListRow {
            account_id: account.0,
            list_id: list.id.clone(),
            place: i32::try_from(place).unwrap_or(i32::MAX),
            name: list.name.clone(),
            slug: list.slug.clone(),
            private: list.private,
            folder,
        }
    };
    Ok(next.iter().enumerate().map(row).collect())
}

/// The lists that a repository is in, of all users.
///
/// # Errors
/// Those of the database.
pub fn of_repository(c: &mut Connection, repository: GithubId) -> Result<Vec<Membership>, StoreError> {
    let same = star_lists::account_id.eq(star_listed::account_id).and(star_lists::list_id.eq(star_listed::list_id));
    let rows: Vec<ListRow> = star_lists::table
        .inner_join(star_listed::table.on(same))
        .filter(star_listed::github_id.eq(repository.0))
        .order((star_lists::account_id, star_lists::place))
        .select(ListRow::as_select())
        .load(&mut c.db)?;
    let membership = |it: ListRow| Membership {
        account: AccountId(it.account_id),
        place: it.place,
        name: it.name,
        slug: it.slug,
        private: it.private,
        folder: it.folder,
    };
    Ok(rows.into_iter().map(membership).collect())
}

/// Some of the repositories whose mirrors were not told yet that their lists changed.
///
/// # Errors
/// Those of the database.
pub fn news(c: &mut Connection, most: u32) -> Result<Vec<GithubId>, StoreError> {
    let ids = list_news::table.order(list_news::github_id).limit(most.into()).select(list_news::github_id);
    Ok(ids.load::<i64>(&mut c.db)?.into_iter().map(GithubId).collect())
}

/// A mirror was told.
///
/// # Errors
/// Those of the database.
pub fn told(c: &mut Connection, repository: GithubId) -> Result<(), StoreError> {
    diesel::delete(list_news::table.find(repository.0)).execute(&mut c.db)?;
    Ok(())
}

/// Labels that lists gave to a mirror's project.
///
/// # Errors
/// Those of the database.
pub fn labels(c: &mut Connection, mirror: MirrorId) -> Result<Vec<Label>, StoreError> {
    let rows = list_labels::table.filter(list_labels::mirror_id.eq(mirror.to_string())).order(list_labels::name);
    Ok(rows.select(Label::as_select()).load(&mut c.db)?)
}

/// Remembers a label, about to be put on the project or there already.
///
/// # Errors
/// Those of the database.
pub fn set_label(c: &mut Connection, mirror: MirrorId, label: &Label) -> Result<(), StoreError> {
    forget_label(c, mirror, &label.name)?;
    diesel::insert_into(list_labels::table)
        .values((
            list_labels::mirror_id.eq(mirror.to_string()),
            list_labels::name.eq(&label.name),
            list_labels::spec_id.eq(label.spec_id),
            list_labels::project_id.eq(label.project_id),
            list_labels::ours.eq(label.ours),
            list_labels::is_there.eq(label.is_there),
        ))
        .execute(&mut c.db)?;
    Ok(())
}

/// Forgets a label.
///
/// # Errors
/// Those of the database.
pub fn forget_label(c: &mut Connection, mirror: MirrorId, name: &str) -> Result<(), StoreError> {
    diesel::delete(list_labels::table.find((mirror.to_string(), name.to_owned()))).execute(&mut c.db)?;
    Ok(())
}

impl Label {
    /// Whether it stands on this project.
    pub fn is_on(&self, project: ProjectId) -> bool {
        self.is_there && self.project_id == project.0
    }
}
