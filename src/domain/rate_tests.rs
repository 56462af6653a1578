//! Stories of one hour, told over a clock that stands still until it is moved.

use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3600;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000 + seconds, 0).unwrap()
}

fn window(limit: u32, remaining: u32, resets_in: i64) -> Window {
    Window { limit, remaining, resets_at: at(resets_in) }
}

/// A governor that was told this of REST.
fn told(window: Window) -> Governor {
    let mut governor = Governor::default();
    governor.told(Resource::Core, window);
    governor
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Asks, and is answered at once.
fn spend(it: &mut Governor, urgency: Urgency, now: i64) -> Result<(), Held> {
    it.ask(Resource::Core, urgency, at(now))?;
    it.answered(Resource::Core);
    if let Some(window) = it.window(Resource::Core, at(now)) {
        it.told(Resource::Core, Window { remaining: window.remaining.saturating_sub(1), ..window });
    }
    Ok(())
}

#[test]
fn above_a_quarter_everybody_goes_at_full_speed() {
    let mut it = told(window(5000, 5000, HOUR));
    for _ in 0..3750 {
        spend(&mut it, Urgency::Background, 0).unwrap();
    }
    assert_eq!(it.window(Resource::Core, at(0)).unwrap().remaining, 1250);
    let held = spend(&mut it, Urgency::Background, 0).unwrap_err();
    assert_eq!(held, Held { after: secs(3601), reason: Reason::Reserved });
}

#[test]
fn beneath_a_quarter_the_rest_is_spread_over_the_hour() {
    let mut it = told(window(5000, 1250, 2000));
    spend(&mut it, Urgency::Routine, 0).unwrap();
    // A thousand over two thousand seconds.
    let held = spend(&mut it, Urgency::Routine, 0).unwrap_err();
    assert_eq!(held.reason, Reason::Paced);
    assert_eq!(held.after.as_secs(), 2);
    assert!(spend(&mut it, Urgency::Routine, 1).is_err());
    spend(&mut it, Urgency::Routine, 2).unwrap();
}

#[test]
fn who_waits_is_told_a_place_in_a_row() {
    let mut it = told(window(5000, 1250, 2000));
    spend(&mut it, Urgency::Routine, 0).unwrap();
    let places: Vec<u64> =
        (0..4).map(|_| spend(&mut it, Urgency::Routine, 0).unwrap_err().after.as_millis() as u64 / 100).collect();
    assert_eq!(places, [20, 40, 60, 80]);
}

#[test]
fn the_reserve_is_for_fresh_stars_alone() {
    let mut it = told(window(5000, 250, 1000));
    for urgency in [Urgency::Routine, Urgency::Background] {
        assert_eq!(spend(&mut it, urgency, 0), Err(Held { after: secs(1001), reason: Reason::Reserved }));
    }
    for _ in 0..250 {
        spend(&mut it, Urgency::Fresh, 0).unwrap();
    }
    assert_eq!(spend(&mut it, Urgency::Fresh, 0), Err(Held { after: secs(1001), reason: Reason::Reserved }));
    spend(&mut it, Urgency::Free, 0).unwrap();
    spend(&mut it, Urgency::Routine, 1000).unwrap();
}

#[test]
fn what_is_under_way_counts_as_spent() {
    let mut it = told(window(60, 2, HOUR));
    it.ask(Resource::Core, Urgency::Fresh, at(0)).unwrap();
    it.ask(Resource::Core, Urgency::Fresh, at(0)).unwrap();
    assert!(it.ask(Resource::Core, Urgency::Fresh, at(0)).is_err());
    it.answered(Resource::Core);
    it.ask(Resource::Core, Urgency::Fresh, at(0)).unwrap();
}

#[test]
fn a_pause_of_a_secondary_limit_is_everybodys() {
    let mut it = Governor::default();
    assert_eq!(it.limited(Resource::Core, Limit::Named(secs(30)), at(0)), secs(30));
    for resource in Resource::ALL {
        assert_eq!(it.closed_for(resource, at(20)), Some(secs(10)));
        assert_eq!(it.ask(resource, Urgency::Free, at(20)), Err(Held { after: secs(10), reason: Reason::Paused }));
    }
    it.ask(Resource::Git, Urgency::Routine, at(30)).unwrap();
}

#[test]
fn a_used_up_allowance_closes_its_own_resource_only() {
    let mut it = Governor::default();
    it.limited(Resource::Core, Limit::UsedUp(Some(secs(600))), at(0));
    assert_eq!(it.closed_for(Resource::Core, at(0)), Some(secs(600)));
    assert_eq!(it.closed_for(Resource::Graphql, at(0)), None);
    assert_eq!(it.closed_for(Resource::Git, at(0)), None);
}

#[test]
fn a_limit_without_a_time_is_waited_out_longer_each_time_in_a_row() {
    let mut it = Governor::default();
    for seconds in [60, 120, 240, 480, 960, 960] {
        assert_eq!(it.limited(Resource::Core, Limit::Unnamed, at(0)), secs(seconds));
    }
    it.went_through(at(2000));
    assert_eq!(it.limited(Resource::Core, Limit::Unnamed, at(2000)), secs(60));
}

#[test]
fn a_late_answer_does_not_open_what_was_closed_meanwhile() {
    let mut it = Governor::default();
    it.limited(Resource::Core, Limit::Named(secs(60)), at(0));
    it.went_through(at(1));
    assert_eq!(it.closed_for(Resource::Core, at(1)), Some(secs(59)));
    it.limited(Resource::Core, Limit::Named(secs(5)), at(1));
    assert_eq!(it.closed_for(Resource::Core, at(1)), Some(secs(59)), "the longer pause stands");
}

#[test]
fn an_answer_of_the_hour_before_is_no_news() {
    let mut it = told(window(5000, 4999, 2 * HOUR));
    it.told(Resource::Core, window(5000, 3, HOUR));
    assert_eq!(it.window(Resource::Core, at(0)).unwrap().remaining, 4999);
    it.told(Resource::Core, window(5000, 4000, 2 * HOUR - 1));
    assert_eq!(it.window(Resource::Core, at(0)).unwrap().remaining, 4000);
}

#[test]
fn what_was_learned_survives_the_process() {
    let mut before = told(window(5000, 250, 1000));
    before.limited(Resource::Core, Limit::Unnamed, at(0));
    let mut after = Governor::default();
    for standing in before.standings("token") {
        after.recall(&standing, at(0));
    }
    assert_eq!(after.closed_for(Resource::Git, at(0)), Some(secs(60)));
    assert_eq!(after.limited(Resource::Core, Limit::Unnamed, at(60)), secs(120));
    assert_eq!(after.window(Resource::Core, at(0)), before.window(Resource::Core, at(0)));
    // What another process knows later replaces what is known here only if it is worse or newer.
    let mut other = told(window(5000, 100, 1000));
    after.standings("token").iter().for_each(|it| other.recall(it, at(0)));
    assert_eq!(other.window(Resource::Core, at(0)).unwrap().remaining, 100);
    let mut idle = told(window(5000, 4000, 1000));
    after.standings("token").iter().for_each(|it| idle.recall(it, at(0)));
    assert_eq!(idle.window(Resource::Core, at(0)).unwrap().remaining, 250);
    // Once the pause is over nobody is reminded of it.
    let mut later = Governor::default();
    before.standings("token").iter().for_each(|it| later.recall(it, at(2000)));
    assert_eq!(later.limited(Resource::Core, Limit::Unnamed, at(2000)), secs(60));
    assert_eq!(later.window(Resource::Core, at(0)), None);
}

proptest! {
    /// Whoever asks, whenever: the hour's allowance is never overdrawn, routine work leaves the reserve,
    /// and a fresh star is served as long as anything is left.
    #[test]
    fn nothing_is_overdrawn(
        limit in 1_u32..6000,
        spent in 0_u32..6000,
        asks in prop::collection::vec((0_i64..30, 0_u8..3), 1..400),
    ) {
        let start = limit.saturating_sub(spent);
        let mut it = told(window(limit, start, HOUR));
        let (mut now, mut left) = (0, start);
        for (pause, who) in asks {
            now += pause;
            if now >= HOUR {
                break;
            }
            let urgency = [Urgency::Background, Urgency::Routine, Urgency::Fresh][usize::from(who)];
            match spend(&mut it, urgency, now) {
                Ok(()) => {
                    prop_assert!(left > 0);
                    prop_assert!(urgency == Urgency::Fresh || left > reserve(limit));
                    prop_assert!(urgency != Urgency::Background || left > limit / 4);
                    left -= 1;
                }
                Err(held) => {
                    prop_assert!(urgency != Urgency::Fresh || left == 0);
                    prop_assert!(!held.after.is_zero() && held.after <= LONGEST_PAUSE);
                }
            }
        }
    }

    /// Work that always waits uses all but the reserve by the end of the hour, and uses it evenly: at no
    /// time more than what an even spread would have used by then, and one.
    #[test]
    fn the_rest_is_used_and_used_evenly(quarter in 10_u32..1500, seconds in 60_i64..HOUR) {
        let limit = quarter * 4;
        let mut it = told(window(limit, quarter, seconds));
        let usable = quarter - reserve(limit);
        let mut used = 0_u32;
        for tenth in 0..seconds * 10 {
            let now = at(0) + TimeDelta::milliseconds(tenth * 100);
            if it.ask(Resource::Core, Urgency::Routine, now).is_ok() {
                it.answered(Resource::Core);
                used += 1;
                it.told(Resource::Core, window(limit, quarter - used, seconds));
            }
            let even = f64::from(usable) * (tenth as f64 / 10.0) / seconds as f64;
            prop_assert!(f64::from(used) <= even + 2.0, "{used} after {tenth} tenths, {even} would be even");
        }
        // Asked ten times a second, a pace finer than that cannot be kept up with.
        let most = usable.min(u32::try_from(seconds * 5).unwrap_or(u32::MAX));
        prop_assert!(f64::from(used) >= f64::from(most) * 0.8, "{used} of {usable}");
    }
}
