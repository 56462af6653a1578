//! Where mirrors live, told by the simulated OneDev: made, found again, never taken from others, and
//! taken back. The token is the right one for a mirror: Project Owner of the root and nothing else.

use secrecy::SecretString;
use url::Url;

use super::{config, path};
use crate::config::onedev::{OnConflict, Onedev, Visibility};
use crate::domain::ids::{GithubId, ProjectId};
use crate::domain::naming::{Naming, ProjectPath};
use crate::onedev::projects::{Conflict, Destination, Known, Placement, Removal, Settings, Wanted};
use crate::onedev::projects::{create, destination, locate, relocate, remove_if_empty, settle};
use crate::onedev::{Ancestry, OnedevClient, OnedevError};
use crate::simulator::{Fault, On, OneDevSimulator, Phase, Simulator, SimulatorOptions, Trigger};
use crate::telemetry::metrics::Metrics;

const HELLO: &str = "github/octo/hello";

struct Story {
    simulator: Simulator,
    token: String,
    client: OnedevClient,
}

impl Story {
    /// A OneDev whose administrator has made the root and a token for it.
    fn new() -> Self {
        let simulator = Simulator::start(SimulatorOptions::default()).unwrap();
        simulator.onedev().create_project("github").unwrap();
        let token = simulator.onedev().scoped_token("github").unwrap();
        let client = connect(&simulator, &token, "github");
        Self { simulator, token, client }
    }

    /// Another process, which has not heard that OneDev is away.
    fn start_again(&mut self) {
        self.client = connect(&self.simulator, &self.token, "github");
    }

    fn onedev(&self) -> &OneDevSimulator {
        self.simulator.onedev()
    }

    /// A client with all the rights of the administrator.
    fn admin(&self) -> OnedevClient {
        connect(&self.simulator, self.onedev().admin_token(), "github")
    }

    fn paths(&self) -> Vec<String> {
        let mut paths: Vec<_> = self.onedev().projects().into_iter().map(|it| it.path).collect();
        paths.sort();
        paths
    }

    fn writes(&self) -> Vec<String> {
        let all = self.onedev().requests().into_iter().map(|it| it.line());
        all.filter(|it| !it.starts_with("GET")).collect()
    }

    async fn locate(&self, on_conflict: OnConflict, known: &Known) -> Result<Placement, OnedevError> {
        let naming = Naming::parse("{owner}/{name}", "github").unwrap();
        let wanted = Wanted::new(&naming, &"octo/hello".parse().unwrap(), None, GithubId(7), on_conflict);
        self.onedev().clear_requests();
        let placement = locate(&self.client, &wanted, known).await;
        assert_eq!(self.writes(), Vec::<String>::new(), "looking writes nothing");
        placement
    }
}

fn connect(simulator: &Simulator, token: &str, root: &str) -> OnedevClient {
    let url = Url::parse(&simulator.onedev().url()).unwrap();
    let token = Some(SecretString::from(token.to_owned()));
    let config = Onedev { token, root: root.to_owned(), ..config(&url) };
    OnedevClient::new(&config, &Metrics::new().unwrap()).unwrap()
}

fn remembered(id: i64, path: &str) -> Known {
    Known { project: Some((ProjectId(id), path.to_owned())), intended: None }
}

fn intended(at: &str) -> Known {
    Known { project: None, intended: Some(path(at)) }
}

fn create_at(placement: &Result<Placement, OnedevError>) -> Option<&ProjectPath> {
    match placement {
        Ok(Placement::Create(path)) => Some(path),
        _ => None,
    }
}

#[tokio::test]
async fn a_mirror_is_made_with_its_owner_and_found_again_by_what_is_remembered() {
    let story = Story::new();
    story.client.check().await.unwrap();
    let placement = story.locate(OnConflict::Suffix, &Known::default()).await;
    assert_eq!(create_at(&placement), Some(&path(HELLO)));
    let created = create(&story.client, &path(HELLO), Some(" Says hello ")).await.unwrap();
    assert!(created.made);
    assert_eq!(story.paths(), ["github", "github/octo", HELLO]);
    let made = story.onedev().project(HELLO).unwrap();
    assert_eq!(made.description.as_deref(), Some("Says hello"));
    assert!(!made.issue_management && !made.pack_management && made.code_management);
    assert!(!story.onedev().project("github/octo").unwrap().issue_management);
    let again = create(&story.client, &path("github/OCTO/Hello"), None).await.unwrap();
    assert!(!again.made && again.project.id == created.project.id, "a repeat changes nothing");
    assert_eq!(story.onedev().project(HELLO).unwrap(), made);
    story.onedev().commit(HELLO, "main", "README", "hello").unwrap();
    let found = story.locate(OnConflict::Suffix, &remembered(made.id, "GitHub/octo/hello")).await;
    assert!(matches!(found, Ok(Placement::Ours(it)) if it.id == created.project.id));
}

