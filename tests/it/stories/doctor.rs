//! `starkeep doctor`: what is amiss is named before anybody waits for a mirror.

use secrecy::SecretString;
use serde_json::Value;
use starkeep::simulator::SimulatorOptions;

use super::commands::{json, run};
use crate::process::starkeep;
use crate::world::{ADMIN, Backend, FAN, World, on_both};

/// States and texts of one topic.
fn about<'a>(findings: &'a Value, topic: &str) -> Vec<(&'a str, &'a str)> {
    let all = findings.as_array().unwrap().iter().filter(|it| it["topic"] == topic);
    all.map(|it| (it["state"].as_str().unwrap(), it["text"].as_str().unwrap())).collect()
}

fn examined(world: &World, code: i32) -> Value {
    let (exit, out, err) = run(world, &["doctor", "--json"]);
    assert_eq!(exit, Some(code), "{out}{err}");
    for secret in [ADMIN, world.simulator.github().token(), &SimulatorOptions::default().onedev_token] {
        assert!(!out.contains(secret) && !err.contains(secret), "{out}{err}");
    }
    json(&out)
}

fn with_token(world: &mut World) {
    world.config.github.token = Some(SecretString::from(world.simulator.github().token().to_owned()));
}

on_both! {
async fn a_set_up_that_is_whole_has_nothing_amiss(world: World) {
    let mut world = world;
    with_token(&mut world);
    let id = world.repository("octo", "hello");
    world.github().star(FAN, id).unwrap();
    let found = examined(&world, 0);
    assert!(about(&found, "database")[0].1.contains("lacks") && about(&found, "database")[0].0 == "ok", "{found}");
    assert_eq!(run(&world, &["migrate"]).0, Some(0));
    let process = world.process();
    let mut command = starkeep(&world.config, world.folder.path());
    let out = command.arg("doctor").env("STARKEEP__SERVER__PUBLIC_URL", &process.address).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(0), "{text}");
    for words in
        ["is up to date and takes deliveries", "github.token is", "is an account at GitHub", "/healthz answers"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let amiss = text.lines().filter(|it| it.starts_with("warning") || it.starts_with("failed"));
    let amiss: Vec<&str> = amiss.filter(|it| !it.contains("project github")).collect();
    assert!(amiss.is_empty(), "{text}");
    assert!(process.terminate().success());
}
}

#[actix::test]
async fn without_a_token_the_bounds_are_said() {
    let world = World::new(Backend::Sqlite).unwrap();
    let id = world.repository("octo", "hello");
    world.github().star(FAN, id).unwrap();
    let found = examined(&world, 0);
    let (state, text) = about(&found, "github")[0];
    assert_eq!(state, "warning");
    for words in
        ["requests an hour for everything", "Only public repositories", "every 4 minutes", "star lists are not seen"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(found.to_string().contains("set github.token"), "{found}");
}

#[actix::test]
async fn everything_that_is_amiss_is_named_at_once_with_its_mend() {
    let mut world = World::new(Backend::Sqlite).unwrap();
    world.config.github.token = Some(SecretString::from("ghp_wrong"));
    world.config.onedev.token = Some(SecretString::from("wrong"));
    world.config.github.webhook_secret = None;
    world.config.admin.token = None;
    let mut command = starkeep(&world.config, world.folder.path());
    for key in ["GITHUB__WEBHOOK_SECRET", "ADMIN__TOKEN"] {
        command.env_remove(format!("STARKEEP__{key}"));
    }
    command.env("STARKEEP__SERVER__PUBLIC_URL", "http://127.0.0.1:9");
    let out = command.args(["--json", "doctor"]).output().unwrap();
    let (text, said) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
    assert_eq!(out.status.code(), Some(1), "{text}{said}");
    let found = json(&text);
    for (topic, state) in [
        ("configuration", "ok"),
        ("database", "ok"),
        ("github", "failed"),
        ("onedev", "failed"),
        ("webhooks", "warning"),
        ("admin", "warning"),
        ("disk", "ok"),
    ] {
        assert!(about(&found, topic).iter().any(|it| it.0 == state), "{topic}: {found}");
    }
    let text = found.to_string();
    for words in ["github.token", "onedev.token", "github.webhook_secret", "127.0.0.1:9"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("ghp_wrong"), "{text}");
}

#[actix::test]
async fn a_user_who_does_not_exist_and_webhooks_that_go_elsewhere_are_found() {
    let mut world = World::new(Backend::Sqlite).unwrap();
    with_token(&mut world);
    world.config.stars.users = vec!["nobody-at-all".to_owned()];
    let found = examined(&world, 1);
    assert!(about(&found, "stars")[0].1.contains("nobody-at-all"), "{found}");

    let world = World::new(Backend::Sqlite).unwrap().with_app();
    let id = world.repository("octo", "hello");
    world.github().star(FAN, id).unwrap();
    let command = || starkeep(&world.config, world.folder.path());
    let told = |address: &str| {
        let out = command().args(["--json", "doctor"]).env("STARKEEP__SERVER__PUBLIC_URL", address).output().unwrap();
        json(&String::from_utf8(out.stdout).unwrap())
    };
    let found = told("http://127.0.0.1:10");
    assert!(about(&found, "github").iter().any(|it| it.0 == "failed" && it.1.contains("not here")), "{found}");
    let found = told("http://127.0.0.1:9");
    assert!(about(&found, "github").iter().all(|it| it.0 == "ok"), "{found}");
}

#[actix::test]
async fn an_issuer_whose_keys_cannot_be_fetched_is_named() {
    let mut world = World::new(Backend::Sqlite).unwrap();
    with_token(&mut world);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = starkeep(&world.config, world.folder.path());
    command.env("STARKEEP__ADMIN__JWT__ISSUER", format!("http://{nobody}"));
    command.env("STARKEEP__ADMIN__JWT__AUDIENCE", "starkeep");
    let out = command.args(["doctor", "--json"]).output().unwrap();
    let found = json(&String::from_utf8(out.stdout).unwrap());
    let told = about(&found, "admin");
    assert!(told.len() == 1 && told[0].0 == "warning" && told[0].1.contains("cannot be fetched"), "{found}");
}
