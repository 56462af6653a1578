//! Every item that GitHub was seen to hold.
//!
//! The JSON is held beside the tree in OneDev, so that the page of an issue can be written when one of
//! its comments changes, without reading the others from anywhere.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::assets;
use crate::domain::catalog::asset::Asset;
use crate::domain::catalog::{Item, Kind, Unit};
use crate::domain::ids::MirrorId;
use crate::domain::refs::Oid;
use crate::store::connection::Connection;
use crate::store::error::StoreError;
use crate::store::mirrors::oid;
use crate::store::prepared::Prepare as _;
use crate::store::schema::catalog_items;

/// An item's JSON has some kilobytes; GitHub's own limits keep it below this. Bytes.
const LARGEST_TEXT: u64 = 64 << 20;
/// GitHub closes a thread at 2,500 comments.
const MOST_OF_A_UNIT: i64 = 20_000;

/// An item, ready to be stored: packed before the transaction begins.
#[derive(Debug, Clone)]
pub struct Packed {
    /// What it is, without its text.
    kind: Kind,
    id: i64,
    number: i64,
    oid: Oid,
    unit: Unit,
    is_pull: bool,
    body: Vec<u8>,
    files: Vec<Asset>,
}

impl Packed {
    /// Packs an item and the files that hang on it.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if it cannot be packed, which needs no more than memory.
    pub fn new(item: &Item, files: Vec<Asset>) -> Result<Self, StoreError> {
        let refused = |e: std::io::Error| StoreError::Refused(e.to_string());
        let mut zlib = ZlibEncoder::new(Vec::with_capacity(item.text.len() / 3), Compression::fast());
        zlib.write_all(item.text.as_bytes()).map_err(refused)?;
        let body = zlib.finish().map_err(refused)?;
        let Item { kind, id, number, oid, is_pull, .. } = *item;
        Ok(Self { kind, id, number, oid, unit: item.unit(), is_pull, body, files })
    }

    /// What it is written in.
    pub fn unit(&self) -> Unit {
        self.unit
    }
}

/// What a page changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// What must be written anew.
    pub units: Vec<Unit>,
    /// Pull requests among it whose other side and reviews may have changed too.
    pub pulls: Vec<i64>,
}

/// An item out of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What it is.
    pub kind: Kind,
    /// Which.
    pub id: i64,
    /// Its text's name.
    pub oid: Oid,
    /// That very text stands in OneDev.
    pub is_published: bool,
    /// Its JSON.
    pub text: String,
}

/// Kind, id, oid, published, body.
type Row = (String, i64, String, Option<String>, Vec<u8>);

/// Stores a page of items of one kind; all of them count as seen in this round.
///
/// # Errors
/// Those of the database.
pub fn put(
    c: &mut Connection,
    mirror: MirrorId,
    generation: i64,
    kind: Kind,
    items: &[Packed],
) -> Result<Changed, StoreError> {
    let ids: Vec<i64> = items.iter().map(|it| it.id).collect();
    let its = || {
        catalog_items::table
            .filter(catalog_items::mirror_id.eq(mirror.to_string()))
            .filter(catalog_items::kind.eq(kind.as_str()))
    };
    let known: Vec<(i64, String)> =
        its().filter(catalog_items::id.eq_any(&ids)).select((catalog_items::id, catalog_items::oid)).load(&mut c.db)?;
    let known: BTreeMap<i64, String> = known.into_iter().collect();
    let is_known = |it: &&Packed| known.get(&it.id).is_some_and(|oid| *oid == it.oid.to_string());
    let (same, new): (Vec<&Packed>, Vec<&Packed>) = items.iter().partition(is_known);
    let same: Vec<i64> = same.iter().map(|it| it.id).collect();
    if !same.is_empty() {
        diesel::update(its().filter(catalog_items::id.eq_any(same)))
            .set((catalog_items::generation.eq(generation), catalog_items::missed.eq(false)))
            .execute(&mut c.db)?;
    }
    let mut changed = Changed::default();
    for item in new {
        upsert(c, mirror, generation, item)?;
        if !item.files.is_empty() || known.contains_key(&item.id) {
            assets::replace(c, mirror, kind, item.id, &item.files)?;
        }
        changed.units.push(item.unit);
        if item.is_pull || item.kind == Kind::Pull {
            changed.pulls.push(item.number);
        }
    }
    Ok(changed)
}

fn upsert(c: &mut Connection, mirror: MirrorId, generation: i64, item: &Packed) -> Result<(), StoreError> {
    let sql = "INSERT INTO catalog_items (mirror_id, kind, id, number, oid, generation, missed, body) \
               VALUES ($1, $2, $3, $4, $5, $6, FALSE, $7) \
               ON CONFLICT (mirror_id, kind, id) DO UPDATE SET number = excluded.number, oid = excluded.oid, \
               generation = excluded.generation, missed = FALSE, body = excluded.body";
    diesel::sql_query(sql)
        .bind::<Text, _>(mirror.to_string())
        .bind::<Text, _>(item.kind.as_str())
        .bind::<BigInt, _>(item.id)
        .bind::<BigInt, _>(item.number)
        .bind::<Text, _>(item.oid.to_string())
        .bind::<BigInt, _>(generation)
        .bind::<Binary, _>(item.body.clone())
        .prepared()
        .execute(&mut c.db)?;
    Ok(())
}

