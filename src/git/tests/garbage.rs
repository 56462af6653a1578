//! Whatever a server sends, every reader ends with an answer or an error: no panic, no hang.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::fuzzed::body;
use super::super::*;
use super::super::{fetch, listing, report};
use super::stage::name;
use crate::domain::refs::Oid;
use crate::telemetry::metrics::Metrics;

/// All readers, one after the other.
fn read_all(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let _ = listing::read_info_refs(body(bytes, Side::Target)).await;
        let _ = listing::read_ls_refs(body(bytes, Side::Upstream)).await;
        let tips = FetchOptions { thin: false, tips_only: true, without_trees: true, ..FetchOptions::default() };
        let packs = [
            fetch::read_v2(body(bytes, Side::Upstream), tips).await,
            fetch::read_v0(body(bytes, Side::Upstream)).await,
        ];
        for mut pack in packs.into_iter().flatten() {
            while let Ok(Some(_)) = pack.next().await {}
        }
        let progress = Progress::new(&Metrics::new().unwrap());
        let commands = [Command { name: name("refs/heads/x"), old: Oid::ZERO, new: Oid::from_bytes([1; 20]) }];
        for banded in [true, false] {
            let _ = report::read(body(bytes, Side::Target), &commands, banded, &progress).await;
        }
    });
}

/// A packet of one of the lines that servers send, or of something like it.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let oid = "1234567890123456789012345678901234567890";
    let lines = prop_oneof![
        Just(format!("{oid} refs/heads/main\n").into_bytes()),
        Just(format!("{oid} HEAD symref-target:refs/heads/main peeled:{oid}").into_bytes()),
        Just(format!("{oid} refs/tags/v1^{{}}\0side-band-64k symref=HEAD:x").into_bytes()),
        Just(b"# service=git-upload-pack\n".to_vec()),
        Just(b"version 2\n".to_vec()),
        Just(b"packfile\n".to_vec()),
        Just(b"shallow-info\n".to_vec()),
        Just(b"NAK\n".to_vec()),
        Just(b"unborn HEAD symref-target:".to_vec()),
        Just(b"ERR no".to_vec()),
        Just(b"unpack ok\n".to_vec()),
        Just(b"ng refs/heads/x \n".to_vec()),
        Just(b"\x01000eunpack ok\n0000".to_vec()),
        Just(b"\x01PACK\0\0\0\x02\0\0\0\x01".to_vec()),
        Just(b"\x03fatal".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..60),
    ];
    prop_oneof![
        8 => lines.prop_map(|line| [format!("{:04x}", line.len() + 4).as_bytes(), &line].concat()),
        2 => Just(b"0000".to_vec()),
        1 => Just(b"0001".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..9),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_sequence_of_packets_is_read_without_a_panic(packets in proptest::collection::vec(packet(), 0..12)) {
        read_all(&packets.concat());
    }
}

/// Transfers are spawned: their futures must be able to change threads.
#[test]
fn futures_may_be_spawned() {
    fn spawnable<T: Send>(_: T) {}
    let metrics = Metrics::new().unwrap();
    let (upstream, target) = (super::stage::upstream_at("http://h/x"), super::stage::target_at("http://h/x"));
    let relay = Relay {
        upstream: &upstream,
        target: &target,
        spool: &Spool::new(0, None),
        permits: Arc::new(tokio::sync::Semaphore::new(1)),
        progress: Arc::new(Progress::new(&metrics)),
        options: TransferOptions::default(),
    };
    let order = Order::default();
    spawnable(relay.transfer(&order));
    spawnable(upstream.ls_refs(&[]));
    spawnable(target.receive_refs());
    spawnable(is_ancestor(&upstream, Oid::ZERO, Oid::ZERO));
    let list = Advertisement {
        refs: crate::domain::refs::RefMap::new(),
        peeled: std::collections::BTreeMap::new(),
        head: crate::domain::refs::Head::Unknown,
        odd: vec![],
        shallow: false,
        version: Version::V2,
    };
    spawnable(non_commit_tags(&upstream, &list, list.refs.keys().filter(|it| it.is_tag())));
}
