//! `github.*`: addresses and credentials of GitHub.

use secrecy::SecretString;
use url::Url;

/// The `github` section. Credentials: a token, an App (id and private key), or none.
#[derive(Debug, Clone)]
pub struct Github {
    /// REST base, without a final slash in its path.
    pub api_url: Url,
    /// Base of the git addresses.
    pub git_url: Url,
    /// Personal access token.
    pub token: Option<SecretString>,
    /// GitHub App id.
    pub app_id: Option<u64>,
    /// The App's private key, PEM.
    pub app_private_key: Option<SecretString>,
    /// Shared secret of the webhook; without one the endpoint answers 503.
    pub webhook_secret: Option<SecretString>,
    /// Accept plain http beyond loopback.
    pub insecure_http: bool,
}

impl Default for Github {
    #[expect(clippy::expect_used, reason = "two literals, covered by every test")]
    fn default() -> Self {
        Self {
            api_url: Url::parse("https://api.github.com").expect("a literal"),
            git_url: Url::parse("https://github.com").expect("a literal"),
            token: None,
            app_id: None,
            app_private_key: None,
            webhook_secret: None,
            insecure_http: false,
        }
    }
}
