//! Planned faults: which request fails, and how.
//!
//! A test plans `(Trigger, Fault)` on a server; each request that arrives takes what matches it
//! ([`Plan::take`]) and the server's front ([`super::front`]) applies it to both bodies.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::git_http::{GitCall, Service};
use super::record::lock;

/// What kind of request a fault waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Whatever arrives.
    Any,
    /// Calls that are not git's.
    Rest,
    /// `info/refs` of one of the services.
    Advertise(Service),
    /// The POST of one of the services: a fetch or `ls-refs`, or a push.
    Exchange(Service),
}

impl On {
    /// A push.
    pub const PUSH: Self = Self::Exchange(Service::ReceivePack);
    /// A fetch, or the `ls-refs` of protocol version 2.
    pub const FETCH: Self = Self::Exchange(Service::UploadPack);

    fn covers(self, call: Option<GitCall>) -> bool {
        match self {
            Self::Any => true,
            Self::Rest => call.is_none(),
            Self::Advertise(service) => call == Some(GitCall::Advertise(service)),
            Self::Exchange(service) => call == Some(GitCall::Exchange(service)),
        }
    }
}

/// Which requests a fault happens to: by kind, method, path and order of arrival.
#[derive(Debug, Clone)]
pub struct Trigger {
    on: On,
    method: Option<String>,
    path: Option<String>,
    body: Option<String>,
    skip: u32,
    times: u32,
}

impl Trigger {
    /// The next request of a kind, once.
    pub fn next(on: On) -> Self {
        Self { on, method: None, path: None, body: None, skip: 0, times: 1 }
    }

    /// From the `nth` matching request on; 1 is the next.
    #[must_use]
    pub fn nth(mut self, nth: u32) -> Self {
        self.skip = nth.saturating_sub(1);
        self
    }

    /// For so many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// For every matching request until the plan is cleared.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u32::MAX)
    }

    /// Only requests whose path contains `part`.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    /// Only requests of a method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only git POSTs whose body contains `part` near its start: `command=fetch`, `command=ls-refs`,
    /// or a ref's name.
    #[must_use]
    pub fn body(mut self, part: &str) -> Self {
        self.body = Some(part.to_owned());
        self
    }

    fn covers(&self, arrived: &Arrived<'_>) -> bool {
        self.on.covers(arrived.call)
            && self.method.as_deref().is_none_or(|it| it.eq_ignore_ascii_case(arrived.method))
            && self.path.as_deref().is_none_or(|it| arrived.path.contains(it))
            && self.body.as_deref().is_none_or(|it| arrived.start.windows(it.len()).any(|part| part == it.as_bytes()))
    }
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this and nothing else is done.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Name and value.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// The connection breaks after so many bytes of its body; no answer is given.
    CutRequest {
        /// Bytes that still come through.
        after: u64,
    },
    /// The server stops reading its body after so many bytes, for ever.
    StallRequest {
        /// Bytes that still come through.
        after: u64,
    },
    /// The connection breaks after so many bytes of the answer's body.
    CutResponse {
        /// Bytes that still come through.
        after: u64,
    },
    /// The answer stops after so many bytes of its body, for ever.
    StallResponse {
        /// Bytes that still come through.
        after: u64,
    },
    /// The answer's body comes at so many bytes a second.
    SlowResponse {
        /// The pace.
        bytes_per_second: u64,
    },
    /// A fetch's answer holds garbage instead of a pack.
    GarbagePack,
    /// The answer ends cleanly, but without its last flush packet: a list of refs that was cut.
    LoseFlush,
    /// A push is carried out, but its answer holds no report.
    LoseReport,
    /// The pre-receive hook declines all of a push and says this.
    Decline(String),
}

impl Fault {
    /// An answer without headers.
    pub fn answer(status: u16, body: &str) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.to_owned() }
    }

    /// `429 Too Many Requests` with a `Retry-After` of so many seconds.
    pub fn too_many_requests(retry_after: u32) -> Self {
        Self::Answer {
            status: 429,
            headers: vec![("Retry-After".to_owned(), retry_after.to_string())],
            body: "{\"message\":\"You have exceeded a secondary rate limit.\"}".to_owned(),
        }
    }
}

/// Where a [`Gate`] holds a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// When it has arrived, before anything is done.
    Arrival,
    /// When so many bytes of its body have been read.
    RequestBytes(u64),
    /// When so many bytes of the answer's body have been sent.
    ResponseBytes(u64),
    /// When all is done and nothing has been answered.
    Answer,
}

