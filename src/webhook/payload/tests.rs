//! Stories of payloads: what is understood, what is only recorded, what is refused and why.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn ask(event: &str, body: &Value) -> Result<Event, PayloadError> {
    parse(event, body.to_string().as_bytes())
}

fn refused(event: &str, body: &Value) -> String {
    ask(event, body).unwrap_err().to_string()
}

fn repository_of(id: i64, name: &str) -> Value {
    json!({"id": id, "full_name": name, "private": false, "pushed_at": 1_700_000_000, "owner": {"login": "octo"}})
}

fn subject() -> Subject {
    Subject { id: GithubId(42), name: "octo/hello".parse().unwrap() }
}

fn sender() -> Account {
    Account { id: AccountId(7), login: "Hubot".to_owned() }
}

fn star_of(action: &str) -> Value {
    json!({
        "action": action, "starred_at": "2026-01-02T03:04:05Z",
        "repository": repository_of(42, "octo/hello"),
        "sender": {"id": 7, "login": "Hubot", "type": "User"},
    })
}

#[test]
fn a_star_tells_who_and_what() {
    let at = Some("2026-01-02T03:04:05Z".parse().unwrap());
    let expected = |at| Event::Starred { sender: sender(), repository: subject(), at };
    assert_eq!(ask("star", &star_of("created")), Ok(expected(at)));
    for odd in [json!(null), json!("soon"), json!({"a": [1]})] {
        let mut star = star_of("created");
        star["starred_at"] = odd;
        assert_eq!(ask("star", &star), Ok(expected(None)), "an odd time loses no star");
    }
    let expected = Event::Unstarred { sender: sender(), repository: subject() };
    assert_eq!(ask("star", &star_of("deleted")), Ok(expected));
}

#[test]
fn a_push_tells_where_even_if_nothing_moved() {
    let zero = "0".repeat(40);
    let push =
        json!({"ref": "refs/heads/main", "before": zero, "after": zero, "repository": repository_of(42, "octo/hello")});
    assert_eq!(ask("push", &push), Ok(Event::Pushed { repository: subject() }));
    assert_eq!(ask("gollum", &push), Ok(Event::WikiChanged { repository: subject() }));
}

#[test]
fn a_changed_repository_comes_under_its_new_name() {
    for (action, change) in [
        ("renamed", RepositoryChange::Renamed),
        ("transferred", RepositoryChange::Transferred),
        ("archived", RepositoryChange::Archived),
        ("unarchived", RepositoryChange::Unarchived),
        ("privatized", RepositoryChange::Privatized),
        ("publicized", RepositoryChange::Publicized),
        ("edited", RepositoryChange::Edited),
    ] {
        let body = json!({"action": action, "repository": repository_of(42, "octo/hello"), "changes": {"x": 1}});
        assert_eq!(ask("repository", &body), Ok(Event::Changed { repository: subject(), change }), "{action}");
    }
}

#[test]
fn a_ping_is_any_object() {
    assert_eq!(ask("ping", &json!({"zen": "Keep it logically awesome.", "hook_id": 1})), Ok(Event::Ping));
    assert_eq!(ask("ping", &json!({"repository": "odd"})), Ok(Event::Ping));
}

#[test]
fn what_starkeep_does_not_act_on_is_recorded_with_githubs_words() {
    let other = |name: &str, action: Option<&str>| {
        Ok(Event::Other { name: name.to_owned(), action: action.map(str::to_owned) })
    };
    assert_eq!(ask("watch", &json!({"action": "started"})), other("watch", Some("started")));
    assert_eq!(ask("fork", &json!({})), other("fork", None));
    assert_eq!(ask("fork", &json!({"action": {"odd": []}})), other("fork", None));
    assert_eq!(ask("fork", &json!({"action": "x".repeat(65)})), other("fork", None));
    assert_eq!(ask("star", &json!({"action": "polished"})), other("star", Some("polished")));
    assert_eq!(ask("repository", &json!({"action": "created"})), other("repository", Some("created")));
}

#[test]
fn what_git_does_not_carry_is_told_of_by_eight_events() {
    let body = json!({"action": "opened", "repository": {"id": 42, "full_name": "octo/hello"}, "issue": {"odd": []}});
    let Ok(Event::Cataloged { repository, name, action }) = ask("issues", &body) else { panic!("no such event") };
    assert_eq!((repository.id.0, name.as_str(), action.as_deref()), (42, "issues", Some("opened")));
    assert!(refused("release", &json!({"action": "published"})).contains("missing field `repository`"));
}

#[test]
fn whatever_is_no_object_is_refused_for_every_event() {
    for event in ["ping", "star", "push", "repository", "issues"] {
        for body in ["", "null", "[]", "[1]", "\"x\"", "7", "{", "{} {}", "{\"a\":}", "action=created", "\u{feff}{}"] {
            let error = parse(event, body.as_bytes()).unwrap_err();
            assert_eq!(error.code(), "payload_not_an_object", "{event} {body:?}: {error}");
        }
        assert!(parse(event, b"{\"odd\": \"\xff\"}").is_err());
    }
}

