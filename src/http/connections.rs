//! Connections that nobody uses are ended, however they are kept open.
//!
//! The server itself ends a connection whose first request does not come in time, and one on which nothing comes after
//! an answer. What it does not end is one that begins a further request and never finishes its head, or drips the rest
//! of a body that was refused: each byte counts as life there. So each connection is noted here with when its last
//! answer ended, and is shut down from outside when the next request is not whole within a time.

use std::any::Any;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Extensions;
use actix_web::web::Bytes;

use super::shared::Shared;

/// How often it is looked, at the least.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How slow a client may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The head of a request must be whole after so long.
    pub(super) head: Duration,
    /// How long a connection is kept for the next request.
    pub(super) keep_alive: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(10), keep_alive: Duration::from_secs(60) }
    }
}

impl Patience {
    /// The next request must be whole so long after the last answer.
    fn idle(self) -> Duration {
        self.keep_alive + self.head
    }
}

/// Ends idle connections until the server is gone.
pub(super) async fn watch(shared: Weak<Shared>) {
    loop {
        let Some(idle) = shared.upgrade().map(|it| it.patience.idle()) else { return };
        tokio::time::sleep((idle / 8).min(LONGEST_PAUSE)).await;
        let Some(shared) = shared.upgrade() else { return };
        let ended = shared.connections.end_idle(idle, Instant::now());
        if ended > 0 {
            tracing::debug!(connections = ended, "connections were ended on which no request came");
        }
    }
}

/// All that are open. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<Mutex<Vec<Weak<Connection>>>>);

/// One of them.
pub(super) struct Connection {
    /// Another handle of the same socket.
    socket: TcpStream,
    state: Mutex<State>,
}

struct State {
    /// Requests in hand: read, and not answered to the end.
    in_hand: u32,
    /// Since when there are none.
    idle_since: Instant,
}

impl Connections {
    /// Notes a connection that was just made.
    pub(super) fn note(&self, io: &dyn Any, data: &mut Extensions) {
        let Some(stream) = io.downcast_ref::<actix_web::rt::net::TcpStream>() else { return };
        let Ok(socket) = stream.as_fd().try_clone_to_owned() else {
            // Without a handle it could not be ended later.
            tracing::warn!("a connection is refused: too many files are open");
            let _ = socket2::SockRef::from(stream).shutdown(Shutdown::Both);
            return;
        };
        let state = State { in_hand: 0, idle_since: Instant::now() };
        let connection = Arc::new(Connection { socket: socket.into(), state: Mutex::new(state) });
        let mut all = self.all();
        if all.len() == all.capacity() {
            all.retain(|it| it.strong_count() > 0);
        }
        all.push(Arc::downgrade(&connection));
        data.insert(connection);
    }

    /// Ends those on which no request has been in hand for so long.
    pub(super) fn end_idle(&self, patience: Duration, now: Instant) -> usize {
        let mut all = self.all();
        all.retain(|it| it.strong_count() > 0);
        let idle = all.iter().filter_map(Weak::upgrade).filter(|it| it.is_idle(patience, now));
        idle.map(|it| it.end()).count()
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Connection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// A request is in hand for as long as the value lives.
    pub(super) fn take_in_hand(self: &Arc<Self>) -> InHand {
        self.state().in_hand += 1;
        InHand(Arc::clone(self))
    }

    /// Ends it at once, whatever is on its way.
    pub(super) fn end(&self) {
        // It may have ended by itself.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn is_idle(&self, patience: Duration, now: Instant) -> bool {
        let state = self.state();
        state.in_hand == 0 && now.saturating_duration_since(state.idle_since) >= patience
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is in hand.
pub(super) struct InHand(Arc<Connection>);

impl Drop for InHand {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_hand = state.in_hand.saturating_sub(1);
        state.idle_since = Instant::now();
    }
}

/// An answer's body, which keeps its request in hand until it was sent.
struct Held {
    body: BoxBody,
    _request: InHand,
}

/// Such a body.
pub(super) fn held(body: BoxBody, request: InHand) -> BoxBody {
    BoxBody::new(Held { body, _request: request })
}

impl MessageBody for Held {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
