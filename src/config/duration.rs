//! Durations as people write them: `200ms`, `5s`, `30m`, `1h`, `30d`.

use std::time::Duration;

use super::values::Refused;

/// The accepted form, for messages.
const ACCEPTED: &str = "write a whole number and its unit, as in `200ms`, `5s`, `30m`, `1h` or `30d`";

/// Units in milliseconds, the largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration; at most some 584 million years, at least a millisecond unless it is `0s`.
pub(crate) fn parse(text: &str) -> Result<Duration, Refused> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(|| Refused::of(text, ACCEPTED))?;
    let found = UNITS.iter().find(|(name, _)| *name == unit.trim());
    let (Ok(number), Some((_, factor))) = (number.parse::<u64>(), found) else {
        return Err(Refused::of(text, ACCEPTED));
    };
    match number.checked_mul(*factor) {
        Some(milliseconds) => Ok(Duration::from_millis(milliseconds)),
        None => Err(Refused::of(text, ACCEPTED)),
    }
}

/// Reads a duration, or `off`.
pub(crate) fn or_off(text: &str) -> Result<Option<Duration>, Refused> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let accepted = "write a duration as in `60s` or `5m`, or `off`";
    parse(text).map(Some).map_err(|_| Refused::of(text, accepted))
}

/// Writes a duration in the largest unit that is exact; what is finer than a millisecond is cut.
pub fn text(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    let exact = UNITS.iter().find(|(_, factor)| milliseconds.is_multiple_of(*factor));
    let (unit, factor) = exact.copied().unwrap_or(("ms", 1));
    format!("{}{unit}", milliseconds / factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_unit_is_read() {
        for (written, seconds) in [("5s", 5), ("30m", 1800), ("1h", 3600), ("30d", 2_592_000), ("0s", 0), ("5 s", 5)] {
            assert_eq!(parse(written).unwrap(), Duration::from_secs(seconds), "{written}");
        }
        assert_eq!(parse("200ms").unwrap(), Duration::from_millis(200));
    }

    #[test]
    fn what_happens_from_time_to_time_may_be_off() {
        assert_eq!(or_off("OFF").unwrap(), None);
        assert_eq!(or_off("5m").unwrap(), Some(Duration::from_secs(300)));
        assert!(or_off("never").unwrap_err().accepted.contains("`off`"));
    }

    #[test]
    fn what_has_no_unit_or_no_number_is_refused_with_the_form() {
        for wrong in ["", "5", "s", "-5s", "1.5h", "5 weeks", "5S", "99999999999999999999s", "18446744073709551615d"] {
            let refused = parse(wrong).unwrap_err();
            assert!(refused.accepted.contains("`30m`"), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(milliseconds in 0u64..u64::MAX / 2) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse(&text(duration)).unwrap(), duration);
        }

        #[test]
        fn garbage_never_panics(garbage in "\\PC*") {
            let _ = parse(&garbage);
        }

        #[test]
        fn near_garbage_never_panics(garbage in "[0-9]{0,30}[ a-z\u{e9}]{0,3}") {
            let _ = parse(&garbage);
        }
    }
}
