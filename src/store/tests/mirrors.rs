//! What mirrors remember, and what must not overwrite what.

use diesel::connection::SimpleConnection as _;

use crate::domain::ids::{GithubId, ProjectId};
use crate::domain::job::{JobKind, JobState};
use crate::domain::mirror::{NotLevel, Source, Status};
use crate::domain::part::PartId;
use crate::domain::repository::Repository;
use crate::store::mirrors::{self, Filter, InAll, Project, Proven};
use crate::store::{StoreError, Window, jobs, parts};

use super::{Bed, LEASE, at, branch, oid, on_both, subject};

on_both!(
    a_second_star_finds_the_first_ones_mirror,
    two_at_once_make_one_mirror,
    a_name_is_found_without_case_and_goes_to_whoever_got_it_last,
    a_list_goes_on_where_it_stopped_while_rows_come_in,
    a_project_is_remembered_and_forgotten_with_its_proof,
    a_move_is_in_doubt_until_it_is_written_down_with_the_wiki,
    a_proof_ends_the_error_and_dates_what_it_should,
    an_admins_pause_outlives_a_running_sync,
    an_unstar_during_a_sync_stays,
    what_is_wanted_again_is_not_deleted_whoever_wants_it,
    only_what_is_due_and_idle_is_looked_at,
    what_github_told_is_kept_beside,
    a_reason_keeps_its_date_until_it_changes,
    counts_and_the_oldest_proof_are_told,
    what_is_kept_in_all_is_counted_once,
    a_look_without_a_sync_leaves_what_it_found,
    a_deleted_mirror_takes_everything_with_it,
);

fn proven(seconds: i64) -> Proven {
    Proven {
        digest: "d".repeat(64),
        onedev_digest: Some("o".repeat(64)),
        head: Some(oid(7)),
        ref_count: 3,
        default_branch: Some("main".to_owned()),
        upstream_head: None,
        not_level: Vec::new(),
        status: Status::Healthy,
        changed: true,
        verified_at: at(seconds),
        next_sync_at: Some(at(seconds + 3600)),
    }
}

async fn a_second_star_finds_the_first_ones_mirror(bed: Bed) {
    let (first, made) = bed.write(|c| mirrors::ensure(c, &subject(7), Source::Star, at(0))).await;
    assert!(made);
    assert_eq!((first.status, first.next_sync_at, first.created_at), (Status::Pending, Some(at(0)), at(0)));
    let mut renamed = subject(7);
    renamed.name = "other/name".parse().unwrap();
    let (second, made) = bed.write(move |c| mirrors::ensure(c, &renamed, Source::Manual, at(9))).await;
    assert!(!made);
    assert_eq!(second, first);
    assert_eq!(bed.read(|c| mirrors::by_github_id(c, GithubId(7))).await, Some(first));
}

async fn two_at_once_make_one_mirror(bed: Bed) {
    let other = bed.another().await;
    let ensure = |store: crate::store::Store| async move {
        store.write(|c| mirrors::ensure(c, &subject(7), Source::Star, at(0))).await.unwrap()
    };
    let all = futures_util::future::join_all(
        (0..16).map(|it| tokio::spawn(ensure(if it % 2 == 0 { bed.store.clone() } else { other.clone() }))),
    );
    let all: Vec<_> = all.await.into_iter().map(Result::unwrap).collect();
    assert_eq!(all.iter().filter(|(_, made)| *made).count(), 1);
    assert!(all.iter().all(|(it, _)| it.id == all[0].0.id));
}

async fn a_name_is_found_without_case_and_goes_to_whoever_got_it_last(bed: Bed) {
    let (one, two) = (bed.mirror(1).await, bed.mirror(2).await);
    let found = bed.read(|c| mirrors::by_name(c, &"OCTO/R1".parse().unwrap())).await.unwrap();
    assert_eq!(found.id, one);
    assert!(bed.write(move |c| mirrors::set_name(c, two, &"octo/R1".parse().unwrap(), at(5))).await);
    let found = bed.read(|c| mirrors::by_name(c, &"octo/r1".parse().unwrap())).await.unwrap();
    assert_eq!((found.id, found.name.to_string()), (two, "octo/R1".to_owned()));
    let former = bed.read(move |c| mirrors::former_names(c, two)).await;
    assert_eq!(former, [("octo/r2".parse().unwrap(), at(5))]);
    assert!(!bed.write(move |c| mirrors::set_name(c, two, &"octo/R1".parse().unwrap(), at(6))).await);
    assert!(!bed.write(move |c| mirrors::set_name(c, two, &"octo/r1".parse().unwrap(), at(7))).await, "case alone");
    assert_eq!(bed.read(move |c| mirrors::former_names(c, two)).await.len(), 1);
    assert!(bed.read(|c| mirrors::by_name(c, &"octo/r9".parse().unwrap())).await.is_none());
}

