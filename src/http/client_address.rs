//! Whose request it is: the address at the other end of the connection or, behind proxies that are
//! trusted, the one that they tell.

use std::future::{Ready, ready};
use std::net::{IpAddr, SocketAddr};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};

/// Where proxies write down, each at the right end, who asked them.
const HEADER: &str = "x-forwarded-for";

/// The address of this request's client, as [`super::shell`] found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientAddress(pub(super) IpAddr);

impl FromRequest for ClientAddress {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = request.extensions().get::<Self>().copied();
        ready(Ok(known.unwrap_or_else(|| Self(of(request, &[])))))
    }
}

/// The address that limits count and the audit log shows. `trusted` is `server.trusted_proxies`.
pub(super) fn of(request: &HttpRequest, trusted: &[IpAddr]) -> IpAddr {
    // A listening TCP socket always knows its peer; without one, no address is trusted.
    let peer = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |it| it.ip());
    let told: Vec<&str> = request.headers().get_all(HEADER).filter_map(|it| it.to_str().ok()).collect();
    resolve(peer, &told, trusted)
}

/// The rightmost address that is not one of `trusted`. `told` are the lines of the header in their
/// order. Whatever stands left of that address was written by somebody who is not trusted.
fn resolve(peer: IpAddr, told: &[&str], trusted: &[IpAddr]) -> IpAddr {
    let is_trusted = |it: IpAddr| trusted.iter().any(|other| other.to_canonical() == it);
    let mut address = peer.to_canonical();
    let mut hops = told.iter().rev().flat_map(|line| line.rsplit(','));
    while is_trusted(address) {
        // A proxy that tells nothing, or something that is no address, speaks for itself.
        match hops.next().and_then(parse) {
            Some(before) => address = before,
            None => return address,
        }
    }
    address
}

/// An address as proxies write it: bare, in brackets, with or without a port.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|it| it.ip()));
    let address = address.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    address.map(|it| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn story(peer: &str, told: &[&str]) -> String {
        resolve(ip(peer), told, &[ip("10.0.0.1"), ip("10.0.0.2"), ip("fd00::1")]).to_string()
    }

    #[test]
    fn a_stranger_may_claim_what_he_likes() {
        assert_eq!(story("203.0.113.7", &["1.2.3.4"]), "203.0.113.7");
        assert_eq!(story("203.0.113.7", &[]), "203.0.113.7");
    }

    #[test]
    fn behind_trusted_proxies_the_rightmost_stranger_counts() {
        assert_eq!(story("10.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(story("10.0.0.1", &["6.6.6.6, 203.0.113.7, 10.0.0.2"]), "203.0.113.7");
        assert_eq!(story("10.0.0.1", &["6.6.6.6", "203.0.113.7", " 10.0.0.2 "]), "203.0.113.7");
        assert_eq!(story("fd00::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(story("::ffff:10.0.0.1", &["::ffff:203.0.113.7"]), "203.0.113.7");
    }

    #[test]
    fn ports_and_brackets_are_taken() {
        assert_eq!(story("10.0.0.1", &["203.0.113.7:4711"]), "203.0.113.7");
        assert_eq!(story("10.0.0.1", &["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(story("10.0.0.1", &["[2001:db8::7]"]), "2001:db8::7");
    }

    #[test]
    fn a_proxy_that_tells_nonsense_speaks_for_itself() {
        assert_eq!(story("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(story("10.0.0.1", &["unknown"]), "10.0.0.1");
        assert_eq!(story("10.0.0.1", &["1.2.3.4, nonsense, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(story("10.0.0.1", &["10.0.0.2, 10.0.0.1"]), "10.0.0.2");
    }

    proptest! {
        #[test]
        fn nothing_that_a_stranger_sends_changes_who_he_is(claims: Vec<[u8; 4]>, stranger: [u8; 4], text in "[ -~]{0,40}") {
            let (proxy, stranger) = (ip("10.0.0.1"), IpAddr::from(stranger));
            prop_assume!(stranger != proxy);
            let claimed: Vec<String> = claims.iter().map(|it| IpAddr::from(*it).to_string()).collect();
            // The proxy appends whom it saw, to whatever the stranger had written.
            let line = format!("{text},{},{stranger}", claimed.join(","));
            prop_assert_eq!(resolve(proxy, &[&line], &[proxy]), stranger);
            prop_assert_eq!(resolve(stranger, &[&line], &[proxy]), stranger);
        }

        #[test]
        fn any_header_is_taken(lines: Vec<String>) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let _ = resolve(ip("10.0.0.1"), &lines, &[ip("10.0.0.1")]);
        }
    }
}
