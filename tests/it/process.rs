//! The real binary as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use starkeep::config::Config;
use starkeep::config::notify::Notify;
use starkeep::domain::sources::{Declaration, Of};
use starkeep::simulator::Delivery;

/// A running `starkeep serve`. Dropping it kills it.
pub struct Process {
    child: Child,
    pub address: String,
    lines: Arc<Mutex<Vec<String>>>,
    /// What it told whoever started it.
    said: Arc<Mutex<Vec<String>>>,
}

/// The binary with a configuration in its environment, and nothing else of ours.
pub fn starkeep(config: &Config, folder: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starkeep"));
    command.current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let mut set = |key: &str, value: String| {
        command.env(format!("STARKEEP__{key}"), value);
    };
    let secret =
        |it: &Option<secrecy::SecretString>| it.as_ref().map_or_else(String::new, |it| it.expose_secret().to_owned());
    set("DATABASE__URL", config.database.url.expose_secret().to_owned());
    set("GITHUB__API_URL", config.github.api_url.to_string());
    set("GITHUB__GIT_URL", config.github.git_url.to_string());
    set("GITHUB__WEBHOOK_SECRET", secret(&config.github.webhook_secret));
    if config.github.webhook_secret_old.is_some() {
        set("GITHUB__WEBHOOK_SECRET_OLD", secret(&config.github.webhook_secret_old));
    }
    if let Some(id) = config.github.app_id {
        set("GITHUB__APP_ID", id.to_string());
        set("GITHUB__APP_PRIVATE_KEY", secret(&config.github.app_private_key));
    }
    if config.github.token.is_some() {
        set("GITHUB__TOKEN", secret(&config.github.token));
    }
    set("ONEDEV__URL", config.onedev.url.as_ref().unwrap().to_string());
    set("ONEDEV__TOKEN", secret(&config.onedev.token));
    set("STARS__USERS", config.stars.users.join(","));
    let poll = config.stars.poll_interval.map_or_else(|| "off".to_owned(), |it| format!("{}ms", it.as_millis()));
    set("STARS__POLL_INTERVAL", poll);
    if !config.sources.all.is_empty() {
        set("SOURCES", sources(&config.sources.all));
    }
    set("ADMIN__TOKEN", secret(&config.admin.token));
    if let Some(jwt) = &config.admin.jwt {
        set("ADMIN__JWT__ISSUER", jwt.issuer.clone());
        set("ADMIN__JWT__AUDIENCE", jwt.audience.clone());
        set("ADMIN__JWT__JWKS_URL", jwt.jwks_url.as_ref().map_or_else(String::new, ToString::to_string));
    }
    if let Some(address) = &config.secrets.vault_address {
        set("SECRETS__VAULT_ADDRESS", address.to_string());
        set("SECRETS__VAULT_TOKEN", secret(&config.secrets.vault_token));
    }
    let refresh = config.secrets.refresh.map_or_else(|| "off".to_owned(), |it| format!("{}ms", it.as_millis()));
    set("SECRETS__REFRESH", refresh);
    if let Some(endpoint) = &config.traces.otlp_endpoint {
        set("TRACES__OTLP_ENDPOINT", endpoint.to_string());
        set("TRACES__AUTHORIZATION", secret(&config.traces.authorization));
    }
    set("SERVER__BIND", config.server.bind.to_string());
    set("SERVER__WEBHOOK_RATE_PER_MINUTE", config.server.webhook_rate_per_minute.to_string());
    set("SERVER__SHUTDOWN_TIMEOUT", format!("{}ms", config.server.shutdown_timeout.as_millis()));
    set("SYNC__WIKI", config.sync.wiki.to_string());
    set("SYNC__INTERVAL", format!("{}ms", config.sync.interval.as_millis()));
    set("SYNC__LEASE", format!("{}ms", config.sync.lease.as_millis()));
    if let Some(folder) = &config.sync.cache_dir {
        set("SYNC__ENGINE", config.sync.engine.name().to_owned());
        set("SYNC__CACHE_DIR", folder.display().to_string());
    }
    set("DRILL__LFS_BYTES", config.drill.lfs_bytes.to_string());
    set("SYNC__METADATA", config.sync.metadata.to_string());
    set("RETRY__MAX_ATTEMPTS", config.retry.max_attempts.to_string());
    set("RETRY__BASE", format!("{}ms", config.retry.base.as_millis()));
    set("RETRY__CAP", format!("{}ms", config.retry.cap.as_millis()));
    notify(&config.notify, &mut set);
    set("LOG__FORMAT", "json".to_owned());
    command
}