async fn a_list_goes_on_where_it_stopped_while_rows_come_in(bed: Bed) {
    let mut ids = Vec::new();
    for it in 1..=5 {
        ids.push(bed.write(move |c| Ok(mirrors::ensure(c, &subject(it), Source::Star, at(it))?.0.id)).await);
    }
    let page = |cursor, limit| {
        let bed = bed.clone();
        async move { bed.read(move |c| mirrors::list(c, &Filter::default(), &Window { limit, cursor })).await }
    };
    let first = page(None, 2).await;
    assert_eq!(first.items.iter().map(|it| it.id).collect::<Vec<_>>(), ids[..2]);
    bed.write({
        let gone = ids[1];
        move |c| mirrors::delete(c, gone)
    })
    .await;
    let second = page(first.next, 2).await;
    assert_eq!(second.items.iter().map(|it| it.id).collect::<Vec<_>>(), ids[2..4]);
    let third = page(second.next, 2).await;
    assert_eq!((third.items.len(), third.next), (1, None));
    let bad = bed.store.read(|c| mirrors::list(c, &Filter::default(), &Window { limit: 1, cursor: Some("x".into()) }));
    assert_eq!(bad.await.unwrap_err(), StoreError::Cursor);
    let search = |text: &str| Filter { text: Some(text.to_owned()), ..Filter::default() };
    for (text, hits) in [("O/R3", 1), ("_", 0), ("%", 0), ("octo", 4), ("octo/r3", 1)] {
        let filter = search(text);
        let found = bed.read(move |c| mirrors::list(c, &filter, &Window::default())).await;
        assert_eq!(found.items.len(), hits, "{text}");
    }
    let filter = Filter { status: Some(Status::Healthy), source: Some(Source::Star), text: None };
    assert!(bed.read(move |c| mirrors::list(c, &filter, &Window::default())).await.items.is_empty());
}

async fn a_project_is_remembered_and_forgotten_with_its_proof(bed: Bed) {
    let id = bed.mirror(1).await;
    let project = Project { id: ProjectId(9), path: "github/octo/r1".into(), url: "https://dev/github/octo/r1".into() };
    let want = project.clone();
    let found = bed
        .write(move |c| {
            mirrors::intend_project(c, id, "github/octo/r1", at(1))?;
            mirrors::set_project(c, id, &want, true, at(2))?;
            mirrors::set_project(c, id, &want, false, at(3))?;
            mirrors::record_proof(c, id, &proven(4))?;
            mirrors::find(c, id)
        })
        .await
        .unwrap();
    assert_eq!((found.project.as_ref(), found.made_project), (Some(&project), true), "made stays");
    assert_eq!((found.first_proof_at, found.intended_path.as_deref()), (Some(at(4)), Some("github/octo/r1")));
    let found = bed.write(move |c| mirrors::forget_project(c, id, at(5)).and_then(|_| mirrors::find(c, id))).await;
    let found = found.unwrap();
    assert_eq!((found.project, found.made_project, found.first_proof_at, found.proof), (None, false, None, None));
}

async fn a_move_is_in_doubt_until_it_is_written_down_with_the_wiki(bed: Bed) {
    let id = bed.mirror(1).await;
    let project = |number, path: &str| Project { id: ProjectId(number), path: path.into(), url: format!("u/{path}") };
    let (old, new) = (project(9, "github/octo/r1"), project(9, "github/acme/r1"));
    let wiki = PartId::wiki(id);
    let (remembered, there) = (old.clone(), new.clone());
    bed.write(move |c| {
        mirrors::intend_project(c, id, "github/octo/r1", at(1))?;
        mirrors::set_project(c, id, &remembered, true, at(1))?;
        parts::begin(c, wiki, at(1))?;
        parts::set_project(c, wiki, &project(10, "github/octo/r1/wiki"), true, at(1))?;
        mirrors::intend_project(c, id, "github/acme/r1", at(2))
    })
    .await;
    assert!(bed.read(move |c| mirrors::find(c, id)).await.unwrap().is_moving());
    bed.write(move |c| mirrors::renounce_move(c, id, "github/octo/r1", at(3))).await;
    assert!(!bed.read(move |c| mirrors::find(c, id)).await.unwrap().is_moving());
    let below = project(10, "github/acme/r1/wiki");
    let (its, expected) = (below.clone(), below);
    bed.write(move |c| {
        mirrors::intend_project(c, id, "github/acme/r1", at(4))?;
        mirrors::moved(c, id, &there, Some(&its), at(4))
    })
    .await;
    let found = bed.read(move |c| mirrors::find(c, id)).await.unwrap();
    assert_eq!((found.project.as_ref(), found.made_project, found.is_moving()), (Some(&new), true, false));
    let found = bed.read(move |c| parts::find(c, wiki)).await.unwrap();
    assert_eq!((found.project, found.made_project), (Some(expected), true));
}

