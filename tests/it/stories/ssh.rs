//! Git by SSH on one side or both: the same mirrors, and nothing without the right keys.

use secrecy::SecretString;
use starkeep::config::ssh::SshKeys;
use starkeep::domain::ids::GithubId;
use starkeep::domain::kept::Reason;
use starkeep::domain::mirror::Status;
use starkeep::simulator::{Fault, On, SshDoor, Trigger};

use super::tools::{MAIN, assert_whole, world};
use super::unusual::{big_blob, is_long};
use crate::process::starkeep;
use crate::world::{World, on_both};

fn keys(door: &SshDoor) -> SshKeys {
    let key = Some(SecretString::from(door.client_key().unwrap()));
    SshKeys { key, passphrase: None, host_keys: vec![door.fingerprint().parse().unwrap()] }
}

fn github_by_ssh(world: &mut World) -> SshDoor {
    let door = world.github().open_ssh().unwrap();
    world.config.github.git_url = door.url().parse().unwrap();
    world.config.github.ssh = keys(&door);
    door
}

fn onedev_by_ssh(world: &mut World) -> SshDoor {
    let door = world.onedev().open_ssh().unwrap();
    world.config.onedev.ssh_url = Some(door.url().parse().unwrap());
    world.config.onedev.ssh = keys(&door);
    door
}

fn by_ssh(world: &mut World) -> [SshDoor; 2] {
    [github_by_ssh(world), onedev_by_ssh(world)]
}

/// No git went by HTTP.
fn assert_only_ssh(world: &World) {
    let requests = world.github().requests().into_iter().chain(world.onedev().requests());
    let git: Vec<String> = requests
        .filter(|it| it.method != "SSH" && (it.path.ends_with("-pack") || it.path.ends_with("info/refs")))
        .map(|it| it.line())
        .collect();
    assert!(git.is_empty(), "{git:?}");
}

on_both! {
    async fn a_mirror_by_ssh_on_both_sides_ends_healthy_and_a_force_push_is_kept(world: World) {
        let mut world = world;
        let _doors = by_ssh(&mut world);
        let id = world.repository("octo", "hello");
        world.github().commit(id, "topic", "TOPIC", "one").unwrap();
        world.github().annotated_tag(id, "v1", world.tip(id, MAIN)).unwrap();
        world.star(id).await;
        world.assert_healthy(id).await;
        let old = world.tip(id, "refs/heads/topic");
        world.github().force_branch(id, "topic").unwrap();
        world.github().commit(id, "main", "README", "two").unwrap();
        world.pushed(id).await;
        world.assert_healthy(id).await;
        world.assert_keeps(id, &[("refs/heads/topic", old, Reason::Overwritten)]).await;
        assert_only_ssh(&world);
        assert_whole(&world, &world.path(id).await);
        world.end().await;
    }
}

/// An SSH connection changes its keys after a gigabyte.
#[actix::test]
async fn a_pack_of_48_mb_or_1300_mb_passes_by_ssh() {
    let mut world = world();
    let doors = by_ssh(&mut world);
    let bytes = if is_long() { 1_300 << 20 } else { 48 << 20 };
    let id = world.github().create_repository("octo", "large").unwrap();
    big_blob(&world.github().repo_dir(id).unwrap(), bytes);
    world.star(id).await;
    world.assert_healthy(id).await;
    assert!(doors.iter().all(|it| it.connections() > 0));
    assert_only_ssh(&world);
    assert_whole(&world, &world.path(id).await);
    world.end().await;
}

#[actix::test]
async fn either_side_alone_may_be_reached_by_ssh() {
    for side in [github_by_ssh, onedev_by_ssh] {
        let mut world = world();
        let door = side(&mut world);
        let id = world.repository("octo", "hello");
        world.star(id).await;
        world.github().commit(id, "main", "README", "two").unwrap();
        world.pushed(id).await;
        world.assert_healthy(id).await;
        assert!(door.connections() > 0);
        world.end().await;
    }
}

#[actix::test]
async fn a_repository_that_was_renamed_is_found_by_its_old_name_and_described() {
    let mut world = world();
    let _doors = by_ssh(&mut world);
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.github().rename(id, "world").unwrap();
    world.github().commit(id, "main", "README", "two").unwrap();
    world.check(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.mirror(id).await.name.to_string(), "octo/world");
    world.end().await;
}

#[actix::test]
async fn a_changed_host_key_is_refused_and_nothing_is_pushed() {
    for code in ["upstream_host_key", "onedev_host_key"] {
        let mut world = world();
        let doors = by_ssh(&mut world);
        let id = world.repository("octo", "hello");
        world.star(id).await;
        let before = world.refs(id).await;
        let door = &doors[usize::from(code != "upstream_host_key")];
        door.change_host_key().unwrap();
        world.github().commit(id, "main", "README", "two").unwrap();
        world.pushed(id).await;
        let error = world.mirror(id).await.error.unwrap();
        assert_eq!(error.code, code, "{error:?}");
        assert!(error.message.contains(&door.fingerprint()), "{error:?}");
        assert_eq!(world.refs(id).await, before);
        // The admin looks, and pins the new one.
        world.stop().await;
        world.config.github.ssh = keys(&doors[0]);
        world.config.onedev.ssh = keys(&doors[1]);
        world.start().await;
        world.sync(id).await;
        world.assert_healthy(id).await;
        world.end().await;
    }
}

