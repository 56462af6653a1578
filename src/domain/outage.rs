//! Whether a server as a whole is away, and who may knock at its door: one [`Gate`] for each server in each process.
//!
//! Whoever is about to send a request enters first and tells what came of it; the orchestrator leaves jobs that wait
//! for a closed door where they are, but for one at a time. Times are those of a steady clock, counted from whenever
//! its owner began: this module has no clock.

use std::time::Duration;

/// A server that everything of its kind hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Server {
    /// GitHub's REST and GraphQL.
    GithubApi,
    /// Where GitHub's repositories are read by git.
    GithubGit,
    /// OneDev, by REST and by git.
    Onedev,
}

impl Server {
    /// Every server.
    pub const ALL: [Self; 3] = [Self::GithubApi, Self::GithubGit, Self::Onedev];

    /// The word in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GithubApi => "github_api",
            Self::GithubGit => "github_git",
            Self::Onedev => "onedev",
        }
    }

    /// The codes of failures that say that it is away: a job with one of them waits for it.
    pub fn waited_for(self) -> &'static [&'static str] {
        match self {
            Self::GithubApi => &["github_unreachable"],
            Self::GithubGit => &["upstream_unreachable", "upstream_not_ready", "upstream_no_answer"],
            Self::Onedev => &["onedev_unreachable", "onedev_booting", "onedev_not_ready", "onedev_no_answer"],
        }
    }

    /// From a first failed try to the next one, and the longest such pause. OneDev is near, and starts within half a
    /// minute.
    fn pauses(self) -> (Duration, Duration) {
        match self {
            Self::GithubApi | Self::GithubGit => (Duration::from_secs(5), Duration::from_secs(60)),
            Self::Onedev => (Duration::from_secs(2), Duration::from_secs(30)),
        }
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::GithubApi => "GitHub's API",
            Self::GithubGit => "GitHub's git",
            Self::Onedev => "OneDev",
        })
    }
}

/// So many signs in a row, without any answer in between, and a server is away.
const SIGNS: usize = 3;
/// Older signs say nothing of now.
const SIGN_LIFE: Duration = Duration::from_secs(300);
/// Who was called to knock has so long to do it before another one is called.
const CALL_LIFE: Duration = Duration::from_secs(15);

/// A request failed in a way that speaks against its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// No connection could be made, or the server said itself that it is not there: whatever was asked for.
    Unreached,
    /// No answer, or one of a gateway (502, 503, 504), to a question about this thing: it may be the thing's own
    /// trouble, so the same thing counts once.
    Unanswered(String),
}

impl Sign {
    /// No answer about what stands at an address; `depth` segments of its path name the thing.
    pub fn unanswered(path: &str, depth: usize) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|it| !it.is_empty()).take(depth).collect();
        Self::Unanswered(parts.join("/"))
    }
}

/// How somebody came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The door was open.
    Open,
    /// It was closed, and this is the one who tries.
    Probe,
}

/// The door is closed, for so long already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away(pub Duration);

/// The door to one server.
#[derive(Debug, Clone)]
pub struct Gate {
    first: Duration,
    longest: Duration,
    signs: Vec<(Sign, Duration)>,
    closed: Option<Closed>,
}

#[derive(Debug, Clone)]
struct Closed {
    since: Duration,
    /// Nobody tries before this.
    next: Duration,
    /// Tries that failed.
    tries: u32,
    /// Somebody tries right now.
    probing: bool,
    /// Somebody was called to try, and has until then.
    called: Option<Duration>,
}

impl Gate {
    /// The door to a server of which nothing is known yet: open.
    pub fn new(server: Server) -> Self {
        let (first, longest) = server.pauses();
        Self { first, longest, signs: Vec::new(), closed: None }
    }

    /// Whether the server is taken for away.
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// May a request be sent now? Of those who come while the server is away one at a time may, after a pause that
    /// grows. Who came in tells [`Self::answered`], [`Self::failed`] or [`Self::left`].
    ///
    /// # Errors
    /// [`Away`]: nothing is to be sent.
    pub fn enter(&mut self, now: Duration) -> Result<Entry, Away> {
        match &mut self.closed {
            None => Ok(Entry::Open),
            Some(it) if !it.probing && it.next <= now => {
                it.probing = true;
                Ok(Entry::Probe)
            }
            Some(it) => Err(Away(now.saturating_sub(it.since))),
        }
    }

    /// The server answered, whatever it said. Gives for how long it had been away, if it had.
    pub fn answered(&mut self, now: Duration) -> Option<Duration> {
        self.signs.clear();
        self.closed.take().map(|it| now.saturating_sub(it.since))
    }

    /// A request failed. True if that closed the door.
    pub fn failed(&mut self, entry: Entry, sign: Sign, now: Duration) -> bool {
        if let Some(closed) = &mut self.closed {
            // Who came in while it was open says nothing new.
            if entry == Entry::Probe {
                closed.tries = closed.tries.saturating_add(1);
                closed.next = now + self.first.saturating_mul(1 << closed.tries.min(10)).min(self.longest);
                (closed.probing, closed.called) = (false, None);
            }
            return false;
        }
        self.signs
            .retain(|(known, at)| now.saturating_sub(*at) < SIGN_LIFE && (*known != sign || *known == Sign::Unreached));
        self.signs.push((sign, now));
        if self.signs.len() < SIGNS {
            return false;
        }
        self.signs.clear();
        self.closed = Some(Closed { since: now, next: now + self.first, tries: 0, probing: false, called: None });
        true
    }

    /// Who came in went without having learned anything.
    pub fn left(&mut self, entry: Entry) {
        if let (Entry::Probe, Some(closed)) = (entry, &mut self.closed) {
            closed.probing = false;
        }
    }

