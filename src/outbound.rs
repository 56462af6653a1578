//! What every HTTP client of this program has in common: it goes where it was told to go and nowhere else.

use std::error::Error;

use reqwest::{ClientBuilder, NoProxy, Proxy};

/// Variables that name a proxy for https, the first that is set counts. As curl reads them.
const PROXY_VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The beginning of a client: no redirects, no retries and no referrer of its own, and its name as the user agent.
///
/// A proxy of the environment (`HTTPS_PROXY` or `ALL_PROXY`, unless `NO_PROXY` speaks against it) is used for https
/// only: plain http is for loopback and for what `insecure_http` allows, and a proxy would see the tokens.
pub(crate) fn client() -> ClientBuilder {
    let client = reqwest::Client::builder()
        .user_agent(concat!("starkeep/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy();
    let proxy = PROXY_VARIABLES.iter().find_map(|it| std::env::var(it).ok().filter(|it| !it.is_empty()));
    match proxy.and_then(|it| Proxy::https(it).ok()) {
        Some(proxy) => client.proxy(proxy.no_proxy(NoProxy::from_env())),
        None => client,
    }
}

/// An error of a request and what is behind it, each said once: `error sending request: connection refused`. Without
/// the address, which may hold a secret.
pub(crate) fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
