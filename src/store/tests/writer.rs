//! SQLite's writer: many writes in one commit, each on its own feet.

use std::sync::mpsc;
use std::task::Poll;

use diesel::RunQueryDsl as _;
use futures_util::future::join_all;

use crate::domain::retry::Retry;
use crate::store::{Connection, StoreError, settings};

use super::Bed;

type Written = Result<(), StoreError>;
type Work = Box<dyn FnMut(&mut Connection) -> Written + Send>;

/// Runs `writes` so that all of them wait while one before them is being written. Gives their
/// results and how many commits they cost.
async fn together(bed: &Bed, writes: Vec<Work>) -> (Vec<Written>, u64) {
    let (go_on, may_go_on) = mpsc::channel();
    let (began, has_begun) = mpsc::channel();
    let first = tokio::spawn({
        let store = bed.store.clone();
        async move {
            store
                .write(move |_| {
                    began.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    Ok(())
                })
                .await
        }
    });
    tokio::task::spawn_blocking(move || has_begun.recv()).await.unwrap().unwrap();
    let before = bed.store.commits();
    let mut waiting: Vec<_> = writes.into_iter().map(|it| Box::pin(bed.store.write(it))).collect();
    for write in &mut waiting {
        // Asked once, it stands in the queue.
        assert!(matches!(futures_util::poll!(write), Poll::Pending));
    }
    go_on.send(()).unwrap();
    first.await.unwrap().unwrap();
    let done = join_all(waiting).await;
    (done, bed.store.commits() - before - 1)
}

fn set(number: usize) -> Work {
    Box::new(move |c| settings::set(c, &format!("n{number}"), "1"))
}

fn sql(text: &'static str) -> Work {
    Box::new(move |c| {
        diesel::sql_query(text).execute(&mut c.db)?;
        Ok(())
    })
}

async fn stored(bed: &Bed, number: usize) -> bool {
    bed.read(move |c| settings::get(c, &format!("n{number}"))).await.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_writes_that_wait_cost_one_commit() {
    let bed = Bed::sqlite().await;
    let (done, commits) = together(&bed, (0..32).map(set).collect()).await;
    assert!(done.iter().all(Result::is_ok));
    assert_eq!(commits, 1);
    assert!(stored(&bed, 31).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_has_a_bound() {
    let bed = Bed::sqlite().await;
    let (done, commits) = together(&bed, (0..100).map(set).collect()).await;
    assert!(done.iter().all(Result::is_ok));
    assert_eq!(commits, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_or_panics_leaves_the_others() {
    let bed = Bed::sqlite().await;
    let refused = || StoreError::Refused("by the test".to_owned());
    let writes = vec![
        set(0),
        Box::new(move |c: &mut Connection| set(1)(c).and_then(|()| Err(refused()))) as Box<_>,
        Box::new(|c: &mut Connection| set(2)(c).map(|()| panic!("ouch"))),
        sql("SELECT nonsense"),
        sql("INSERT INTO tips (mirror_id, ref) VALUES ('nobody', 'refs/heads/x')"),
        set(5),
    ];
    let (done, commits) = together(&bed, writes).await;
    let codes: Vec<_> = done.iter().map(|it| it.as_ref().map_err(StoreError::code)).collect();
    let ok = Ok(&());
    assert_eq!(
        codes,
        [ok, Err("database_refused"), Err("store_panicked"), Err("database_refused"), Err("conflict"), ok]
    );
    assert_eq!(commits, 1);
    for (number, stands) in [(0, true), (1, false), (2, false), (5, true)] {
        assert_eq!(stored(&bed, number).await, stands, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_commit_fails_all_are_told_and_the_next_group_goes_on() {
    let bed = Bed::sqlite().await;
    // A constraint that is checked at the commit only: nothing in the service does that.
    let broken = Box::new(|c: &mut Connection| {
        sql("PRAGMA defer_foreign_keys = ON")(c)?;
        sql("INSERT INTO tips (mirror_id, ref) VALUES ('nobody', 'refs/heads/x')")(c)
    });
    let (done, commits) = together(&bed, vec![set(0), broken, set(2)]).await;
    let codes: Vec<_> = done.iter().map(|it| it.as_ref().map_err(StoreError::code)).collect();
    assert_eq!((codes, commits), (vec![Err("database_unavailable"); 3], 0));
    assert!(!stored(&bed, 0).await && !stored(&bed, 2).await);
    bed.write(set(3)).await;
    assert!(stored(&bed, 3).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_an_outage_and_passes() {
    let bed = Bed::sqlite().await;
    // Keeps the file from growing, as a full disk does.
    bed.write(sql("PRAGMA max_page_count = 1")).await;
    let large = |c: &mut Connection| settings::set(c, "large", &"x".repeat(1 << 20));
    let error = bed.store.write(large).await.unwrap_err();
    assert_eq!((error.code(), error.retry()), ("database_unavailable", Retry::Backoff), "{error}");
    bed.write(sql("PRAGMA max_page_count = 1000000")).await;
    bed.write(large).await;
    bed.store.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_held_by_another_process_is_busy_not_broken() {
    let bed = Bed::sqlite().await;
    let other = bed.another().await;
    // Not waiting for as long as the service would.
    bed.write(sql("PRAGMA busy_timeout = 1")).await;
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let (began, has_begun) = mpsc::channel();
    let holding = tokio::spawn(async move {
        other
            .write(move |_| {
                began.send(()).unwrap();
                let _ = may_go_on.recv();
                Ok(())
            })
            .await
    });
    tokio::task::spawn_blocking(move || has_begun.recv()).await.unwrap().unwrap();
    let error = bed.store.write(set(1)).await.unwrap_err();
    assert!(matches!(error.retry(), Retry::After(_)), "{error}");
    drop(go_on);
    holding.await.unwrap().unwrap();
    bed.write(set(1)).await;
}
