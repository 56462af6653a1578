//! What is being done right now, for whoever watches: the command line, the demo.
//!
//! Nothing depends on it: who does not listen, or listens too slowly, misses steps and nothing else.

use tokio::sync::broadcast;

use crate::domain::ids::MirrorId;

/// Steps that a slow listener may lag behind before it misses some.
const BACKLOG: usize = 1024;

/// One step of one mirror's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Whose.
    pub mirror: MirrorId,
    /// The stage that begins.
    pub stage: &'static str,
    /// Bytes of packs moved so far.
    pub bytes: u64,
}

/// Where steps are told. Clones tell the same listeners.
#[derive(Debug, Clone)]
pub struct Progress(broadcast::Sender<Step>);

impl Default for Progress {
    fn default() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }
}

impl Progress {
    /// Tells whoever listens.
    pub fn tell(&self, mirror: MirrorId, stage: &'static str, bytes: u64) {
        // An error means that nobody listens.
        let _ = self.0.send(Step { mirror, stage, bytes });
    }

    /// Hears the steps from now on.
    pub fn listen(&self) -> broadcast::Receiver<Step> {
        self.0.subscribe()
    }
}
