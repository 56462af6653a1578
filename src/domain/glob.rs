//! Patterns with `*` (any text, `/` too) and `?` (one character), compared without case as GitHub does with
//! names.

/// Whether all of `text` has the form of `pattern`. Takes time in proportion to the product of their lengths at
/// most, whatever the pattern is.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stands, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while let Some(letter) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(it) if *it == '?' || it.eq_ignore_ascii_case(letter) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern.iter().skip(p).all(|it| *it == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_text() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "octo/hello"),
            ("octo/*", "Octo/Hello"),
            ("*/hello-?", "octo/hello-1"),
            ("*-archive", "octo/x-archive-archive"),
            ("o*o/*l*", "octo/hello"),
            ("octo/hello", "octo/hello"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "x"), ("octo/?", "octo/"), ("octo", "octo/hello"), ("*/x", "octo/xy"), ("octo/h*z", "octo/hello")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    /// The same by trying everything.
    fn slowly(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|it| slowly(rest, &text[it..])),
            Some(('?', rest)) => !text.is_empty() && slowly(rest, &text[1..]),
            Some((letter, rest)) => text.first() == Some(letter) && slowly(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn it_decides_as_trying_everything_would(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text), slowly(&p, &t));
        }

        #[test]
        fn a_text_without_signs_is_its_own_pattern(text in "[a-z/-]{0,20}") {
            prop_assert!(matches(&text, &text) && matches("*", &text));
        }
    }
}
