//! The same client against the simulated GitHub: one state, read before and after it changes.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::{KEY, client, name};
use crate::config::github::Github;
use crate::github::{GithubClient, GithubError, Starred};
use crate::simulator::{Fault, On, Simulator, SimulatorOptions, Trigger};

fn start() -> Simulator {
    Simulator::start(SimulatorOptions::default()).unwrap()
}

fn anonymous(simulator: &Simulator) -> Github {
    let github = simulator.github();
    Github {
        api_url: Url::parse(&github.api_url()).unwrap(),
        git_url: Url::parse(&github.git_url()).unwrap(),
        ..Github::default()
    }
}

fn with_token(simulator: &Simulator) -> GithubClient {
    let token = Some(SecretString::from(simulator.github().token().to_owned()));
    client(&Github { token, ..anonymous(simulator) })
}

fn with_app(simulator: &Simulator) -> GithubClient {
    let app_id = u64::try_from(SimulatorOptions::default().app_id).ok();
    client(&Github { app_id, app_private_key: Some(SecretString::from(KEY)), ..anonymous(simulator) })
}

#[tokio::test]
async fn a_repository_is_followed_through_rename_and_transfer_and_its_old_name_may_go_to_another() {
    let simulator = start();
    let github = simulator.github();
    let client = client(&anonymous(&simulator));
    let id = github.create_repository("octo", "hello").unwrap();
    github.set_description(id, Some("Says hello")).unwrap();
    let found = client.repository_named(&name("Octo/Hello")).await.unwrap();
    assert_eq!((found.id, found.name.to_string().as_str()), (id, "octo/hello"));
    assert_eq!(found.description.as_deref(), Some("Says hello"));
    github.rename(id, "bye").unwrap();
    github.transfer(id, "acme").unwrap();
    for found in [client.repository_named(&name("octo/hello")).await, client.repository(id).await] {
        let found = found.unwrap();
        assert_eq!((found.id, found.name), (id, name("acme/bye")));
    }
    let other = github.create_repository("octo", "hello").unwrap();
    assert_eq!(client.repository_named(&name("octo/hello")).await.unwrap().id, other);
    assert_eq!(client.repository(id).await.unwrap().name, name("acme/bye"));
}

#[tokio::test]
async fn the_states_of_a_repository_are_told_apart() {
    let simulator = start();
    let github = simulator.github();
    let client = with_token(&simulator);
    let id = github.create_repository("octo", "hello").unwrap();
    github.set_archived(id, true).unwrap();
    github.set_disabled(id, true).unwrap();
    github.set_private(id, true).unwrap();
    let found = client.repository(id).await.unwrap();
    assert!(found.archived && found.disabled && found.private);
    github.block_451(id).unwrap();
    assert_eq!(client.repository(id).await, Err(GithubError::Unavailable { reason: "dmca".to_owned() }));
    github.block_tos(id).unwrap();
    assert_eq!(client.repository(id).await, Err(GithubError::Blocked { reason: "tos".to_owned() }));
    github.unblock(id).unwrap();
    github.revoke_token(github.token());
    assert_eq!(client.repository(id).await.unwrap_err().code(), "github_unauthorized");
    github.add_token(github.token());
    github.delete(id).unwrap();
    assert_eq!(client.repository(id).await, Err(GithubError::NotFound));
}

#[tokio::test]
async fn the_app_reads_private_repositories_and_outlives_its_tokens() {
    let simulator = start();
    let github = simulator.github();
    let id = github.create_repository("octo", "hello").unwrap();
    github.set_private(id, true).unwrap();
    let client = with_app(&simulator);
    let twenty = futures_util::future::join_all((0..20).map(|_| client.repository(id))).await;
    assert!(twenty.iter().all(Result::is_ok), "{twenty:?}");
    assert_eq!(github.mints(), 1);
    github.expire_installation_tokens();
    client.repository(id).await.unwrap();
    assert_eq!(github.mints(), 2);
    assert!(client.reachable().await.is_up());
    github.delete(id).unwrap();
    assert_eq!(client.repository(id).await, Err(GithubError::NotFound));
}

#[tokio::test]
async fn a_used_up_limit_is_waited_out_until_its_reset() {
    let simulator = start();
    let github = simulator.github();
    let id = github.create_repository("octo", "hello").unwrap();
    let client = with_token(&simulator);
    github.set_rate_limit(5000, 0, chrono::Utc::now().timestamp() + 100);
    let Err(GithubError::RateLimited { after }) = client.repository(id).await else { panic!("no limit") };
    // The server's clock is told in whole seconds, and it may keep one for a moment.
    assert!(after > Duration::from_secs(60) && after <= Duration::from_secs(103), "{after:?}");
    let asked = github.requests().len();
    client.repository(id).await.unwrap_err();
    assert_eq!(github.requests().len(), asked, "nothing is sent meanwhile");
}

#[tokio::test]
async fn a_fault_is_told_and_the_next_call_goes_through() {
    let simulator = start();
    let github = simulator.github();
    let id = github.create_repository("octo", "hello").unwrap();
    let client = client(&anonymous(&simulator));
    github.fail(Trigger::next(On::Any).path("/repositories/"), Fault::answer(500, "oops"));
    assert_eq!(client.repository(id).await.unwrap_err().code(), "github_server_error");
    client.repository(id).await.unwrap();
    github.go_down();
    assert_eq!(client.repository(id).await.unwrap_err().code(), "github_unreachable");
    github.come_back().unwrap();
    client.repository(id).await.unwrap();
}

#[tokio::test]
async fn the_stars_of_private_repositories_are_shown_to_their_owners_token_page_by_page() {
    let simulator = start();
    let github = simulator.github();
    github.give_token(github.token(), "fan");
    let ids: Vec<_> = (0..5).map(|n| github.create_repository("octo", &format!("r{n}")).unwrap()).collect();
    ids.iter().for_each(|id| drop(github.star("Fan", *id).unwrap()));
    github.set_private(ids[4], true).unwrap();
    github.set_largest_page(2);
    for (client, own) in [(with_token(&simulator), true), (client(&anonymous(&simulator)), false)] {
        let fan = client.account_named("fan").await.unwrap();
        let Starred::Top { mark, etag, .. } = client.newest_star(&fan, None).await.unwrap() else {
            panic!("unchanged")
        };
        let shown: Vec<_> = ids.iter().rev().copied().filter(|id| own || *id != ids[4]).collect();
        assert_eq!((mark.total, mark.newest.unwrap().repository), (shown.len() as u64, shown[0]));
        assert_eq!(client.newest_star(&fan, etag.as_deref()).await.unwrap(), Starred::Unchanged { total: None });
        let (mut met, mut from) = (Vec::new(), None);
        loop {
            let page = client.stars(&fan, from.as_ref()).await.unwrap();
            met.extend(page.entries.iter().map(|it| it.star.repository));
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        assert_eq!(met, shown);
        let asked = github.requests().iter().filter(|it| it.path == "/user/starred").count();
        assert_eq!(asked > 0, own);
        github.clear_requests();
    }
}
