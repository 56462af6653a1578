//! "Did you mean …?" for a key that does not exist.

/// The known key that is most likely meant: the same word in another section, else the one with the
/// fewest changed letters, if they are few.
pub(crate) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let word = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let mut same_word = known.clone().filter(|key| word(key) == word(unknown));
    if let (Some(only), None) = (same_word.next(), same_word.next()) {
        return Some(only);
    }
    let few = (unknown.chars().count() / 4).max(2);
    known.map(|key| (distance(unknown, key), key)).filter(|(changes, _)| *changes <= few).min().map(|(_, key)| key)
}

/// Levenshtein's distance. One row of the table is kept; bounded by the caller's short keys.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(100).enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for ((y, diagonal), above) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != *y)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_changed_letters() {
        for (a, b, changes) in [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("a", "b", 1)]
        {
            assert_eq!(distance(a, b), changes, "{a} {b}");
        }
    }

    #[test]
    fn a_slip_finds_its_key_and_a_stranger_finds_none() {
        let known = ["sync.workers", "sync.lease", "stars.users", "github.token", "onedev.token"];
        let ask = |unknown| nearest(unknown, known.iter().copied());
        assert_eq!(ask("sync.worker"), Some("sync.workers"));
        assert_eq!(ask("github.tokn"), Some("github.token"));
        assert_eq!(ask("github.workers"), Some("sync.workers"));
        assert_eq!(ask("workers"), Some("sync.workers"));
        assert_eq!(ask("weather.forecast"), None);
    }
}
