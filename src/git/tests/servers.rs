//! The manners of GitHub and OneDev: credentials, renames, the boot phase, the traps of the hooks.

use std::sync::Arc;

use base64::Engine as _;
use secrecy::SecretString;
use tokio::sync::Semaphore;

use super::super::*;
use super::stage::{order, patience, patterns};
use crate::domain::ids::GithubId;
use crate::domain::refs::{Oid, managed};
use crate::simulator::{Fault, On, Phase as Boot, Simulator, SimulatorOptions, Trigger};
use crate::telemetry::metrics::Metrics;

/// A private repository of GitHub and a project of OneDev.
struct Servers {
    simulator: Simulator,
    id: GithubId,
    upstream: Upstream,
    target: Target,
    spool: Spool,
}

impl Servers {
    fn new() -> Self {
        let simulator = Simulator::start(SimulatorOptions::default()).unwrap();
        let id = simulator.github().create_repository("octo", "hello").unwrap();
        simulator.github().commit(id, "main", "README", "hello").unwrap();
        simulator.github().set_private(id, true).unwrap();
        simulator.onedev().create_project("github/octo/hello").unwrap();
        let upstream = Self::upstream(&simulator, simulator.github().token());
        let target = Self::target(&simulator, simulator.onedev().admin_token());
        Self { simulator, id, upstream, target, spool: Spool::new(1 << 20, None) }
    }

    fn upstream(simulator: &Simulator, token: &str) -> Upstream {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{token}"));
        let address = Address {
            url: format!("{}/octo/hello.git", simulator.github().git_url()).parse().unwrap(),
            authorization: Some(SecretString::from(format!("Basic {basic}"))),
            service: "github",
        };
        Upstream::new(http_client().unwrap(), address, Metrics::new().unwrap(), patience()).unwrap()
    }

    fn target(simulator: &Simulator, token: &str) -> Target {
        let address = Address {
            url: format!("{}/github/octo/hello", simulator.onedev().url()).parse().unwrap(),
            authorization: Some(SecretString::from(format!("Bearer {token}"))),
            service: "onedev",
        };
        Target::new(http_client().unwrap(), address, Metrics::new().unwrap(), patience()).unwrap()
    }

    async fn order(&self) -> Order {
        let list = self.upstream.ls_refs(&[]).await.unwrap();
        let have = self.target.receive_refs().await.unwrap();
        order(&managed(&list.refs, &patterns()), &managed(&have.refs, &patterns()))
    }

    async fn transfer(&self, order: &Order) -> Result<Transferred, WireError> {
        let relay = Relay {
            upstream: &self.upstream,
            target: &self.target,
            spool: &self.spool,
            permits: Arc::new(Semaphore::new(1)),
            progress: Arc::new(Progress::new(&Metrics::new().unwrap())),
            options: TransferOptions::default(),
        };
        relay.transfer(order).await
    }

    fn assert_level(&self) {
        let theirs = managed(&self.simulator.github().refs(self.id).unwrap(), &patterns());
        assert_eq!(managed(&self.simulator.onedev().refs("github/octo/hello").unwrap(), &patterns()), theirs);
    }
}

