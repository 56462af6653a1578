//! `server.*`: listening and the limits of incoming requests.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use url::Url;

use super::problem::Problem;
use super::rules::{counting, lasting, plain_http, sized};
use super::values::{Refused, Values, address, flag, number, parsed};
use super::{Section, duration, size};

/// The `server` section.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address and port to listen on; port 0 takes a free one.
    pub bind: SocketAddr,
    /// What GitHub and browsers reach; https unless loopback.
    pub public_url: Option<Url>,
    /// Webhook requests a minute for one client address, and the burst; 0 is off.
    pub webhook_rate_per_minute: u32,
    /// Larger webhook bodies are answered 413. Bytes.
    pub max_webhook_bytes: u64,
    /// How long a shutdown drains before it cancels.
    pub shutdown_timeout: Duration,
    /// A call that is not answered after so long is answered 503.
    pub request_timeout: Duration,
    /// Pages of these origins may call the API from a browser; each exactly as a browser writes it.
    pub cors_origins: Vec<String>,
    /// Only these may set the forwarded address.
    pub trusted_proxies: Vec<IpAddr>,
    /// Accept a plain http `public_url` beyond loopback.
    pub insecure_http: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            webhook_rate_per_minute: 100,
            max_webhook_bytes: 26_214_400,
            shutdown_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(60),
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            insecure_http: false,
        }
    }
}

impl Section for Server {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self {
            bind,
            public_url,
            webhook_rate_per_minute,
            max_webhook_bytes,
            shutdown_timeout,
            request_timeout,
            cors_origins,
            trusted_proxies,
            insecure_http,
        } = &mut it;
        values.set("server.bind", bind, socket);
        values.set_option("server.public_url", public_url, address);
        values.set("server.webhook_rate_per_minute", webhook_rate_per_minute, number);
        values.set("server.max_webhook_bytes", max_webhook_bytes, size::parse);
        values.set("server.shutdown_timeout", shutdown_timeout, duration::parse);
        values.set("server.request_timeout", request_timeout, duration::parse);
        values.set_list("server.cors_origins", cors_origins, origin);
        values.set_list("server.trusted_proxies", trusted_proxies, ip);
        values.set("server.insecure_http", insecure_http, flag);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self {
            bind: _,
            public_url,
            webhook_rate_per_minute,
            max_webhook_bytes,
            shutdown_timeout,
            request_timeout,
            cors_origins,
            trusted_proxies: _,
            insecure_http,
        } = self;
        let hour = Duration::from_secs(3600);
        let mut problems = Vec::new();
        problems.extend(plain_http("server.public_url", public_url.as_ref(), *insecure_http));
        let rate = u64::from(*webhook_rate_per_minute);
        problems.extend(counting("server.webhook_rate_per_minute", rate, 0, 1_000_000));
        problems.extend(sized("server.max_webhook_bytes", *max_webhook_bytes, 1, 100 << 20));
        problems.extend(lasting("server.shutdown_timeout", *shutdown_timeout, Duration::from_millis(1), hour));
        problems.extend(lasting("server.request_timeout", *request_timeout, Duration::from_secs(1), hour));
        for origin in cors_origins.iter().filter_map(|it| it.parse().ok()) {
            problems.extend(plain_http("server.cors_origins", Some(&origin), *insecure_http));
        }
        problems
    }
}

/// `*`, `null` and whatever a browser would never write are no origins.
fn origin(text: &str) -> Result<String, Refused> {
    const ACCEPTED: &str = "write origins exactly as a browser does, as in `https://dash.example.org` or \
         `http://localhost:3000`: no path, no final slash, no `*`";
    let address: Url = parsed(text, ACCEPTED)?;
    let is_exact = matches!(address.scheme(), "http" | "https") && address.origin().ascii_serialization() == text;
    if is_exact { Ok(text.to_owned()) } else { Err(Refused::of(text, ACCEPTED)) }
}

fn socket(text: &str) -> Result<SocketAddr, Refused> {
    parsed(text, "write an IP address and a port, as in `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`")
}

fn ip(text: &str) -> Result<IpAddr, Refused> {
    parsed(text, "write IP addresses, as in `10.0.0.2` or `fd00::2`")
}
