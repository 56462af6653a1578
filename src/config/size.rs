//! Sizes as people write them: `26214400`, `64KiB`, `32MiB`, `2GiB`.

use super::values::Refused;

/// The accepted form, for messages.
const ACCEPTED: &str = "write bytes or a unit of 1024, as in `65536`, `64KiB`, `32MiB` or `2GiB`";

/// Units in bytes, the largest first.
const UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a size in bytes.
pub(crate) fn parse(text: &str) -> Result<u64, Refused> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(|| Refused::of(text, ACCEPTED))?;
    let unit = if unit.is_empty() { "B" } else { unit.trim() };
    let found = UNITS.iter().find(|(name, _)| *name == unit);
    let (Ok(number), Some((_, factor))) = (number.parse::<u64>(), found) else {
        return Err(Refused::of(text, ACCEPTED));
    };
    number.checked_mul(*factor).ok_or_else(|| Refused::of(text, ACCEPTED))
}

/// Reads a size, or `off`.
pub(crate) fn parse_or_off(text: &str) -> Result<Option<u64>, Refused> {
    if text == "off" {
        return Ok(None);
    }
    parse(text).map(Some).map_err(|mut refused| {
        refused.accepted.push_str(", or `off`");
        refused
    })
}

/// Writes a size in the largest unit that is exact.
pub fn text(bytes: u64) -> String {
    let exact = UNITS.iter().find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor));
    match exact {
        Some((unit, factor)) if *factor > 1 => format!("{}{unit}", bytes / factor),
        _ => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_and_units_are_read() {
        for (written, bytes) in [("0", 0), ("26214400", 26_214_400), ("64KiB", 65_536), ("16MiB", 16 << 20)] {
            assert_eq!(parse(written).unwrap(), bytes, "{written}");
        }
        assert_eq!(parse_or_off("off").unwrap(), None);
        assert_eq!(parse_or_off("1 GiB").unwrap(), Some(1 << 30));
    }

    #[test]
    fn other_units_are_refused_with_the_form() {
        for wrong in ["", "MiB", "-1", "1.5MiB", "1MB", "1mib", "99999999999TiB", "off"] {
            assert!(parse(wrong).unwrap_err().accepted.contains("`32MiB`"), "{wrong}");
        }
        assert!(parse_or_off("of").unwrap_err().accepted.contains("`off`"));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bytes: u64) {
            prop_assert_eq!(parse(&text(bytes)).unwrap(), bytes);
        }

        #[test]
        fn garbage_never_panics(garbage in "\\PC*") {
            let _ = parse_or_off(&garbage);
        }

        #[test]
        fn near_garbage_never_panics(garbage in "[0-9]{0,30}[ A-Za-z\u{e9}]{0,4}") {
            let _ = parse(&garbage);
        }
    }
}
