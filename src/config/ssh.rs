//! Keys for git over SSH: the private key that we show, and the host keys that we accept.
//!
//! Both are read here, so that a key that cannot be used is told at the start with its origin. They
//! go to [`crate::git`], which connects.

use std::str::FromStr;

use russh::keys::ssh_key::{Algorithm, Fingerprint, HashAlg, PublicKey};
use russh::keys::{PrivateKey, decode_secret_key};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::problem::Problem;
use super::values::{Refused, address};

/// What is needed to reach one server by SSH. `Debug` shows no key.
#[derive(Debug, Clone, Default)]
pub struct SshKeys {
    /// Private key, as text of an OpenSSH or PKCS#8 file.
    pub key: Option<SecretString>,
    /// What the private key is encrypted with.
    pub passphrase: Option<SecretString>,
    /// The server's keys that are accepted; any other is refused.
    pub host_keys: Vec<HostKey>,
}

/// A key of a server that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKey {
    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    Fingerprint(Fingerprint),
    /// The key itself, from a line of `known_hosts`.
    Key(Box<PublicKey>),
}

impl HostKey {
    /// Whether this is the key.
    pub fn is(&self, key: &PublicKey) -> bool {
        match self {
            Self::Fingerprint(it) => key.fingerprint(it.algorithm()) == *it,
            Self::Key(it) => it.key_data() == key.key_data(),
        }
    }

    /// The kind of key, where it is known.
    pub fn algorithm(&self) -> Option<Algorithm> {
        match self {
            Self::Fingerprint(_) => None,
            Self::Key(it) => Some(it.algorithm()),
        }
    }
}

impl FromStr for HostKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        host_key(text).map_err(|it| format!("{}; {}", it.found, it.accepted))
    }
}

/// A fingerprint, or a line of `known_hosts`, of which only kind and key are looked at.
pub(crate) fn host_key(text: &str) -> Result<HostKey, Refused> {
    const ACCEPTED: &str = "write a fingerprint, as in `SHA256:…` (ssh-keygen -lf FILE prints it), or a line of \
                            known_hosts, as in `ssh-ed25519 AAAA…` (ssh-keyscan prints it)";
    let refused = || Refused::of(text, ACCEPTED);
    if text.starts_with("SHA256:") || text.starts_with("SHA512:") {
        return text.trim_end_matches('=').parse().map(HostKey::Fingerprint).map_err(|_| refused());
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    // `@cert-authority` and `@revoked` mean something else than "this is the key".
    if text.starts_with('@') {
        return Err(refused());
    }
    let pairs = words.iter().zip(words.iter().skip(1)).take(2);
    let key = pairs.filter_map(|(kind, key)| PublicKey::from_openssh(&format!("{kind} {key}")).ok()).next();
    key.map(|it| HostKey::Key(Box::new(it))).ok_or_else(refused)
}

/// The private key.
///
/// # Errors
/// What is wrong with it, and the mend; never the key.
pub fn private_key(key: &SecretString, passphrase: Option<&SecretString>) -> Result<PrivateKey, (String, String)> {
    const MAKE: &str = "make one with `ssh-keygen -t ed25519` and give its private half whole, best as `file:PATH`";
    let told = |found: &str, accepted: &str| (found.to_owned(), accepted.to_owned());
    let text = key.expose_secret();
    // Without one, a key that has a passphrase says so.
    let found = decode_secret_key(text, passphrase.map(ExposeSecret::expose_secret));
    let encrypted = || told("the private key is encrypted and no passphrase is given", "set the passphrase's key too");
    let found = match found {
        Ok(found) => found,
        Err(russh::keys::Error::KeyIsEncrypted) => return Err(encrypted()),
        Err(_) if passphrase.is_some() => {
            return Err(told("is no private key that the passphrase opens", MAKE));
        }
        Err(_) if text.contains("ENCRYPTED") => return Err(encrypted()),
        Err(_) => return Err(told("is no private key of OpenSSH's or PKCS#8's form", MAKE)),
    };
    match found.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => Ok(found),
        // The only RSA code for private keys that could be had leaks them by its timing (RUSTSEC-2023-0071).
        other => Err((format!("is a private key of the kind {other}, which is not used"), MAKE.to_owned())),
    }
}

impl SshKeys {
    /// What is wrong with the keys of a section (`github`), if `url` is to be reached by SSH.
    pub(crate) fn problems(&self, section: &str, url: Option<(&str, &Url)>) -> Vec<Problem> {
        let Self { key, passphrase, host_keys } = self;
        let named = |name: &str| format!("{section}.{name}");
        let mut problems = Vec::new();
        if let Some(Err((found, accepted))) = key.as_ref().map(|it| private_key(it, passphrase.as_ref())) {
            problems.push(Problem::new(&named("ssh_key"), found, accepted));
        }
        if let Some((address, _)) = url.filter(|(_, url)| url.scheme() == "ssh") {
            if key.is_none() {
                let found = format!("is missing while `{address}` is an ssh address");
                let accepted = "give the private half of a key that the server knows, best as `file:PATH`";
                problems.push(Problem::new(&named("ssh_key"), found, accepted));
            }
            if host_keys.is_empty() {
                let found = format!(
                    "holds no key while `{address}` is an ssh address, so that no server could be told from another"
                );
                let accepted = "write the server's fingerprint from a source that you trust, as in `[\"SHA256:…\"]`";
                problems.push(Problem::new(&named("ssh_host_keys"), found, accepted));
            }
        }
        problems
    }
}

