//! Release assets and attachments: LFS objects in OneDev, pointers in the catalog.

use serde_json::json;
use starkeep::domain::ids::GithubId;
use starkeep::domain::lfs::Pointer;
use starkeep::simulator::{Fault, On, Trigger};
use starkeep::store::catalog::assets;

use crate::world::{World, on_both};

/// So many bytes, each time the same.
fn bytes(seed: u32, length: u32) -> Vec<u8> {
    (0..length).map(|it| (it.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 15).to_le_bytes()[0]).collect()
}

impl World {
    async fn assert_file(&self, id: GithubId, path: &str, content: &[u8]) {
        let files = self.files(id).await;
        let text = files.get(path).unwrap_or_else(|| panic!("no {path}: {:#?}", files.keys()));
        let pointer = Pointer::parse(text.as_bytes()).unwrap();
        assert_eq!(pointer, Pointer::of(content), "{path}");
        let have = self.onedev().lfs_object(&self.path(id).await, pointer.oid).unwrap();
        assert!(have.as_deref() == Some(content), "{path} is not there as it should be");
    }

    async fn files_of_items(&self, id: GithubId) -> ((u64, u64), Vec<(String, String)>) {
        let mirror = self.mirror(id).await.id;
        self.store().read(move |c| Ok((assets::counts(c, mirror)?, assets::troubles(c, mirror)?))).await.unwrap()
    }
}

on_both! {
async fn the_assets_of_releases_are_lfs_objects_with_pointers_in_the_tree(world: World) {
    let mut world = world.with_catalogs();
    let id = world.repository("octo", "hello");
    let (small, large, old) = (bytes(1, 3_000), bytes(2, 2_500_000), bytes(3, 40_000));
    let first = world.github().release(id, "v1", "One").unwrap();
    let second = world.github().release(id, "v2", "Two").unwrap();
    world.github().asset(id, first, "small.zip", &small, true).unwrap();
    world.github().asset(id, first, "large image.iso", &large, true).unwrap();
    world.github().asset(id, second, "old.tar.gz", &old, false).unwrap();
    world.star(id).await;
    world.assert_file(id, &format!("releases/v1-{first}/assets/small.zip"), &small).await;
    world.assert_file(id, &format!("releases/v2-{second}/assets/old.tar.gz"), &old).await;
    let files = world.files(id).await;
    let image = files.keys().find(|it| it.ends_with("large_image.iso")).expect("its name is made legal").clone();
    world.assert_file(id, &image, &large).await;
    assert!(files[".gitattributes"].contains("releases/*/assets/* filter=lfs"));
    assert_eq!(world.log(id).await.len(), 1, "files come before the commit that names them");
    // A file that a killed server left short is read back, and put right.
    world.assert_healthy(id).await;
    world.github().clear_requests();
    world.look(id).await;
    assert!(!world.github().requests().iter().any(|it| it.path.contains("_files")), "what is there is not read again");
    // One goes: its pointer with it; the object stays for the history.
    world.github().edit_release(id, second, json!({ "assets": [] })).unwrap();
    world.doubt_catalog().await;
    world.look(id).await;
    assert!(!world.files(id).await.keys().any(|it| it.contains("old.tar.gz")));
    assert!(world.onedev().lfs_object(&world.path(id).await, Pointer::of(&old).oid).unwrap().is_some());
    world.end().await;
}
}

on_both! {
async fn an_asset_that_is_not_what_its_digest_says_is_refused_and_named(world: World) {
    let mut world = world.with_catalogs();
    let id = world.repository("octo", "hello");
    let release = world.github().release(id, "v1", "One").unwrap();
    let good = bytes(1, 2_000);
    world.github().asset(id, release, "good.zip", &good, true).unwrap();
    let bad = world.github().asset(id, release, "bad.zip", b"what was promised", true).unwrap();
    let gone = world.github().asset(id, release, "gone.zip", b"never found", true).unwrap();
    // The same length, other bytes; and one that the store has lost.
    let lie = Fault::answer(200, "what was delivered");
    world.github().fail(Trigger::next(On::Rest).path(&format!("/_files/asset-{bad}")).always(), lie);
    world.github().fail(Trigger::next(On::Rest).path(&format!("/_files/asset-{gone}")).always(), Fault::answer(404, "gone"));
    world.star(id).await;
    world.assert_file(id, &format!("releases/v1-{release}/assets/good.zip"), &good).await;
    let ((stored, missing), reasons) = world.files_of_items(id).await;
    assert_eq!((stored, missing), (1, 2), "{reasons:?}");
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    let files = world.files(id).await;
    assert!(!files.keys().any(|it| it.contains("bad.zip") || it.contains("gone.zip")));
    assert!(files[&format!("releases/v1-{release}/release.md")].contains("bad.zip"), "the page names it");
    world.assert_healthy(id).await;
    world.end().await;
}
}

on_both! {
async fn attachments_that_github_keeps_are_kept_and_no_others_are_asked_for(world: World) {
    let mut world = world.with_catalogs();
    world.config.sync.attachment_max_bytes = 10_000;
    let id = world.repository("octo", "hello");
    let (shot, huge) = (bytes(4, 9_000), bytes(5, 20_000));
    let (one, two) = (world.github().attach("shot.png", &shot), world.github().attach("huge.mp4", &huge));
    let elsewhere = format!("{}/user-attachments/assets/shot.png", world.onedev().url());
    let issue = world.github().open_issue(id, "See", &format!("![it]({one}) and ![more]({two})")).unwrap();
    world.github().comment(id, issue, &format!("again {one}, not {elsewhere}")).unwrap();
    world.star(id).await;
    let files = world.files(id).await;
    let kept: Vec<&String> = files.keys().filter(|it| it.contains("/attachments/")).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    world.assert_file(id, kept[0], &shot).await;
    let (_, reasons) = world.files_of_items(id).await;
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].1.contains("at most 10000"), "{reasons:?}");
    assert!(!world.onedev().requests().iter().any(|it| it.path.contains("user-attachments")));
    world.end().await;
}
}
