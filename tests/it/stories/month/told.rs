//! Compares what was told with what is.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use starkeep::store::mirrors;

use super::model::{Fate, Standing};
use super::plan::COUNTED_FOR;
use super::player::Month;

/// What was told of one mirror: the kind and the reason, one after the other.
type Told = Vec<(String, Option<String>)>;

/// Each change was told once, all of a window in one message, and the last that was told of a mirror is how it stands.
pub async fn all(month: &Month) {
    let messages = messages(month);
    let told = by_mirror(&messages);
    for (mirror, told) in &told {
        assert_ne!(told[0].0, "recovered", "{mirror}: {told:?}");
        assert!(
            told.windows(2).all(|it| it[0] != it[1] && (it[0].0 != it[1].0 || it[0].0 == "gone")),
            "{mirror}: {told:?}"
        );
    }
    for repo in &month.model.repos {
        let id = repo.id;
        let Some(mirror) = month.world.store().read(move |c| mirrors::by_github_id(c, id)).await.unwrap() else {
            continue;
        };
        let last = told.get(&mirror.id.to_string()).and_then(|it| it.last());
        let last = last.map(|(kind, reason)| (kind.as_str(), reason.as_deref()));
        let name = repo.full_name();
        match month.model.standing(repo) {
            Standing::Level => assert!(matches!(last, None | Some(("recovered", None))), "{name}: {last:?}"),
            Standing::Gone(Fate::Deleted) => {
                let codes = ["upstream_not_found", "upstream_owner_gone"].map(|it| Some(("gone", Some(it))));
                assert!(codes.contains(&last), "{name}: {last:?}");
            }
            Standing::Gone(Fate::Blocked) => assert_eq!(last, Some(("gone", Some("upstream_unavailable"))), "{name}"),
            Standing::LetGo | Standing::None => {}
        }
    }
    let changes: usize = told.values().map(Vec::len).sum();
    let kinds: BTreeSet<&str> = told.values().flatten().map(|it| it.0.as_str()).collect();
    println!("{} messages told of {changes} changes: {kinds:?}", messages.len());
    if month.model.repos.len() >= COUNTED_FOR * 9 / 10 {
        // A failure that came and went before it was told is not told; whether one lasts depends on the machine.
        assert!(kinds.is_subset(&BTreeSet::from(["failed", "gone", "mass_brake", "recovered"])));
        assert!(kinds.is_superset(&BTreeSet::from(["gone", "mass_brake"])));
    }
    // A window opens after the message of the one before, and is told when it is over.
    let digest = TimeDelta::from_std(month.world.config.notify.digest).unwrap();
    let times: Vec<DateTime<Utc>> = messages.iter().map(at).collect();
    assert!(times.windows(2).all(|it| it[1] - it[0] >= digest), "{times:?}");
}

/// When a message was gathered.
fn at(message: &Value) -> DateTime<Utc> {
    message["at"].as_str().unwrap().parse().unwrap()
}

/// Each once, as a receiver has them that drops what it knows, the oldest first.
fn messages(month: &Month) -> Vec<Value> {
    let mut known = BTreeSet::new();
    let all = month.hook.taken().into_iter().map(|it| it.json());
    let mut messages: Vec<Value> = all.filter(|it| known.insert(it["id"].as_str().unwrap().to_owned())).collect();
    messages.sort_by_key(at);
    messages
}

fn by_mirror(messages: &[Value]) -> BTreeMap<String, Told> {
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    for message in messages {
        for change in message["changes"].as_array().unwrap() {
            let Some(mirror) = change["mirror"].as_str() else { continue };
            let [kind, reason] = ["kind", "reason"].map(|key| change[key].as_str().map(str::to_owned));
            told.entry(mirror.to_owned()).or_default().push((kind.unwrap(), reason));
        }
    }
    told
}
