//! Several credentials side by side: who is asked for what, and what happens when one is refused.

use secrecy::SecretString;

use super::{Hands, client_at, name};
use crate::config::github::Github;
use crate::domain::event::Account;
use crate::domain::ids::GithubId;
use crate::domain::sweep::Sight;
use crate::github::{Asked, GithubClient, GithubError};
use crate::simulator::{Simulator, SimulatorOptions};

struct Bed {
    simulator: Simulator,
    hands: Hands,
    client: GithubClient,
}

/// A GitHub that knows the tokens `one` and `two`.
fn bed() -> Bed {
    let simulator = Simulator::start(SimulatorOptions::default()).unwrap();
    let (github, hands) = (simulator.github(), Hands::new());
    for token in ["one", "two"] {
        github.add_token(token);
    }
    let config = Github {
        api_url: github.api_url().parse().unwrap(),
        git_url: github.git_url().parse().unwrap(),
        token: Some(SecretString::from("one")),
        tokens: vec![SecretString::from("two")],
        ..Github::default()
    };
    let client = client_at(&config, &hands);
    Bed { simulator, hands, client }
}

impl Bed {
    fn repository(&self, name: &str) -> GithubId {
        self.simulator.github().create_repository("octo", name).unwrap()
    }

    fn sent(&self) -> usize {
        let sent = self.simulator.github().requests().len();
        self.simulator.github().clear_requests();
        sent
    }

    fn asked(&self, id: GithubId, called: &str) -> Asked {
        use base64::Engine as _;
        let node_id = base64::engine::general_purpose::STANDARD_NO_PAD.encode(format!("sim{id}"));
        Asked { id, node_id: format!("R_{node_id}"), name: name(called) }
    }
}

#[tokio::test]
async fn a_refused_token_is_set_aside_and_tried_again_later() {
    let bed = bed();
    let id = bed.repository("hello");
    bed.simulator.github().revoke_token("one");
    bed.client.repository(id).await.unwrap();
    assert_eq!(bed.sent(), 2, "one is refused, two is taken");
    bed.client.repository(id).await.unwrap();
    assert_eq!(bed.sent(), 1, "one is not asked again");
    bed.hands.forward(601);
    bed.client.repository(id).await.unwrap();
    assert_eq!(bed.sent(), 2, "but after ten minutes");
    bed.simulator.github().add_token("one");
    bed.hands.forward(601);
    bed.client.repository(id).await.unwrap();
    assert_eq!(bed.sent(), 1);
    bed.simulator.github().revoke_token("one");
    bed.simulator.github().revoke_token("two");
    let error = bed.client.repository(id).await.unwrap_err();
    assert_eq!(error.code(), "github_unauthorized");
}

#[tokio::test]
async fn a_private_repository_is_read_with_the_token_that_sees_it() {
    let bed = bed();
    let id = bed.repository("inside");
    bed.simulator.github().set_private(id, true).unwrap();
    bed.simulator.github().hide_from("one", id);
    bed.client.repository(id).await.unwrap();
    assert_eq!(bed.sent(), 2);
    bed.client.repository(id).await.unwrap();
    bed.client.repository_named(&name("octo/inside")).await.unwrap();
    assert_eq!(bed.sent(), 2, "it is remembered who sees it");
    assert!(matches!(bed.client.upstreams(&[bed.asked(id, "octo/inside")]).await.unwrap()[0], Sight::Seen(_)));
    assert!(matches!(bed.client.repository(GithubId(1)).await, Err(GithubError::NotFound)));
}

#[tokio::test]
async fn an_owner_who_was_renamed_is_not_gone() {
    let bed = bed();
    let (id, github) = (bed.repository("inside"), bed.simulator.github());
    bed.client.repository_of(id, Some("octo")).await.unwrap();
    let owner = github.account("octo");
    github.set_private(id, true).unwrap();
    ["one", "two"].iter().for_each(|token| github.hide_from(token, id));
    github.rename_account(owner, "octopus").unwrap();
    assert_eq!(bed.client.repository_of(id, Some("octo")).await, Err(GithubError::NotFound));
    github.delete_account(owner);
    let gone = GithubError::OwnerGone("octo".to_owned());
    assert_eq!(bed.client.repository_of(id, Some("octo")).await, Err(gone));
}

