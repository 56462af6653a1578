//! What a read and a write promise, on both databases.

use std::sync::mpsc;
use std::sync::{Arc, Barrier};

use diesel::RunQueryDsl as _;
use tokio::time::{Duration, timeout};

use crate::domain::job::{JobKind, Priority};
use crate::domain::retry::Retry;
use crate::store::jobs::{self, NewJob};
use crate::store::{Connection, Store, StoreError, mirrors, settings};

use super::bed::{Place, database};
use super::{Bed, at, correlation, on_both};

on_both!(
    a_write_that_fails_leaves_nothing,
    a_panic_is_an_error_and_the_store_goes_on,
    a_reading_sees_one_state_of_things,
    a_reading_cannot_write,
    what_was_answered_is_seen_by_others,
    a_queued_job_wakes_and_a_failed_one_does_not,
    the_probe_writes,
    a_server_tells_its_time_and_a_file_has_none,
    migrating_twice_changes_nothing,
    many_more_writes_than_places_are_all_done,
);

fn set(name: &'static str) -> impl Fn(&mut Connection) -> Result<(), StoreError> + Send + 'static {
    move |c| settings::set(c, name, "1")
}

async fn names(bed: &Bed) -> Vec<String> {
    bed.read(|c| {
        let mut all = Vec::new();
        for name in ["a", "b", "c"] {
            all.extend(settings::get(c, name)?.map(|_| name.to_owned()));
        }
        Ok(all)
    })
    .await
}

fn refused() -> StoreError {
    StoreError::Refused("by the test".to_owned())
}

async fn a_write_that_fails_leaves_nothing(bed: Bed) {
    let failed = bed.store.write(|c| settings::set(c, "a", "1").and_then(|()| Err::<(), _>(refused()))).await;
    assert_eq!(failed, Err(refused()));
    bed.write(set("b")).await;
    assert_eq!(names(&bed).await, ["b"]);
}

async fn a_panic_is_an_error_and_the_store_goes_on(bed: Bed) {
    let before = bed.store.commits();
    let write = bed.store.write(|c| settings::set(c, "a", "1").map(|()| panic!("ouch {}", 1))).await;
    let write: Result<(), StoreError> = write;
    assert_eq!(write, Err(StoreError::Panicked("ouch 1".to_owned())));
    let read: Result<(), StoreError> = bed.store.read(|_| panic!("ouch")).await;
    assert_eq!(read.as_ref().map_err(StoreError::code), Err("store_panicked"));
    bed.write(set("b")).await;
    assert_eq!(names(&bed).await, ["b"]);
    assert!(bed.store.commits() > before);
}

async fn a_reading_sees_one_state_of_things(bed: Bed) {
    let (began, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let reading = tokio::spawn({
        let store = bed.store.clone();
        async move {
            store
                .read(move |c| {
                    let before = settings::get(c, "a")?;
                    began.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    Ok((before, settings::get(c, "a")?))
                })
                .await
        }
    });
    tokio::task::spawn_blocking(move || has_begun.recv()).await.unwrap().unwrap();
    bed.write(set("a")).await;
    go_on.send(()).unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), (None, None));
    assert_eq!(names(&bed).await, ["a"]);
}

async fn a_reading_cannot_write(bed: Bed) {
    assert!(bed.store.read(set("a")).await.is_err());
    assert!(names(&bed).await.is_empty());
}

async fn what_was_answered_is_seen_by_others(bed: Bed) {
    let other = bed.another().await;
    bed.write(set("a")).await;
    assert!(other.read(|c| settings::get(c, "a")).await.unwrap().is_some());
    other.write(set("b")).await.unwrap();
    assert_eq!(names(&bed).await, ["a", "b"]);
}

async fn a_queued_job_wakes_and_a_failed_one_does_not(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let mut wakes = bed.store.wakeups();
    if bed.store.is_postgres() {
        // The channel's own first move.
        soon(wakes.changed()).await.unwrap();
    }
    let job = NewJob::of(JobKind::Sync, mirror, Priority::FRESH, correlation(1));
    let queue = move |c: &mut Connection| jobs::enqueue(c, &job, at(0));
    let before = *wakes.borrow_and_update();
    let failing = queue.clone();
    let failed: Result<(), _> = bed.store.write(move |c| failing(c).and_then(|_| Err(refused()))).await;
    failed.unwrap_err();
    bed.write(set("a")).await;
    assert_eq!(*wakes.borrow(), before);
    bed.write(queue).await;
    assert!(wakes.has_changed().unwrap(), "in this process at once");
}

async fn the_probe_writes(bed: Bed) {
    let before = bed.store.commits();
    bed.store.check().await.unwrap();
    assert_eq!(bed.store.commits(), before + 1);
}

async fn a_server_tells_its_time_and_a_file_has_none(bed: Bed) {
    let told = bed.store.server_time().await.unwrap();
    assert_eq!(told.is_some(), bed.store.is_postgres());
    assert!(told.is_none_or(|it| it > at(0)));
}

async fn migrating_twice_changes_nothing(bed: Bed) {
    assert!(bed.store.pending_migrations().await.unwrap().is_empty());
    assert!(bed.store.migrate().await.unwrap().is_empty());
}

