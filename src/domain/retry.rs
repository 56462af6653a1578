//! Whether and when something that failed may be tried again.

use std::time::Duration;

/// An error's own answer to "may we try again?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The other side asked for this pause (rate limit, booting, busy). No attempt is counted.
    After(Duration),
    /// It may pass: exponential back-off with full jitter, an attempt is counted.
    Backoff,
    /// Trying again changes nothing before somebody acts.
    Never,
}

/// The bounds of backing off: `retry.*` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffRule {
    /// After so many counted attempts the job is dead.
    pub max_attempts: u32,
    /// The first pause is drawn from zero to this.
    pub base: Duration,
    /// No pause is longer.
    pub cap: Duration,
}

impl BackoffRule {
    /// The pause before the next attempt when `attempts` (at least 1) have failed: full jitter, drawn
    /// evenly from zero to `base * 2^(attempts-1)`, at most `cap`. `draw` is in `0.0..1.0`.
    /// `None` when the attempts are used up.
    pub fn pause(&self, attempts: u32, draw: f64) -> Option<Duration> {
        if attempts >= self.max_attempts {
            return None;
        }
        let doublings = attempts.saturating_sub(1).min(30);
        let ceiling = self.base.saturating_mul(1 << doublings).min(self.cap);
        Some(ceiling.mul_f64(draw.clamp(0.0, 1.0)))
    }
}

/// A pause that the other side asked for, and up to half as long again: many that were told the same at the same
/// time shall not come back together. `draw` is in `0.0..1.0`.
pub fn spread(pause: Duration, draw: f64) -> Duration {
    pause.saturating_add(pause.mul_f64(draw.clamp(0.0, 1.0) / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_was_asked_for_is_never_shorter() {
        let pause = Duration::from_secs(60);
        assert_eq!([0.0, 0.5, 1.0].map(|it| spread(pause, it).as_secs()), [60, 75, 90]);
        assert_eq!(spread(Duration::ZERO, 0.7), Duration::ZERO);
    }

    const RULE: BackoffRule =
        BackoffRule { max_attempts: 4, base: Duration::from_secs(5), cap: Duration::from_secs(12) };

    #[test]
    fn the_ceiling_doubles_to_the_cap_and_the_draw_is_the_share_of_it() {
        assert_eq!(RULE.pause(1, 1.0), Some(Duration::from_secs(5)));
        assert_eq!(RULE.pause(2, 0.5), Some(Duration::from_secs(5)));
        assert_eq!(RULE.pause(3, 1.0), Some(Duration::from_secs(12)));
        assert_eq!(RULE.pause(3, 0.0), Some(Duration::ZERO));
    }

    #[test]
    fn the_last_attempt_has_no_next_one() {
        assert_eq!(RULE.pause(4, 0.5), None);
    }
}