#[tokio::test]
async fn eight_at_once_make_one_project() {
    let story = Story::new();
    let hello = path(HELLO);
    let all = futures_util::future::join_all((0..8).map(|_| create(&story.client, &hello, None))).await;
    let ids: Vec<_> = all.into_iter().map(|it| it.unwrap()).map(|it| (it.project.id, it.made)).collect();
    assert!(ids.iter().all(|(id, _)| *id == ids[0].0), "{ids:?}");
    assert_eq!(ids.iter().filter(|(_, made)| *made).count(), 1, "{ids:?}");
    assert_eq!(story.paths(), ["github", "github/octo", HELLO]);
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_is_found() {
    let story = Story::new();
    story.onedev().create_project("github/octo").unwrap();
    let creation = || Trigger::next(On::Rest).method("POST").path("/~api/projects");
    story.onedev().fail(creation(), Fault::CutResponse { after: 0 });
    let created = create(&story.client, &path(HELLO), None).await;
    assert_eq!(story.paths(), ["github", "github/octo", HELLO]);
    assert!(!created.unwrap().made);
    story.onedev().fail(creation(), Fault::answer(500, "could not execute statement"));
    let error = create(&story.client, &path("github/octo/other"), None).await.unwrap_err();
    assert_eq!(error.code(), "onedev_server_error", "not there after all: tried again later");
}

#[tokio::test]
async fn a_missing_root_is_made_by_who_may_and_asked_for_by_who_may_not() {
    let simulator = Simulator::start(SimulatorOptions::default()).unwrap();
    let onedev = simulator.onedev();
    onedev.create_project("elsewhere").unwrap();
    let scoped = connect(&simulator, &onedev.scoped_token("elsewhere").unwrap(), "mirrors/github");
    let hello = path("mirrors/github/octo/hello");
    let error = create(&scoped, &hello, None).await.unwrap_err();
    assert_eq!(error.code(), "onedev_config");
    let text = error.to_string();
    assert!(text.contains("`mirrors`") && text.contains("Project Owner"), "{text}");
    let admin = connect(&simulator, onedev.admin_token(), "mirrors/github");
    create(&admin, &hello, None).await.unwrap();
    assert_eq!(onedev.project("mirrors/github/octo").unwrap().parent, onedev.project("mirrors/github").map(|it| it.id));
}

#[tokio::test]
async fn nothing_is_made_outside_the_root() {
    let story = Story::new();
    for outside in ["other/octo/hello", "github", "github2/x"] {
        let error = create(&story.admin(), &path(outside), None).await.unwrap_err();
        assert_eq!(error.code(), "onedev_guarded", "{outside}");
    }
    assert_eq!(story.paths(), ["github"]);
}

#[tokio::test]
async fn an_unrelated_project_is_never_touched() {
    let story = Story::new();
    let other = ProjectId(story.onedev().create_project(HELLO).unwrap());
    story.onedev().commit(HELLO, "main", "README", "somebody's work").unwrap();
    for known in [Known::default(), intended(HELLO)] {
        let placement = story.locate(OnConflict::Suffix, &known).await;
        assert_eq!(create_at(&placement), Some(&path("github/octo/hello-gh7")));
        let placement = story.locate(OnConflict::Fail, &known).await;
        assert_eq!(placement, Ok(Placement::Conflict(Conflict { path: path(HELLO), project: other })));
        let placement = story.locate(OnConflict::Adopt, &known).await;
        assert!(matches!(placement, Ok(Placement::Adopt(it)) if it.id == other));
    }
    let error = create(&story.client, &path(HELLO), None).await.unwrap_err();
    assert_eq!(error.code(), "onedev_conflict");
    let suffixed = ProjectId(story.onedev().create_project("github/octo/hello-gh7").unwrap());
    let placement = story.locate(OnConflict::Suffix, &Known::default()).await;
    let Ok(Placement::Conflict(conflict)) = placement else { panic!("{placement:?}") };
    assert_eq!(conflict.project, suffixed);
    assert!(OnedevError::from(conflict).to_string().contains("github/octo/hello-gh7 is another project"));
}

#[tokio::test]
async fn an_empty_project_is_ours_only_where_we_meant_to_make_one() {
    let story = Story::new();
    let id = ProjectId(story.onedev().create_project(HELLO).unwrap());
    assert!(matches!(story.locate(OnConflict::Suffix, &intended("github/Octo/hello")).await,
        Ok(Placement::Ours(it)) if it.id == id));
    let placement = story.locate(OnConflict::Suffix, &Known::default()).await;
    assert_eq!(create_at(&placement), Some(&path("github/octo/hello-gh7")), "somebody's empty project");
    let placement = story.locate(OnConflict::Suffix, &intended("github/octo/hello-gh7")).await;
    assert_eq!(create_at(&placement), Some(&path("github/octo/hello-gh7")), "meant, and not made yet");
}

#[tokio::test]
async fn an_id_that_was_given_to_another_project_is_not_believed() {
    let story = Story::new();
    let id = story.onedev().create_project(HELLO).unwrap();
    story.onedev().delete_project(HELLO).unwrap();
    story.onedev().restart().unwrap();
    let other = story.onedev().create_project("private").unwrap();
    assert_eq!(other, id, "the simulator gives ids again, as OneDev does");
    let placement = story.locate(OnConflict::Suffix, &remembered(id, HELLO)).await;
    assert_eq!(create_at(&placement), Some(&path(HELLO)), "outside what the token may see");
    story.onedev().delete_project("private").unwrap();
    story.onedev().restart().unwrap();
    assert_eq!(story.onedev().create_project("github/octo/other").unwrap(), id);
    let placement = story.locate(OnConflict::Suffix, &remembered(id, HELLO)).await;
    assert_eq!(create_at(&placement), Some(&path(HELLO)), "another mirror's place");
}

#[tokio::test]
async fn a_project_that_was_moved_by_hand_is_not_followed() {
    let story = Story::new();
    let created = create(&story.client, &path(HELLO), None).await.unwrap().project;
    let mut moved = created.clone();
    moved.name = "renamed".to_owned();
    story.client.update_project(&moved).await.unwrap();
    let known = remembered(created.id.0, HELLO);
    assert_eq!(create_at(&story.locate(OnConflict::Suffix, &known).await), Some(&path(HELLO)));
    let error = story.client.delete_project(created.id, &path(HELLO)).await.unwrap_err();
    assert_eq!(error.code(), "onedev_guarded");
    let gone = remove_if_empty(&story.client, created.id, &path(HELLO)).await;
    assert_eq!(gone, Ok(Removal::Absent));
    assert_eq!(story.paths(), ["github", "github/octo", "github/octo/renamed"]);
}

#[tokio::test]
async fn a_booting_server_has_no_say_in_where_a_mirror_goes() {
    let mut story = Story::new();
    let created = create(&story.client, &path(HELLO), None).await.unwrap().project;
    let known = remembered(created.id.0, HELLO);
    story.onedev().set_phase(Phase::Booting);
    for known in [&known, &Known::default(), &intended(HELLO)] {
        story.start_again();
        let error = story.locate(OnConflict::Suffix, known).await.unwrap_err();
        assert_eq!(error.code(), "onedev_booting");
    }
    assert_eq!(create(&story.client, &path(HELLO), None).await.unwrap_err().code(), "onedev_booting");
    assert_eq!(story.client.ready().await.unwrap_err().code(), "onedev_booting");
    story.start_again();
    story.onedev().go_down();
    assert_eq!(story.locate(OnConflict::Suffix, &known).await.unwrap_err().code(), "onedev_unreachable");
    story.onedev().come_back().unwrap();
    story.onedev().set_phase(Phase::Ready);
    story.start_again();
    assert!(matches!(story.locate(OnConflict::Suffix, &known).await, Ok(Placement::Ours(_))));
}

#[tokio::test]
async fn only_an_empty_project_in_its_place_is_taken_back() {
    let story = Story::new();
    let remove = async |id, at: &str| remove_if_empty(&story.client, id, &path(at)).await;
    let id = create(&story.client, &path(HELLO), None).await.unwrap().project.id;
    story.onedev().commit(HELLO, "topic", "README", "hello").unwrap();
    assert_eq!(remove(id, HELLO).await, Ok(Removal::NotEmpty));
    story.onedev().delete_ref(HELLO, "refs/heads/topic").unwrap();
    story.onedev().create_project("github/octo/hello/child").unwrap();
    assert_eq!(remove(id, HELLO).await, Ok(Removal::NotEmpty));
    story.onedev().delete_project("github/octo/hello/child").unwrap();
    assert_eq!(remove(id, "github/octo/other").await, Ok(Removal::Absent));
    assert_eq!(remove(id, HELLO).await, Ok(Removal::Removed));
    assert_eq!(remove(id, HELLO).await, Ok(Removal::Absent));
    assert_eq!(story.paths(), ["github", "github/octo"], "and only that");
}

#[tokio::test]
async fn the_root_and_what_holds_others_cannot_be_deleted() {
    let story = Story::new();
    create(&story.client, &path(HELLO), None).await.unwrap();
    let admin = story.admin();
    for at in ["github", "github/octo"] {
        let id = ProjectId(story.onedev().project(at).unwrap().id);
        for client in [&story.client, &admin] {
            assert_eq!(client.delete_project(id, &path(at)).await.unwrap_err().code(), "onedev_guarded", "{at}");
        }
    }
    let above = connect(&story.simulator, story.onedev().admin_token(), "github/octo");
    let github = ProjectId(story.onedev().project("github").unwrap().id);
    assert_eq!(above.delete_project(github, &path("github")).await.unwrap_err().code(), "onedev_guarded");
    assert_eq!(story.paths().len(), 3);
    let hello = ProjectId(story.onedev().project(HELLO).unwrap().id);
    assert_eq!(story.client.delete_project(hello, &path(HELLO)).await, Ok(true));
    assert_eq!(story.client.delete_project(hello, &path(HELLO)).await, Ok(false));
}

#[tokio::test]
async fn settings_are_brought_level_and_all_else_stays() {
    let story = Story::new();
    let created = create(&story.client, &path(HELLO), Some("old")).await.unwrap().project;
    let emoji = "🦀".repeat(8000);
    let public = Settings { description: Some(&emoji), visibility: Visibility::Upstream, upstream_private: false };
    assert_eq!(settle(&story.client, &created, &public).await, Ok(true));
    let now = story.onedev().project(HELLO).unwrap();
    assert_eq!(now.description.map(|it| it.chars().count()), Some(7500));
    assert_eq!((now.parent, now.path.as_str(), now.base_roles), (created.parent_id.map(|it| it.0), HELLO, vec![4]));
    let fresh = story.client.project(created.id).await.unwrap().unwrap();
    story.onedev().clear_requests();
    assert_eq!(settle(&story.client, &fresh, &public).await, Ok(false));
    assert_eq!(story.writes(), Vec::<String>::new());
    let hidden = Settings { description: Some(" "), upstream_private: true, ..public };
    assert_eq!(settle(&story.client, &fresh, &hidden).await, Ok(true));
    let now = story.onedev().project(HELLO).unwrap();
    assert_eq!((now.description, now.base_roles), (None, Vec::<i64>::new()));
}

#[tokio::test]
async fn commits_branches_and_ancestry_are_told_by_rest() {
    let story = Story::new();
    let id = create(&story.client, &path(HELLO), None).await.unwrap().project.id;
    let client = &story.client;
    assert_eq!(client.default_branch(id).await, Ok(None));
    assert_eq!(client.looks_empty(id).await, Ok(true));
    let first = story.onedev().commit(HELLO, "trunk", "README", "one").unwrap();
    let second = story.onedev().commit(HELLO, "trunk", "README", "two").unwrap();
    assert_eq!(client.looks_empty(id).await, Ok(false));
    assert_eq!(client.ancestry(id, first, second).await, Ok(Ancestry::Ancestor));
    assert_eq!(client.ancestry(id, first, first).await, Ok(Ancestry::Ancestor));
    assert_eq!(client.ancestry(id, second, first).await, Ok(Ancestry::NotAncestor));
    assert_eq!(client.ancestry(id, super::oid('a'), first).await, Ok(Ancestry::Missing));
    assert_eq!(client.commit_exists(id, first).await, Ok(true));
    assert_eq!(client.commit_exists(id, super::oid('a')).await, Ok(false));
    client.create_branch(id, "a+b/c", first).await.unwrap();
    assert_eq!(client.branch(id, "a+b/c").await, Ok(Some(first)));
    assert_eq!(client.create_branch(id, "a+b/c", first).await.unwrap_err().code(), "onedev_rejected");
    assert_eq!(client.create_branch(id, "x", super::oid('a')).await.unwrap_err().code(), "onedev_not_found");
    client.set_default_branch(id, "a+b/c").await.unwrap();
    assert_eq!(client.default_branch(id).await, Ok(Some("a+b/c".to_owned())));
    assert_eq!(client.set_default_branch(id, "none").await.unwrap_err().code(), "onedev_not_found");
    client.set_default_branch(id, "trunk").await.unwrap();
    assert_eq!(client.delete_branch(id, "a+b/c").await, Ok(true));
    assert_eq!(client.delete_branch(id, "a+b/c").await, Ok(false));
    assert_eq!(client.branches(id).await, Ok(vec!["trunk".to_owned()]));
}

#[tokio::test]
async fn a_token_that_was_revoked_is_told_as_such() {
    let story = Story::new();
    let token = story.onedev().scoped_token("github").unwrap();
    let client = connect(&story.simulator, &token, "github");
    story.onedev().revoke_token(&token);
    assert_eq!(client.check().await.unwrap_err().code(), "onedev_unauthorized");
    assert_eq!(client.project_id(&path(HELLO)).await.unwrap_err().code(), "onedev_unauthorized");
}

fn wanted(name: &str, on_conflict: OnConflict) -> Wanted {
    Wanted::new(
        &Naming::parse("{owner}/{name}", "github").unwrap(),
        &name.parse().unwrap(),
        None,
        GithubId(7),
        on_conflict,
    )
}

#[tokio::test]
async fn a_project_is_sent_where_its_name_puts_it_and_never_onto_another() {
    let story = Story::new();
    let hello = create(&story.client, &path(HELLO), None).await.unwrap().project;
    story.onedev().clear_requests();
    let place = |name: &'static str, policy| {
        let (client, hello) = (story.client.clone(), hello.clone());
        async move { destination(&client, &hello, &wanted(name, policy)).await.unwrap() }
    };
    let go = |to: &str| Destination::Go(path(to));
    assert_eq!(place("octo/hello", OnConflict::Suffix).await, Destination::Here);
    assert_eq!(place("Octo/Hello", OnConflict::Suffix).await, go("github/octo/Hello"));
    assert!(story.onedev().requests().is_empty(), "one at its place costs nothing");
    assert_eq!(place("acme/bye", OnConflict::Suffix).await, go("github/acme/bye"));
    let first = story.onedev().create_project("github/acme/bye").unwrap();
    for policy in [OnConflict::Suffix, OnConflict::Adopt] {
        assert_eq!(place("acme/bye", policy).await, go("github/acme/bye-gh7"));
    }
    let conflict = |at: &str, id| Destination::Conflict(Conflict { path: path(at), project: ProjectId(id) });
    assert_eq!(place("acme/bye", OnConflict::Fail).await, conflict("github/acme/bye", first));
    let second = story.onedev().create_project("github/acme/bye-gh7").unwrap();
    assert_eq!(place("acme/bye", OnConflict::Suffix).await, conflict("github/acme/bye-gh7", second));
    let below = Naming::parse("octo/hello/{owner}/{name}", "github").unwrap();
    let below = Wanted::new(&below, &"octo/hello".parse().unwrap(), None, GithubId(7), OnConflict::Suffix);
    assert_eq!(destination(&story.client, &hello, &below).await.unwrap(), Destination::Here, "not into itself");
    let text = story.writes();
    assert_eq!(text, Vec::<String>::new(), "looking writes nothing");
}

