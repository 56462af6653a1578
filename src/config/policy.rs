//! `policy.*`: what waits for an admin instead of being done.

use super::problem::Problem;
use super::rules::sized;
use super::values::{Refused, Values};
use super::{Section, size};

/// The `policy` section.
#[derive(Debug, Clone)]
pub struct Policy {
    /// A sync that would delete or overwrite more than this share of a project's managed refs, in percent,
    /// and more than ten, waits for an admin; `None` is off.
    pub mass_delete: Option<u8>,
    /// More than this share of a user's stars withdrawn within a day, or of an owner's or a user's mirrors vanished,
    /// in percent, and at least five: nothing is let go or settled as gone before an admin says so; `None` is off.
    pub mass_gone: Option<u8>,
    /// Beyond so many bytes of all upstreams together, their git data as GitHub computes it and what is known of their
    /// LFS objects and files, no further one is taken in; `None` is no bound.
    pub max_total_bytes: Option<u64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { mass_delete: Some(50), mass_gone: Some(5), max_total_bytes: None }
    }
}

impl Section for Policy {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self { mass_delete, mass_gone, max_total_bytes } = &mut it;
        values.set("policy.mass_delete", mass_delete, share_or_off);
        values.set("policy.mass_gone", mass_gone, share_or_off);
        values.set_option("policy.max_total_bytes", max_total_bytes, size::parse);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self { mass_delete: _, mass_gone: _, max_total_bytes } = self;
        max_total_bytes.and_then(|most| sized("policy.max_total_bytes", most, 1, 1 << 60)).into_iter().collect()
    }
}

/// `0%` to `100%`, or `off`.
fn share_or_off(text: &str) -> Result<Option<u8>, Refused> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let number = text.strip_suffix('%').map(str::trim_end).filter(|it| it.bytes().all(|b| b.is_ascii_digit()));
    let share = number.and_then(|it| it.parse().ok()).filter(|it: &u8| *it <= 100);
    share.map(Some).ok_or_else(|| Refused::of(text, "write a share from `0%` to `100%`, or `off`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_whole_percentage_or_off() {
        for (written, read) in [("50%", Some(50)), ("0%", Some(0)), ("100 %", Some(100)), ("off", None), ("OFF", None)]
        {
            assert_eq!(share_or_off(written), Ok(read), "{written}");
        }
        for wrong in ["50", "101%", "-5%", "+5%", "0.5%", "%", "half", "", "5%%", "300%"] {
            assert!(share_or_off(wrong).unwrap_err().accepted.contains("`off`"), "{wrong}");
        }
    }
}
