//! The server that is pushed to: what refs it has, and moving them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use url::Url;

use super::capabilities::Capabilities;
use super::command::Push;
use super::error::{Side, WireError};
use super::feed::{Cause, Feed, body};
use super::listing::{InfoRefs, ReceiveAdvertisement, read_info_refs};
use super::packer::MadePack;
use super::progress::{Phase, Progress};
use super::remote::{Address, Connections, Patience, Remote, Service};
use super::report::{self, PushReport};
use crate::telemetry::metrics::Metrics;

/// What every receive-pack of the last ten years can do, for a push before the first list.
const USUAL: &[u8] = b"report-status delete-refs side-band-64k quiet atomic ofs-delta";

/// A repository that is written.
#[derive(Debug)]
pub struct Target {
    remote: Remote,
    offered: Mutex<Capabilities>,
}

impl Target {
    /// Makes no request.
    ///
    /// # Errors
    /// [`WireError::BadRequest`] for an address with a password or one that is not http(s) or ssh, for
    /// an ssh address whose server has no key, and for a credential that does not fit in a header.
    pub fn new(
        connections: impl Into<Connections>,
        address: Address,
        metrics: Metrics,
        patience: Patience,
    ) -> Result<Self, WireError> {
        let remote = Remote::new(&connections.into(), address, Side::Target, metrics, patience)?;
        Ok(Self { remote, offered: Mutex::new(Capabilities::of_words(USUAL)) })
    }

    /// The present address.
    pub fn url(&self) -> Url {
        self.remote.url()
    }

    /// All refs, in one request that does not wait for OneDev's slots (old protocol, `info/refs`).
    ///
    /// # Errors
    /// [`WireError::Booting`] while OneDev starts, [`WireError::NotFound`] without such a project,
    /// [`WireError::Truncated`] for a list without its end; never half a list.
    pub async fn receive_refs(&self) -> Result<ReceiveAdvertisement, WireError> {
        match read_info_refs(self.remote.info_refs(Service::ReceivePack, false).await?).await? {
            InfoRefs::Listed(list) => {
                let list = list.into_target();
                *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = list.capabilities.clone();
                Ok(list)
            }
            InfoRefs::Capabilities(_) => {
                Err(WireError::Protocol { side: Side::Target, detail: "no list of refs came".to_owned() })
            }
        }
    }

    /// Commands that need no objects: deletes, and refs to objects that the target has. The caller
    /// splits what is too large ([`super::batches`]).
    ///
    /// # Errors
    /// See [`WireError`]; refs that are refused are no error but part of the report.
    pub async fn push(&self, push: &Push, progress: &Arc<Progress>) -> Result<PushReport, WireError> {
        self.push_pack(push, Feed::empty(), progress).await
    }

    /// Commands, and a pack that starkeep made with all objects they need.
    ///
    /// # Errors
    /// As [`Target::push`].
    pub async fn push_made(
        &self,
        push: &Push,
        pack: MadePack,
        progress: &Arc<Progress>,
    ) -> Result<PushReport, WireError> {
        self.push_pack(push, pack.feed(), progress).await
    }

    /// Commands and a pack. The feed is not read if the push only deletes.
    pub(crate) async fn push_pack(
        &self,
        push: &Push,
        feed: Feed,
        progress: &Arc<Progress>,
    ) -> Result<PushReport, WireError> {
        progress.enter(Phase::Pushing);
        let offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let commands = push.encode(&offered)?;
        let feed = if push.needs_pack() { feed } else { Feed::Nothing };
        let cause = Cause::default();
        let body = body(commands, feed, Arc::clone(progress), cause.clone());
        let banded = offered.has("side-band-64k");
        let pushed = async {
            let answer = self.remote.give(body).await?;
            report::read(answer, &push.commands, banded, progress).await
        };
        let result = watched(pushed, progress, self.remote.patience().push).await;
        // What the target says about a body that broke off is not the cause of it.
        match cause.take() {
            Some(error) => Err(error),
            None => result,
        }
    }
}

/// Ends a push in which no byte moves for `silence`, at most twice that.
async fn watched<T>(
    push: impl Future<Output = Result<T, WireError>>,
    progress: &Progress,
    silence: Duration,
) -> Result<T, WireError> {
    let mut push = std::pin::pin!(push);
    loop {
        let moved = progress.moved();
        match tokio::time::timeout(silence, &mut push).await {
            Ok(result) => return result,
            Err(_) if progress.moved() == moved => {
                return Err(WireError::Stalled { side: Side::Target, after: silence });
            }
            Err(_) => {}
        }
    }
}
