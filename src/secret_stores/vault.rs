//! Vault and `OpenBao`: KV version 2, with a token or by `AppRole`.
//!
//! A token is renewed once half of its time is over. One that is refused is given up: with `AppRole` another is
//! got, once for each read. Statuses as in Vault's HTTP API: 403 for whatever the token may not do, a path that does
//! not exist included where no policy speaks of it; 404 for what is not there; 503 while it is sealed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use url::Url;

use super::transport::{Answer, Transport};
use super::{Failure, Fields};
use crate::config::secret_stores::SecretStores as Settings;

const TOKEN: &str = "X-Vault-Token";
const NAMESPACE: &str = "X-Vault-Namespace";

/// One Vault, signed in as one client.
pub(super) struct Vault {
    address: Url,
    namespace: Option<HeaderValue>,
    login: Login,
    session: Mutex<Option<Session>>,
    transport: Transport,
}

enum Login {
    Token(SecretString),
    Role { mount: String, id: SecretString, secret: SecretString },
}

/// A token in use.
#[derive(Clone)]
struct Session {
    token: SecretString,
    /// When to renew it; `None` for one that needs none or cannot be.
    renew_at: Option<Instant>,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
    /// Seconds; zero is for ever.
    lease_duration: u64,
    renewable: bool,
}

#[derive(Deserialize)]
struct Granted {
    auth: Auth,
}

#[derive(Deserialize)]
struct Itself {
    data: Own,
}

#[derive(Deserialize)]
struct Own {
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct Secret {
    data: Version,
}

#[derive(Deserialize)]
struct Version {
    data: Option<Fields>,
}

impl Session {
    fn new(token: SecretString, seconds: u64, renewable: bool) -> Self {
        let half = Duration::from_secs(seconds / 2);
        let renew_at = Instant::now().checked_add(half).filter(|_| renewable && seconds > 0);
        Self { token, renew_at }
    }
}

impl Vault {
    pub(super) fn new(settings: &Settings, transport: Transport) -> Result<Self, Failure> {
        let lacking = |mend: &str| Failure::new("cannot be read: Vault is not configured", mend);
        let address = settings
            .vault_address
            .clone()
            .ok_or_else(|| lacking("set `secrets.vault_address`, as in `https://vault.example.com`"))?;
        let login = match (&settings.vault_token, &settings.vault_role_id, &settings.vault_secret_id) {
            (Some(token), _, _) => Login::Token(token.clone()),
            (None, Some(id), Some(secret)) => {
                Login::Role { mount: settings.vault_approle_mount.clone(), id: id.clone(), secret: secret.clone() }
            }
            _ => {
                return Err(lacking(
                    "set `secrets.vault_token`, or `secrets.vault_role_id` and `secrets.vault_secret_id`",
                ));
            }
        };
        let namespace = settings.vault_namespace.as_deref().map(HeaderValue::from_str).transpose();
        let namespace = namespace.map_err(|_| lacking("write `secrets.vault_namespace` as Vault has it"))?;
        Ok(Self { address, namespace, login, session: Mutex::default(), transport })
    }

    /// The fields of a secret's newest version.
    pub(super) async fn read(&self, mount: &str, path: &str) -> Result<Fields, Failure> {
        let data = [mount, "data"].into_iter().chain(path.split('/'));
        let url = self.url(data)?;
        let mut session = self.session().await?;
        let mut answer = self.ask(Method::GET, &url, Some(&session.token), None).await?;
        if answer.status == 403 && matches!(self.login, Login::Role { .. }) {
            self.forget(&session).await;
            session = self.session().await?;
            answer = self.ask(Method::GET, &url, Some(&session.token), None).await?;
        }
        match answer.status {
            200 => {
                let secret: Option<Secret> = serde_json::from_slice(&answer.body).ok();
                secret.and_then(|it| it.data.data).ok_or_else(|| {
                    Failure::new(
                        "cannot be read: Vault's answer is no secret of a KV engine of version 2",
                        "give the mount of such an engine",
                    )
                })
            }
            404 => Err(Failure::new(
                "is not there: Vault has no such secret, or its newest version was deleted",
                format!("write it with `vault kv put -mount={mount} {path} …`, or mend the reference"),
            )),
            403 => Err(Failure::new(
                format!("is refused by Vault ({})", answer.words()),
                format!(
                    "give the token or role a policy with `read` on `{mount}/data/{path}`, or see that it has not expired"
                ),
            )),
            _ => Err(unwell(&answer)),
        }
    }