#[tokio::test]
async fn a_move_keeps_everything_and_is_the_same_when_it_is_repeated() {
    let story = Story::new();
    let made = create(&story.client, &path(HELLO), Some("says hello")).await.unwrap().project;
    story.onedev().create_project("github/octo/hello/wiki").unwrap();
    let tip = story.onedev().commit(HELLO, "main", "README", "hello").unwrap();
    let to = path("github/acme/bye");
    for _ in 0..2 {
        let moved = relocate(&story.client, &made, &to).await.unwrap();
        assert_eq!(
            (moved.id, moved.path.as_str(), moved.description.as_deref()),
            (made.id, to.as_str(), Some("says hello"))
        );
    }
    assert_eq!(story.paths(), ["github", "github/acme", "github/acme/bye", "github/acme/bye/wiki", "github/octo"]);
    assert!(story.onedev().refs(to.as_str()).unwrap().values().any(|it| *it == tip));
    // Remembered at the old path, it is found where it was about to go, and nowhere else.
    let known =
        |intended: Option<&str>| Known { project: Some((made.id, HELLO.to_owned())), intended: intended.map(path) };
    let found = story.locate(OnConflict::Suffix, &known(Some("github/acme/bye"))).await;
    assert!(matches!(found, Ok(Placement::Ours(it)) if it.id == made.id));
    let lost = story.locate(OnConflict::Suffix, &known(Some(HELLO))).await;
    assert_eq!(create_at(&lost), Some(&path(HELLO)));
    story.onedev().create_project("github/acme/other").unwrap();
    let moved = story.client.project(made.id).await.unwrap().unwrap();
    let error = relocate(&story.client, &moved, &path("github/acme/other")).await.unwrap_err();
    assert_eq!(error.code(), "onedev_conflict");
    let error = relocate(&story.client, &moved, &path("elsewhere/bye")).await.unwrap_err();
    assert_eq!(error.code(), "onedev_guarded");
}
