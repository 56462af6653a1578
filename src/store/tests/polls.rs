//! Looks at users' stars: who looks, what is remembered; and what is remembered of GitHub's limits.

use chrono::TimeDelta;

use super::{Bed, LEASE, at, on_both, subject};
use crate::domain::ids::{AccountId, GithubId};
use crate::domain::mirror::Source;
use crate::domain::rate::{Resource, Standing, Window};
use crate::domain::stars::{Mark, Star};
use crate::store::starred::Met;
use crate::store::{mirrors, polls, rates, starred, stars};

const FAN: AccountId = AccountId(5);

fn star(id: i64, seconds: i64) -> Star {
    Star { repository: GithubId(id), at: at(seconds) }
}

async fn a_look_is_one_processes_until_its_lease_ends(bed: Bed) {
    bed.write(|c| polls::ensure(c, "Fan", at(0))).await;
    bed.write(|c| polls::ensure(c, "fan", at(99))).await;
    let claim = |worker: &'static str, seconds| bed.write(move |c| polls::claim(c, "fan", worker, LEASE, at(seconds)));
    assert!(claim("a", -1).await.is_none(), "not due");
    assert!(claim("a", 0).await.is_some());
    assert!(claim("b", 5).await.is_none());
    assert!(bed.write(|c| polls::renew(c, "fan", "a", at(40))).await);
    assert!(claim("b", 40).await.is_none());
    assert!(claim("b", 41).await.is_some());
    assert!(!bed.write(|c| polls::renew(c, "fan", "a", at(99))).await);
    assert!(!bed.write(|c| polls::release(c, "fan", "a", at(99))).await);
    assert!(!bed.read(|c| polls::is_held(c, "fan", "a")).await);
    assert!(bed.write(|c| polls::release(c, "fan", "b", at(60))).await);
    assert!(claim("a", 59).await.is_none());
    assert!(claim("a", 60).await.is_some());
    bed.write(|c| polls::free_held_by(c, "a")).await;
    assert!(claim("b", 60).await.is_some());
}

async fn what_a_look_showed_is_remembered(bed: Bed) {
    bed.write(|c| {
        polls::ensure(c, "fan", at(0))?;
        polls::claim(c, "fan", "a", LEASE, at(0))
    })
    .await;
    let mark = Mark { newest: Some(star(7, 3)), total: 9 };
    let known = mark.clone();
    bed.write(move |c| {
        polls::set_account(c, "fan", "a", FAN, "Fan")?;
        polls::begin_scan(c, "fan", "a", 3)?;
        polls::set_known(c, "fan", "a", &known, Some("e"), at(4))
    })
    .await;
    let poll = bed.read(|c| polls::find(c, "FAN")).await.unwrap();
    assert_eq!(
        (poll.account, poll.known, poll.etag),
        (Some((FAN, "Fan".to_owned())), Some(mark), Some("e".to_owned()))
    );
    assert!(poll.wants_scan && poll.scan == 3 && poll.scanned_at.is_none());
    bed.write(|c| polls::end_scan(c, "fan", "a", 2, at(5))).await;
    let failed =
        |code: &'static str, seconds| bed.write(move |c| polls::failed(c, "fan", "a", (code, "text"), at(seconds)));
    assert!(failed("x", 6).await);
    assert!(!failed("x", 7).await, "the same again is no news");
    let poll = bed.read(|c| polls::find(c, "fan")).await.unwrap();
    assert_eq!((poll.failures, poll.error.unwrap()), (2, ("x".to_owned(), "text".to_owned(), at(6))));
    assert_eq!((poll.hidden, poll.wants_scan, poll.scanned_at), (2, false, Some(at(5))));
    assert!(failed("y", 8).await);
    bed.write(|c| polls::succeeded(c, "fan", "a", at(9))).await;
    let poll = bed.read(polls::list).await.remove(0);
    assert_eq!((poll.failures, poll.error, poll.polled_at), (0, None, Some(at(9))));
    assert!(!bed.write(|c| polls::set_known(c, "fan", "b", &Mark::default(), None, at(9))).await, "not its holder");
}

