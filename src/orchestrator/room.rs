//! Whether there is room for one more upstream: `policy.max_total_bytes`. Every new mirror asks, and to count what is
//! kept takes the longer the more mirrors there are; so a count holds for a while, and the longer the more it met.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::domain::bounds::{Beyond, Bounds};
use crate::store::mirrors::{self, InAll};
use crate::store::{Store, StoreError};

/// So many mirrors make a count hold for a millisecond more: a handful not at all, 100,000 for ten seconds.
const FOR_A_MILLISECOND: u64 = 10;

/// What was counted last.
#[derive(Debug, Default)]
pub struct Room(Mutex<Option<Count>>);

/// There is none: so much is allowed, and so much is kept. Bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full {
    pub(super) most: u64,
    pub(super) kept: u64,
}

#[derive(Debug)]
struct Count {
    kept: u64,
    /// What was let in since.
    since: u64,
    until: Instant,
}

impl Room {
    /// Lets an upstream of so many bytes in, or says why not.
    pub(super) async fn take(&self, store: &Store, bounds: Bounds, bytes: u64) -> Result<Result<(), Full>, StoreError> {
        // One counts, and the others wait for it.
        let mut known = self.0.lock().await;
        if let Some(answer) = known.as_mut().and_then(|it| it.answer(bounds, bytes, Instant::now())) {
            return Ok(answer);
        }
        let counted = store.read(mirrors::kept_in_all).await?;
        Ok(known.insert(Count::of(counted, Instant::now())).take(bounds, bytes))
    }
}

impl Count {
    fn of(InAll { bytes, mirrors }: InAll, now: Instant) -> Self {
        Self { kept: bytes, since: 0, until: now + Duration::from_millis(mirrors / FOR_A_MILLISECOND) }
    }

    /// The answer as far as this count gives one.
    fn answer(&mut self, bounds: Bounds, bytes: u64, now: Instant) -> Option<Result<(), Full>> {
        if now >= self.until {
            return None;
        }
        let there = bounds.check_total(bytes, self.kept).is_ok();
        // Who was let in may have come to nothing: nobody is refused because of that.
        let answer = self.take(bounds, bytes);
        if there && answer.is_err() { None } else { Some(answer) }
    }

    fn take(&mut self, bounds: Bounds, bytes: u64) -> Result<(), Full> {
        let kept = self.kept.saturating_add(self.since);
        if let Err(Beyond::Each(most) | Beyond::Total(most)) = bounds.check_total(bytes, kept) {
            return Err(Full { most, kept });
        }
        self.since = self.since.saturating_add(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { each: None, total: Some(100) };

    fn count(bytes: u64, mirrors: u64, now: Instant) -> Count {
        Count::of(InAll { bytes, mirrors }, now)
    }

    #[test]
    fn a_count_holds_the_longer_the_more_mirrors_it_met() {
        let now = Instant::now();
        assert_eq!(count(0, 9, now).answer(BOUNDS, 1, now), None);
        let mut many = count(0, 100_000, now);
        let [last, over] = [9_999, 10_000].map(|it| now + Duration::from_millis(it));
        assert_eq!((many.answer(BOUNDS, 1, last), many.answer(BOUNDS, 1, over)), (Some(Ok(())), None));
    }

    #[test]
    fn who_is_let_in_counts_and_nobody_is_refused_before_it_is_known_again() {
        let now = Instant::now();
        let mut it = count(50, 1_000, now);
        assert_eq!(it.answer(BOUNDS, 30, now), Some(Ok(())));
        assert_eq!(it.answer(BOUNDS, 20, now), Some(Ok(())));
        assert_eq!(it.answer(BOUNDS, 1, now), None, "it may have come to nothing");
        assert_eq!(it.answer(BOUNDS, 51, now), Some(Err(Full { most: 100, kept: 100 })), "there was no room before");
        let mut again = count(100, 1_000, now);
        assert_eq!(again.take(BOUNDS, 1), Err(Full { most: 100, kept: 100 }));
        assert_eq!(again.answer(BOUNDS, 1, now), Some(Err(Full { most: 100, kept: 100 })));
        assert_eq!(again.answer(BOUNDS, 0, now), Some(Ok(())));
    }
}
