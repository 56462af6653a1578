//! `github.*`: addresses and credentials of GitHub.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::Section;
use super::duration::or_off as duration_or_off;
use super::problem::Problem;
use super::rules::{counting, lasting, plain_http};
use super::ssh::{SshKeys, git_address, host_key};
use super::values::{Values, address, flag, header_problem, number};

/// More tokens than anybody has reason for; each is one more request where nobody sees a repository.
const MOST_TOKENS: u64 = 16;

/// The `github` section. Credentials: tokens, an App (id and private key), all of these, or none.
#[derive(Debug, Clone)]
pub struct Github {
    /// REST base, without a final slash in its path.
    pub api_url: Url,
    /// Base of the git addresses: https, or ssh.
    pub git_url: Url,
    /// For a `git_url` that is an ssh address.
    pub ssh: SshKeys,
    /// Personal access token.
    pub token: Option<SecretString>,
    /// More of them, used side by side.
    pub tokens: Vec<SecretString>,
    /// GitHub App id.
    pub app_id: Option<u64>,
    /// The App's private key, PEM.
    pub app_private_key: Option<SecretString>,
    /// Shared secret of the webhook; without one the endpoint answers 503.
    pub webhook_secret: Option<SecretString>,
    /// The secret before it: believed too, while the one at GitHub is being changed.
    pub webhook_secret_old: Option<SecretString>,
    /// How often the App's deliveries are looked through for missed ones; `None` is never.
    pub recover_interval: Option<Duration>,
    /// Accept plain http beyond loopback.
    pub insecure_http: bool,
}

/// Where GraphQL is asked: `https://api.github.com/graphql`, and on an Enterprise Server `/api/graphql`, beside the
/// REST API and not below it.
pub fn graphql_url(api_url: &Url) -> Url {
    let mut url = api_url.clone();
    let path = url.path().trim_end_matches('/');
    let base = match path.strip_suffix("/api/v3") {
        Some(host) => format!("{host}/api"),
        None => path.to_owned(),
    };
    url.set_path(&format!("{base}/graphql"));
    url
}

impl Github {
    /// Where people see repositories, without a final slash: on the host that git is spoken with.
    pub fn web_url(&self) -> String {
        match (self.git_url.scheme(), self.git_url.host_str()) {
            ("ssh", Some(host)) => format!("https://{host}"),
            _ => self.git_url.as_str().trim_end_matches('/').to_owned(),
        }
    }
}

impl Default for Github {
    #[expect(clippy::expect_used, reason = "two literals, covered by every test")]
    fn default() -> Self {
        Self {
            api_url: Url::parse("https://api.github.com").expect("a literal"),
            git_url: Url::parse("https://github.com").expect("a literal"),
            ssh: SshKeys::default(),
            token: None,
            tokens: Vec::new(),
            app_id: None,
            app_private_key: None,
            webhook_secret: None,
            webhook_secret_old: None,
            recover_interval: Some(Duration::from_secs(6 * 3600)),
            insecure_http: false,
        }
    }
}

impl Section for Github {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self {
            api_url,
            git_url,
            ssh,
            token,
            tokens,
            app_id,
            app_private_key,
            webhook_secret,
            webhook_secret_old,
            recover_interval,
            insecure_http,
        } = &mut it;
        values.set("github.api_url", api_url, address);
        values.set("github.git_url", git_url, git_address);
        values.set_secret("github.ssh_key", &mut ssh.key);
        values.set_secret("github.ssh_key_passphrase", &mut ssh.passphrase);
        values.set_list("github.ssh_host_keys", &mut ssh.host_keys, host_key);
        values.set_secret("github.token", token);
        values.set_secrets("github.tokens", tokens);
        values.set_option("github.app_id", app_id, number);
        values.set_secret("github.app_private_key", app_private_key);
        values.set_secret("github.webhook_secret", webhook_secret);
        values.set_secret("github.webhook_secret_old", webhook_secret_old);
        values.set("github.recover_interval", recover_interval, duration_or_off);
        values.set("github.insecure_http", insecure_http, flag);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self { api_url, git_url, ssh, token, tokens, insecure_http, .. } = self;
        let Self { app_id, app_private_key, recover_interval, .. } = self;
        let mut problems = Vec::new();
        problems.extend(plain_http("github.api_url", Some(api_url), *insecure_http));
        problems.extend(plain_http("github.git_url", Some(git_url), *insecure_http));
        problems.extend(ssh.problems("github", Some(("github.git_url", git_url))));
        problems.extend(header_problem("github.token", token.as_ref()));
        problems.extend(tokens.iter().find_map(|it| header_problem("github.tokens", Some(it))));
        problems.extend(counting("github.tokens", tokens.len() as u64, 0, MOST_TOKENS));
        problems.extend(app_id.and_then(|id| counting("github.app_id", id, 1, i64::MAX.unsigned_abs())));
        problems.extend(app_problem(*app_id, app_private_key.as_ref()));
        let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
        problems.extend(recover_interval.and_then(|it| lasting("github.recover_interval", it, minute, 2 * day)));
        if self.webhook_secret.is_none() && self.webhook_secret_old.is_some() {
            problems.push(Problem::new(
                "github.webhook_secret_old",
                "is set while `github.webhook_secret` is not",
                "set the new secret as `github.webhook_secret`, or leave both out",
            ));
        }
        problems
    }
}