/// An address as [`address`] takes it, or `ssh://[user@]host[:port][/path]`.
pub(crate) fn git_address(text: &str) -> Result<Url, Refused> {
    if text.starts_with("ssh:") { ssh_address(text) } else { address(text) }
}

/// `ssh://[user@]host[:port][/path]`, no password; a final slash is cut.
pub(crate) fn ssh_address(text: &str) -> Result<Url, Refused> {
    const ACCEPTED: &str = "write an address, as in `ssh://git@example.org` or `ssh://git@example.org:6611`";
    let mut url: Url = text.parse().map_err(|_| Refused::of(text, ACCEPTED))?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    let bare = url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    let whole = url.scheme() == "ssh" && url.host_str().is_some_and(|it| !it.is_empty());
    if bare && whole { Ok(url) } else { Err(Refused::of(text, ACCEPTED)) }
}

/// A key's fingerprint, as `ssh-keygen -l` prints it.
pub fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use russh::keys::ssh_key::LineEnding;

    use super::*;

    fn made(algorithm: Algorithm) -> PrivateKey {
        PrivateKey::random(&mut russh::keys::key::safe_rng(), algorithm).unwrap()
    }

    fn text(key: &PrivateKey) -> SecretString {
        SecretString::from(key.to_openssh(LineEnding::LF).unwrap().trim_end().to_owned())
    }

    #[test]
    fn a_host_key_is_a_fingerprint_or_a_line_of_known_hosts() {
        let key = made(Algorithm::Ed25519).public_key().clone();
        let line = key.to_openssh().unwrap();
        let (kind, body) = line.split_once(' ').unwrap();
        let body = body.split(' ').next().unwrap();
        let print = fingerprint(&key);
        for text in [
            print.clone(),
            format!("{print}="),
            line.clone(),
            format!("{kind} {body} a comment"),
            format!("[git.example.org]:6611,10.0.0.1 {kind} {body}"),
            format!("|1|c2FsdA==|aGFzaA== {kind} {body} x"),
        ] {
            let pinned = host_key(&text).unwrap();
            assert!(pinned.is(&key), "{text}");
            assert!(!pinned.is(made(Algorithm::Ed25519).public_key()), "{text}");
        }
        let cut = body.get(..20).unwrap();
        let revoked = format!("@revoked host {kind} {body}");
        for wrong in ["", "SHA256:", "MD5:aa:bb", "github.com", &format!("{kind} {cut}"), &revoked] {
            assert!(host_key(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_used_says_why_and_is_not_shown() {
        let key = made(Algorithm::Ed25519);
        assert_eq!(private_key(&text(&key), None).unwrap().public_key(), key.public_key());
        let mut rng = russh::keys::key::safe_rng();
        let locked = text(&key.encrypt(&mut rng, "pass word").unwrap());
        let (right, wrong) = (SecretString::from("pass word"), SecretString::from("other"));
        assert!(private_key(&locked, Some(&right)).is_ok());
        assert!(private_key(&locked, Some(&wrong)).unwrap_err().0.contains("passphrase"));
        assert!(private_key(&locked, None).unwrap_err().0.contains("encrypted"));
        let body = text(&key).expose_secret().lines().nth(2).unwrap().to_owned();
        for broken in ["", "ssh-ed25519 AAAA", &text(&key).expose_secret()[..150]] {
            let (found, accepted) = private_key(&SecretString::from(broken), None).unwrap_err();
            assert!(accepted.contains("ed25519") && !found.contains(&body), "{found}");
        }
    }

    #[test]
    fn an_ssh_address_needs_a_key_and_a_pinned_host_key() {
        let url: Url = "ssh://git@github.com".parse().unwrap();
        let keys = |keys: &SshKeys| -> Vec<String> {
            keys.problems("github", Some(("github.git_url", &url))).into_iter().map(|it| it.key).collect()
        };
        assert_eq!(keys(&SshKeys::default()), ["github.ssh_key", "github.ssh_host_keys"]);
        assert_eq!(SshKeys::default().problems("github", None), []);
        let wrong = SshKeys { key: Some(SecretString::from("x")), ..SshKeys::default() };
        assert_eq!(wrong.problems("github", None).len(), 1);
        assert!(!format!("{wrong:?}").contains("\"x\""));
    }

    #[test]
    fn addresses_of_both_kinds_are_read() {
        for fine in ["ssh://git@github.com", "ssh://x:6611/", "ssh://git@[::1]:22/base", "https://github.com/"] {
            assert!(git_address(fine).is_ok(), "{fine}");
        }
        assert_eq!(git_address("ssh://git@x:1/a/").unwrap().as_str(), "ssh://git@x:1/a");
        for wrong in ["ssh://", "ssh:x", "ssh://git:pw@x", "ssh://x/?a", "git@github.com:a", "ftp://x", "ssh:///a"] {
            assert!(git_address(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "\\PC{0,80}") {
            let _ = (host_key(&text), git_address(&text), private_key(&SecretString::from(text.clone()), None));
        }
    }
}