/// A request that is held until the test lets it go. Dropping the gate lets it go too.
#[derive(Debug)]
pub struct Gate(Arc<Barrier>);

/// The server's side of a gate.
#[derive(Debug)]
pub(crate) struct Barrier {
    arrived: watch::Sender<u32>,
    open: watch::Sender<bool>,
    count: Mutex<u32>,
    changed: Condvar,
}

impl Gate {
    fn new() -> Self {
        Self(Arc::new(Barrier {
            arrived: watch::Sender::new(0),
            open: watch::Sender::new(false),
            count: Mutex::new(0),
            changed: Condvar::new(),
        }))
    }

    /// Waits until a request stands at the gate.
    pub async fn reached(&self) {
        let mut arrived = self.0.arrived.subscribe();
        // The sender lives as long as this gate, so waiting cannot fail.
        let _always = arrived.wait_for(|count| *count > 0).await.is_ok();
    }

    /// The same for a thread without a runtime; `false` when it took longer than `limit`.
    pub fn wait_reached(&self, limit: Duration) -> bool {
        let count = lock(&self.0.count);
        match self.0.changed.wait_timeout_while(count, limit, |count| *count == 0) {
            Ok((count, _)) => *count > 0,
            Err(_) => false,
        }
    }

    /// Lets every held request go, and those that come later.
    pub fn release(&self) {
        self.0.open.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.release();
    }
}

impl Barrier {
    pub(crate) async fn pass(&self) {
        *lock(&self.count) += 1;
        self.changed.notify_all();
        self.arrived.send_modify(|count| *count += 1);
        // The sender is `self`: waiting ends with the gate's release.
        let _open = self.open.subscribe().wait_for(|open| *open).await.is_ok();
    }
}

/// A request as far as the plan looks at it.
pub(crate) struct Arrived<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) call: Option<GitCall>,
    /// The first bytes of a git POST's body.
    pub(crate) start: &'a [u8],
}

/// What a request has to go through.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    Fault(Fault),
    Hold(Hold, Arc<Barrier>),
}

#[derive(Debug)]
struct Planned {
    trigger: Trigger,
    happening: Happening,
}

/// The planned faults of one server, in the order in which they were planned.
#[derive(Debug, Default)]
pub(crate) struct Plan(Mutex<Vec<Planned>>);

impl Plan {
    pub(crate) fn fail(&self, trigger: Trigger, fault: Fault) {
        lock(&self.0).push(Planned { trigger, happening: Happening::Fault(fault) });
    }

    pub(crate) fn hold(&self, trigger: Trigger, hold: Hold) -> Gate {
        let gate = Gate::new();
        lock(&self.0).push(Planned { trigger, happening: Happening::Hold(hold, Arc::clone(&gate.0)) });
        gate
    }

    pub(crate) fn clear(&self) {
        lock(&self.0).clear();
    }

    /// Whether any plan looks into bodies, which must then be read a little ahead.
    pub(crate) fn reads_bodies(&self) -> bool {
        lock(&self.0).iter().any(|it| it.trigger.body.is_some())
    }

    /// Counts the request against every plan that covers it and answers those that are due.
    pub(crate) fn take(&self, arrived: &Arrived<'_>) -> Vec<Happening> {
        let mut due = Vec::new();
        let mut plan = lock(&self.0);
        for planned in plan.iter_mut().filter(|it| it.trigger.covers(arrived)) {
            if planned.trigger.skip > 0 {
                planned.trigger.skip -= 1;
            } else if planned.trigger.times > 0 {
                planned.trigger.times =
                    planned.trigger.times.saturating_sub(u32::from(planned.trigger.times != u32::MAX));
                due.push(planned.happening.clone());
            }
        }
        plan.retain(|it| it.trigger.times > 0);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_to_the_requests_it_was_planned_for() {
        let plan = Plan::default();
        plan.fail(Trigger::next(On::Rest).method("POST").path("/projects").nth(2).times(2), Fault::answer(500, "x"));
        let due = |method, path| plan.take(&Arrived { method, path, call: None, start: b"" }).len();
        let seen = [due("POST", "/projects"), due("GET", "/projects"), due("POST", "/users")];
        assert_eq!(seen, [0, 0, 0]);
        assert_eq!([(); 4].map(|()| due("POST", "/projects")), [1, 1, 0, 0]);
    }
}
