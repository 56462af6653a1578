//! The last net under the log: texts that look like credentials are masked in every finished line.
//!
//! The first line of defence is by construction: credentials live in `SecretString`, whose `Debug`
//! prints nothing and which has no `Display`; addresses with a password in them are refused when the
//! configuration is loaded; errors hold no headers. This net is for what comes from outside: a
//! library's debug line, a message of a server that repeats what it was sent.

use std::borrow::Cow;
use std::io;

/// Stands where a credential was.
const MASK: &str = "********";

/// A word that begins like this is a credential, at least [`SHORTEST`] characters after it.
const TOKEN_PREFIXES: [&str; 6] = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"];

/// A word after one of these is a credential. Compared in lower case.
const SCHEMES: [&str; 3] = ["bearer ", "basic ", "token "];

/// Shorter words are prose ("basic set-up", "token is missing").
const SHORTEST: usize = 12;

/// The line with everything masked that looks like a credential.
pub fn redacted(line: &str) -> Cow<'_, str> {
    let mut line = Cow::Borrowed(line);
    for find in [find_key, find_password, find_token, find_authorization] {
        let mut from = 0;
        // Each round masks one place and goes on behind it, so the work is bounded by the line.
        while let Some((start, end)) = find(&line, from) {
            let (Some(before), Some(after)) = (line.get(..start), line.get(end..)) else { break };
            from = start + MASK.len();
            line = Cow::Owned(format!("{before}{MASK}{after}"));
        }
    }
    line
}

/// A private key in PEM form, to its end or, when that is not there, to the end of the line.
fn find_key(line: &str, from: usize) -> Option<(usize, usize)> {
    const END: &str = "PRIVATE KEY-----";
    let label = position(line, from, END)?;
    let start = line.get(..label)?.rfind("-----BEGIN ").filter(|start| *start >= from)?;
    let end = position(line, label + END.len(), END).map_or(line.len(), |at| at + END.len());
    Some((start, end))
}

/// What stands between `://` and `@`.
fn find_password(line: &str, from: usize) -> Option<(usize, usize)> {
    let mut from = from;
    loop {
        let start = position(line, from, "://")? + 3;
        let authority = line.get(start..)?.split(|c: char| c.is_whitespace() || "/?#\"'`<>,)".contains(c)).next()?;
        match authority.rfind('@') {
            Some(length) if authority.get(..length) != Some(MASK) => return Some((start, start + length)),
            _ => from = start,
        }
    }
}

fn find_token(line: &str, from: usize) -> Option<(usize, usize)> {
    let ends = TOKEN_PREFIXES.iter().filter_map(|prefix| {
        let mut from = from;
        loop {
            let start = position(line, from, prefix)?;
            let end = start + word_length(line, start);
            if end - start >= prefix.len() + SHORTEST {
                return Some((start, end));
            }
            from = start + prefix.len();
        }
    });
    ends.min()
}

fn find_authorization(line: &str, from: usize) -> Option<(usize, usize)> {
    let lower = line.to_ascii_lowercase();
    let ends = SCHEMES.iter().filter_map(|scheme| {
        let mut from = from;
        loop {
            let start = position(&lower, from, scheme)? + scheme.len();
            let end = start + word_length(line, start);
            if end - start >= SHORTEST {
                return Some((start, end));
            }
            from = start;
        }
    });
    ends.min()
}

fn position(line: &str, from: usize, text: &str) -> Option<usize> {
    line.get(from..)?.find(text).map(|at| from + at)
}

/// Bytes of the word that begins at `start`: letters, digits and what base64 and JWTs are made of.
fn word_length(line: &str, start: usize) -> usize {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+' | b'/' | b'=' | b'~');
    line.bytes().skip(start).take_while(is_word).count()
}

/// A writer that takes whole lines and masks each; the log formats a line whole before it writes.
pub(crate) struct Redacting<W>(pub(crate) W);

impl<W: io::Write> io::Write for Redacting<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(line) {
            Ok(text) => self.0.write_all(redacted(text).as_bytes())?,
            Err(_) => self.0.write_all(redacted(&String::from_utf8_lossy(line)).as_bytes())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_are_masked_and_the_rest_stays() {
        for (line, clean) in [
            ("nothing here", "nothing here"),
            ("got ghp_0123456789abcdefABCD back", "got ******** back"),
            ("two ghs_0123456789abcd, github_pat_0123456789ab_cd", "two ********, ********"),
            ("Authorization: Bearer eyJhbGci.eyJpc3Mi.c2ln-_x end", "Authorization: Bearer ******** end"),
            ("authorization: basic eC1hY2Nlc3MtdG9rZW46Z2g=\"", "authorization: basic ********\""),
            ("at https://me:pass@host/x and http://tok@h/", "at https://********@host/x and http://********@h/"),
            ("mail me@example.org at https://host/@me", "mail me@example.org at https://host/@me"),
            (
                "a basic set-up; the token is missing; bearer of news",
                "a basic set-up; the token is missing; bearer of news",
            ),
            ("key -----BEGIN RSA PRIVATE KEY-----\\nMIIE\\n-----END RSA PRIVATE KEY----- end", "key ******** end"),
            ("cut -----BEGIN PRIVATE KEY-----\\nMIIE", "cut ********"),
            ("ghp_ and ghp_short", "ghp_ and ghp_short"),
        ] {
            assert_eq!(redacted(line), clean, "{line}");
            assert_eq!(redacted(clean), clean, "masking twice changes nothing");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_taken(line in "\\PC*(://|@|ghp_|Bearer |-----BEGIN |PRIVATE KEY-----|\u{e9}){0,9}\\PC*") {
            let _ = redacted(&line);
        }

        #[test]
        fn a_token_is_masked_wherever_it_stands(before in "\\PC*", token in "ghs_[a-zA-Z0-9]{20,60}", after in "\\PC*") {
            let line = format!("{before} {token} {after}");
            prop_assert!(!redacted(&line).contains(&token));
        }
    }
}
