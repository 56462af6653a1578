//! How far a transfer is, for heartbeats, progress bars and the byte counters of `/metrics`.
//!
//! Written by spool, relay and push while bytes pass; read from outside at any time, without locks.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use prometheus::IntCounter;

use crate::telemetry::metrics::Metrics;

/// What a transfer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing yet.
    Idle,
    /// Upstream is asked for a pack, or it comes into the spool.
    Fetching,
    /// The pack is whole and waits for its turn to be pushed.
    Waiting,
    /// Bytes go to the target, or it works on them.
    Pushing,
    /// The last report is in.
    Done,
}

/// Counters of one transfer, shared between who transfers and who watches.
#[derive(Debug)]
pub struct Progress {
    phase: AtomicU8,
    objects: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    heard: AtomicU64,
    all_received: IntCounter,
    all_sent: IntCounter,
}

/// Numbers of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// What it is doing.
    pub phase: Phase,
    /// Objects in the pack, as its head says.
    pub objects: u64,
    /// Bytes of packs that came from upstream.
    pub received: u64,
    /// Bytes that went to the target.
    pub sent: u64,
}

impl Progress {
    /// Zeros; bytes are added to the process's counters too.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            phase: AtomicU8::new(0),
            objects: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            all_received: metrics.transferred_bytes.with_label_values(&["in"]),
            all_sent: metrics.transferred_bytes.with_label_values(&["out"]),
        }
    }

    /// The numbers now.
    pub fn snapshot(&self) -> Snapshot {
        let phase = match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Fetching,
            2 => Phase::Waiting,
            3 => Phase::Pushing,
            _ => Phase::Done,
        };
        Snapshot {
            phase,
            objects: self.objects.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
        }
    }

    /// Grows whenever a byte moves in any direction, signs of life from the target included.
    pub fn moved(&self) -> u64 {
        self.received.load(Ordering::Relaxed) + self.sent.load(Ordering::Relaxed) + self.heard.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn promised(&self, objects: u32) {
        self.objects.fetch_add(u64::from(objects), Ordering::Relaxed);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        self.all_received.inc_by(bytes as u64);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        self.all_sent.inc_by(bytes as u64);
    }

    pub(crate) fn heard(&self, bytes: usize) {
        self.heard.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
