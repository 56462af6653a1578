//! Traces: what a collector is sent of one star.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use secrecy::SecretString;
use starkeep::store::page::Window;
use starkeep::store::syncs;

use crate::world::{Backend, World};

/// What came in: the bodies, one after the other.
type Received = Arc<Mutex<Vec<u8>>>;

/// A collector that takes everything that has the right header; its address and what came in.
fn collector() -> (String, Received) {
    let received = Received::default();
    let shared = web::Data::from(Arc::clone(&received));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let server = HttpServer::new(move || {
            let take = |request: HttpRequest, body: web::Bytes, received: web::Data<Mutex<Vec<u8>>>| async move {
                if request.headers().get("Authorization").is_none_or(|it| it != "Bearer of-the-collector") {
                    return HttpResponse::Unauthorized().finish();
                }
                received.lock().unwrap().extend_from_slice(&body);
                HttpResponse::Ok().finish()
            };
            App::new().app_data(shared.clone()).route("/v1/traces", web::post().to(take))
        });
        let server = server.workers(1).disable_signals().listen(listener).unwrap();
        actix::System::new().block_on(server.run()).unwrap();
    });
    (url, received)
}

#[actix::test]
async fn one_star_is_one_trace_from_its_delivery_to_its_proof() {
    let (url, received) = collector();
    let mut world = World::new(Backend::Sqlite).unwrap();
    world.config.traces.otlp_endpoint = Some(url.parse().unwrap());
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
    let received = received.lock().unwrap();
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
