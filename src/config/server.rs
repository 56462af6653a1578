//! `server.*`: listening and the limits of incoming requests.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use url::Url;

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
    /// Only these may set the forwarded address.
    pub trusted_proxies: Vec<IpAddr>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            webhook_rate_per_minute: 100,
            max_webhook_bytes: 26_214_400,
            shutdown_timeout: Duration::from_secs(20),
            trusted_proxies: Vec::new(),
        }
    }
}
