//! Those who follow the events, at this process.
//!
//! ```text
//! who works, anywhere ─▶ table `events` ─▶ the look of this process, twice a second ─▶ each follower's task ─▶ its stream
//! ```
//!
//! Nothing waits for a follower: each has a task of its own that reads from the table where it stands, and is cut off
//! when its connection does not take what is written.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use actix_web::web::Bytes;
use chrono::{TimeDelta, Utc};
use futures_util::{Stream, stream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::auth::{self, Admin};
use super::connections::Connection;
use super::problem::Problem;
use super::shared::Shared;
use crate::store::events::{self, Event};
use crate::store::{Store, StoreError};

/// Followers at once.
const MOST: usize = 64;
/// When to come again, when there are so many.
const PAUSE: Duration = Duration::from_secs(30);
/// Events read at once.
const PAGE: i64 = 100;
/// Pieces of such a length that wait for the connection, beside what the connection itself holds.
const WAITING: usize = 4;
/// Steps are written for so long after the last look of a process with followers.
const FOLLOWED_FOR: TimeDelta = TimeDelta::seconds(60);

/// Some events were missed.
const GAP: &str = "event: gap\ndata: {}\n\n";

/// What takes its time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// New events are looked for.
    pub(super) look: Duration,
    /// It is said that somebody follows.
    pub(super) renew: Duration,
    /// A line that only keeps the connection, and whether the follower may still follow.
    pub(super) alive: Duration,
    /// A connection that takes nothing for so long is cut off.
    pub(super) slow: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            look: Duration::from_millis(500),
            renew: Duration::from_secs(20),
            alive: Duration::from_secs(15),
            slow: Duration::from_secs(10),
        }
    }
}

/// All of them.
pub(super) struct Followers {
    state: Mutex<State>,
    /// What was found at the last look.
    found: watch::Sender<Found>,
    stop: CancellationToken,
    pub(super) pace: Pace,
}

#[derive(Default)]
struct State {
    count: usize,
    /// Somebody looks for new events.
    looking: bool,
}

/// What a look finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Found {
    /// The last event there is.
    last: i64,
    /// How often nothing was written meanwhile, since this process could not say that somebody follows.
    gaps: u64,
}

/// What somebody wants to follow.
pub(super) struct Wish {
    pub(super) admin: Admin,
    /// Only steps of this mirror.
    pub(super) mirror: Option<Uuid>,
    /// The last event that was seen before.
    pub(super) seen: Option<i64>,
    pub(super) connection: Option<Arc<Connection>>,
}

impl Followers {
    /// `stop` is cancelled when the server is about to end.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { state: Mutex::default(), found: watch::Sender::new(Found::default()), stop, pace: Pace::default() }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.state().count
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_place(shared: &Arc<Shared>) -> Result<Place, Problem> {
        let mut state = shared.followers.state();
        if state.count >= MOST {
            let detail = format!("{MOST} follow at this process already; come again");
            return Err(Problem::unavailable("too_many_followers", detail, PAUSE));
        }
        state.count += 1;
        if !state.looking {
            state.looking = true;
            actix_web::rt::spawn(look(Arc::downgrade(shared)));
        }
        Ok(Place(Arc::clone(shared)))
    }
}

/// A follower's place.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.followers.state().count -= 1;
    }
}

/// Looks for new events while somebody follows here, and says that somebody does.
async fn look(shared: Weak<Shared>) {
    let mut said = tokio::time::Instant::now();
    loop {
        let Some(shared) = shared.upgrade() else { return };
        {
            let mut state = shared.followers.state();
            if state.count == 0 {
                state.looking = false;
                return;
            }
        }
        let renew = said.elapsed() >= shared.followers.pace.renew;
        match newest(&shared.store, renew).await {
            Ok((last, lapsed)) => {
                shared.followers.found.send_if_modified(|it| {
                    let found = Found { last, gaps: it.gaps + u64::from(lapsed) };
                    std::mem::replace(it, found) != found
                });
                if renew {
                    said = tokio::time::Instant::now();
                }
            }
            Err(error) => tracing::warn!(code = error.code(), "events cannot be read: {error}"),
        }
        let pause = shared.followers.pace.look;
        drop(shared);
        tokio::time::sleep(pause).await;
    }
}

/// The last event, and whether there is a hole before it.
async fn newest(store: &Store, renew: bool) -> Result<(i64, bool), StoreError> {
    let lapsed = renew && store.write(|c| events::follow(c, FOLLOWED_FOR, Utc::now())).await?;
    Ok((store.read(events::last).await?, lapsed))
}