    /// Whether somebody should be called who will try; a yes counts as called.
    pub fn call(&mut self, now: Duration) -> bool {
        let Some(it) = &mut self.closed else { return false };
        let due = !it.probing && it.next <= now && it.called.is_none_or(|until| until <= now);
        if due {
            it.called = Some(now + CALL_LIFE);
        }
        due
    }

    /// A person asked for something: the next who comes may try at once.
    pub fn hurry(&mut self, now: Duration) {
        if let Some(it) = &mut self.closed {
            it.next = it.next.min(now);
        }
    }
}

/// Those who waited come back one after the other, so far apart.
const STEP: Duration = Duration::from_millis(10);
/// And however many they are, all within this.
const RETURN: Duration = Duration::from_secs(300);

/// When the `place`th of `all` who waited for a server comes back once it answers again, from now. `draw` is in
/// `0.0..1.0`.
pub fn comes_back(place: usize, all: usize, draw: f64) -> Duration {
    let all = u32::try_from(all.max(1)).unwrap_or(u32::MAX);
    let step = STEP.min(RETURN / all);
    step.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX)).saturating_add(step.mul_f64(draw.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn about(thing: &str) -> Sign {
        Sign::Unanswered(thing.to_owned())
    }

    fn closed(now: u64) -> Gate {
        let mut gate = Gate::new(Server::GithubApi);
        let told = [(); 3].map(|()| gate.failed(Entry::Open, Sign::Unreached, at(now)));
        assert_eq!(told, [false, false, true]);
        gate
    }

    #[test]
    fn one_repository_that_fails_is_no_outage() {
        let mut gate = Gate::new(Server::GithubGit);
        for n in 0..100 {
            assert!(!gate.failed(Entry::Open, about("octo/broken"), at(n)));
        }
        assert!(!gate.failed(Entry::Open, about("octo/other"), at(100)));
        assert_eq!(gate.enter(at(100)), Ok(Entry::Open));
        assert!(gate.failed(Entry::Open, about("octo/third"), at(100)), "three different ones are");
    }

    #[test]
    fn any_answer_in_between_says_that_the_server_is_there() {
        let mut gate = Gate::new(Server::Onedev);
        for n in 0..10 {
            assert!(!gate.failed(Entry::Open, Sign::Unreached, at(n)));
            assert!(!gate.failed(Entry::Open, about("a"), at(n)));
            assert_eq!(gate.answered(at(n)), None);
        }
        for n in 0..10 {
            assert!(!gate.failed(Entry::Open, Sign::Unreached, at(n * 300)), "long ago is not in a row");
        }
    }

    #[test]
    fn one_at_a_time_tries_and_the_others_are_told_to_wait() {
        let mut gate = closed(100);
        assert_eq!(gate.enter(at(104)), Err(Away(at(4))), "not before the pause is over");
        assert_eq!(gate.enter(at(105)), Ok(Entry::Probe));
        assert_eq!(gate.enter(at(200)), Err(Away(at(100))), "while one tries");
        assert!(!gate.failed(Entry::Open, Sign::Unreached, at(200)), "who came in before says nothing new");
        assert!(!gate.failed(Entry::Probe, Sign::Unreached, at(200)));
        assert!(gate.enter(at(209)).is_err());
        assert_eq!(gate.enter(at(210)), Ok(Entry::Probe), "the pause has doubled");
        gate.left(Entry::Probe);
        assert_eq!(gate.enter(at(210)), Ok(Entry::Probe), "who learned nothing leaves it to the next");
        assert_eq!(gate.answered(at(211)), Some(at(111)));
        assert_eq!(gate.enter(at(211)), Ok(Entry::Open));
    }

    #[test]
    fn an_hour_takes_a_bounded_number_of_tries() {
        let (mut gate, mut tries) = (closed(0), 0);
        for now in 0..3600 {
            if gate.enter(at(now)) == Ok(Entry::Probe) {
                tries += 1;
                gate.failed(Entry::Probe, Sign::Unreached, at(now));
            }
        }
        assert!((60..=64).contains(&tries), "{tries}");
    }

    #[test]
    fn one_is_called_when_it_is_time_and_another_one_if_he_does_not_come() {
        assert!(!Gate::new(Server::GithubApi).call(at(0)), "the door is open");
        let mut gate = closed(0);
        assert!(!gate.call(at(4)));
        assert!(gate.call(at(5)));
        assert!(!gate.call(at(6)));
        assert!(gate.call(at(20)));
        assert_eq!(gate.enter(at(21)), Ok(Entry::Probe));
        assert!(!gate.call(at(99)), "he is at it");
    }

    #[test]
    fn a_person_need_not_wait() {
        let mut gate = closed(0);
        gate.hurry(at(1));
        assert_eq!(gate.enter(at(1)), Ok(Entry::Probe));
        gate.hurry(at(2));
        assert!(gate.enter(at(2)).is_err(), "but one tries at a time");
    }

    #[test]
    fn those_who_waited_come_back_one_after_the_other() {
        let all: Vec<u128> = (0..500).map(|it| comes_back(it, 500, 0.5).as_millis()).collect();
        assert_eq!((all[0], all[1], all[499]), (5, 15, 4995));
        assert!(comes_back(99_999, 100_000, 1.0) <= RETURN);
        assert_eq!(comes_back(0, 0, 0.0), Duration::ZERO);
    }

    #[test]
    fn the_thing_is_named_by_the_beginning_of_its_path() {
        assert_eq!(Sign::unanswered("/repositories/5/issues", 2), about("repositories/5"));
        assert_eq!(Sign::unanswered("/graphql", 2), about("graphql"));
    }
}
