use serde_json::{Value, json};

use super::*;
use crate::canned::{Reply, Seen};
use crate::secret_stores::aws::SecretsManager;
use crate::secret_stores::transport::Transport;

fn manager(canned: &Canned) -> SecretsManager {
    let settings =
        Settings { aws_region: Some("eu-central-1".to_owned()), aws_endpoint: Some(canned.url.clone()), ..settings() };
    let credential = reqsign_aws_v4::StaticCredentialProvider::new("AKIDEXAMPLE", "the-secret-key");
    SecretsManager::with(&settings, Transport::new(settings.timeout), credential).unwrap_or_else(|_| panic!())
}

fn answer(seen: &Seen) -> Reply {
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    let refused = |kind: &str, text: &str| Reply::json(400, &json!({ "__type": kind, "Message": text }));
    match body["SecretId"].as_str().unwrap() {
        "starkeep" => Reply::json(200, &json!({ "SecretString": json!({ "token": "ghp_aws" }).to_string() })),
        "plain" => Reply::json(200, &json!({ "SecretString": "ghp_plain" })),
        "denied" => refused("AccessDeniedException", "User: arn:aws:iam::1:user/x is not authorized"),
        "deleted" => refused(
            "InvalidRequestException",
            "You can't perform this operation on the secret because it was marked for deletion.",
        ),
        "broken" => Reply::json(500, &json!({ "__type": "InternalServiceError" })),
        _ => refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
    }
}

#[actix::test]
async fn a_call_is_signed_for_its_body_and_region() {
    let canned = Canned::start(answer).await;
    let fields = manager(&canned).read("starkeep").await.unwrap_or_else(|it| panic!("{it:?}"));
    assert_eq!(fields["token"], "ghp_aws");
    let seen = &canned.seen()[0];
    assert_eq!(seen.line(), "POST /");
    assert_eq!(seen.header("X-Amz-Target"), Some("secretsmanager.GetSecretValue"));
    let authorization = seen.header("Authorization").unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{authorization}");
    assert!(authorization.contains("/eu-central-1/secretsmanager/aws4_request"), "{authorization}");
    assert!(authorization.contains("x-amz-content-sha256"), "{authorization}");
    assert!(!format!("{seen:?}").contains("the-secret-key"));
}

#[actix::test]
async fn what_aws_refuses_is_told_with_the_mend() {
    let canned = Canned::start(answer).await;
    let manager = manager(&canned);
    for (name, told) in [
        ("none", "is not there: AWS has no such secret in this region"),
        ("denied", "is refused by AWS (AccessDeniedException)"),
        ("deleted", "marked for deletion"),
        ("plain", "is no JSON object of texts in AWS"),
        ("broken", "cannot be read: AWS answers 500 (InternalServiceError"),
    ] {
        let failure = manager.read(name).await.err().unwrap();
        assert!(failure.found.contains(told), "{name}: {failure:?}");
        assert!(!failure.mend.is_empty() && !format!("{failure:?}").contains("ghp_"), "{failure:?}");
    }
    assert_eq!(canned.seen().iter().filter(|it| it.body.contains("broken")).count(), 3);
}