/// Begins to follow. When this returns, every step that is told from then on will come.
///
/// # Errors
/// 503 when there are too many, or the database is away.
pub(super) async fn join(
    shared: &Arc<Shared>,
    wish: Wish,
) -> Result<impl Stream<Item = Result<Bytes, std::convert::Infallible>> + 'static, Problem> {
    let place = Followers::take_place(shared)?;
    shared.store.write(|c| events::follow(c, FOLLOWED_FOR, Utc::now())).await?;
    let seen = wish.seen;
    let (cursor, gap) = shared.store.read(move |c| begin(c, seen)).await?;
    let (out, pieces) = mpsc::channel(WAITING);
    let feed = Feed { place, wish, cursor, out };
    actix_web::rt::spawn(feed.run(gap));
    Ok(stream::unfold(pieces, |mut pieces| async move { Some((Ok(pieces.recv().await?), pieces)) }))
}

/// Where to go on, and whether something is missing before it.
fn begin(c: &mut crate::store::Connection, seen: Option<i64>) -> Result<(i64, bool), StoreError> {
    match seen {
        None => Ok((events::last(c)?, false)),
        Some(seen) if events::is_held(c, seen)? => Ok((seen, false)),
        Some(_) => Ok((0, true)),
    }
}

/// What one follower is sent.
struct Feed {
    place: Place,
    wish: Wish,
    cursor: i64,
    out: mpsc::Sender<Bytes>,
}

/// Why a feed ends.
enum End {
    /// The follower went, or was cut off.
    Gone,
    /// It may not follow any more, or the server ends.
    Over(&'static str),
}

impl Feed {
    async fn run(mut self, gap: bool) {
        if let Err(End::Over(why)) = self.follow(gap).await {
            let _ = self.send(format!(": {why}\n\n")).await;
        }
    }

    async fn follow(&mut self, gap: bool) -> Result<(), End> {
        let shared = Arc::clone(&self.place.0);
        let (pace, stop) = (shared.followers.pace, shared.followers.stop.clone());
        let mut found = shared.followers.found.subscribe();
        let mut gaps = found.borrow_and_update().gaps;
        let mut alive = tokio::time::interval(pace.alive);
        self.send("retry: 2000\n\n".to_owned()).await?;
        if gap {
            self.send(GAP.to_owned()).await?;
        }
        loop {
            self.catch_up(&shared.store).await?;
            tokio::select! {
                changed = found.changed() => {
                    changed.map_err(|_| End::Gone)?;
                    let now = found.borrow_and_update().gaps;
                    if std::mem::replace(&mut gaps, now) != now {
                        self.send(GAP.to_owned()).await?;
                    }
                }
                _ = alive.tick() => self.keep_alive(&shared).await?,
                () = stop.cancelled() => return Err(End::Over("the server ends; follow another")),
                () = self.out.closed() => return Err(End::Gone),
            }
        }
    }

    /// All that there is by now.
    async fn catch_up(&mut self, store: &Store) -> Result<(), End> {
        loop {
            let cursor = self.cursor;
            let found = match store.read(move |c| events::after(c, cursor, PAGE)).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(code = error.code(), "events cannot be read: {error}");
                    return Ok(());
                }
            };
            let Some(newest) = found.last().map(|it| it.id) else { return Ok(()) };
            self.cursor = newest;
            let text: String = found.iter().filter(|it| self.wants(it)).map(frame).collect();
            if !text.is_empty() {
                self.send(text).await?;
            }
        }
    }

    fn wants(&self, event: &Event) -> bool {
        self.wish.mirror.is_none_or(|it| it == event.mirror)
    }

    async fn keep_alive(&mut self, shared: &Shared) -> Result<(), End> {
        match auth::may_still(shared, &self.wish.admin).await {
            Ok(true) => self.send(": keep-alive\n\n".to_owned()).await,
            Ok(false) => Err(End::Over("what opened this has ended")),
            // Whoever cannot be asked about is told nothing new either.
            Err(_) => Ok(()),
        }
    }

    async fn send(&mut self, text: String) -> Result<(), End> {
        let slow = self.place.0.followers.pace.slow;
        match self.out.send_timeout(Bytes::from(text), slow).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(End::Gone),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                tracing::info!("a follower of the events takes nothing and is cut off");
                if let Some(connection) = &self.wish.connection {
                    connection.end();
                }
                Err(End::Gone)
            }
        }
    }
}

/// One event as the stream has it.
fn frame(event: &Event) -> String {
    let mut text = format!("id: {}\nevent: step\ndata: ", event.id);
    // Members of JSON have their line breaks escaped.
    let _ = write!(text, "{}\n\n", serde_json::json!(event));
    text
}
