//! Numbers of rounds, and how they are printed.

use std::time::Duration;

/// What was measured in each round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn add_time(&mut self, time: Duration) {
        self.add(time.as_secs_f64());
    }

    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        let at = |it: usize| self.0.get(it).copied().unwrap_or(f64::NAN);
        if self.0.len().is_multiple_of(2) { f64::midpoint(at(middle.wrapping_sub(1)), at(middle)) } else { at(middle) }
    }

    /// The value below which a share of all lies.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).ceil() as usize).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    /// `1.23 s (1.20–1.31)`
    pub(crate) fn seconds(&self) -> String {
        let first = self.0.first().copied().unwrap_or(f64::NAN);
        format!("{} ({}–{})", seconds(self.median()), seconds(first), seconds(self.max()))
    }
}

/// A time, in the unit that fits.
pub(crate) fn seconds(time: f64) -> String {
    if time < 0.001 {
        format!("{:.0} µs", time * 1e6)
    } else if time < 1.0 {
        format!("{:.1} ms", time * 1e3)
    } else {
        format!("{time:.2} s")
    }
}

/// Bytes as MB.
pub(crate) fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

/// One line that has no target.
pub(crate) fn line(what: &str, value: &str) {
    println!("{what:<62} {value}");
}

/// One line with its target, which is met at `limit` or below.
pub(crate) fn at_most(what: &str, value: f64, limit: f64, unit: fn(f64) -> String) {
    judged(what, &unit(value), "≤", &unit(limit), value <= limit);
}

/// One line with its target, which is met at `limit` or above.
pub(crate) fn at_least(what: &str, value: f64, limit: f64, unit: fn(f64) -> String) {
    judged(what, &unit(value), "≥", &unit(limit), value >= limit);
}

fn judged(what: &str, value: &str, sign: &str, limit: &str, met: bool) {
    println!("{what:<62} {value:<12} target {sign} {limit:<10} {}", if met { "ok" } else { "MISSED" });
}

/// A ratio.
pub(crate) fn times(ratio: f64) -> String {
    format!("{ratio:.3} ×")
}
