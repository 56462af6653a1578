//! `secrets.*`: the stores that secrets are looked up in, and how often.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::Section;
use super::duration;
use super::problem::Problem;
use super::rules::{lasting, plain_http};
use super::values::{Refused, Values, address, flag, header_problem, words};

/// The `secrets` section.
#[derive(Debug, Clone)]
pub struct SecretStores {
    /// How often `serve` looks everything up again, files included; `None`: at its start only.
    pub refresh: Option<Duration>,
    /// One request to a store takes no longer.
    pub timeout: Duration,
    /// Vault's or OpenBao's address.
    pub vault_address: Option<Url>,
    /// A token of Vault.
    pub vault_token: Option<SecretString>,
    /// `AppRole` instead of a token: the role's id.
    pub vault_role_id: Option<SecretString>,
    /// `AppRole` instead of a token: the secret id.
    pub vault_secret_id: Option<SecretString>,
    /// Where the `AppRole` method is mounted.
    pub vault_approle_mount: String,
    /// Vault's namespace.
    pub vault_namespace: Option<String>,
    /// The region of AWS Secrets Manager.
    pub aws_region: Option<String>,
    /// The address of AWS Secrets Manager, where it is not the region's own.
    pub aws_endpoint: Option<Url>,
    /// Plain http beyond this machine.
    pub insecure_http: bool,
}

impl Default for SecretStores {
    fn default() -> Self {
        Self {
            refresh: Some(Duration::from_secs(300)),
            timeout: Duration::from_secs(10),
            vault_address: None,
            vault_token: None,
            vault_role_id: None,
            vault_secret_id: None,
            vault_approle_mount: "approle".to_owned(),
            vault_namespace: None,
            aws_region: None,
            aws_endpoint: None,
            insecure_http: false,
        }
    }
}

impl Section for SecretStores {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self {
            refresh,
            timeout,
            vault_address,
            vault_token,
            vault_role_id,
            vault_secret_id,
            vault_approle_mount,
            vault_namespace,
            aws_region,
            aws_endpoint,
            insecure_http,
        } = &mut it;
        values.set("secrets.refresh", refresh, duration::or_off);
        values.set("secrets.timeout", timeout, duration::parse);
        values.set_option("secrets.vault_address", vault_address, address);
        values.set_secret("secrets.vault_token", vault_token);
        values.set_secret("secrets.vault_role_id", vault_role_id);
        values.set_secret("secrets.vault_secret_id", vault_secret_id);
        values.set("secrets.vault_approle_mount", vault_approle_mount, path);
        values.set_option("secrets.vault_namespace", vault_namespace, words);
        values.set_option("secrets.aws_region", aws_region, region);
        values.set_option("secrets.aws_endpoint", aws_endpoint, address);
        values.set("secrets.insecure_http", insecure_http, flag);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self { refresh, timeout, vault_address, vault_token, vault_role_id, vault_secret_id, .. } = self;
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        let mut problems = Vec::new();
        problems.extend(refresh.and_then(|it| lasting("secrets.refresh", it, second, day)));
        problems.extend(lasting("secrets.timeout", *timeout, second / 5, 60 * second));
        problems.extend(plain_http("secrets.vault_address", vault_address.as_ref(), self.insecure_http));
        problems.extend(plain_http("secrets.aws_endpoint", self.aws_endpoint.as_ref(), self.insecure_http));
        problems.extend(header_problem("secrets.vault_token", vault_token.as_ref()));
        if vault_role_id.is_some() != vault_secret_id.is_some() {
            let alone = if vault_role_id.is_some() { "secrets.vault_role_id" } else { "secrets.vault_secret_id" };
            let mend = "set `secrets.vault_role_id` and `secrets.vault_secret_id` together, or neither";
            problems.push(Problem::new(alone, "stands alone", mend));
        }
        if vault_token.is_some() && vault_role_id.is_some() {
            let mend = "leave out either the token or the role";
            problems.push(Problem::new("secrets.vault_token", "is set beside `secrets.vault_role_id`", mend));
        }
        problems
    }
}

/// The path of a mount.
fn path(text: &str) -> Result<String, Refused> {
    let well = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let fits = text.split('/').all(well);
    if fits { Ok(text.to_owned()) } else { Err(Refused::of(text, "write the path of a mount, as in `approle`")) }
}

/// `eu-central-1`: it becomes part of a host's name.
fn region(text: &str) -> Result<String, Refused> {
    let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits { Ok(text.to_owned()) } else { Err(Refused::of(text, "write a region's name, as in `eu-central-1`")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_told() {
        let told = |it: &SecretStores| it.problems().iter().map(|it| it.key.clone()).collect::<Vec<_>>();
        let secret = || Some(SecretString::from("x"));
        assert!(told(&SecretStores::default()).is_empty());
        let alone = SecretStores { vault_role_id: secret(), ..SecretStores::default() };
        assert_eq!(told(&alone), ["secrets.vault_role_id"]);
        let alone = SecretStores { vault_secret_id: secret(), ..SecretStores::default() };
        assert_eq!(told(&alone), ["secrets.vault_secret_id"]);
        let both = SecretStores {
            vault_role_id: secret(),
            vault_secret_id: secret(),
            vault_token: secret(),
            ..SecretStores::default()
        };
        assert_eq!(told(&both), ["secrets.vault_token"]);
        let far = "http://vault.example.org".parse().ok();
        let clear = SecretStores { vault_address: far.clone(), aws_endpoint: far, ..SecretStores::default() };
        assert_eq!(told(&clear), ["secrets.vault_address", "secrets.aws_endpoint"]);
        assert!(told(&SecretStores { insecure_http: true, ..clear }).is_empty());
        let hasty = SecretStores { refresh: Some(Duration::from_millis(10)), ..SecretStores::default() };
        assert_eq!(told(&hasty), ["secrets.refresh"]);
    }

    #[test]
    fn a_region_is_no_way_to_another_host() {
        assert!(region("eu-central-1").is_ok());
        for wrong in ["", "evil.example/", "eu central", "EU", "a@b", "a.b"] {
            assert!(region(wrong).is_err(), "{wrong}");
        }
        assert!(path("auth/approle").is_ok());
        for wrong in ["", "../sys", "a//b", "/a", "a?b"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }
}