#[tokio::test]
async fn what_a_refused_token_alone_may_see_is_not_gone() {
    let bed = bed();
    let id = bed.repository("inside");
    bed.simulator.github().set_private(id, true).unwrap();
    bed.simulator.github().hide_from("two", id);
    bed.simulator.github().revoke_token("one");
    for _ in 0..2 {
        let error = bed.client.repository(id).await.unwrap_err();
        assert_eq!((error.code(), error.is_gone()), ("github_unauthorized", false));
    }
}

#[tokio::test]
async fn git_goes_on_with_another_token() {
    use secrecy::ExposeSecret as _;
    let bed = bed();
    let hello = name("octo/hello");
    let first = bed.client.git_authorization(&hello).await.unwrap().unwrap();
    bed.client.git_authorization_refused(&hello);
    let second = bed.client.git_authorization(&hello).await.unwrap().unwrap();
    assert_ne!(first.expose_secret(), second.expose_secret());
}

#[tokio::test]
async fn the_list_of_stars_is_read_with_its_owners_token_or_not_at_all() {
    let bed = bed();
    let github = bed.simulator.github();
    let fan = Account { id: github.account("fan"), login: "fan".to_owned() };
    github.give_token("two", "fan");
    bed.client.newest_star(&fan, None).await.unwrap();
    let last = github.requests().last().unwrap().path.clone();
    assert_eq!(last, "/user/starred");
    github.revoke_token("two");
    let error = bed.client.newest_star(&fan, None).await.unwrap_err();
    assert_eq!(error.code(), "github_unauthorized", "what is private would be missing from another's list");
}

#[tokio::test]
async fn partial_data_under_errors_counts() {
    let bed = bed();
    let github = bed.simulator.github();
    let ids: Vec<_> = (0..4).map(|n| bed.repository(&format!("r{n}"))).collect();
    github.fail_node(ids[1], Some("NOT_FOUND"));
    github.fail_node(ids[2], Some("SOMETHING_WENT_WRONG"));
    github.fail_node(ids[3], None);
    let asked: Vec<_> = ids.iter().enumerate().map(|(n, id)| bed.asked(*id, &format!("octo/r{n}"))).collect();
    let sights = bed.client.upstreams(&asked).await.unwrap();
    assert!(matches!(&sights[0], Sight::Seen(it) if it.name.to_string() == "octo/r0"));
    assert_eq!(sights[1..], [Sight::Missing, Sight::Unanswered, Sight::Missing]);
}

#[tokio::test]
async fn one_that_spoils_a_hundred_is_found_and_the_others_are_told_of() {
    let bed = bed();
    let github = bed.simulator.github();
    let asked: Vec<_> = (0..130).map(|n| bed.asked(bed.repository(&format!("r{n}")), &format!("octo/r{n}"))).collect();
    github.spoil_answers_with(asked[40].id);
    bed.sent();
    let sights = bed.client.upstreams(&asked).await.unwrap();
    let unanswered: Vec<_> = (0..130).filter(|n| sights[*n] == Sight::Unanswered).collect();
    assert_eq!(unanswered, [40]);
    let sent = bed.sent();
    assert!(sent <= 16, "{sent} requests");
    assert!(sights.iter().enumerate().all(|(n, it)| n == 40 || matches!(it, Sight::Seen(_))));

    // Where each of them fails, it is GitHub that does.
    asked.iter().for_each(|it| github.spoil_answers_with(it.id));
    let error = bed.client.upstreams(&asked).await.unwrap_err();
    assert_eq!(error.code(), "github_graphql");
    let sent = bed.sent();
    assert!(sent <= 30, "{sent} requests");
}

#[tokio::test]
async fn hundreds_are_asked_for_at_once_and_a_limit_under_200_is_one() {
    let bed = bed();
    let github = bed.simulator.github();
    let asked: Vec<_> = (0..250).map(|n| bed.asked(bed.repository(&format!("r{n}")), &format!("octo/r{n}"))).collect();
    bed.client.upstreams(&asked).await.unwrap();
    assert_eq!(bed.sent(), 3);
    github.set_graphql_limit(5_000, 0, bed.hands.now().timestamp() + 100);
    let error = bed.client.upstreams(&asked).await.unwrap_err();
    assert_eq!(error.code(), "github_rate_limited");
    let sent = bed.sent();
    bed.client.upstreams(&asked).await.unwrap_err();
    assert!(bed.sent() <= sent, "each token waits by itself");
    bed.client.repository(asked[0].id).await.unwrap();
}