async fn a_proof_ends_the_error_and_dates_what_it_should(bed: Bed) {
    let id = bed.mirror(1).await;
    let not_level = vec![NotLevel { name: branch("a+b").into(), reason: "refused".into(), alias: Some(branch("x")) }];
    let listed = not_level.clone();
    let found = bed
        .write(move |c| {
            mirrors::record_error(c, id, ("boom", "it went\0 wrong"), 2, Status::Error, at(1))?;
            let failed = mirrors::find(c, id)?.unwrap();
            assert_eq!((failed.status, failed.attempts), (Status::Error, 2));
            assert_eq!(failed.error.unwrap().message, "it went wrong");
            mirrors::record_proof(c, id, &proven(10))?;
            let again = Proven { changed: false, status: Status::Partial, not_level: listed.clone(), ..proven(20) };
            mirrors::record_proof(c, id, &again)?;
            mirrors::find(c, id)
        })
        .await
        .unwrap();
    assert_eq!((found.status, found.error, found.attempts), (Status::Partial, None, 0));
    assert_eq!((found.first_proof_at, found.last_changed_at), (Some(at(10)), Some(at(10))));
    assert_eq!((found.last_synced_at, found.next_sync_at), (Some(at(20)), Some(at(3620))));
    assert_eq!((found.proof.unwrap().verified_at, found.not_level), (at(20), not_level));
    assert_eq!((found.head, found.ref_count), (Some(oid(7)), Some(3)));
}

async fn an_admins_pause_outlives_a_running_sync(bed: Bed) {
    let id = bed.mirror(1).await;
    let status = bed
        .write(move |c| {
            mirrors::set_syncing(c, id, at(1))?;
            assert!(mirrors::pause(c, id, at(2))?);
            assert!(!mirrors::pause(c, id, at(2))?);
            mirrors::record_proof(c, id, &proven(3))?;
            let paused = mirrors::find(c, id)?.unwrap();
            assert_eq!((paused.status, paused.paused_from), (Status::Paused, Some(Status::Healthy)));
            assert!(paused.proof.is_some());
            assert!(mirrors::resume(c, id, at(4))?);
            assert!(!mirrors::resume(c, id, at(4))?);
            mirrors::find(c, id)
        })
        .await
        .unwrap();
    assert_eq!((status.status, status.paused_from, status.next_sync_at), (Status::Healthy, None, Some(at(4))));
    let status = bed
        .write(move |c| {
            mirrors::set_syncing(c, id, at(5))?;
            mirrors::record_error(c, id, ("too_large", "larger than sync.max_bytes"), 0, Status::Paused, at(6))?;
            let paused = mirrors::find(c, id)?.unwrap();
            assert_eq!((paused.status, paused.error.unwrap().code.as_str()), (Status::Paused, "too_large"));
            mirrors::resume(c, id, at(7))?;
            mirrors::find(c, id)
        })
        .await
        .unwrap();
    assert_eq!(status.status, Status::Pending, "it was in the middle of a sync");
}

async fn an_unstar_during_a_sync_stays(bed: Bed) {
    let id = bed.mirror(1).await;
    let found = bed
        .write(move |c| {
            mirrors::set_syncing(c, id, at(1))?;
            assert!(mirrors::unstar(c, id, at(2))?);
            assert!(!mirrors::unstar(c, id, at(3))?);
            mirrors::record_proof(c, id, &proven(4))?;
            mirrors::record_error(c, id, ("boom", ""), 1, Status::Error, at(5))?;
            mirrors::find(c, id)
        })
        .await
        .unwrap();
    assert_eq!((found.status, found.unstarred_at), (Status::Archived, Some(at(2))));
    let found = bed
        .write(move |c| {
            assert!(mirrors::restar(c, id, at(6))?);
            assert!(!mirrors::restar(c, id, at(6))?);
            mirrors::find(c, id)
        })
        .await
        .unwrap();
    assert_eq!((found.status, found.unstarred_at, found.next_sync_at), (Status::Pending, None, Some(at(6))));
}

