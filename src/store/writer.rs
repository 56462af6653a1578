//! SQLite's one writer: a thread that commits whatever has gathered in one go.
//!
//! Writes arrive on a bounded queue from [`Store::write`](super::Store::write). The thread takes all
//! that wait, runs each in a savepoint of one transaction, commits, and only then answers them: so
//! an answer means on disk, and thirty-two writes at once cost one fsync. A write that fails or
//! panics undoes itself alone. When the commit fails, every write of the group is told so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot, watch};

use super::address::Address;
use super::connection::{Connection, Undone, Use};
use super::error::StoreError;
use super::{guarded, wakeups};

/// Writes that may wait; beyond it callers wait in line.
const QUEUE: usize = 256;
/// Writes in one transaction at most, so that the first of them does not wait for ever.
const GROUP: usize = 64;

/// A waiting write, whatever it returns.
pub(super) trait Waiting: Send {
    /// Runs it within the group's transaction. `Err` when the transaction is lost.
    fn run(&mut self, c: &mut Connection) -> Result<(), StoreError>;
    /// Tells the caller: its own result if the group was committed, else why not.
    fn answer(self: Box<Self>, group: Result<(), StoreError>);
}

struct Write<W, T> {
    work: W,
    done: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<W, T> Waiting for Write<W, T>
where
    W: FnMut(&mut Connection) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, c: &mut Connection) -> Result<(), StoreError> {
        let work = &mut self.work;
        match c.savepoint(|c| guarded(|| work(c))) {
            Ok(done) => self.done = Some(Ok(done)),
            Err(Undone::Failed(error)) => self.done = Some(Err(error)),
            Err(Undone::Broken(error)) => return Err(StoreError::Unavailable(error.to_string())),
        }
        Ok(())
    }

    fn answer(self: Box<Self>, group: Result<(), StoreError>) {
        let Self { done, caller, .. } = *self;
        let result = match (done, group) {
            // Its own failure says more than the group's, and neither did anything.
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(done), Ok(())) => done,
            (None, Ok(())) => Err(StoreError::Unavailable("the write was not run".to_owned())),
        };
        // A caller that went away does not want to know.
        let _ = caller.send(result);
    }
}

/// Boxes `work` for the queue and gives the other end of its answer.
pub(super) fn waiting<W, T>(work: W) -> (Box<dyn Waiting>, oneshot::Receiver<Result<T, StoreError>>)
where
    W: FnMut(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    T: Send + 'static,
{
    let (caller, answer) = oneshot::channel();
    (Box::new(Write { work, done: None, caller }), answer)
}

/// Starts the thread. It ends when the last sender is dropped, after what waits is written.
pub(super) fn start(
    address: Address,
    commits: Arc<AtomicU64>,
    wake: watch::Sender<u64>,
) -> Result<mpsc::Sender<Box<dyn Waiting>>, StoreError> {
    let (sender, inbox) = mpsc::channel(QUEUE);
    let first = Connection::open(&address, Use::Writing)?;
    let mut writer = Writer { address, connection: Some(first), inbox, commits, wake };
    std::thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || writer.run())
        .map_err(|e| StoreError::Unavailable(format!("no thread for the writer: {e}")))?;
    Ok(sender)
}

struct Writer {
    address: Address,
    /// Opened again after a lost transaction: the old one's state is not known any more.
    connection: Option<Connection>,
    inbox: mpsc::Receiver<Box<dyn Waiting>>,
    commits: Arc<AtomicU64>,
    wake: watch::Sender<u64>,
}

impl Writer {
    fn run(&mut self) {
        while let Some(first) = self.inbox.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP {
                match self.inbox.try_recv() {
                    Ok(next) => group.push(next),
                    Err(_) => break,
                }
            }
            let fate = self.commit(&mut group);
            if fate.is_err() {
                self.connection = None;
            }
            for write in group {
                write.answer(fate.clone());
            }
        }
    }

    fn commit(&mut self, group: &mut [Box<dyn Waiting>]) -> Result<(), StoreError> {
        let c = match &mut self.connection {
            Some(c) => c,
            none @ None => none.insert(Connection::open(&self.address, Use::Writing)?),
        };
        c.begin_write()?;
        for write in group {
            write.run(c)?;
        }
        // Whatever it was, it was none of theirs.
        c.commit().map_err(|e| StoreError::Unavailable(e.to_string()))?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        if std::mem::take(&mut c.queued) {
            wakeups::bump(&self.wake);
        }
        Ok(())
    }
}
