//! What the other side says, made fit for logs and errors: text, bounded, without control
//! characters and without our own credentials should it echo them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

/// Parts of a credential shorter than this are no secret worth hiding (`x`, `git`).
const SHORTEST_SECRET: usize = 6;

/// Texts that must not appear anywhere. `Debug` shows only how many there are.
#[derive(Clone, Default)]
pub(crate) struct Redactor(Vec<SecretString>);

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(secrets) = self;
        write!(f, "Redactor({} secrets)", secrets.len())
    }
}

impl Redactor {
    /// All spellings of a credential that a server could echo: the header's value, its second word,
    /// and for `Basic` both decoded halves.
    pub(crate) fn of(authorization: Option<&SecretString>) -> Self {
        let Some(value) = authorization.map(ExposeSecret::expose_secret) else { return Self::default() };
        let mut secrets = vec![value.to_owned()];
        if let Some((_, credential)) = value.split_once(' ') {
            secrets.push(credential.to_owned());
            let decoded = STANDARD.decode(credential).ok().and_then(|it| String::from_utf8(it).ok());
            secrets.extend(decoded.iter().flat_map(|it| it.split(':')).map(str::to_owned));
        }
        secrets.retain(|it| it.len() >= SHORTEST_SECRET && it != "x-access-token");
        secrets.sort_by_key(|it| std::cmp::Reverse(it.len()));
        Self(secrets.into_iter().map(SecretString::from).collect())
    }

    /// One line of at most about `limit` bytes.
    pub(crate) fn line(&self, bytes: &[u8], limit: usize) -> String {
        self.text(bytes, limit).split('\n').map(str::trim).filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" | ")
    }

    /// Text of at most about `limit` bytes; line feeds stay.
    pub(crate) fn text(&self, bytes: &[u8], limit: usize) -> String {
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        for secret in &self.0 {
            if text.contains(secret.expose_secret()) {
                text = text.replace(secret.expose_secret(), "***");
            }
        }
        let mut out = String::with_capacity(text.len().min(limit));
        for letter in text.chars() {
            if out.len() >= limit {
                out.push('…');
                break;
            }
            match letter {
                '\n' | '\r' => out.push('\n'),
                '\t' => out.push(' '),
                it if it.is_control() || matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {}
                it => out.push(it),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_that_is_echoed_is_not_repeated_in_any_spelling() {
        let secret = SecretString::from(format!("Basic {}", STANDARD.encode("x-access-token:ghp_secret123")));
        let redactor = Redactor::of(Some(&secret));
        let echo = format!("bad: ghp_secret123 ({})", secret.expose_secret());
        let line = redactor.line(echo.as_bytes(), 500);
        assert_eq!(line, "bad: *** (***)");
        assert_eq!(format!("{redactor:?}"), "Redactor(3 secrets)");
    }

    #[test]
    fn control_characters_go_and_length_is_bounded() {
        let none = Redactor::default();
        assert_eq!(none.line(b"\x1b[31mred\x1b[0m\r\nnext\0\xff", 100), "[31mred[0m | next\u{fffd}");
        assert!(none.text(&vec![b'a'; 10_000], 64).len() < 70);
    }
}
