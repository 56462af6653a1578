//! What reached a simulated server, for tests to count and to look at. Never holds a credential.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HOST, IF_NONE_MATCH, USER_AGENT};

/// One request, written down when it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// `GET`, `POST`, …; `SSH` for a program run over SSH.
    pub method: String,
    /// The path as it was sent, escapes and all, without the query.
    pub path: String,
    /// The query as it was sent, without the question mark.
    pub query: String,
    /// The `Host` header.
    pub host: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// The `Git-Protocol` header.
    pub git_protocol: Option<String>,
    /// Whether it carried an `Authorization` header.
    pub authorized: bool,
    /// Whether it asked for an answer only if that is another than the one it knows.
    pub conditional: bool,
}

impl RequestRecord {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let header = |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
        Self {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: request.query_string().to_owned(),
            host: header(HOST.as_str()),
            user_agent: header(USER_AGENT.as_str()),
            git_protocol: header("git-protocol"),
            authorized: request.headers().contains_key(AUTHORIZATION),
            conditional: request.headers().contains_key(IF_NONE_MATCH),
        }
    }

    /// A program that was run over SSH: its name stands where HTTP has the query.
    pub(crate) fn of_ssh(path: &str, program: &str, protocol: Option<String>) -> Self {
        Self {
            method: "SSH".to_owned(),
            path: format!("/{path}"),
            query: program.to_owned(),
            host: None,
            user_agent: None,
            git_protocol: protocol,
            authorized: true,
            conditional: false,
        }
    }

    /// `POST /path?query`, as tests like to compare it.
    pub fn line(&self) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("{} {}{mark}{}", self.method, self.path, self.query)
    }
}

/// More are not kept: the oldest go.
const MOST: usize = 200_000;

/// Every request since the start or since it was last cleared.
#[derive(Debug, Default)]
pub(crate) struct RequestLog(Mutex<VecDeque<RequestRecord>>);

impl RequestLog {
    pub(crate) fn add(&self, record: RequestRecord) {
        let mut log = lock(&self.0);
        if log.len() == MOST {
            log.pop_front();
        }
        log.push_back(record);
    }

    pub(crate) fn all(&self) -> Vec<RequestRecord> {
        lock(&self.0).iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        lock(&self.0).clear();
    }
}

/// Locks, whatever a panicking holder left behind: the state is still a state of the simulation.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
