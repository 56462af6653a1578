//! LFS objects that cannot be had: missed while a ref needs them, and told where else they are kept.

use starkeep::domain::ids::GithubId;
use starkeep::domain::lfs::Pointer;
use starkeep::domain::mirror::{Item, Status};
use starkeep::store::lfs;
use starkeep::store::page::Window;

use crate::world::{World, on_both};

const SPOILT: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:nothing\nsize 5\n";

impl World {
    /// What of LFS is not level, with the reasons.
    async fn missed(&self, id: GithubId) -> Vec<(Item, String)> {
        let named = self.mirror(id).await.not_level.into_iter().filter(|it| it.name.is_lfs());
        named.map(|it| (it.name, it.reason)).collect()
    }

    /// Objects by what is known of their need.
    async fn needed(&self, id: GithubId) -> Vec<bool> {
        let mirror = self.mirror(id).await.id;
        let page = self.store().read(move |c| lfs::list(c, mirror, &Window::default())).await.unwrap();
        page.items.iter().map(|it| it.reachable).collect()
    }

    /// A repository whose branch `topic` needs an object that upstream has lost, and has an unreadable pointer.
    fn repository_with_a_lost_object(&self, name: &str) -> (GithubId, Pointer) {
        let id = self.repository("octo", name);
        let (_, pointer) = self.github().commit_lfs(id, "topic", "a.bin", b"lost at upstream").unwrap();
        self.github().commit(id, "topic", "spoilt.bin", SPOILT).unwrap();
        self.github().refuse_lfs(id, pointer.oid, 404);
        (id, pointer)
    }
}

on_both! {
async fn an_object_that_no_ref_needs_any_more_is_not_missed_until_one_does_again(world: World) {
    let mut world = world;
    for forced in [false, true] {
        let (id, pointer) = world.repository_with_a_lost_object(if forced { "forced" } else { "deleted" });
        let topic = "refs/heads/topic";
        let tip = world.tip(id, topic);
        assert_eq!(world.star(id).await.status, Status::Partial);
        assert_eq!(world.missed(id).await.len(), 2, "the object and the spoilt pointer");
        // Whatever else happens, they are missed as long as the branch is there.
        world.github().commit(id, "main", "README", "more").unwrap();
        world.sync(id).await;
        assert_eq!(world.missed(id).await.len(), 2);
        if forced {
            world.github().force_branch(id, "topic").unwrap();
        } else {
            world.github().delete_ref(id, topic).unwrap();
        }
        world.pushed(id).await;
        world.assert_healthy(id).await;
        world.assert_kept(id, tip).await;
        assert_eq!(world.needed(id).await, [false]);
        // It comes back, in a history that OneDev holds already.
        world.github().set_ref(id, topic, tip).unwrap();
        world.github().commit(id, "topic", "MORE", "more").unwrap();
        world.sync(id).await;
        world.sync(id).await;
        let missed = world.missed(id).await;
        assert!(missed.iter().any(|it| it.0 == Item::object(pointer.oid)), "{missed:?}");
        world.github().mend_lfs(id, pointer.oid);
        world.github().commit(id, "topic", "spoilt.bin", "no pointer any more").unwrap();
        world.sync(id).await;
        assert_eq!(world.onedev().lfs_object(&world.path(id).await, pointer.oid).unwrap().unwrap(), b"lost at upstream");
    }
    world.end().await;
}
}

on_both! {
async fn an_object_that_is_not_missed_is_brought_all_the_same_once_it_can_be_had(world: World) {
    let mut world = world;
    let (id, pointer) = world.repository_with_a_lost_object("late");
    world.star(id).await;
    world.github().delete_ref(id, "refs/heads/topic").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.github().mend_lfs(id, pointer.oid);
    world.sync(id).await;
    world.assert_healthy(id).await;
    let have = world.onedev().lfs_object(&world.path(id).await, pointer.oid).unwrap();
    assert_eq!(have.as_deref(), Some(b"lost at upstream".as_slice()), "a kept ref needs it");
    world.end().await;
}
}

on_both! {
async fn an_upstream_that_keeps_its_objects_at_another_server_is_told_and_nobody_asks_there(world: World) {
    let mut world = world;
    let id = world.repository("octo", "elsewhere");
    let config = "[lfs]\n\turl = \"https://user:secret@lfs.example.org/octo/elsewhere\"\n";
    world.github().commit(id, "main", ".lfsconfig", config).unwrap();
    let pointer = Pointer::of(b"never at upstream");
    world.github().commit(id, "main", "a.bin", &String::from_utf8(pointer.to_bytes()).unwrap()).unwrap();
    assert_eq!(world.star(id).await.status, Status::Partial);
    let missed = world.missed(id).await;
    assert_eq!(missed.len(), 1, "{missed:?}");
    assert!(missed[0].1.contains("objects are kept at another server lfs.example.org"), "{missed:?}");
    assert!(!missed[0].1.contains("secret"), "{missed:?}");
    let asked = || world.github().requests().iter().filter(|it| it.path.contains("/contents/")).count();
    assert_eq!(asked(), 1, "asked once");
    world.pushed(id).await;
    assert_eq!(asked(), 1, "not at each sync");
    // The next close look sees that it has changed its mind.
    world.github().commit(id, "main", ".lfsconfig", "[lfs]\n\tlocksverify = true\n").unwrap();
    world.sync(id).await;
    let missed = world.missed(id).await;
    assert!(missed.len() == 1 && !missed[0].1.contains("example.org"), "{missed:?}");
    // Somebody brings it by hand.
    world.onedev().put_lfs(&world.path(id).await, pointer.oid, b"never at upstream").unwrap();
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}
}

on_both! {
async fn a_commit_that_mends_only_the_size_of_a_pointer_brings_its_object(world: World) {
    let mut world = world;
    let id = world.repository("octo", "resized");
    let content = vec![7; 70_000];
    let right = world.github().put_lfs(id, &content).unwrap();
    for size in [700_007, 7] {
        let wrong = Pointer { size, ..right };
        world.github().commit(id, "main", "a.bin", &String::from_utf8(wrong.to_bytes()).unwrap()).unwrap();
        world.star(id).await;
        world.pushed(id).await;
        assert_eq!(world.onedev().lfs_object(&world.path(id).await, right.oid).unwrap(), None);
    }
    world.github().commit(id, "main", "a.bin", &String::from_utf8(right.to_bytes()).unwrap()).unwrap();
    world.pushed(id).await;
    assert!(world.onedev().lfs_object(&world.path(id).await, right.oid).unwrap().as_deref() == Some(&content[..]));
    let missed = world.missed(id).await;
    assert_eq!(missed.len(), 2, "the two wrong ones are in the history: {missed:?}");
    assert!(missed.iter().all(|it| it.1.contains("70000 bytes where the pointer says")), "{missed:?}");
    world.end().await;
}
}

on_both! {
async fn a_page_of_the_wiki_casts_no_doubt_on_the_objects_of_the_code(world: World) {
    let mut world = world;
    world.config.sync.wiki = true;
    let id = world.repository("octo", "both");
    world.github().commit_lfs(id, "main", "a.bin", b"an object").unwrap();
    world.github().write_page(id, "Home", "welcome").unwrap();
    world.star(id).await;
    world.assert_healthy(id).await;
    world.github().write_page(id, "Home", "more").unwrap();
    world.accepted(&world.github().gollum(id, "Home").unwrap()).await;
    world.drain().await;
    world.github().commit(id, "main", "README", "more").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}
}
