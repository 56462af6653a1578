//! What is kept of an App: the look for missed deliveries, and its installations.

use std::collections::BTreeMap;

use super::{Bed, LEASE, at, correlation, on_both, subject};
use crate::domain::event::{Account, Event};
use crate::domain::ids::{AccountId, GithubId, InstallationId};
use crate::domain::installation::{Cover, Installation, InstallationChange};
use crate::domain::mirror::{Source, Status};
use crate::store::deliveries::{self, NewDelivery, Outcome};
use crate::store::recoveries::{self, Sent, Walk};
use crate::store::{installations, mirrors};

const APP: i64 = 7;

fn sent(n: i64, event: &str, repository: Option<i64>) -> Sent {
    let repository = repository.map(GithubId);
    Sent { guid: format!("g{n}"), id: n, event: event.to_owned(), at: at(n), repository }
}

async fn a_look_is_one_processes_and_goes_on_where_it_was_left(bed: Bed) {
    assert!(bed.read(|c| recoveries::is_due(c, APP, at(0))).await);
    let claim = |worker: &'static str, s| bed.write(move |c| recoveries::claim(c, APP, worker, LEASE, at(s)));
    assert!(claim("a", 0).await.unwrap().walk.is_none());
    assert!(!bed.read(|c| recoveries::is_due(c, APP, at(1))).await);
    assert!(claim("b", 1).await.is_none());
    let walk = Walk { from: at(9), to: at(-9), cursor: Some("v1_5".to_owned()) };
    let page = walk.clone();
    assert!(bed.write(move |c| recoveries::take_page(c, APP, "a", &[sent(9, "star", None)], Some(&page))).await);
    let later = 1 + LEASE.num_seconds();
    assert_eq!(claim("b", later).await.unwrap().walk, Some(walk));
    assert!(!bed.write(|c| recoveries::take_page(c, APP, "a", &[sent(8, "star", None)], None)).await);
    assert!(!bed.write(move |c| recoveries::renew(c, APP, "a", at(99))).await);
    assert!(bed.write(|c| recoveries::end_walk(c, APP, "b", at(9))).await);
    bed.write(|c| recoveries::release(c, APP, "b", at(500), Some(at(50)), None)).await;
    assert!(claim("a", 499).await.is_none());
    let next = claim("a", 500).await.unwrap();
    assert_eq!((next.looked_to, next.walk), (Some(at(9)), None));
    bed.write(|c| recoveries::release(c, APP, "a", at(600), None, Some(("github_app", "no")))).await;
    let ended = bed.read(|c| recoveries::ended(c, APP)).await;
    assert_eq!(ended, (Some(at(50)), Some(("github_app".to_owned(), "no".to_owned()))));
}

async fn only_what_never_came_in_or_failed_is_missing_and_the_oldest_comes_first(bed: Bed) {
    bed.write(|c| recoveries::claim(c, APP, "a", LEASE, at(0)).map(drop)).await;
    bed.write(|c| mirrors::ensure(c, &subject(1), Source::Star, at(0)).map(drop)).await;
    let known = NewDelivery {
        guid: "g3".to_owned(),
        event: Event::Ping,
        action: None,
        sender: None,
        outcome: Outcome::Ignored,
        correlation: correlation(1),
    };
    bed.write(move |c| deliveries::record(c, &known, at(0)).map(drop)).await;
    let page = [
        sent(5, "star", None),
        sent(4, "push", Some(1)),
        sent(3, "star", None),
        sent(2, "push", Some(99)),
        sent(1, "star", None),
    ];
    let again = page.clone();
    assert!(bed.write(move |c| recoveries::take_page(c, APP, "a", &page, None)).await);
    assert!(bed.write(move |c| recoveries::take_page(c, APP, "a", &again, None)).await);
    for expected in ["g1", "g4", "g5"] {
        let missed = bed.read(recoveries::next_missed).await.unwrap();
        assert_eq!(missed.guid, expected);
        bed.write(move |c| recoveries::dealt_with(c, &missed.guid)).await;
    }
    assert!(bed.read(recoveries::next_missed).await.is_none());
}

fn installation(id: i64, login: &str) -> Installation {
    Installation {
        id: InstallationId(id),
        account: Some(Account { id: AccountId(5), login: login.to_owned() }),
        selection: "all".to_owned(),
        permissions: BTreeMap::from([("contents".to_owned(), "read".to_owned())]),
        suspended_at: None,
    }
}

async fn an_installation_that_opens_makes_what_could_not_be_read_due(bed: Bed) {
    let mirror = bed.write(|c| mirrors::ensure(c, &subject(1), Source::Star, at(0))).await.0.id;
    let fail = move |c: &mut _| {
        mirrors::record_error(c, mirror, ("installation_suspended", "x"), 1, Status::Error, at(1))?;
        mirrors::schedule(c, mirror, Some(at(90_000)), at(1)).map(drop)
    };
    let cover = || bed.read(|c| installations::cover_of(c, "OCTO"));
    let due = || async { !bed.read(|c| mirrors::due(c, at(100), 9)).await.is_empty() };
    let tell = |change| bed.write(move |c| installations::told(c, &installation(77, "octo"), change, at(50)));
    bed.write(fail).await;
    assert_eq!((cover().await, due().await), (Cover::None, false));
    tell(InstallationChange::Created).await;
    assert_eq!((cover().await, due().await), (Cover::Active, true));
    bed.write(fail).await;
    tell(InstallationChange::Suspended).await;
    assert_eq!((cover().await, due().await), (Cover::Suspended, false));
    assert_eq!(bed.read(installations::load).await.read_at, None, "GitHub is asked");
    // GitHub's list says that it goes on, though no webhook came.
    bed.write(|c| installations::replace(c, &[installation(77, "octo")], at(60), at(60))).await;
    assert_eq!((cover().await, due().await), (Cover::Active, true));
    assert_eq!(bed.read(installations::load).await.read_at, Some(at(60)));
    bed.write(fail).await;
    bed.write(|c| installations::replace(c, &[installation(77, "octo")], at(61), at(61))).await;
    assert!(!due().await, "no news");
    bed.write(|c| installations::replace(c, &[], at(62), at(62))).await;
    assert_eq!((cover().await, due().await), (Cover::Removed, false));
    assert_eq!(bed.read(installations::load).await.gone, ["octo"]);
    // Installed anew, it has another id.
    bed.write(|c| installations::replace(c, &[installation(78, "octo")], at(63), at(63))).await;
    assert_eq!((cover().await, due().await), (Cover::Active, true));
    let renamed = installation(78, "cat");
    bed.write(move |c| installations::told(c, &renamed, InstallationChange::Renamed, at(64))).await;
    let kept = bed.read(installations::load).await;
    assert!(kept.installations[0].is_of("cat") && kept.installations[0].permissions.len() == 1);
}

on_both!(
    a_look_is_one_processes_and_goes_on_where_it_was_left,
    only_what_never_came_in_or_failed_is_missing_and_the_oldest_comes_first,
    an_installation_that_opens_makes_what_could_not_be_read_due,
);