async fn many_more_writes_than_places_are_all_done(bed: Bed) {
    let all = (0..300).map(|it| bed.store.write(move |c| settings::set(c, &format!("n{it}"), "1")));
    let all = futures_util::future::join_all(all).await;
    assert!(all.into_iter().all(|it| it.is_ok()));
    let found = bed.read(|c| settings::get(c, "n299")).await;
    assert!(found.is_some());
}

/// A bound for what must come, so that a test that fails ends.
async fn soon<T>(it: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), it).await.unwrap()
}

fn run(bed: &Bed, sql: &str) {
    let Place::Server(server) = &*bed.place else { panic!("not a server") };
    server.run(sql);
}

fn terminate(bed: &Bed, application: &str) {
    run(
        bed,
        &format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name = '{application}' AND pid <> pg_backend_pid()"
        ),
    );
}

async fn queue_one(store: &Store, mirror: crate::domain::ids::MirrorId) {
    let job = NewJob::of(JobKind::Sync, mirror, Priority::FRESH, correlation(1));
    store.write(move |c| jobs::enqueue(c, &job, at(0))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_is_woken_and_again_after_its_connection_was_cut() {
    let Some(bed) = Bed::postgres().await else { return };
    let mirror = bed.mirror(1).await;
    let other = bed.another().await;
    let mut wakes = other.wakeups();
    soon(wakes.changed()).await.unwrap();
    queue_one(&bed.store, mirror).await;
    soon(wakes.changed()).await.unwrap();
    terminate(&bed, "starkeep-listen");
    soon(wakes.changed()).await.unwrap();
    queue_one(&bed.store, mirror).await;
    soon(wakes.changed()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_all_listen_wake_each_other() {
    let Some(bed) = Bed::postgres().await else { return };
    let mirror = bed.mirror(1).await;
    let other = bed.another().await;
    let (mut ours, mut theirs) = (bed.store.wakeups(), other.wakeups());
    soon(ours.changed()).await.unwrap();
    soon(theirs.changed()).await.unwrap();
    for _ in 0..5 {
        theirs.borrow_and_update();
        queue_one(&bed.store, mirror).await;
        soon(theirs.changed()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_are_replaced() {
    let Some(bed) = Bed::postgres().await else { return };
    bed.write(set("a")).await;
    terminate(&bed, "starkeep");
    assert_eq!(names(&bed).await, ["a"]);
    bed.write(set("b")).await;
    let cut = bed
        .store
        .write(|c| Ok(diesel::sql_query("SELECT pg_terminate_backend(pg_backend_pid())").execute(&mut c.db)?))
        .await;
    assert_eq!(cut.unwrap_err().retry(), Retry::Backoff);
    assert_eq!(names(&bed).await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writes_that_lock_each_other_out_are_both_done() {
    let Some(bed) = Bed::postgres().await else { return };
    let (one, two) = (bed.mirror(1).await, bed.mirror(2).await);
    let both = Arc::new(Barrier::new(2));
    let cross = |first, second| {
        let (both, mut met) = (Arc::clone(&both), false);
        bed.store.write(move |c| {
            mirrors::schedule(c, first, Some(at(1)), at(1))?;
            if !std::mem::replace(&mut met, true) {
                both.wait();
            }
            mirrors::schedule(c, second, Some(at(2)), at(2))
        })
    };
    let (left, right) = tokio::join!(cross(one, two), cross(two, one));
    assert_eq!((left, right), (Ok(true), Ok(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_serve_on_one_file_is_refused_and_may_start_when_the_first_is_gone() {
    let bed = Bed::sqlite().await;
    let other = bed.another().await;
    let first = bed.store.serve_lock().unwrap();
    assert!(first.is_exclusive());
    let refused = other.serve_lock().unwrap_err();
    assert_eq!((refused.code(), refused.retry()), ("database_in_use", Retry::Never));
    assert!(refused.to_string().contains("starkeep.db"), "{refused}");
    drop(first);
    other.serve_lock().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_serve_on_one_server() {
    let Some(bed) = Bed::postgres().await else { return };
    let first = bed.store.serve_lock().unwrap();
    assert!(!first.is_exclusive() && !bed.another().await.serve_lock().unwrap().is_exclusive());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_database_says_where_and_keeps_the_password() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://me:hunter2@{server}/keep?connect_timeout=2");
    let error = Store::open(&database(&url)).await.unwrap_err();
    assert_eq!((error.code(), error.retry()), ("database_unavailable", Retry::Backoff));
    assert!(error.to_string().contains("me@127.0.0.1") && !error.to_string().contains("hunter2"), "{error}");
    let error = Store::open(&database("sqlite:///nowhere/at/all.db")).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all.db"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_not_repeated() {
    let Some(bed) = Bed::postgres().await else { return };
    let host = bed.url.split('@').nth(1).unwrap().to_owned();
    let error = Store::open(&database(&format!("postgres://nobody-known:hunter2@{host}"))).await.unwrap_err();
    assert!(error.to_string().contains("nobody-known") && !error.to_string().contains("hunter2"), "{error}");
}
