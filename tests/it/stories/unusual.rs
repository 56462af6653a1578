//! Unusual repositories. Others have their stories elsewhere: empty, only tags, a branch that becomes a
//! folder (`refs`), no or an unborn default branch (`head`), tags of blobs and trees, names that OneDev
//! refuses (`alias`), an upstream wiped to one commit (`brake`).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::Utc;
use starkeep::domain::ids::{CorrelationId, GithubId};
use starkeep::domain::job::{JobKind, JobState, Priority};
use starkeep::domain::kept::{KEPT, alias_name};
use starkeep::domain::mirror::Status;
use starkeep::domain::refs::{RefMap, RefName, managed};
use starkeep::store::jobs::{self, NewJob};
use uuid::Uuid;

use super::tools::{MAIN, assert_whole, git, mirrored, world};
use crate::world::{World, on_both};

/// Every managed ref of upstream stands in the project, under its own name or its alias.
async fn assert_all_held(world: &World, id: GithubId) -> usize {
    let mirror = world.mirror(id).await;
    assert!(matches!(mirror.status, Status::Healthy | Status::Partial), "{:?}", mirror.error);
    let refs = world.refs(id).await;
    let told: BTreeSet<RefName> = mirror.not_level.iter().filter_map(|it| it.name.reference()).collect();
    let upstream = managed(&world.github().refs(id).unwrap(), &world.config.sync.refs);
    for (name, oid) in &upstream {
        let at = if told.contains(name) { alias_name(name).unwrap() } else { name.clone() };
        assert_eq!(refs.get(&at), Some(oid), "{name}");
    }
    upstream.len()
}

/// Names with every character that git allows in one, in front, within and at the end where that is allowed.
fn every_character() -> BTreeSet<RefName> {
    let ascii = (33_u8..127).map(char::from);
    let others = ['é', 'ß', '日', '🦀', '\u{301}', '\u{202e}', '\u{80}', '\u{ffff}'];
    let texts = ascii.chain(others).flat_map(|c| {
        let forms =
            [format!("{c}"), format!("{c}a"), format!("a{c}"), format!("a{c}b"), format!("a{c}/b"), format!("a/{c}b")];
        forms.into_iter().enumerate().map(move |(n, it)| format!("u{:x}/{n}/{it}", u32::from(c)))
    });
    let all: Vec<String> = texts.flat_map(|it| [format!("refs/heads/{it}"), format!("refs/tags/{it}")]).collect();
    all.iter().filter_map(|it| RefName::new(it).ok()).collect()
}

on_both! {
async fn refs_with_every_character_that_git_allows_are_held_moved_and_deleted(world: World) {
    let mut world = world;
    world.config.policy.mass_delete = None;
    let id = world.repository("octo", "characters");
    let names = every_character();
    let git_allows = |it: &RefName| {
        let dir = world.github().repo_dir(id).unwrap();
        Command::new("git").current_dir(dir).args(["check-ref-format", it.as_str()]).status().unwrap().success()
    };
    assert!(names.iter().step_by(37).all(git_allows) && names.len() > 900, "{}", names.len());
    let first = world.tip(id, MAIN);
    world.github().set_refs(id, &names.iter().map(|it| (it.clone(), first)).collect()).unwrap();
    let mirror = world.star(id).await;
    assert_eq!(mirror.status, Status::Partial, "{:?}", mirror.error);
    assert_eq!(assert_all_held(&world, id).await, names.len() + 1);
    for it in &mirror.not_level {
        assert!(it.name.as_str().contains(['+', '&', '=', '%']), "{}: {}", it.name, it.reason);
    }
    let second = world.github().commit_on(id, &[], "README", "unrelated").unwrap();
    world.github().set_refs(id, &names.iter().map(|it| (it.clone(), second)).collect()).unwrap();
    world.pushed(id).await;
    assert_all_held(&world, id).await;
    assert_eq!(world.refs_below(id, KEPT).await.len(), names.len());
    std::fs::write(world.github().repo_dir(id).unwrap().join("packed-refs"), format!("{first} {MAIN}\n")).unwrap();
    world.pushed(id).await;
    world.sync(id).await;
    world.assert_healthy(id).await;
    assert!(world.aliases(id).await.is_empty());
    assert_eq!(world.refs_below(id, KEPT).await.len(), 2 * names.len());
    world.end().await;
}
}

