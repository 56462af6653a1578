//! Tells people: a signed webhook, a topic at ntfy, mail. Each says the same of a [`Digest`] in its own form.
//!
//! Nothing here remembers anything: what is to be sent, and again, the database knows.

mod http;
mod mail;

use chrono::{DateTime, Utc};

use crate::config::notify::Notify;
use crate::domain::notice::Digest;

/// Why a message was not sent. Never holds a secret, nor the address, which may hold one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
    /// The receiver answered with something else than a success.
    #[error("the receiver answered {0}")]
    Refused(u16),
    /// It could not be reached, or the connection broke.
    #[error("the receiver cannot be reached: {0}")]
    Unreachable(String),
}

impl NotifyError {
    /// The stable word for the log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(_) => "notify_config",
            Self::Refused(_) => "notify_refused",
            Self::Unreachable(_) => "notify_unreachable",
        }
    }
}

/// Every way that is configured.
#[derive(Debug, Clone)]
pub struct Notifier {
    webhook: Option<http::Webhook>,
    ntfy: Option<http::Ntfy>,
    mail: Option<mail::Mail>,
}

impl Notifier {
    /// The ways of the configuration.
    ///
    /// # Errors
    /// [`NotifyError::Config`].
    pub fn new(config: &Notify) -> Result<Self, NotifyError> {
        Ok(Self {
            webhook: http::Webhook::new(config)?,
            ntfy: http::Ntfy::new(config)?,
            mail: mail::Mail::new(config)?,
        })
    }

    /// Their names: `webhook`, `ntfy`, `email`.
    pub fn channels(&self) -> Vec<&'static str> {
        let ways = [("webhook", self.webhook.is_some()), ("ntfy", self.ntfy.is_some()), ("email", self.mail.is_some())];
        ways.into_iter().filter(|it| it.1).map(|it| it.0).collect()
    }

    /// Sends a message one way, `now`; `id` is the same at each try. One that is not configured any more is dropped.
    ///
    /// # Errors
    /// [`NotifyError`]; it may have been received all the same.
    pub async fn send(&self, channel: &str, id: &str, digest: &Digest, now: DateTime<Utc>) -> Result<(), NotifyError> {
        match (channel, &self.webhook, &self.ntfy, &self.mail) {
            ("webhook", Some(it), ..) => it.send(id, digest, now).await,
            ("ntfy", _, Some(it), _) => it.send(digest).await,
            ("email", .., Some(it)) => it.send(id, digest).await,
            _ => Ok(()),
        }
    }
}
