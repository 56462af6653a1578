//! Percent-escapes, undone as strictly as the server that is played does it.

/// The bytes behind a text's escapes; `None` for a `%` without two hex digits behind it.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit =
                    |it: Option<u8>| it.and_then(|it| char::from(it).to_digit(16)).and_then(|it| u8::try_from(it).ok());
                digit(bytes.next())? * 16 + digit(bytes.next())?
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_or_refused() {
        assert_eq!(decode("a%2Fb+c", false).unwrap(), b"a/b+c");
        assert_eq!(decode("a+b", true).unwrap(), b"a b");
        assert_eq!(decode("100%", true), None);
        assert_eq!(decode("%zz", true), None);
    }
}
