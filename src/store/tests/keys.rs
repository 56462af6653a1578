//! Keys of the admin API, as their rows have them.

use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use super::{Bed, at, on_both};
use crate::domain::api_key::Scopes;
use crate::store::api_keys::{self, NewKey, Status};
use crate::store::audit::{self, NewEntry};
use crate::store::{Connection, StoreError, Window};

on_both!(a_key_is_found_by_its_prefix_and_ends, a_key_takes_the_place_of_another_and_the_log_is_told, uses_add_up);

fn key(number: u128) -> NewKey {
    NewKey {
        id: Uuid::from_u128(number),
        name: format!("key {number}"),
        prefix: format!("sk_{number:08}"),
        hash: "argon2id$".to_owned(),
        scopes: Scopes::parse(&["mirrors:read", "keys"]).unwrap(),
        created_by: "admin".to_owned(),
        expires_at: Some(at(100)),
    }
}

async fn a_key_is_found_by_its_prefix_and_ends(bed: Bed) {
    for it in 1..=3 {
        bed.write(move |c| api_keys::insert(c, &key(it), at(0))).await;
    }
    let again = bed.store.write(|c| api_keys::insert(c, &NewKey { id: Uuid::nil(), ..key(2) }, at(0))).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    let (found, hash) = bed.read(|c| api_keys::by_prefix(c, "sk_00000002")).await.unwrap();
    assert_eq!(
        (found.id, found.scopes.to_string().as_str(), hash.as_str()),
        (key(2).id, "mirrors:read keys", "argon2id$")
    );
    assert_eq!((found.status(at(99)), found.status(at(100))), (Status::Active, Status::Expired));
    let id = found.id;
    bed.write(move |c| api_keys::end_at(c, id, at(50))).await;
    bed.write(move |c| api_keys::end_at(c, id, at(70))).await;
    assert_eq!(bed.read(move |c| api_keys::find(c, id)).await.unwrap().expires_at, Some(at(50)));
    assert!(bed.write(move |c| api_keys::revoke(c, id, at(5))).await);
    assert!(!bed.write(move |c| api_keys::revoke(c, id, at(6))).await);
    let ended = bed.read(move |c| api_keys::find(c, id)).await.unwrap();
    assert_eq!((ended.status(at(7)), ended.revoked_at), (Status::Revoked, Some(at(5))));
    let page = bed.read(|c| api_keys::list(c, true, &Window { limit: 2, cursor: None })).await;
    assert_eq!(page.items.iter().map(|it| it.id.as_u128()).collect::<Vec<_>>(), [3, 2]);
    let rest = bed.read(|c| api_keys::list(c, true, &Window { limit: 2, cursor: page.next })).await;
    assert_eq!((rest.items.len(), rest.next), (1, None));
    assert_eq!(bed.read(|c| api_keys::list(c, false, &Window::default())).await.items.len(), 2);
    assert!(bed.read(|c| api_keys::by_prefix(c, "sk_none")).await.is_none());
}

async fn a_key_takes_the_place_of_another_and_the_log_is_told(bed: Bed) {
    let old = bed.write(|c| api_keys::insert(c, &key(1), at(0))).await;
    let rotate = |number: u128, second: i64| {
        let entry = NewEntry::of("cli", "key.rotate", "sk_00000001");
        move |c: &mut Connection| {
            api_keys::replace(c, key(1).id, &key(number), TimeDelta::seconds(10), &entry, at(second))
        }
    };
    let made = bed.write(rotate(2, 20)).await.unwrap();
    assert_eq!((made.id, made.created_at), (key(2).id, at(20)));
    assert_eq!(bed.read(move |c| api_keys::find(c, old.id)).await.unwrap().expires_at, Some(at(30)));
    // One that has ended is not replaced, and nothing is said to have been done.
    assert_eq!(bed.write(rotate(3, 30)).await, None);
    let log = bed.read(|c| audit::list(c, &audit::Filter::default(), &Window::default())).await.items;
    assert_eq!(log.len(), 1);
    assert_eq!((log[0].entry.action.as_str(), log[0].entry.subject.as_str()), ("key.rotate", "sk_00000001"));
    assert_eq!(log[0].entry.detail, json!({ "name": "key 1", "by": "sk_00000002", "old_ends_at": at(30) }));
}

async fn uses_add_up(bed: Bed) {
    let id = bed.write(|c| api_keys::insert(c, &key(1), at(0))).await.id;
    for (count, second, address) in [(1, 10, "203.0.113.7"), (5, 30, "203.0.113.8"), (2, 20, "203.0.113.9")] {
        bed.write(move |c| api_keys::used(c, id, count, at(second), address)).await;
    }
    let key = bed.read(move |c| api_keys::find(c, id)).await.unwrap();
    assert_eq!((key.usage_count, key.last_used), (8, Some((at(30), Some("203.0.113.8".to_owned())))));
}
