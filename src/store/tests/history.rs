//! What happened: syncs, kept refs, the audit log, watched logins.

use serde_json::json;

use crate::domain::ids::AccountId;
use crate::domain::kept::{KeptRef, Reason};
use crate::store::audit::{self, NewEntry};
use crate::store::kept;
use crate::store::syncs::{self, CHANGES, Outcome, Work};
use crate::store::{Window, settings, stars, watched};

use super::{Bed, at, branch, correlation, oid, on_both};

on_both!(
    a_run_is_begun_finished_and_listed,
    a_run_that_was_never_finished_was_cut_off,
    old_runs_are_pruned_but_the_latest_stays,
    a_kept_ref_is_recorded_once,
    the_audit_log_is_only_added_to,
    a_login_stays_the_account_it_was_first,
    a_star_is_counted_once_an_account,
    a_setting_is_set_and_set_again,
);

async fn a_run_is_begun_finished_and_listed(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let work = Work {
        bytes_in: 1 << 40,
        bytes_out: 2,
        objects: 3,
        created: 4,
        moved: 5,
        deleted: 6,
        kept: 7,
        aliased: 8,
        digest: Some("d".into()),
        error: Some(("code".into(), "text".into())),
        changes: (0..CHANGES + 9).map(|it| json!({"ref": it})).collect(),
    };
    let given = work.clone();
    let id = bed
        .write(move |c| {
            let id = syncs::start(c, mirror, None, correlation(3), "relay", at(1))?;
            assert!(syncs::finish(c, id, Outcome::Changed, &given, at(2))?);
            assert!(!syncs::finish(c, id, Outcome::Failed, &given, at(3))?);
            Ok(id)
        })
        .await;
    let page = bed.read(move |c| syncs::list(c, mirror, &Window::default())).await;
    let run = &page.items[0];
    assert_eq!((run.id, run.mirror, run.job, run.outcome), (id, mirror, None, Outcome::Changed));
    assert_eq!((run.started_at, run.finished_at, run.engine.as_str()), (at(1), Some(at(2)), "relay"));
    assert_eq!(run.work, Work { changes: work.changes[..CHANGES].to_vec(), ..work });
}

async fn a_run_that_was_never_finished_was_cut_off(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let start = |seconds| {
        let bed = bed.clone();
        async move { bed.write(move |c| syncs::start(c, mirror, None, correlation(3), "relay", at(seconds))).await }
    };
    let lost = start(1).await;
    let next = start(9).await;
    let runs = bed.read(move |c| syncs::list(c, mirror, &Window::default())).await.items;
    let told: Vec<_> = runs.iter().map(|it| (it.id, it.outcome, it.finished_at)).collect();
    assert_eq!(told, [(next, Outcome::Running, None), (lost, Outcome::CutOff, Some(at(9)))]);
    let late = bed.write(move |c| syncs::finish(c, lost, Outcome::Changed, &Work::default(), at(10))).await;
    assert!(!late, "somebody else is at work");
}

async fn old_runs_are_pruned_but_the_latest_stays(bed: Bed) {
    let (one, two) = (bed.mirror(1).await, bed.mirror(2).await);
    bed.write(move |c| {
        for (mirror, seconds) in [(one, 1), (one, 2), (two, 1), (two, 90)] {
            syncs::start(c, mirror, None, correlation(3), "relay", at(seconds))?;
        }
        Ok(())
    })
    .await;
    assert_eq!(bed.write(|c| syncs::prune(c, at(50))).await, 2);
    for (mirror, left) in [(one, at(2)), (two, at(90))] {
        let runs = bed.read(move |c| syncs::list(c, mirror, &Window::default())).await.items;
        assert_eq!(runs.iter().map(|it| it.started_at).collect::<Vec<_>>(), [left]);
    }
}

async fn a_kept_ref_is_recorded_once(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let all: Vec<KeptRef> = Reason::ALL
        .into_iter()
        .zip(1..)
        .map(|(reason, it)| KeptRef { name: branch("main"), kept: branch(&format!("kept-{it}")), oid: oid(it), reason })
        .collect();
    let given = all.clone();
    assert_eq!(bed.write(move |c| kept::insert(c, mirror, &given, at(1))).await, 4);
    let given = all.clone();
    assert_eq!(bed.write(move |c| kept::insert(c, mirror, &given, at(2))).await, 0);
    assert_eq!(bed.read(move |c| kept::count(c, mirror)).await, 4);
    let page = bed.read(move |c| kept::list(c, mirror, &Window { limit: 3, cursor: None })).await;
    assert_eq!((page.items.len(), page.items[0].reason, page.items[0].created_at), (3, Reason::Foreign, at(1)));
    assert_eq!(page.items[2].oid, oid(2));
    let rest = bed.read(move |c| kept::list(c, mirror, &Window { limit: 3, cursor: page.next })).await;
    assert_eq!((rest.items.len(), rest.items[0].kept_ref.clone(), rest.next), (1, branch("kept-1"), None));
}

