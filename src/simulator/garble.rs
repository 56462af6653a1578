//! Answers of git spoiled on their way out: a pack that is none, a list without its end.

use std::io;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};

use super::pkt::{Packet, Splitter};
use super::streams::ByteStream;

/// The side-band that carries the pack.
const PACK_BAND: u8 = 1;

/// Turns every byte of the pack into another one; the packets around it stay whole.
pub(crate) fn pack(body: ByteStream) -> ByteStream {
    packets(body)
        .map(|packet| {
            packet.map(|packet| match packet.payload().split_first() {
                Some((&PACK_BAND, pack)) => {
                    let garbage = pack.iter().map(|byte| byte ^ 0x5a);
                    Packet::of(&std::iter::once(PACK_BAND).chain(garbage).collect::<Vec<_>>()).bytes()
                }
                _ => packet.bytes(),
            })
        })
        .boxed_local()
}

/// Leaves out the flush packet at the end, if there is one.
pub(crate) fn without_last_flush(body: ByteStream) -> ByteStream {
    stream::unfold((packets(body), false), |(mut packets, held)| async move {
        match packets.next().await? {
            Ok(packet) if packet.is_flush() => {
                let out = if held { packet.bytes() } else { Bytes::new() };
                Some((Ok(out), (packets, true)))
            }
            Ok(packet) => {
                let flush: &[u8] = if held { b"0000" } else { b"" };
                Some((Ok([flush, &packet.bytes()].concat().into()), (packets, false)))
            }
            Err(error) => Some((Err(error), (packets, held))),
        }
    })
    .filter(|chunk| std::future::ready(!chunk.as_ref().is_ok_and(Bytes::is_empty)))
    .boxed_local()
}

/// A body as packets; what is none at its end is dropped.
fn packets(body: ByteStream) -> impl stream::Stream<Item = io::Result<Packet>> + Unpin {
    stream::unfold((body, Splitter::default()), |(mut body, mut splitter)| async move {
        loop {
            if let Some(packet) = splitter.next() {
                return Some((Ok(packet), (body, splitter)));
            }
            match body.next().await? {
                Ok(chunk) => splitter.push(&chunk),
                Err(error) => return Some((Err(error), (body, splitter))),
            }
        }
    })
    .boxed_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(change: impl FnOnce(ByteStream) -> ByteStream, body: &'static [u8]) -> String {
        let body = stream::iter(body.chunks(3).map(|it| Ok(Bytes::from_static(it)))).boxed_local();
        let out: Vec<_> = change(body).map(Result::unwrap).collect().await;
        String::from_utf8_lossy(&out.concat()).into_owned()
    }

    #[actix_web::test]
    async fn only_the_last_flush_is_lost() {
        assert_eq!(run(without_last_flush, b"0005a00000005b0000").await, "0005a00000005b");
    }

    #[actix_web::test]
    async fn a_pack_is_garbled_and_nothing_else() {
        assert_eq!(run(pack, b"0008PACK0009\x01\x2a\x2a\x2a\x2a0000").await, "0008PACK0009\x01pppp0000");
    }
}