async fn what_is_wanted_again_is_not_deleted_whoever_wants_it(bed: Bed) {
    let id = bed.mirror(1).await;
    bed.write(move |c| mirrors::unstar(c, id, at(1))).await;
    let job = bed.job(JobKind::Remove, id, 100).await.id;
    bed.write(move |c| mirrors::restar(c, id, at(2))).await;
    let found = bed.read(move |c| jobs::find(c, job)).await.unwrap();
    assert_eq!(found.state, JobState::Cancelled);
}

async fn only_what_is_due_and_idle_is_looked_at(bed: Bed) {
    let (idle, queued, running, later, paused) =
        (bed.mirror(1).await, bed.mirror(2).await, bed.mirror(3).await, bed.mirror(4).await, bed.mirror(5).await);
    bed.job(JobKind::Sync, running, 0).await;
    bed.write(|c| jobs::claim(c, "w", at(0), LEASE, &JobKind::ALL)).await.unwrap();
    bed.job(JobKind::Sync, queued, 0).await;
    bed.job(JobKind::Verify, idle, 0).await;
    bed.write(move |c| {
        mirrors::schedule(c, later, Some(at(100)), at(0))?;
        mirrors::schedule(c, idle, Some(at(9)), at(0))?;
        mirrors::pause(c, paused, at(0))
    })
    .await;
    assert_eq!(bed.read(|c| mirrors::due(c, at(8), 10)).await, []);
    assert_eq!(bed.read(|c| mirrors::due(c, at(9), 10)).await, [idle]);
    assert_eq!(bed.read(|c| mirrors::due(c, at(100), 10)).await, [idle, later]);
    assert_eq!(bed.read(|c| mirrors::due(c, at(100), 1)).await, [idle]);
}

async fn what_github_told_is_kept_beside(bed: Bed) {
    let id = bed.mirror(1).await;
    let told = Repository {
        id: GithubId(1),
        node_id: Some("R_1".into()),
        name: "new/name".parse().unwrap(),
        private: true,
        archived: false,
        disabled: false,
        fork: true,
        network: GithubId(9),
        size_kib: 12,
        default_branch: Some("trunk".into()),
        description: Some("ünï \u{1f600}".into()),
        pushed_at: Some(at(-5)),
    };
    let first = told.clone();
    assert!(bed.write(move |c| mirrors::set_description(c, id, &first, at(1))).await);
    let second = Repository { size_kib: 13, ..told };
    assert!(!bed.write(move |c| mirrors::set_description(c, id, &second, at(2))).await);
    let found = bed.read(move |c| mirrors::find(c, id)).await.unwrap();
    let upstream = found.upstream.unwrap();
    assert_eq!((upstream.private, upstream.fork, upstream.size_kib), (true, true, 13));
    assert_eq!(upstream.network, Some(GithubId(9)));
    assert_eq!((upstream.description.as_deref(), upstream.pushed_at), (Some("ünï \u{1f600}"), Some(at(-5))));
    assert_eq!((found.name.to_string().as_str(), upstream.described_at), ("new/name", at(2)));
}

async fn a_reason_keeps_its_date_until_it_changes(bed: Bed) {
    let id = bed.mirror(1).await;
    let fail = |code: &'static str, seconds| {
        let bed = bed.clone();
        async move {
            bed.write(move |c| {
                mirrors::record_error(c, id, (code, "x"), 1, Status::Error, at(seconds))?;
                Ok(mirrors::find(c, id)?.unwrap().error.unwrap().since)
            })
            .await
        }
    };
    assert_eq!(fail("a", 1).await, at(1));
    assert_eq!(fail("a", 2).await, at(1));
    assert_eq!(fail("b", 3).await, at(3));
}

