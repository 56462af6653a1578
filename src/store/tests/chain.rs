//! The audit log shows what was done to it.

use diesel::connection::SimpleConnection as _;
use serde_json::json;

use super::{Bed, at, on_both};
use crate::store::audit::chain::{self, Break, End, Verdict};
use crate::store::audit::{self, NewEntry};
use crate::store::{Connection, StoreError};

on_both!(
    a_row_that_is_altered_or_missing_shows,
    a_log_that_was_made_anew_is_not_the_one_that_was_written_down,
    what_is_given_up_leaves_an_anchor,
    two_processes_make_one_chain,
);

async fn log(bed: &Bed, entries: i64) {
    bed.write(move |c| {
        for it in 0..entries {
            let entry = NewEntry { detail: json!({ "n": it }), ..NewEntry::of("admin", "test", "it") };
            audit::append(c, &entry, at(it))?;
        }
        Ok(())
    })
    .await;
}

async fn chained(bed: &Bed) {
    while bed.write(chain::extend).await > 0 {}
}

async fn verified(bed: &Bed) -> Verdict {
    bed.read(|c| chain::verify(c, None)).await
}

/// What somebody does who has the database's password.
async fn tamper(bed: &Bed, sql: &str) {
    let (off, on) = if bed.store.is_postgres() {
        ("ALTER TABLE audit DISABLE TRIGGER USER;", "ALTER TABLE audit ENABLE TRIGGER USER;")
    } else {
        ("DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;", "")
    };
    let sql = format!("{off} {sql}; {on}");
    bed.write(move |c: &mut Connection| c.db.batch_execute(&sql).map_err(StoreError::from)).await;
}

async fn a_row_that_is_altered_or_missing_shows(bed: Bed) {
    let empty = verified(&bed).await;
    assert_eq!((empty.entries, empty.head.seq, empty.broken), (0, 0, None));
    log(&bed, 5).await;
    assert_eq!(verified(&bed).await.unchained, 5);
    chained(&bed).await;
    let whole = verified(&bed).await;
    assert_eq!((whole.entries, whole.unchained, whole.head.seq, whole.broken), (5, 0, 5, None));
    let touched = bed.store.write(|c| Ok(c.db.batch_execute("UPDATE audit SET hash = hash")?)).await;
    assert!(touched.unwrap_err().to_string().contains("append only"));
    tamper(&bed, "UPDATE audit SET actor = 'nobody' WHERE seq = 3").await;
    let broken = verified(&bed).await.broken.unwrap();
    assert_eq!((broken.seq, broken.id.is_some(), broken.why), (3, true, "the row, or its hash, was altered"));
    let again = if bed.store.is_postgres() { "" } else { "SELECT 1" };
    let sql = format!("UPDATE audit SET actor = 'admin' WHERE seq = 3; DELETE FROM audit WHERE seq = 2; {again}");
    bed.write(move |c| {
        let off = if c.is_postgres() { "ALTER TABLE audit DISABLE TRIGGER USER;" } else { "" };
        c.db.batch_execute(&format!("{off}{sql}")).map_err(StoreError::from)
    })
    .await;
    assert_eq!(verified(&bed).await.broken, Some(Break { seq: 2, id: None, why: "a row is missing" }));
}

async fn a_log_that_was_made_anew_is_not_the_one_that_was_written_down(bed: Bed) {
    log(&bed, 4).await;
    chained(&bed).await;
    let head = verified(&bed).await.head;
    tamper(&bed, "DELETE FROM audit WHERE seq = 4").await;
    assert_eq!(verified(&bed).await.broken.unwrap().why, "the end of the log is missing");
    // With the head put right too, only what lies elsewhere tells.
    let third = "(SELECT hash FROM audit WHERE seq = 3)";
    let sql = format!("UPDATE audit_ends SET seq = 3, hash = {third} WHERE name = 'head'");
    bed.write(move |c| c.db.batch_execute(&sql).map_err(StoreError::from)).await;
    assert_eq!(verified(&bed).await.broken, None);
    let expected = head.clone();
    let told = bed.read(move |c| chain::verify(c, Some(&expected))).await;
    assert!(told.broken.unwrap().why.contains("made anew"));
    let third = verified(&bed).await.head;
    assert_eq!(third.seq, 3);
    assert_eq!(bed.read(move |c| chain::verify(c, Some(&third))).await.broken, None);
    let other = End { seq: 2, hash: head.hash };
    assert!(bed.read(move |c| chain::verify(c, Some(&other))).await.broken.is_some());
}

async fn what_is_given_up_leaves_an_anchor(bed: Bed) {
    const DAY: i64 = 86_400;
    let day = async |it: i64| {
        bed.write(move |c| audit::append(c, &NewEntry::of("admin", "test", "it"), at(it * DAY))).await;
    };
    for it in 0..10 {
        day(it).await;
    }
    assert_eq!(bed.write(|c| chain::prune(c, at(8 * DAY), at(10 * DAY))).await, 0, "nothing is chained yet");
    chained(&bed).await;
    assert_eq!(bed.write(|c| chain::prune(c, at(DAY), at(10 * DAY))).await, 0, "it is hardly too old");
    assert_eq!(bed.write(|c| chain::prune(c, at(7 * DAY), at(10 * DAY))).await, 7);
    assert_eq!(bed.write(|c| chain::prune(c, at(7 * DAY), at(10 * DAY))).await, 0);
    chained(&bed).await;
    let verdict = verified(&bed).await;
    assert_eq!((verdict.entries, verdict.anchor.seq, verdict.head.seq, &verdict.broken), (4, 7, 11, &None));
    let anchor = verdict.anchor;
    let forged = End { hash: "0".repeat(64), ..anchor.clone() };
    assert_eq!(bed.read(move |c| chain::verify(c, Some(&anchor))).await.broken, None);
    assert!(bed.read(move |c| chain::verify(c, Some(&forged))).await.broken.is_some());
    tamper(&bed, "DELETE FROM audit WHERE seq = 8").await;
    assert_eq!(verified(&bed).await.broken.unwrap().seq, 8);
}

async fn two_processes_make_one_chain(bed: Bed) {
    let others: Vec<_> = [bed.another().await, bed.another().await]
        .into_iter()
        .map(|store| {
            tokio::spawn(async move {
                for it in 0..30 {
                    let entry = NewEntry::of("admin", "test", "it");
                    store.write(move |c| audit::append(c, &entry, at(it))).await.unwrap();
                    store.write(chain::extend).await.unwrap();
                }
            })
        })
        .collect();
    for it in others {
        it.await.unwrap();
    }
    chained(&bed).await;
    let verdict = verified(&bed).await;
    assert_eq!((verdict.entries, verdict.head.seq, verdict.broken), (60, 60, None));
}
