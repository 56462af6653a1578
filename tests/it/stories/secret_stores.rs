//! Secrets in Vault: looked up at the start, changed and taken over while the service runs, kept while Vault is away.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use starkeep::domain::job::JobKind;
use starkeep::simulator::{SimulatorOptions, sign};

use crate::process::{Process, starkeep};
use crate::world::{ADMIN, Backend, World};

const TOKEN: &str = "the-token-of-vault";

/// As Vault answers: one secret, `kv/starkeep`, for whoever has the token.
struct Vault {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Clone)]
struct State {
    secret: Value,
    sealed: bool,
}

impl Vault {
    fn start(secret: Value) -> Self {
        let state = Arc::new(Mutex::new(State { secret, sealed: false }));
        let shared = web::Data::from(Arc::clone(&state));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // On a thread of its own: stories wait for processes that ask it.
        std::thread::spawn(move || {
            let server = HttpServer::new(move || {
                App::new().app_data(shared.clone()).default_service(web::to(
                    |request: HttpRequest, state: web::Data<Mutex<State>>| async move {
                        answer(&request, &state.lock().unwrap())
                    },
                ))
            });
            let server = server.workers(1).disable_signals().listen(listener).unwrap();
            actix::System::new().block_on(server.run()).unwrap();
        });
        Self { url, state }
    }

    fn seal(&self, sealed: bool) {
        self.state.lock().unwrap().sealed = sealed;
    }

    /// A new version of the secret.
    fn put(&self, secret: Value) {
        self.state.lock().unwrap().secret = secret;
    }
}

fn answer(request: &HttpRequest, state: &State) -> HttpResponse {
    if state.sealed {
        return HttpResponse::ServiceUnavailable().json(json!({ "errors": ["Vault is sealed"] }));
    }
    if request.headers().get("X-Vault-Token").is_none_or(|it| it != TOKEN) {
        return HttpResponse::Forbidden().json(json!({ "errors": ["permission denied"] }));
    }
    match request.path() {
        "/v1/auth/token/lookup-self" => HttpResponse::Ok().json(json!({ "data": { "ttl": 0, "renewable": false } })),
        "/v1/kv/data/starkeep" => HttpResponse::Ok()
            .json(json!({ "data": { "data": state.secret, "metadata": { "version": 1, "destroyed": false } } })),
        _ => HttpResponse::NotFound().json(json!({ "errors": [] })),
    }
}

/// A world whose secrets stand in Vault, and its options.
fn world() -> (World, Vault, SimulatorOptions) {
    let options = SimulatorOptions::default();
    let mut world = World::with(Backend::Sqlite, &options).unwrap();
    let vault = Vault::start(json!({
        "onedev": options.onedev_token, "webhook": options.webhook_secret, "admin": ADMIN, "other": "x",
        "notify": "the-secret-of-the-notices",
    }));
    let secret = |field: &str| Some(SecretString::from(format!("vault:kv/starkeep#{field}")));
    world.config.onedev.token = secret("onedev");
    world.config.github.webhook_secret = secret("webhook");
    world.config.admin.token = secret("admin");
    world.config.secrets.vault_address = Some(vault.url.parse().unwrap());
    world.config.secrets.vault_token = Some(SecretString::from(TOKEN));
    world.config.secrets.refresh = Some(std::time::Duration::from_secs(1));
    (world, vault, options)
}

async fn ready(process: &Process) -> Value {
    reqwest::get(format!("{}/readyz", process.address)).await.unwrap().json().await.unwrap()
}

async fn opens(process: &Process, token: &str) -> bool {
    let address = format!("{}/api/v1/mirrors", process.address);
    reqwest::Client::new().get(address).bearer_auth(token).send().await.unwrap().status().is_success()
}

#[actix::test]
async fn changed_secrets_are_taken_over_without_a_restart() {
    let (world, vault, options) = world();
    let (mut world, hook) = world.telling();
    world.config.notify.webhook_secret = Some(SecretString::from("vault:kv/starkeep#notify"));
    world.config.notify.digest = std::time::Duration::from_secs(1);
    world.attach().await;
    let id = world.repository("octo", "hello");
    let process = world.process();
    let star = world.star_by(&process, id).await;

    // Changed at OneDev, in Vault, and by the admin; what was before is worth nothing.
    world.onedev().change_token(&options.onedev_token, "the-next-token-of-onedev");
    vault.put(json!({
        "onedev": "the-next-token-of-onedev", "webhook": "the-next-webhook-secret", "admin": "the-next-admin-token",
        "notify": "the-next-secret-of-the-notices",
    }));
    process.log_with("changed secrets are in use");
    assert!(opens(&process, "the-next-admin-token").await);
    assert!(!opens(&process, ADMIN).await);
    assert_eq!(star.deliver(&process.webhooks()).await.unwrap().0, 401, "GitHub still signs with the old one");
    world.github().commit(id, "main", "a.txt", "more").unwrap();
    world.queue(id, JobKind::Sync).await;
    world.drain().await;
    world.assert_healthy(id).await;
    // People are told with the new secret too.
    world.github().delete(id).unwrap();
    world.queue(id, JobKind::Sync).await;
    world.drain().await;
    let told = &hook.wait(1).await[0];
    assert_eq!(told.header("X-Hub-Signature-256"), Some(sign("the-next-secret-of-the-notices", &told.body).as_str()));
    let log = process.log().join("\n");
    for secret in ["the-next-token-of-onedev", "the-next-admin-token", TOKEN, options.webhook_secret.as_str()] {
        assert!(!log.contains(secret), "{secret} was logged");
    }
    process.terminate();
}

