//! Traces: what a collector is sent of one star.

use std::net::TcpListener;

use secrecy::SecretString;
use starkeep::store::page::Window;
use starkeep::store::syncs;

use super::notices::receiver::{Receiver, http};
use crate::world::{Backend, World};

#[actix::test]
async fn one_star_is_one_trace_from_its_delivery_to_its_proof() {
    let collector = Receiver::start(http);
    let mut world = World::new(Backend::Sqlite).unwrap();
    let endpoint = format!("http://127.0.0.1:{}/v1/traces", collector.port);
    world.config.traces.otlp_endpoint = Some(endpoint.parse().unwrap());
    world.config.traces.authorization = Some(SecretString::from("Bearer of-the-collector"));
    world.attach().await;
    let id = world.repository("octo", "hello");
    let process = world.process();
    world.star_by(&process, id).await;
    let mirror = world.mirror(id).await.id;
    let history = world.store().read(move |c| syncs::list(c, mirror, &Window::default())).await.unwrap();
    let correlation = history.items[0].correlation;
    // What is left is sent at the end.
    assert!(process.terminate().success());
    let received = collector.taken();
    for it in &received {
        assert_eq!(it.header("Authorization"), Some("Bearer of-the-collector"));
        assert!(it.head.starts_with("POST /v1/traces "), "{}", it.head);
    }
    let received = received.into_iter().flat_map(|it| it.body).collect::<Vec<_>>();
    let has = |it: &[u8]| received.windows(it.len()).filter(|window| *window == it).count();
    assert!(has(correlation.0.as_bytes()) >= 6, "request, job and the stages are of one trace");
    for name in ["request", "job", "stage", "accept", "describe", "ensure", "transfer", "record"] {
        assert!(has(name.as_bytes()) > 0, "there is no {name}");
    }
    assert_eq!(has(b"of-the-collector"), 0);
}

#[actix::test]
async fn a_collector_that_is_away_holds_nothing_up() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut world = World::new(Backend::Sqlite).unwrap();
    world.config.traces.otlp_endpoint = Some(format!("http://{}/", nobody.local_addr().unwrap()).parse().unwrap());
    drop(nobody);
    world.attach().await;
    let id = world.repository("octo", "hello");
    let process = world.process();
    world.star_by(&process, id).await;
    assert!(process.terminate().success());
}
