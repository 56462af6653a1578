//! Sessions and invitations, as their rows have them.

use chrono::TimeDelta;
use uuid::Uuid;

use super::{Bed, at, on_both};
use crate::domain::api_key::Scopes;
use crate::domain::session::{RANDOM, Ticket};
use crate::store::api_keys::{self, NewKey};
use crate::store::sessions::{self, MOST, Opener, Session};

on_both!(
    a_session_ends_with_its_time_and_with_its_key,
    an_actor_has_a_bounded_number,
    of_all_invitations_one_is_accepted,
    who_has_a_key_invites_nobody
);

fn ticket(seed: u8) -> Ticket {
    Ticket::of_random(&std::array::from_fn::<u8, RANDOM, _>(|it| (it as u8).wrapping_add(seed) & 31)).unwrap()
}

fn session(id: &str, actor: &str, opener: Opener) -> Session {
    let (id, actor) = (id.to_owned(), actor.to_owned());
    Session { id, actor, scopes: Scopes::all(), opener, ends_at: None, expires_at: at(100) }
}

async fn key(bed: &Bed, prefix: &str, scope: &str) -> Uuid {
    let id = Uuid::now_v7();
    let key = NewKey {
        id,
        name: "of a test".to_owned(),
        prefix: prefix.to_owned(),
        hash: "argon2id".to_owned(),
        scopes: scope.parse().unwrap(),
        created_by: "admin".to_owned(),
        expires_at: None,
    };
    bed.write(move |c| api_keys::insert(c, &key, at(0))).await;
    id
}

async fn is_there(bed: &Bed, id: &'static str, second: i64) -> bool {
    bed.read(move |c| sessions::find(c, id, at(second))).await.is_some()
}

async fn a_session_ends_with_its_time_and_with_its_key(bed: Bed) {
    let key = key(&bed, "sk_abcdefgh", "mirrors:read").await;
    let mut short = session("short", "issuer", Opener::Issuer);
    short.ends_at = Some(at(50));
    let all = [
        session("admin", "admin", Opener::AdminToken("seal".to_owned())),
        session("key", "sk_abcdefgh", Opener::Key(key)),
        short,
    ];
    for it in all.clone() {
        bed.write(move |c| sessions::open(c, &it, at(0))).await;
    }
    for it in all {
        let id = it.id.clone();
        assert_eq!(bed.read(move |c| sessions::find(c, &id, at(49))).await, Some(it));
    }
    assert!(!is_there(&bed, "short", 50).await && is_there(&bed, "admin", 99).await);
    bed.write(move |c| api_keys::revoke(c, key, at(60))).await;
    assert!(!is_there(&bed, "key", 60).await, "its key was revoked");
    assert!(!is_there(&bed, "admin", 100).await);
    assert!(bed.write(|c| sessions::end(c, "admin")).await);
    assert!(!bed.write(|c| sessions::end(c, "admin")).await);
    bed.write(|c| sessions::prune(c, at(99))).await;
    assert!(bed.write(|c| sessions::end(c, "key")).await, "its time was not over");
    bed.write(|c| sessions::prune(c, at(100))).await;
    assert!(!bed.write(|c| sessions::end(c, "short")).await);
}

async fn an_actor_has_a_bounded_number(bed: Bed) {
    bed.write(|c| sessions::open(c, &session("other", "other", Opener::Issuer), at(0))).await;
    for n in 0..=MOST {
        let it = session(&n.to_string(), "one", Opener::Issuer);
        bed.write(move |c| sessions::open(c, &it, at(n))).await;
    }
    assert!(!is_there(&bed, "0", 60).await && is_there(&bed, "1", 60).await && is_there(&bed, "other", 60).await);
}

async fn of_all_invitations_one_is_accepted(bed: Bed) {
    let other = Bed { store: bed.another().await, ..bed.clone() };
    for it in [1, 2] {
        assert!(bed.write(move |c| sessions::invite(c, &ticket(it), at(0))).await);
    }
    assert!(bed.read(|c| sessions::is_invited(c, &ticket(1), at(0))).await);
    assert!(!bed.read(|c| sessions::is_invited(c, &ticket(3), at(0))).await);
    let over = at(0) + sessions::INVITATION;
    assert!(!bed.read(move |c| sessions::is_invited(c, &ticket(1), over)).await);
    assert!(!bed.write(move |c| sessions::accept(c, &ticket(1), over)).await);
    assert!(!bed.write(|c| sessions::accept(c, &ticket(3), at(1))).await);
    // Two admins at two processes, at once.
    let accept = async |bed: &Bed, it| bed.write(move |c| sessions::accept(c, &ticket(it), at(1))).await;
    let (one, two) = futures_util::join!(accept(&bed, 1), accept(&other, 2));
    assert!(one != two, "{one} {two}");
    assert!(!bed.write(|c| sessions::accept(c, &ticket(1), at(1))).await);
    assert!(!bed.write(|c| sessions::accept(c, &ticket(2), at(1))).await);
}

async fn who_has_a_key_invites_nobody(bed: Bed) {
    key(&bed, "sk_reader00", "mirrors:read").await;
    assert!(bed.write(|c| sessions::invite(c, &ticket(1), at(0))).await);
    let admin = key(&bed, "sk_admin000", "admin").await;
    assert!(!bed.write(|c| sessions::invite(c, &ticket(2), at(0))).await);
    assert!(!bed.write(|c| sessions::accept(c, &ticket(1), at(1))).await, "somebody made a key meanwhile");
    bed.write(move |c| api_keys::end_at(c, admin, at(10))).await;
    assert!(!bed.write(|c| sessions::invite(c, &ticket(2), at(9))).await);
    assert!(bed.write(|c| sessions::invite(c, &ticket(2), at(10))).await);
    bed.write(|c| sessions::prune(c, at(10) + sessions::INVITATION - TimeDelta::seconds(1))).await;
    assert!(bed.read(|c| sessions::is_invited(c, &ticket(2), at(11))).await);
    bed.write(|c| sessions::prune(c, at(10) + sessions::INVITATION)).await;
    assert!(!bed.read(|c| sessions::is_invited(c, &ticket(2), at(11))).await);
}
