//! Steps of syncs, as they are told across processes.

use chrono::TimeDelta;
use uuid::Uuid;

use super::{Bed, at, on_both};
use crate::domain::ids::MirrorId;
use crate::store::events::{self, NewEvent};

on_both!(events_are_written_while_somebody_follows, ids_rise_in_the_order_of_commits, what_is_held_is_bounded);

const MINUTE: TimeDelta = TimeDelta::minutes(1);

fn step(mirror: MirrorId, second: i64, bytes: u64) -> NewEvent {
    NewEvent { at: at(second), mirror, stage: "transfer".to_owned(), bytes }
}

async fn append(bed: &Bed, new: Vec<NewEvent>, second: i64) -> bool {
    bed.write(move |c| events::append(c, &new, at(second))).await.is_some()
}

async fn events_are_written_while_somebody_follows(bed: Bed) {
    let mirror = bed.mirror(1).await;
    assert!(!append(&bed, vec![step(mirror, 0, 1)], 0).await, "nobody follows");
    assert!(bed.write(|c| events::follow(c, MINUTE, at(0))).await, "nobody did before");
    assert!(append(&bed, vec![step(mirror, 1, 2), step(MirrorId(Uuid::nil()), 1, 3)], 1).await);
    let told = bed.read(|c| events::after(c, 0, 10)).await;
    assert_eq!(told.iter().map(|it| it.bytes).collect::<Vec<_>>(), [2, 3]);
    assert_eq!((told[0].repository.as_deref(), told[1].repository.as_deref()), (Some("octo/r1"), None));
    assert_eq!((told[0].mirror, told[0].at), (mirror.0, at(1)));
    let (first, last) = (told[0].id, told[1].id);
    assert_eq!(bed.read(move |c| events::after(c, first, 10)).await, told[1..]);
    assert_eq!(bed.read(events::last).await, last);
    // Another follower, or the same one again, leaves what is held.
    assert!(!bed.write(|c| events::follow(c, MINUTE, at(30))).await);
    assert!(bed.read(move |c| events::is_held(c, first)).await);
    assert!(append(&bed, vec![step(mirror, 89, 4)], 89).await);
    // Nobody followed for a while, so there is a hole: what was held is not gone on from.
    assert!(!append(&bed, vec![step(mirror, 90, 5)], 90).await);
    assert!(bed.write(|c| events::follow(c, MINUTE, at(100))).await);
    assert!(!bed.read(move |c| events::is_held(c, first)).await);
    assert!(append(&bed, vec![step(mirror, 101, 6)], 101).await);
    let told = bed.read(|c| events::after(c, 0, 10)).await;
    assert_eq!(told.iter().map(|it| it.bytes).collect::<Vec<_>>(), [6]);
    assert!(told[0].id > last, "no id is given twice");
}

async fn ids_rise_in_the_order_of_commits(bed: Bed) {
    let mirror = bed.mirror(1).await;
    bed.write(|c| events::follow(c, MINUTE, at(0))).await;
    let other = Bed { store: bed.another().await, ..bed.clone() };
    let writers = (0..8_u64).map(|n| {
        let bed = if n % 2 == 0 { bed.clone() } else { other.clone() };
        async move {
            for _ in 0..10 {
                assert!(append(&bed, vec![step(mirror, 1, n); 3], 1).await);
            }
        }
    });
    let reader = async {
        let (mut seen, mut last) = (0, 0);
        while seen < 240 {
            let more = bed.read(move |c| events::after(c, last, 1_000)).await;
            seen += more.len();
            last = more.last().map_or(last, |it| it.id);
        }
        assert_eq!(seen, 240, "none was passed over");
    };
    futures_util::join!(futures_util::future::join_all(writers), reader);
}

async fn what_is_held_is_bounded(bed: Bed) {
    let mirror = bed.mirror(1).await;
    bed.write(|c| events::follow(c, TimeDelta::hours(1), at(0))).await;
    let many = usize::try_from(events::MOST).unwrap() + 5;
    append(&bed, vec![step(mirror, 1, 7); many], 1).await;
    let held = bed.read(|c| events::after(c, 0, 100_000)).await;
    assert_eq!(held.len(), many - 5);
    append(&bed, vec![step(mirror, 700, 8)], 700).await;
    for second in 701..711 {
        append(&bed, vec![step(mirror, second, 8)], second).await;
    }
    let held = bed.read(|c| events::after(c, 0, 100_000)).await;
    assert!(held.iter().all(|it| it.bytes == 8) && held.len() == 11, "{}", held.len());
}
