//! AWS Secrets Manager: one call, `GetSecretValue`, signed by `reqsign`.
//!
//! Credentials are looked for where AWS's own tools look: the environment, the shared files, the identity of a
//! Kubernetes service account, that of an ECS task, that of the instance. Answers as in the API's reference: 400 with
//! `__type` for whatever the caller did wrong, 500 otherwise.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use reqsign_aws_v4::{Credential, DefaultCredentialProvider, RequestSigner};
use reqsign_core::{Context, FileRead, HttpSend, OsEnv, ProvideCredential, Signer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::transport::{Answer, Transport};
use super::{Failure, Fields};
use crate::config::secret_stores::SecretStores as Settings;

/// Larger credential files are refused. Bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// One region's Secrets Manager.
pub(super) struct SecretsManager {
    endpoint: Url,
    signer: Arc<Signer<Credential>>,
    transport: Transport,
}

impl SecretsManager {
    pub(super) fn new(settings: &Settings, transport: Transport) -> Result<Self, Failure> {
        Self::with(settings, transport, DefaultCredentialProvider::new())
    }

    /// The same with credentials from a place of one's own.
    pub(super) fn with(
        settings: &Settings,
        transport: Transport,
        credentials: impl ProvideCredential<Credential = Credential>,
    ) -> Result<Self, Failure> {
        let lacking = |mend: &str| Failure::new("cannot be read: AWS Secrets Manager is not configured", mend);
        let region = settings.aws_region.clone();
        let region = region.ok_or_else(|| lacking("set `secrets.aws_region`, as in `eu-central-1`"))?;
        let endpoint = match &settings.aws_endpoint {
            Some(it) => it.clone(),
            None => format!("https://secretsmanager.{region}.amazonaws.com/")
                .parse()
                .map_err(|_| lacking("write `secrets.aws_region` as AWS has it"))?,
        };
        let context = Context::new().with_env(OsEnv).with_file_read(Files).with_http_send(Sender(transport.clone()));
        let signer = Signer::new(context, credentials, RequestSigner::new("secretsmanager", &region));
        Ok(Self { endpoint, signer: Arc::new(signer), transport })
    }

    /// The fields of a secret whose value is a JSON object.
    pub(super) async fn read(&self, name: &str) -> Result<Fields, Failure> {
        let body = Bytes::from(json!({ "SecretId": name }).to_string());
        let answer = self.transport.send("AWS Secrets Manager", || self.request(body.clone())).await?;
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status != 200 {
            return Err(refused(&answer, &json));
        }
        let value = json.get("SecretString").and_then(Value::as_str);
        value.and_then(|it| serde_json::from_str(it).ok()).ok_or_else(|| {
            Failure::new("is no JSON object of texts in AWS", "store it as key and value pairs, and refer to a key")
        })
    }

    /// Signed anew for each attempt: a signature is good for some minutes.
    async fn request(&self, body: Bytes) -> Result<http::Request<Bytes>, Failure> {
        let unfit = |_| Failure::new("cannot be read: no request can be made of it", "mend the reference");
        let request = http::Request::post(self.endpoint.as_str())
            .header(CONTENT_TYPE, "application/x-amz-json-1.1")
            .header("X-Amz-Target", "secretsmanager.GetSecretValue")
            .header("X-Amz-Content-Sha256", hex::encode(Sha256::digest(&body)))
            .body(())
            .map_err(unfit)?;
        let (mut head, ()) = request.into_parts();
        let signed = self.signer.sign(&mut head, None).await;
        signed.map_err(|error| {
            let mend = "give this process credentials of AWS, as in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a task's or an instance's role";
            Failure::new(format!("cannot be read: there are no credentials of AWS ({})", error.kind()), mend)
        })?;
        Ok(http::Request::from_parts(head, body))
    }
}

fn refused(answer: &Answer, json: &Value) -> Failure {
    let kind = json.get("__type").and_then(Value::as_str).unwrap_or_default();
    let kind = kind.rsplit('#').next().unwrap_or_default();
    match kind {
        "ResourceNotFoundException" => Failure::new(
            "is not there: AWS has no such secret in this region",
            "make it, or mend the name or `secrets.aws_region`",
        ),
        "InvalidRequestException" => Failure::new(
            format!("cannot be read from AWS ({})", answer.words()),
            "restore the secret if it was scheduled for deletion",
        ),
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "ExpiredTokenException" => {
            let mend =
                "give this process's identity `secretsmanager:GetSecretValue` on it (and `kms:Decrypt` on its key)";
            Failure::new(format!("is refused by AWS ({kind})"), mend)
        }
        _ => Failure::new(
            format!("cannot be read: AWS answers {} ({kind} {})", answer.status, answer.words()),
            "see the state of AWS, and try again",
        ),
    }
}

/// Sends what the search for credentials asks: the services of roles and of the machine itself.
#[derive(Debug)]
struct Sender(Transport);

impl HttpSend for Sender {
    async fn http_send(&self, request: http::Request<Bytes>) -> reqsign_core::Result<http::Response<Bytes>> {
        let Answer { status, body } = self.0.once(request).await.map_err(reqsign_core::Error::unexpected)?;
        let answer = http::Response::builder().status(status).body(body);
        answer.map_err(|error| reqsign_core::Error::unexpected(error.to_string()))
    }
}

/// Reads the shared files and a service account's token.
#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        use tokio::io::AsyncReadExt as _;

        let failed = |error: std::io::Error| reqsign_core::Error::unexpected(error.to_string());
        let mut bytes = Vec::new();
        let file = tokio::fs::File::open(path).await.map_err(failed)?;
        file.take(LARGEST_FILE).read_to_end(&mut bytes).await.map_err(failed)?;
        Ok(bytes)
    }
}
