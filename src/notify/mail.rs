//! Mail by SMTP.

use std::net::IpAddr;
use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::ExposeSecret as _;
use url::Url;

use super::NotifyError;
use crate::config::notify::Notify;
use crate::domain::notice::Digest;

/// For each command of the conversation.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For all of it.
const WHOLE: Duration = Duration::from_secs(30);

/// One mail server.
#[derive(Clone)]
pub(super) struct Mail {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

impl Mail {
    pub(super) fn new(config: &Notify) -> Result<Option<Self>, NotifyError> {
        let (Some(url), Some(from)) = (&config.smtp_url, &config.mail_from) else { return Ok(None) };
        let to = config.mail_to.iter().map(|it| mailbox(it)).collect::<Result<_, _>>()?;
        Ok(Some(Self { server: server(url, config)?, from: mailbox(from)?, to }))
    }

    pub(super) async fn send(&self, id: &str, digest: &Digest) -> Result<(), NotifyError> {
        let host = self.from.email.domain();
        let mut mail = Message::builder()
            .from(self.from.clone())
            .subject(digest.title())
            // The same at each try, by which a mailbox may know that it has it.
            .message_id(Some(format!("<{id}@{host}>")))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        let mail = mail.body(digest.text()).map_err(|error| NotifyError::Config(format!("no mail: {error}")))?;
        let late = |_| NotifyError::Unreachable(format!("it took longer than {} s", WHOLE.as_secs()));
        match tokio::time::timeout(WHOLE, self.server.send(mail)).await.map_err(late)? {
            Ok(_) => Ok(()),
            Err(error) => match error.status() {
                Some(code) => Err(NotifyError::Refused(code.into())),
                None => Err(NotifyError::Unreachable(error.to_string())),
            },
        }
    }
}

/// TLS from the start, or before anything else is said; none on this very machine.
fn server(url: &Url, config: &Notify) -> Result<AsyncSmtpTransport<Tokio1Executor>, NotifyError> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let wrong = |error| NotifyError::Config(format!("notify.smtp_url cannot be used: {error}"));
    let mut server = match url.scheme() {
        "smtps" => AsyncSmtpTransport::<Tokio1Executor>::relay(host).map_err(wrong)?,
        _ if is_loopback(host) => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host),
        _ => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host).map_err(wrong)?,
    };
    if let Some(port) = url.port() {
        server = server.port(port);
    }
    if let (Some(user), Some(password)) = (&config.smtp_user, &config.smtp_password) {
        server = server.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
    }
    Ok(server.timeout(Some(TIMEOUT)).build())
}

/// The parser of addresses takes a host of this scheme for a name, whatever it looks like.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

fn mailbox(text: &str) -> Result<Mailbox, NotifyError> {
    text.parse().map_err(|_| NotifyError::Config("notify.mail_from or notify.mail_to is no address".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use chrono::DateTime;

    use super::*;
    use crate::domain::notice::{Change, Kind};

    /// A mail server without TLS; gives what it was told before the client went away.
    fn plain_server(listener: TcpListener) -> std::thread::JoinHandle<String> {
        std::thread::spawn(move || {
            let (stream, mut said) = (listener.accept().unwrap().0, String::new());
            let mut reader = BufReader::new(&stream);
            let _ = (&stream).write_all(b"220 stub ESMTP\r\n");
            loop {
                let mut line = Vec::new();
                if reader.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
                    return said;
                }
                said.push_str(&String::from_utf8_lossy(&line));
                let _ = (&stream).write_all(b"250-stub\r\n250 AUTH PLAIN LOGIN\r\n");
            }
        })
    }

    #[tokio::test]
    async fn a_server_that_offers_no_tls_learns_nothing() {
        let change = Change { kind: Kind::Failed, name: "octo/hello".to_owned(), reason: None };
        let digest = Digest::of(vec![change], 1, DateTime::UNIX_EPOCH).unwrap();
        for scheme in ["smtp", "smtps"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            // An address of this machine that is not written as one.
            let url = format!("{scheme}://[::ffff:127.0.0.1]:{}", listener.local_addr().unwrap().port());
            let server = plain_server(listener);
            let config = Notify {
                smtp_url: Some(url.parse().unwrap()),
                smtp_user: Some("me".to_owned()),
                smtp_password: Some("the password".to_owned().into()),
                mail_from: Some("starkeep@example.org".to_owned()),
                mail_to: vec!["me@example.org".to_owned()],
                ..Notify::default()
            };
            let error = Mail::new(&config).unwrap().unwrap().send("id", &digest).await.unwrap_err();
            assert!(matches!(error, NotifyError::Unreachable(_)), "{scheme}: {error:?}");
            let said = server.join().unwrap();
            assert!(!said.contains("AUTH") && !said.contains("MAIL") && !said.contains("octo"), "{scheme}: {said}");
        }
    }
}