#[actix::test]
async fn a_ref_whose_name_is_not_utf_8_is_listed_and_harms_no_other() {
    let (world, id) = mirrored().await;
    let folder = world.github().repo_dir(id).unwrap();
    let tip = world.tip(id, MAIN).to_string();
    let latin = OsStr::from_bytes(b"refs/tags/caf\xe9");
    let made = Command::new("git").arg("-C").arg(&folder).arg("update-ref").arg(latin).arg(tip).status().unwrap();
    assert!(made.success());
    let mirror = world.pushed(id).await;
    assert_eq!(mirror.status, Status::Partial, "{:?}", mirror.error);
    assert!(mirror.not_level[0].reason.contains("not UTF-8"), "{:?}", mirror.not_level);
    assert_eq!(world.managed(id).await.len(), 1);
    world.end().await;
}

#[actix::test]
async fn refs_that_differ_in_case_or_composition_alone_are_different_refs() {
    let mut world = world();
    let id = world.repository("octo", "cases");
    let names = ["Feature", "feature", "FEATURE", "feature/", "caf\u{e9}", "cafe\u{301}"];
    for (n, it) in names.iter().filter(|it| !it.ends_with('/')).enumerate() {
        let tip = world.github().commit_on(id, &[], "FILE", &format!("{n}")).unwrap();
        world.github().set_ref(id, &format!("refs/heads/x/{it}"), tip).unwrap();
        world.github().annotated_tag(id, it, tip).unwrap();
    }
    world.github().commit(id, "x/featurE/below", "FILE", "a folder").unwrap();
    world.star(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.managed(id).await.len(), 1 + 5 + 5 + 1);
    world.github().delete_ref(id, "refs/heads/x/Feature").unwrap();
    world.github().force_branch(id, "x/FEATURE").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.keeps(id).await.len(), 2);
    world.end().await;
}

on_both! {
async fn a_default_branch_named_a_plus_b_is_held_and_what_onedev_takes_is_its_default(world: World) {
    let mut world = world;
    let id = world.github().create_repository("octo", "plus").unwrap();
    let tip = world.github().commit(id, "a+b", "README", "plus").unwrap();
    world.github().set_default_branch(id, "a+b").unwrap();
    // OneDev's hook refuses the only branch there is.
    let mirror = world.star(id).await;
    assert_eq!(mirror.status, Status::Partial, "{:?}", mirror.error);
    assert_eq!(world.aliases(id).await.into_values().collect::<Vec<_>>(), [tip]);
    assert_all_held(&world, id).await;
    world.github().commit(id, "a+b", "README", "more").unwrap();
    world.github().commit(id, "main", "README", "main").unwrap();
    world.pushed(id).await;
    assert_all_held(&world, id).await;
    assert_eq!(world.head(id).await, "main");
    world.end().await;
}
}

#[actix::test]
async fn a_repository_without_a_default_branch_whose_head_is_detached() {
    let mut world = world();
    let id = world.repository("octo", "detached");
    world.github().commit(id, "topic", "TOPIC", "topic").unwrap();
    let folder = world.github().repo_dir(id).unwrap();
    std::fs::write(folder.join("HEAD"), format!("{}\n", world.tip(id, MAIN))).unwrap();
    world.star(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.head(id).await, "main");
    world.end().await;
}

/// Puts another repository of the disk in an upstream's place, made by these arguments of git.
fn replace(world: &World, id: GithubId, make: impl Fn(&Path, &Path)) -> PathBuf {
    let folder = world.github().repo_dir(id).unwrap();
    let aside = folder.with_extension("before");
    std::fs::rename(&folder, &aside).unwrap();
    make(&aside, &folder);
    folder
}

on_both! {
async fn a_shallow_upstream_is_refused_and_nothing_is_left_behind(world: World) {
    let mut world = world;
    let id = world.repository("octo", "shallow");
    world.github().commit(id, "main", "README", "two").unwrap();
    replace(&world, id, |from, to| {
        let from = format!("file://{}", from.display());
        git(Path::new("/"), &["clone", "-q", "--bare", "--depth=1", &from, to.to_str().unwrap()]);
    });
    world.star(id).await;
    let message = world.assert_error(id, "upstream_shallow").await;
    assert!(message.contains("not whole"), "{message}");
    assert!(world.onedev().project("github/octo/shallow").is_none());
    assert!(world.jobs().await.iter().all(|it| it.state == JobState::Dead), "it is not tried for ever");
    world.end().await;
}
}