/// Each command in a push of its own, in the order of names.
fn one_by_one(mut order: Order) -> Order {
    let commands: Vec<Command> = order.pushes.drain(..).flat_map(|it| it.commands).collect();
    order.pushes = commands.into_iter().map(|it| Push::plain(vec![it])).collect();
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_repository_is_mirrored_with_tokens_on_both_sides() {
    let servers = Servers::new();
    servers.simulator.github().annotated_tag(servers.id, "v1", tip(&servers)).unwrap();
    let done = servers.transfer(&servers.order().await).await.unwrap();
    assert!(done.reports[0].all_done() && !done.reports[0].callback_failed, "{:?}", done.reports);
    servers.assert_level();
    let wrong = Servers::upstream(&servers.simulator, "ghp_wrong").ls_refs(&[]).await.unwrap_err();
    assert_eq!(wrong.code(), "upstream_unauthorized", "{wrong}");
    let wrong = Servers::target(&servers.simulator, "wrong").receive_refs().await.unwrap_err();
    assert_eq!(wrong.code(), "onedev_unauthorized", "{wrong}");
}

fn tip(servers: &Servers) -> Oid {
    servers.simulator.github().tip(servers.id, "refs/heads/main").unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_repository_is_found_and_its_pack_comes_from_the_new_address() {
    let servers = Servers::new();
    servers.simulator.github().rename(servers.id, "world").unwrap();
    let done = servers.transfer(&servers.order().await).await.unwrap();
    assert!(done.reports[0].all_done());
    assert_eq!(servers.upstream.url().path(), "/octo/world.git");
    servers.assert_level();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_vanished_is_not_found() {
    let servers = Servers::new();
    servers.simulator.github().delete(servers.id).unwrap();
    let error = servers.upstream.ls_refs(&[]).await.unwrap_err();
    assert_eq!(error.code(), "upstream_not_found", "{error}");
    servers.simulator.onedev().delete_project("github/octo/hello").unwrap();
    let error = servers.target.receive_refs().await.unwrap_err();
    assert_eq!(error.code(), "onedev_not_found", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn onedev_is_waited_for_while_it_starts() {
    let servers = Servers::new();
    for (phase, code) in [(Boot::Booting, "onedev_booting"), (Boot::GitNotReady, "onedev_not_ready")] {
        servers.simulator.onedev().set_phase(phase);
        let error = servers.target.receive_refs().await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(matches!(error.retry(), crate::domain::retry::Retry::After(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_of_a_blob_arrives_and_the_failed_callback_is_noticed() {
    let servers = Servers::new();
    servers.simulator.github().tag_of_blob(servers.id, "blob", "x").unwrap();
    let order = one_by_one(servers.order().await);
    let done = servers.transfer(&order).await.unwrap();
    let seen: Vec<(bool, bool)> = done.reports.iter().map(|it| (it.all_done(), it.callback_failed)).collect();
    assert_eq!(seen, [(true, false), (true, true)]);
    servers.assert_level();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_onedev_trips_over_is_refused_by_its_hook_and_the_others_are_there() {
    let servers = Servers::new();
    servers.simulator.github().set_ref(servers.id, "refs/tags/v1.0+build.5", tip(&servers)).unwrap();
    let done = servers.transfer(&one_by_one(servers.order().await)).await.unwrap();
    assert!(done.reports[0].all_done());
    let refused: Vec<_> = done.reports[1].refused().collect();
    assert!(matches!(refused.as_slice(), [(_, Refusal::Hook(_))]), "{refused:?}");
    assert!(done.reports[1].callback_failed, "{:?}", done.reports[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_after_a_declined_pack_are_not_made() {
    let servers = Servers::new();
    servers.simulator.github().commit(servers.id, "other", "file", "1").unwrap();
    servers.simulator.onedev().fail(Trigger::next(On::PUSH), Fault::Decline("not today".to_owned()));
    let order = one_by_one(servers.order().await);
    assert_eq!(order.pushes.len(), 2);
    let done = servers.transfer(&order).await.unwrap();
    assert_eq!(done.reports.len(), 1);
    assert!(done.reports[0].remote_output.contains("not today"), "{:?}", done.reports);
    let done = servers.transfer(&servers.order().await).await.unwrap();
    assert!(done.reports[0].all_done());
    servers.assert_level();
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_cut_lists_and_lost_reports_are_errors_and_the_next_run_is_level() {
    let servers = Servers::new();
    let order = servers.order().await;
    let (github, onedev) = (servers.simulator.github(), servers.simulator.onedev());
    github.fail(Trigger::next(On::FETCH), Fault::LoseFlush);
    assert_eq!(servers.transfer(&order).await.unwrap_err().code(), "upstream_truncated");
    github.fail(Trigger::next(On::FETCH), Fault::GarbagePack);
    match servers.transfer(&order).await {
        Err(error) => assert_eq!(error.side(), Some(Side::Upstream), "{error}"),
        Ok(done) => assert!(done.reports[0].unpack_failed.is_some(), "{done:?}"),
    }
    onedev.fail(Trigger::next(On::PUSH), Fault::LoseReport);
    let error = servers.transfer(&order).await.unwrap_err();
    assert_eq!(error.side(), Some(Side::Target), "{error}");
    // What was pushed before the report was lost is there; nothing is left to do.
    assert!(servers.order().await.pushes.is_empty());
    servers.assert_level();
}
