//! Parts: one row for each of a mirror's wikis, and tips, kept refs and runs that are of one part only.

use crate::domain::ids::ProjectId;
use crate::domain::job::JobKind;
use crate::domain::kept::{KeptRef, Reason};
use crate::domain::mirror::Status;
use crate::domain::part::{Part, PartId, PartState};
use crate::store::mirrors::{self, Project, Proven};
use crate::store::{Window, kept, parts, tips};

use super::{Bed, at, branch, oid, on_both};

on_both!(
    a_part_is_begun_once_and_due_until_it_was_looked_at,
    what_is_put_and_kept_in_a_wiki_is_not_the_codes,
    a_reason_keeps_its_time_until_it_changes_or_passes,
    a_project_that_is_forgotten_takes_its_proof_and_tips_along,
);

fn proven(next: i64) -> Proven {
    Proven {
        digest: "d".to_owned(),
        onedev_digest: None,
        head: Some(oid(1)),
        ref_count: 1,
        default_branch: Some("master".to_owned()),
        upstream_head: None,
        not_level: Vec::new(),
        status: Status::Healthy,
        changed: true,
        verified_at: at(5),
        next_sync_at: Some(at(next)),
    }
}

async fn due(bed: &Bed, seconds: i64) -> usize {
    bed.read(move |c| parts::due(c, Part::Wiki, JobKind::Wiki, at(seconds), 10)).await.len()
}

async fn a_part_is_begun_once_and_due_until_it_was_looked_at(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let wiki = PartId::wiki(mirror);
    assert!(bed.write(move |c| parts::begin(c, wiki, at(1))).await);
    assert!(!bed.write(move |c| parts::begin(c, wiki, at(9))).await);
    let found = bed.read(move |c| parts::find(c, wiki)).await.unwrap();
    assert_eq!((found.state, found.next_look_at), (PartState::Pending, Some(at(1))));
    assert_eq!((due(&bed, 0).await, due(&bed, 1).await), (0, 1));
    let job = bed.job(JobKind::Wiki, mirror, 0).await.id;
    assert_eq!(due(&bed, 1).await, 0, "a job sees to it");
    bed.write(move |c| crate::store::jobs::cancel(c, job, at(1))).await;
    bed.write(move |c| mirrors::pause(c, mirror, at(1))).await;
    assert_eq!(due(&bed, 1).await, 0, "a paused mirror's wiki waits");
    bed.write(move |c| parts::record_proof(c, wiki, &proven(100))).await;
    assert_eq!(bed.read(move |c| parts::find(c, wiki)).await.unwrap().next_look_at, Some(at(100)));
    bed.write(move |c| mirrors::resume(c, mirror, at(20))).await;
    assert_eq!(due(&bed, 20).await, 1, "and is looked at when the mirror goes on");
    bed.write(move |c| mirrors::delete(c, mirror)).await;
    assert_eq!(bed.read(move |c| parts::find(c, wiki)).await, None);
}