on_both! {
async fn a_sha_256_upstream_is_refused_with_its_own_code_and_nothing_is_left_behind(world: World) {
    let mut world = world;
    for (n, filled) in [false, true].into_iter().enumerate() {
        let repository = format!("sha256-{n}");
        let id = world.repository("octo", &repository);
        let folder = replace(&world, id, |_, to| {
            git(Path::new("/"), &["init", "-q", "--bare", "--object-format=sha256", "-b", "main", to.to_str().unwrap()]);
        });
        if filled {
            let tree = git(&folder, &["hash-object", "-w", "-t", "tree", "/dev/null"]);
            let who = ["-c", "user.name=x", "-c", "user.email=x@example.org"];
            let commit = git(&folder, &[&who[..], &["commit-tree", "-m", "one", tree.trim()]].concat());
            git(&folder, &["update-ref", MAIN, commit.trim()]);
        }
        world.star(id).await;
        let message = world.assert_error(id, "upstream_object_format").await;
        assert!(message.contains("sha256"), "{message}");
        assert!(world.mirror(id).await.project.is_none());
        assert!(world.onedev().project(&format!("github/octo/{repository}")).is_none());
    }
    assert!(world.jobs().await.iter().all(|it| it.state == JobState::Dead), "it is not tried for ever");
    world.end().await;
}
}

#[actix::test]
async fn a_mirror_whose_upstream_turns_into_a_sha_256_one_keeps_its_copy() {
    let (world, id) = mirrored().await;
    let before = world.refs(id).await;
    replace(&world, id, |_, to| {
        git(Path::new("/"), &["init", "-q", "--bare", "--object-format=sha256", to.to_str().unwrap()]);
    });
    world.pushed(id).await;
    world.assert_error(id, "upstream_object_format").await;
    assert_eq!(world.refs(id).await, before);
    world.end().await;
}

on_both! {
async fn the_history_of_all_refs_is_replaced_at_once_and_the_old_one_is_kept(world: World) {
    let mut world = world;
    let id = world.repository("octo", "rewritten");
    for n in 0..15 {
        let tip = world.github().commit(id, &format!("b{n}"), "FILE", &format!("{n}")).unwrap();
        world.github().annotated_tag(id, &format!("v{n}"), tip).unwrap();
    }
    world.star(id).await;
    let old = world.managed(id).await;
    for n in 0..15 {
        let tip = world.github().force_branch(id, &format!("b{n}")).unwrap();
        world.github().annotated_tag(id, &format!("v{n}"), tip).unwrap();
    }
    world.github().force_branch(id, "main").unwrap();
    world.pushed(id).await;
    let message = world.assert_error(id, "mass_delete").await;
    assert!(message.contains("delete 0 and overwrite 31 of 31"), "{message}");
    let mirror = world.mirror(id).await.id;
    let job = NewJob::of(JobKind::Sync, mirror, Priority::ASKED, CorrelationId(Uuid::now_v7()));
    let job = job.allowing_mass_delete(true);
    world.store().write(move |c| jobs::enqueue(c, &job, Utc::now())).await.unwrap();
    world.drain().await;
    world.assert_healthy(id).await;
    let kept: RefMap = world.kept(id).await.into_iter().map(|it| (it.name, it.oid)).collect();
    assert_eq!(kept, old);
    assert_whole(&world, &world.path(id).await);
    world.end().await;
}
}

#[actix::test]
async fn submodules_are_gitlinks_that_nobody_follows() {
    let mut world = world();
    let id = world.repository("octo", "submodules");
    let folder = world.github().repo_dir(id).unwrap();
    let stream = "commit refs/heads/main\ncommitter x <x@example.org> 1700000000 +0000\ndata 1\n.\n\
        M 100644 inline .gitmodules\ndata <<E\n[submodule \"lib\"]\n\tpath = lib\n\turl = ../lib.git\nE\n\
        M 160000 1234567890123456789012345678901234567890 lib\n\n";
    feed(&folder, &["fast-import", "--quiet", "--force"], |pipe| std::io::Write::write_all(pipe, stream.as_bytes()));
    world.star(id).await;
    world.assert_healthy(id).await;
    let copy = world.onedev().repo_dir(&world.path(id).await).unwrap();
    let tree = |it: &Path| git(it, &["ls-tree", "-r", "main"]);
    assert!(tree(&copy).contains("160000 commit 1234567890123456789012345678901234567890\tlib"), "{}", tree(&copy));
    assert_eq!(tree(&copy), tree(&folder));
    let asked = world.github().requests();
    assert!(asked.iter().all(|it| !it.path.contains("/lib")), "the submodule is another repository");
    world.end().await;
}