async fn cut(world: &World, id: GithubId) {
    let before = world.refs(id).await;
    world.github().fail(Trigger::next(On::FETCH).body("thin-pack").times(2), Fault::CutResponse { after: 60_000 });
    world.github().commit(id, "main", "NOISE", &World::noise(200_000)).unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_ne!(world.refs(id).await, before);
    world.onedev().fail(Trigger::next(On::PUSH), Fault::CutRequest { after: 100 });
    world.github().commit(id, "main", "NOISE", &World::noise(200_001)).unwrap();
    world.pushed(id).await;
}

#[actix::test]
async fn a_connection_that_breaks_in_the_middle_of_a_pack_is_made_up_for() {
    let mut world = world();
    let _doors = by_ssh(&mut world);
    let id = world.repository("octo", "hello");
    world.star(id).await;
    cut(&world, id).await;
    world.assert_healthy(id).await;
    let errors: Vec<String> = world.syncs(id).await.into_iter().filter_map(|it| it.work.error).map(|it| it.0).collect();
    for code in ["upstream_unreachable", "onedev_unreachable"] {
        assert!(errors.iter().any(|it| it == code), "{errors:?}");
    }
    assert_whole(&world, &world.path(id).await);
    world.end().await;
}

#[actix::test]
async fn a_project_that_vanished_is_not_made_by_the_start_of_a_push() {
    let mut world = world();
    let _door = onedev_by_ssh(&mut world);
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let path = world.path(id).await;
    world.onedev().delete_project(&path).unwrap();
    world.github().commit(id, "main", "README", "two").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    // It was made by REST, with the settings of a mirror.
    assert!(!world.onedev().project(&path).unwrap().issue_management);
    world.end().await;
}

#[actix::test]
async fn a_key_that_the_server_does_not_know_is_told_and_no_key_is_ever_seen() {
    let mut world = world();
    let doors = by_ssh(&mut world);
    let secrets: Vec<String> = doors
        .iter()
        .flat_map(|it| it.client_key().unwrap().lines().skip(1).take(4).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let id = world.repository("octo", "hello");
    let mut seen = String::new();
    for told in ["healthy", "SSH key SHA256:"] {
        let mut command = starkeep(&world.config, world.folder.path());
        command.env("STARKEEP__LOG__LEVEL", "debug");
        for (section, door) in ["GITHUB", "ONEDEV"].iter().zip(&doors) {
            command.env(format!("STARKEEP__{section}__SSH_KEY"), door.client_key().unwrap());
            command.env(format!("STARKEEP__{section}__SSH_HOST_KEYS"), door.fingerprint());
        }
        command.env("STARKEEP__ONEDEV__SSH_URL", doors[1].url());
        let output = command.args(["mirror", "octo/hello"]).output().unwrap();
        let text = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
        assert!(text.contains(told), "{text}");
        seen.push_str(&text);
        for door in &doors {
            door.forget_clients();
        }
        world.github().commit(id, "main", "README", "two").unwrap();
    }
    for secret in secrets {
        assert!(!seen.contains(&secret), "a line of a key was seen");
    }
}

#[actix::test]
async fn keys_that_cannot_be_used_are_told_with_where_they_came_from() {
    let world = world();
    let path = world.folder.path().join("key");
    std::fs::write(&path, "-----BEGIN OPENSSH PRIVATE KEY-----\nbm90IGEga2V5\n-----END OPENSSH PRIVATE KEY-----\n")
        .unwrap();
    let mut command = starkeep(&world.config, world.folder.path());
    command.env("STARKEEP__GITHUB__GIT_URL", "ssh://git@github.com").env("STARKEEP__GITHUB__SSH_KEY", "file:key");
    command.env("STARKEEP__ONEDEV__SSH_HOST_KEYS", "SHA256:short");
    let output = command.args(["config", "check"]).output().unwrap();
    let text = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for told in [
        "github.ssh_key (environment variable STARKEEP__GITHUB__SSH_KEY): is no private key",
        "github.ssh_host_keys",
        "onedev.ssh_host_keys (environment variable STARKEEP__ONEDEV__SSH_HOST_KEYS): `SHA256:short`",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!text.contains("bm90IGEga2V5"));
}

#[actix::test]
async fn a_server_that_is_away_is_waited_for() {
    let mut world = world();
    let door = github_by_ssh(&mut world);
    let id = world.repository("octo", "hello");
    world.star(id).await;
    drop(door);
    world.github().commit(id, "main", "README", "two").unwrap();
    world.pushed(id).await;
    let mirror = world.mirror(id).await;
    assert_eq!((mirror.status, mirror.error.unwrap().code.as_str()), (Status::Error, "upstream_unreachable"));
    let job = world.waiting().await;
    assert!(job.attempts < 3, "what is away is no fault of the job: {job:?}");
    assert_eq!(world.app().metrics.server_away.with_label_values(&["github_git"]).get(), 1);
    world.stop().await;
}
