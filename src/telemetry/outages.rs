//! Which servers are away, as everybody of this process finds who asks them something.
//!
//! `github`, `onedev` and `git` enter before a request and tell what came of it; the orchestrator asks whom to leave
//! where he is. [`Gate`] decides; here are the clock, the log and the metric.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntGaugeVec;

use crate::domain::outage::{Away, Entry, Gate, Server, Sign};

/// The doors to all servers. Clones share them.
#[derive(Debug, Clone)]
pub struct Outages(Arc<Doors>);

#[derive(Debug)]
struct Doors {
    began: Instant,
    known: Mutex<Known>,
    away: IntGaugeVec,
}

#[derive(Debug, Default)]
struct Known {
    gates: BTreeMap<Server, Gate>,
    /// Doors that were opened a moment ago: when, and whether that was acted upon.
    opened: Vec<(Server, Duration, bool)>,
}

impl Known {
    fn gate(&mut self, server: Server) -> &mut Gate {
        self.gates.entry(server).or_insert_with(|| Gate::new(server))
    }
}

/// Who was told to wait just before a server answered may be written down as waiting just after.
const AFTERMATH: Duration = Duration::from_secs(5);

/// A server that answers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Return {
    /// Which.
    pub server: Server,
    /// It is told for the first time.
    pub is_news: bool,
    /// How long ago it answered.
    pub ago: Duration,
}

/// A request that may be sent. Whoever has it tells what came of it, or drops it when nothing did.
#[derive(Debug)]
pub struct Turn {
    outages: Outages,
    server: Server,
    entry: Option<Entry>,
}

impl Outages {
    /// All doors are open. `away` shows which are not.
    pub fn new(away: IntGaugeVec) -> Self {
        Server::ALL.iter().for_each(|it| away.with_label_values(&[it.as_str()]).set(0));
        Self(Arc::new(Doors { began: Instant::now(), known: Mutex::default(), away }))
    }

    /// May a request be sent to a server now?
    ///
    /// # Errors
    /// A text for people: the server is away, and nothing is to be sent.
    pub fn enter(&self, server: Server) -> Result<Turn, String> {
        match self.known().gate(server).enter(self.now()) {
            Ok(entry) => Ok(Turn { outages: self.clone(), server, entry: Some(entry) }),
            Err(Away(since)) => {
                Err(format!("{server} has not answered for {} s; one request at a time tries it", since.as_secs()))
            }
        }
    }

    /// The codes of jobs that wait for a server that is away.
    pub fn waited_for(&self) -> Vec<&'static str> {
        let known = self.known();
        let closed = known.gates.iter().filter(|(_, gate)| gate.is_closed());
        closed.flat_map(|(server, _)| server.waited_for()).copied().collect()
    }

    /// Servers that it is time to try, each told once.
    pub fn to_try(&self) -> Vec<Server> {
        let now = self.now();
        self.known().gates.iter_mut().filter_map(|(server, gate)| gate.call(now).then_some(*server)).collect()
    }

    /// Servers that answer again, each told for some seconds, so that nobody is forgotten who was about to wait.
    pub fn answer_again(&self) -> Vec<Return> {
        let now = self.now();
        let mut known = self.known();
        known.opened.retain(|(_, at, told)| !told || now.saturating_sub(*at) < AFTERMATH);
        let told = |(server, at, told): &mut (Server, Duration, bool)| Return {
            server: *server,
            is_news: !std::mem::replace(told, true),
            ago: now.saturating_sub(*at),
        };
        known.opened.iter_mut().map(told).collect()
    }

    /// A person asked for something: the next request to a server that is away may be sent at once.
    pub fn hurry(&self) {
        let now = self.now();
        self.known().gates.values_mut().for_each(|it| it.hurry(now));
    }

    fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// The server answered, whatever it said.
    pub fn answered(mut self) {
        self.entry = None;
        let (outages, server, now) = (&self.outages, self.server, self.outages.now());
        let mut known = outages.known();
        let Some(away) = known.gate(server).answered(now) else { return };
        known.opened.push((server, now, false));
        drop(known);
        outages.0.away.with_label_values(&[server.as_str()]).set(0);
        tracing::info!(seconds = away.as_secs(), "{server} answers again; what waited for it goes on");
    }

    /// The request failed in a way that speaks against the server. True if that is taken for away now: then this is
    /// no fault of what was asked for.
    pub fn failed(mut self, sign: Sign) -> bool {
        let Some(entry) = self.entry.take() else { return false };
        let (outages, server, now) = (&self.outages, self.server, self.outages.now());
        let mut known = outages.known();
        let gate = known.gate(server);
        let (just, closed) = (gate.failed(entry, sign, now), gate.is_closed());
        drop(known);
        if just {
            outages.0.away.with_label_values(&[server.as_str()]).set(1);
            tracing::warn!("{server} is away: what needs it waits, and one request at a time tries it");
        }
        closed
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.outages.known().gate(self.server).left(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn a_server_that_is_away_is_told_to_everybody_once_and_so_is_its_return() {
        let metrics = Metrics::new().unwrap();
        let (outages, shown) = (metrics.outages.clone(), metrics.server_away.with_label_values(&["onedev"]));
        let closed = [(); 3].map(|()| outages.enter(Server::Onedev).unwrap().failed(Sign::Unreached));
        assert_eq!((closed, shown.get()), ([false, false, true], 1));
        let told = outages.enter(Server::Onedev).unwrap_err();
        assert!(told.starts_with("OneDev has not answered for 0 s"), "{told}");
        assert_eq!(outages.waited_for(), Server::Onedev.waited_for());
        assert!(outages.enter(Server::GithubApi).is_ok(), "the others are there");
        assert_eq!((outages.to_try(), outages.answer_again()), (vec![], vec![]));

        outages.hurry();
        assert_eq!(outages.to_try(), [Server::Onedev]);
        drop(outages.enter(Server::Onedev).unwrap());
        let probe = outages.enter(Server::Onedev).expect("who was called off leaves it to the next");
        assert!(outages.enter(Server::Onedev).is_err());
        probe.answered();
        assert_eq!((shown.get(), outages.waited_for()), (0, vec![]));
        let told = || outages.answer_again().iter().map(|it| (it.server, it.is_news)).collect::<Vec<_>>();
        assert_eq!((told(), told()), (vec![(Server::Onedev, true)], vec![(Server::Onedev, false)]));
    }
}