async fn counts_and_the_oldest_proof_are_told(bed: Bed) {
    assert!(bed.read(mirrors::counts_by_status).await.is_empty());
    assert_eq!(bed.read(mirrors::oldest_verification).await, None);
    for it in 1..=3 {
        let id = bed.mirror(it).await;
        bed.write(move |c| mirrors::record_proof(c, id, &proven(it))).await;
    }
    let pending = bed.mirror(4).await;
    let archived = bed.read(|c| mirrors::by_github_id(c, GithubId(1))).await.unwrap().id;
    bed.write(move |c| mirrors::unstar(c, archived, at(50))).await;
    let counts = bed.read(mirrors::counts_by_status).await;
    assert_eq!(counts, [(Status::Pending, 1), (Status::Healthy, 2), (Status::Archived, 1)].into());
    assert_eq!(bed.read(mirrors::oldest_verification).await, Some(at(2)));
    bed.write(move |c| mirrors::set_status(c, pending, Status::Gone, at(51))).await;
    assert_eq!(bed.read(move |c| mirrors::find(c, pending)).await.unwrap().status, Status::Gone);
}

async fn what_is_kept_in_all_is_counted_once(bed: Bed) {
    assert_eq!(bed.read(mirrors::kept_in_all).await, InAll { bytes: 0, mirrors: 0 });
    let (one, two, other) = (bed.mirror(1).await, bed.mirror(2).await, bed.mirror(3).await);
    let mut rows = String::new();
    for it in [one, two, other] {
        // In OneDev; still needed; neither. Files of releases: an object of the same, one twice, one that is not there.
        rows.push_str(&format!(
            "INSERT INTO lfs_objects (mirror_id, oid, size, state, reachable) VALUES ('{it}', 'a', 1, 'there', FALSE), \
               ('{it}', 'b', 20, 'open', TRUE), ('{it}', 'c', 300, 'open', FALSE); \
             INSERT INTO catalog_assets (mirror_id, kind, id, key, number, name, url, size, digest, is_there) VALUES \
               ('{it}', 'release', 1, '1', 1, 'n', '', 1, 'a', TRUE), \
               ('{it}', 'release', 2, '2', 1, 'n', '', 4000, 'd', TRUE), \
               ('{it}', 'release', 3, '3', 1, 'n', '', 4000, 'd', TRUE), \
               ('{it}', 'release', 4, '4', 1, 'n', '', 50000, 'e', FALSE); \
             INSERT INTO upstreams (mirror_id, private, archived, disabled, fork, size_kib, described_at) \
               VALUES ('{it}', FALSE, FALSE, FALSE, FALSE, 1000, 't');"
        ));
    }
    rows.push_str(&format!("UPDATE mirrors SET intended_path = 'p' WHERE id <> '{other}';"));
    bed.write(move |c| c.db.batch_execute(&rows).map_err(StoreError::from)).await;
    let each = 1_000 * 1_024 + 4_021;
    assert_eq!(bed.read(mirrors::kept_in_all).await, InAll { bytes: 2 * each, mirrors: 2 });
}

async fn a_look_without_a_sync_leaves_what_it_found(bed: Bed) {
    let id = bed.mirror(1).await;
    let project = Project { id: ProjectId(9), path: "p".into(), url: "u".into() };
    let found = bed
        .write(move |c| {
            assert_eq!(mirrors::holder(c, ProjectId(9))?, None);
            mirrors::set_project(c, id, &project, true, at(1))?;
            assert_eq!(mirrors::holder(c, ProjectId(9))?, Some(id));
            mirrors::record_proof(c, id, &proven(1))?;
            mirrors::record_unchanged(c, id, at(99), at(5))?;
            let unchanged = mirrors::find(c, id)?.unwrap();
            assert_eq!((unchanged.last_synced_at, unchanged.next_sync_at), (Some(at(5)), Some(at(99))));
            assert_eq!(unchanged.proof.unwrap().verified_at, at(1));
            mirrors::record_error(c, id, ("not_level", "x"), 1, Status::Error, at(6))?;
            mirrors::record_verified(c, id, "same", at(7))?;
            mirrors::find(c, id)
        })
        .await
        .unwrap();
    assert_eq!((found.status, found.error), (Status::Healthy, None));
    assert_eq!(found.proof.map(|it| (it.digest, it.verified_at)), Some(("same".to_owned(), at(7))));
}

async fn a_deleted_mirror_takes_everything_with_it(bed: Bed) {
    let id = bed.mirror(1).await;
    let job = bed.job(JobKind::Sync, id, 0).await.id;
    assert!(bed.write(move |c| mirrors::delete(c, id)).await);
    assert!(!bed.write(move |c| mirrors::delete(c, id)).await);
    assert!(bed.read(move |c| jobs::find(c, job)).await.is_none());
}
