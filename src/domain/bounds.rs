//! How much is kept: of one upstream, and of all together.

/// Sizes as GitHub computes them, in bytes; `None` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// Of one upstream: `sync.max_bytes`.
    pub each: Option<u64>,
    /// Of all together: `policy.max_total_bytes`.
    pub total: Option<u64>,
}

/// Why an upstream is not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// It is too large by itself.
    Each(u64),
    /// There is no room for it beside the others.
    Total(u64),
}

impl Bounds {
    /// Whether an upstream of so many bytes may be kept by itself.
    ///
    /// # Errors
    /// The bound that it is beyond.
    pub fn check_each(self, bytes: u64) -> Result<(), Beyond> {
        match self.each {
            Some(most) if bytes > most => Err(Beyond::Each(most)),
            _ => Ok(()),
        }
    }

    /// Whether it may be kept beside so many bytes that are kept already.
    ///
    /// # Errors
    /// The bound that both together are beyond.
    pub fn check_total(self, bytes: u64, kept: u64) -> Result<(), Beyond> {
        match self.total {
            Some(most) if kept.saturating_add(bytes) > most => Err(Beyond::Total(most)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_a_bound_is_within_it() {
        let bounds = Bounds { each: Some(10), total: Some(100) };
        assert_eq!(bounds.check_each(10), Ok(()));
        assert_eq!(bounds.check_each(11), Err(Beyond::Each(10)));
        assert_eq!(bounds.check_total(10, 90), Ok(()));
        assert_eq!(bounds.check_total(10, 91), Err(Beyond::Total(100)));
        assert_eq!(bounds.check_total(u64::MAX, 1), Err(Beyond::Total(100)));
        assert_eq!(Bounds::default().check_total(u64::MAX, u64::MAX), Ok(()));
    }
}