#[test]
fn a_needed_field_that_is_missing_or_wrong_is_named() {
    assert!(refused("star", &json!({})).contains("missing field `action`"));
    assert!(refused("star", &json!({"action": 1})).contains("expected a string"));
    assert!(refused("push", &json!({})).contains("missing field `repository`"));
    assert!(refused("push", &json!({"repository": [42, "octo/hello"]})).contains("expected a JSON object"));
    assert!(refused("push", &json!({"repository": {"id": 42}})).contains("missing field `full_name`"));
    assert!(refused("repository", &json!({"action": "renamed"})).contains("missing field `repository`"));
    let mut star = star_of("created");
    star["sender"] = json!({"id": 7});
    assert!(refused("star", &star).contains("missing field `login`"));
}

#[test]
fn ids_are_positive_whole_numbers() {
    for id in [json!(0), json!(-1), json!(1.0), json!(1.5), json!("42"), json!(null), json!(u64::MAX), json!(true)] {
        let mut push = json!({"repository": repository_of(1, "octo/hello")});
        push["repository"]["id"] = id.clone();
        assert!(ask("push", &push).is_err(), "{id}");
        let mut star = star_of("created");
        star["sender"]["id"] = id.clone();
        assert!(ask("star", &star).is_err(), "{id}");
    }
}

#[test]
fn names_that_github_could_not_have_given_are_refused() {
    for name in ["", "octo", "octo/..", "../octo", "octo/a/b", "octo/a b", "octo/\u{202e}", "o\nc/x"] {
        let told = refused("push", &json!({"repository": repository_of(1, name)}));
        assert!(told.contains("is not a repository name") && !told.contains('\n'), "{told}");
    }
    for login in ["", "a b", "../x", "é", &"x".repeat(40), "[bot]"] {
        let mut star = star_of("created");
        star["sender"]["login"] = json!(login);
        assert!(refused("star", &star).contains("a login is"), "{login}");
    }
}

#[test]
fn odd_fields_that_nobody_needs_lose_no_delivery() {
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let body = format!(
        r#"{{"pusher": {deep}, "commits": "odd", "repository":
            {{"odd": {deep}, "id": 42, "full_name": "octo/hello", "pushed_at": -1e400, "name": 5}}}}"#
    );
    assert_eq!(parse("push", body.as_bytes()), Ok(Event::Pushed { repository: subject() }));
}

proptest! {
    #[test]
    fn any_bytes_are_taken(event in "(ping|push|star|repository|[a-z]{0,9})", body: Vec<u8>) {
        let _ = parse(&event, &body);
    }

    #[test]
    fn any_text_is_taken(event in "(ping|push|star|repository)", body in "\\{?(\"action\":\"created\",)?\\PC*\\}?") {
        let _ = parse(&event, body.as_bytes());
    }

    #[test]
    fn a_body_that_stops_half_way_is_refused(at in 0usize..1000) {
        let whole = star_of("created").to_string();
        let cut = at % whole.len();
        prop_assert!(parse("star", &whole.as_bytes()[..cut]).is_err());
    }

    #[test]
    fn a_refusal_is_short_and_one_line(name in "\\PC{0,400}") {
        if let Err(error) = ask("push", &json!({"repository": repository_of(1, &name)})) {
            let told = error.to_string();
            prop_assert!(told.len() < 3000 && !told.contains('\n'));
        }
    }
}

#[test]
fn installations_are_told_by_small_fields_of_large_payloads() {
    let installation = json!({
        "id": 77, "account": {"id": 5, "login": "octo", "type": "User", "site_admin": false}, "app_id": 1,
        "repository_selection": "selected", "permissions": {"contents": "read"}, "suspended_at": null, "events": ["star"],
    });
    let told = |event: &str, fields: serde_json::Value| parse(event, fields.to_string().as_bytes()).unwrap();
    for (event, action, change) in [
        ("installation", "created", InstallationChange::Created),
        ("installation", "deleted", InstallationChange::Deleted),
        ("installation", "suspend", InstallationChange::Suspended),
        ("installation", "unsuspend", InstallationChange::Unsuspended),
        ("installation", "new_permissions_accepted", InstallationChange::PermissionsAccepted),
        ("installation_repositories", "added", InstallationChange::RepositoriesAdded),
        ("installation_repositories", "removed", InstallationChange::RepositoriesRemoved),
    ] {
        let it = told(event, json!({"action": action, "installation": installation, "repositories_added": []}));
        let Event::InstallationChanged { installation, change: found } = &it else { panic!("{it:?}") };
        assert_eq!((*found, installation.id.0, installation.is_active()), (change, 77, true));
        assert_eq!(installation.account.as_ref().unwrap().login, "octo");
        assert_eq!(installation.permissions["contents"], "read");
        assert_eq!((it.name(), it.action()), (event, Some(action)));
    }
    let renamed = json!({"action": "renamed", "account": {"id": 5, "login": "new"}, "installation": {"id": 77, "node_id": "x"},
        "changes": {"login": {"from": "octo"}}, "target_type": "User"});
    let it = told("installation_target", renamed);
    assert!(matches!(&it, Event::InstallationChanged { change: InstallationChange::Renamed, installation }
        if installation.is_of("new")));
    let revoked = told("github_app_authorization", json!({"action": "revoked", "sender": {"id": 5, "login": "octo"}}));
    assert!(matches!(revoked, Event::AuthorizationRevoked { sender } if sender.login == "octo"));
    let other = told("installation", json!({"action": "polished", "installation": installation}));
    assert!(matches!(other, Event::Other { .. }));
    let wrong =
        parse("installation", json!({"action": "created", "installation": {"id": "77"}}).to_string().as_bytes());
    assert_eq!(wrong.unwrap_err().code(), "payload_malformed");
}