    /// The token to ask with, made or renewed where that is due.
    async fn session(&self) -> Result<Session, Failure> {
        let mut held = self.session.lock().await;
        let now = Instant::now();
        let session = match held.take() {
            Some(it) if it.renew_at.is_none_or(|at| at > now) => it,
            // One that cannot be renewed may still open; the read shows.
            Some(it) => self.renewed(&it.token).await.unwrap_or(it),
            None => match &self.login {
                Login::Token(token) => self.present(token).await?,
                Login::Role { mount, id, secret } => self.log_in(mount, id, secret).await?,
            },
        };
        *held = Some(session.clone());
        Ok(session)
    }

    async fn forget(&self, refused: &Session) {
        let mut held = self.session.lock().await;
        if held.as_ref().is_some_and(|it| it.token.expose_secret() == refused.token.expose_secret()) {
            *held = None;
        }
    }

    /// A given token, with the time it has left; one that may not look itself up is used as it is.
    async fn present(&self, token: &SecretString) -> Result<Session, Failure> {
        let url = self.url(["auth", "token", "lookup-self"])?;
        let answer = self.ask(Method::GET, &url, Some(token), None).await?;
        let own = serde_json::from_slice(&answer.body).map_or(Own { ttl: 0, renewable: false }, |Itself { data }| data);
        Ok(Session::new(token.clone(), own.ttl, own.renewable))
    }

    async fn log_in(&self, mount: &str, id: &SecretString, secret: &SecretString) -> Result<Session, Failure> {
        let url = self.url(["auth"].into_iter().chain(mount.split('/')).chain(["login"]))?;
        let body = json!({ "role_id": id.expose_secret(), "secret_id": secret.expose_secret() });
        let answer = self.ask(Method::POST, &url, None, Some(body)).await?;
        match answer.status {
            200 => granted(&answer).ok_or_else(|| unwell(&answer)),
            400 | 403 | 404 => Err(Failure::new(
                format!("cannot be read: Vault refuses the role ({})", answer.words()),
                "check `secrets.vault_role_id`, `secrets.vault_secret_id` (it may have expired) and `secrets.vault_approle_mount`",
            )),
            _ => Err(unwell(&answer)),
        }
    }

    async fn renewed(&self, token: &SecretString) -> Option<Session> {
        let url = self.url(["auth", "token", "renew-self"]).ok()?;
        let answer = self.ask(Method::POST, &url, Some(token), Some(json!({}))).await.ok()?;
        if answer.status == 200 { granted(&answer) } else { None }
    }

    fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Result<Url, Failure> {
        let mut url = self.address.clone();
        let wrong = || Failure::new("cannot be read: Vault's address has no path", "mend `secrets.vault_address`");
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().push("v1").extend(segments);
        Ok(url)
    }

    async fn ask(
        &self,
        method: Method,
        url: &Url,
        token: Option<&SecretString>,
        body: Option<serde_json::Value>,
    ) -> Result<Answer, Failure> {
        let body = body.map_or_else(Bytes::new, |it| it.to_string().into());
        let make = || async {
            let mut request =
                http::Request::builder().method(&method).uri(url.as_str()).header("X-Vault-Request", "true");
            if let Some(token) = token {
                request = request.header(TOKEN, sensitive(token)?);
            }
            if let Some(namespace) = &self.namespace {
                request = request.header(NAMESPACE, namespace);
            }
            let unfit = |_| Failure::new("cannot be read: no request can be made of it", "mend the reference");
            request.body(body.clone()).map_err(unfit)
        };
        self.transport.send("Vault", make).await
    }
}

fn granted(answer: &Answer) -> Option<Session> {
    let Granted { auth } = serde_json::from_slice(&answer.body).ok()?;
    Some(Session::new(auth.client_token.into(), auth.lease_duration, auth.renewable))
}

fn sensitive(token: &SecretString) -> Result<HeaderValue, Failure> {
    let unfit = |_| Failure::new("cannot be read: Vault's token fits no header", "check `secrets.vault_token`");
    let mut value = HeaderValue::from_str(token.expose_secret()).map_err(unfit)?;
    value.set_sensitive(true);
    Ok(value)
}

/// What is wrong with the store, not with the reference.
fn unwell(answer: &Answer) -> Failure {
    let Answer { status, .. } = answer;
    let mend = match status {
        300..=399 => "give the address of the active node, or of a load balancer: redirects are not followed",
        503 => "unseal it, or see what its log says",
        _ => "see what Vault's log says",
    };
    Failure::new(format!("cannot be read: Vault answers {status} ({})", answer.words()), mend)
}
