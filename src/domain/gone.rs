//! The line in front of a project's description that says that its upstream has gone.

use chrono::{DateTime, Utc};

/// What the line begins with, by which it is known again.
const BEGINNING: &str = "[Gone from GitHub since ";

/// The reason goes in with at most so many characters.
const LONGEST_REASON: usize = 400;

/// The line: since when, why, and the stable code. A day is enough, and makes it the same at every look.
pub fn line(since: DateTime<Utc>, code: &str, reason: &str) -> String {
    let reason: String = reason.chars().map(|it| if it.is_control() { ' ' } else { it }).take(LONGEST_REASON).collect();
    format!("{BEGINNING}{}: {reason} ({code}). The copy stays.]", since.format("%Y-%m-%d"))
}

/// A description with the line in front of it, in the place of the one that stands there.
pub fn in_front(line: &str, description: &str) -> String {
    let own = if description.starts_with(BEGINNING) {
        description.split_once('\n').map_or("", |(_, rest)| rest)
    } else {
        description
    };
    format!("{line}\n\n{}", own.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_line_takes_the_place_of_the_first() {
        let at = DateTime::from_timestamp(86_400, 0).unwrap();
        let (first, second) =
            (line(at, "upstream_not_found", "no such\nrepository"), line(at, "upstream_blocked", "shut"));
        assert_eq!(
            first,
            "[Gone from GitHub since 1970-01-02: no such repository (upstream_not_found). The copy stays.]"
        );
        let told = in_front(&first, "says\nhello");
        assert_eq!(told, format!("{first}\n\nsays\nhello"));
        assert_eq!(in_front(&first, &told), told);
        assert_eq!(in_front(&second, &told), format!("{second}\n\nsays\nhello"));
        assert_eq!(in_front(&second, in_front(&first, "").trim()), format!("{second}\n\n"));
    }
}