async fn what_is_put_and_kept_in_a_wiki_is_not_the_codes(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let wiki = PartId::wiki(mirror);
    let (main, both) = (branch("main"), branch("main"));
    bed.write(move |c| {
        tips::intend(c, mirror, &[(main.clone(), Some(oid(1)))])?;
        tips::intend(c, wiki, &[(main.clone(), Some(oid(2)))])?;
        tips::settle(c, mirror, &[(main.clone(), Some(oid(1)))], at(1))?;
        let kept = KeptRef { name: main.clone(), kept: branch("k"), oid: oid(3), reason: Reason::Deleted };
        kept::insert(c, mirror, std::slice::from_ref(&kept), at(1))?;
        assert_eq!(kept::insert(c, wiki, std::slice::from_ref(&kept), at(1))?, 1, "the same name in another project");
        assert_eq!(kept::insert(c, wiki, &[kept], at(1))?, 0);
        Ok(())
    })
    .await;
    let (code, pages) = bed.read(move |c| Ok((tips::load(c, mirror)?, tips::load(c, wiki)?))).await;
    assert_eq!((code.0.get(&both), code.1.len()), (Some(&oid(1)), 0));
    assert_eq!((pages.0.len(), pages.1.get(&both)), (0, Some(&Some(oid(2)))));
    bed.write(move |c| {
        tips::clear_intents(c, mirror)?;
        tips::replace_all(c, mirror, &[].into())
    })
    .await;
    let pages = bed.read(move |c| tips::load(c, wiki)).await;
    assert_eq!(pages.1.len(), 1, "the code's are cleared, the wiki's stay");
    let gone = [(both, None)];
    bed.write(move |c| tips::settle(c, wiki, &gone, at(1))).await;
    assert_eq!(bed.read(move |c| tips::load(c, wiki)).await, Default::default());
    let listed = bed.read(move |c| kept::list(c, wiki, &Window::default())).await.items;
    assert_eq!((listed.len(), bed.read(move |c| kept::count(c, mirror)).await), (1, 1));
}

async fn a_reason_keeps_its_time_until_it_changes_or_passes(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let wiki = PartId::wiki(mirror);
    let errors = async |code: &'static str, seconds| {
        bed.write(move |c| {
            parts::record_error(c, wiki, (code, "why"), at(seconds))?;
            parts::find(c, wiki)
        })
        .await
        .unwrap()
        .error
        .unwrap()
        .since
    };
    bed.write(move |c| parts::begin(c, wiki, at(0))).await;
    assert_eq!([errors("one", 1).await, errors("one", 2).await, errors("two", 3).await], [at(1), at(1), at(3)]);
    bed.write(move |c| parts::hold(c, wiki, at(4))).await;
    assert_eq!(bed.read(move |c| parts::find(c, wiki)).await.unwrap().held_since, Some(at(4)));
    bed.write(move |c| parts::looked(c, wiki, PartState::Gone, Some(at(50)), at(5))).await;
    let found = bed.read(move |c| parts::find(c, wiki)).await.unwrap();
    assert_eq!((found.state, found.error, found.held_since), (PartState::Gone, None, None));
    assert_eq!((found.looked_at, found.next_look_at), (Some(at(5)), Some(at(50))));
}

async fn a_project_that_is_forgotten_takes_its_proof_and_tips_along(bed: Bed) {
    let mirror = bed.mirror(1).await;
    let wiki = PartId::wiki(mirror);
    let project = Project { id: ProjectId(7), path: "github/a/b/wiki".to_owned(), url: "http://x/".to_owned() };
    let main = branch("main");
    bed.write(move |c| {
        parts::begin(c, wiki, at(0))?;
        parts::intend_project(c, wiki, "github/a/b/wiki", at(0))?;
        parts::set_project(c, wiki, &project, true, at(0))?;
        tips::settle(c, wiki, &[(main.clone(), Some(oid(1)))], at(1))?;
        tips::settle(c, mirror, &[(main.clone(), Some(oid(1)))], at(1))?;
        parts::record_proof(c, wiki, &proven(9))
    })
    .await;
    let found = bed.read(move |c| parts::find(c, wiki)).await.unwrap();
    assert!(found.made_project && found.first_proof_at == Some(at(5)) && found.state == PartState::Healthy);
    assert_eq!(bed.read(|c| parts::holder(c, ProjectId(7))).await, Some(wiki));
    bed.write(move |c| parts::forget_project(c, wiki, at(6))).await;
    let found = bed.read(move |c| parts::find(c, wiki)).await.unwrap();
    assert_eq!((found.project, found.intended_path, found.proof, found.first_proof_at), (None, None, None, None));
    assert!(bed.read(move |c| tips::load(c, wiki)).await.0.is_empty());
    assert_eq!(bed.read(move |c| tips::load(c, mirror)).await.0.len(), 1);
}
