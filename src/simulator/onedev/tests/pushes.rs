//! Pushes by the real git client, and what the hooks make of them.

use std::time::Duration;

use futures_util::StreamExt as _;

use super::{Story, born};
use crate::domain::refs::{Head, RefName};
use crate::simulator::testing::git_in;
use crate::simulator::{Fault, Hold, On, SimulatorOptions, Trigger};

const CURL: &str = "remote: curl: (22) The requested URL returned error: 500";
const DECLINED: &str = "(pre-receive hook declined)";

fn story() -> Story {
    let story = Story::new();
    for path in ["g1", "g2", "g3"] {
        story.onedev().create_project(path).unwrap();
    }
    story
}

#[test]
fn a_mirror_push_puts_every_namespace() {
    let story = story();
    for name in ["refs/notes/x", "refs/pull/1/head", "refs/pulls/7/head", "refs/starkeep/kept/a", "refs/onedev/tod"] {
        story.client.done(&["update-ref", name, "trunk"]);
    }
    let said = story.push("G1.git", &["--mirror"]);
    assert!(said.ok, "{}", said.err);
    assert_eq!(story.ref_names("g1").len(), 6);
    assert_eq!(story.onedev().head("g1").unwrap(), born("trunk"));
    let said = story.client.git(&["ls-remote", &story.url("not/yet")]);
    assert!(said.err.contains("remote: Project not found or inaccessible: not/yet"), "{}", said.err);
}

#[test]
fn a_project_whose_name_needs_escapes_is_out_of_gits_reach() {
    let story = story();
    for (name, path) in [("bad name", "bad%20name"), ("ünï", "%C3%BCn%C3%AF")] {
        story.onedev().create_project(name).unwrap();
        let said = story.client.git(&["ls-remote", &story.url(path)]);
        assert!(said.err.contains("Project not found or inaccessible"), "{}", said.err);
    }
    for name in [".github", "projects"] {
        story.onedev().create_project(name).unwrap();
        assert!(story.push(name, &["trunk"]).ok, "{name}");
    }
}

#[test]
fn names_that_trip_the_hook_drop_the_whole_push() {
    let story = story();
    for name in ["a+b", "p%zzq", "100%", "only%20c"] {
        let said = story.push("g2", &[&format!("trunk:refs/heads/{name}")]);
        assert!(!said.ok && said.err.contains(CURL) && said.err.contains(DECLINED), "{}", said.err);
    }
    let said = story.push("g2", &["trunk:refs/heads/ok1", "trunk:refs/tags/v9+x", "trunk:refs/heads/ok2"]);
    assert_eq!(said.err.matches(DECLINED).count(), 3, "{}", said.err);
    let said = story.push("g2", &["trunk:refs/heads/b1&c", "trunk:refs/heads/zz9"]);
    assert_eq!(said.err.matches(DECLINED).count(), 2, "{}", said.err);
    assert!(story.ref_names("g2").is_empty());
    for name in ["c++", "x&y", "k=v", "semi;colon", "ünï-日本", "#12-fix", "at@x", "$(x)", "p%41q"] {
        let said = story.push("g2", &[&format!("trunk:refs/heads/{name}")]);
        assert!(said.ok, "{name}: {}", said.err);
    }
}

#[test]
fn a_tag_of_a_blob_is_made_but_the_rest_is_left_undone() {
    let story = story();
    let blob = story.client.done(&["hash-object", "-w", "README"]);
    story.client.done(&["tag", "blobtag", &blob]);
    let said = story.push("g3", &["trunk", "refs/tags/blobtag"]);
    assert!(said.ok && said.err.contains(CURL), "{}", said.err);
    assert_eq!(story.ref_names("g3"), ["refs/heads/trunk", "refs/tags/blobtag"]);
    assert_eq!(story.onedev().head("g3").unwrap(), Head::Unborn(RefName::of_branch("main").unwrap()));
}

