//! The two questions that small fetches answer, and the old protocol.

use super::super::*;
use super::stage::*;
use crate::domain::refs::{Head, Oid, RefName};

async fn census(stage: &Stage) -> Census {
    let list = stage.upstream.ls_refs(&[]).await.unwrap();
    let tags: Vec<&RefName> = list.refs.keys().filter(|it| it.is_tag()).collect();
    non_commit_tags(&stage.upstream, &list, tags).await.unwrap()
}

fn posts(stage: &Stage) -> usize {
    stage.upstream_proxy.requests().iter().filter(|it| it.starts_with("POST")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_do_not_end_at_a_commit_are_named() {
    let stage = Stage::new().await;
    let people = &stage.people;
    for number in 0..12 {
        people.commit("file", number.to_string());
        people.git(&["tag", &format!("plain{number}")]);
        people.git(&["tag", "-a", "-m", "x", &format!("made{number}")]);
    }
    people.commit("file", "the last");
    people.git(&["tag", "blob", "HEAD:file"]);
    people.git(&["tag", "tree", "HEAD~3^{tree}"]);
    people.git(&["tag", "-a", "-m", "x", "of-a-blob", "HEAD~:file"]);
    people.git(&["tag", "-a", "-m", "x", "of-a-tag-of-a-blob", "of-a-blob"]);
    people.git(&["tag", "-a", "-m", "x", "of-a-tag", "made3"]);
    people.git(&["tag", "tip"]);
    stage.publish();
    stage.git("up.git", &["repack", "-adq", "--depth=10"]);
    let census = census(&stage).await;
    let names: Vec<&str> = census.not_commits.iter().map(RefName::as_str).collect();
    assert_eq!(names, ["refs/tags/blob", "refs/tags/of-a-blob", "refs/tags/of-a-tag-of-a-blob", "refs/tags/tree"]);
    assert!(census.unknown.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_all_point_at_commits_cost_one_question_and_those_at_branch_tips_none() {
    let stage = Stage::new().await;
    stage.people.git(&["tag", "at-the-tip"]);
    stage.people.git(&["tag", "-a", "-m", "x", "made-at-the-tip"]);
    stage.publish();
    assert_eq!(census(&stage).await, Census::default());
    assert_eq!(posts(&stage), 1, "only the list");
    stage.people.commit("more", "1");
    stage.publish();
    assert_eq!(census(&stage).await, Census::default());
    assert_eq!(posts(&stage), 3, "a list and a question");
}

#[tokio::test(flavor = "multi_thread")]
async fn ancestors_are_told_from_strangers() {
    let stage = Stage::new().await;
    let old = oid(&stage.people.git(&["rev-parse", "HEAD"]));
    let new = oid(&stage.people.commit("more", "1"));
    stage.people.git(&["checkout", "-q", "--orphan", "alone"]);
    let stranger = oid(&stage.people.commit("other", "1"));
    stage.publish();
    let up = &stage.upstream;
    assert_eq!(is_ancestor(up, old, new).await, Ancestry::Yes);
    assert_eq!(is_ancestor(up, old, old).await, Ancestry::Yes);
    assert_eq!(is_ancestor(up, new, old).await, Ancestry::No);
    assert_eq!(is_ancestor(up, stranger, new).await, Ancestry::No);
    assert_eq!(is_ancestor(up, Oid::from_bytes([7; 20]), new).await, Ancestry::Unknown);
    // One question each, and none about what upstream can do.
    assert_eq!(stage.upstream_proxy.requests().iter().filter(|it| it.starts_with("GET")).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_want_that_is_gone_means_that_upstream_moved() {
    let stage = Stage::new().await;
    let gone = Oid::from_bytes([9; 20]);
    let error = stage.upstream.fetch(&[gone], &[], FetchOptions::RELAY).await.unwrap_err();
    assert_eq!(error.code(), "upstream_moved", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_the_old_protocol_is_mirrored_too() {
    let stage = Stage::new().await;
    stage.people.git(&["tag", "-a", "-m", "x", "v1"]);
    stage.publish();
    let want = stage.upstream.ls_refs(&[]).await.unwrap();
    stage.upstream_proxy.grow_old();
    let old = upstream_at(&stage.upstream_proxy.url("up.git"));
    let list = old.ls_refs(&["refs/heads/"]).await.unwrap();
    assert_eq!((list.version, old.version()), (Version::V0, Some(Version::V0)));
    assert_eq!((&list.refs, &list.peeled, &list.head), (&want.refs, &want.peeled, &want.head));
    assert_eq!(list.head, Head::Branch(name("refs/heads/trunk")));
    assert!(!old.can_filter().await.unwrap());
    let relay = Relay { upstream: &old, ..stage.relay() };
    // The first pack has no haves, the second has: upload-pack answers the two differently.
    for content in ["1", "2"] {
        stage.people.commit("more", content);
        stage.publish();
        let list = old.ls_refs(&[]).await.unwrap();
        let order = order(&list.refs, &stage.target.receive_refs().await.unwrap().refs);
        let done = relay.transfer(&order).await.unwrap();
        assert!(done.reports[0].all_done() && done.objects >= 3);
        stage.assert_level();
    }
    assert_eq!(done_objects(&stage), 3 * 3 + 1);
    let tip = list.refs[&name("refs/heads/trunk")];
    assert_eq!(is_ancestor(&old, tip, Oid::from_bytes([1; 20])).await, Ancestry::No);
    // Only the very first list was tried in version 2.
    let requests = stage.upstream_proxy.requests();
    assert!(requests[2].starts_with("GET /up.git/info/refs"), "{requests:?}");
    assert!(requests[3].starts_with("GET /up.git/info/refs"), "{requests:?}");
}

fn done_objects(stage: &Stage) -> usize {
    stage.git("down.git", &["rev-list", "--all", "--objects", "--no-object-names"]).lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_that_is_empty_or_shallow_is_recognised() {
    let stage = Stage::new().await;
    stage.upstream_proxy.grow_old();
    stage.git("up.git", &["update-ref", "-d", "refs/heads/trunk"]);
    let list = stage.upstream.ls_refs(&[]).await.unwrap();
    assert!(list.refs.is_empty() && list.odd.is_empty() && !list.shallow);
    stage.people.commit("more", "1");
    stage.publish();
    let full = format!("file://{}", stage.path("up.git").display());
    super::people::git_in(&stage.path(""), &["clone", "-q", "--bare", "--depth=1", &full, "shallow.git"]);
    let shallow = upstream_at(&stage.upstream_proxy.url("shallow.git"));
    let list = shallow.ls_refs(&[]).await.unwrap();
    assert!(list.shallow);
    let wants: Vec<Oid> = list.refs.values().copied().collect();
    assert!(matches!(shallow.fetch(&wants, &[], FetchOptions::RELAY).await, Err(WireError::Shallow)));
}
