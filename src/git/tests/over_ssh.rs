//! The wire over SSH, against the simulated servers' doors with real git behind them.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::Semaphore;

use super::super::*;
use super::stage::{order, patience, patterns};
use crate::config::ssh::{SshKeys, host_key};
use crate::domain::ids::GithubId;
use crate::domain::refs::managed;
use crate::simulator::{Fault, On, Simulator, SimulatorOptions, SshDoor, Trigger};
use crate::telemetry::metrics::Metrics;

const PROJECT: &str = "github/octo/hello";

struct Servers {
    simulator: Simulator,
    id: GithubId,
    doors: [SshDoor; 2],
    spool: Spool,
}

fn keys(door: &SshDoor) -> SshKeys {
    let key = Some(SecretString::from(door.client_key().unwrap()));
    SshKeys { key, passphrase: None, host_keys: vec![host_key(&door.fingerprint()).unwrap()] }
}

fn server(door: &SshDoor) -> SshServer {
    SshServer::new(&door.url().parse().unwrap(), &keys(door)).unwrap()
}

fn address(base: &str, path: &str) -> Address {
    Address { url: format!("{base}/{path}").parse().unwrap(), authorization: None, service: "test" }
}

impl Servers {
    fn new() -> Self {
        let simulator = Simulator::start(SimulatorOptions::default()).unwrap();
        let id = simulator.github().create_repository("octo", "hello").unwrap();
        simulator.github().commit(id, "main", "README", "hello").unwrap();
        simulator.onedev().create_project(PROJECT).unwrap();
        let doors = [simulator.github().open_ssh().unwrap(), simulator.onedev().open_ssh().unwrap()];
        Self { simulator, id, doors, spool: Spool::new(1 << 20, None) }
    }

    fn connections(&self) -> Connections {
        let http = Connections::from(http_client().unwrap());
        http.with_ssh(server(&self.doors[0])).with_ssh(server(&self.doors[1]))
    }

    fn upstream(&self) -> Upstream {
        let address = address(&self.doors[0].url(), "octo/hello.git");
        Upstream::new(self.connections(), address, Metrics::new().unwrap(), patience()).unwrap()
    }

    fn target(&self, project: &str) -> Target {
        let address = address(&self.doors[1].url(), &format!("{project}.git"));
        Target::new(self.connections(), address, Metrics::new().unwrap(), patience()).unwrap()
    }

    async fn transfer(&self, upstream: &Upstream, target: &Target) -> Result<Transferred, WireError> {
        let list = upstream.ls_refs(&[]).await?;
        let have = target.receive_refs().await?;
        let order = order(&managed(&list.refs, &patterns()), &managed(&have.refs, &patterns()));
        let relay = Relay {
            upstream,
            target,
            spool: &self.spool,
            permits: Arc::new(Semaphore::new(1)),
            progress: Arc::new(Progress::new(&Metrics::new().unwrap())),
            options: TransferOptions { stream_above: Some(1), max_bytes: None, scan: true, glance_above: None },
        };
        relay.transfer(&order).await
    }