async fn a_star_is_known_by_its_time(bed: Bed) {
    let note = |it: Star, scan| bed.write(move |c| starred::note(c, FAN, it, scan, at(100)));
    assert_eq!(note(star(1, 1), 0).await, Met::New);
    assert_eq!(note(star(1, 1), 2).await, Met::Known);
    assert_eq!(note(star(1, 5), 0).await, Met::New, "starred anew");
    assert_eq!(note(star(2, 1), 1).await, Met::New);
    assert_eq!(bed.read(|c| starred::count(c, FAN)).await, 2);
    assert_eq!(bed.read(|c| starred::count(c, AccountId(6))).await, 0);
    let missed = |scan| bed.read(move |c| starred::missed(c, FAN, scan, 10));
    assert_eq!(missed(2).await, [GithubId(2)], "the first was met by the second walk");
    assert!(bed.write(|c| starred::forget(c, FAN, GithubId(2))).await);
    assert_eq!(missed(2).await, []);
}

async fn a_star_that_only_a_mirror_knows_is_missed_too(bed: Bed) {
    bed.write(|c| {
        let mirror = mirrors::ensure(c, &subject(3), Source::Star, at(0))?.0.id;
        stars::add(c, mirror, FAN, at(0))?;
        let known = mirrors::ensure(c, &subject(4), Source::Star, at(0))?.0.id;
        stars::add(c, known, FAN, at(0))?;
        starred::note(c, FAN, star(4, 0), 1, at(0))
    })
    .await;
    assert_eq!(bed.read(|c| starred::missed(c, FAN, 1, 10)).await, [GithubId(3)]);
    assert_eq!(bed.read(|c| starred::missed(c, AccountId(6), 1, 10)).await, []);
}

async fn what_is_told_during_a_walk_is_not_missed_by_it(bed: Bed) {
    let note = |id, scan| bed.write(move |c| starred::note(c, FAN, star(id, 1), scan, at(0)));
    note(1, 0).await;
    bed.write(|c| {
        polls::ensure(c, "fan", at(0))?;
        polls::claim(c, "fan", "a", LEASE, at(0))?;
        polls::set_account(c, "fan", "a", FAN, "fan")?;
        polls::begin_scan(c, "fan", "a", 1)
    })
    .await;
    note(2, 0).await;
    assert_eq!(bed.read(|c| starred::missed(c, FAN, 1, 10)).await, [GithubId(1)]);
}

async fn two_who_note_a_star_at_once_lose_nothing(bed: Bed) {
    for id in 0..20 {
        let walk = bed.store.write(move |c| starred::note(c, FAN, star(id, 1), 3, at(0)));
        let webhook = bed.store.write(move |c| starred::note(c, FAN, star(id, 1), 0, at(0)));
        let (walk, webhook) = tokio::join!(walk, webhook);
        assert!(walk.is_ok() && webhook.is_ok());
    }
    assert_eq!(bed.read(|c| starred::missed(c, FAN, 3, 10)).await, []);
}

async fn limits_are_remembered_for_a_while(bed: Bed) {
    let window = Window { limit: 5000, remaining: 7, resets_at: at(600) };
    let blank = |credential: &str| Standing {
        credential: credential.to_owned(),
        resource: None,
        window: None,
        closed_until: Some(at(60)),
        refusals: 2,
    };
    let core = Standing { resource: Some(Resource::Core), window: Some(window), refusals: 0, ..blank("token:1") };
    let all = vec![blank("anonymous"), blank("token:1"), core];
    let (first, again) = (all.clone(), all.clone());
    bed.write(move |c| rates::save(c, &first, at(0))).await;
    bed.write(move |c| rates::save(c, &again, at(1))).await;
    assert_eq!(bed.read(rates::load).await, all);
    let later = at(1) + TimeDelta::hours(3);
    bed.write(move |c| rates::save(c, &[], later)).await;
    assert_eq!(bed.read(rates::load).await, []);
}

on_both!(
    a_look_is_one_processes_until_its_lease_ends,
    what_a_look_showed_is_remembered,
    a_star_is_known_by_its_time,
    a_star_that_only_a_mirror_knows_is_missed_too,
    what_is_told_during_a_walk_is_not_missed_by_it,
    two_who_note_a_star_at_once_lose_nothing,
    limits_are_remembered_for_a_while,
);
