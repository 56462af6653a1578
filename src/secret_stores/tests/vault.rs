use serde_json::{Value, json};

use super::*;
use crate::canned::{Reply, Seen};

/// As a server answers that holds `kv/starkeep` for whoever has one of these tokens.
fn answer(seen: &Seen, good: &[&str]) -> Reply {
    let token = seen.header("X-Vault-Token").unwrap_or_default();
    match seen.target.as_str() {
        "/v1/auth/approle/login" => {
            let body: Value = serde_json::from_str(&seen.body).unwrap();
            if body == json!({ "role_id": "role", "secret_id": "secret" }) {
                let auth = json!({ "client_token": good.last().unwrap(), "lease_duration": 3600, "renewable": true });
                Reply::json(200, &json!({ "data": null, "auth": auth }))
            } else {
                Reply::json(400, &json!({ "errors": ["invalid role or secret ID"] }))
            }
        }
        _ if !good.contains(&token) => Reply::json(403, &json!({ "errors": ["permission denied"] })),
        "/v1/auth/token/lookup-self" => Reply::json(200, &json!({ "data": { "ttl": 0, "renewable": false } })),
        "/v1/kv/data/starkeep" => {
            let data = json!({ "github": "ghp_one", "onedev": "od_two" });
            Reply::json(200, &json!({ "data": { "data": data, "metadata": { "version": 3 } } }))
        }
        _ => Reply::json(404, &json!({ "errors": [] })),
    }
}

#[actix::test]
async fn a_secret_is_read_once_for_all_its_fields() {
    let canned = Canned::start(|seen| answer(seen, &["the-vault-token"])).await;
    let found = ask(&vault_at(&canned), &["vault:kv/starkeep#github", "vault:kv/starkeep#onedev"]).await;
    assert_eq!(found, ["ghp_one", "od_two"]);
    assert_eq!(canned.lines(), ["GET /v1/auth/token/lookup-self", "GET /v1/kv/data/starkeep"]);
    assert!(canned.seen().iter().all(|it| it.header("X-Vault-Request") == Some("true")));
}

#[actix::test]
async fn what_vault_refuses_is_told_with_the_mend() {
    let canned = Canned::start(|seen| answer(seen, &["another-token"])).await;
    let [told] = &ask(&vault_at(&canned), &["vault:kv/starkeep#github"]).await[..] else { panic!() };
    assert!(
        told.starts_with(
            "is refused by Vault (permission denied); give the token or role a policy with `read` on `kv/data/starkeep`"
        ),
        "{told}"
    );
    assert!(!told.contains("the-vault-token"));

    let canned = Canned::start(|seen| answer(seen, &["the-vault-token"])).await;
    let found = ask(&vault_at(&canned), &["vault:kv/none#github", "vault:kv/starkeep#none"]).await;
    assert!(found[0].starts_with("is not there: Vault has no such secret"), "{found:?}");
    assert!(found[1].ends_with("refer to one of its fields: `github`, `onedev`"), "{found:?}");
    // A version that was deleted, and an engine of version 1.
    for body in [json!({ "data": { "data": null } }), json!({ "data": { "github": "x" } })] {
        let canned = Canned::start(move |_| Reply::json(200, &body)).await;
        let found = ask(&vault_at(&canned), &["vault:kv/starkeep#github"]).await;
        assert!(found[0].contains("no secret of a KV engine of version 2"), "{found:?}");
    }
}

#[actix::test]
async fn a_role_logs_in_and_logs_in_again_when_its_token_is_refused() {
    let mut asked = 0;
    let canned = Canned::start(move |seen| {
        asked += usize::from(seen.target.contains("/kv/"));
        // The first token was revoked before it was used.
        if asked == 1 { answer(seen, &["first", "second"]) } else { answer(seen, &["second"]) }
    })
    .await;
    let settings = Settings {
        vault_token: None,
        vault_role_id: Some("role".into()),
        vault_secret_id: Some("secret".into()),
        vault_namespace: Some("platform".to_owned()),
        ..vault_at(&canned)
    };
    let stores = SecretStores::new(&settings);
    let wanted = references(&["vault:kv/starkeep#github"]);
    assert_eq!(told(&stores.look_up(&wanted).await), ["ghp_one"]);
    assert_eq!(told(&stores.look_up(&wanted).await), ["ghp_one"]);
    assert_eq!(canned.count("POST", "/login"), 1);
    assert!(canned.seen().iter().all(|it| it.header("X-Vault-Namespace") == Some("platform")));

    let wrong = Settings { vault_secret_id: Some("expired".into()), ..settings };
    let found = ask(&wrong, &["vault:kv/starkeep#github"]).await;
    assert!(found[0].contains("refuses the role (invalid role or secret ID)"), "{found:?}");
    assert!(!found[0].contains("expired`"), "{found:?}");
}