#[test]
fn head_follows_the_last_branch_unless_main_is_there() {
    let story = story();
    let said = story.push("g2", &["trunk:refs/heads/aaa", "trunk:refs/heads/mmm", "trunk:refs/heads/zzz"]);
    assert!(said.ok);
    assert_eq!(story.onedev().head("g2").unwrap(), born("zzz"));
    assert!(said.err.contains("remote: Create a pull request for 'aaa' by visiting:"), "{}", said.err);
    assert!(story.push("g3", &["trunk:refs/heads/main", "trunk:refs/heads/zzz"]).ok);
    assert_eq!(story.onedev().head("g3").unwrap(), born("main"));
    let said = story.push("g2", &[":refs/heads/zzz"]);
    assert!(said.err.contains("(deletion of the current branch prohibited)"), "{}", said.err);
}

#[test]
fn git_itself_refuses_as_git_does() {
    let story = story();
    assert!(story.push("g1", &["trunk"]).ok);
    let said = story.push("g1", &["-o", "foo=bar", "trunk:refs/heads/new"]);
    assert!(said.err.contains("the receiving end does not support push options"), "{}", said.err);
    let said = story.push("g1", &["trunk:refs/heads/df", "trunk:refs/heads/df/x"]);
    assert!(said.err.contains("-> df/x (failed to update ref)"), "{}", said.err);
    assert_eq!(story.ref_names("g1"), ["refs/heads/df", "refs/heads/trunk"]);
    let said = story.push("g1", &["--atomic", "trunk:refs/heads/at1", ":refs/heads/trunk"]);
    assert!(
        said.err.contains("(atomic push failure)") || said.err.contains("(atomic transaction failed)"),
        "{}",
        said.err
    );
}

#[test]
fn faults_of_a_push_leave_refs_as_they_were_or_as_they_should_be() {
    let story = story();
    story.client.commit("big", &"0123456789abcdefghij".repeat(100_000));
    story.onedev().fail(Trigger::next(On::PUSH), Fault::Decline("ERROR PUSHING".to_owned()));
    let said = story.push("g1", &["trunk"]);
    assert!(said.err.contains("remote: ERROR PUSHING") && said.err.contains(DECLINED), "{}", said.err);
    // More than once: curl tries again by itself when a kept connection dies without an answer.
    story.onedev().fail(Trigger::next(On::PUSH).always(), Fault::CutRequest { after: 400 });
    assert!(!story.push("g1", &["trunk"]).ok);
    story.onedev().clear_faults();
    assert!(story.ref_names("g1").is_empty());
    story.onedev().fail(Trigger::next(On::PUSH), Fault::LoseReport);
    assert!(!story.push("g1", &["trunk"]).ok);
    assert_eq!(story.ref_names("g1"), ["refs/heads/trunk"]);
    assert!(story.push("g1", &["trunk"]).ok);
}

#[test]
fn a_body_that_pauses_too_long_is_cut_with_a_report() {
    let options = SimulatorOptions { onedev_idle: Duration::from_millis(300), ..SimulatorOptions::default() };
    let story = Story::with(options);
    story.onedev().create_project("g1").unwrap();
    // From a hundred objects on, git indexes a pack instead of unpacking it.
    for number in 0..120 {
        std::fs::write(story.client.folder().join(format!("f{number}")), format!("{number}")).unwrap();
    }
    story.client.commit("last", "");
    story.onedev().fail(Trigger::next(On::PUSH), Fault::StallRequest { after: 2_000 });
    let said = story.push("g1", &["trunk"]);
    assert!(said.err.contains("unpack failed: index-pack abnormal exit"), "{}", said.err);
    assert!(story.ref_names("g1").is_empty());
    assert!(story.push("g1", &["trunk"]).ok);
}

