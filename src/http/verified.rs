//! Keys that were verified a moment ago, and how often keys are used.
//!
//! Both live in memory and are bounded. Remembered is only that a text is the key of a hash, never that it may do
//! something: that is asked of its row each time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::domain::api_key::FullKey;

/// Argon2 is run again after so long at most.
const LIFETIME: Duration = Duration::from_secs(300);
/// Keys remembered at most; beyond it the cache begins anew.
const MOST: usize = 1_024;

/// Which whole keys are of which hashes, and until when that is believed. Keyed by SHA-256, so that no key lies in memory.
#[derive(Default)]
pub(super) struct Verified(Mutex<HashMap<[u8; 32], (String, Instant)>>);

impl Verified {
    /// Whether this key was found to be of this hash within the last minutes.
    pub(super) fn knows(&self, key: &FullKey, hash: &str, now: Instant) -> bool {
        let known = lock(&self.0);
        known.get(&digest(key)).is_some_and(|(of, until)| of == hash && now < *until)
    }

    /// It was.
    pub(super) fn remember(&self, key: &FullKey, hash: &str, now: Instant) {
        let digest = digest(key);
        let mut known = lock(&self.0);
        if known.len() >= MOST {
            known.retain(|_, (_, until)| now < *until);
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(digest, (hash.to_owned(), now + lifetime(digest)));
    }

    /// It opens nothing any more.
    pub(super) fn forget(&self, key: &FullKey) {
        lock(&self.0).remove(&digest(key));
    }
}

/// Half of it or more: keys that were verified together, after a start, do not all have to be verified again together.
fn lifetime([first, ..]: [u8; 32]) -> Duration {
    LIFETIME / 2 + LIFETIME * u32::from(first) / 512
}

fn digest(key: &FullKey) -> [u8; 32] {
    Sha256::digest(key.expose().as_bytes()).into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The uses of a key are written at most this often.
const WRITTEN_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Uses of a key that its row does not have yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Uses {
    pub(super) count: i64,
    pub(super) at: DateTime<Utc>,
    pub(super) address: IpAddr,
}

/// Counts uses of keys. Only real keys are counted, so there are as many entries as keys that are in use.
#[derive(Default)]
pub(super) struct Counted(Mutex<HashMap<Uuid, (Uses, DateTime<Utc>)>>);

impl Counted {
    /// One more use; gives what is to be written now.
    pub(super) fn note(&self, key: Uuid, address: IpAddr, now: DateTime<Utc>) -> Option<Uses> {
        let mut all = lock(&self.0);
        let first = (Uses { count: 0, at: now, address }, DateTime::UNIX_EPOCH);
        let (uses, written) = all.entry(key).or_insert(first);
        *uses = Uses { count: uses.count + 1, at: now, address };
        take(uses, written, now)
    }

    /// What has gathered and may be written now; forgets keys that are not used any more.
    pub(super) fn due(&self, now: DateTime<Utc>) -> Vec<(Uuid, Uses)> {
        let mut all = lock(&self.0);
        let due = all.iter_mut().filter_map(|(key, (uses, written))| Some((*key, take(uses, written, now)?))).collect();
        all.retain(|_, (uses, written)| uses.count > 0 || now - *written < WRITTEN_EVERY);
        due
    }
}

fn take(uses: &mut Uses, written: &mut DateTime<Utc>, now: DateTime<Utc>) -> Option<Uses> {
    if uses.count == 0 || now - *written < WRITTEN_EVERY {
        return None;
    }
    *written = now;
    Some(Uses { count: std::mem::take(&mut uses.count), ..*uses })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::api_key::RANDOM;

    fn key(number: usize) -> FullKey {
        FullKey::of_random(&std::array::from_fn::<u8, RANDOM, _>(|it| ((it + number) % 60) as u8)).unwrap()
    }

    #[test]
    fn a_key_is_known_for_minutes_and_for_its_hash_only() {
        let (cache, start) = (Verified::default(), Instant::now());
        cache.remember(&key(1), "hash", start);
        assert!(cache.knows(&key(1), "hash", start + LIFETIME / 2 - Duration::from_secs(1)));
        assert!(!cache.knows(&key(1), "another", start));
        assert!(!cache.knows(&key(2), "hash", start));
        assert!(!cache.knows(&key(1), "hash", start + LIFETIME));
        cache.forget(&key(1));
        assert!(!cache.knows(&key(1), "hash", start));
    }

    #[test]
    fn uses_are_written_once_a_minute_and_none_is_lost() {
        let (counted, id, ip) = (Counted::default(), Uuid::from_u128(5), IpAddr::from([203, 0, 113, 7]));
        let at = |seconds: i64| DateTime::from_timestamp(1_750_000_000 + seconds, 0).unwrap();
        assert_eq!(counted.note(id, ip, at(0)), Some(Uses { count: 1, at: at(0), address: ip }));
        for second in 1..60 {
            assert_eq!(counted.note(id, ip, at(second)), None);
        }
        assert!(counted.due(at(59)).is_empty());
        assert_eq!(counted.due(at(60)), [(id, Uses { count: 59, at: at(59), address: ip })]);
        assert!(counted.due(at(300)).is_empty());
        assert!(lock(&counted.0).is_empty());
    }
}