#[actix::test]
async fn a_refused_token_of_a_role_is_replaced_once() {
    let mut logins = 0;
    let canned = Canned::start(move |seen| {
        if seen.target.ends_with("/login") {
            logins += 1;
            let auth = json!({ "client_token": format!("t{logins}"), "lease_duration": 0, "renewable": false });
            return Reply::json(200, &json!({ "auth": auth }));
        }
        answer(seen, &["t2"])
    })
    .await;
    let settings = Settings {
        vault_token: None,
        vault_role_id: Some("role".into()),
        vault_secret_id: Some("secret".into()),
        ..vault_at(&canned)
    };
    assert_eq!(ask(&settings, &["vault:kv/starkeep#github"]).await, ["ghp_one"]);
    assert_eq!(canned.count("POST", "/login"), 2);
}

#[actix::test]
async fn a_token_is_renewed_when_half_of_its_time_is_over() {
    let canned = Canned::start(|seen| match seen.target.as_str() {
        // Half of a second is none.
        "/v1/auth/token/lookup-self" => Reply::json(200, &json!({ "data": { "ttl": 1, "renewable": true } })),
        "/v1/auth/token/renew-self" => {
            let auth = json!({ "client_token": "the-vault-token", "lease_duration": 3600, "renewable": true });
            Reply::json(200, &json!({ "auth": auth }))
        }
        _ => answer(seen, &["the-vault-token"]),
    })
    .await;
    let stores = SecretStores::new(&vault_at(&canned));
    for _ in 0..3 {
        assert_eq!(told(&stores.look_up(&references(&["vault:kv/starkeep#github"])).await), ["ghp_one"]);
    }
    assert_eq!(canned.count("POST", "/renew-self"), 1);
}

#[actix::test]
async fn a_store_that_is_unwell_is_asked_three_times_and_follows_nobody_elsewhere() {
    let mut asked = 0;
    let canned = Canned::start(move |seen| {
        asked += 1;
        if asked < 3 {
            Reply::json(503, &json!({ "errors": ["Vault is sealed"] }))
        } else {
            answer(seen, &["the-vault-token"])
        }
    })
    .await;
    assert_eq!(ask(&vault_at(&canned), &["vault:kv/starkeep#github"]).await, ["ghp_one"]);

    let canned = Canned::start(|seen| match seen.target.as_str() {
        "/v1/kv/data/starkeep" => Reply::json(503, &json!({ "errors": ["Vault is sealed"] })),
        _ => answer(seen, &["the-vault-token"]),
    })
    .await;
    let found = ask(&vault_at(&canned), &["vault:kv/starkeep#github"]).await;
    assert!(found[0].starts_with("cannot be read: Vault answers 503 (Vault is sealed); unseal it"), "{found:?}");
    assert_eq!(canned.count("GET", "/kv/"), 3);

    let elsewhere = Canned::start(|seen| answer(seen, &["the-vault-token"])).await;
    let address = elsewhere.url.clone();
    let canned =
        Canned::start(move |seen| Reply::plain(307, "").header("Location", address.join(&seen.target).unwrap())).await;
    let found = ask(&vault_at(&canned), &["vault:kv/starkeep#github"]).await;
    assert!(found[0].contains("redirects are not followed"), "{found:?}");
    assert_eq!(elsewhere.lines().len(), 0);
}

#[actix::test]
async fn an_answer_without_end_and_nobody_there_are_told() {
    let canned = Canned::start(|_| Reply::plain(200, &"x".repeat(3 << 20))).await;
    let found = ask(&vault_at(&canned), &["vault:kv/starkeep#github"]).await;
    assert!(found[0].contains("answered more than 2097152 bytes"), "{found:?}");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap()).parse().unwrap();
    drop(nobody);
    let settings = Settings { vault_address: Some(url), ..vault_at(&canned) };
    let found = ask(&settings, &["vault:kv/starkeep#github"]).await;
    assert!(
        found[0].contains("Vault cannot be reached") && found[0].ends_with("can be reached from here"),
        "{found:?}"
    );
}
