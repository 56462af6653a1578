//! The first way in, where nobody has another: an address that signs in once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use chrono::Utc;

use crate::config::Config;
use crate::store::{Store, minting, sessions};

/// An address that signs in once, unless a key of the scope `admin` opens the admin API. It is good for an hour; its end
/// never reaches a server, as no browser sends what follows `#`.
pub(super) async fn invite(store: &Store, home: &str) -> anyhow::Result<Option<String>> {
    let ticket = minting::ticket()?;
    let wanted = ticket.clone();
    let made = store.write(move |c| sessions::invite(c, &wanted, Utc::now())).await?;
    Ok(made.then(|| format!("{home}/#sign-in={}", ticket.expose())))
}

/// Where browsers reach the service, as far as it knows.
pub(super) fn home(config: &Config, bound: SocketAddr) -> String {
    let public = config.server.public_url.as_ref().map(|it| it.as_str().trim_end_matches('/').to_owned());
    public.unwrap_or_else(|| format!("http://{}", reachable(bound)))
}

/// Who listens everywhere is reached here.
fn reachable(bound: SocketAddr) -> SocketAddr {
    if bound.ip().is_unspecified() { SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), bound.port()) } else { bound }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_stands_for_all_is_none_to_go_to() {
        let reached = |it: &str| reachable(it.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(reached("[::]:8080"), "127.0.0.1:8080");
        assert_eq!(reached("192.0.2.7:80"), "192.0.2.7:80");
    }
}