fn notify(it: &Notify, set: &mut impl FnMut(&str, String)) {
    set("NOTIFY__DIGEST", format!("{}ms", it.digest.as_millis()));
    set("NOTIFY__NAMES", it.names.to_string());
    let (hook, ntfy, mail) = (it.webhook_url.as_ref(), it.ntfy_url.as_ref(), it.smtp_url.as_ref());
    for (key, url) in [("WEBHOOK_URL", hook), ("NTFY_URL", ntfy), ("SMTP_URL", mail)] {
        url.into_iter().for_each(|url| set(&format!("NOTIFY__{key}"), url.to_string()));
    }
    let secrets = [("WEBHOOK_SECRET", &it.webhook_secret), ("NTFY_TOKEN", &it.ntfy_token)];
    for (key, secret) in secrets.into_iter().chain([("SMTP_PASSWORD", &it.smtp_password)]) {
        secret.iter().for_each(|it| set(&format!("NOTIFY__{key}"), it.expose_secret().to_owned()));
    }
    for (key, text) in [("SMTP_USER", &it.smtp_user), ("MAIL_FROM", &it.mail_from)] {
        text.iter().for_each(|it| set(&format!("NOTIFY__{key}"), it.clone()));
    }
    if !it.mail_to.is_empty() {
        set("NOTIFY__MAIL_TO", it.mail_to.join(","));
    }
}

/// As the environment has them; filters are left out.
fn sources(all: &[Declaration]) -> String {
    let of = |it: &Declaration| match &it.of {
        Of::User(login) => json!({ "user": login }),
        Of::Organization(login) => json!({ "organization": login }),
        Of::Installation(login) => json!({ "installation": login }),
        Of::Names(names) => json!({ "names": names }),
    };
    all.iter().map(of).collect::<Value>().to_string()
}

impl Process {
    /// Starts `serve` and waits until it says where it serves.
    pub fn serve(config: &Config, folder: &std::path::Path) -> Self {
        Self::serve_as(config, folder, "all")
    }

    /// The same in one of its roles.
    pub fn serve_as(config: &Config, folder: &std::path::Path, role: &str) -> Self {
        let mut command = starkeep(config, folder);
        let mut child = command
            .args(["serve", "--role", role])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, (tell, told)) = (Arc::new(Mutex::new(Vec::new())), std::sync::mpsc::channel());
        let said = Arc::new(Mutex::new(Vec::new()));
        let (stdout, heard) = (child.stdout.take().unwrap(), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                heard.lock().unwrap().push(line);
            }
        });
        let (stderr, kept) = (child.stderr.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let parsed: Value = serde_json::from_str(&line).unwrap_or_default();
                if let Some(address) = parsed["address"].as_str() {
                    let _ = tell.send(address.to_owned());
                }
                kept.lock().unwrap().push(line);
            }
        });
        let address = told.recv_timeout(Duration::from_secs(60));
        let address = address.unwrap_or_else(|_| panic!("it did not start: {:#?}", lines.lock().unwrap()));
        Self { child, address, lines, said }
    }

    /// Where webhooks go.
    pub fn webhooks(&self) -> String {
        format!("{}/webhooks/github", self.address)
    }

    /// Takes a delivery, as it must.
    pub async fn take(&self, delivery: &Delivery) {
        let (code, answer) = delivery.deliver(&self.webhooks()).await.unwrap();
        assert_eq!(code, 202, "{answer}");
    }

    /// What it logged so far.
    pub fn log(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// What it logged, once that holds a text: its pipe is read by another thread.
    pub fn log_with(&self, text: &str) -> Vec<String> {
        with(&self.lines, text)
    }

    /// What it said on standard output so far.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// What it said on standard output, once that holds a text.
    pub fn said_with(&self, text: &str) -> Vec<String> {
        with(&self.said, text)
    }

    /// The most memory that it ever held. Bytes.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// The memory that it holds now. Bytes.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    fn status(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|it| it.strip_prefix(what)).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
    }

    /// SIGKILL: nothing of it runs any more.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(mut self) -> ExitStatus {
        let told = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
        self.child.wait().unwrap()
    }
}

fn with(lines: &Mutex<Vec<String>>, text: &str) -> Vec<String> {
    for _ in 0..1_000 {
        let all = lines.lock().unwrap().clone();
        if all.iter().any(|line| line.contains(text)) {
            return all;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    panic!("it never said `{text}`: {:#?}", lines.lock().unwrap());
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
