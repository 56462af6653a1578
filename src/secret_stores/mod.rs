//! Secrets by reference: Vault or `OpenBao` (KV version 2) and AWS Secrets Manager.
//!
//! ```text
//! references of the configuration ─▶ look_up: each secret read once ─▶ its fields
//!                                       ├─▶ vault: a token, or AppRole; the token is renewed
//!                                       └─▶ aws: a signed call of Secrets Manager
//! ```
//!
//! Each request has a time-out, a bound of its answer and three attempts; no redirect is followed, and what was
//! read is in no message.

mod aws;
mod transport;
mod vault;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::config::secret_stores::SecretStores as Settings;
use crate::config::{LookedUp, Reference};

use transport::Transport;

/// Why a secret was not read: what is wrong, and the mend.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    found: String,
    mend: String,
}

impl Failure {
    fn new(found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { found: found.into(), mend: mend.into() }
    }
}

/// The fields of one secret.
type Fields = Map<String, Value>;

/// The stores of a configuration. Made anew for another configuration; kept, it keeps what it has signed in with.
pub struct SecretStores {
    vault: Result<vault::Vault, Failure>,
    aws: Result<aws::SecretsManager, Failure>,
}

impl SecretStores {
    /// Prepares to ask; nothing is sent. What a store lacks is told for each reference to it.
    pub fn new(settings: &Settings) -> Self {
        let transport = Transport::new(settings.timeout);
        Self {
            vault: vault::Vault::new(settings, transport.clone()),
            aws: aws::SecretsManager::new(settings, transport),
        }
    }

    /// Reads every reference's secret; each secret is asked for once, however many of its fields are wanted.
    pub async fn look_up(&self, references: &BTreeSet<Reference>) -> LookedUp {
        let mut read = BTreeMap::new();
        for reference in references {
            if let Entry::Vacant(place) = read.entry(secret_of(reference)) {
                place.insert(self.fields(reference).await);
            }
        }
        let found = |it: &Reference| match read.get(&secret_of(it)) {
            Some(Ok(fields)) => field(fields, name_of_field(it)),
            Some(Err(failure)) => Err(failure.clone()),
            None => Err(Failure::new("was not asked for", "look it up again")),
        };
        references.iter().map(|it| (it.clone(), found(it).map_err(|Failure { found, mend }| (found, mend)))).collect()
    }

    async fn fields(&self, reference: &Reference) -> Result<Fields, Failure> {
        match reference {
            Reference::Vault { mount, path, field: _ } => {
                self.vault.as_ref().map_err(Clone::clone)?.read(mount, path).await
            }
            Reference::AwsSecret { name, field: _ } => self.aws.as_ref().map_err(Clone::clone)?.read(name).await,
        }
    }
}

/// The reference without its field.
fn secret_of(reference: &Reference) -> Reference {
    let field = String::new();
    match reference.clone() {
        Reference::Vault { mount, path, .. } => Reference::Vault { mount, path, field },
        Reference::AwsSecret { name, .. } => Reference::AwsSecret { name, field },
    }
}

fn name_of_field(reference: &Reference) -> &str {
    match reference {
        Reference::Vault { field, .. } | Reference::AwsSecret { field, .. } => field,
    }
}

/// A field's text. Line breaks at the end go, as those of a file do.
fn field(fields: &Fields, name: &str) -> Result<SecretString, Failure> {
    match fields.get(name) {
        Some(Value::String(text)) => match text.trim_end_matches(['\n', '\r']) {
            "" => Err(Failure::new("is empty there", "write the secret into that field")),
            text => Ok(SecretString::from(text)),
        },
        Some(_) => Err(Failure::new("is not a text there", "store the secret as a text")),
        None => {
            let names = fields.keys().take(10).map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
            Err(Failure::new(
                "names a field that the secret does not have",
                format!("refer to one of its fields: {names}"),
            ))
        }
    }
}

#[cfg(test)]
mod tests;