/// The items that a unit is made of, in the order of kind and id.
///
/// # Errors
/// Those of the database; [`StoreError::Corrupt`] for a text that cannot be unpacked.
pub fn of(c: &mut Connection, mirror: MirrorId, unit: Unit) -> Result<Vec<Stored>, StoreError> {
    let kinds: Vec<&str> = unit.kinds().iter().map(|it| it.as_str()).collect();
    let mut rows: Vec<Row> = catalog_items::table
        .filter(catalog_items::mirror_id.eq(mirror.to_string()))
        .filter(catalog_items::number.eq(unit.parts().1))
        .filter(catalog_items::kind.eq_any(kinds))
        .select((
            catalog_items::kind,
            catalog_items::id,
            catalog_items::oid,
            catalog_items::published,
            catalog_items::body,
        ))
        .limit(MOST_OF_A_UNIT)
        .load(&mut c.db)?;
    // Sorted here: asked for that order, SQLite walks all comments of a repository in it for each of its threads.
    rows.sort_unstable_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    rows.into_iter()
        .map(|(kind, id, name, published, body)| {
            let is_published = published.as_deref() == Some(name.as_str());
            Ok(Stored { kind: kind.parse()?, id, oid: oid(&name)?, is_published, text: unpack(&body)? })
        })
        .collect()
}

fn unpack(body: &[u8]) -> Result<String, StoreError> {
    let mut text = String::new();
    let read = ZlibDecoder::new(body).take(LARGEST_TEXT).read_to_string(&mut text);
    read.map_err(|e| StoreError::Corrupt(format!("an item of a catalog: {e}")))?;
    Ok(text)
}

/// These units stand in OneDev as they are here.
///
/// # Errors
/// Those of the database.
pub fn mark_published(c: &mut Connection, mirror: MirrorId, units: &[Unit]) -> Result<(), StoreError> {
    for unit in units {
        let kinds: Vec<&str> = unit.kinds().iter().map(|it| it.as_str()).collect();
        let its = catalog_items::table
            .filter(catalog_items::mirror_id.eq(mirror.to_string()))
            .filter(catalog_items::number.eq(unit.parts().1))
            .filter(catalog_items::kind.eq_any(kinds));
        diesel::update(its).set(catalog_items::published.eq(catalog_items::oid.nullable())).execute(&mut c.db)?;
    }
    Ok(())
}

/// What a complete list of one kind did not show in this round goes; with `twice` only what the one
/// before did not show either. With an issue goes all that belongs to it. Gives what must be written anew.
///
/// # Errors
/// Those of the database.
pub fn settle_unseen(
    c: &mut Connection,
    mirror: MirrorId,
    kind: Kind,
    generation: i64,
    twice: bool,
) -> Result<Vec<Unit>, StoreError> {
    let its = || {
        catalog_items::table
            .filter(catalog_items::mirror_id.eq(mirror.to_string()))
            .filter(catalog_items::kind.eq(kind.as_str()))
            .filter(catalog_items::generation.lt(generation))
    };
    let mut gone: Vec<(i64, i64, bool)> =
        its().select((catalog_items::id, catalog_items::number, catalog_items::missed)).load(&mut c.db)?;
    if twice {
        diesel::update(its()).set(catalog_items::missed.eq(true)).execute(&mut c.db)?;
        gone.retain(|(_, _, missed)| *missed);
    }
    let mut units = Vec::new();
    for (id, number, _) in gone {
        let unit = unit_of(kind, number);
        if kind == Kind::Issue {
            delete_unit(c, mirror, unit)?;
        } else {
            diesel::delete(catalog_items::table.find((mirror.to_string(), kind.as_str(), id))).execute(&mut c.db)?;
        }
        units.push(unit);
    }
    Ok(units)
}

/// The same within one thread, whose list of this kind was read whole.
///
/// # Errors
/// Those of the database.
pub fn settle_thread(
    c: &mut Connection,
    mirror: MirrorId,
    kind: Kind,
    number: i64,
    generation: i64,
) -> Result<bool, StoreError> {
    let its = catalog_items::table
        .filter(catalog_items::mirror_id.eq(mirror.to_string()))
        .filter(catalog_items::kind.eq(kind.as_str()))
        .filter(catalog_items::number.eq(number))
        .filter(catalog_items::generation.lt(generation));
    Ok(diesel::delete(its).execute(&mut c.db)? > 0)
}

fn unit_of(kind: Kind, number: i64) -> Unit {
    match kind {
        Kind::Repository => Unit::Repository,
        Kind::Label => Unit::Labels,
        Kind::Milestone => Unit::Milestone(number),
        Kind::Release => Unit::Release(number),
        Kind::Issue | Kind::Pull | Kind::Comment | Kind::Review | Kind::ReviewComment => Unit::Thread(number),
    }
}

fn delete_unit(c: &mut Connection, mirror: MirrorId, unit: Unit) -> Result<(), StoreError> {
    let kinds: Vec<&str> = unit.kinds().iter().map(|it| it.as_str()).collect();
    let its = catalog_items::table
        .filter(catalog_items::mirror_id.eq(mirror.to_string()))
        .filter(catalog_items::number.eq(unit.parts().1))
        .filter(catalog_items::kind.eq_any(kinds));
    diesel::delete(its).execute(&mut c.db)?;
    Ok(())
}

/// How many there are of each kind; a kind without any is not in it.
///
/// # Errors
/// Those of the database.
pub fn counts(c: &mut Connection, mirror: MirrorId) -> Result<BTreeMap<Kind, u64>, StoreError> {
    let rows: Vec<(String, i64)> = catalog_items::table
        .filter(catalog_items::mirror_id.eq(mirror.to_string()))
        .group_by(catalog_items::kind)
        .select((catalog_items::kind, diesel::dsl::count_star()))
        .load(&mut c.db)?;
    rows.into_iter().map(|(kind, count)| Ok((kind.parse()?, u64::try_from(count).unwrap_or_default()))).collect()
}
