//! Secrets of the dashboard: of a session, which a browser holds in a cookie, and of an invitation, which opens one
//! session without any other secret.
//!
//! Both are 43 characters in base62, which are 256 bits: nobody guesses them, so a plain digest of them may be kept
//! and looked up. Random bytes are an argument, as everything is here that changes from call to call.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LENGTH: usize = 43;

/// Random bytes that a ticket is made of.
pub const RANDOM: usize = 96;

/// What opens. `Debug` does not show it.
#[derive(Clone)]
pub struct Ticket(SecretString);

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(..)")
    }
}

impl Ticket {
    /// A new one out of random bytes; `None` in the rare case that they do not suffice: draw again.
    pub fn of_random(bytes: &[u8; RANDOM]) -> Option<Self> {
        // Bytes beyond the alphabet are left out, so that each character is as likely as any other.
        let characters = bytes.iter().filter_map(|it| ALPHABET.get(usize::from(it & 63))).map(|it| char::from(*it));
        Self::parse(&characters.take(LENGTH).collect::<String>())
    }

    /// One that somebody presents; `None` if it has not the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_well = text.len() == LENGTH && text.bytes().all(|it| it.is_ascii_alphanumeric());
        is_well.then(|| Self(SecretString::from(text)))
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What it is found by: all that is kept of it.
    pub fn id(&self) -> String {
        hex::encode(Sha256::digest(self.expose()))
    }

    /// What a page has to send beside the cookie, which other pages cannot read.
    pub fn csrf_token(&self) -> String {
        self.seal("csrf", b"")
    }

    /// Ties a session to the admin token it was opened with; nobody finds the token by it without the ticket.
    pub fn seal_of_admin_token(&self, token: &SecretString) -> String {
        self.seal("admin token", token.expose_secret().as_bytes())
    }

    /// Whether `text` is the CSRF token, in the same time wherever they differ.
    pub fn is_csrf_token(&self, text: &[u8]) -> bool {
        let right = self.csrf_token();
        text.len() == right.len() && right.bytes().zip(text).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }

    fn seal(&self, purpose: &str, text: &[u8]) -> String {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.expose().as_bytes()) else { return String::new() };
        mac.update(purpose.as_bytes());
        mac.update(b"\0");
        mac.update(text);
        hex::encode(mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(seed: u8) -> Ticket {
        Ticket::of_random(&std::array::from_fn(|it| (it as u8).wrapping_mul(seed))).unwrap()
    }

    #[test]
    fn a_ticket_is_read_back_and_nothing_else_is_one() {
        let one = ticket(1);
        assert_eq!(Ticket::parse(one.expose()).unwrap().id(), one.id());
        assert_ne!(one.id(), ticket(3).id());
        for text in ["", "short", &"a".repeat(42), &"a".repeat(44), &format!("{}=", "a".repeat(42))] {
            assert!(Ticket::parse(text).is_none(), "{text}");
        }
        assert!(Ticket::of_random(&[255; RANDOM]).is_none(), "an unlucky draw");
        assert!(!format!("{one:?}").contains(one.expose()));
    }

    #[test]
    fn what_is_derived_tells_nothing_of_it_and_differs_by_purpose() {
        let one = ticket(1);
        let all = [one.id(), one.csrf_token(), one.seal_of_admin_token(&"token".into())];
        assert!(all.iter().all(|it| it.len() == 64));
        assert!(all[0] != all[1] && all[1] != all[2]);
        assert_ne!(one.seal_of_admin_token(&"token".into()), one.seal_of_admin_token(&"other".into()));
        assert_ne!(one.csrf_token(), ticket(3).csrf_token());
    }

    #[test]
    fn only_the_csrf_token_is_one() {
        let one = ticket(1);
        assert!(one.is_csrf_token(one.csrf_token().as_bytes()));
        for wrong in [String::new(), ticket(3).csrf_token(), one.csrf_token().to_uppercase() + "0", one.id()] {
            assert!(!one.is_csrf_token(wrong.as_bytes()), "{wrong}");
        }
    }
}
