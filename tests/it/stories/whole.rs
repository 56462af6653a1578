//! The whole repository: everything that GitHub has of one is mirrored, all of it changes, half of it is
//! deleted; at each step OneDev is level and what was there before is still to be had. In the end each state is
//! restored, and once more when the database is lost and rebuilt, which then goes on as before.

mod github;
mod state;

use std::collections::BTreeSet;

use serde_json::json;
use starkeep::domain::ids::GithubId;
use starkeep::domain::lfs::LfsOid;
use starkeep::domain::refs::Oid;
use starkeep::simulator::GithubSimulator;

use super::commands::{json, run};
use crate::world::{World, on_both};
use state::{State, assert_level};

/// Refs that are odd to somebody: to file systems, to OneDev's hooks, or to whoever thinks of commits only.
const ODD: [&str; 6] = [
    "refs/heads/Case",
    "refs/heads/case",
    "refs/heads/c++",
    "refs/tags/v1.0+build.5",
    "refs/heads/caf\u{e9}/\u{1f980}",
    "refs/heads/-dash/and.dots",
];

/// So many bytes, each time the same.
fn bytes(seed: u32, length: u32) -> Vec<u8> {
    (0..length).map(|it| (it.wrapping_add(seed * 7_919).wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

/// A repository of somebody's work over some years.
struct Upstream<'a> {
    github: &'a GithubSimulator,
    id: GithubId,
}

/// What can be named later.
struct Threads {
    issues: Vec<i64>,
    /// Each with the thread that it is in.
    comments: Vec<(i64, i64)>,
    pulls: Vec<i64>,
    reviews: Vec<(i64, i64)>,
    releases: Vec<i64>,
    labels: Vec<i64>,
    milestones: Vec<i64>,
}

impl Upstream<'_> {
    fn set(&self, name: &str, tip: Oid) {
        self.github.set_ref(self.id, name, tip).unwrap();
    }

    fn begin_code(&self) {
        let (github, id) = (self.github, self.id);
        for n in 0..4 {
            github.commit_lfs(id, "main", &format!("media/{n}.bin"), &bytes(n, 20_000 + 90_000 * n)).unwrap();
            github.commit_lfs(id, "film", &format!("{n}.mov"), &bytes(10 + n, 50_000)).unwrap();
        }
        let tip = github.commit(id, "main", "src/lib.rs", "fn main() {}").unwrap();
        for name in ["topic/one", "topic/two", "going", "staying"] {
            github.commit(id, name, "FILE", name).unwrap();
        }
        for (n, name) in ODD.into_iter().enumerate() {
            self.set(name, github.commit_on(id, &[tip], "ODD", &n.to_string()).unwrap());
        }
        for tag in ["v1", "v2", "v3", "old"] {
            github.annotated_tag(id, tag, tip).unwrap();
        }
        github.tag_of_blob(id, "a-blob", "somebody's public key").unwrap();
        github.tag_of_tree(id, "a-tree", tip).unwrap();
        let tagged = github.tip(id, "refs/tags/v1").unwrap().unwrap();
        github.annotated_tag(id, "of-a-tag", tagged).unwrap();
        self.set("refs/notes/commits", github.commit_on(id, &[], "NOTE", "note").unwrap());
    }

    fn begin_wiki(&self) {
        for n in 0..6 {
            self.github.write_page(self.id, &format!("Page-{n}"), &format!("# Page {n}")).unwrap();
        }
        let tip = self.github.wiki_refs(self.id).unwrap().into_values().next().unwrap();
        self.github.set_wiki_ref(self.id, "refs/heads/draft", tip).unwrap();
    }

    fn begin_catalog(&self) -> Threads {
        let (github, id) = (self.github, self.id);
        let about =
            json!({ "topics": ["keep", "stars"], "homepage": "https://example.org", "license": { "spdx_id": "MIT" } });
        github.set_about(id, &about).unwrap();
        let labels = ["bug", "feature", "question", "wontfix"].map(|it| github.label(id, it).unwrap());
        let milestones = ["1.0", "2.0"].map(|it| github.milestone(id, it).unwrap());
        let (mut issues, mut comments, mut reviews) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..30 {
            let attached = github.attach(&format!("shot-{n}.png"), &bytes(100 + n, 3_000));
            let body = if n % 10 == 0 { format!("See ![it]({attached})") } else { format!("What happens, {n}") };
            let issue = github.open_issue(id, &format!("Issue {n}"), &body).unwrap();
            for at in 0..=n % 3 {
                comments.push((issue, github.comment(id, issue, &format!("Remark {at} on {n}")).unwrap()));
            }
            issues.push(issue);
        }
        let pulls: Vec<i64> =
            (0..4).map(|n| github.open_pull(id, &format!("Mend {n}"), &format!("So, {n}")).unwrap()).collect();
        for pull in &pulls {
            comments.push((*pull, github.comment(id, *pull, "Thank you").unwrap()));
            github.review_comment(id, *pull, "src/lib.rs", "A typo here").unwrap();
            for verdict in ["CHANGES_REQUESTED", "APPROVED"] {
                reviews.push((*pull, github.review(id, *pull, verdict, &format!("I say {verdict}")).unwrap()));
            }
        }
        let mut releases = Vec::new();
        for (n, tag) in (0..).zip(["v1", "v2", "v1.0+build.5"]) {
            let release = github.release(id, tag, &format!("Release notes {n}")).unwrap();
            for (at, name) in (0..).zip(["linux.tar.gz", "windows.zip"]) {
                let content = bytes(200 + 10 * n + at, 30_000 + 1_000 * n);
                github.asset(id, release, name, &content, at == 0).unwrap();
            }
            releases.push(release);
        }
        Threads { issues, comments, pulls, reviews, releases, labels: labels.into(), milestones: milestones.into() }
    }

    fn change_code(&self) {
        let (github, id) = (self.github, self.id);
        for n in 0..4 {
            github.commit_lfs(id, "main", &format!("media/{n}.bin"), &bytes(20 + n, 25_000)).unwrap();
            github.commit_lfs(id, "film", &format!("{n}.mov"), &bytes(30 + n, 60_000)).unwrap();
        }
        let tip = github.commit(id, "main", "src/lib.rs", "fn main() { changed() }").unwrap();
        for name in ["topic/one", "going"] {
            github.force_branch(id, name).unwrap();
        }
        for name in ["topic/two", "staying", "new"] {
            github.commit(id, name, "FILE", "changed").unwrap();
        }
        for (n, name) in ODD.into_iter().enumerate() {
            self.set(name, github.commit_on(id, &[tip], "ODD", &format!("other {n}")).unwrap());
        }
        for tag in ["v1", "v2", "v3", "old"] {
            github.annotated_tag(id, tag, tip).unwrap();
        }
        github.tag_of_blob(id, "a-blob", "another key").unwrap();
        github.tag_of_tree(id, "a-tree", tip).unwrap();
        github.annotated_tag(id, "of-a-tag", github.tip(id, "refs/tags/v2").unwrap().unwrap()).unwrap();
        self.set("refs/notes/commits", github.commit_on(id, &[], "NOTE", "another note").unwrap());
        github.set_default_branch(id, "staying").unwrap();
    }

    fn change_wiki(&self) {
        for n in 0..7 {
            self.github.write_page(self.id, &format!("Page-{n}"), &format!("# Page {n}, anew")).unwrap();
        }
        let first = self.github.wiki_refs(self.id).unwrap().into_values().next_back().unwrap();
        self.github.set_wiki_ref(self.id, "refs/heads/draft", first).unwrap();
    }

    fn change_catalog(&self, known: &Threads) {
        let (github, id) = (self.github, self.id);
        github
            .set_about(id, &json!({ "topics": ["kept"], "homepage": null, "license": { "spdx_id": "Apache-2.0" } }))
            .unwrap();
        github.set_description(id, Some("Another description")).unwrap();
        for (n, issue) in known.issues.iter().enumerate() {
            let attached = github.attach(&format!("new-{n}.png"), &bytes(300, 2_000 + n as u32));
            let body = if n % 10 == 5 { format!("Look: ({attached})") } else { "All clear".to_owned() };
            let state = if n % 2 == 0 { "closed" } else { "open" };
            github
                .edit_issue(id, *issue, json!({ "title": format!("Changed {n}"), "body": body, "state": state }))
                .unwrap();
        }
        for (n, (_, comment)) in known.comments.iter().enumerate() {
            github.edit_comment(id, *comment, &format!("A second thought {n}")).unwrap();
        }
        for (n, pull) in known.pulls.iter().enumerate() {
            let merged =
                json!({ "title": format!("Mended {n}"), "state": "closed", "merged_at": "2024-05-01T00:00:00Z" });
            github.edit_issue(id, *pull, merged).unwrap();
            github.review_comment(id, *pull, "src/lib.rs", "And here").unwrap();
        }
        for (pull, review) in &known.reviews {
            github.edit_review(id, *pull, *review, "On second thoughts").unwrap();
        }
        for (n, release) in (0..).zip(&known.releases) {
            github
                .edit_release(id, *release, json!({ "body": "Better notes", "prerelease": true, "assets": [] }))
                .unwrap();
            github.asset(id, *release, "linux.tar.gz", &bytes(400 + n, 31_000), n % 2 == 0).unwrap();
            github.asset(id, *release, "macos.dmg", &bytes(500 + n, 32_000), true).unwrap();
        }
        known.labels.iter().for_each(|it| github.edit_label(id, *it, &json!({ "color": "00ff00" })).unwrap());
        for it in &known.milestones {
            github.edit_milestone(id, *it, json!({ "state": "closed", "description": "Done" })).unwrap();
        }
    }

    fn delete_half(&self, known: &Threads) {
        let (github, id) = (self.github, self.id);
        let gone = ["refs/heads/topic/one", "refs/heads/going", "refs/heads/film", "refs/heads/Case", "refs/heads/c++"];
        for name in gone.into_iter().chain(["refs/tags/v1.0+build.5", "refs/tags/v3", "refs/tags/a-blob"]) {
            github.delete_ref(id, name).unwrap();
        }
        github.delete_ref(id, "refs/notes/commits").unwrap();
        github.remove_file(id, "main", "media/0.bin").unwrap();
        github.remove_file(id, "main", "media/1.bin").unwrap();
        for n in 0..4 {
            github.delete_page(id, &format!("Page-{n}")).unwrap();
        }
        for (n, issue) in known.issues.iter().enumerate() {
            if n % 2 == 0 {
                github.delete_issue(id, *issue).unwrap();
            } else {
                github.edit_issue(id, *issue, json!({ "title": format!("Once more {n}") })).unwrap();
            }
        }
        let gone: BTreeSet<i64> = known.issues.iter().copied().step_by(2).collect();
        for (_, comment) in known.comments.iter().filter(|it| !gone.contains(&it.0)).step_by(2) {
            github.delete_comment(id, *comment).unwrap();
        }
        github.delete_release(id, known.releases[0]).unwrap();
        github.edit_release(id, known.releases[1], json!({ "assets": [] })).unwrap();
        known.labels[..2].iter().for_each(|it| github.delete_label(id, *it).unwrap());
        github.delete_milestone(id, known.milestones[1]).unwrap();
    }

    /// LFS objects that upstream gives no more, since the branch is gone that needed them.
    fn forget_film(&self) {
        let (github, id) = (self.github, self.id);
        for seed in (10..14).chain(30..34) {
            let length = if seed < 20 { 50_000 } else { 60_000 };
            github.refuse_lfs(id, LfsOid::of(&bytes(seed, length)), 404);
        }
    }
}

/// GitHub tells of pushes and pages; then everything is looked at closely, the catalog by a full list.
async fn follow(world: &mut World, id: GithubId) {
    world.doubt_catalog().await;
    let pages = world.github().gollum(id, "Home").unwrap();
    world.accepted(&pages).await;
    world.pushed(id).await;
    // A list that was read without an item may have slipped over it: two in a row are believed.
    for _ in 0..2 {
        world.look(id).await;
    }
}

/// Restores a state into a folder, where it is byte for byte; gives the LFS objects that are there.
fn restore(world: &World, state: &State, name: &str) -> BTreeSet<LfsOid> {
    let arguments = ["restore", "octo/whole", "--to", &format!("{name}.git"), "--at", &state.at, "--json"];
    let (code, out, err) = run(world, &arguments);
    let told = json(&out);
    let exact = (told["exact"].as_bool(), told["wiki"]["exact"].as_bool());
    assert_eq!((code, exact), (Some(0), (Some(true), Some(true))), "{name}: {out}{err}");
    let at = |it: String| world.folder.path().join(it);
    state.assert_is_restored(&at(format!("{name}.git")), &at(format!("{name}.wiki.git")))
}

on_both! {
async fn a_whole_repository_is_mirrored_changed_halved_and_restored(world: World) {
    let mut world = world.with_catalogs();
    world.config.sync.wiki = true;
    // What upstream does here is more than anybody does at once.
    world.config.policy.mass_delete = None;
    let github = world.github().clone();
    let id = world.repository("octo", "whole");
    let upstream = Upstream { github: &github, id };
    upstream.begin_code();
    upstream.begin_wiki();
    let known = upstream.begin_catalog();
    world.star(id).await;
    let first = assert_level(&world, id).await;
    assert_eq!((first.code.refs.len(), first.wiki.refs.len()), (20, 2));
    assert_eq!(first.lfs.len(), 8 + 6 + 3, "of the code, of releases, of texts");

    upstream.change_code();
    upstream.change_wiki();
    upstream.change_catalog(&known);
    follow(&mut world, id).await;
    let second = assert_level(&world, id).await;
    first.assert_still_had(&world, id).await;
    assert_ne!(first.meta, second.meta);

    upstream.delete_half(&known);
    upstream.forget_film();
    follow(&mut world, id).await;
    let third = assert_level(&world, id).await;
    assert!(third.files.len() < second.files.len() * 2 / 3, "{} of {}", third.files.len(), second.files.len());
    first.assert_still_had(&world, id).await;
    second.assert_still_had(&world, id).await;

    // Upstream is not needed any more; in the end the database is not either.
    github.go_down();
    for (state, name) in [(&first, "first"), (&second, "second"), (&third, "third")] {
        let objects = restore(&world, state, name);
        // Kept refs and the catalog's history bring along what later states hold of earlier ones.
        let own: BTreeSet<_> = state.lfs.keys().copied().collect();
        assert!(objects == own || name != "first", "nothing but the first state was there then");
    }
    world.lose_database().await;
    let (code, out, err) = run(&world, &["adopt"]);
    assert_eq!(code, Some(0), "{out}{err}");
    for (state, name) in [(&first, "first-again"), (&third, "third-again")] {
        restore(&world, state, name);
    }
    github.come_back().unwrap();
    follow(&mut world, id).await;
    let fourth = assert_level(&world, id).await;
    assert_eq!((fourth.files, fourth.code.refs, fourth.wiki.refs), (third.files, third.code.refs, third.wiki.refs));
    first.assert_still_had(&world, id).await;
    world.end().await;
}
}