#[test]
fn one_push_keeps_every_other_pack_request_waiting_but_not_the_refs() {
    let story = story();
    assert!(story.push("g2", &["trunk"]).ok);
    let gate = story.onedev().hold(Trigger::next(On::PUSH).path("g1"), Hold::RequestBytes(0));
    std::thread::scope(|scope| {
        let held = scope.spawn(|| story.push("g1", &["trunk"]));
        assert!(gate.wait_reached(Duration::from_secs(20)));
        // Version 0 only reads `info/refs`, which is not queued.
        assert!(story.client.git(&["-c", "protocol.version=0", "ls-remote", &story.url("g2")]).ok);
        let queued = scope.spawn(|| story.client.git(&["-c", "protocol.version=2", "ls-remote", &story.url("g2")]));
        assert!(!held.is_finished() && !queued.is_finished());
        gate.release();
        assert!(held.join().unwrap().ok && queued.join().unwrap().ok);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_its_slot() {
    let story = story();
    let gate = story.onedev().hold(Trigger::next(On::PUSH), Hold::RequestBytes(4));
    let url = format!("{}/g1/git-receive-pack", story.onedev().url());
    let unending = futures_util::stream::once(async { Ok::<_, std::io::Error>("0094") });
    let body = reqwest::Body::wrap_stream(unending.chain(futures_util::stream::pending()));
    let leaving = tokio::spawn(story.http.post(url).bearer_auth(story.onedev().admin_token()).body(body).send());
    gate.reached().await;
    leaving.abort();
    assert!(story.push("g2", &["trunk"]).ok);
}

#[test]
fn an_answer_that_is_lost_leaves_the_refs_moved() {
    let story = story();
    let gate = story.onedev().hold(Trigger::next(On::PUSH), Hold::Answer);
    std::thread::scope(|scope| {
        let cut_off = scope.spawn(|| story.push("g1", &["trunk"]));
        assert!(gate.wait_reached(Duration::from_secs(20)));
        assert_eq!(story.ref_names("g1"), ["refs/heads/trunk"]);
        story.onedev().go_down();
        assert!(!cut_off.join().unwrap().ok);
    });
    story.onedev().come_back().unwrap();
    assert!(story.push("g1", &["trunk"]).err.contains("Everything up-to-date"));
}

#[tokio::test]
async fn both_services_announce_what_the_real_ones_do() {
    let story = story();
    let token = Some(story.onedev().admin_token());
    let push = story.send("GET", "/g1/info/refs?service=git-receive-pack", token, None).await;
    let capabilities =
        "report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta object-format=sha1";
    assert!(push.body.starts_with("001f# service=git-receive-pack\n0000") && push.body.contains(capabilities));
    assert!(!push.body.contains("push-options"));
    let url = format!("{}/g1/info/refs?service=git-upload-pack", story.onedev().url());
    let request = story.http.get(url).bearer_auth(story.onedev().admin_token()).header("git-protocol", "version=2");
    let fetch = request.send().await.unwrap().text().await.unwrap();
    assert!(fetch.starts_with("001e# service=git-upload-pack\n0000000eversion 2\n"), "{fetch}");
    assert!(fetch.contains("fetch=shallow") && !fetch.contains("filter"), "{fetch}");
    let dumb = story.send("GET", "/g1/info/refs", token, None).await;
    assert_eq!(dumb.status, 404);
}

#[test]
fn what_was_pushed_is_cloned_again() {
    let story = story();
    story.client.commit("big", &"0123456789abcdefghij".repeat(100_000));
    assert!(story.push("g1", &["trunk"]).ok);
    let folder = tempfile::TempDir::new().unwrap();
    assert!(git_in(folder.path(), &["clone", "-q", "--mirror", &story.url("g1.git"), "copy"]).ok);
    let said = git_in(&folder.path().join("copy"), &["fsck", "--strict"]);
    assert!(said.ok, "{}", said.err);
    let oid = story.onedev().refs("g1").unwrap()[&RefName::of_branch("trunk").unwrap()];
    assert!(story.onedev().has_object("g1", oid).unwrap());
}