#[actix::test]
async fn while_a_store_is_away_the_secrets_of_before_stay_in_use() {
    let (world, vault, _) = world();
    let process = world.process();
    assert_eq!(ready(&process).await["components"]["secrets"]["status"], "ok");
    vault.seal(true);
    let log = process.log_with("could not be read again").join("\n");
    assert!(log.contains("Vault answers 503 (Vault is sealed)") && log.contains("onedev.token"), "{log}");
    assert!(opens(&process, ADMIN).await);
    vault.seal(false);
    process.log_with("the secrets can be read again");
    let metrics = reqwest::get(format!("{}/metrics", process.address)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("starkeep_secret_refreshes_total{outcome=\"failed\"}"), "{metrics}");
    process.terminate();
}

#[actix::test]
async fn the_next_connections_to_the_database_sign_in_with_the_changed_login() {
    let options = SimulatorOptions::default();
    let Some(mut world) = World::with(Backend::Postgres, &options) else { return };
    let own = world.config.database.url.expose_secret().to_owned();
    let mut other = url::Url::parse(&own).unwrap();
    let role = format!("next_{}", other.path().trim_start_matches('/'));
    other.set_username(&role).unwrap();
    other.set_password(Some("the-next-password")).unwrap();
    let vault = Vault::start(json!({ "database": own }));
    world.config.secrets.vault_address = Some(vault.url.parse().unwrap());
    world.config.secrets.vault_token = Some(SecretString::from(TOKEN));
    world.config.secrets.refresh = Some(std::time::Duration::from_secs(1));
    world.config.database.url = SecretString::from("vault:kv/starkeep#database");
    let process = world.process();
    assert!(opens(&process, ADMIN).await);

    world.run_sql(&format!("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'the-next-password'"));
    vault.put(json!({ "database": other.as_str() }));
    assert!(process.log_with("changed secrets are in use").join("").contains("database.url"));
    // Who signed in with the one before is shown the door, and comes in with the next one.
    let others = "datname = current_database() AND pid <> pg_backend_pid()";
    world.run_sql(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"));
    assert!(opens(&process, ADMIN).await);
    world.run_sql(&format!(
        "DO $$ BEGIN FOR i IN 1..600 LOOP PERFORM pg_stat_clear_snapshot(); \
         IF NOT EXISTS (SELECT FROM pg_stat_activity WHERE {others} AND usename <> '{role}') \
         AND EXISTS (SELECT FROM pg_stat_activity WHERE {others} AND application_name = 'starkeep') \
         AND EXISTS (SELECT FROM pg_stat_activity WHERE {others} AND application_name = 'starkeep-listen') \
         THEN RETURN; END IF; \
         PERFORM pg_sleep(0.05); END LOOP; RAISE 'another login'; END $$"
    ));
    // Another database is another matter.
    other.set_path("/another");
    vault.put(json!({ "database": other.as_str() }));
    process.log_with("it is taken over at the next start");
    assert!(opens(&process, ADMIN).await);
    assert!(!process.log().join("").contains("the-next-password"));
    process.terminate();
    world.run_sql(&format!("DROP ROLE {role}"));
}

#[actix::test]
async fn a_reference_that_leads_nowhere_stops_the_start_with_the_mend() {
    let (mut world, vault, _) = world();
    vault.seal(true);
    world.config.admin.token = Some(SecretString::from("vault:kv/other#admin"));
    let check = |world: &World| {
        let output = starkeep(&world.config, world.folder.path()).args(["config", "check"]).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (valid, told) = check(&world);
    assert!(!valid && told.contains("unseal it"), "{told}");
    vault.seal(false);
    let (valid, told) = check(&world);
    assert!(!valid && told.contains("admin.token") && told.contains("vault kv put -mount=kv other"), "{told}");
    assert!(!told.contains("onedev.token"), "only what is wrong is told: {told}");
    world.config.admin.token = Some(SecretString::from("vault:kv/starkeep#admin"));
    assert!(check(&world).0);
}
