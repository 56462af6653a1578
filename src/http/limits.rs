//! How often one client may ask: webhooks by a token bucket, wrong admin tokens by a count.
//!
//! Both remember addresses, so both are bounded: what is back to fresh is forgotten, and when there
//! are very many addresses at once they share.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

/// Addresses that are told apart at most; beyond it they share [`CROWDS`] buckets.
const MOST_ADDRESSES: usize = 50_000;
/// Buckets for the rest.
const CROWDS: u64 = 4_096;
/// What is back to fresh is forgotten after so many checks.
const PRUNE_EVERY: u32 = 1_024;

/// Lets a client through, or tells how long it must wait.
pub(super) type Gate = Arc<dyn Fn(IpAddr) -> Result<(), Duration> + Send + Sync>;

/// Webhooks of one address: `rate` a minute, and as many at once. 0 lets everything through.
pub(super) fn webhook_gate(rate: u32) -> Gate {
    gate(rate, DefaultClock::default())
}

/// The same by another clock.
pub(super) fn gate<C>(rate: u32, clock: C) -> Gate
where
    C: Clock + Clone + Send + Sync + 'static,
    C::Instant: Send + Sync + 'static,
{
    let Some(rate) = NonZeroU32::new(rate) else { return Arc::new(|_| Ok(())) };
    let buckets = Buckets::new(rate, clock);
    Arc::new(move |address| buckets.check(address))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Client {
    Address(IpAddr),
    Crowd(u64),
}

struct Buckets<C: Clock> {
    limiter: RateLimiter<Client, DefaultKeyedStateStore<Client>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    checks: AtomicU32,
    hash: RandomState,
}

impl<C: Clock + Clone> Buckets<C> {
    fn new(rate: NonZeroU32, clock: C) -> Self {
        let limiter = RateLimiter::new(Quota::per_minute(rate), DefaultKeyedStateStore::default(), clock.clone());
        Self { limiter, clock, checks: AtomicU32::new(0), hash: RandomState::new() }
    }

    fn check(&self, address: IpAddr) -> Result<(), Duration> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % PRUNE_EVERY == PRUNE_EVERY - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        let network = network(address);
        let client = if self.limiter.len() < MOST_ADDRESSES {
            Client::Address(network)
        } else {
            Client::Crowd(self.hash.hash_one(network) % CROWDS)
        };
        self.limiter.check_key(&client).map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

/// One customer of an IPv6 provider has a /64 at the least: its addresses count as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(it) => IpAddr::V4(it),
        IpAddr::V6(it) => IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() & !u128::from(u64::MAX))),
    }
}

/// Wrong tokens of one address within [`FORGIVEN_AFTER`] before it is shut out for the rest of it.
const MOST_FAILURES: u32 = 20;
/// A count begins anew after so long.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// Counts wrong admin tokens by address.
pub(super) struct Failures {
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    counts: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

impl Failures {
    pub(super) fn new(clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self { clock: Box::new(clock), counts: Mutex::default() }
    }

    /// # Errors
    /// How long the address is still shut out.
    pub(super) fn check(&self, address: IpAddr) -> Result<(), Duration> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((count, since)) = counts.get(&network(address)) else { return Ok(()) };
        let left = FORGIVEN_AFTER.saturating_sub((self.clock)().saturating_duration_since(*since));
        if *count >= MOST_FAILURES && !left.is_zero() { Err(left) } else { Ok(()) }
    }

    /// One more wrong token.
    pub(super) fn note(&self, address: IpAddr) {
        let now = (self.clock)();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MOST_ADDRESSES {
            counts.retain(|_, (_, since)| now.saturating_duration_since(*since) < FORGIVEN_AFTER);
        }
        if counts.len() >= MOST_ADDRESSES {
            // So many at once is no guessing by hand; the token's length is what protects then.
            counts.clear();
        }
        let (count, since) = counts.entry(network(address)).or_insert((0, now));
        if now.saturating_duration_since(*since) >= FORGIVEN_AFTER {
            (*count, *since) = (0, now);
        }
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_of_the_rate_passes_and_the_rest_waits_for_its_share() {
        let clock = FakeRelativeClock::default();
        let gate = gate(6, clock.clone());
        for _ in 0..6 {
            assert_eq!(gate(ip("203.0.113.7")), Ok(()));
        }
        assert_eq!(gate(ip("203.0.113.7")), Err(Duration::from_secs(10)));
        assert_eq!(gate(ip("203.0.113.8")), Ok(()), "another client has a bucket of its own");
        clock.advance(Duration::from_secs(10));
        assert_eq!(gate(ip("203.0.113.7")), Ok(()));
        assert!(gate(ip("203.0.113.7")).is_err());
    }

    #[test]
    fn zero_is_off() {
        let gate = gate(0, FakeRelativeClock::default());
        assert!((0..10_000).all(|_| gate(ip("203.0.113.7")).is_ok()));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_count_as_one() {
        let gate = gate(1, FakeRelativeClock::default());
        assert!(gate(ip("2001:db8::1")).is_ok());
        assert!(gate(ip("2001:db8::ffff")).is_err());
        assert!(gate(ip("2001:db8:0:1::1")).is_ok());
        assert!(gate(ip("203.0.113.7")).is_ok());
        assert!(gate(ip("::ffff:203.0.113.7")).is_err());
    }

    #[test]
    fn many_addresses_take_bounded_room_and_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let buckets = Buckets::new(NonZeroU32::new(60).unwrap(), clock.clone());
        for n in 0..200_000_u32 {
            let _ = buckets.check(IpAddr::from(n.to_be_bytes()));
        }
        assert!(buckets.limiter.len() <= MOST_ADDRESSES + usize::try_from(CROWDS).unwrap());
        clock.advance(Duration::from_secs(120));
        for _ in 0..PRUNE_EVERY {
            let _ = buckets.check(ip("203.0.113.7"));
        }
        assert!(buckets.limiter.len() <= 2, "its own bucket, and the crowd's that it had shared");
    }

    #[test]
    fn who_guesses_is_shut_out_for_the_rest_of_the_minute() {
        let start = Instant::now();
        let now = Arc::new(Mutex::new(start));
        let failures = Failures::new({
            let now = Arc::clone(&now);
            move || *now.lock().unwrap()
        });
        for _ in 0..MOST_FAILURES {
            assert_eq!(failures.check(ip("203.0.113.7")), Ok(()));
            failures.note(ip("203.0.113.7"));
        }
        *now.lock().unwrap() = start + Duration::from_secs(20);
        assert_eq!(failures.check(ip("203.0.113.7")), Err(Duration::from_secs(40)));
        assert_eq!(failures.check(ip("203.0.113.8")), Ok(()));
        *now.lock().unwrap() = start + FORGIVEN_AFTER;
        assert_eq!(failures.check(ip("203.0.113.7")), Ok(()));
        failures.note(ip("203.0.113.7"));
        assert_eq!(failures.check(ip("203.0.113.7")), Ok(()));
    }

    #[test]
    fn failures_take_bounded_room() {
        let failures = Failures::new(Instant::now);
        for n in 0..120_000_u32 {
            failures.note(IpAddr::from(n.to_be_bytes()));
        }
        assert!(failures.counts.lock().unwrap().len() <= MOST_ADDRESSES);
    }
}
