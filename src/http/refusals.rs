//! Refused calls of the admin API, for the audit log: the first of an address is written at once, the rest of its
//! minute as one number, so that nobody fills the disk by being refused.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::domain::ids::CorrelationId;
use crate::store::audit::NewEntry;

/// What one entry tells of.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are told apart within it; the others share one entry.
const MOST: usize = 100;
/// The action in the audit log.
const ACTION: &str = "request.refused";

/// A call that was answered 401, 403 or 429.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub(super) address: IpAddr,
    /// Whoever it was found to be: the prefix of a key.
    pub(super) actor: Option<String>,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) correlation: CorrelationId,
}

struct Window {
    since: Instant,
    more: u64,
    last: Refused,
}

/// The windows that are open.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<Option<IpAddr>, Window>>);

impl Refusals {
    /// One more; gives the entry that is to be written now.
    pub(super) fn note(&self, it: Refused, now: Instant) -> Option<NewEntry> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told_apart = windows.contains_key(&Some(it.address)) || windows.len() < MOST;
        let whose = told_apart.then_some(it.address);
        if let Some(window) = windows.get_mut(&whose) {
            window.more += 1;
            window.last = it;
            return None;
        }
        let entry = entry(&it, json!({ "status": it.status }));
        windows.insert(whose, Window { since: now, more: 0, last: it });
        Some(entry)
    }

    /// Closes the windows whose minute is over; gives what they have gathered.
    pub(super) fn close(&self, now: Instant) -> Vec<NewEntry> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = windows.extract_if(|_, it| now.saturating_duration_since(it.since) >= WINDOW);
        over.filter(|(_, it)| it.more > 0).map(|(whose, it)| gathered(whose, &it)).collect()
    }
}

fn gathered(whose: Option<IpAddr>, it: &Window) -> NewEntry {
    let detail = json!({ "more": it.more, "within_seconds": WINDOW.as_secs(), "status": it.last.status });
    let entry = entry(&it.last, detail);
    // Of several addresses none is the one.
    if whose.is_some() { entry } else { NewEntry { address: None, actor: "several".to_owned(), ..entry } }
}

fn entry(it: &Refused, detail: serde_json::Value) -> NewEntry {
    NewEntry {
        outcome: it.code.to_owned(),
        detail,
        correlation: Some(it.correlation),
        address: Some(it.address.to_string()),
        ..NewEntry::of(it.actor.as_deref().unwrap_or("unknown"), ACTION, &format!("{} {}", it.method, it.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: [u8; 4]) -> Refused {
        Refused {
            address: IpAddr::from(address),
            actor: None,
            method: "GET".to_owned(),
            path: "/api/v1/mirrors".to_owned(),
            status: 401,
            code: "token_wrong",
            correlation: CorrelationId(uuid::Uuid::nil()),
        }
    }

    #[test]
    fn a_minute_of_one_address_is_two_entries() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let first = refusals.note(refused([203, 0, 113, 7]), start).unwrap();
        assert_eq!((first.actor.as_str(), first.outcome.as_str()), ("unknown", "token_wrong"));
        assert_eq!((first.subject.as_str(), first.address.as_deref()), ("GET /api/v1/mirrors", Some("203.0.113.7")));
        for _ in 0..1_000 {
            assert_eq!(refusals.note(refused([203, 0, 113, 7]), start), None);
        }
        assert!(refusals.close(start + WINDOW / 2).is_empty());
        let rest = refusals.close(start + WINDOW);
        assert_eq!((rest.len(), rest[0].detail["more"].as_u64()), (1, Some(1_000)));
        assert!(refusals.note(refused([203, 0, 113, 7]), start + WINDOW).is_some());
    }

    #[test]
    fn very_many_addresses_share_one_entry() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let at_once = (0..50_000_u32).filter_map(|it| refusals.note(refused(it.to_be_bytes()), start)).count();
        let later = refusals.close(start + WINDOW);
        assert_eq!((at_once, later.len()), (MOST + 1, 1));
        assert_eq!((later[0].actor.as_str(), later[0].address.as_deref()), ("several", None));
    }
}
