//! Asking upstream for a pack: the request, and the sections in front of the pack.
//!
//! Protocol v2's `fetch` with `done` at once brings the pack without a further round. The old
//! protocol's single round is the fallback.

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};

use super::body::{Body, Packets};
use super::capabilities::Capabilities;
use super::error::WireError;
use super::pack::{Pack, refused};
use super::pktline::{FrameError, Packet, line, put, put_delimiter, put_flush};
use super::remote::AGENT;
use super::sideband::SideBand;
use crate::domain::lfs::POINTER_LIMIT;
use crate::domain::refs::Oid;

/// The most bytes of what stands in front of a pack.
const MAX_PREAMBLE: u64 = 4 << 20;

/// What kind of pack is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FetchOptions {
    /// Deltas may rest on objects that the haves imply: smaller, and only for a receiver that has them.
    pub thin: bool,
    /// Only the tips, no parents.
    pub tips_only: bool,
    /// No trees and no blobs. Upstream must offer `filter`.
    pub without_trees: bool,
    /// No file that is too long for an LFS pointer. Upstream must offer `filter`.
    pub small_blobs: bool,
}

impl FetchOptions {
    /// As a relay wants it: whole history, thin.
    pub const RELAY: Self = Self { thin: true, tips_only: false, without_trees: false, small_blobs: false };
}

/// The body of a v2 `fetch`. Each oid is named once.
pub(crate) fn request_v2(wants: &[Oid], haves: &[Oid], options: FetchOptions) -> Result<Bytes, FrameError> {
    let mut out = BytesMut::with_capacity(200 + 50 * (wants.len() + haves.len()));
    put(&mut out, b"command=fetch\n")?;
    put(&mut out, format!("{AGENT}\n").as_bytes())?;
    put_delimiter(&mut out);
    if options.thin {
        put(&mut out, b"thin-pack\n")?;
    }
    put(&mut out, b"no-progress\n")?;
    put(&mut out, b"ofs-delta\n")?;
    if options.tips_only {
        put(&mut out, b"deepen 1\n")?;
    }
    if options.without_trees {
        put(&mut out, b"filter tree:0\n")?;
    } else if options.small_blobs {
        put(&mut out, format!("filter blob:limit={POINTER_LIMIT}\n").as_bytes())?;
    }
    put_oids(&mut out, "want", wants)?;
    put_oids(&mut out, "have", haves)?;
    put(&mut out, b"done\n")?;
    put_flush(&mut out);
    Ok(out.freeze())
}

/// The body of a whole round in the old protocol. Filters and depth are not asked for.
pub(crate) fn request_v0(
    wants: &[Oid],
    haves: &[Oid],
    options: FetchOptions,
    offered: &Capabilities,
) -> Result<Bytes, FrameError> {
    let mut out = BytesMut::with_capacity(200 + 50 * (wants.len() + haves.len()));
    let mut words = vec!["side-band-64k"];
    words.extend(["ofs-delta", "no-progress"].into_iter().filter(|it| offered.has(it)));
    words.extend(Some("thin-pack").filter(|it| options.thin && offered.has(it)));
    words.extend(Some(AGENT).filter(|_| offered.has("agent")));
    let first = wants.first().copied().unwrap_or(Oid::ZERO);
    put(&mut out, format!("want {first} {}\n", words.join(" ")).as_bytes())?;
    let others: Vec<Oid> = wants.iter().filter(|it| **it != first).copied().collect();
    put_oids(&mut out, "want", &others)?;
    put_flush(&mut out);
    put_oids(&mut out, "have", haves)?;
    put(&mut out, b"done\n")?;
    Ok(out.freeze())
}

fn put_oids(out: &mut BytesMut, word: &str, oids: &[Oid]) -> Result<(), FrameError> {
    let mut seen = HashSet::with_capacity(oids.len());
    for oid in oids.iter().filter(|it| seen.insert(**it)) {
        put(out, format!("{word} {oid}\n").as_bytes())?;
    }
    Ok(())
}

/// Reads the sections up to the pack.
///
/// # Errors
/// [`WireError::Shallow`] when upstream names shallow commits though no depth was asked for: not one
/// byte has been handed on by then. [`WireError::UpstreamMoved`] for a want that is not to be had.
pub(crate) async fn read_v2(body: Body, options: FetchOptions) -> Result<Pack, WireError> {
    let mut packets = Packets::new(body, "the answer in front of the pack", MAX_PREAMBLE);
    loop {
        let Packet::Data(data) = packets.required().await.map_err(refused)? else {
            return Err(packets.body().protocol("no pack came"));
        };
        match line(&data) {
            b"packfile" => break,
            b"shallow-info" if !options.tips_only => return Err(WireError::Shallow),
            b"acknowledgments" | b"shallow-info" | b"wanted-refs" => skip_section(&mut packets).await?,
            _ => return Err(packets.body().protocol("an unknown section in front of the pack")),
        }
    }
    let (body, rest) = packets.into_body();
    Pack::open(body, SideBand::default(), rest).await
}

async fn skip_section(packets: &mut Packets) -> Result<(), WireError> {
    loop {
        match packets.required().await.map_err(refused)? {
            Packet::Data(_) => {}
            Packet::Delimiter => return Ok(()),
            Packet::Flush | Packet::ResponseEnd => return Err(packets.body().protocol("no pack came")),
        }
    }
}

/// Reads acknowledgements of the old protocol up to the pack.
pub(crate) async fn read_v0(body: Body) -> Result<Pack, WireError> {
    let mut packets = Packets::new(body, "the answer in front of the pack", MAX_PREAMBLE);
    loop {
        let Packet::Data(data) = packets.required().await.map_err(refused)? else { continue };
        if data.starts_with(b"NAK") || data.starts_with(b"ACK ") {
            continue;
        }
        let (bands, ahead) = SideBand::resumed(data).map_err(|it| packets.body().frame(it))?;
        let (body, rest) = packets.into_body();
        return Pack::open(body, bands, joined(&ahead, &rest)).await;
    }
}

fn joined(one: &Bytes, other: &Bytes) -> Bytes {
    let mut both = BytesMut::with_capacity(one.len() + other.len());
    both.extend_from_slice(one);
    both.extend_from_slice(other);
    both.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(byte: u8) -> Oid {
        Oid::from_bytes([byte; 20])
    }

    #[test]
    fn a_request_names_each_object_once_and_says_done() {
        let bytes = request_v2(&[oid(1), oid(1), oid(2)], &[oid(3)], FetchOptions::RELAY).unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(text.matches("want ").count(), 2);
        assert!(text.contains("thin-pack") && !text.contains("deepen") && !text.contains("filter"));
        assert!(text.ends_with("0009done\n0000"));
    }

    #[test]
    fn the_old_request_carries_only_capabilities_that_were_offered() {
        let offered = Capabilities::of_words(b"side-band-64k ofs-delta multi_ack thin-pack");
        let bytes = request_v0(&[oid(1), oid(2)], &[], FetchOptions::RELAY, &offered).unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.contains("side-band-64k ofs-delta thin-pack\n"), "{text}");
        assert_eq!(text.matches("side-band-64k").count(), 1);
        assert!(text.ends_with("00000009done\n"));
    }
}