    fn is_level(&self) -> bool {
        let theirs = managed(&self.simulator.github().refs(self.id).unwrap(), &patterns());
        managed(&self.simulator.onedev().refs(PROJECT).unwrap(), &patterns()) == theirs
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refs_and_packs_go_from_channel_to_channel_on_one_connection_each() {
    let servers = Servers::new();
    let (upstream, target) = (servers.upstream(), servers.target(PROJECT));
    for round in 0..3 {
        servers.simulator.github().commit(servers.id, &format!("b{round}"), "FILE", &"x".repeat(5_000)).unwrap();
        let done = servers.transfer(&upstream, &target).await.unwrap();
        assert!(done.reports[0].all_done() && !done.reports[0].callback_failed, "{:?}", done.reports);
        assert!(servers.is_level());
    }
    assert_eq!(upstream.version(), Some(Version::V2));
    assert_eq!(servers.doors.each_ref().map(SshDoor::connections), [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_take_the_wish_for_version_2_speaks_the_old_one() {
    let servers = Servers::new();
    servers.doors[0].take_environment(false);
    let (upstream, target) = (servers.upstream(), servers.target(PROJECT));
    servers.transfer(&upstream, &target).await.unwrap();
    assert_eq!(upstream.version(), Some(Version::V0));
    let old = servers.simulator.github().tip(servers.id, "refs/heads/main").unwrap().unwrap();
    let new = servers.simulator.github().commit(servers.id, "main", "README", "two").unwrap();
    servers.transfer(&upstream, &target).await.unwrap();
    assert!(servers.is_level());
    assert_eq!(is_ancestor(&upstream, old, new).await, Ancestry::Yes);
    assert_eq!(is_ancestor(&upstream, new, old).await, Ancestry::No);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_larger_than_all_windows_passes_both_ways() {
    let servers = Servers::new();
    let mut noise = String::new();
    let mut state = 1_u64;
    while noise.len() < 12 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.push_str(&format!("{state:016x}"));
    }
    servers.simulator.github().commit(servers.id, "main", "NOISE", &noise).unwrap();
    let done = servers.transfer(&servers.upstream(), &servers.target(PROJECT)).await.unwrap();
    assert!(done.received > 5 << 20, "{}", done.received);
    assert!(servers.is_level());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_key_that_is_not_pinned_is_refused_before_anything_is_told() {
    let servers = Servers::new();
    let (upstream, target) = (servers.upstream(), servers.target(PROJECT));
    for door in &servers.doors {
        door.change_host_key().unwrap();
    }
    let errors = [upstream.ls_refs(&[]).await.unwrap_err(), target.receive_refs().await.unwrap_err()];
    for ((error, door), (code, key)) in errors
        .iter()
        .zip(&servers.doors)
        .zip([("upstream_host_key", "github.ssh_host_keys"), ("onedev_host_key", "onedev.ssh_host_keys")])
    {
        let text = error.to_string();
        assert_eq!(error.code(), code, "{text}");
        assert!(text.contains(&door.fingerprint()) && text.contains(key), "{text}");
    }
    assert!(servers.simulator.github().requests().is_empty() && servers.simulator.onedev().requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_server_does_not_know_is_named_by_its_fingerprint_only() {
    let servers = Servers::new();
    servers.doors[0].forget_clients();
    let error = servers.upstream().ls_refs(&[]).await.unwrap_err();
    assert_eq!(error.code(), "upstream_unauthorized", "{error}");
    assert!(error.to_string().contains("SHA256:"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_says_tells_what_is_wrong() {
    let servers = Servers::new();
    servers.simulator.github().delete(servers.id).unwrap();
    let error = servers.upstream().ls_refs(&[]).await.unwrap_err();
    assert_eq!(error.code(), "upstream_not_found", "{error}");
    assert!(error.to_string().contains("Repository not found"), "{error}");
    let words = Fault::answer(0, "You are not allowed to push to the project");
    servers.simulator.onedev().fail(Trigger::next(On::Any), words);
    let error = servers.target(PROJECT).receive_refs().await.unwrap_err();
    assert_eq!(error.code(), "onedev_forbidden", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_in_the_middle_of_a_pack_leaves_the_refs_alone() {
    let servers = Servers::new();
    let noise: String = (0..400_000_u32).map(|it| format!("{:x}", it.wrapping_mul(2_654_435_761))).collect();
    servers.simulator.github().commit(servers.id, "main", "NOISE", &noise).unwrap();
    let (upstream, target) = (servers.upstream(), servers.target(PROJECT));
    servers.simulator.github().fail(Trigger::next(On::FETCH).body("thin-pack"), Fault::CutResponse { after: 300_000 });
    let error = servers.transfer(&upstream, &target).await.unwrap_err();
    assert_eq!((error.side(), error.code()), (Some(Side::Upstream), "upstream_unreachable"), "{error}");
    servers.simulator.onedev().fail(Trigger::next(On::PUSH), Fault::CutRequest { after: 300_000 });
    let error = servers.transfer(&upstream, &target).await.unwrap_err();
    assert_eq!(error.side(), Some(Side::Target), "{error}");
    assert!(servers.simulator.onedev().refs(PROJECT).unwrap().is_empty());
    servers.transfer(&upstream, &target).await.unwrap();
    assert!(servers.is_level());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stalls_is_given_up() {
    let servers = Servers::new();
    let short = Patience { stall: Duration::from_millis(50), ..patience() };
    let address = address(&servers.doors[0].url(), "octo/hello.git");
    let upstream = Upstream::new(servers.connections(), address, Metrics::new().unwrap(), short).unwrap();
    servers.simulator.github().fail(Trigger::next(On::FETCH), Fault::StallResponse { after: 20 });
    assert_eq!(upstream.ls_refs(&[]).await.unwrap_err().code(), "upstream_stalled");
}

#[tokio::test(flavor = "multi_thread")]
async fn github_is_looked_for_at_port_443_where_port_22_cannot_be_reached() {
    let github = SshServer::new(&"ssh://git@github.com".parse().unwrap(), &keys(&Servers::new().doors[0])).unwrap();
    assert_eq!(github.fallback(), Some(("ssh.github.com", 443)));
    let servers = Servers::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let base = format!("ssh://git@{closed}");
    let alone = SshServer::new(&base.parse().unwrap(), &keys(&servers.doors[0])).unwrap();
    assert_eq!(alone.fallback(), None);
    let both = alone.with_fallback("127.0.0.1", servers.doors[0].port());
    let connections = Connections::from(http_client().unwrap()).with_ssh(both);
    let address = address(&base, "octo/hello.git");
    let upstream = Upstream::new(connections, address, Metrics::new().unwrap(), patience()).unwrap();
    assert_eq!(upstream.ls_refs(&[]).await.unwrap().refs.len(), 1);
}

#[test]
fn an_address_without_a_key_or_with_odd_letters_is_refused() {
    let make = |url: &str, connections: Connections| {
        let address = Address { url: url.parse().unwrap(), authorization: None, service: "test" };
        Upstream::new(connections, address, Metrics::new().unwrap(), patience()).map(drop).unwrap_err().to_string()
    };
    assert!(make("ssh://git@example.org/a", http_client().unwrap().into()).contains("no SSH key"));
    let servers = Servers::new();
    let base = servers.doors[0].url();
    for odd in ["/a'b", "/a%20b", "/a;b", ""] {
        assert!(make(&format!("{base}{odd}"), servers.connections()).contains("path"), "{odd}");
    }
}
