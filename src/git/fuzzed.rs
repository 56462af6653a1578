//! The readers of the wire for whoever feeds them with what no server would send, see [`crate::fuzzing`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::body::Body;
use super::clean::Redactor;
use super::command::Command;
use super::error::Side;
use super::pktline::Decoder;
use super::progress::Progress;
use super::{listing, report};
use crate::domain::refs::{Oid, RefName};

/// Nobody is waited for: all is there.
const STALL: Duration = Duration::from_secs(5);

/// An answer of these bytes, in two chunks.
pub(super) fn body(bytes: &[u8], side: Side) -> Body {
    let (one, other) = bytes.split_at(bytes.len() / 2);
    let chunks = [one.to_vec(), other.to_vec()].map(Ok::<_, std::io::Error>);
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let response = reqwest::Response::from(http::Response::new(stream));
    Body::new(response, side, STALL, Arc::new(Redactor::default()))
}

/// What is cut out of these chunks, as text; the last is what ended it.
pub(crate) fn packets(chunks: impl IntoIterator<Item = Bytes>) -> Vec<String> {
    let (mut decoder, mut found) = (Decoder::default(), Vec::new());
    for chunk in chunks {
        decoder.feed(chunk);
        loop {
            match decoder.packet() {
                Ok(Some(packet)) => found.push(format!("{packet:?}")),
                Ok(None) => break,
                Err(error) => {
                    found.push(error.to_string());
                    return found;
                }
            }
        }
    }
    found.push(format!("whole: {}", decoder.at_boundary()));
    found
}

/// Both lists of refs.
pub(crate) async fn read_lists(bytes: &[u8]) {
    let _ = listing::read_info_refs(body(bytes, Side::Target)).await;
    let _ = listing::read_ls_refs(body(bytes, Side::Upstream)).await;
}

/// The report of a push of one ref, in a side band and without one.
pub(crate) async fn read_reports(bytes: &[u8], progress: &Progress) {
    let Ok(name) = RefName::new("refs/heads/x") else { return };
    let commands = [Command { name, old: Oid::ZERO, new: Oid::from_bytes([1; 20]) }];
    for banded in [true, false] {
        let _ = report::read(body(bytes, Side::Target), &commands, banded, progress).await;
    }
}