/// An App is its id and its key; one alone is of no use.
fn app_problem(id: Option<u64>, key: Option<&SecretString>) -> Option<Problem> {
    const BOTH: &str = "a GitHub App needs `github.app_id` and `github.app_private_key`: set both or neither";
    match (id, key) {
        (Some(_), None) => Some(Problem::new("github.app_private_key", "is missing while the App's id is set", BOTH)),
        (None, Some(_)) => Some(Problem::new("github.app_id", "is missing while the App's private key is set", BOTH)),
        (Some(_), Some(key)) if !is_pem(key) => Some(Problem::new(
            "github.app_private_key",
            "is no private key in PEM form",
            "give the file that GitHub offered for download, whole, best as `file:PATH`",
        )),
        _ => None,
    }
}

fn is_pem(key: &SecretString) -> bool {
    let text = key.expose_secret().trim();
    text.starts_with("-----BEGIN ") && text.contains("PRIVATE KEY-----") && text.lines().count() > 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n";

    #[test]
    fn people_see_repositories_on_the_host_of_git() {
        for (git, web) in [
            ("https://github.com", "https://github.com"),
            ("https://github.example/", "https://github.example"),
            ("ssh://git@github.example:2222", "https://github.example"),
        ] {
            let github = Github { git_url: Url::parse(git).unwrap(), ..Github::default() };
            assert_eq!(github.web_url(), web);
        }
    }

    #[test]
    fn an_old_webhook_secret_goes_with_a_new_one() {
        let with = |new: Option<&str>| Github {
            webhook_secret: new.map(SecretString::from),
            webhook_secret_old: Some(SecretString::from("old")),
            ..Github::default()
        };
        assert!(with(Some("new")).problems().is_empty());
        assert_eq!(with(None).problems()[0].key, "github.webhook_secret_old");
    }

    #[test]
    fn an_app_is_its_id_and_its_key() {
        let with = |app_id, key: Option<&str>| {
            let app_private_key = key.map(SecretString::from);
            Github { app_id, app_private_key, ..Github::default() }.problems()
        };
        assert_eq!(with(None, None), []);
        assert_eq!(with(Some(7), Some(KEY)), []);
        assert_eq!(with(Some(7), None)[0].key, "github.app_private_key");
        assert_eq!(with(None, Some(KEY))[0].key, "github.app_id");
        assert!(with(Some(7), Some("not a key"))[0].found.contains("PEM"));
        assert_eq!(with(Some(0), Some(KEY))[0].key, "github.app_id");
    }

    #[test]
    fn graphql_is_beside_the_rest_api_of_an_enterprise_server() {
        for (api, graphql) in [
            ("https://api.github.com", "https://api.github.com/graphql"),
            ("https://api.octo.ghe.com/", "https://api.octo.ghe.com/graphql"),
            ("https://git.example.org/api/v3", "https://git.example.org/api/graphql"),
            ("https://git.example.org/api/v3/", "https://git.example.org/api/graphql"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/graphql"),
            ("https://example.org/proxy/api/v3", "https://example.org/proxy/api/graphql"),
        ] {
            assert_eq!(graphql_url(&Url::parse(api).unwrap()).as_str(), graphql);
        }
    }

    #[test]
    fn missed_deliveries_are_looked_for_before_github_forgets_them() {
        let with = |it: u64| Github { recover_interval: Some(Duration::from_secs(it)), ..Github::default() }.problems();
        assert_eq!(with(3 * 86_400)[0].key, "github.recover_interval");
        assert!(with(86_400).is_empty() && Github::default().problems().is_empty());
    }

    #[test]
    fn a_token_with_a_line_break_is_told_and_not_shown() {
        let github = Github { token: Some(SecretString::from("ghp_x\ny")), ..Github::default() };
        let [problem] = github.problems().try_into().unwrap();
        assert_eq!(problem.key, "github.token");
        assert!(!problem.to_string().contains("ghp_x"));
    }
}
