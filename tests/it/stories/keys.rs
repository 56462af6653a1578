//! API keys, the chained audit log and replayed deliveries, through the whole service.

use reqwest::Method;
use serde_json::{Value, json};
use starkeep::domain::mirror::Status;
use starkeep::store::audit::chain;

use super::commands::{json as parsed, run};
use crate::api;
use crate::world::{ADMIN, World, on_both};

impl World {
    /// A call of the admin API: its status and answer.
    pub async fn ask(&self, key: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = api::request(method, &self.url(&format!("/api/v1{path}"))).bearer_auth(key);
        let answer = api::call(if body.is_null() { request } else { request.json(&body) }).await;
        (answer.status, answer.json())
    }

    /// The chain holds all that is in the log.
    pub async fn chained(&self) -> chain::Verdict {
        while self.store().write(chain::extend).await.unwrap() > 0 {}
        let verdict = self.store().read(|c| chain::verify(c, None)).await.unwrap();
        assert_eq!(verdict.broken, None);
        verdict
    }
}

on_both! {
    async fn a_key_of_the_command_line_opens_and_a_revoked_one_does_not(world: World) {
        let mut world = world;
        world.start().await;
        let (code, out, err) = run(&world, &["key", "create", "ci", "--scope", "mirrors:read,deliveries", "--json"]);
        assert_eq!(code, Some(0), "{err}");
        let made = parsed(&out);
        let key = made["full_key"].as_str().unwrap();
        assert_eq!(made["scopes"], json!(["mirrors:read", "deliveries"]));
        assert_eq!(world.ask(key, Method::GET, "/mirrors/", Value::Null).await.0, 200);
        assert_eq!(world.ask(key, Method::GET, "/audit", Value::Null).await.0, 403);
        let (_, out, _) = run(&world, &["key", "list"]);
        assert!(out.contains(made["prefix"].as_str().unwrap()) && !out.contains(key), "{out}");
        // Another process ends it; this one has just verified it, and lets it in no more.
        let (code, _, err) = run(&world, &["key", "revoke", made["prefix"].as_str().unwrap()]);
        assert_eq!(code, Some(0), "{err}");
        assert_eq!(world.ask(key, Method::GET, "/mirrors", Value::Null).await.0, 401);
        assert_eq!(run(&world, &["key", "revoke", "sk_nothing0"]).0, Some(1));
        assert_eq!(run(&world, &["key", "create", "ci", "--scope", "everything"]).0, Some(2));
        let (_, out, _) = run(&world, &["key", "list", "--include-revoked", "--json"]);
        assert_eq!(parsed(&out)[0]["status"], "revoked", "{out}");
        world.chained().await;
        let (code, out, _) = run(&world, &["audit", "verify", "--json"]);
        let verdict = parsed(&out);
        assert_eq!((code, verdict["whole"].as_bool()), (Some(0), Some(true)), "{out}");
        let head = format!("{}:{}", verdict["head"]["seq"], verdict["head"]["hash"].as_str().unwrap());
        assert_eq!(run(&world, &["audit", "verify", "--head", &head]).0, Some(0));
        let forged = format!("{}:{}", verdict["head"]["seq"], "0".repeat(64));
        let (code, out, _) = run(&world, &["audit", "verify", "--head", &forged]);
        assert_eq!((code, out.contains("made anew")), (Some(1), true), "{out}");
        let (code, out, _) = run(&world, &["audit", "export"]);
        let lines: Vec<Value> = out.lines().map(parsed).collect();
        let actions: Vec<&str> = lines.iter().map(|it| it["action"].as_str().unwrap()).collect();
        assert_eq!(code, Some(0));
        for action in ["key.create", "key.revoke", "request.refused"] {
            assert!(actions.contains(&action), "{actions:?}");
        }
        let (_, out, _) = run(&world, &["audit", "export", "--since", "2999-01-01T00:00:00Z"]);
        assert_eq!(out, "");
        world.end().await;
    }
}

on_both! {
    async fn a_key_is_rotated_on_the_command_line_and_both_open_for_a_while(world: World) {
        let mut world = world;
        world.start().await;
        let create = ["key", "create", "ci", "--scope", "mirrors:read", "--expires-in-days", "30", "--json"];
        let made = parsed(&run(&world, &create).1);
        let (old, id) = (made["full_key"].as_str().unwrap(), made["id"].as_str().unwrap());
        let reads = async |key: &str| world.ask(key, Method::GET, "/mirrors", Value::Null).await.0;
        let (code, out, err) = run(&world, &["key", "rotate", id, "--overlap", "1h"]);
        assert_eq!((code, err.contains("ends at")), (Some(0), true), "{err}");
        let new = out.trim();
        assert!(new != old && reads(new).await == 200 && reads(old).await == 200, "{out}");
        let keys = parsed(&run(&world, &["key", "list", "--json"]).1);
        let prefix = new.rsplit_once('_').unwrap().0;
        let of = |prefix: &str| keys.as_array().unwrap().iter().find(|it| it["prefix"] == prefix).unwrap();
        assert_eq!((&of(prefix)["name"], &of(prefix)["scopes"]), (&json!("ci"), &json!(["mirrors:read"])));
        assert!(of(prefix)["expires_at"].as_str() > of(made["prefix"].as_str().unwrap())["expires_at"].as_str(), "{keys}");
        // Without an overlap the old one ends at once; by its prefix as well.
        let (code, out, err) = run(&world, &["key", "rotate", prefix, "--overlap", "0s", "--json"]);
        assert_eq!(code, Some(0), "{err}");
        let last = parsed(&out);
        assert_eq!((reads(new).await, reads(last["full_key"].as_str().unwrap()).await), (401, 200));
        assert_eq!(run(&world, &["key", "rotate", prefix]).0, Some(1), "it has ended");
        assert_eq!(run(&world, &["key", "rotate", "sk_nothing0"]).0, Some(1));
        assert_eq!(run(&world, &["key", "rotate", id, "--overlap", "31d"]).0, Some(2));
        let (_, log) = world.ask(ADMIN, Method::GET, "/audit?action=key.rotate", Value::Null).await;
        assert_eq!(log["items"].as_array().unwrap().iter().filter(|it| it["actor"] == "cli").count(), 2, "{log}");
        world.end().await;
    }
}