/// Runs git with something written into it.
fn feed(folder: &Path, arguments: &[&str], write: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(arguments).stdin(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = std::io::BufWriter::new(child.stdin.take().unwrap());
    write(&mut pipe).unwrap();
    drop(pipe);
    assert!(child.wait().unwrap().success());
}

/// One commit with one blob of so many bytes that nothing makes smaller.
pub fn big_blob(folder: &Path, bytes: u64) {
    let settings = ["-c", "core.compression=0", "-c", "pack.compression=0", "-c", "core.bigFileThreshold=1m"];
    feed(folder, &[&settings[..], &["fast-import", "--quiet", "--force"]].concat(), |pipe| {
        let head = "commit refs/heads/main\ncommitter x <x@example.org> 1700000000 +0000\ndata 1\n.\n";
        write!(pipe, "{head}M 100644 inline BLOB\ndata {bytes}\n")?;
        let (mut state, mut left) = (0x2545_f491_4f6c_dd1d_u64, bytes);
        while left > 0 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let some = usize::try_from(left.min(8)).unwrap();
            pipe.write_all(&state.to_le_bytes()[..some])?;
            left -= some as u64;
        }
        pipe.write_all(b"\n")
    });
    // As at GitHub: a blob of that size is sent as it lies in its pack.
    for (key, value) in [("core.bigFileThreshold", "1m"), ("core.compression", "0"), ("pack.compression", "0")] {
        git(folder, &["config", key, value]);
    }
}

/// Long forms are told where somebody has the time.
pub fn is_long() -> bool {
    std::env::var_os("STARKEEP_LONG_TESTS").is_some()
}

/// Mirrors by the service as a process of its own; answers its peaks of memory before and after. Bytes.
async fn mirror_by_a_process(world: &mut World, fill: impl FnOnce(&Path)) -> (GithubId, u64, u64) {
    world.attach().await;
    let small = world.repository("octo", "small");
    let large = world.github().create_repository("octo", "large").unwrap();
    let process = world.process();
    let star = async |id| {
        process.take(&world.github().star(crate::world::FAN, id).unwrap()).await;
        world.drain_for(std::time::Duration::from_secs(3_000)).await;
    };
    star(small).await;
    let before = process.peak_memory();
    fill(&world.github().repo_dir(large).unwrap());
    star(large).await;
    let after = process.peak_memory();
    assert!(process.terminate().success());
    println!("peak of memory: {} MB with a small one, {} MB with the large one", before >> 20, after >> 20);
    (large, before, after)
}

#[actix::test]
async fn a_blob_of_64_mb_or_2_gb_passes_in_flat_memory() {
    let mut world = world();
    let bytes = if is_long() { 2 << 30 } else { 64 << 20 };
    let (id, before, after) = mirror_by_a_process(&mut world, |folder| big_blob(folder, bytes)).await;
    world.assert_healthy(id).await;
    let copy = world.onedev().repo_dir(&world.path(id).await).unwrap();
    assert_eq!(git(&copy, &["cat-file", "-s", "main:BLOB"]).trim(), bytes.to_string());
    // libgit2 holds an object that it packs whole, once as it is and once compressed.
    let most = if world.is_cached() { 3 * bytes } else { 40 << 20 };
    assert!(after - before < most, "{} MB more for {} MB", (after - before) >> 20, bytes >> 20);
    world.end().await;
}

#[actix::test]
async fn ten_thousand_or_a_hundred_thousand_tags_pass_in_bounded_memory() {
    let mut world = world();
    let count: u64 = if is_long() { 100_000 } else { 10_000 };
    let (id, before, after) = mirror_by_a_process(&mut world, |folder| {
        feed(folder, &["fast-import", "--quiet"], |pipe| {
            writeln!(pipe, "commit refs/heads/main\ncommitter x <x@example.org> 1700000000 +0000\ndata 1\n.\n")?;
            (0..count).try_for_each(|n| writeln!(pipe, "reset refs/tags/release/v{n}\nfrom refs/heads/main\n"))
        });
        git(folder, &["pack-refs", "--all"]);
    })
    .await;
    world.assert_healthy(id).await;
    assert_eq!(world.mirror(id).await.ref_count, Some(i64::try_from(count).unwrap() + 1));
    // Both sides' lists and the plan are held at once: so many bytes a ref, and no more.
    let each = (after - before) / count;
    // The copy's own list beside them.
    let most = if world.is_cached() { 4_000 } else { 2_000 };
    assert!(each < most, "{each} bytes a ref, {} MB in all", (after - before) >> 20);
    world.end().await;
}
