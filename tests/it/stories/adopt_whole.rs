//! A lost database comes back with wikis, LFS objects and catalogs, and nothing of it is brought a second time.

use chrono::Utc;
use starkeep::domain::ids::GithubId;
use starkeep::domain::job::JobKind;
use starkeep::domain::lfs::{ObjectState, Pointer};
use starkeep::domain::part::PartState;
use starkeep::simulator::{Fault, On, Trigger};
use starkeep::store::catalog::assets;

use super::adopt::told;
use super::catalog::META;
use super::commands::run;
use super::lfs::noise;
use super::restore::shape;
use super::restore_whole::{objects, oids, tip};
use super::tools::name;
use crate::world::{World, on_both};

impl World {
    /// The markers are as they should be, and the database is lost.
    async fn lose(&mut self, all: &[GithubId]) {
        for id in all {
            self.queue(*id, JobKind::Mark).await;
        }
        self.drain().await;
        self.lose_database().await;
    }

    fn adopted(&self) -> String {
        let (code, out, err) = run(self, &["adopt"]);
        assert_eq!(code, Some(0), "{out}{err}");
        out
    }

    /// Bytes of files that were asked of GitHub, and LFS objects that OneDev was asked for or given.
    fn carried(&self) -> Vec<String> {
        let of = |it: &starkeep::simulator::RequestRecord| {
            it.path.contains("/_lfs/") || it.path.contains("/_files/") || it.path.contains("/lfs/objects/")
        };
        let github = self.github().requests();
        let onedev = self.onedev().requests();
        let batch = "info/lfs/objects/batch";
        github.iter().chain(&onedev).filter(|it| of(it) && !it.path.ends_with(batch)).map(|it| it.line()).collect()
    }
}

on_both! {
async fn a_whole_instance_comes_back_out_of_onedev_alone(world: World) {
    let mut world = world.with_all();
    let (id, [small, large, asset]) = world.populated_one().await;
    let (first, pages) = (world.copy_of(id, "first"), world.copy_of_wiki(id, "first-wiki"));
    let (meta, between) = (world.catalog(id).await.tip.unwrap(), Utc::now().to_rfc3339());
    world.queue(id, JobKind::Mark).await;
    world.drain().await;
    let new = world.upheaval(id).await;
    // One without a wiki, one whose wiki is gone, one that lacks an object.
    let (plain, gone, lacking) =
        (world.repository("octo", "plain"), world.repository("octo", "gone"), world.repository("octo", "lacking"));
    world.github().write_page(gone, "Home", "welcome").unwrap();
    let (_, missing) = world.github().commit_lfs(lacking, "main", "a.bin", &noise(7, 900)).unwrap();
    world.github().refuse_lfs(lacking, missing.oid, 404);
    for it in [plain, gone, lacking] {
        world.star(it).await;
    }
    world.github().delete_wiki(gone).unwrap();
    assert_eq!(world.gollum(gone).await.state, PartState::Gone);
    let all = [id, plain, gone, lacking];
    let before = told(&world);
    let (refs, wiki, kept) = (world.refs(id).await, world.wiki_copy(id).await, world.wiki_kept(id).await.len());
    let (files, log, states) = (world.files(id).await, world.log(id).await, world.states(id).await);
    let (known, mirror) = (world.catalog(id).await, world.mirror(id).await.id);
    world.lose(&all).await;

    let out = world.adopted();
    assert!(out.contains("/wiki: holds the wiki of octo/odd"), "{out}");
    assert_eq!(told(&world), before);
    let (code, shown, err) = world.restore(&["--to", "it.git", "--at", &between]);
    let it = world.folder.path().join("it.git");
    assert_eq!((code, shown["exact"].as_bool(), shown["wiki"]["exact"].as_bool()), (Some(0), Some(true), Some(true)), "{shown}{err}");
    assert_eq!((shape(&it), shape(&world.folder.path().join("it.wiki.git"))), (shape(&first), shape(&pages)));
    assert_eq!((tip(&it, META), objects(&it)), (meta.to_string(), oids(&[&small, &large, &asset])));

    world.github().clear_requests();
    world.onedev().clear_requests();
    world.start().await;
    for it in all {
        world.sync(it).await;
    }
    world.gollum(id).await;
    world.look(id).await;
    assert_eq!(world.carried(), Vec::<String>::new(), "nothing is brought or read a second time");
    let fetched = world.github().requests().iter().filter(|it| it.path.ends_with("odd.git/git-upload-pack")).count();
    assert!(fetched <= 4, "lists of refs, and no pack: {fetched}");
    let asked = world.asked(id);
    assert!(asked.len() <= 6, "its lists are gone on with: {asked:#?}");
    assert_eq!(world.states(id).await, states);
    assert!(states.iter().all(|it| *it == ObjectState::There) && states.len() == 3, "{states:?}");
    assert_eq!((world.files(id).await, world.log(id).await), (files, log), "no commit without a change");
    let now = world.catalog(id).await;
    assert_eq!((now.tip, now.tree, now.commits), (known.tip, known.tree, known.commits));
    assert_eq!(world.store().read(move |c| assets::counts(c, mirror)).await.unwrap(), (1, 0));
    let without_marker = |it: starkeep::domain::refs::RefMap| -> Vec<_> {
        it.into_iter().filter(|(name, _)| name.as_str() != "refs/starkeep/origin").collect()
    };
    assert_eq!(without_marker(world.refs(id).await), without_marker(refs));
    assert_eq!((world.wiki_copy(id).await, world.wiki_kept(id).await.len()), (wiki, kept));

    // What is new is brought and written as ever, beside what was there.
    let newer = noise(8, 1_000);
    world.github().commit_lfs(id, "main", "c.bin", &newer).unwrap();
    world.github().comment(id, 1, "after the loss").unwrap();
    world.pushed(id).await;
    world.look(id).await;
    world.assert_object(id, &newer).await;
    world.assert_object(id, &new).await;
    assert_eq!(world.log(id).await.len(), usize::try_from(known.commits).unwrap() + 1);
    let files = world.files(id).await;
    assert!(files.values().any(|it| it.contains("after the loss")) && files.contains_key("labels.json") == world.files_at(id, &format!("{META}~1")).await.contains_key("labels.json"));
    world.assert_fsck(id).await;
    world.end().await;
}
}

