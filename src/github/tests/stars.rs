//! Lists of stars: the look at the top, the pages, and what is odd about them.

use serde_json::{Value, json};

use super::{anonymous, client, repository, with_app, with_token};
use crate::canned::{Canned, Reply, Seen};
use crate::domain::event::Account;
use crate::domain::ids::{AccountId, GithubId};
use crate::domain::stars::{Mark, Star};
use crate::github::{GithubError, Starred};

fn fan() -> Account {
    Account { id: AccountId(5), login: "fan".to_owned() }
}

fn star(id: i64) -> Value {
    json!({"starred_at": format!("2026-01-01T00:00:{id:02}Z"), "repo": repository(id, &format!("octo/r{id}"))})
}

fn newest(id: i64, total: u64) -> Mark {
    let at = format!("2026-01-01T00:00:{id:02}Z").parse().unwrap();
    Mark { newest: Some(Star { repository: GithubId(id), at }), total }
}

#[tokio::test]
async fn the_top_of_the_list_tells_the_newest_and_how_many_there_are() {
    let server = Canned::start(|request: &Seen| {
        if request.header("if-none-match") == Some("\"e\"") {
            return Reply::new(304, "text/plain", "");
        }
        assert_eq!(request.header("accept"), Some("application/vnd.github.star+json"));
        let link = "<https://api.github.com/user/5/starred?per_page=1&page=2>; rel=\"next\", \
                    <https://api.github.com/user/5/starred?per_page=1&page=9000>; rel=\"last\"";
        let link = link.replace("https://api.github.com", &format!("http://{}", request.header("host").unwrap()));
        Reply::json(200, &json!([star(7)])).header("ETag", "\"e\"").header("Link", link)
    })
    .await;
    let client = client(&anonymous(&server));
    let seen = client.newest_star(&fan(), None).await.unwrap();
    let top = Starred::Top { mark: newest(7, 9000), etag: Some("\"e\"".to_owned()), owner: Some(AccountId(5)) };
    assert_eq!(seen, top);
    assert_eq!(server.lines(), ["GET /users/fan/starred?sort=created&direction=desc&per_page=1"]);
    assert_eq!(client.newest_star(&fan(), Some("\"e\"")).await.unwrap(), Starred::Unchanged { total: None });
}

#[tokio::test]
async fn without_links_there_is_one_star_or_none() {
    for (body, mark) in [(json!([]), Mark::default()), (json!([star(1)]), newest(1, 1))] {
        let server = Canned::start(move |_| Reply::json(200, &body)).await;
        let seen = client(&anonymous(&server)).newest_star(&fan(), None).await.unwrap();
        assert_eq!(seen, Starred::Top { mark, etag: None, owner: None });
    }
}

#[tokio::test]
async fn an_odd_entry_is_counted_and_loses_no_other() {
    let odd = [json!(null), json!({"repo": {}}), repository(3, "octo/r3"), star(2)];
    let server = Canned::start(move |_| Reply::json(200, &json!(odd))).await;
    let page = client(&anonymous(&server)).stars(&fan(), None).await.unwrap();
    assert_eq!((page.odd, page.entries.len()), (3, 1));
    assert_eq!((page.entries[0].star.repository, page.entries[0].name.clone()), (GithubId(2), "octo/r2".parse().ok()));
}

#[tokio::test]
async fn a_repository_whose_name_cannot_be_is_met_all_the_same() {
    let mut strange = star(2);
    strange["repo"]["name"] = json!("..");
    let server = Canned::start(move |_| Reply::json(200, &json!([strange]))).await;
    let page = client(&anonymous(&server)).stars(&fan(), None).await.unwrap();
    assert_eq!((page.odd, page.entries[0].star.repository, &page.entries[0].name), (0, GithubId(2), &None));
}

#[tokio::test]
async fn a_next_page_on_another_host_is_refused() {
    let server = Canned::start(|request: &Seen| match request.target.as_str() {
        "/user" => Reply::json(200, &json!({"id": 6, "login": "me"})),
        _ => Reply::json(200, &json!([star(1)])).header("Link", "<https://evil.example/x?page=2>; rel=\"next\""),
    })
    .await;
    let error = client(&with_token(&server)).stars(&fan(), None).await.unwrap_err();
    assert!(matches!(error, GithubError::RedirectElsewhere(_)), "{error}");
}

#[tokio::test]
async fn a_user_who_is_not_there_is_told_as_such() {
    let server = Canned::start(|_| Reply::json(404, &json!({"message": "Not Found"}))).await;
    let client = client(&anonymous(&server));
    for error in [client.account_named("fan").await.unwrap_err(), client.stars(&fan(), None).await.unwrap_err()] {
        assert_eq!(error.code(), "github_no_user");
        assert!(!error.is_gone(), "no mirror is gone because of that");
    }
}

#[tokio::test]
async fn the_tokens_own_user_is_asked_for_all_of_his_list() {
    for (id, path) in [(5, "/user/starred"), (6, "/users/fan/starred")] {
        let server = Canned::start(move |request: &Seen| match request.target.as_str() {
            "/user" => Reply::json(200, &json!({"id": id, "login": "me"})),
            _ => Reply::json(200, &json!([])),
        })
        .await;
        let client = client(&with_token(&server));
        client.stars(&fan(), None).await.unwrap();
        client.stars(&fan(), None).await.unwrap();
        assert_eq!(server.count("GET", path), 2);
        assert_eq!(server.lines().len(), 3, "who it is is asked once");
    }
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_of_a_list_is_replaced() {
    let mut minted = 0;
    let server = Canned::start(move |request: &Seen| match request.target.as_str() {
        "/app/installations?per_page=100" => Reply::json(200, &json!([{"id": 1, "account": {"login": "fan"}}])),
        "/app/installations/1/access_tokens" => {
            minted += 1;
            Reply::json(201, &json!({"token": format!("ghs_{minted}"), "expires_at": "2036-01-01T00:00:00Z"}))
        }
        target if target.contains("page=2") && request.header("authorization") == Some("Bearer ghs_1") => {
            Reply::json(401, &json!({"message": "Bad credentials"}))
        }
        target if target.contains("page=2") => Reply::json(200, &json!([star(1)])),
        _ => {
            let next = format!("<http://{}/user/5/starred?page=2>; rel=\"next\"", request.header("host").unwrap());
            Reply::json(200, &json!([star(2)])).header("Link", next)
        }
    })
    .await;
    let client = client(&with_app(&server));
    let first = client.stars(&fan(), None).await.unwrap();
    let second = client.stars(&fan(), first.next.as_ref()).await.unwrap();
    assert_eq!(second.entries[0].star.repository, GithubId(1));
    assert_eq!(server.count("POST", "access_tokens"), 2);
}
