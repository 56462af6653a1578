//! Rules that several sections share: plain http, bounds.

use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Url};

use super::problem::Problem;
use super::{duration, size};

/// Plain http is accepted for loopback addresses only, unless the section allows it.
pub(crate) fn plain_http(key: &str, address: Option<&Url>, insecure_http: bool) -> Option<Problem> {
    let address = address.filter(|it| it.scheme() == "http" && !insecure_http && !is_loopback(it))?;
    let section = key.split('.').next().unwrap_or_default();
    Some(Problem::new(
        key,
        format!("`{address}` would send credentials unencrypted over the network"),
        format!("write an https address, or set `{section}.insecure_http = true` if you trust every wire between"),
    ))
}

/// Whether an address leads to this very machine.
pub(crate) fn is_loopback(address: &Url) -> bool {
    match address.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

/// A duration within bounds, both included.
pub(crate) fn lasting(key: &str, value: Duration, least: Duration, most: Duration) -> Option<Problem> {
    let (least_text, most_text) = (duration::text(least), duration::text(most));
    (value < least || value > most).then(|| {
        Problem::new(
            key,
            format!("`{}` is out of bounds", duration::text(value)),
            format!("write a duration from `{least_text}` to `{most_text}`"),
        )
    })
}

/// A count within bounds, both included.
pub(crate) fn counting(key: &str, value: u64, least: u64, most: u64) -> Option<Problem> {
    (value < least || value > most).then(|| {
        Problem::new(key, format!("`{value}` is out of bounds"), format!("write a whole number from {least} to {most}"))
    })
}

/// A size within bounds, both included. Bytes.
pub(crate) fn sized(key: &str, value: u64, least: u64, most: u64) -> Option<Problem> {
    (value < least || value > most).then(|| {
        Problem::new(
            key,
            format!("`{}` is out of bounds", size::text(value)),
            format!("write a size from `{}` to `{}`", size::text(least), size::text(most)),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine_unless_it_is_allowed() {
        let ask = |text: &str, allowed| plain_http("onedev.url", Some(&text.parse().unwrap()), allowed);
        for fine in ["http://localhost:1", "http://127.9.9.9", "http://[::1]:80", "http://a.localhost", "https://x.y"] {
            assert_eq!(ask(fine, false), None, "{fine}");
        }
        for wrong in ["http://onedev.example.org", "http://10.0.0.1", "http://127.0.0.1.example.org", "http://[::2]"] {
            assert!(ask(wrong, false).unwrap().accepted.contains("onedev.insecure_http"), "{wrong}");
            assert_eq!(ask(wrong, true), None, "{wrong}");
        }
    }

    #[test]
    fn bounds_are_told_in_the_form_that_is_written() {
        let second = Duration::from_secs(1);
        let problem = lasting("sync.lease", Duration::from_millis(1), second, second * 3600).unwrap();
        assert_eq!(problem.accepted, "write a duration from `1s` to `1h`");
        assert_eq!(lasting("sync.lease", second, second, second), None);
        assert!(sized("x.y", 0, 1, 1 << 20).unwrap().accepted.contains("`1MiB`"));
        assert!(counting("x.y", 9, 1, 8).is_some());
    }
}