on_both! {
async fn what_was_brought_after_the_last_marker_is_read_back_and_not_brought_again(world: World) {
    let mut world = world.with_all();
    let (id, _) = world.populated_one().await;
    let late = noise(9, 70_000);
    world.github().commit_lfs(id, "main", "late.bin", &late).unwrap();
    world.pushed(id).await;
    let page = world.github().write_page(id, "Late", "late").unwrap();
    world.gollum(id).await;
    world.lose_database().await;
    world.adopted();
    world.start().await;
    world.github().clear_requests();
    world.sync(id).await;
    world.gollum(id).await;
    // One of its names is such that OneDev refuses it; that it lacks nothing else is told.
    assert_eq!(world.mirror(id).await.not_level.len(), 1);
    world.assert_wiki(id).await;
    assert_eq!(world.wiki_copy(id).await.get(&name("refs/heads/master")), Some(&page));
    let asked = world.github().requests();
    assert!(!asked.iter().any(|it| it.path.contains("/_lfs/")), "{asked:#?}");
    let mirror = world.mirror(id).await.id;
    let there = world.store().read(move |c| starkeep::store::lfs::there(c, mirror, None, 100)).await.unwrap();
    assert!(there.contains(&Pointer::of(&late)), "{there:?}");
    assert!(world.wiki_kept(id).await.is_empty());
    world.end().await;
}
}

on_both! {
async fn a_catalog_that_could_not_be_read_back_is_read_from_github_anew(world: World) {
    let mut world = world.with_all();
    let (id, _) = world.populated_one().await;
    let (files, commit) = (world.files(id).await, world.catalog(id).await.tip.unwrap());
    world.lose(&[id]).await;
    let fetched = Trigger::next(On::FETCH).body(&format!("want {commit}"));
    world.onedev().fail(fetched.always(), Fault::CutResponse { after: 100 });
    world.adopted();
    world.onedev().clear_faults();
    world.start().await;
    world.look(id).await;
    assert_eq!(world.files(id).await, files);
    let known = world.catalog(id).await;
    assert_eq!((known.error, world.refs(id).await.get(&name(META)).copied()), (None, known.tip));
    world.assert_fsck(id).await;
    world.end().await;
}
}
