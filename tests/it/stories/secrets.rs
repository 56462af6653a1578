//! Secrets reach no log, no answer, no database, no address.

use secrecy::SecretString;
use starkeep::simulator::SimulatorOptions;

use crate::api;
use crate::world::{ADMIN, Backend, FAN, World};

#[actix::test]
async fn no_secret_is_ever_seen() {
    let options = SimulatorOptions::default();
    let mut world = World::with(Backend::Sqlite, &options).unwrap();
    world.config.github.token = Some(SecretString::from(options.github_token.clone()));
    world.attach().await;
    let id = world.repository("octo", "hello");
    world.github().set_private(id, true).unwrap();
    let process = world.process();
    let star = world.github().star(FAN, id).unwrap();
    let (_, mut seen) = star.deliver(&process.webhooks()).await.map(|(code, it)| (code, it.to_string())).unwrap();
    world.drain().await;
    world.assert_healthy(id).await;
    // What fails talks most: a refused token and a refused call.
    world.onedev().revoke_token(&options.onedev_token);
    world.github().revoke_token(&options.github_token);
    world.queue(id, starkeep::domain::job::JobKind::Sync).await;
    world.drain().await;
    for path in [
        "/readyz",
        "/metrics",
        "/api/v1/mirrors",
        "/api/v1/jobs",
        "/api/v1/deliveries",
        "/api/v1/audit",
        "/api/v1/none",
    ] {
        let url = format!("{}{path}", process.address);
        seen.push_str(&api::call(api::request(reqwest::Method::GET, &url).bearer_auth(ADMIN)).await.text);
    }
    let shown = crate::process::starkeep(&world.config, world.folder.path())
        .args(["config", "show", "--json"])
        .output()
        .unwrap();
    seen.push_str(&String::from_utf8_lossy(&shown.stdout));
    seen.push_str(&process.log().join("\n"));
    assert!(seen.contains("_unauthorized"), "{seen}");
    process.terminate();
    let mut bytes = seen.into_bytes();
    for file in std::fs::read_dir(world.folder.path()).unwrap() {
        let path = file.unwrap().path();
        bytes.extend(std::fs::read(&path).unwrap_or_default());
    }
    let encoded = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{}", options.github_token))
    };
    for secret in [options.github_token.as_str(), &options.onedev_token, &options.webhook_secret, ADMIN, &encoded] {
        assert!(!bytes.windows(secret.len()).any(|it| it == secret.as_bytes()), "{secret} was seen");
    }
}

#[actix::test]
async fn the_webhook_secret_is_changed_without_losing_a_delivery() {
    let options = SimulatorOptions::default();
    let mut world = World::with(Backend::Sqlite, &options).unwrap();
    world.attach().await;
    let id = world.repository("octo", "hello");
    let knock = async |world: &World| {
        let process = world.process();
        let (status, _) = world.github().star(FAN, id).unwrap().deliver(&process.webhooks()).await.unwrap();
        process.terminate();
        status
    };
    // GitHub still signs with the secret of before.
    world.config.github.webhook_secret = Some(SecretString::from("the next secret"));
    world.config.github.webhook_secret_old = Some(SecretString::from(options.webhook_secret.clone()));
    assert_eq!(knock(&world).await, 202);
    world.config.github.webhook_secret_old = None;
    assert_eq!(knock(&world).await, 401);
}
