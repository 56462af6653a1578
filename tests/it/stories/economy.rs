//! What is moved is moved once.

use starkeep::store::page::Window;
use starkeep::store::syncs;

use crate::world::{World, on_both};

on_both! {
async fn a_first_mirror_fetches_no_object_twice(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    let second = world.github().commit(id, "main", "README", "more").unwrap();
    world.github().commit(id, "topic", "README", "a branch without a common commit").unwrap();
    world.github().annotated_tag(id, "v1", second).unwrap();
    let mirror = world.star(id).await;
    world.assert_healthy(id).await;
    let runs = world.store().read(move |c| syncs::list(c, mirror.id, &Window::default())).await.unwrap().items;
    // The default branch went first, alone: two commits. Then the other's one and the tag. A commit
    // comes with a tree and a file.
    assert_eq!(runs.iter().map(|it| it.work.objects).sum::<u64>(), 3 * 2 + 3 + 1);
    world.end().await;
}
}
