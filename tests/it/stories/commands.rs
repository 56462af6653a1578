//! The command line, as its binary.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Output;

use serde_json::Value;
use starkeep::domain::mirror::Status;

use crate::process::starkeep;
use crate::world::{Backend, World};

pub fn run(world: &World, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        starkeep(&world.config, world.folder.path()).args(arguments).output().unwrap();
    let text = |it| String::from_utf8(it).unwrap();
    (status.code(), text(stdout), text(stderr))
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[actix::test]
async fn the_demo_plays_to_its_end() {
    let world = World::new(Backend::Sqlite).unwrap();
    let (code, out, err) = run(&world, &["demo", "--once", "--json"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let mirrors = json(&out);
    let mirrors = mirrors.as_array().unwrap();
    let of = |status: &str| mirrors.iter().filter(|it| it["status"] == status).count();
    assert_eq!((mirrors.len(), of("healthy"), of("archived")), (4, 3, 1));
    for it in mirrors {
        assert!(it["proof"]["digest"].is_string(), "{it}");
        for (name, oid) in it["refs"]["upstream"].as_object().unwrap() {
            assert_eq!(&it["refs"]["onedev"][name], oid, "{name}");
        }
    }
}

#[actix::test]
async fn a_repository_is_mirrored_shown_and_verified_without_a_server() {
    let mut world = World::new(Backend::Sqlite).unwrap();
    let id = world.repository("octo", "hello");
    let (code, out, err) = run(&world, &["mirror", "octo/hello"]);
    assert_eq!((code, out.starts_with("octo/hello: healthy, 1 refs")), (Some(0), true), "{out}{err}");
    assert!(err.contains("octo/hello: transfer"), "{err}");
    world.attach().await;
    world.assert_healthy(id).await;

    let (code, out, _) = run(&world, &["--json", "status", "OCTO/hello"]);
    assert_eq!((code, json(&out)["status"].as_str()), (Some(0), Some("healthy")));
    let (code, out, _) = run(&world, &["verify", "--json"]);
    assert_eq!((code, json(&out)[0]["level"].as_bool()), (Some(0), Some(true)), "{out}");

    let other = world.github().commit(id, "main", "more", "more").unwrap();
    let (code, out, _) = run(&world, &["verify", "octo/hello"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("refs/heads/main") && out.contains(&other.to_string()), "{out}");
    let (code, _, _) = run(&world, &["mirror", "octo/hello"]);
    assert_eq!(code, Some(0));
    assert_eq!(world.mirror(id).await.status, Status::Healthy);
}

#[actix::test]
async fn what_cannot_be_mirrored_says_why_and_what_to_do() {
    let world = World::new(Backend::Sqlite).unwrap();
    let (code, _, err) = run(&world, &["mirror", "octo/none"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("GitHub"), "{err}");
    let (code, _, err) = run(&world, &["status", "octo/none"]);
    assert_eq!((code, err.contains("starkeep mirror octo/none")), (Some(1), true), "{err}");
    let (code, _, err) = run(&world, &["mirror", "no-slash"]);
    assert_eq!((code, err.contains("OWNER/NAME")), (Some(2), true), "{err}");
    assert_eq!(run(&world, &["mirror"]).0, Some(2));
    assert_eq!(run(&world, &["frobnicate"]).0, Some(2));
}

#[actix::test]
async fn a_demand_of_tls_in_the_environment_is_not_passed_over() {
    let mut world = World::new(Backend::Sqlite).unwrap();
    // Nobody listens there: it is refused before anything is sent.
    world.config.database.url = "postgres://me:hunter2@127.0.0.1:1/starkeep".to_owned().into();
    let mut command = starkeep(&world.config, world.folder.path());
    // Every build refuses this one: no authority is named.
    let output = command.env("PGSSLMODE", "verify-full").arg("migrate").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("`sslmode=verify-full`") && !said.contains("hunter2"), "{said}");
}

#[actix::test]
async fn the_configuration_is_checked_as_a_whole_and_shown_without_secrets() {
    let mut world = World::new(Backend::Sqlite).unwrap();
    assert_eq!(run(&world, &["config", "check"]).0, Some(0));
    let (code, out, _) = run(&world, &["config", "show"]);
    assert!(code == Some(0) && !out.contains(crate::world::ADMIN), "{out}");
    std::fs::write(world.folder.path().join("bad.toml"), "[sync]\nworkers = 0\nlaese = '1s'\n").unwrap();
    let (code, _, err) = run(&world, &["config", "check", "--config", "bad.toml"]);
    assert_eq!(code, Some(1));
    for word in ["sync.workers", "sync.laese", "sync.lease", "bad.toml"] {
        assert!(err.contains(word), "{word}: {err}");
    }
    world.config.onedev.token = None;
    let (code, _, err) = run(&world, &["serve"]);
    assert_eq!((code, err.contains("onedev.token")), (Some(1), true), "{err}");
}

#[actix::test]
async fn the_database_is_brought_up_to_date_once_and_completions_are_written() {
    let world = World::new(Backend::Sqlite).unwrap();
    let (code, out, _) = run(&world, &["migrate"]);
    assert_eq!((code, out.contains("migrated")), (Some(0), true), "{out}");
    let (_, out, _) = run(&world, &["migrate"]);
    assert_eq!(out.trim(), "the database is up to date");
    let (code, out, _) = run(&world, &["completions", "bash"]);
    assert_eq!((code, out.contains("_starkeep")), (Some(0), true));
}

#[actix::test]
async fn a_proxy_is_asked_for_what_goes_by_tls_and_for_nothing_else() {
    let mut world = World::new(Backend::Sqlite).unwrap();
    world.repository("octo", "hello");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let proxied = |world: &World| {
        let mut command = starkeep(&world.config, world.folder.path());
        command.env("HTTP_PROXY", "http://127.0.0.1:1").env("ALL_PROXY", &proxy).args(["mirror", "octo/hello"]);
        command
    };
    assert!(proxied(&world).output().unwrap().status.success(), "plain http goes straight to loopback");

    // GitHub behind TLS, which nobody reaches but the proxy.
    world.config.github.api_url = "https://github.invalid/".parse().unwrap();
    world.config.github.git_url = "https://github.invalid/".parse().unwrap();
    let mut child = proxied(&world).env("STARKEEP__RETRY__MAX_ATTEMPTS", "1").spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut asked = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut asked).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").ok();
    assert_eq!(asked.trim_end(), "CONNECT github.invalid:443 HTTP/1.1");
}