async fn the_audit_log_is_only_added_to(bed: Bed) {
    let entry = NewEntry {
        actor: "admin".into(),
        action: "mirror.delete".into(),
        subject: "octo/r1".into(),
        outcome: "ok".into(),
        detail: json!({"project": "keep"}),
        correlation: Some(correlation(4)),
        address: Some("127.0.0.1".into()),
    };
    for it in 0..3 {
        let entry = NewEntry { outcome: format!("ok{it}"), ..entry.clone() };
        bed.write(move |c| audit::append(c, &entry, at(it))).await;
    }
    let page = bed.read(|c| audit::list(c, &audit::Filter::default(), &Window { limit: 2, cursor: None })).await;
    assert_eq!((page.items[0].at, &page.items[0].entry), (at(2), &NewEntry { outcome: "ok2".into(), ..entry }));
    let rest = bed.read(|c| audit::list(c, &audit::Filter::default(), &Window { limit: 2, cursor: page.next })).await;
    assert_eq!((rest.items.len(), rest.items[0].at), (1, at(0)));
    for sql in ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"] {
        let refused = bed
            .store
            .write(move |c| {
                use diesel::RunQueryDsl as _;
                Ok(diesel::sql_query(sql).execute(&mut c.db)?)
            })
            .await;
        assert!(refused.unwrap_err().to_string().contains("append only"), "{sql}");
    }
    let filter = audit::Filter {
        actor: Some("admin".into()),
        action: Some("mirror.delete".into()),
        subject: Some("octo/r1".into()),
    };
    assert_eq!(bed.read(move |c| audit::list(c, &filter, &Window::default())).await.items.len(), 3);
    let nobody = audit::Filter { actor: Some("nobody".into()), ..audit::Filter::default() };
    assert!(bed.read(move |c| audit::list(c, &nobody, &Window::default())).await.items.is_empty());
}

async fn a_login_stays_the_account_it_was_first(bed: Bed) {
    assert_eq!(bed.write(|c| watched::remember(c, "OctoCat", AccountId(5))).await, AccountId(5));
    assert_eq!(
        bed.write(|c| watched::remember(c, "octocat", AccountId(6))).await,
        AccountId(5),
        "somebody took the name"
    );
    assert_eq!(bed.write(|c| watched::remember(c, "renamed", AccountId(5))).await, AccountId(5));
    assert_eq!(bed.read(|c| watched::id_of(c, "OCTOCAT")).await, Some(AccountId(5)));
    assert_eq!(bed.read(|c| watched::id_of(c, "nobody")).await, None);
    assert_eq!(bed.read(|c| watched::login_of(c, AccountId(5))).await.as_deref(), Some("octocat"));
    assert_eq!(bed.read(|c| watched::login_of(c, AccountId(6))).await, None);
    assert_eq!(bed.read(watched::list).await.len(), 2);
}

async fn a_star_is_counted_once_an_account(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let counted = bed
        .write(move |c| {
            stars::add(c, mirror, AccountId(1), at(1))?;
            stars::add(c, mirror, AccountId(1), at(2))?;
            stars::add(c, mirror, AccountId(2), at(3))?;
            stars::count(c, mirror)
        })
        .await;
    assert_eq!(counted, 2);
    assert!(bed.write(move |c| stars::remove(c, mirror, AccountId(1))).await);
    assert!(!bed.write(move |c| stars::remove(c, mirror, AccountId(1))).await);
    assert_eq!(bed.read(move |c| stars::count(c, mirror)).await, 1);
}

async fn a_setting_is_set_and_set_again(bed: Bed) {
    assert_eq!(bed.read(|c| settings::get(c, "a")).await, None);
    bed.write(|c| settings::set(c, "a", "1")).await;
    bed.write(|c| settings::set(c, "a", "2")).await;
    assert_eq!(bed.read(|c| settings::get(c, "a")).await.as_deref(), Some("2"));
}
