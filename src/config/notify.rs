//! `notify.*`: who is told what became of mirrors, and how.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::problem::Problem;
use super::rules::{counting, lasting, plain_http};
use super::values::{Refused, Values, address, flag, header_problem, number, words};
use super::{Section, duration};

/// The `notify` section.
#[derive(Debug, Clone)]
pub struct Notify {
    /// What changes within this time is one message.
    pub digest: Duration,
    /// Mirrors that a message names; of the others it says how many they are.
    pub names: usize,
    /// Where a signed JSON message is posted.
    pub webhook_url: Option<Url>,
    /// Signs it.
    pub webhook_secret: Option<SecretString>,
    /// A topic at an ntfy server.
    pub ntfy_url: Option<Url>,
    /// Bearer token of that server, where it wants one.
    pub ntfy_token: Option<SecretString>,
    /// A mail server: `smtps://`, or `smtp://` with STARTTLS (none for a loopback address).
    pub smtp_url: Option<Url>,
    /// The name to sign in with, if any.
    pub smtp_user: Option<String>,
    /// The password to sign in with.
    pub smtp_password: Option<SecretString>,
    /// Whom mail is from.
    pub mail_from: Option<String>,
    /// Whom mail goes to.
    pub mail_to: Vec<String>,
    /// Accept plain http to addresses other than loopback.
    pub insecure_http: bool,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            digest: Duration::from_secs(300),
            names: 20,
            webhook_url: None,
            webhook_secret: None,
            ntfy_url: None,
            ntfy_token: None,
            smtp_url: None,
            smtp_user: None,
            smtp_password: None,
            mail_from: None,
            mail_to: Vec::new(),
            insecure_http: false,
        }
    }
}

impl Section for Notify {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self {
            digest,
            names,
            webhook_url,
            webhook_secret,
            ntfy_url,
            ntfy_token,
            smtp_url,
            smtp_user,
            smtp_password,
            mail_from,
            mail_to,
            insecure_http,
        } = &mut it;
        values.set("notify.digest", digest, duration::parse);
        values.set("notify.names", names, number);
        values.set_option("notify.webhook_url", webhook_url, address);
        values.set_secret("notify.webhook_secret", webhook_secret);
        values.set_option("notify.ntfy_url", ntfy_url, address);
        values.set_secret("notify.ntfy_token", ntfy_token);
        values.set_option("notify.smtp_url", smtp_url, mail_server);
        values.set_option("notify.smtp_user", smtp_user, words);
        values.set_secret("notify.smtp_password", smtp_password);
        values.set_option("notify.mail_from", mail_from, mailbox);
        values.set_list("notify.mail_to", mail_to, mailbox);
        values.set("notify.insecure_http", insecure_http, flag);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self {
            digest,
            names,
            webhook_url,
            webhook_secret,
            ntfy_url,
            ntfy_token,
            smtp_url,
            smtp_user,
            smtp_password,
            mail_from,
            mail_to,
            insecure_http,
        } = self;
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        let mut problems: Vec<Problem> = lasting("notify.digest", *digest, second, day).into_iter().collect();
        problems.extend(counting("notify.names", *names as u64, 0, 1_000));
        problems.extend(plain_http("notify.webhook_url", webhook_url.as_ref(), *insecure_http));
        problems.extend(plain_http("notify.ntfy_url", ntfy_url.as_ref(), *insecure_http));
        problems.extend(header_problem("notify.ntfy_token", ntfy_token.as_ref()));
        problems.extend(
            [
                lacking(
                    ("notify.webhook_url", webhook_url.is_some()),
                    ("notify.webhook_secret", webhook_secret.is_some()),
                ),
                lacking(("notify.smtp_url", smtp_url.is_some()), ("notify.mail_from", mail_from.is_some())),
                lacking(("notify.smtp_url", smtp_url.is_some()), ("notify.mail_to", !mail_to.is_empty())),
                lacking(("notify.smtp_user", smtp_user.is_some()), ("notify.smtp_password", smtp_password.is_some())),
            ]
            .into_iter()
            .flatten(),
        );
        problems
    }
}

/// A key that does not go without another.
fn lacking((key, set): (&str, bool), (other, other_set): (&str, bool)) -> Option<Problem> {
    (set && !other_set)
        .then(|| Problem::new(key, format!("is set while `{other}` is not"), format!("set `{other}` too")))
}

fn mail_server(text: &str) -> Result<Url, Refused> {
    let accepted = "write `smtps://HOST` or `smtp://HOST`, with a port if it is not the usual one; the name and the \
                    password go to `notify.smtp_user` and `notify.smtp_password`";
    // What was written is not shown: there may be a password in it.
    let refused = || Refused { found: "this is no address of a mail server".to_owned(), accepted: accepted.to_owned() };
    let url = Url::parse(text).map_err(|_| refused())?;
    let plain = matches!(url.scheme(), "smtp" | "smtps")
        && url.host_str().is_some_and(|it| !it.is_empty())
        && url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none();
    if plain { Ok(url) } else { Err(refused()) }
}

fn mailbox(text: &str) -> Result<String, Refused> {
    let fits = text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        && text.len() <= 254
        && text.bytes().all(|it| it.is_ascii_graphic() && !matches!(it, b'<' | b'>' | b',' | b';' | b'"'));
    if fits { Ok(text.to_owned()) } else { Err(Refused::of(text, "write an address, as in `me@example.org`")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_is_an_address_without_a_password() {
        for right in ["smtps://mail.example.org", "smtp://127.0.0.1:2525"] {
            assert!(mail_server(right).is_ok(), "{right}");
        }
        for wrong in ["mail.example.org", "https://mail.example.org", "smtps://me:secret@mail.example.org", "smtp://"] {
            let refused = mail_server(wrong).unwrap_err();
            assert!(!refused.found.contains("secret"), "{wrong}");
        }
        assert!(mailbox("me@example.org").is_ok() && mailbox("me").is_err() && mailbox("a@b\r\nBcc: c@d").is_err());
    }

    #[test]
    fn what_does_not_go_without_the_other_is_told() {
        let url = |text: &str| Some(Url::parse(text).unwrap());
        let notify =
            Notify { webhook_url: url("http://example.org/x"), smtp_url: url("smtp://h"), ..Notify::default() };
        assert_eq!(notify.problems().len(), 4, "{:?}", notify.problems());
        assert!(Notify::default().problems().is_empty());
    }
}
