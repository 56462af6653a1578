//! The stores against servers that answer as the real ones do.

mod aws;
mod vault;

use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::SecretStores;
use crate::canned::Canned;
use crate::config::secret_stores::SecretStores as Settings;
use crate::config::{LoadOptions, LookedUp, Reference};

fn settings() -> Settings {
    Settings { timeout: Duration::from_secs(5), ..Settings::default() }
}

fn vault_at(canned: &Canned) -> Settings {
    Settings { vault_address: Some(canned.url.clone()), vault_token: Some("the-vault-token".into()), ..settings() }
}

/// The references as a configuration writes them.
fn references(texts: &[&str]) -> std::collections::BTreeSet<Reference> {
    let environment = texts.iter().zip(["GITHUB__TOKEN", "ONEDEV__TOKEN", "ADMIN__TOKEN"]);
    let environment = environment.map(|(it, key)| (format!("STARKEEP__{key}"), (*it).to_owned())).collect();
    crate::config::Config::asks(&LoadOptions { environment, ..LoadOptions::default() }).unwrap().1
}

/// Each reference with its secret, or with what is wrong and the mend.
fn told(found: &LookedUp) -> Vec<String> {
    let text = |it: &Result<secrecy::SecretString, (String, String)>| match it {
        Ok(secret) => secret.expose_secret().to_owned(),
        Err((found, mend)) => format!("{found}; {mend}"),
    };
    found.values().map(text).collect()
}

async fn ask(settings: &Settings, texts: &[&str]) -> Vec<String> {
    told(&SecretStores::new(settings).look_up(&references(texts)).await)
}

#[test]
fn a_field_is_a_text_that_is_there() {
    let serde_json::Value::Object(fields) = serde_json::json!({ "a": "x\n", "number": 7, "empty": "\n" }) else {
        panic!()
    };
    assert_eq!(super::field(&fields, "a").unwrap().expose_secret(), "x");
    assert!(super::field(&fields, "number").unwrap_err().found.contains("not a text"));
    assert!(super::field(&fields, "empty").unwrap_err().found.contains("empty"));
    let missing = super::field(&fields, "b").unwrap_err();
    assert_eq!(missing.mend, "refer to one of its fields: `a`, `empty`, `number`");
}

#[actix::test]
async fn a_store_that_is_not_configured_says_what_it_lacks() {
    let found = ask(&settings(), &["vault:kv/a#b", "aws-sm:a#b"]).await;
    assert!(found[0].contains("set `secrets.vault_address`"), "{found:?}");
    assert!(found[1].contains("set `secrets.aws_region`"), "{found:?}");
}