on_both! {
    async fn a_delivery_is_replayed_alone_and_a_range_is_tried_first(world: World) {
        let mut world = world;
        let id = world.repository("octo", "hello");
        world.start().await;
        let star = world.github().star(crate::world::FAN, id).unwrap();
        world.accepted(&star).await;
        world.drain().await;
        world.assert_healthy(id).await;
        let push = world.github().push(id, "refs/heads/main", None, None).unwrap();
        world.accepted(&push).await;
        world.drain().await;
        let before = world.overview().await;
        let (_, list) = world.ask(ADMIN, Method::GET, "/deliveries", Value::Null).await;
        let of = |event: &str| list["items"].as_array().unwrap().iter().find(|it| it["event"] == event).unwrap().clone();
        let (star, push) = (of("star"), of("push"));
        let jobs = world.jobs().await.len();

        // A dry run says what it would do and does nothing.
        let path = format!("/deliveries/{}/replay", push["id"].as_str().unwrap());
        let (status, told) = world.ask(ADMIN, Method::POST, &path, json!({ "dry_run": true })).await;
        assert_eq!((status, told["asks_for"].as_str(), told["jobs"].clone()), (200, Some("sync"), json!([])));
        let range = |dry: Option<bool>| {
            let mut body = json!({ "from": "2000-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z" });
            if let Some(dry) = dry {
                body["dry_run"] = dry.into();
            }
            body
        };
        let (status, told) = world.ask(ADMIN, Method::POST, "/deliveries/replay", range(None)).await;
        let wishes: Vec<&str> = told["items"].as_array().unwrap().iter().map(|it| it["asks_for"].as_str().unwrap()).collect();
        assert_eq!((status, wishes), (200, vec!["keep", "sync"]), "{told}");
        assert_eq!(world.jobs().await.len(), jobs);

        // Alone, and then all: the same GUIDs, new jobs, the same state in the end.
        let (status, told) = world.ask(ADMIN, Method::POST, &path, Value::Null).await;
        assert_eq!((status, told["jobs"].as_array().unwrap().len()), (202, 1), "{told}");
        world.drain().await;
        let (status, told) = world.ask(ADMIN, Method::POST, "/deliveries/replay", range(Some(false))).await;
        assert_eq!((status, told["items"].as_array().unwrap().len()), (202, 2), "{told}");
        world.drain().await;
        assert_eq!(world.overview().await, before);
        assert_eq!(world.mirror(id).await.status, Status::Healthy);
        let (_, again) = world.ask(ADMIN, Method::GET, &format!("/deliveries/{}", star["id"].as_str().unwrap()), Value::Null).await;
        assert_eq!((again["state"].as_str(), &again["received_at"]), (Some("processed"), &star["received_at"]));
        let (_, log) = world.ask(ADMIN, Method::GET, "/audit?action=delivery.replay", Value::Null).await;
        assert_eq!(log["items"].as_array().unwrap().len(), 3, "{log}");
        // What was overtaken since is told of, and not done.
        let taken_back = world.github().unstar(crate::world::FAN, id).unwrap();
        world.accepted(&taken_back).await;
        world.drain().await;
        let path = format!("/deliveries/{}/replay", star["id"].as_str().unwrap());
        let (status, told) = world.ask(ADMIN, Method::POST, &path, Value::Null).await;
        assert_eq!((status, told["asks_for"].as_str(), told["jobs"].clone()), (202, Some("nothing"), json!([])));
        assert_eq!(world.ask(ADMIN, Method::POST, "/deliveries/none/replay", Value::Null).await.0, 404);
        let backwards = json!({ "from": "2999-01-01T00:00:00Z", "to": "2000-01-01T00:00:00Z" });
        assert_eq!(world.ask(ADMIN, Method::POST, "/deliveries/replay", backwards).await.0, 400);
        world.chained().await;
        world.end().await;
    }
}

on_both! {
    async fn a_long_range_is_replayed_in_pages(world: World) {
        let mut world = world;
        let id = world.repository("octo", "hello");
        world.start().await;
        let mut sent = Vec::new();
        for _ in 0..105 {
            let star = world.github().star("somebody-else", id).unwrap();
            assert_eq!(world.send(&star).await.0, 202);
            sent.push(star.guid);
        }
        let (mut seen, mut cursor, mut pages) = (Vec::new(), Value::Null, Vec::new());
        loop {
            let body = json!({
                "from": "2000-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z", "dry_run": false, "cursor": cursor,
            });
            let (status, page) = world.ask(ADMIN, Method::POST, "/deliveries/replay", body).await;
            assert_eq!(status, 202, "{page}");
            let items = page["items"].as_array().unwrap();
            pages.push(items.len());
            seen.extend(items.iter().map(|it| it["delivery"].as_str().unwrap().to_owned()));
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!((pages, seen), (vec![100, 5], sent), "the oldest first, each once");
        world.end().await;
    }
}
