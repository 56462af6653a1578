//! The access log: one line a request, with what is needed to follow it and nothing secret.

use std::io;
use std::sync::{Arc, Mutex};

use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, HttpResponse, web};
use serde_json::Value;

use crate::http::problem::Problem;
use crate::http::shell::shell;

/// Collects what is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
    }
}

async fn lines(request: TestRequest) -> Vec<Value> {
    let paper = Paper::default();
    let copy = paper.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || copy.clone()).finish();
    // This test's thread runs all of it.
    let _log = tracing::subscriber::set_default(subscriber);
    let broken = || async { Err::<HttpResponse, _>(Problem::internal("the disk is full")) };
    let app = App::new()
        .route("/fine", web::get().to(HttpResponse::Ok))
        .route("/healthz", web::get().to(HttpResponse::Ok))
        .route("/broken", web::get().to(broken))
        .wrap(from_fn(shell));
    call_service(&init_service(app).await, request.to_request()).await;
    paper.lines()
}

#[actix::test]
async fn a_request_is_one_line_without_its_query_and_headers() {
    let id = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    let request = TestRequest::get().uri("/fine?token=hunter2").insert_header(("X-Request-Id", id));
    let [line] = lines(request.insert_header(("Authorization", "Bearer hunter2"))).await.try_into().unwrap();
    let fields = &line["fields"];
    assert_eq!((&fields["method"], &fields["path"], &fields["status"]), (&"GET".into(), &"/fine".into(), &200.into()));
    assert!(fields["duration_ms"].is_number() && fields["address"].is_string());
    assert_eq!((&fields["request_id"], &line["span"]["correlation_id"]), (&id.into(), &id.into()));
}

#[actix::test]
async fn the_cause_of_a_failure_is_logged_once_and_not_told() {
    let [cause, line] = lines(TestRequest::get().uri("/broken")).await.try_into().unwrap();
    assert_eq!(cause["level"], "WARN");
    assert_eq!(cause["fields"]["message"], "a request failed: the disk is full");
    assert_eq!((&line["fields"]["status"], &line["fields"]["code"]), (&500.into(), &"internal".into()));
}

#[actix::test]
async fn probes_that_go_well_are_not_worth_a_line() {
    assert_eq!(lines(TestRequest::get().uri("/healthz")).await, Vec::<Value>::new());
}
